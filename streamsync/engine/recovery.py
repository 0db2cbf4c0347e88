"""Bring databases up to their changelog and hand them out one by one: steps 3 to 5, in threads.

Problem: a partition may only be worked on when its rows and its position are one cut of history,
the earlier owner can't write any more, and nothing committed is missing; and no partition should
wait for a larger neighbour. So first a new producer with the same transactional id fences the
earlier owner and settles its open transaction; then the changelog is read, committed
transactions only, until the broker says that its end is reached; then the partition is handed
out while others are still read. Offsets are never compared with the end: transaction markers
leave gaps. `changelog` keeps memory bounded and the database a cut.
"""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable, Sequence
from concurrent.futures import FIRST_COMPLETED, Future, ThreadPoolExecutor, wait
from contextlib import suppress
from dataclasses import dataclass

from aiokafka.errors import KafkaError as AioKafkaError
from confluent_kafka import KafkaError, KafkaException

from streamsync.engine.changelog import CALL_TIMEOUT_S, Changelog, ChangelogReader, Copy, RowDamaged
from streamsync.engine.cluster import Cluster, LaneProducer
from streamsync.engine.hanging import Settling, Writer
from streamsync.engine.port import Marker
from streamsync.engine.progress import Progress
from streamsync.engine.trouble import DatabaseTrouble

log = logging.getLogger(__name__)

_INIT_THREADS = 16
_POLL_S = 0.1


class RecoveryCancelled(Exception):
    """The group took the partitions away while they were recovered."""


class PositionLost(Exception):
    """The source topic doesn't hold the position that the changelog names."""


@dataclass(frozen=True, slots=True)
class Recovered:
    """A partition ready to work: nobody else can write for it, and its rows are complete."""

    producer: LaneProducer
    marker: Marker
    changelog_rows: int


Ready = Callable[[int, Recovered], None]


@dataclass(frozen=True)
class RecoveryPlan:
    """What to recover, and where it stands."""

    app_id: str
    source: str
    changelog: Changelog
    partitions: Sequence[int]
    look_again: Callable[[], None]
    """Raises where waiting is no use: a topic is gone."""

    @property
    def lane(self) -> str:
        return self.changelog.lane

    def writer(self, partition: int) -> Writer:
        transactional_id = f"{self.app_id}-{self.lane}-{partition}"
        return Writer(transactional_id, self.changelog.topic, partition)


def recover(
    plan: RecoveryPlan,
    cluster: Cluster,
    cancelled: threading.Event,
    ready: Ready,
    progress: Progress,
) -> None:
    """Recover partitions and hand each to `ready` as soon as it is; blocks, until cancelled.

    Tries again while no broker answers. Raises `RecoveryCancelled`, `PositionLost` when going on
    would skip records, `RowDamaged` when rows would be left out, or what `look_again` raises.
    """
    with ThreadPoolExecutor(min(_INIT_THREADS, len(plan.partitions)), "init") as pool:
        fencing = {
            pool.submit(_fence, plan, partition, cluster, cancelled): partition
            for partition in plan.partitions
        }
        work = _Recovery(plan, cluster, cancelled, ready, progress, fencing)
        try:
            work.run()
            progress.ended()
        finally:
            work.close()


def _fence(
    plan: RecoveryPlan, partition: int, cluster: Cluster, cancelled: threading.Event
) -> LaneProducer:
    """Step 3: from here on no earlier owner of the partition can commit."""
    producer: LaneProducer | None = None
    while True:
        _check(cancelled)
        try:
            if producer is None:
                producer = cluster.transactional(plan.writer(partition).transactional_id)
            producer.init_transactions(CALL_TIMEOUT_S)
            # What was lost before doesn't count: whatever may hang is looked for now.
            producer.poll(0)
            producer.connection_lost = False
            return producer
        except KafkaException as raised:
            error: KafkaError = raised.args[0]
            if error.fatal():
                producer = None
            _wait(cancelled, f"Lane {plan.lane} partition {partition} waits: {error}")


