"""The commit port to Kafka and RocksDB: one transactional producer of one partition.

Problem: a commit may fail in ways that mean different things, and doing the wrong one loses or
doubles records. This module maps every answer of librdkafka to one of the three errors of
`commit`: abortable to `Aborted`, a newer producer to `Fenced`, everything unclear to
`Unsettled`, whose answer is to throw the producer away and read the changelog.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import Protocol, cast

from confluent_kafka import KafkaError, KafkaException, Message, Producer

from streamsync.engine.cluster import TRANSACTION_TIMEOUT_MS, Catalog, Cluster, LaneProducer
from streamsync.engine.commit import Aborted, Fenced, Unsettled
from streamsync.engine.evidence import HEADER, Origin, Place
from streamsync.engine.lane import Output
from streamsync.engine.producing import arguments_of, produce, produce_all, refuse_too_large
from streamsync.engine.routes import Headers, Routes, Way
from streamsync.engine.trouble import DatabaseTrouble

MARKER = b"\0position"

# Longer than the broker keeps a transaction open: afterwards it has decided by itself.
SETTLE_TIMEOUT_S = TRANSACTION_TIMEOUT_MS / 1_000 + 5.0
_CALL_TIMEOUT_S = 2.0
_FLUSH_TIMEOUT_S = 0.2
_LOST_ERROR = "without setting an exception"

_FENCED = {
    KafkaError._FENCED,  # noqa: SLF001  (librdkafka's own codes have no other name)
    KafkaError.INVALID_PRODUCER_EPOCH,
    KafkaError.PRODUCER_FENCED,
}


@dataclass(frozen=True, slots=True)
class Marker:
    """The marker row: a source position, and where its transaction wrote to."""

    position: int
    start: int = 0
    """The position before this transaction."""
    touched: frozenset[Place] = frozenset()
    """Every partition that was written to so far, and those that soon will be."""
    written: frozenset[Place] = frozenset()
    """Those of them that this transaction wrote to."""

    def encode(self) -> bytes:
        lines = [f"{self.position} {self.start}"]
        for place in sorted(self.touched):
            lines.append(f"{place[0]} {place[1]}{' +' if place in self.written else ''}")
        return "\n".join(lines).encode()

    @classmethod
    def decode(cls, value: bytes) -> Marker:
        first, *lines = value.decode().split("\n")
        position, start = first.split(" ")
        touched, written = set(), set()
        for line in lines:
            topic, partition, *flag = line.split(" ")
            touched.add((topic, int(partition)))
            if flag:
                written.add((topic, int(partition)))
        return cls(int(position), int(start), frozenset(touched), frozenset(written))


class RowsOnDisk(Protocol):
    """Where step 8 writes."""

    def write(
        self,
        partition: int,
        rows: Iterable[tuple[bytes, bytes | None]],
        changelog_offset: int,
        marker: Marker,
    ) -> None: ...


class LoopBackProducer:
    """The plain idempotent producer of a lane: for records to the lane's own source topic."""

    def __init__(self, cluster: Cluster) -> None:
        self._cluster = cluster
        self._lock = threading.Lock()
        self._producer: Producer | None = None

    def send(self, records: Sequence[tuple[Output, int]], ways: Sequence[Way]) -> None:
        """Write records and wait until the broker has all of them; else `Unsettled`."""
        failed: list[KafkaError] = []
        delivered = 0

        def done(error: KafkaError | None, _message: Message) -> None:
            nonlocal delivered
            if error is not None:
                failed.append(error)
            delivered += 1

        with self._lock:
            if self._producer is None:
                self._producer = self._cluster.producer()
            producer = self._producer
        try:
            produce_all(producer, arguments_of(records, ways, done))
            end = time.monotonic() + SETTLE_TIMEOUT_S
            while delivered < len(records) and time.monotonic() < end:
                producer.poll(0.01)
        except (KafkaException, SystemError) as raised:
            failed.append(_error_of(raised))
        if failed or delivered < len(records):
            with self._lock:
                # A failed idempotent producer may refuse everything after it.
                self._producer = None
            for error in failed:
                refuse_too_large(error, f"{error} (topic {records[0][0].topic})")
            raise Unsettled(f"loop-backs not delivered: {failed[0] if failed else 'no answer'}")


