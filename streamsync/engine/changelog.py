"""Copy changelogs into databases, committed transactions only.

Problem: recovery and warm standbys do the same thing, the one up to the end and the other for
ever. A database may only ever hold what one marker row describes, the copy must not grow in
memory with the state, and a row that can't be trusted must stop the worker instead of being left
out. So one reader serves any number of changelog partitions: rows wait for the marker of their
transaction, complete transactions are gathered up to a bound, and written with the last marker
in one write. A copy that is interrupted goes on from the offset in the database.

Compaction leaves but one marker in what it has cleaned. Where very many rows wait for theirs,
they are written in parts, and the database has no position until the marker comes: nobody works
on it or reads it before.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Protocol, cast

from confluent_kafka import Consumer, KafkaError, KafkaException, Message, TopicPartition

from streamsync.engine.cluster import Cluster
from streamsync.engine.port import MARKER, Marker, RowsOnDisk

log = logging.getLogger(__name__)

CALL_TIMEOUT_S = 5.0
_MESSAGES_PER_POLL = 10_000
# What a reader holds in memory, over all of its partitions, before it writes.
_ROWS_HELD = 40_000
_BYTES_HELD = 16 << 20
_ROWS_UNMARKED_MAX = 100_000
_BYTES_UNMARKED_MAX = 32 << 20
# Markers of deleted rows are kept for a week; a database that missed more would keep the rows.
DELETES_KEPT_MS = 7 * 24 * 3_600 * 1_000
_DAY_MS = 24 * 3_600 * 1_000

Place = tuple[str, int]
"""Topic and partition of a changelog."""


class RowDamaged(Exception):
    """A changelog holds what no worker wrote; nothing of it is left out, so the worker stops."""


class StoredPosition(Protocol):
    @property
    def changelog_offset(self) -> int | None: ...
    @property
    def marker(self) -> Marker | None: ...
    @property
    def topic_id(self) -> str | None: ...
    @property
    def written_ms(self) -> int | None: ...


class Disk(RowsOnDisk, Protocol):
    """What a copy needs of a store."""

    def stored(self, partition: int) -> StoredPosition: ...

    def bind(self, partition: int, topic_id: str) -> None: ...

    def wipe(self, partition: int) -> None: ...

    def write_part(
        self, partition: int, rows: Iterable[tuple[bytes, bytes | None]], changelog_offset: int
    ) -> None:
        """Rows of a cut that is not complete: the database has no position from now on."""


@dataclass(frozen=True, slots=True)
class Changelog:
    """One lane's changelog, and the databases that follow it."""

    lane: str
    topic: str
    topic_id: str
    disk: Disk


class Copy:
    """One partition's way from the changelog into its database."""

    __slots__ = (
        "_complete", "_marker_offset", "_parts", "changelog", "end", "marker", "next_offset",
        "partition", "rows_read", "start", "waiting",
    )  # fmt: skip

    def __init__(
        self,
        changelog: Changelog,
        partition: int,
        start: int,
        end: int,
        marker: Marker | None,
        *,
        parts: bool = False,
    ) -> None:
        self.changelog = changelog
        self.partition = partition
        self.start = start
        self.end = end
        """The changelog's end as last heard; transaction markers and gaps count as offsets."""
        self.next_offset = start
        self.marker = marker
        """What the database stands at, or will after the next write."""
        self.rows_read = 0
        self.waiting: dict[bytes, bytes | None] = {}
        """Rows whose marker is still to come; the reader fills it."""
        self._complete: dict[bytes, bytes | None] = {}
        self._marker_offset: int | None = None
        self._parts = parts
        """Rows were written without the marker that makes them a cut."""

    @property
    def unmarked(self) -> bool:
        """Rows came without a marker row behind them; at the end that must not be."""
        return self._parts or bool(self.waiting)

    @property
    def remaining(self) -> int:
        """Offsets up to the end: never fewer than the rows that are still to come."""
        return max(0, self.end - self.next_offset)

    def mark(self, message: Message) -> None:
        """A row that is not an ordinary one: the marker, or what should not be there."""
        key, value, offset = message.key(), message.value(), cast(int, message.offset())
        if key != MARKER:
            raise self._damaged(offset, "a row has no key")
        try:
            self.marker = Marker.decode(value or b"")
        except ValueError as error:
            raise self._damaged(offset, f"the marker row {value!r} can't be read") from error
        if self._complete:
            self._complete.update(self.waiting)
            self.waiting.clear()
        else:
            self._complete, self.waiting = self.waiting, self._complete
        self._marker_offset = offset
        self._parts = False
        self.next_offset = offset + 1

    def write(self) -> None:
        """Bring the database up to the last marker row."""
        offset, self._marker_offset = self._marker_offset, None
        if offset is None or self.marker is None:
            return
        self.changelog.disk.write(self.partition, self._complete.items(), offset, self.marker)
        self._complete.clear()

    def write_part(self, offset: int) -> None:
        """Write rows up to an offset without their marker: the database is no cut until it comes.

        Only after `write`.
        """
        self.changelog.disk.write_part(self.partition, self.waiting.items(), offset)
        self.waiting.clear()
        self.marker = None
        self._parts = True
        self.next_offset = offset + 1

    def _damaged(self, offset: int, what: str) -> RowDamaged:
        changelog = self.changelog
        return RowDamaged(
            f"Topic {changelog.topic!r} partition {self.partition} offset {offset}: {what}. Lane "
            f"{changelog.lane!r} doesn't go on without it: a program other than this one wrote "
            "there, or another release did. Start the release that wrote it, or delete the topic "
            "and the data directory to rebuild the lane from its source."
        )