class _Recovery:
    """Steps 4 and 5 for partitions as they are fenced."""

    def __init__(
        self,
        plan: RecoveryPlan,
        cluster: Cluster,
        cancelled: threading.Event,
        ready: Ready,
        progress: Progress,
        fencing: dict[Future[LaneProducer], int],
    ) -> None:
        self.plan = plan
        self.cluster = cluster
        self.cancelled = cancelled
        self._ready = ready
        self._progress = progress
        self._fencing = fencing
        self._producers: dict[int, LaneProducer] = {}
        """Of partitions that are fenced and not handed out."""
        self._settling = _settling(plan, cluster, cancelled, self._producers)
        self._reader: ChangelogReader | None = None

    def run(self) -> None:
        while self._fencing or self._producers:
            _check(self.cancelled)
            try:
                self._turn()
            except (KafkaException, AioKafkaError, TimeoutError, DatabaseTrouble) as error:
                self.close()  # what was read and not written is read again
                _wait(self.cancelled, f"Lane {self.plan.lane} can't be recovered yet: {error}")
                with suppress(KafkaException, TimeoutError):  # the broker may be away
                    self.plan.look_again()

    def close(self) -> None:
        reader, self._reader = self._reader, None
        if reader is not None:
            reader.close()

    def _turn(self) -> None:
        plan, reader = self.plan, self._open()
        known = {partition for _, partition in reader.copies}
        new = self._fenced() | (self._producers.keys() - known)
        if new:
            self._settling.changelogs(plan.writer(partition) for partition in new)
            _check(self.cancelled)  # it may have taken long, and databases are written from here on
            for partition in sorted(new):
                copy = reader.add(plan.changelog, partition)
                self._progress.began(partition, copy)
        if not reader.copies:
            return
        at_end = reader.poll(_POLL_S)
        if self._progress.is_due():
            reader.hear_ends()
            self._progress.tell(len(self._fencing))
        finished = {place[1]: reader.copies[place] for place in at_end}
        if not finished:
            return
        _check(self.cancelled)
        markers = {p: self._finish(p, copy) for p, copy in finished.items()}
        self._settling.outputs([plan.writer(partition) for partition in finished], markers)
        for partition, copy in finished.items():
            reader.drop((plan.changelog.topic, partition))
            self._progress.done(partition)
            producer = self._producers.pop(partition)
            self._ready(partition, Recovered(producer, markers[partition], copy.rows_read))

    def _open(self) -> ChangelogReader:
        if self._reader is None:
            self._reader = ChangelogReader(self.cluster, f"{self.plan.app_id}-recovery")
        return self._reader

    def _fenced(self) -> set[int]:
        """Partitions that have just been fenced; waits a moment when there is nothing else."""
        timeout = 0.0 if self._producers else _POLL_S
        done, _ = wait(self._fencing, timeout, FIRST_COMPLETED)
        fenced = {self._fencing.pop(future): future.result() for future in done}
        self._producers.update(fenced)
        return set(fenced)

    def _finish(self, partition: int, copy: Copy) -> Marker:
        """Write the rest; where to read the source: at the marker, without one from the start.

        Never at the group's offset: with no rows yet, everything before it would be missing.
        """
        plan = self.plan
        copy.write()
        low, high = self._open().end_of(plan.source, partition)
        if copy.unmarked:
            raise RowDamaged(
                f"Topic {plan.changelog.topic!r} partition {partition} ends with rows that no "
                "marker row follows: it was cut, or another program wrote there. Restore the "
                "topic; or delete it with the data directory, to rebuild lane "
                f"{plan.lane!r} from its source."
            )
        marker = copy.marker
        if marker is None:
            if low > 0:
                log.warning(
                    "Lane %s begins partition %d of %s at its first record, offset %d: what stood "
                    "before was deleted, and is not in its rows.",
                    plan.lane, partition, plan.source, low,
                )  # fmt: skip
            return Marker(low, low)
        position = marker.position
        if not low <= position <= high:
            raise PositionLost(
                f"Lane {plan.lane!r} is at offset {position} of partition {partition} of "
                f"{plan.source!r}, which holds {low} to {high}: records were deleted before "
                "they were read, or the topic was recreated. Restore the topic; or, to start "
                f"over on purpose, delete topic {plan.changelog.topic!r} as well."
            )
        return marker


def _settling(
    plan: RecoveryPlan,
    cluster: Cluster,
    cancelled: threading.Event,
    producers: dict[int, LaneProducer],
) -> Settling:
    changelog = plan.changelog

    def held(partition: int, offset: int) -> bool:
        stored = changelog.disk.stored(partition)
        known = -1 if stored.changelog_offset is None else stored.changelog_offset
        return stored.topic_id == changelog.topic_id and known >= offset

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
