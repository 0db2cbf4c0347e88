"""The lane looks up before it sends again, keeps order, and confirms what the ERP holds."""

from __future__ import annotations

import dataclasses
import itertools
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

import pytest
from msgspec.structs import replace

from streamsync.contracts import Contracts
from streamsync.core.records import EchoLine, PostingCommand, PostingConfirmation
from streamsync.erp.budget import Budget, read_windows
from streamsync.erp.lane import EntityLane, LaneParts
from streamsync.erp.outbox import Outbox, Position
from streamsync.erp.protocol import (
    Duplicate,
    ErpDocument,
    LookUpOutcome,
    NotFound,
    Parked,
    PeriodOutcome,
    Posted,
    PostOutcome,
    Rejected,
    Unavailable,
    Unknown,
)
from tests.erp_commands import make_command

START_MS = 1_773_532_800_000  # a Sunday, 00:00 UTC


def document(command: PostingCommand, **changes: Any) -> ErpDocument:
    usual = ErpDocument(
        id="1",
        number=f"no-{command.erp_key}",
        fiscal_year="2026",
        period=command.period,
        posting_date=command.posting_date,
        currency=command.txn_currency,
        lines=tuple(
            EchoLine(no=x.no, account=x.account, side=x.side, amount_minor=x.amount_minor)
            for x in command.lines
        ),
        totals=command.totals,
        posted_at_ms=START_MS,
        idempotency_key=command.idempotency_key,
        revision=command.revision,
    )
    return dataclasses.replace(usual, **changes)


class ScriptedErp:
    """Answers a post and a look-up with the next outcome of the key's script."""

    not_found_conclusive_after_ms = 0

    def __init__(self) -> None:
        self.scripts: dict[str, list[PostOutcome | LookUpOutcome]] = {}
        self.asked: list[str] = []

    def _next(self, request: str, key: str) -> Any:
        self.asked.append(f"{request} {key}")
        return self.scripts[key].pop(0)

    async def post_batch(self, commands: Sequence[PostingCommand]) -> Sequence[PostOutcome]:
        return [self._next("post", command.erp_key) for command in commands]

    async def look_up(self, entity: str, erp_key: str) -> LookUpOutcome:
        outcome: LookUpOutcome = self._next("look_up", erp_key)
        return outcome

    async def set_period(
        self, entity: str, period: str, status: Literal["open", "closed"]
    ) -> PeriodOutcome:
        raise AssertionError("the lane closes no period")

    async def close(self) -> None:
        pass


class NoCounts:
    def outcome(self, entity: str, request: str, outcome: str) -> None:
        pass


@dataclass
class World:
    """A lane, its ERP and a clock that only moves when told."""

    outbox: Outbox
    erp: ScriptedErp = field(default_factory=ScriptedErp)
    contracts: Contracts = field(default_factory=Contracts.in_memory)
    now_ms: int = START_MS
    offsets: Any = field(default_factory=itertools.count)

    def lane(self, **budget: Any) -> EntityLane:
        parts = LaneParts(
            erp="sim",
            client=self.erp,
            outbox=self.outbox,
            codec=self.contracts,
            counts=NoCounts(),
            confirmations_topic="posting-confirmations",
            wall_ms=lambda: self.now_ms,
            seconds=lambda: self.now_ms / 1000,
            wake_publisher=lambda: None,
        )
        return EntityLane("acme-us", parts, Budget(**budget))

    def receive(
        self, key: str, *script: PostOutcome | LookUpOutcome, **changes: Any
    ) -> PostingCommand:
        command = make_command(key, **changes)
        self.erp.scripts[key] = list(script)
        at = Position("commands", 0, next(self.offsets))
        with self.outbox.transaction():
            self.outbox.receive(command, self.contracts.encode(command), at, False)
        return command

    async def run(self, lane: EntityLane, turns: int = 20, step_ms: int = 10_000) -> None:
        for _ in range(turns):
            await lane.turn()
            self.now_ms += step_ms

    def confirmations(self) -> list[PostingConfirmation]:
        return [self.contracts.decode(told.value) for told in self.outbox.undelivered(100)]

    def told(self) -> list[str]:
        return [told.status for told in self.confirmations()]


