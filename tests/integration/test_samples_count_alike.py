"""The public Stripe samples through `journal` and through the running system: one count for both.

Ingress and worker are processes on a broker of their own (topic names are fixed, and this worker
must see no other test's records). At the end every topic of that broker, changelogs included, is
searched for what was personal in a payload.
"""

from __future__ import annotations

import base64
import json
import os
import random
import shutil
import signal
import subprocess
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from confluent_kafka import OFFSET_BEGINNING, Consumer, KafkaError, Producer, TopicPartition

from streamsync.embedded import EmbeddedPlatform
from streamsync.embedded.server import free_port
from tests.ingress_process import STREAMSYNC, IngressProcess, ingress_process
from tests.personal import MARK, payloads
from tests.stripe_payloads import event, invoice

ROOT = Path(__file__).parents[2]
SAMPLES = ROOT.parent / "shared" / "data" / "stripe"
FILES = sorted(str(path) for path in SAMPLES.glob("*.json"))
TENANT = "acme"
# Counted by hand: the figures of tests/contract/test_stripe_samples.py, where
# - posted are the invoice, its payment, the refund, one charge, the two movements of the dispute
#   and the payout;
# - the other telling of the one payment is a duplicate;
# - no entry is also made by the charge of an invoice without its fee, and by the refund told alone;
# - charge.captured and charge.succeeded have one id and two amounts, since the samples' ids are
#   blanked: the second is refused. The dispute without an id is the other refusal.
BY_HAND = {
    "inputs": 88, "posted": 7, "duplicate": 1, "no_entry": 10, "waiting": 0, "unknown": 4,
    "ignored": 64, "rejected": 2,
}  # fmt: skip
RAW_TOPICS = {"billing-webhooks", "dead-letters"}
pytestmark = pytest.mark.skipif(
    not FILES, reason="the recorded samples of Stripe events are not here"
)


def named_customers() -> list[str]:
    """Every account whose facts the samples tell, read off the files."""
    found = set()
    for name in ("invoice.finalized", "invoice.paid", "invoice.payment_succeeded"):
        told = json.loads((SAMPLES / f"{name}.json").read_text())
        found.add(told["data"]["object"]["customer"])
    for name in ("charge.refunded", "charge.updated"):
        charge = json.loads((SAMPLES / f"{name}.json").read_text())["data"]["object"]
        found.add(charge["customer"] or charge["id"])
    return sorted(found)


