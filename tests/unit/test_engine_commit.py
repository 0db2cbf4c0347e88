"""What each answer of the broker means, and what a seat makes of it; no broker, no Faust."""

from __future__ import annotations

import asyncio
import dataclasses
import weakref
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

import pytest
from aiokafka.structs import TopicPartition
from confluent_kafka import KafkaError, KafkaException

from streamsync.engine import port as port_module
from streamsync.engine import seat as seat_module
from streamsync.engine.cluster import Catalog, Cluster, LaneProducer, TopicGone
from streamsync.engine.commit import Aborted, CommitError, CommitStep, Fenced, Unsettled, commit
from streamsync.engine.evidence import HEADER, Origin, Place
from streamsync.engine.fetch import Fetched
from streamsync.engine.lane import (
    LaneSpec,
    Output,
    Poison,
    Shard,
    SourceRecord,
    TopicSpec,
    Topology,
)
from streamsync.engine.lanes import Lanes
from streamsync.engine.pace import Pace, RejoinGuard
from streamsync.engine.partitioner import KeyPartitions, account_partition
from streamsync.engine.port import MARKER, KafkaPort, LoopBackProducer, Marker
from streamsync.engine.producing import OutputTooLarge
from streamsync.engine.rows import RowType
from streamsync.engine.seat import (
    BATCH_BYTES_MAX,
    BEHIND_MIN,
    FAILURES_MAX,
    QUEUE_BYTES_HIGH,
    QUEUE_HIGH,
    CommitRefused,
    Ground,
    Seat,
    SeatState,
)
from streamsync.engine.shard import LaneShard, MemoryRows
from streamsync.engine.trouble import DatabaseTrouble
from streamsync.engine.work import Batch, PartitionWork


def echo(_shard: Shard, record: SourceRecord) -> Iterable[Output]:
    if record.value == b"bug":
        raise ZeroDivisionError("a bug")
    yield Output("out", record.key, record.value)


def dead(record: SourceRecord, poison: Poison) -> Iterable[Output]:
    yield Output("dead", record.key, poison.reason.encode())


LANE = LaneSpec("echo", "in", echo, dead)
OUT_PARTITION = account_partition(b"k", 3)
TOPOLOGY = Topology("app", (LANE,), (TopicSpec("in", 1), TopicSpec("out", 3)), account_partition)


def error(
    code: int, *, retriable: bool = False, abort: bool = False, fatal: bool = False
) -> KafkaException:
    return KafkaException(
        KafkaError(code, "x", retriable=retriable, txn_requires_abort=abort, fatal=fatal)
    )


class FakeMessage:
    def offset(self) -> int:
        return 41


class FakeProducer:
    """A transactional producer that answers as it is told, call by call."""

    connection_lost = False

    def __init__(self, answers: Mapping[str, list[Any]] | None = None) -> None:
        self.answers = answers or {}
        self.calls: list[str] = []
        self.records: list[tuple[str, bytes | None, int]] = []
        self.headers: list[list[tuple[str, bytes]] | None] = []

    def _call(self, name: str) -> None:
        self.calls.append(name)
        waiting = self.answers.get(name)
        if waiting:
            raise waiting.pop(0)

    def begin_transaction(self) -> None:
        self._call("begin")

    def produce(  # noqa: PLR0913
        self, topic: str, _value: Any, key: Any, partition: int, delivered: Any,
        _alias: Any, _timestamp_ms: int, headers: Any,
    ) -> None:  # fmt: skip
        self._call("produce")
        self.records.append((topic, key, partition))
        self.headers.append(headers)
        if delivered is not None:
            delivered(None, FakeMessage())

    def flush(self, _timeout: float) -> int:
        self._call("flush")
        return 0

    def poll(self, _timeout: float) -> int:
        return 0

    def commit_transaction(self, _timeout: float) -> None:
        self._call("commit")

    def abort_transaction(self, _timeout: float) -> None:
        self._call("abort")

    def purge(self) -> None:
        self._call("purge")


