"""One entity's way into its ERP: look up, send, look up before sending again.

Problem: the order of an entity's postings must survive a slow, busy or broken ERP, and nothing may
be booked twice. How: each turn first asks for what is unknown or parked, then sends the oldest
commands that may go. An unavailable ERP pauses the whole lane, so nothing overtakes; every change
is on disk (`outbox`) before and after the request.
"""

from __future__ import annotations

import asyncio
import datetime as dt
import logging
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

from streamsync.core.records import PostingCommand, PostingConfirmation
from streamsync.erp.budget import Budget, Rate, backoff_ms
from streamsync.erp.confirmation import of_document, without_document
from streamsync.erp.outbox import Outbox, Outgoing, Row
from streamsync.erp.protocol import (
    Duplicate,
    ErpClient,
    ErpDocument,
    LookUpOutcome,
    NotFound,
    Parked,
    Posted,
    PostOutcome,
    Rejected,
    Unavailable,
    Unknown,
)

log = logging.getLogger(__name__)
_IDLE_SECONDS = 0.5
_RETRY_AFTER_MS_MAX = 300_000


class Codec(Protocol):
    """Records to wire bytes and back."""

    def encode(self, record: Any) -> bytes: ...
    def decode(self, data: bytes) -> Any: ...


class Counts(Protocol):
    """Where the lane reports what happened, for metrics."""

    def outcome(self, entity: str, request: str, outcome: str) -> None: ...


@dataclass(frozen=True, slots=True, kw_only=True)
class LaneParts:
    """What all lanes of a process share."""

    erp: str
    client: ErpClient
    outbox: Outbox
    codec: Codec
    counts: Counts
    confirmations_topic: str
    wall_ms: Callable[[], int]
    seconds: Callable[[], float]
    # Called when there is something to deliver.
    wake_publisher: Callable[[], None]


