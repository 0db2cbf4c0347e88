"""Play the days: deliver, wait until nothing but injected faults is in flight, move the clock.

Problem: a simulated month lasts seconds, and a clock that runs ahead of the postings would invent
late answers and hide real ones. How: per day, customers first, then the webhooks, one at a time in
each partition so that positions are the same in every run; then the player asks the worker and the
ERP until every webhook is counted and every posting still in flight is one that the ERP keeps back
on purpose. Only then comes the tick, and when all books have reached it, the ERP's clock.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass

from streamsync.core.records import Customer
from streamsync.demo.kafka import Kafka
from streamsync.demo.live import Erp, Json, NotYet, Views
from streamsync.demo.options import DemoError
from streamsync.demo.progress import Progress
from streamsync.demo.scenario import Day, Scenario
from streamsync.engine.partitioner import account_partition
from streamsync.sources import SOURCES, account_key, kind_of
from streamsync.sources.delivery import Delivery

STRIPE = "stripe"
SOURCE_NAMES = {STRIPE: STRIPE, "canonical": "own"}
"""Kind of source to the name under which the demo's ingress takes it."""

_ASK_SECONDS = 0.05
# A worker that was killed is missed by its group after ten seconds, and then recovers.
_STALLED_SECONDS = 120


@dataclass(frozen=True, slots=True)
class Installation:
    """What the player talks to."""

    tenant: str
    entities: tuple[str, ...]
    partitions: int
    views: Views
    erp: Erp
    kafka: Kafka
    # By the kind of source that a body is of.
    deliveries: Mapping[str, Delivery]


class Player:
    """Plays one scenario against one installation."""

    def __init__(self, installation: Installation, scenario: Scenario, progress: Progress) -> None:
        self._at = installation
        self._scenario = scenario
        self._progress = progress
        self._tick = -1
        self._waits_for = ""
        self.accepted = 0
        self.repeated = 0

    async def play(self) -> None:
        """All days, and a last tick of the same time that closes the books."""
        start_ms = self._scenario.starts_ms
        await self._ask(lambda: self._at.erp.set_clock(start_ms))
        await self._until(self._rules_in_force)
        await self._move_clock(start_ms)
        for day in self._scenario.days:
            await self._play_day(day)
        # Answers that came after the last tick belong in the books too.
        await self._until(self._settled)
        await self._write_tick(self._scenario.days[-1].ends_ms)

    async def _play_day(self, day: Day) -> None:
        self._progress.day(day.over)
        if day.customers:
            await asyncio.to_thread(self._at.kafka.customers, day.customers)
            await self._until(lambda: self._customers_known(day.customers))
        await self._deliver(day.bodies)
        await self._until(self._settled)
        await self._move_clock(day.ends_ms)

    # Delivering.

    async def _deliver(self, bodies: Sequence[bytes]) -> None:
        queues: dict[int, list[bytes]] = {}
        for body in bodies:
            queues.setdefault(self._partition(body), []).append(body)
        async with asyncio.TaskGroup() as group:
            for queue in queues.values():
                group.create_task(self._deliver_in_order(queue))

    async def _deliver_in_order(self, bodies: Sequence[bytes]) -> None:
        for body in bodies:
            told = await self._at.deliveries[kind_of(body, STRIPE)].send(body)
            if not told.stored:
                raise DemoError(f"The ingress refused a webhook: {told.reason}. {told.what_to_do}")
            self.accepted += 1
            self.repeated += told.attempts - 1
            self._progress.accepted(self.accepted)

    def _partition(self, body: bytes) -> int:
        kind = kind_of(body, STRIPE)
        envelope = SOURCES[kind].envelope(body)
        named = envelope.account or envelope.event_id or ""
        key = account_key(self._at.tenant, SOURCE_NAMES[kind], named)
        return account_partition(key.encode(), self._at.partitions)

    # The clock.

    async def _move_clock(self, time_ms: int) -> None:
        await self._write_tick(time_ms)
        # The books have reached the tick, so a deadline that it passed is noted before the ERP
        # answers late.
        if await self._ask(lambda: self._at.erp.set_clock(time_ms)):
            await self._until(self._settled)

    async def _write_tick(self, time_ms: int) -> None:
        self._tick += 1
        await asyncio.to_thread(self._at.kafka.tick, self._tick, time_ms)
        await self._until(self._books_at_tick)

    # What is waited for. Each answers what is missing, or nothing.

    async def _rules_in_force(self) -> str | None:
        rules = (await self._at.views.counts())["rules"]
        known = sum(1 for one in rules if self._at.tenant in one)
        return None if known == self._at.partitions else "rules in every partition"

    async def _customers_known(self, customers: Sequence[Customer]) -> str | None:
        # A partition keeps the order: its last record tells for those before it.
        last: dict[int, Customer] = {}
        for customer in customers:
            last[account_partition(customer.account.encode(), self._at.partitions)] = customer
        for customer in last.values():
            account = await self._at.views.account(customer.account)
            known = (account or {}).get("customer")
            if known is None or known["version"] < customer.version:
                return f"customer {customer.account}"
        return None

    async def _books_at_tick(self) -> str | None:
        for entity in self._at.entities:
            book = await self._at.views.totals(self._at.tenant, entity)
            if book is None or book["tick_number"] < self._tick:
                return f"the book of {entity} at tick {self._tick}"
        return None

    async def _settled(self) -> str | None:
        before = _unanswered(await self._at.erp.manifest())
        counts = await self._at.views.counts()
        inputs = int(counts["counts"]["inputs"])
        self._progress.counted(inputs, int(counts["in_flight"]))
        if inputs < self.accepted:
            return f"{self.accepted - inputs} webhooks to be counted"
        if await self._at.erp.due_unanswered():
            return "an answer that is due"
        if counts["in_flight"] != len(before):
            return f"{counts['in_flight']} postings in flight, {len(before)} of them kept back"
        # The same before and after: none was answered while the worker was asked.
        if before != _unanswered(await self._at.erp.manifest()):
            return "the ERP to be quiet"
        return None

    async def _until(self, missing: Callable[[], Awaitable[str | None]]) -> None:
        end = time.monotonic() + _STALLED_SECONDS
        while True:
            try:
                waits_for = await missing()
            except NotYet as why:
                waits_for = str(why)
            if waits_for is None:
                return
            if waits_for != self._waits_for:
                self._waits_for = waits_for
                end = time.monotonic() + _STALLED_SECONDS
            elif time.monotonic() > end:
                raise DemoError(
                    f"Nothing moves for {_STALLED_SECONDS} s; the demo waits for {waits_for}."
                )
            await asyncio.sleep(_ASK_SECONDS)

    async def _ask(self, question: Callable[[], Awaitable[int]]) -> int:
        end = time.monotonic() + _STALLED_SECONDS
        while True:
            try:
                return await question()
            except NotYet as why:
                if time.monotonic() > end:
                    raise DemoError(f"The demo can't go on: {why}.") from why
                await asyncio.sleep(_ASK_SECONDS)


def _unanswered(manifest: Sequence[Json]) -> set[str]:
    """Postings that the ERP keeps back."""
    return {
        f"{row['idempotency_key']}/{row['revision']}"
        for row in manifest
        if row["kind"] == "late" and row["answered_at_ms"] is None
    }