def _error_of(raised: KafkaException | SystemError) -> KafkaError:
    """What librdkafka said.

    When it turns fatal while delivery reports wait, the client library raises its exception in
    the middle of calling them back, and Python makes a SystemError of that; or the exception is
    lost, and Python only says so.
    """
    cause = raised.__cause__ if isinstance(raised, SystemError) else raised
    if not isinstance(cause, KafkaException):
        if _LOST_ERROR in str(raised):
            return KafkaError(KafkaError._FAIL, "the client library lost its error")  # noqa: SLF001
        raise raised
    error: KafkaError = cause.args[0]
    return error


class KafkaPort:
    """Commits batches of one partition of one lane; used by one thread at a time."""

    def __init__(  # noqa: PLR0913
        self,
        *,
        catalog: Catalog,
        producer: LaneProducer,
        loop_backs: LoopBackProducer,
        changelog: str,
        partition: int,
        disk: RowsOnDisk,
        marker: Marker,
        any_open: Callable[[Iterable[Place]], bool],
    ) -> None:
        self._routes = Routes(catalog)
        self._held: LaneProducer | None = producer
        self._loop_backs = loop_backs
        self._changelog = changelog
        self._partition = partition
        self._disk = disk
        self._timestamp_ms = 0
        self._position = marker.position
        self._touched = set(marker.touched)
        self._written: set[Place] = set()
        self._any_open = any_open
        self._marker_offset: int | None = None
        self._lock = threading.Lock()
        self._abandoned = False

    def loop_back(self, records: Sequence[tuple[Output, int]]) -> None:
        self._loop_backs.send(records, self._routes.of(records))

    def begin(self) -> None:
        self._look_after_a_lost_connection()
        self._written.clear()
        self._call(self._producer.begin_transaction)

    def outputs(self, records: Sequence[tuple[Output, int]]) -> None:
        ways = self._routes.of(records)
        used = set(ways)
        if not self._touched.issuperset(places := [way.place for way in used]):
            self._announce(places)
        for way in used:
            way.headers = self._first_on(way.place)

        each = arguments_of(records, ways)
        self._call(lambda: produce_all(self._producer, each), again=False)

    def changelog(self, rows: Sequence[tuple[bytes, bytes | None]]) -> None:
        # Wall clock on purpose: compaction and retention of the changelog go by it.
        now_ms = self._timestamp_ms = int(time.time() * 1_000)
        topic, partition = self._changelog, self._partition
        each = ((topic, value, key, partition, None, None, now_ms, None) for key, value in rows)
        self._call(lambda: produce_all(self._producer, each), again=False)

    def marker(self, position: int) -> None:
        self._marker_offset = None
        value = self._marker(position).encode()

        def send() -> None:
            produce(
                self._producer, self._changelog, MARKER, value, self._partition,
                self._timestamp_ms, self._marker_delivered,
            )  # fmt: skip

        self._call(send, again=False)

    def flush(self) -> None:
        end = time.monotonic() + SETTLE_TIMEOUT_S

        def wait() -> None:
            left = 1
            while left:
                left = self._producer.flush(_FLUSH_TIMEOUT_S)
                if self._producer.connection_lost:
                    raise Unsettled("the connection was lost")
                if left and (self._abandoned or time.monotonic() > end):
                    raise Unsettled("the broker did not take the records in time")

        self._call(wait, again=False)

    def commit(self) -> None:
        self._call(lambda: self._producer.commit_transaction(_CALL_TIMEOUT_S))
        if self._marker_offset is None:
            raise Unsettled("the marker was committed without an offset")

    def store(self, rows: Sequence[tuple[bytes, bytes | None]], position: int) -> None:
        offset = cast(int, self._marker_offset)  # step 7 has seen to it
        with self._lock:
            # Whoever recovers this partition after an abandoned commit finds its rows in the
            # changelog; a late write here would put the database behind that recovery.
            if not self._abandoned:
                try:
                    self._disk.write(self._partition, rows, offset, self._marker(position))
                except DatabaseTrouble as trouble:
                    # Committed, and in the changelog: recovery waits for the disk and has it all.
                    raise Unsettled(str(trouble)) from trouble
        self._position = position

    def abandon(self) -> None:
        """Write nothing to disk from now on."""
        with self._lock:
            self._abandoned = True

    def close(self) -> None:
        """End the producer and its threads; what it still holds was not committed."""
        producer, self._held = self._held, None
        if producer is not None:
            producer.purge()

    @property
    def _producer(self) -> LaneProducer:
        if self._held is None:
            raise Unsettled("the partition was given up")
        return self._held

    @property
    def touched(self) -> frozenset[Place]:
        """Every partition that this lane's partition wrote to in transactions."""
        return frozenset(self._touched)

    def _marker(self, position: int) -> Marker:
        return Marker(position, self._position, self.touched, frozenset(self._written))

    def _first_on(self, place: Place) -> Headers:
        """For the first record on a partition: what decides about this transaction."""
        self._written.add(place)
        origin = Origin(self._changelog, self._partition, self._position)
        return [(HEADER, origin.encode())]

    def _announce(self, places: Iterable[Place]) -> None:
        """Put partitions into the marker row before anything is written to them.

        Else a worker that dies before its first commit to them leaves a transaction that nobody
        looks for.
        """
        self._touched.update(places)
        self._timestamp_ms = int(time.time() * 1_000)
        self.marker(self._position)
        self.flush()
        self.commit()
        self._call(self._producer.begin_transaction)

    def _look_after_a_lost_connection(self) -> None:
        """See `hanging`: what is written behind a transaction that hangs would share its end."""
        producer = self._producer
        producer.poll(0)
        if not producer.connection_lost:
            return
        producer.connection_lost = False
        try:
            hangs = self._any_open([*self._touched, (self._changelog, self._partition)])
        except (KafkaException, TimeoutError) as error:
            raise Unsettled(f"the connection was lost, and nobody answers: {error!r}") from error
        if hangs:
            raise Unsettled("the connection was lost, and a transaction seems to hang")

    def _marker_delivered(self, error: KafkaError | None, message: Message) -> None:
        self._marker_offset = None if error is not None else message.offset()

    def _call(self, call: Callable[[], None], *, again: bool = True) -> None:
        """Call librdkafka until it answers; whatever it answers, a `CommitError` says it.

        `again=False` for what would be in the transaction twice if it were called again.
        """
        end = time.monotonic() + SETTLE_TIMEOUT_S
        while True:
            try:
                call()
                return
            except (KafkaException, SystemError) as raised:
                error = self._named(_error_of(raised))
                if again and error.retriable() and not self._abandoned and time.monotonic() < end:
                    time.sleep(0.01)
                    continue
                self._give_up(error)

    def _named(self, error: KafkaError) -> KafkaError:
        """What is wrong with the producer, when the call itself did not say."""
        if error.code() != KafkaError._FAIL:  # noqa: SLF001
            return error
        try:
            self._producer.abort_transaction(_CALL_TIMEOUT_S)
        except KafkaException as raised:
            found: KafkaError = raised.args[0]
            return found
        return error

    def _give_up(self, error: KafkaError) -> None:
        if error.txn_requires_abort():
            try:
                self._producer.abort_transaction(SETTLE_TIMEOUT_S)
            except KafkaException as raised:
                raise Unsettled(f"the abort itself failed: {raised.args[0]}") from raised
            refuse_too_large(error, str(error))
            raise Aborted(str(error))
        if error.code() in _FENCED:
            raise Fenced(str(error))
        raise Unsettled(str(error))
