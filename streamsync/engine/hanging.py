"""End a transaction that the broker has forgotten.

Problem: Kafka answers a commit when the decision is on disk; the transaction's markers reach the
partitions afterwards. A broker that dies in between writes them when it is back, but skips every
partition whose leader it doesn't know yet ("likely deleted already"): seen on Kafka 4.4.0 with a
single broker, in about one of five kills under load. The transaction is then over for its
coordinator and open for the partition for ever: its records stay invisible, and so does
everything behind them.

Only one transactional id writes to a changelog partition. So when, after that id was fenced, the
changelog still ends earlier for `read_committed` than for `read_uncommitted`, a transaction hangs.
Its last record, the marker row, names every partition that it touched. Was the marker written,
the whole transaction was, and it is committed again; else it is aborted and the lane runs its
records again. Both need only the transaction's end on those partitions: they are added to an
otherwise empty transaction of the same id.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Collection, Iterable
from dataclasses import dataclass
from typing import Any, cast

from aiokafka import AIOKafkaProducer, TopicPartition
from confluent_kafka import Consumer, KafkaError, KafkaException
from confluent_kafka import TopicPartition as Partition

from streamsync.engine.cluster import TRANSACTION_TIMEOUT_MS, Cluster
from streamsync.engine.port import MARKER, Marker

log = logging.getLogger(__name__)

_CALL_TIMEOUT_S = 5.0
_SETTLE_TIMEOUT_S = 30.0


@dataclass(frozen=True)
class Hanging:
    """A transaction that a changelog partition still holds open."""

    first_offset: int
    marker: Marker | None

    @property
    def touched(self) -> frozenset[tuple[str, int]]:
        return self.marker.touched if self.marker is not None else frozenset()


def find_hanging(
    cluster: Cluster, group_id: str, changelog: str, partitions: Iterable[int]
) -> dict[int, Hanging]:
    """The hanging transactions of fenced changelog partitions; nearly always none."""
    found = {}
    committed = cluster.consumer(group_id)
    everything = cluster.consumer(group_id, isolation="read_uncommitted")
    try:
        for partition in partitions:
            place = Partition(changelog, partition)
            stable = committed.get_watermark_offsets(place, _CALL_TIMEOUT_S)[1]
            end = everything.get_watermark_offsets(place, _CALL_TIMEOUT_S)[1]
            if stable < end:
                marker = _last_marker(everything, Partition(changelog, partition, stable))
                found[partition] = Hanging(int(stable), marker)
        return found
    finally:
        committed.close()
        everything.close()


def _last_marker(consumer: Consumer, start: Any) -> Marker | None:
    marker = None
    consumer.assign([start])
    while True:
        for message in consumer.consume(1_000, _CALL_TIMEOUT_S):
            error = message.error()
            if error is None:
                if message.key() == MARKER:
                    marker = Marker.decode(cast(bytes, message.value()))
            elif error.code() == KafkaError._PARTITION_EOF:  # noqa: SLF001
                return marker
            else:
                raise KafkaException(error)


def settle(
    cluster: Cluster, transactional_id: str, changelog: str, partition: int, hanging: Hanging
) -> None:
    """Write the end that is missing; fences every producer of this transactional id."""
    commit = hanging.marker is not None
    touched = {*hanging.touched, (changelog, partition)}
    log.warning(
        "The broker forgot a transaction of %s at offset %d of %s partition %d: it is %s now, on "
        "%d partitions.",
        transactional_id, hanging.first_offset, changelog, partition,
        "committed" if commit else "aborted", len(touched),
    )  # fmt: skip
    asyncio.run(
        asyncio.wait_for(_end(cluster, transactional_id, touched, commit), _SETTLE_TIMEOUT_S)
    )


async def _end(
    cluster: Cluster, transactional_id: str, touched: Collection[tuple[str, int]], commit: bool
) -> None:
    # librdkafka adds a partition to a transaction only with a record for it; aiokafka doesn't
    # need one.
    producer = AIOKafkaProducer(
        bootstrap_servers=cluster.bootstrap_servers,
        transactional_id=transactional_id,
        transaction_timeout_ms=TRANSACTION_TIMEOUT_MS,
    )
    await producer.start()
    try:
        await producer.begin_transaction()
        transaction = producer._txn_manager  # noqa: SLF001
        for topic, partition in touched:
            transaction.maybe_add_partition_to_txn(TopicPartition(topic, partition))
        while transaction.partitions_to_add():
            await asyncio.sleep(0.01)
        if commit:
            await producer.commit_transaction()
        else:
            await producer.abort_transaction()
    finally:
        await producer.stop()