@pytest.fixture(scope="module")
def company(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Acme's folder, in which the samples' customers are known."""
    folder = tmp_path_factory.mktemp("company") / "acme"
    shutil.copytree(ROOT / "examples" / "acme", folder)
    records = [
        f"  - {{account: {TENANT}/stripe/{name}, party: P-{number}, country: US, version: 1}}"
        for number, name in enumerate(named_customers())
    ]
    (folder / "customers.yaml").write_text("\n".join(["customers:", *records, ""]))
    return folder


@dataclass
class Running:
    """Broker, ingress and one worker, with the samples' customers applied."""

    platform: EmbeddedPlatform
    ingress: IngressProcess
    worker_url: str
    worker_log: Path

    def streamsync(self, *arguments: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [*STREAMSYNC, *arguments],
            env=os.environ | self.ingress.environment,
            capture_output=True, text=True, timeout=60, check=False,
        )  # fmt: skip

    def get(self, path: str) -> Any:
        try:
            with urllib.request.urlopen(self.worker_url + path, timeout=10) as answer:  # noqa: S310
                return json.load(answer)
        except (urllib.error.URLError, OSError):
            return None

    def counts(self, done: Callable[[dict[str, int]], bool]) -> dict[str, int]:
        """The worker's counts as soon as they are as expected, else as they are at the end."""
        end = time.monotonic() + 30
        told: Any = None
        while time.monotonic() < end:
            told = self.get("/v1/counts")
            if told is not None and done(told["counts"]):
                break
            time.sleep(0.2)
        assert told is not None, self.worker_log.read_text()[-4_000:]
        counts: dict[str, int] = told["counts"]
        return counts


@pytest.fixture(scope="module")
def running(company: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Running]:
    folder = tmp_path_factory.mktemp("samples")
    with (
        EmbeddedPlatform(folder / "platform") as platform,
        ingress_process(
            platform.bootstrap_servers, platform.schema_registry_url, TENANT, folder
        ) as ingress,
    ):
        port, log = free_port(), folder / "worker.log"
        command = [*STREAMSYNC, "worker", f"--web-port={port}", "--clock=external"]
        with log.open("wb") as out:
            worker = subprocess.Popen(
                [*command, f"--data-dir={folder / 'worker'}"],
                env=os.environ | ingress.environment, stdout=out, stderr=out,
            )  # fmt: skip
        try:
            system = Running(platform, ingress, f"http://127.0.0.1:{port}", log)
            applied = system.streamsync("apply", str(company), "--yes", "--approved-by", "bo")
            assert applied.returncode == 0, applied.stderr
            yield system
            worker.send_signal(signal.SIGTERM)
            assert worker.wait(30) == 0, log.read_text()[-4_000:]
        finally:
            if worker.poll() is None:
                worker.kill()
                worker.wait()


def offline(company: Path) -> dict[str, int]:
    """What `streamsync journal` counts."""
    run = subprocess.run(
        [*STREAMSYNC, "journal", "--company", str(company), "--format", "jsonl", *FILES],
        capture_output=True, text=True, timeout=60, check=False,
    )  # fmt: skip
    told = [json.loads(line) for line in run.stderr.splitlines()]
    # Something is refused and unknown, so the status is 1, and each is named with its file.
    assert run.returncode == 1
    named = [one for one in told[:-1] if one["class"] in ("waiting", "unknown", "rejected")]
    assert len(named) == 6
    assert all(one["reason"] and SAMPLES.name in one["position"] for one in named)
    counts: dict[str, int] = told[-1]["counts"]
    return counts


def test_journal_and_the_running_system_count_all_samples_alike(
    running: Running, company: Path
) -> None:
    sent = running.streamsync(
        "ingest", *FILES, "--source", "stripe", "--url", running.ingress.url, "--json"
    )
    assert sent.returncode == 0, sent.stderr
    assert json.loads(sent.stdout)["counts"] == {"stored": 88}
    # What waits for a customer may be counted as waiting first.
    online = running.counts(lambda counts: counts == BY_HAND)
    assert online == BY_HAND
    assert offline(company) == BY_HAND
    assert online["inputs"] == sum(count for name, count in online.items() if name != "inputs")


def test_what_is_personal_is_in_no_other_topic_changelog_or_log(
    running: Running, tmp_path: Path
) -> None:
    before = running.counts(lambda _: True)["inputs"]
    events = tmp_path / "events.jsonl"
    told = [json.dumps(payload) for payload in payloads()]
    events.write_text("\n".join(told))
    sent = running.streamsync(
        "ingest", str(events), "--source", "stripe", "--url", running.ingress.url, "--json"
    )
    assert json.loads(sent.stdout)["counts"] == {"stored": len(told)}
    expected = before + len(told)
    after = running.counts(lambda counts: counts["inputs"] >= expected)
    assert after["inputs"] == expected
    everything = read_everything(running.platform.bootstrap_servers)
    # All that the ledger remembers is in its changelog, all that it says in the rest.
    assert {"ledger-log", "exceptions", "billing-webhooks"} < set(everything)
    assert any("changelog" in name for name in everything)
    holding = {name for name, data in everything.items() if MARK.encode() in data}
    assert holding == RAW_TOPICS
    for log in (running.worker_log, running.ingress.log):
        assert MARK not in log.read_text(), log


def test_events_of_900_kb_and_records_without_value_pass_through_the_running_system(
    running: Running, tmp_path: Path
) -> None:
    before = running.counts(lambda _: True)
    noise = base64.b64encode(random.Random(1).randbytes(680_000)).decode()
    told = [
        event(
            "invoice.finalized",
            invoice(id=f"in_{total}", total=total, footer=noise),
            id=f"e{total}",
        )
        for total in (3100, 1)
    ]
    events = tmp_path / "events.jsonl"
    events.write_text("\n".join(json.dumps(one) for one in told))
    assert min(len(line) for line in events.read_text().splitlines()) > 900_000
    sent = running.streamsync(
        "ingest", str(events), "--source", "stripe", "--url", running.ingress.url, "--json"
    )
    assert json.loads(sent.stdout)["counts"] == {"stored": 2}
    broker = running.platform.bootstrap_servers
    producer = Producer({"bootstrap.servers": broker, "log_level": 0})
    producer.produce("billing-webhooks", None, b"acme/stripe/cus_1", partition=0)
    assert producer.flush(30) == 0
    expected = before["inputs"] + 3
    after = running.counts(lambda counts: counts["inputs"] >= expected)
    assert after["inputs"] == expected == sum(n for name, n in after.items() if name != "inputs")
    # One does not add up, one is no record: the first is kept whole, beside its reason.
    assert after["rejected"] == before["rejected"] + 2
    assert noise.encode() in read_everything(broker)["dead-letters"]


def read_everything(broker: str) -> dict[str, bytes]:
    """All keys and values of every topic, one after the other."""
    consumer = Consumer(
        {"bootstrap.servers": broker, "group.id": "all", "enable.partition.eof": True}
    )
    found: dict[str, bytes] = {}
    try:
        places = [
            TopicPartition(name, partition, OFFSET_BEGINNING)
            for name, topic in consumer.list_topics(timeout=10).topics.items()
            for partition in topic.partitions
            if not name.startswith("__")
        ]
        consumer.assign(places)
        left = len(places)
        while left:
            for message in consumer.consume(500, 0.2):
                error = message.error()
                if error is not None:
                    assert error.code() == KafkaError._PARTITION_EOF, error  # noqa: SLF001
                    left -= 1
                    continue
                held = bytes(message.key() or b"") + bytes(message.value() or b"")
                name = message.topic() or ""
                found[name] = found.get(name, b"") + held
    finally:
        consumer.close()
    return found
