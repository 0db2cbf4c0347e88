"""A transaction that the broker forgot is ended by recovery, as the marker row says.

To make one, partition verification is switched off on the broker and records are written to
partitions that the transaction was never told of: its end is then not written to them.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path

import pytest
from aiokafka import AIOKafkaProducer, TopicPartition
from confluent_kafka.admin import (
    AdminClient,
    AlterConfigOpType,
    ConfigEntry,
    ConfigResource,
    ResourceType,
)

from streamsync.engine.lane import SourceRecord
from streamsync.engine.partitioner import account_partition
from streamsync.engine.port import Marker
from streamsync.engine.shard import LaneShard, MemoryRows
from streamsync.engine.work import PartitionWork
from tests.engine_run import MARKER, Run
from tests.engine_toy import toy

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


def what_the_lane_would_write(run: Run, start: int) -> list[Record]:
    """Outputs and marker of the sequence lane for what lies unread in partition 0."""
    source = f"{run.prefix}.numbers"
    lane = toy(run.prefix, run.partitions).lane("sequence-numbers")
    work = PartitionWork(lane, LaneShard(0, MemoryRows()), start)
    work.apply(
        SourceRecord(source, partition, offset, 0, key, value)
        for partition, offset, key, value in run.read(source)
        if partition == 0
    )
    batch = work.batch()
    assert batch is not None
    outputs = [
        (output.topic, account_partition(output.key, run.partitions), output.key, output.value)
        for output, _ in batch.outputs
    ]
    touched = frozenset((topic, partition) for topic, partition, *_ in outputs)
    marker = Marker(batch.position, touched).encode()
    return [*outputs, (f"{run.prefix}-sequence-numbers-changelog", 0, MARKER, marker)]


async def test_a_forgotten_transaction_is_committed_when_its_marker_is_there_else_aborted(
    unverified_broker: str, tmp_path: Path
) -> None:
    with Run(unverified_broker, "engine-hanging", tmp_path) as run:
        run.feed(300)
        worker = run.worker("w", 39134)
        worker.wait_ready(9)
        run.wait_settled(explain=lambda: worker.log()[-2_000:])
        assert worker.stop() == 0
        changelog = f"{run.prefix}-sequence-numbers-changelog"
        positions = [
            Marker.decode(value or b"").position
            for partition, _, key, value in run.read(changelog)
            if partition == 0 and key == MARKER
        ]
        run.feed(60)
        complete = what_the_lane_would_write(run, positions[-1])
        assert len(complete) > 3
        await leave_hanging(run, f"{run.prefix}-sequence-numbers-0", complete)
        torn = (f"{run.prefix}-ledger-changelog", 1, b"total|account-torn", b"\x01\x07")
        await leave_hanging(run, f"{run.prefix}-ledger-1", [torn])
        before = len(run.read(f"{run.prefix}.log"))

        again = run.worker("w", 39134)
        again.wait_ready(9)
        run.wait_settled(explain=lambda: again.log()[-2_000:])
        assert again.stop() == 0
        assert len(run.read(f"{run.prefix}.log")) > before
        run.check(again.data_dir)
        log = again.log()
        assert log.count("forgot a transaction of") == 2
        assert "sequence-numbers-0 at offset" in log and "it is committed now" in log
        assert "ledger-1 at offset" in log and "it is aborted now" in log
