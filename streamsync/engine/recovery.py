"""Bring databases up to their changelog: steps 3 to 5, in threads.

Problem: a partition may only be worked on when its rows and its position are one cut of history,
the earlier owner can't write any more, and nothing committed is missing. So first a new producer
with the same transactional id fences the earlier owner and settles its open transaction; then
the changelog is read, committed transactions only, until the broker says that its end is
reached. Offsets are never compared with the end: transaction markers leave gaps. The database is
written only at marker rows.
"""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Protocol, cast

from aiokafka.errors import KafkaError as AioKafkaError
from confluent_kafka import Consumer, KafkaError, KafkaException, Message, TopicPartition

from streamsync.engine.cluster import Cluster, LaneProducer
from streamsync.engine.hanging import Settling, Writer
from streamsync.engine.port import MARKER, Marker, RowsOnDisk

log = logging.getLogger(__name__)

_CALL_TIMEOUT_S = 5.0
_ROWS_PER_WRITE = 20_000
_INIT_THREADS = 16


class RecoveryCancelled(Exception):
    """The group took the partitions away while they were recovered."""


class PositionLost(Exception):
    """The source topic doesn't hold the position that the changelog names."""


class StoredPosition(Protocol):
    @property
    def changelog_offset(self) -> int | None: ...
    @property
    def marker(self) -> Marker | None: ...
    @property
    def topic_id(self) -> str | None: ...


class Disk(RowsOnDisk, Protocol):
    """What recovery needs of a store."""

    def stored(self, partition: int) -> StoredPosition: ...

    def bind(self, partition: int, topic_id: str) -> None: ...

    def wipe(self, partition: int) -> None: ...


@dataclass(frozen=True, slots=True)
class Recovered:
    """A partition ready to work: nobody else can write for it, and its rows are complete."""

    producer: LaneProducer
    marker: Marker
    changelog_rows: int


@dataclass(frozen=True)
class RecoveryPlan:
    """What to recover, and where it stands."""

    lane: str
    app_id: str
    source: str
    changelog: str
    changelog_id: str
    partitions: Sequence[int]
    disk: Disk

    def writer(self, partition: int) -> Writer:
        transactional_id = f"{self.app_id}-{self.lane}-{partition}"
        return Writer(transactional_id, self.changelog, partition)


def recover(
    plan: RecoveryPlan,
    cluster: Cluster,
    cancelled: threading.Event,
) -> dict[int, Recovered]:
    """Recover partitions; blocks, tries again while no broker answers, until cancelled.

    Raises `RecoveryCancelled`, or `PositionLost` when going on would skip records.
    """
    with ThreadPoolExecutor(min(_INIT_THREADS, len(plan.partitions)), "init") as pool:
        made = pool.map(
            lambda partition: _fence(plan, partition, cluster, cancelled), plan.partitions
        )
        producers = dict(zip(plan.partitions, made, strict=True))
    settling = _settling(plan, cluster, cancelled, producers)
    writers = [plan.writer(partition) for partition in plan.partitions]
    while True:
        try:
            settling.changelogs(writers)
            reading = _Reading(plan, cluster, cancelled)
            try:
                reading.run()
            finally:
                reading.consumer.close()
            settling.outputs(writers, reading.marker)
            break
        except (KafkaException, AioKafkaError, TimeoutError) as error:
            _wait(cancelled, f"Lane {plan.lane} can't be recovered yet: {error!r}")
    log.info(
        "Lane %s recovered partitions %s: %d changelog rows.",
        plan.lane, sorted(plan.partitions), sum(reading.rows_read.values()),
    )  # fmt: skip
    return {
        partition: Recovered(
            producers[partition], reading.marker[partition], reading.rows_read[partition]
        )
        for partition in plan.partitions
    }


def _fence(
    plan: RecoveryPlan, partition: int, cluster: Cluster, cancelled: threading.Event
) -> LaneProducer:
    """Step 3: from here on no earlier owner of the partition can commit."""
    producer = cluster.transactional(plan.writer(partition).transactional_id)
    while True:
        _check(cancelled)
        try:
            producer.init_transactions(_CALL_TIMEOUT_S)
            # What was lost before doesn't count: whatever may hang is looked for now.
            producer.poll(0)
            producer.connection_lost = False
            return producer
        except KafkaException as raised:
            error: KafkaError = raised.args[0]
            if error.fatal():
                producer = cluster.transactional(plan.writer(partition).transactional_id)
            _wait(cancelled, f"Lane {plan.lane} partition {partition} waits: {error}")


def _settling(
    plan: RecoveryPlan,
    cluster: Cluster,
    cancelled: threading.Event,
    producers: dict[int, LaneProducer],
) -> Settling:
    def held(partition: int, offset: int) -> bool:
        stored = plan.disk.stored(partition)
        return stored.topic_id == plan.changelog_id and (stored.changelog_offset or -1) >= offset

    def fence(partition: int) -> None:
        producers[partition] = _fence(plan, partition, cluster, cancelled)

    return Settling(cluster, held, lambda: _check(cancelled), fence)


