"""The real installation, as `make demo` runs it, but without ingress and ERP.

Problem: the path must be measured with its own topology, contracts, rules and processes, on records
that a billing system would send. How: embedded broker and registry, the example company's rules
published as `streamsync apply` does, simulated customers, workers started by the ordinary command;
webhooks are those of the simulator, framed as the ingress frames them.
"""

from __future__ import annotations

import hashlib
import json
import re
import signal
import sys
import time
import urllib.request
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from benchmarks.broker import Broker, wait_for
from benchmarks.outcome import say
from benchmarks.processes import ROOT, Program, Sample
from streamsync.contracts import Contracts, SchemaRegistry
from streamsync.core.company import Company
from streamsync.core.records import RawWebhook, Tick
from streamsync.embedded import EmbeddedPlatform
from streamsync.embedded.server import free_port
from streamsync.engine.cluster import Catalog, Cluster
from streamsync.governance import load_company, reference_data
from streamsync.simulator import customers, simulate
from streamsync.simulator.stream import START, start_second
from streamsync.sources import SOURCES, account_key
from topology import build, ledger, topics

SOURCE = "stripe"
PARTITIONS = 8
_PER_ACCOUNT = 15.0
_ACCOUNTS_MIN = 60
_SEED = 11
_READY_S = 90.0
_SETTLED_S = 60.0
_LOOK_EVERY_S = 0.1
_CHANGELOGS = [
    f"streamsync-{lane}-changelog"
    for lane in ("webhooks", "customers", "control", "confirmations", ledger.LANE)
]
_QUIET_S = 2.0
_METRIC = re.compile(r'^streamsync_lane_records_total\{lane="([^"]+)"\} (\S+)$', re.MULTILINE)

Record = tuple[bytes, bytes]


@dataclass(frozen=True)
class Webhook:
    """One delivery: its key, its framed record and the event it is about."""

    key: bytes
    value: bytes
    event_id: str


@dataclass(frozen=True)
class Scenario:
    """What is played: rules, a first tick, customers, then webhooks."""

    company: Company
    rules: bytes
    tick: bytes
    customers: Sequence[Record]
    webhooks: Sequence[Webhook]

    @property
    def command_topics(self) -> list[str]:
        """Where the company's commands go."""
        return [topics.posting_commands(one.target_erp, one.id) for one in self.company.entities]


def make_scenario(contracts: Contracts, webhooks: int) -> Scenario:
    """The simulator's company, large enough for so many webhooks, in their order."""
    company = load_company(ROOT / "examples" / "acme")
    accounts = max(_ACCOUNTS_MIN, int(webhooks / _PER_ACCOUNT))
    rules = reference_data(company, 0, "benchmark", None)
    tick = Tick(number=0, time_ms=start_second(START) * 1_000, leader="benchmark")
    known = customers(_SEED, accounts, company.tenant, SOURCE)
    told = simulate(_SEED, 60, accounts)
    return Scenario(
        company=company,
        rules=contracts.encode(rules),
        tick=contracts.encode(tick),
        customers=[(one.account.encode(), contracts.encode(one)) for one in known],
        webhooks=[
            _webhook(contracts, company.tenant, event.body, event.time_ms)
            for event, _ in zip(told, range(webhooks), strict=False)
        ],
    )


def _webhook(contracts: Contracts, tenant: str, body: bytes, time_ms: int) -> Webhook:
    envelope = SOURCES[SOURCE].envelope(body)
    raw = RawWebhook(
        tenant=tenant,
        source=SOURCE,
        source_kind=SOURCE,
        body=body,
        content_type="application/json",
        content_hash=hashlib.sha256(body).hexdigest(),
        received_at_ms=time_ms,
    )
    event_id = envelope.event_id or raw.content_hash
    key = account_key(tenant, SOURCE, envelope.account or event_id)
    return Webhook(key.encode(), contracts.encode(raw), event_id)


@dataclass(frozen=True)
class Settled:
    """The last moment in which something moved, and the workers then."""

    at_s: float
    workers: Sequence[Sample]


