"""A transaction that the broker forgot is ended by recovery, and as it was decided.

To make one, partition verification is switched off on the broker and records are written to
partitions that the transaction was never told of: its end is then not written to them.
"""

from __future__ import annotations

import time
from collections.abc import Collection, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import pytest
import rocksdict
from aiokafka import AIOKafkaProducer, TopicPartition
from confluent_kafka.admin import AdminClient
from confluent_kafka.admin._config import AlterConfigOpType, ConfigEntry, ConfigResource
from confluent_kafka.admin._resource import ResourceType

from streamsync.engine.cluster import TRANSACTION_TIMEOUT_MS, Cluster
from streamsync.engine.evidence import HEADER, Origin, Place, find_open
from streamsync.engine.lane import SourceRecord
from streamsync.engine.partitioner import account_partition
from streamsync.engine.port import Marker
from streamsync.engine.shard import LaneShard, MemoryRows
from streamsync.engine.work import PartitionWork
from tests.engine_run import MARKER, READY_S, Run, Worker, wait_until
from tests.engine_toy import toy

OFFSET = b"__faust\0offset__"
PARTITIONS = 6
Record = tuple[str, int, bytes | None, bytes | None]


@dataclass(frozen=True)
class Case:
    """One transaction of partition `partition`, of which only `ended` were told the end."""

    partition: int
    ended: Collection[str]
    committed: bool
    stored: bool = False
    marker: bool = True
    found: str = "aborted"


CASES = (
    # The database holds it: the broker had said yes.
    Case(0, (), committed=True, stored=True, found="committed"),
    # Nobody has seen anything of it.
    Case(1, (), committed=True),
    # It never came to its marker row, so nobody asked for its commit.
    Case(2, (), committed=False, marker=False),
    # The changelog has its end, an output partition has not.
    Case(3, ("changelog", "dead-letters"), committed=True, found="committed"),
    # An output partition has its end, the changelog has not.
    Case(4, ("dead-letters",), committed=True, found="committed"),
    Case(5, ("dead-letters",), committed=False),
)


@pytest.fixture
def unverified_broker(broker: str) -> Iterator[str]:
    set_verification(broker, "false")
    yield broker
    set_verification(broker, "true")


def set_verification(broker: str, value: str) -> None:
    entry = ConfigEntry(
        "transaction.partition.verification.enable",
        value,
        incremental_operation=AlterConfigOpType.SET,
    )
    resource = ConfigResource(ResourceType.BROKER, "1", incremental_configs=[entry])
    admin = AdminClient({"bootstrap.servers": broker})
    for future in admin.incremental_alter_configs([resource]).values():
        future.result(20)


def feed_everywhere(run: Run) -> None:
    """Numbers and a poison record for every account, so that each partition writes twice."""
    for number in range(60):
        key = b"account-%d" % number
        run.produce("numbers", account_partition(key, PARTITIONS), key, [b"7", b"30", b"bad"])


async def leave_hanging(
    run: Run, transactional_id: str, told: Collection[Place], records: Sequence[Record],
    origin: Origin, *, commit: bool,
) -> None:  # fmt: skip
    producer = AIOKafkaProducer(bootstrap_servers=run.broker, transactional_id=transactional_id)
    await producer.start()
    await producer.begin_transaction()
    transaction = producer._txn_manager  # noqa: SLF001
    for place in {(f"{run.prefix}.stock", 0), *told}:
        transaction.maybe_add_partition_to_txn(TopicPartition(*place))
    written: set[Place] = set()
    for topic, partition, key, value in records:
        first = (topic, partition) not in written and key != MARKER
        written.add((topic, partition))
        if (topic, partition) not in told:
            transaction._txn_partitions.add(TopicPartition(topic, partition))  # noqa: SLF001
        headers = [(HEADER, origin.encode())] if first else None
        await producer.send(topic, value, key, partition, headers=headers)
    await producer.flush()
    await (producer.commit_transaction() if commit else producer.abort_transaction())
    await producer.stop()


def stall_of_a_worker_that_hangs(run: Run) -> Future[float]:
    """Seconds for which a transaction that nobody ends holds up the readers of its partition."""
    cluster, place = Cluster(run.broker), (f"{run.prefix}.sums", 0)

    def measure() -> float:
        hung = cluster.transactional(f"{run.prefix}-hung")
        hung.init_transactions(20)
        hung.begin_transaction()
        began = time.monotonic()
        hung.produce(place[0], value=b"never", partition=place[1])
        assert hung.flush(20) == 0
        assert find_open(cluster, [place])
        while find_open(cluster, [place]):
            time.sleep(0.2)
        return time.monotonic() - began

    pool = ThreadPoolExecutor(1)
    found = pool.submit(measure)
    pool.shutdown(wait=False)
    return found


def position_of(run: Run, partition: int) -> int:
    return max(
        Marker.decode(value or b"").position
        for found, _, key, value in run.read(f"{run.prefix}-sequence-numbers-changelog")
        if found == partition and key == MARKER
    )