@pytest.fixture
def world(tmp_path: Path) -> World:
    return World(Outbox(tmp_path / "outbox.sqlite"))


BUSY = Unavailable("UNAVAILABLE", "busy")


async def test_a_posting_is_confirmed_with_what_the_erp_holds(world: World) -> None:
    command = world.receive("a")
    altered = replace(command.totals, debit_minor=99, credit_minor=99)
    world.erp.scripts["a"] = [Posted(document(command, totals=altered))]
    await world.run(world.lane())
    (told,) = world.confirmations()
    assert (told.status, told.account, told.command_id) == (
        "posted",
        command.account,
        command.command_id,
    )
    assert (told.totals, told.erp_document_number) == (altered, "no-a")
    assert (told.attempt, told.found_by_lookup) == (1, False)
    (message,) = world.outbox.undelivered(1)
    assert message.key == command.account.encode()


async def test_an_unknown_outcome_is_looked_up_and_not_sent_again(world: World) -> None:
    command = world.receive("a", Unknown("cut"))
    world.erp.scripts["a"].append(Posted(document(command)))
    await world.run(world.lane())
    assert world.erp.asked == ["post a", "look_up a"]
    (told,) = world.confirmations()
    assert (told.status, told.found_by_lookup) == ("posted", True)


async def test_what_a_look_up_does_not_find_is_sent_again(world: World) -> None:
    command = world.receive("a", Unknown("cut"), NotFound())
    world.erp.scripts["a"].append(Posted(document(command)))
    await world.run(world.lane())
    assert world.erp.asked == ["post a", "look_up a", "post a"]
    (told,) = world.confirmations()
    assert (told.attempt, told.found_by_lookup) == (2, False)


async def test_not_found_proves_nothing_before_the_longest_request_time(world: World) -> None:
    world.erp.not_found_conclusive_after_ms = 60_000
    command = world.receive("a", Unknown("cut"), *[NotFound()] * 9)
    world.erp.scripts["a"][-1] = Posted(document(command))
    lane = world.lane(longest_wait_ms=1)
    await world.run(lane, turns=6, step_ms=9_000)
    assert set(world.erp.asked[1:]) == {"look_up a"}
    await world.run(lane, turns=3)
    assert world.erp.asked.count("post a") == 2