class Installation:
    """A running installation with its workers."""

    def __init__(self, folder: Path, platform: EmbeddedPlatform, webhooks: int) -> None:
        self._folder = folder
        self.platform = platform
        self.broker = Broker(platform.bootstrap_servers)
        self.contracts = Contracts(SchemaRegistry(platform.schema_registry_url))
        self.scenario = make_scenario(self.contracts, webhooks)
        self.workers: list[Program] = []
        self._ports: list[int] = []
        tenant = self.scenario.company.tenant
        topology = build(self.contracts, tenant=tenant, partitions=PARTITIONS, app_id="streamsync")
        self._seats = sum(topology.topic(lane.source).partitions for lane in topology.lanes)
        commands = [topology.topic(name) for name in self.scenario.command_topics]
        Catalog(Cluster(platform.bootstrap_servers), topology).declare(
            [*topology.topics, *commands]
        )

    def start_workers(self, count: int) -> None:
        """Start workers and wait until every partition of every lane is at work."""
        for number in range(1, count + 1):
            port = free_port()
            command = ["-m", "streamsync", "worker", "--clock=external", f"--web-port={port}"]
            folder = self._folder / f"worker-{number}"
            settings = {
                "STREAMSYNC_BOOTSTRAP_SERVERS": self.platform.bootstrap_servers,
                "STREAMSYNC_SCHEMA_REGISTRY_URL": self.platform.schema_registry_url,
                "STREAMSYNC_TENANT": self.scenario.company.tenant,
                "STREAMSYNC_PARTITIONS": str(PARTITIONS),
            }
            name = f"worker-{number}"
            program = [sys.executable, *command, f"--data-dir={folder}"]
            self.workers.append(Program(name, program, self._folder, settings))
            self._ports.append(port)
        try:
            wait_for(self._all_active, _READY_S, "all partitions at work")
        except Exception as why:
            raise self.workers[0].failed(str(why)) from why

    def stop_workers(self) -> None:
        """End the workers in good order."""
        for worker in self.workers:
            worker.signal(signal.SIGTERM)
        for worker in self.workers:
            worker.stop()

    def prepare(self) -> None:
        """Rules, tick and customers, until the books know them."""
        scenario, broker = self.scenario, self.broker
        broker.fill(topics.CONTROL, [(None, scenario.rules), (None, scenario.tick)])
        self.settle(Counter(control=2))
        broker.fill(topics.CUSTOMERS, scenario.customers)
        self.settle(Counter(customers=len(scenario.customers)))

    def settle(self, at_least: Mapping[str, int]) -> Settled:
        """Wait until lanes have done so many records and nothing moves; gives the last movement.

        Every commit writes to a changelog, so the broker tells of it and no worker is asked.
        """
        ends, last = 0, self._now()
        while time.monotonic() - last.at_s < _SETTLED_S:
            now = self.broker.ends(*_CHANGELOGS)
            if now != ends:
                ends, last = now, self._now()
            elif time.monotonic() - last.at_s > _QUIET_S:
                done = self.lane_records()
                if all(done[lane] >= count for lane, count in at_least.items()):
                    return last
            time.sleep(_LOOK_EVERY_S)
        raise self.workers[0].failed(f"nothing moved for {_SETTLED_S:.0f} s")

    def _now(self) -> Settled:
        return Settled(time.monotonic(), [worker.sample() for worker in self.workers])

    def lane_records(self) -> Counter[str]:
        """Records committed by each lane, over all workers."""
        found: Counter[str] = Counter()
        for port in self._ports:
            for lane, count in _METRIC.findall(_get(port, "/metrics")):
                found[lane] += int(float(count))
        return found

    def _all_active(self) -> bool:
        for worker in self.workers:
            if not worker.alive:
                raise worker.failed("ended while it started")
        owned = []
        for port in self._ports:
            try:
                rows = json.loads(_get(port, "/v1/partitions"))["partitions"]
            except (OSError, ValueError):
                return False
            mine = f"http://127.0.0.1:{port}"
            owned.append(
                sum(1 for row in rows if row["owner"] == mine and row["state"] == "active")
            )
        return sum(owned) == self._seats and all(owned)


@contextmanager
def installed(folder: Path, name: str, webhooks: int, workers: int) -> Iterator[Installation]:
    """A fresh installation, prepared; everything is ended with the context."""
    inside = folder / name
    inside.mkdir()
    with EmbeddedPlatform(inside, say=say) as platform:
        made = Installation(inside, platform, webhooks)
        try:
            made.start_workers(workers)
            made.prepare()
            yield made
            made.stop_workers()
        finally:
            for worker in made.workers:
                worker.kill()


def _get(port: int, path: str) -> str:
    with urllib.request.urlopen(f"http://127.0.0.1:{port}{path}", timeout=10) as answer:  # noqa: S310
        text: str = answer.read().decode()
        return text


def codec_name(contracts: Any) -> str:
    """Which codec the contracts use."""
    return str(getattr(contracts, "codec", "fastavro"))