class FakeCatalog:
    def partitions(self, topic: str) -> int:
        return TOPOLOGY.topic(topic).partitions

    def keys(self, topic: str) -> KeyPartitions:
        return KeyPartitions(TOPOLOGY.partitioner, self.partitions(topic))


class FakeDisk:
    def __init__(self) -> None:
        self.written: list[tuple[int, int, Marker]] = []

    def write(self, partition: int, _rows: object, offset: int, marker: Marker) -> None:
        self.written.append((partition, offset, marker))


OUT = ("out", OUT_PARTITION)


def port_over(
    producer: FakeProducer,
    disk: FakeDisk,
    touched: frozenset[Place] = frozenset({OUT}),
    any_open: Callable[[Iterable[Place]], bool] = lambda _places: False,
) -> KafkaPort:
    return KafkaPort(
        catalog=cast(Catalog, FakeCatalog()),
        producer=cast(LaneProducer, producer),
        loop_backs=LoopBackProducer(Cluster("127.0.0.1:1")),
        changelog="changelog",
        partition=0,
        disk=disk,
        marker=Marker(5, 5, touched),
        any_open=any_open,
    )


def batch() -> Batch:
    work = PartitionWork(LANE, LaneShard(0, MemoryRows()), 5)
    work.apply([SourceRecord("in", 0, 5, 1, b"k", b"v"), SourceRecord("in", 0, 7, 1, b"k", b"v")])
    found = work.batch()
    assert found is not None
    return found


def test_a_commit_goes_through_all_steps_in_order_and_stores_what_the_broker_confirmed() -> None:
    producer, disk, seen = FakeProducer(), FakeDisk(), []
    commit(batch(), port_over(producer, disk), lambda *place: seen.append(place))
    assert seen == [("echo", 0, step) for step in CommitStep]
    assert producer.calls == ["begin", "produce", "produce", "produce", "flush", "commit"]
    assert producer.records[-1] == ("changelog", MARKER, 0)
    assert disk.written == [(0, 41, Marker(8, 5, frozenset({OUT}), frozenset({OUT})))]


def test_a_poison_record_leaves_only_its_dead_letter_and_the_lane_goes_on() -> None:
    row = RowType("row", 1, str)

    def poisoned(shard: Shard, record: SourceRecord) -> Iterable[Output]:
        shard.put(row, "a", record.value.decode() if record.value else "")
        yield Output("out", record.key, record.value)
        if record.value == b"bad":
            raise Poison("not_good", "detail")

    lane = LaneSpec("poisoned", "in", poisoned, dead)
    work = PartitionWork(lane, LaneShard(0, MemoryRows()), 0)
    work.apply(
        SourceRecord("in", 0, offset, 1, b"k", value)
        for offset, value in enumerate((b"1", b"bad", b"2", b"bad"))
    )
    found = work.batch()
    assert found is not None
    assert [(output.topic, output.value) for output, _ in found.outputs] == [
        ("out", b"1"), ("dead", b"not_good"), ("out", b"2"), ("dead", b"not_good"),
    ]  # fmt: skip
    assert found.rows == [(b"row|a", row.encode("2"))]
    assert (found.position, found.poison) == (4, 2)


def test_an_observer_is_told_how_much_was_committed_and_only_then() -> None:
    told: list[tuple[int, int]] = []
    lane = LaneSpec(
        "echo", "in", echo, dead, on_commit=lambda records, outputs: told.append((records, outputs))
    )
    watched = dataclasses.replace(batch(), lane=lane)
    with pytest.raises(Fenced):
        broken = FakeProducer({"commit": [error(KafkaError._FENCED, fatal=True)]})
        commit(watched, port_over(broken, FakeDisk()))
    assert told == []
    commit(watched, port_over(FakeProducer(), FakeDisk()))
    assert told == [(2, 2)]


