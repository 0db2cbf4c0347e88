"""Whatever dies between two writes of the adapter: one document per key, one final word each.

The ERP is the simulated one's real ledger, with lost answers, refusals and late bookings. The
process dies at every point in turn: before and after each write to the outbox, each request to the
ERP and each delivery to Kafka.
"""

from __future__ import annotations

import asyncio
import sqlite3
from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

from streamsync.contracts import Contracts
from streamsync.core.records import PostingCommand
from streamsync.erp.budget import Budget
from streamsync.erp.lane import EntityLane, LaneParts
from streamsync.erp.outbox import Outbox, Outgoing, Position
from streamsync.erp.protocol import (
    LookUpOutcome,
    NotFound,
    Parked,
    PeriodOutcome,
    Posted,
    PostOutcome,
    Unknown,
)
from streamsync.erp.simulated.document import Chart
from streamsync.erp.simulated.faults import read_faults
from streamsync.erp.simulated.ledger import Ledger
from streamsync.erp.simulated_client import document_of, outcome_of
from tests.erp_commands import CREATED_AT_MS, DAY_MS, make_command
from tests.erp_processes import CHART

COMMANDS = 12
FAULTS = read_faults("no_answer=2500,reject=1500,late=2000", 4)


class Crash(Exception):
    """The process is gone."""


@dataclass
class Bomb:
    """Goes off at the given point."""

    at: int
    passed: int = 0

    def point(self) -> None:
        self.passed += 1
        if self.passed == self.at:
            raise Crash


class CrashingOutbox(Outbox):
    """Dies before or after a commit."""

    bomb: Bomb

    @contextmanager
    def transaction(self) -> Iterator[None]:
        self.bomb.point()
        with super().transaction():
            yield
        self.bomb.point()


class LedgerClient:
    """The simulated ERP's ledger without HTTP; what is cut there is unknown here."""

    not_found_conclusive_after_ms = 0

    def __init__(self, ledger: Ledger, bomb: Bomb) -> None:
        self._ledger = ledger
        self._bomb = bomb

    async def post_batch(self, commands: Sequence[PostingCommand]) -> Sequence[PostOutcome]:
        self._bomb.point()
        outcomes: list[PostOutcome] = []
        for command in commands:
            answer = self._ledger.post(document_of(command))
            if answer.cut:
                break
            outcomes.append(outcome_of(answer.as_json()))
        self._bomb.point()
        return outcomes + [Unknown("cut")] * (len(commands) - len(outcomes))

    async def look_up(self, entity: str, erp_key: str) -> LookUpOutcome:
        answer = self._ledger.look_up(entity, erp_key)
        self._bomb.point()
        if answer.outcome == "not_found":
            return NotFound()
        outcome = outcome_of(answer.as_json())
        assert isinstance(outcome, Posted | Parked)
        return outcome

    async def set_period(
        self, entity: str, period: str, status: Literal["open", "closed"]
    ) -> PeriodOutcome:
        raise AssertionError("no period is closed here")

    async def close(self) -> None:
        pass


class NoCounts:
    def outcome(self, entity: str, request: str, outcome: str) -> None:
        pass