def what_the_lane_would_write(run: Run, partition: int) -> list[Record]:
    """Outputs and marker of the sequence lane for what lies unread in a partition."""
    source = f"{run.prefix}.numbers"
    start = position_of(run, partition)
    lane = toy(run.prefix, run.partitions).lane("sequence-numbers")
    work = PartitionWork(lane, LaneShard(partition, MemoryRows()), start)
    work.apply(
        SourceRecord(source, partition, offset, 0, key, value)
        for found, offset, key, value in run.read(source)
        if found == partition
    )
    batch = work.batch()
    assert batch is not None
    outputs = [
        (output.topic, account_partition(output.key, run.partitions), output.key, output.value)
        for output, _ in batch.outputs
    ]
    places = frozenset((topic, place) for topic, place, *_ in outputs)
    assert len(places) == 2
    marker = Marker(batch.position, start, places, places).encode()
    changelog = f"{run.prefix}-sequence-numbers-changelog"
    return [*outputs, (changelog, partition, MARKER, marker)]


@contextmanager
def stored_position(worker: Worker, lane: str, partition: int) -> Iterator[rocksdict.Rdict]:
    path = worker.data_dir / "v1" / "tables" / f"{lane}-{partition}.db"
    database = rocksdict.Rdict(str(path), options=rocksdict.Options(raw_mode=True))
    yield database
    database.close()


async def play(run: Run, worker: Worker, case: Case) -> None:
    partition = case.partition
    changelog = f"{run.prefix}-sequence-numbers-changelog"
    records = what_the_lane_would_write(run, partition)
    marker = records[-1][3]
    if not case.marker:
        records.pop()
    names = {"changelog": changelog, "dead-letters": f"{run.prefix}.dead-letters"}
    told = {(names[name], partition) for name in case.ended}
    origin = Origin(changelog, partition, position_of(run, partition))
    await leave_hanging(
        run, f"{run.prefix}-sequence-numbers-{partition}", told, records, origin,
        commit=case.committed,
    )  # fmt: skip
    if case.stored:
        with stored_position(worker, "sequence-numbers", partition) as database:
            offset = int(database[OFFSET] or 0) + 2  # a transaction's end lies between
            database[OFFSET] = b"%d" % offset
            database[MARKER] = marker


async def test_every_forgotten_transaction_is_ended_as_it_was_decided(
    unverified_broker: str, tmp_path: Path
) -> None:
    with Run(unverified_broker, "engine-hanging", tmp_path, PARTITIONS) as run:
        feed_everywhere(run)
        worker = run.worker("w")
        worker.wait_ready(2 * PARTITIONS + 1)
        run.wait_settled(explain=lambda: worker.log()[-2_000:])
        assert worker.stop() == 0
        feed_everywhere(run)
        before = len(run.read(f"{run.prefix}.log"))
        for case in CASES:
            await play(run, worker, case)
        assert len(run.read(f"{run.prefix}.log")) == before

        again = run.worker("w")
        again.wait_ready(2 * PARTITIONS + 1)
        run.wait_settled(explain=lambda: again.log()[-2_000:])
        assert again.stop() == 0
        run.check(again.data_dir)
        for case in CASES:
            writer = f"{run.prefix}-sequence-numbers-{case.partition}"
            said = f"The broker left a transaction of {writer} open; it is {case.found} now"
            assert again.log().count(said) == 1, case
        assert again.log().count("The broker left a transaction") == len(CASES)


async def test_what_hangs_without_a_failure_is_noticed_and_a_hung_worker_holds_up_less_than_10_s(
    unverified_broker: str, tmp_path: Path
) -> None:
    with Run(unverified_broker, "engine-watch", tmp_path, 2) as run:
        run.feed(50)
        worker = run.worker("w")
        worker.wait_ready(5)
        run.wait_settled(explain=lambda: worker.log()[-2_000:])
        changelog = f"{run.prefix}-sequence-numbers-changelog"
        origin = Origin(changelog, 1, position_of(run, 1))
        record = (f"{run.prefix}.log", 1, b"account", b"1 number nowhere-1-1")
        await leave_hanging(
            run, f"{run.prefix}-sequence-numbers-1", (), [record], origin, commit=False
        )
        stall = stall_of_a_worker_that_hangs(run)
        # By the other partition, so that the writer of the transaction does nothing itself.
        key = next(key for n in range(99) if account_partition(key := b"account-%d" % n, 2) == 0)
        run.produce("numbers", 0, key, [b"1"] * 50)
        stands = f"Readers of {run.prefix}.log partition 1 stand at offset"
        wait_until(lambda: stands in worker.log(), READY_S, lambda: worker.log()[-2_000:])
        run.wait_settled(explain=lambda: worker.log()[-2_000:])
        ended = f"{run.prefix}-sequence-numbers-1 open; it is aborted now"
        wait_until(lambda: ended in worker.log(), READY_S, lambda: worker.log()[-2_000:])
        assert worker.stop() == 0
        run.check(worker.data_dir)
        # The broker ends it after its time-out, and looks every second.
        assert TRANSACTION_TIMEOUT_MS / 2_000 < stall.result(READY_S) < 10