async def test_look_ups_of_a_silent_erp_come_less_and_less_often(world: World) -> None:
    world.receive("a", Unknown("cut"), *[BUSY] * 100)
    lane = world.lane(first_wait_ms=1_000, longest_wait_ms=8_000)
    at = []
    for _ in range(60):
        before = len(world.erp.asked)
        await lane.turn()
        if len(world.erp.asked) > before:
            at.append((world.now_ms - START_MS) // 1000)
        world.now_ms += 1_000
    waits = [later - earlier for earlier, later in itertools.pairwise(at)]
    assert waits[1:] == sorted(waits[1:])
    assert waits[-1] == 8


async def test_a_busy_erp_pauses_everything_and_order_is_kept(world: World) -> None:
    for key in "ab":
        command = world.receive(key, BUSY)
        world.erp.scripts[key].append(Posted(document(command)))
    late = world.receive("c")
    world.erp.scripts["c"] = [Posted(document(late))]
    lane = world.lane(batch_size=2)
    await lane.turn()
    assert lane.paused == "UNAVAILABLE: busy"
    await lane.turn()
    assert world.erp.asked == ["post a", "post b"]
    await world.run(lane)
    assert world.erp.asked == ["post a", "post b", "post a", "post b", "post c"]
    assert lane.paused is None


async def test_the_pause_is_as_long_as_the_erp_asks_for(world: World) -> None:
    command = world.receive("a", Unavailable("RATE_LIMITED", "slow down", 60_000))
    world.erp.scripts["a"].append(Posted(document(command)))
    lane = world.lane()
    await world.run(lane, turns=6, step_ms=9_999)
    assert len(world.erp.asked) == 1
    await world.run(lane, turns=2)
    assert len(world.erp.asked) == 2


async def test_half_a_batch_is_half_known(world: World) -> None:
    good = world.receive("a")
    world.erp.scripts["a"] = [Posted(document(good))]
    world.receive("b", Rejected("ACCOUNT_INVALID", "ACCOUNT_BLOCKED", "account is blocked"))
    lost = world.receive("c", Unknown("cut"))
    world.erp.scripts["c"].append(Posted(document(lost)))
    await world.run(world.lane())
    assert world.told() == ["posted", "rejected", "posted"]
    error = world.confirmations()[1].error
    assert error is not None
    assert (error.canonical_code, error.native_code, error.retryable) == (
        "ACCOUNT_INVALID",
        "ACCOUNT_BLOCKED",
        False,
    )


async def test_a_parked_document_is_told_once_and_asked_for_until_booked(world: World) -> None:
    command = world.receive("a", *[Parked()] * 5)
    world.erp.scripts["a"].append(Posted(document(command)))
    await world.run(world.lane())
    assert world.erp.asked == ["post a", *["look_up a"] * 5]
    assert world.told() == ["parked", "posted"]
    assert not world.confirmations()[1].found_by_lookup


async def test_the_next_revision_waits_while_the_one_before_is_parked(world: World) -> None:
    first = world.receive("a1", *[Parked()] * 3, idempotency_key="same", revision=1)
    world.erp.scripts["a1"].append(Posted(document(first)))
    second = world.receive("a2", idempotency_key="same", revision=2)
    world.erp.scripts["a2"] = [Posted(document(second))]
    await world.run(world.lane())
    assert world.erp.asked == ["post a1", *["look_up a1"] * 3, "post a2"]


async def test_a_duplicate_of_our_own_document_is_posted(world: World) -> None:
    command = world.receive("a")
    world.erp.scripts["a"] = [Duplicate(document(command))]
    await world.run(world.lane())
    (told,) = world.confirmations()
    assert (told.status, told.found_by_lookup) == ("posted", True)


async def test_a_key_held_by_another_posting_is_a_duplicate(world: World) -> None:
    command = world.receive("a")
    world.erp.scripts["a"] = [Duplicate(document(command, idempotency_key="another"))]
    await world.run(world.lane())
    assert world.told() == ["duplicate"]


async def test_a_blackout_only_collects(world: World) -> None:
    command = world.receive("a")
    world.erp.scripts["a"] = [Posted(document(command))]
    lane = world.lane(blackout=read_windows(["sun 00:00-01:00"]))
    await world.run(lane, turns=6, step_ms=590_000)
    assert (world.erp.asked, lane.paused) == ([], "blackout window")
    await world.run(lane, turns=2, step_ms=60_000)
    assert world.told() == ["posted"]


async def test_the_same_news_has_the_same_id_and_other_news_another(tmp_path: Path) -> None:
    ids: set[str] = set()
    for name in ("one", "two"):
        other = World(Outbox(tmp_path / f"{name}.sqlite"))
        other.now_ms += len(ids)
        command = other.receive("a", Parked())
        other.erp.scripts["a"].append(Posted(document(command)))
        await other.run(other.lane())
        ids |= {told.confirmation_id for told in other.confirmations()}
    assert len(ids) == 2


async def test_a_passed_deadline_is_delivered_all_the_same(world: World) -> None:
    command = world.receive("a", deadline_at_ms=1)
    world.erp.scripts["a"] = [Posted(document(command))]
    await world.run(world.lane())
    assert world.told() == ["posted"]