@pytest.mark.parametrize(
    ("call", "answer", "meaning"),
    [
        ("commit", error(KafkaError.INVALID_TXN_STATE, abort=True), Aborted),
        ("produce", error(KafkaError._STATE, abort=True), Aborted),
        ("commit", error(KafkaError._FENCED, fatal=True), Fenced),
        # Tried again it would be in the transaction twice.
        ("produce", error(KafkaError._TIMED_OUT, retriable=True), Unsettled),
        ("begin", error(KafkaError.INVALID_PRODUCER_EPOCH, fatal=True), Fenced),
        ("commit", error(KafkaError.OUT_OF_ORDER_SEQUENCE_NUMBER, fatal=True), Unsettled),
    ],
)
def test_each_answer_of_the_broker_has_one_meaning_and_none_reaches_the_disk(
    call: str, answer: KafkaException, meaning: type[CommitError]
) -> None:
    producer, disk = FakeProducer({call: [answer]}), FakeDisk()
    with pytest.raises(meaning):
        commit(batch(), port_over(producer, disk))
    assert disk.written == []
    assert ("abort" in producer.calls) == (meaning is Aborted)


def test_a_fatal_answer_in_the_middle_of_a_delivery_report_is_understood() -> None:
    # Seen with confluent-kafka 2.16: Python wraps the exception that was already on its way.
    broken = SystemError("returned a result with an exception set")
    broken.__cause__ = error(KafkaError._FENCED, fatal=True)
    producer = FakeProducer({"flush": [broken]})
    with pytest.raises(Fenced):
        commit(batch(), port_over(producer, FakeDisk()))
    lost = SystemError("flush returned NULL without setting an exception")
    for known, meaning in ((error(KafkaError._FENCED, fatal=True), Fenced), (None, Unsettled)):
        answers: dict[str, list[Any]] = {"flush": [lost], "abort": [known] if known else []}
        with pytest.raises(meaning):
            commit(batch(), port_over(FakeProducer(answers), FakeDisk()))
    producer = FakeProducer({"flush": [SystemError("something else")]})
    with pytest.raises(SystemError):
        commit(batch(), port_over(producer, FakeDisk()))


def test_a_retriable_answer_is_tried_again() -> None:
    answers = [error(KafkaError._TIMED_OUT, retriable=True) for _ in range(3)]
    producer, disk = FakeProducer({"commit": answers}), FakeDisk()
    commit(batch(), port_over(producer, disk))
    assert producer.calls.count("commit") == 4
    assert disk.written == [(0, 41, Marker(8, 5, frozenset({OUT}), frozenset({OUT})))]