class EntityLane:
    """The lane of one entity; `work` is run by as many tasks as the budget's concurrency."""

    def __init__(self, entity: str, parts: LaneParts, budget: Budget) -> None:
        self.entity = entity
        self.paused: str | None = None
        self._parts = parts
        self._budget = budget
        self._rate = Rate(budget.requests_per_second, parts.seconds)
        self._failures = 0
        self._paused_until = parts.seconds()
        self._asking: set[int] = set()
        self._woken = asyncio.Event()

    def wake(self) -> None:
        """There is something new to send."""
        self._woken.set()

    async def work(self, stop: asyncio.Event) -> None:
        """Take turns until stopped."""
        while not stop.is_set():
            if not await self.turn():
                self._woken.clear()
                try:
                    await asyncio.wait_for(self._woken.wait(), self._idle_seconds())
                except TimeoutError:
                    continue

    def _idle_seconds(self) -> float:
        wait = self._paused_until - self._parts.seconds()
        if wait > 0:
            return min(_IDLE_SECONDS, wait)
        # A parked document may be asked for more often than the lane idles.
        return min(_IDLE_SECONDS, self._budget.parked_poll_ms / 1000)

    async def turn(self) -> bool:
        """One round of look-ups and one batch; whether anything was asked of the ERP."""
        if self._only_collecting():
            return False
        asked = await self._look_up_due()
        if self._only_collecting():
            return asked
        rows = self._parts.outbox.sendable(self.entity, self._budget.batch_size)
        if rows:
            await self._send(rows)
        return asked or bool(rows)

    def _only_collecting(self) -> bool:
        moment = dt.datetime.fromtimestamp(self._parts.wall_ms() // 1000, dt.UTC)
        if any(window.covers(moment) for window in self._budget.blackout):
            self.paused = "blackout window"
            return True
        if self._parts.seconds() < self._paused_until:
            return True
        self.paused = None
        return False

    # Look-ups.

    async def _look_up_due(self) -> bool:
        outbox = self._parts.outbox
        due = outbox.to_look_up(self.entity, self._parts.wall_ms(), self._budget.batch_size)
        rows = [row for row in due if row.seq not in self._asking]
        self._asking.update(row.seq for row in rows)
        try:
            for row in rows:
                if not await self._look_up(row):
                    break
        finally:
            self._asking.difference_update(row.seq for row in rows)
        return bool(rows)

    async def _look_up(self, row: Row) -> bool:
        """Ask for one command; false when the ERP can't be asked."""
        await self._rate.take(1)
        outcome = await self._parts.client.look_up(self.entity, row.erp_key)
        self._count("look_up", outcome)
        with self._parts.outbox.transaction():
            self._found(row, outcome)
        self._parts.wake_publisher()
        if isinstance(outcome, Unavailable):
            self._pause(outcome)
            return False
        self._failures = 0
        return True

    def _wait_ms(self, row: Row) -> int:
        if row.state == "parked":
            return self._budget.parked_poll_ms
        return backoff_ms(
            row.looked_up + 1, self._budget.first_wait_ms, self._budget.longest_wait_ms
        )

    def _found(self, row: Row, outcome: LookUpOutcome) -> None:
        match outcome:
            case Posted(document):
                # What was parked was answered; only a lost answer was found by looking.
                self._booked(row, document, found_by_lookup=row.state == "unknown")
            case Parked():
                self._parked(row)
            case NotFound():
                sent_ago_ms = self._parts.wall_ms() - row.sent_at_ms
                if sent_ago_ms >= self._parts.client.not_found_conclusive_after_ms:
                    self._parts.outbox.take_back(row.seq)
                else:
                    self._ask_later(row)
            case Unavailable():
                self._ask_later(row)

    def _ask_later(self, row: Row) -> None:
        next_try_ms = self._parts.wall_ms() + self._wait_ms(row)
        self._parts.outbox.ask_later(row.seq, row.state, next_try_ms)

    # Sending.

    async def _send(self, rows: Sequence[Row]) -> None:
        outbox = self._parts.outbox
        rows = outbox.mark_sent(rows, self._parts.wall_ms())
        await self._rate.take(len(rows))
        outcomes = await self._parts.client.post_batch([self._command(row) for row in rows])
        self._warn(outcomes)
        unavailable = None
        with outbox.transaction():
            for row, outcome in zip(rows, outcomes, strict=True):
                self._count("post", outcome)
                self._answered(row, outcome)
                if isinstance(outcome, Unavailable):
                    unavailable = outcome
        if unavailable is None:
            self._failures = 0
        else:
            self._pause(unavailable)
        self._parts.wake_publisher()

    def _warn(self, outcomes: Sequence[PostOutcome]) -> None:
        reasons = [outcome.reason for outcome in outcomes if isinstance(outcome, Unknown)]
        if reasons:
            log.warning(
                "%s: outcome of %d documents unknown, looking them up: %s",
                self.entity,
                len(reasons),
                reasons[0],
            )

    def _answered(self, row: Row, outcome: PostOutcome) -> None:
        match outcome:
            case Posted(document):
                self._booked(row, document, found_by_lookup=False)
            case Duplicate(document):
                self._booked(row, document, found_by_lookup=True)
            case Rejected():
                self._confirm(row, self._without_document(row, outcome), ends=True)
            case Parked():
                self._parked(row)
            case Unknown():
                next_try_ms = self._parts.wall_ms() + self._budget.first_wait_ms
                self._parts.outbox.ask_later(row.seq, "unknown", next_try_ms)
            case Unavailable():
                self._parts.outbox.take_back(row.seq)

    def _pause(self, outcome: Unavailable) -> None:
        if self._parts.seconds() >= self._paused_until:
            # Requests that fail side by side are one failure.
            self._failures += 1
        wait_ms = backoff_ms(
            self._failures, self._budget.first_wait_ms, self._budget.longest_wait_ms
        )
        wait_ms = max(wait_ms, min(outcome.retry_after_ms or 0, _RETRY_AFTER_MS_MAX))
        self._paused_until = self._parts.seconds() + wait_ms / 1000
        self.paused = f"{outcome.canonical_code}: {outcome.reason}"
        log.warning("%s: next try in %d ms: %s", self.entity, wait_ms, self.paused)

    # Confirmations.

    def _command(self, row: Row) -> PostingCommand:
        command = self._parts.codec.decode(row.value)
        if not isinstance(command, PostingCommand):
            raise TypeError(f"row {row.seq} of the outbox holds no posting command")
        return command

    def _booked(self, row: Row, document: ErpDocument, found_by_lookup: bool) -> None:
        confirmation = of_document(
            erp=self._parts.erp,
            command=self._command(row),
            document=document,
            found_by_lookup=found_by_lookup,
            attempt=row.attempt,
            observed_at_ms=self._parts.wall_ms(),
        )
        self._confirm(row, confirmation, ends=True)

    def _parked(self, row: Row) -> None:
        next_try_ms = self._parts.wall_ms() + self._budget.parked_poll_ms
        self._parts.outbox.ask_later(row.seq, "parked", next_try_ms)
        if row.state != "parked":
            self._confirm(row, self._without_document(row, None), ends=False)

    def _without_document(self, row: Row, rejected: Rejected | None) -> PostingConfirmation:
        return without_document(
            erp=self._parts.erp,
            command=self._command(row),
            rejected=rejected,
            attempt=row.attempt,
            observed_at_ms=self._parts.wall_ms(),
        )

    def _confirm(self, row: Row, confirmation: PostingConfirmation, ends: bool) -> None:
        account = confirmation.account
        message = Outgoing(
            id=confirmation.confirmation_id,
            topic=self._parts.confirmations_topic,
            key=None if account is None else account.encode(),
            value=self._parts.codec.encode(confirmation),
            ends=ends,
        )
        if ends:
            self._parts.outbox.answer(row.seq, message)
        else:
            self._parts.outbox.tell(message)

    def _count(self, request: str, outcome: PostOutcome | LookUpOutcome) -> None:
        self._parts.counts.outcome(self.entity, request, type(outcome).__name__.lower())