@dataclass
class World:
    """Kafka as two lists, the outbox file, the ERP; survives the process."""

    folder: Path
    contracts: Contracts
    commands: list[bytes]
    told: list[Outgoing] = field(default_factory=list)
    now_ms: int = CREATED_AT_MS

    def start(self, bomb: Bomb) -> tuple[CrashingOutbox, EntityLane, Ledger]:
        outbox = CrashingOutbox(self.folder / "outbox.sqlite")
        outbox.bomb = bomb
        outbox.resume()
        ledger = Ledger(self.folder / "ledger.sqlite", FAULTS, lambda: self.now_ms)
        ledger.load_chart(Chart.model_validate(CHART))
        parts = LaneParts(
            erp="sim",
            client=LedgerClient(ledger, bomb),
            outbox=outbox,
            codec=self.contracts,
            counts=NoCounts(),
            confirmations_topic="posting-confirmations",
            wall_ms=lambda: self.now_ms,
            seconds=lambda: self.now_ms / 1000,
            wake_publisher=lambda: None,
        )
        return outbox, EntityLane("acme-us", parts, Budget(batch_size=4)), ledger

    async def live(self, bomb: Bomb, rounds: int = 60) -> None:
        """One life of the process: take in, send, deliver, until nothing moves or it dies."""
        self.now_ms += 10 * DAY_MS
        outbox, lane, ledger = self.start(bomb)
        try:
            for _ in range(rounds):
                self._take_in(outbox)
                await lane.turn()
                self._deliver(outbox, bomb)
                self.now_ms += 10 * DAY_MS
        finally:
            outbox.close()
            ledger.close()

    def _take_in(self, outbox: CrashingOutbox) -> None:
        begin = outbox.positions("commands").get(0, 0)
        for offset in range(begin, min(begin + 5, len(self.commands))):
            with outbox.transaction():
                if not outbox.positions("commands"):
                    outbox.begin("commands", 0, 0, 0)
                value = self.commands[offset]
                at = Position("commands", 0, offset)
                outbox.receive(self.contracts.decode(value), value, at, False)
                outbox.advance("commands", 0, offset + 1)

    def _deliver(self, outbox: CrashingOutbox, bomb: Bomb) -> None:
        messages = outbox.undelivered(3)
        for message in messages:
            bomb.point()
            self.told.append(message)
        if messages:
            bomb.point()
            outbox.mark_delivered(messages)


def world_in(folder: Path, contracts: Contracts) -> World:
    folder.mkdir()
    commands = [
        make_command(f"key-{number}", 1_000 + number, idempotency_key=f"id-{number // 2}")
        for number in range(COMMANDS)
    ]
    # Two revisions of each idempotency key, one behind the other.
    values = [
        contracts.encode(_revision(command, 1 + number % 2))
        for number, command in enumerate(commands)
    ]
    return World(folder, contracts, values)


def _revision(command: PostingCommand, revision: int) -> PostingCommand:
    return make_command(
        command.erp_key,
        command.totals.debit_minor,
        idempotency_key=command.idempotency_key,
        revision=revision,
    )


def check(world: World) -> None:
    with sqlite3.connect(world.folder / "ledger.sqlite") as db:
        booked = Counter(row[0] for row in db.execute("SELECT external_key FROM entries"))
        order = [tuple(row) for row in db.execute("SELECT idempotency_key, revision FROM entries")]
    keys = [f"key-{number}" for number in range(COMMANDS)]
    assert booked == Counter(key for key in keys if FAULTS.of(key) != "reject")
    for key in {key for key, _ in order}:
        revisions = [revision for owner, revision in order if owner == key]
        assert revisions == sorted(revisions), "revisions in their order"
    by_id: dict[str, set[bytes]] = {}
    for message in world.told:
        by_id.setdefault(message.id, set()).add(message.value)
    assert all(len(values) == 1 for values in by_id.values()), "a repeat says the same"
    finals: Counter[tuple[Any, ...]] = Counter()
    for (value,) in by_id.values():
        told = world.contracts.decode(value)
        if told.status != "parked":
            finals[told.idempotency_key, told.revision, told.status] += 1
    assert finals == Counter(
        (f"id-{number // 2}", 1 + number % 2, _final(f"key-{number}")) for number in range(COMMANDS)
    )


def _final(key: str) -> str:
    return "rejected" if FAULTS.of(key) == "reject" else "posted"


def test_the_keys_of_this_test_meet_every_fault() -> None:
    met = {FAULTS.of(f"key-{number}") for number in range(COMMANDS)}
    assert met == {None, "no_answer", "reject", "late"}


async def _dies(world: World, at: int) -> bool:
    try:
        await world.live(Bomb(at))
    except Crash:
        return True
    return False


async def test_a_crash_at_every_point_loses_nothing_and_posts_nothing_twice(
    tmp_path: Path,
) -> None:
    contracts = Contracts.in_memory()
    points = 0
    while True:
        points += 1
        world = world_in(tmp_path / f"point-{points}", contracts)
        died = await _dies(world, points)
        await world.live(Bomb(0))
        await asyncio.to_thread(check, world)
        if not died:
            break
    assert points > 100


async def test_a_crash_every_few_steps_still_ends(tmp_path: Path) -> None:
    world = world_in(tmp_path / "often", Contracts.in_memory())
    crashes = 0
    while await _dies(world, 11):
        crashes += 1
        assert crashes < 300
    check(world)
    assert crashes > 5