def test_a_broker_that_never_answers_leaves_the_transaction_unsettled(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(port_module, "SETTLE_TIMEOUT_S", 0.05)
    answers = [error(KafkaError._TIMED_OUT, retriable=True) for _ in range(1_000)]
    disk = FakeDisk()
    with pytest.raises(Unsettled):
        commit(batch(), port_over(FakeProducer({"commit": answers}), disk))
    assert disk.written == []


def test_an_abort_that_fails_is_unsettled() -> None:
    producer = FakeProducer(
        {
            "commit": [error(KafkaError.INVALID_TXN_STATE, abort=True)],
            "abort": [error(KafkaError._TIMED_OUT)],
        }
    )
    with pytest.raises(Unsettled, match="abort itself"):
        commit(batch(), port_over(producer, FakeDisk()))


def test_an_output_that_no_broker_takes_stops_with_a_sentence() -> None:
    producer = FakeProducer({"produce": [error(KafkaError.MSG_SIZE_TOO_LARGE)]})
    with pytest.raises(OutputTooLarge, match="'out'"):
        commit(batch(), port_over(producer, FakeDisk()))


def test_an_output_that_this_broker_does_not_take_stops_with_what_to_set() -> None:
    producer = FakeProducer({"commit": [error(KafkaError.MSG_SIZE_TOO_LARGE, abort=True)]})
    disk = FakeDisk()
    with pytest.raises(OutputTooLarge, match="max.message.bytes"):
        commit(batch(), port_over(producer, disk))
    assert producer.calls[-1] == "abort"
    assert disk.written == []


def test_a_marker_keeps_every_partition_and_marks_those_of_its_transaction() -> None:
    producer, disk = FakeProducer(), FakeDisk()
    commit(batch(), port_over(producer, disk, frozenset({("earlier", 7), OUT})))
    marker = disk.written[0][2]
    assert marker == Marker(8, 5, frozenset({("earlier", 7), OUT}), frozenset({OUT}))
    assert Marker.decode(marker.encode()) == marker


def test_the_first_record_on_each_partition_says_what_decides_about_its_transaction() -> None:
    producer = FakeProducer()
    port = port_over(producer, FakeDisk())
    commit(batch(), port)
    first, second, marker = producer.headers
    assert first == [(HEADER, Origin("changelog", 0, 5).encode())]
    assert second is None and marker is None
    assert Origin.decode(first[0][1]) == Origin("changelog", 0, 5)
    commit(batch(), port)
    assert producer.headers[3] == [(HEADER, Origin("changelog", 0, 8).encode())]


def test_a_new_partition_is_in_a_committed_marker_before_anything_is_written_to_it() -> None:
    producer = FakeProducer()
    port = port_over(producer, FakeDisk(), frozenset())
    commit(batch(), port)
    assert [topic for topic, *_ in producer.records] == ["changelog", "out", "out", "changelog"]
    assert producer.calls[:5] == ["begin", "produce", "flush", "commit", "begin"]
    assert port.touched == {OUT}


@pytest.mark.parametrize("hangs", [False, True])
def test_after_a_lost_connection_nothing_is_written_behind_a_transaction_that_hangs(
    hangs: bool,
) -> None:
    producer = FakeProducer()
    asked: list[Place] = []

    def any_open(places: Iterable[Place]) -> bool:
        asked.extend(places)
        return hangs

    producer.connection_lost = True
    port = port_over(producer, FakeDisk(), any_open=any_open)
    if hangs:
        with pytest.raises(Unsettled, match="hang"):
            commit(batch(), port)
        assert producer.calls == []
    else:
        commit(batch(), port)
        commit(batch(), port)
        assert producer.calls.count("commit") == 2
    assert asked == [OUT, ("changelog", 0)]


def test_a_connection_lost_within_a_transaction_ends_its_producer() -> None:
    producer = FakeProducer()

    def lose(_lane: str, _partition: int, step: CommitStep) -> None:
        producer.connection_lost |= step is CommitStep.OUTPUTS

    with pytest.raises(Unsettled, match="connection"):
        commit(batch(), port_over(producer, FakeDisk()), lose)
    assert "commit" not in producer.calls


def test_an_abandoned_port_writes_nothing_any_more() -> None:
    disk = FakeDisk()
    port = port_over(FakeProducer(), disk)
    port.marker(3)
    port.abandon()
    port.store([], 3)
    assert disk.written == []
    port.close()
    with pytest.raises(Unsettled):
        port.begin()


class FakeHost:
    """The worker around a seat: commits fail as told, recovery gives fresh ground."""

    spec = LANE

    def __init__(self, outcomes: list[BaseException | None]) -> None:
        self.outcomes = outcomes
        self.committed_batches: list[Batch] = []
        self.recoveries = 0
        self.losses: list[CommitError] = []
        self.crashes: list[BaseException] = []
        self.sought: list[int] = []
        self.fetching: list[bool] = []
        self.producers: list[weakref.ref[FakeProducer]] = []
        self.alive_at_recovery: list[object] = []
        self.flush_fails: BaseException | None = None
        self.end: int | None = None
        self.gone: TopicGone | None = None

    def fault(self, _lane: str, _partition: int, step: CommitStep) -> None:
        if step is CommitStep.COMMIT and self.outcomes:
            outcome = self.outcomes.pop(0)
            if outcome is not None:
                raise outcome

    def ground(self) -> Ground:
        position = self.committed_batches[-1].position if self.committed_batches else 0
        producer = FakeProducer({"flush": [self.flush_fails]} if self.flush_fails else None)
        self.flush_fails = None
        self.producers.append(weakref.ref(producer))
        return Ground(MemoryRows(), position, port_over(producer, FakeDisk()))

    async def look_again(self) -> None:
        if self.gone is not None:
            raise self.gone

    async def recover_again(self, _partition: int) -> Ground:
        self.recoveries += 1
        self.alive_at_recovery = [born() for born in self.producers if born() is not None]
        return self.ground()

    async def seek(self, seat: Seat) -> None:
        self.sought.append(seat.resume_position)
        seat.fetch_floor = 0

    async def set_fetching(self, _partition: int, fetching: bool) -> None:
        self.fetching.append(fetching)

    def end_offset(self, _partition: int) -> int | None:
        return self.end

    async def run_in_thread(self, call: Callable[[], None]) -> None:
        await asyncio.sleep(0)
        call()

    def discard(self, port: KafkaPort) -> asyncio.Future[None]:
        port.abandon()
        port.close()
        closed: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        closed.set_result(None)
        return closed

    def lost(self, _partition: int, why: CommitError) -> None:
        self.losses.append(why)

    def committed(self, done: Batch, _seconds: float) -> None:
        self.committed_batches.append(done)

    def failed(self, _outcome: str) -> None: ...

    async def crash(self, reason: BaseException) -> None:
        self.crashes.append(reason)


def records(first: int, count: int, value: bytes = b"v") -> Fetched:
    found = [SourceRecord("in", 0, first + n, 1, b"k", value) for n in range(count)]
    return Fetched(first, first + count, found)


async def until(done: Callable[[], bool]) -> None:
    for _ in range(500):
        if done():
            return
        await asyncio.sleep(0.005)
    raise AssertionError("nothing happened")


async def test_a_seat_commits_a_quiet_partition_at_once_and_releases_with_a_last_commit() -> None:
    host: Any = FakeHost([])
    seat = Seat(host, 0, host.ground(), Pace())
    seat.offer(records(0, 3))
    await until(lambda: len(host.committed_batches) == 1)
    seat.offer(records(3, 2))
    await asyncio.sleep(0.02)
    await seat.release(5)
    assert host.committed_batches[-1].position == 5
    assert seat.state is SeatState.RELEASED
    assert not host.crashes


async def test_a_partition_far_behind_fills_its_transaction_and_near_the_end_waits_no_more() -> (
    None
):
    host: Any = FakeHost([])
    host.end = 3 * BEHIND_MIN
    seat = Seat(host, 0, host.ground(), Pace())
    seat.offer(records(0, BEHIND_MIN))
    await asyncio.sleep(0.1)
    assert not host.committed_batches
    seat.offer(records(BEHIND_MIN, BEHIND_MIN))
    await until(lambda: bool(host.committed_batches))
    assert host.committed_batches[0].records == 2 * BEHIND_MIN
    await seat.release(5)


async def test_a_partition_far_behind_whose_records_do_not_come_commits_what_it_has(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(seat_module, "WORK_MAX_S", 0.1)
    host: Any = FakeHost([])
    host.end = 3 * BEHIND_MIN
    seat = Seat(host, 0, host.ground(), Pace())
    seat.offer(records(0, 1))
    await until(lambda: seat.committed_position == 1)
    await seat.release(5)


@pytest.mark.parametrize("failure", [Aborted("x"), Unsettled("x")], ids=["aborted", "unsettled"])
async def test_a_failed_commit_recovers_in_place_and_runs_the_same_records_again(
    failure: CommitError,
) -> None:
    host: Any = FakeHost([failure])
    seat = Seat(host, 0, host.ground(), Pace())
    seat.offer(records(0, 3))
    await until(lambda: bool(host.sought))
    assert (host.recoveries, host.sought, seat.state) == (1, [0], SeatState.ACTIVE)
    seat.offer(records(0, 3))
    await until(lambda: len(host.committed_batches) == 1)
    assert (host.committed_batches[0].records, host.committed_batches[0].position) == (3, 3)
    await seat.release(5)


async def test_no_producer_outlives_its_failure_into_the_recovery() -> None:
    """Alive it could still add partitions to a transaction that the recovery is to settle."""
    host: Any = FakeHost([])
    host.flush_fails = error(KafkaError._TIMED_OUT)
    seat = Seat(host, 0, host.ground(), Pace())
    seat.offer(records(0, 3))
    await until(lambda: bool(host.sought))
    assert host.recoveries == 1
    assert host.alive_at_recovery == []
    await seat.release(5)


async def test_a_database_that_fails_in_a_step_is_recovered_in_place() -> None:
    class FullDisk(MemoryRows):
        def get(self, key: bytes) -> bytes | None:
            raise DatabaseTrouble(Path("db"), "IO error: No space left on device", damaged=False)

    total = RowType("total", 1, int)

    def count(shard: Shard, record: SourceRecord) -> Iterable[Output]:
        shard.put(total, "all", (shard.get(total, "all") or 0) + 1)
        yield Output("out", record.key, record.value)

    host: Any = FakeHost([])
    host.spec = dataclasses.replace(LANE, step=count)
    seat = Seat(host, 0, dataclasses.replace(host.ground(), rows=FullDisk()), Pace())
    seat.offer(records(0, 3))
    await until(lambda: bool(host.sought))
    assert (host.recoveries, host.sought, seat.state) == (1, [0], SeatState.ACTIVE)
    seat.offer(records(0, 3))
    await until(lambda: len(host.committed_batches) == 1)
    await seat.release(5)
    assert not host.crashes


def test_a_commit_whose_database_is_full_is_left_to_recovery() -> None:
    class FullDisk(FakeDisk):
        def write(self, _partition: int, _rows: object, _offset: int, _marker: Marker) -> None:
            raise DatabaseTrouble(Path("db"), "IO error: No space left on device", damaged=False)

    producer = FakeProducer()
    with pytest.raises(Unsettled, match="No space left"):
        commit(batch(), port_over(producer, FullDisk()))
    assert producer.calls[-1] == "commit"


async def test_a_fenced_seat_forgets_everything_and_asks_the_group() -> None:
    host: Any = FakeHost([Fenced("x")])
    seat = Seat(host, 0, host.ground(), Pace())
    seat.offer(records(0, 3))
    await until(lambda: bool(host.losses))
    await seat.release(5)
    assert seat.state is SeatState.LOST
    assert host.committed_batches == []


async def test_a_bug_in_a_step_stops_the_worker_before_the_commit(
    caplog: pytest.LogCaptureFixture,
) -> None:
    host: Any = FakeHost([])
    seat = Seat(host, 0, host.ground(), Pace())
    seat.offer(records(0, 2))
    seat.offer(records(2, 1, b"bug"))
    await until(lambda: bool(host.crashes))
    await seat.release(5)
    assert isinstance(host.crashes[0], ZeroDivisionError)
    assert host.committed_batches == []
    assert "Lane echo partition 0 can't go on at offset 2 of in" in caplog.text


@pytest.mark.parametrize(
    ("gone", "error", "sentence"),
    [
        (None, CommitRefused, "the broker says no"),
        (TopicGone("Topic 'sums' was deleted"), TopicGone, "Topic 'sums' was deleted"),
    ],
)
async def test_a_batch_that_is_never_taken_stops_the_worker_with_a_sentence(
    gone: TopicGone | None, error: type[Exception], sentence: str
) -> None:
    host: Any = FakeHost([Aborted("the broker says no")] * FAILURES_MAX)
    host.gone = gone
    seat = Seat(host, 0, host.ground(), Pace())
    for attempt in range(FAILURES_MAX):
        seat.offer(records(0, 1))
        await until(lambda: host.recoveries > attempt or bool(host.crashes))  # noqa: B023
        await asyncio.sleep(0)
    await until(lambda: bool(host.crashes))
    assert isinstance(host.crashes[0], error)
    assert sentence in str(host.crashes[0])
    await seat.release(5)


def test_the_gap_grows_with_the_partitions_that_commit_and_shrinks_again() -> None:
    pace = Pace()
    assert pace.gap(0.0) == 0
    for seat in range(2 * 8):
        pace.began(seat, 10.0)
    assert pace.gap(10.1) == pytest.approx(0.040)  # two lanes of 8 partitions, as measured
    assert pace.gap(11.5) == 0


def test_asking_the_group_again_slows_down_and_ends() -> None:
    guard = RejoinGuard(limit=3, window_s=60, pause_s=0.2)
    assert [guard.next_pause(n) for n in range(4)] == [0.2, 0.4, 0.8, None]
    assert guard.next_pause(100) == 0.2


async def test_large_records_stop_the_fetching_and_fill_a_batch_by_their_bytes() -> None:
    host: Any = FakeHost([])
    seat = Seat(host, 0, host.ground(), Pace())
    large = b"x" * (1 << 20)
    count = 2 * QUEUE_BYTES_HIGH // len(large)
    seat.offer(records(0, count, large))
    await until(lambda: sum(batch.records for batch in host.committed_batches) == count)
    most = max(batch.records for batch in host.committed_batches)
    assert most <= BATCH_BYTES_MAX // len(large) + 1
    assert host.fetching == [False, True], "paused while too much was queued, then resumed"
    seat.offer(records(count, 3))
    await until(lambda: sum(batch.records for batch in host.committed_batches) == count + 3)
    await seat.release(5)


async def test_much_that_was_done_before_is_skipped_and_the_rest_goes_on() -> None:
    host: Any = FakeHost([])
    seat = Seat(host, 0, dataclasses.replace(host.ground(), position=10), Pace())
    seat.offer(records(0, 10, b"x" * (BATCH_BYTES_MAX // 4)))
    await until(lambda: not seat.resume_position < 10)
    seat.offer(records(10, 2))
    await until(lambda: bool(host.committed_batches))
    assert (host.committed_batches[0].records, seat.committed_position) == (2, 12)
    await seat.release(5)


async def test_the_fetching_stops_also_while_a_commit_takes_its_time() -> None:
    host: Any = FakeHost([])
    begun, answered = asyncio.Event(), asyncio.Event()

    async def slowly(call: Callable[[], None]) -> None:
        begun.set()
        await answered.wait()
        call()

    host.run_in_thread = slowly
    seat = Seat(host, 0, host.ground(), Pace())
    seat.offer(records(0, 1))
    await begun.wait()
    lanes: Any = Lanes.__new__(Lanes)
    lane = SimpleNamespace(seats={0: seat})
    lanes.by_source, lanes.by_changelog, lanes._background = {"in": lane}, {}, set()
    seat.fetch_floor = 0
    lanes.take({TopicPartition("in", 0): records(1, QUEUE_HIGH)}, 1)
    assert not seat.overfull
    lanes.take({TopicPartition("in", 0): records(QUEUE_HIGH + 1, 1)}, 2)
    assert seat.overfull
    await until(lambda: host.fetching == [False])
    assert not seat.overfull
    answered.set()
    await until(lambda: seat.committed_position == QUEUE_HIGH + 2)
    assert host.fetching == [False, True]
    await seat.release(5)
