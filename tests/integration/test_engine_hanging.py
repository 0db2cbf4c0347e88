"""A transaction that the broker forgot is ended by recovery, as the marker row says.

To make one, partition verification is switched off on the broker and records are written to
partitions that the transaction was never told of: its end is then not written to them.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

import pytest
import rocksdict
from aiokafka import AIOKafkaProducer, TopicPartition
from confluent_kafka.admin import AdminClient
from confluent_kafka.admin._config import AlterConfigOpType, ConfigEntry, ConfigResource
from confluent_kafka.admin._resource import ResourceType

from streamsync.engine.lane import SourceRecord
from streamsync.engine.partitioner import account_partition
from streamsync.engine.port import Marker
from streamsync.engine.shard import LaneShard, MemoryRows
from streamsync.engine.work import PartitionWork
from tests.engine_run import MARKER, Run, Worker
from tests.engine_toy import toy

OFFSET = b"__faust\0offset__"
Record = tuple[str, int, bytes | None, bytes | None]


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


async def leave_hanging(run: Run, transactional_id: str, records: Sequence[Record]) -> None:
    producer = AIOKafkaProducer(bootstrap_servers=run.broker, transactional_id=transactional_id)
    await producer.start()
    await producer.begin_transaction()
    transaction = producer._txn_manager  # noqa: SLF001
    transaction.maybe_add_partition_to_txn(TopicPartition(f"{run.prefix}.sums", 0))
    for topic, partition, key, value in records:
        transaction._txn_partitions.add(TopicPartition(topic, partition))  # noqa: SLF001
        await producer.send(topic, value, key, partition)
    await producer.flush()
    await producer.commit_transaction()
    await producer.stop()


def what_the_lane_would_write(run: Run, partition: int) -> list[Record]:
    """Outputs and marker of the sequence lane for what lies unread in a partition."""
    source = f"{run.prefix}.numbers"
    changelog = f"{run.prefix}-sequence-numbers-changelog"
    start = max(
        Marker.decode(value or b"").position
        for found, _, key, value in run.read(changelog)
        if found == partition and key == MARKER
    )
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
    touched = frozenset((topic, place) for topic, place, *_ in outputs)
    marker = Marker(batch.position, touched).encode()
    return [*outputs, (changelog, partition, MARKER, marker)]


@contextmanager
def stored_position(worker: Worker, lane: str, partition: int) -> Iterator[rocksdict.Rdict]:
    path = worker.data_dir / "v1" / "tables" / f"{lane}-{partition}.db"
    database = rocksdict.Rdict(str(path), options=rocksdict.Options(raw_mode=True))
    yield database
    database.close()


async def test_forgotten_transactions_are_committed_if_the_disk_has_them_and_aborted_if_not(
    unverified_broker: str, tmp_path: Path
) -> None:
    """Partition 0 was committed and stored, 1 was not, 2 never came to its marker row."""
    with Run(unverified_broker, "engine-hanging", tmp_path) as run:
        run.feed(300)
        worker = run.worker("w")
        worker.wait_ready(9)
        run.wait_settled(explain=lambda: worker.log()[-2_000:])
        assert worker.stop() == 0
        run.feed(200)
        before = len(run.read(f"{run.prefix}.log"))

        for partition in (0, 1, 2):
            records = what_the_lane_would_write(run, partition)
            assert len(records) > 3
            if partition == 2:
                records.pop()
            await leave_hanging(run, f"{run.prefix}-sequence-numbers-{partition}", records)
            if partition == 0:
                with stored_position(worker, "sequence-numbers", 0) as database:
                    offset = int(database[OFFSET] or 0) + 2  # a transaction's end lies between
                    database[OFFSET] = b"%d" % offset
                    database[MARKER] = records[-1][3]
        assert len(run.read(f"{run.prefix}.log")) == before

        again = run.worker("w")
        again.wait_ready(9)
        run.wait_settled(explain=lambda: again.log()[-2_000:])
        assert again.stop() == 0
        run.check(again.data_dir)
        log = again.log()
        left = "The broker left a transaction of " + run.prefix + "-sequence-numbers"
        assert f"{left}-0 open; it is committed now" in log
        assert f"{left}-1 open; it is aborted now" in log
        assert f"{left}-2 open; it is aborted now" in log