def _check(cancelled: threading.Event) -> None:
    if cancelled.is_set():
        raise RecoveryCancelled


def _wait(cancelled: threading.Event, why: str) -> None:
    log.warning("%s", why)
    if cancelled.wait(0.5):
        raise RecoveryCancelled


class _Reading:
    """Steps 4 and 5 for the partitions of one lane, by one consumer."""

    def __init__(self, plan: RecoveryPlan, cluster: Cluster, cancelled: threading.Event) -> None:
        self.plan = plan
        self.cancelled = cancelled
        self.consumer: Consumer = cluster.consumer(f"{plan.app_id}-recovery")
        self.marker: dict[int, Marker] = {}
        self._marked: dict[int, Marker | None] = {}
        self.rows_read = dict.fromkeys(plan.partitions, 0)
        # Complete transactions, not yet on disk, and rows that still wait for their marker.
        self._complete: dict[int, dict[bytes, bytes | None]] = {p: {} for p in plan.partitions}
        self._waiting: dict[int, dict[bytes, bytes | None]] = {p: {} for p in plan.partitions}
        self._marker_offset: dict[int, int] = {}

    def run(self) -> None:
        plan = self.plan
        starts = [
            TopicPartition(plan.changelog, partition, self._start(partition))
            for partition in plan.partitions
        ]
        self.consumer.assign(starts)
        left = set(plan.partitions)
        reported = time.monotonic()
        while left:
            _check(self.cancelled)
            for message in self.consumer.consume(10_000, 0.2):
                error = message.error()
                if error is None:
                    self._take(message)
                elif error.code() == KafkaError._PARTITION_EOF:  # noqa: SLF001
                    left.discard(message.partition() or 0)
                elif not error.retriable() and error.code() != KafkaError._ALL_BROKERS_DOWN:  # noqa: SLF001
                    raise KafkaException(error)
            if time.monotonic() - reported > 5:
                reported = time.monotonic()
                log.info("Lane %s recovers: %d rows.", plan.lane, sum(self.rows_read.values()))
        for partition in plan.partitions:
            self._write(partition)
            self.marker[partition] = self._marker_that_fits(partition)

    def _start(self, partition: int) -> int:
        """Step 4: where to read on, or from the start when the database doesn't fit."""
        plan = self.plan
        low, high = self.consumer.get_watermark_offsets(
            TopicPartition(plan.changelog, partition), _CALL_TIMEOUT_S
        )
        stored = plan.disk.stored(partition)
        offset = stored.changelog_offset
        if offset is not None and (
            stored.topic_id != plan.changelog_id or not low <= offset + 1 <= high
        ):
            log.warning(
                "Lane %s partition %d: the local database (changelog offset %d) doesn't fit topic "
                "%s (offsets %d to %d); it is wiped and rebuilt.",
                plan.lane, partition, offset, plan.changelog, low, high,
            )  # fmt: skip
            plan.disk.wipe(partition)
            offset = None
        if offset is None:
            plan.disk.bind(partition, plan.changelog_id)
            self._marked[partition] = None
            return int(low)
        self._marked[partition] = stored.marker
        return offset + 1

    def _take(self, message: Message) -> None:
        partition, key = message.partition() or 0, message.key()
        self.rows_read[partition] += 1
        if key != MARKER:
            self._waiting[partition][cast(bytes, key)] = message.value()
            return
        complete = self._complete[partition]
        complete.update(self._waiting[partition])
        self._waiting[partition] = {}
        self._marked[partition] = Marker.decode(cast(bytes, message.value()))
        self._marker_offset[partition] = message.offset() or 0
        if len(complete) > _ROWS_PER_WRITE:
            self._write(partition)

    def _write(self, partition: int) -> None:
        offset = self._marker_offset.pop(partition, None)
        marker = self._marked[partition]
        if offset is None or marker is None:
            return
        rows = list(self._complete[partition].items())
        self.plan.disk.write(partition, rows, offset, marker)
        self._complete[partition] = {}

    def _marker_that_fits(self, partition: int) -> Marker:
        """Where to read the source: at the marker; without one from the start.

        Never at the group's offset: with no rows yet, everything before it would be missing.
        """
        low, high = self.consumer.get_watermark_offsets(
            TopicPartition(self.plan.source, partition), _CALL_TIMEOUT_S
        )
        marker = self._marked[partition]
        if marker is None:
            return Marker(int(low), int(low))
        position = marker.position
        if not low <= position <= high:
            raise PositionLost(
                f"Lane {self.plan.lane!r} is at offset {position} of partition {partition} of "
                f"{self.plan.source!r}, which holds {low} to {high}: records were deleted before "
                "they were read, or the topic was recreated. Restore the topic; or, to start "
                f"over on purpose, delete topic {self.plan.changelog!r} as well."
            )
        return marker