def _unfit(stored: StoredPosition, topic_id: str, low: int, high: int) -> str | None:
    """Why a database can't be what the changelog goes on from; `None` when it can."""
    start = (stored.changelog_offset or 0) + 1
    if stored.topic_id != topic_id:
        return "it is of another topic"
    if start > high:
        return "it is ahead of the topic"
    if start < low:
        return "the topic begins later"
    age_ms = int(time.time() * 1_000) - (stored.written_ms or 0)
    if start < high and age_ms > DELETES_KEPT_MS - _DAY_MS:
        return "rows may have been deleted since without a trace"
    return None


class ChangelogReader:
    """Reads changelog partitions by one consumer; used by one thread."""

    def __init__(self, cluster: Cluster, group_id: str, wait_ms: int = 10) -> None:
        self.copies: dict[Place, Copy] = {}
        self._consumer: Consumer = cluster.consumer(group_id, wait_ms=wait_ms)
        self._rows = self._bytes = 0  # in memory, not yet written

    def add(self, changelog: Changelog, partition: int) -> Copy:
        """Step 4: read on where the database ends, from the start when it doesn't fit."""
        place = (changelog.topic, partition)
        low, high = self._consumer.get_watermark_offsets(TopicPartition(*place), CALL_TIMEOUT_S)
        stored = changelog.disk.stored(partition)
        offset, marker = stored.changelog_offset, stored.marker
        if offset is not None and (why := _unfit(stored, changelog.topic_id, int(low), int(high))):
            log.warning(
                "Lane %s partition %d: the local database (changelog offset %d) doesn't fit topic "
                "%s (offsets %d to %d): %s; it is wiped and rebuilt.",
                changelog.lane, partition, offset, changelog.topic, low, high, why,
            )  # fmt: skip
            changelog.disk.wipe(partition)
            offset = None
        if offset is None:
            changelog.disk.bind(partition, changelog.topic_id)
            start, marker = int(low), None
        else:
            start = offset + 1
        parts = offset is not None and marker is None
        copy = Copy(changelog, partition, start, int(high), marker, parts=parts)
        self.copies[place] = copy
        self._consumer.incremental_assign([TopicPartition(*place, start)])
        return copy

    def drop(self, place: Place) -> None:
        """Read this partition no further; what is not written stays in the changelog."""
        del self.copies[place]
        self._consumer.incremental_unassign([TopicPartition(*place)])

    def poll(self, timeout_s: float) -> set[Place]:
        """Read some rows; gives the places whose end was reached.

        Raises `KafkaException` when reading can't go on: make a new reader. Raises `RowDamaged`.
        """
        messages = self._consumer.consume(_MESSAGES_PER_POLL, timeout_s)
        at_end: set[Place] = set()
        copies = self.copies
        # A million rows a second pass here: most messages are neighbours of one partition.
        topic, partition, copy = "", -1, None
        for message in messages:
            if message.error() is not None:
                self._event(message, at_end)
                continue
            if message.partition() != partition or message.topic() != topic:
                topic, partition = cast(Place, (message.topic(), message.partition()))
                copy = copies.get((topic, partition))
            if copy is None:
                continue
            copy.rows_read += 1
            key = message.key()
            if key == MARKER or not key:
                copy.mark(message)
            else:
                copy.waiting[key] = message.value()
        self._rows += len(messages)
        self._bytes += sum(map(len, messages))
        if self._rows > _ROWS_HELD or self._bytes > _BYTES_HELD:
            self.write()
            self._write_parts(messages)
        return at_end

    def _event(self, message: Message, at_end: set[Place]) -> None:
        error = cast(KafkaError, message.error())
        if error.code() == KafkaError._PARTITION_EOF:  # noqa: SLF001
            place = cast(Place, (message.topic(), message.partition()))
            copy = self.copies.get(place)
            if copy is not None:
                at_end.add(place)
                copy.next_offset = copy.end = max(copy.end, message.offset() or 0)
        elif not error.retriable() and error.code() != KafkaError._ALL_BROKERS_DOWN:  # noqa: SLF001
            raise KafkaException(error)

    def _write_parts(self, messages: Sequence[Message]) -> None:
        """Keep memory bounded where compaction has left no marker for very many rows."""
        copies = [copy for copy in self.copies.values() if copy.waiting]
        rows = sum(len(copy.waiting) for copy in copies)
        held = sum(len(value or b"") for copy in copies for value in copy.waiting.values())
        if rows < _ROWS_UNMARKED_MAX and held < _BYTES_UNMARKED_MAX:
            return
        read = {
            (message.topic(), message.partition()): message.offset()
            for message in messages
            if message.error() is None
        }
        for copy in copies:
            offset = read.get((copy.changelog.topic, copy.partition))
            if offset is not None:
                copy.write_part(offset)

    def hear_ends(self) -> None:
        """Take the ends that came with the last fetches."""
        for place, copy in self.copies.items():
            _, high = self._consumer.get_watermark_offsets(
                TopicPartition(*place), CALL_TIMEOUT_S, cached=True
            )
            copy.end = max(copy.end, int(high))

    def end_of(self, topic: str, partition: int) -> tuple[int, int]:
        """First offset and end of any topic's partition."""
        low, high = self._consumer.get_watermark_offsets(
            TopicPartition(topic, partition), CALL_TIMEOUT_S
        )
        return int(low), int(high)

    def write(self) -> None:
        """Bring databases up to the last marker rows that were read."""
        for copy in self.copies.values():
            copy.write()
        self._rows = self._bytes = 0

    def close(self) -> None:
        self._consumer.close()
