"""One run: a company's life through the topology, with everything going wrong, until it is quiet.

Problem: faults must hit work under way, not a system at rest. How: after each arrival a few batches
run, in a random order of lanes, and the ERP reads and answers now and then; faults come in between.
Then they stop, time goes on, and the run goes on until nothing moves.
"""

from __future__ import annotations

import hashlib
import random
from functools import lru_cache
from typing import Any

from streamsync.contracts import ContractError, Contracts
from streamsync.core.records import PeriodStatus, PostingCommand, RawWebhook
from streamsync.engine.driver import Driver
from streamsync.engine.lane import SourceRecord
from streamsync.sources import SOURCES
from tests.simulation import life as lives
from tests.simulation import probe, script
from tests.simulation.erp import Erp
from tests.simulation.faults import Faults
from tests.simulation.options import Options
from topology import build, ledger, topics
from topology.rows import POSTING, POSTING_DOCUMENT, PostingRow, row_key

_BATCHES_MAX = 20_000


class Restless(AssertionError):
    """The run does not come to rest after the faults stopped."""


@lru_cache(maxsize=2)
def contracts(*, portable: bool) -> Contracts:
    """The codec, once per process."""
    return Contracts.in_memory("fastavro" if portable else "auto")


class World:
    """Driver, ERP and faults of one run."""

    def __init__(self, options: Options) -> None:
        self.options = options
        self.contracts = contracts(portable=options.portable)
        rng = random.Random(f"{options.seed}/script")
        self.life = lives.live(rng, options.company, options.accounts)
        self.script = script.write(rng, options, self.life)
        topology = build(
            self.contracts, tenant="acme", partitions=options.partitions, app_id="campaign"
        )
        self.driver = Driver(
            probe.with_probe(topology, options.partitions),
            seed=options.seed,
            redeliver=options.redeliver,
            batch_max=options.batch_max,
            workers=options.workers,
        )
        self.fed: dict[str, list[SourceRecord]] = {}
        """What came from outside, the ERP's confirmations included."""
        self.erp = Erp(options, self.driver, self.contracts, self.fed)
        self.faults = Faults(options, self.driver, len(self.script.arrivals))

    def play(self) -> None:
        """Until nothing moves."""
        rng = random.Random(f"{self.options.seed}/order")
        for number, arrival in enumerate(self.script.arrivals):
            self.faults.arrive(number)
            self._feed(arrival)
            for _ in range(rng.randint(0, self.options.steps_max)):
                self.faults.step()
            if rng.random() < 0.5:
                self.erp.turn()
        while self.faults.step():
            pass
        self.faults.stop()
        self.erp.stop_faults()
        self._settle()
        for arrivals in self.script.last:
            for arrival in arrivals:
                self._feed(arrival)
            self._settle()

    def posting(self, command: PostingCommand) -> PostingRow | None:
        """The books' row of a command's key."""
        account = command.account
        shard = self.driver.shard_of(ledger.LANE, account.encode())
        document = shard.get(POSTING_DOCUMENT, row_key(account, command.idempotency_key))
        if document is None:
            return None
        return shard.get(POSTING, row_key(account, document, command.idempotency_key))

    def read(self, topic: str) -> list[Any]:
        """All readable records of a topic."""
        found = self.driver.outputs(topic) if topic in self.driver.topics() else []
        return [self.contracts.decode(record.value) for record in found if record.value]

    def decode(self, record: SourceRecord) -> Any:
        """A record's value; nothing for one that can't be read."""
        try:
            return None if record.value is None else self.contracts.decode(record.value)
        except ContractError:
            return None

    def closed_at(self) -> list[int]:
        """Where in each partition's log the period was closed."""
        return [
            next(
                record.offset
                for record in self.driver.outputs(topics.LEDGER_LOG, partition)
                if isinstance(self.decode(record), PeriodStatus)
            )
            for partition in range(self.options.partitions)
        ]

    @property
    def disturbed(self) -> bool:
        """Whether anything happened that may repeat loop-backs."""
        return bool(self.faults.happened)

    def commands(self) -> list[PostingCommand]:
        """Every visible command."""
        return [
            command
            for name in self.driver.topics()
            if name.startswith(topics.POSTING_COMMANDS_PREFIX)
            for command in self.read(name)
        ]

    def _settle(self) -> None:
        for _ in range(_BATCHES_MAX):
            moved = self.driver.run(_BATCHES_MAX)
            if self.erp.busy():
                self.erp.turn()
            elif not moved and not self.erp.answer_silent(self._is_blocked):
                return
        raise Restless(f"Still moving after {_BATCHES_MAX} rounds without faults.")

    def _is_blocked(self, command: PostingCommand) -> bool:
        row = self.posting(command)
        return row is not None and row.in_flight is not None and row.blocked

    def _feed(self, arrival: script.Arrival) -> None:
        key, value = arrival.key, arrival.record
        if isinstance(value, script.Raw):
            value = value.value
        elif arrival.topic == topics.BILLING_WEBHOOKS:
            hint = SOURCES["stripe"].account_hint(value)
            raw = _raw(value)
            key, value = (hint or raw.content_hash).encode(), self.contracts.encode(raw)
        elif not isinstance(value, bytes):
            value = self.contracts.encode(value)
        record = self.driver.produce(arrival.topic, key, value)
        self.fed.setdefault(arrival.topic, []).append(record)


def _raw(body: bytes) -> RawWebhook:
    return RawWebhook(
        tenant="acme",
        source="stripe",
        source_kind="stripe",
        body=body,
        content_type="application/json",
        content_hash=hashlib.sha256(body).hexdigest(),
        received_at_ms=0,
    )
