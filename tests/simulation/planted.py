"""Bugs planted on purpose, each by name: the campaign must find every one of them.

Problem: a check that never failed may check nothing. How: each bug replaces a method or function
in this process only, for the time of a run; the product has no switch for it.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from typing import Any
from unittest.mock import patch

import msgspec

from streamsync.core.records import Tick
from streamsync.engine.driver import Driver
from streamsync.engine.lane import Output, Poison, SourceRecord
from streamsync.engine.memory import Changelog, Disk, MemoryPort
from streamsync.engine.shard import LaneShard
from streamsync.engine.work import PartitionWork
from topology import advance, ledger, post
from topology.rows import CLOCK, POSTING, PostingRow, row_key

Rows = Sequence[tuple[bytes, bytes | None]]
Records = Sequence[tuple[Output, int]]
Plant = Callable[[ExitStack], None]


def _replace(stack: ExitStack, owner: Any, name: str, new: Any) -> None:
    stack.enter_context(patch.object(owner, name, new))


def position_before_state(stack: ExitStack) -> None:
    """The position is durable at once, the rows that belong to it only with the transaction."""

    def marker(self: Any, position: int) -> None:
        self._changelog.marker(position)
        self._position = position

    _replace(stack, MemoryPort, "marker", marker)


def marker_missing(stack: ExitStack) -> None:
    """A transaction without rows carries no marker either."""
    right = MemoryPort.marker

    def marker(self: Any, position: int) -> None:
        if self._rows:
            right(self, position)

    _replace(stack, MemoryPort, "marker", marker)


def position_missing_in_marker(stack: ExitStack) -> None:
    """A marker tells that a transaction is whole, but not how far it came."""
    right = MemoryPort.marker

    def marker(self: Any, position: int) -> None:
        right(self, self._changelog.position)

    _replace(stack, MemoryPort, "marker", marker)


def disk_before_commit(stack: ExitStack) -> None:
    """The database is written before the transaction is committed."""

    def flush(self: Any) -> None:
        self._disk.write(self._rows, self._changelog.end + len(self._rows) + 1, self._position)

    _replace(stack, MemoryPort, "flush", flush)


def changelog_row_dropped(stack: ExitStack) -> None:
    """The last of several changed rows is not in the changelog."""

    def changelog(self: Any, rows: Rows) -> None:
        self._rows.extend(rows[:-1] if len(rows) > 1 else rows)

    _replace(stack, MemoryPort, "changelog", changelog)


def outputs_outside_transaction(stack: ExitStack) -> None:
    """Outputs are visible when they are produced, not when the transaction commits."""

    def outputs(self: Any, records: Records) -> None:
        for output, timestamp_ms in records:
            self._topics.append(output, timestamp_ms)

    _replace(stack, MemoryPort, "outputs", outputs)


def loop_back_after_transaction(stack: ExitStack) -> None:
    """Loop-backs leave after the commit: a crash between loses them."""
    right_store = MemoryPort.store

    def loop_back(self: Any, records: Records) -> None:
        self.kept_back = records

    def store(self: Any, rows: Rows, position: int) -> None:
        right_store(self, rows, position)
        for output, timestamp_ms in getattr(self, "kept_back", ()):
            self._topics.append(output, timestamp_ms)

    _replace(stack, MemoryPort, "loop_back", loop_back)
    _replace(stack, MemoryPort, "store", store)


def loop_back_repeated_with_other_bytes(stack: ExitStack) -> None:
    """A loop-back that is sent again tells the moment of its sending: it is no repeat any more."""
    right = MemoryPort.loop_back

    def loop_back(self: Any, records: Records) -> None:
        told = self._topics.__dict__.setdefault("told", set())
        sent = []
        for output, timestamp_ms in records:
            before = (output, timestamp_ms) in told
            told.add((output, timestamp_ms))
            sent.append((output, timestamp_ms + 1 if before else timestamp_ms))
        right(self, sent)

    _replace(stack, MemoryPort, "loop_back", loop_back)


def zombie_not_fenced(stack: ExitStack) -> None:
    """The former owner of a partition may still commit."""
    _replace(stack, MemoryPort, "_refuse_fenced", lambda self: None)


def cache_kept_after_fence(stack: ExitStack) -> None:
    """A worker that was fenced works on with its rows in memory when the partition comes back."""
    right_lose, right_recover = Driver._lose, Driver._recover_seat
    right_restart = Driver.restart

    def lose(self: Any, seat: Any) -> None:
        place = seat.work.lane.name, seat.work.shard.partition, seat.worker
        self.__dict__.setdefault("kept", {})[place] = seat.work
        right_lose(self, seat)

    def recover_seat(self: Any, lane: str, partition: int) -> None:
        right_recover(self, lane, partition)
        seat = self._seats[lane, partition]
        kept = self.__dict__.get("kept", {}).pop((lane, partition, seat.worker), None)
        if kept is not None:
            self._seats[lane, partition] = type(seat)(kept, seat.worker, seat.epoch)

    def restart(self: Any, *, wipe: bool = False) -> None:
        # A process that ends takes its memory with it.
        ended = range(self.workers) if self._crashed is None else (self._crashed,)
        kept = self.__dict__.get("kept", {})
        self.kept = {place: work for place, work in kept.items() if place[2] not in ended}
        right_restart(self, wipe=wipe)

    _replace(stack, Driver, "restart", restart)
    _replace(stack, Driver, "_lose", lose)
    _replace(stack, Driver, "_recover_seat", recover_seat)


def recovery_stops_one_row_early(stack: ExitStack) -> None:
    """The last row of the changelog is not read."""
    right = Changelog.recover

    def recover(self: Changelog, disk: Disk) -> None:
        short = Changelog(dict(list(self.rows.items())[:-1]), self.end, self.epoch)
        right(short, disk)

    _replace(stack, Changelog, "recover", recover)


def old_copy_taken_for_whole(stack: ExitStack) -> None:
    """A disk that holds something is used as it is, however old it is."""
    right = Changelog.recover

    def recover(self: Changelog, disk: Disk) -> None:
        if not disk.end:
            right(self, disk)

    _replace(stack, Changelog, "recover", recover)


def redelivered_records_not_skipped(stack: ExitStack) -> None:
    """Records below the position are done again."""

    def apply(self: Any, records: Iterable[SourceRecord]) -> None:
        for record in records:
            for output in self._run_step(record):
                kind = self._loop_backs if output.topic == self.lane.source else self._outputs
                kind.append((output, record.timestamp_ms))
            self._records.append(record)
            self.position = record.offset + 1

    _replace(stack, PartitionWork, "apply", apply)


def poison_not_undone(stack: ExitStack) -> None:
    """What a step changed before it failed stays."""
    _replace(stack, LaneShard, "undo_step", lambda self: None)


def tick_gap_accepted(stack: ExitStack) -> None:
    """A tick counts although the ones before it never came."""

    def receive(turn: Any, tick: Tick) -> None:
        try:
            advance.receive_tick(turn, tick)
        except Poison as poison:
            if poison.reason != "tick_gap":
                raise
            known = msgspec.structs.replace(turn.clock, number=tick.number - 1)
            turn.shard.put(CLOCK, "", known)
            advance.receive_tick(turn, tick)

    verbs = dict(ledger.VERBS) | {Tick: receive}
    _replace(stack, ledger, "VERBS", verbs)


def revision_in_idempotency_key(stack: ExitStack) -> None:
    """A change of something booked gets a key of its own, so that the ERP books it beside."""
    right = post._advance

    def advance_key(
        turn: Any, placed: Any, document: Any, key: str, row: PostingRow, target: Any, fact: Any
    ) -> None:
        if row.accepted is not None and row.accepted.content_hash != target.content_hash:
            key = f"{key[:-2]}r{row.revision + 1}"
            where = row_key(placed.account, placed.document, key)
            row = turn.shard.get(POSTING, where) or PostingRow(target.fact_id, target.purpose)
        right(turn, placed, document, key, row, target, fact)

    _replace(stack, post, "_advance", advance_key)


def in_flight_check_removed(stack: ExitStack) -> None:
    """The next revision is sent although the last has no outcome yet."""
    right = post._advance

    def advance_blindly(
        turn: Any, placed: Any, document: Any, key: str, row: PostingRow, target: Any, fact: Any
    ) -> None:
        flight = row.in_flight
        if flight is not None and flight.command.content_hash != target.content_hash:
            row = msgspec.structs.replace(row, in_flight=None)
        right(turn, placed, document, key, row, target, fact)

    _replace(stack, post, "_advance", advance_blindly)


BUGS: dict[str, Plant] = {
    plant.__name__: plant
    for plant in (
        position_before_state,
        marker_missing,
        position_missing_in_marker,
        disk_before_commit,
        changelog_row_dropped,
        outputs_outside_transaction,
        loop_back_after_transaction,
        loop_back_repeated_with_other_bytes,
        zombie_not_fenced,
        cache_kept_after_fence,
        recovery_stops_one_row_early,
        old_copy_taken_for_whole,
        redelivered_records_not_skipped,
        poison_not_undone,
        tick_gap_accepted,
        revision_in_idempotency_key,
        in_flight_check_removed,
    )
}


@contextmanager
def planted(name: str | None) -> Iterator[None]:
    """Run with a bug, or with none."""
    with ExitStack() as stack:
        if name is not None:
            BUGS[name](stack)
        yield
