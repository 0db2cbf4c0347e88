"""End transactions that the broker has forgotten.

Problem: a transaction is over when Kafka's coordinator has decided; its end reaches the partitions
afterwards. A broker that dies in between writes the ends when it is back, but skips every
partition whose leader it doesn't know yet ("likely deleted already"): seen on Kafka 4.4.0 with a
single broker, in every other kill under load. The transaction is then over for its coordinator
and open for the partition: its records stay invisible, with everything behind them, until the
next end of the same transactional id makes them visible or not, whatever they are.

So recovery looks at every partition that the lane's partition ever wrote to (the marker row keeps
the list). Where `read_committed` ends earlier than `read_uncommitted` after the id was fenced, it
writes an end: a commit if the local database already holds the transaction, since it is only
written after the broker's yes; else an abort, after which the lane runs the same records again.
An end that the partition didn't need changes nothing.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Collection, Iterable
from typing import cast

from aiokafka import AIOKafkaProducer
from aiokafka.structs import TopicPartition as Place
from confluent_kafka import (
    Consumer,
    IsolationLevel,
    KafkaError,
    KafkaException,
    TopicPartition,
)
from confluent_kafka.admin import AdminClient
from confluent_kafka.admin._listoffsets import OffsetSpec

from streamsync.engine.cluster import ADMIN_TIMEOUT_S, TRANSACTION_TIMEOUT_MS, Cluster
from streamsync.engine.port import MARKER, Marker

log = logging.getLogger(__name__)

_POLL_S = 0.2  # the client waits that long for a full batch
_END_TIMEOUT_S = 30.0

PartitionOf = tuple[str, int]


def find_open(cluster: Cluster, places: Iterable[PartitionOf]) -> dict[PartitionOf, int]:
    """Partitions with an open transaction, and the offset at which readers are held."""
    wanted = [TopicPartition(topic, partition) for topic, partition in sorted(set(places))]
    if not wanted:
        return {}
    admin = cluster.admin()
    stable = _ends(admin, wanted, IsolationLevel.READ_COMMITTED)
    end = _ends(admin, wanted, IsolationLevel.READ_UNCOMMITTED)
    return {place: offset for place, offset in stable.items() if offset < end[place]}


def _ends(
    admin: AdminClient, places: list[TopicPartition], isolation: IsolationLevel
) -> dict[PartitionOf, int]:
    latest = OffsetSpec.latest()  # type: ignore[no-untyped-call]
    asked = admin.list_offsets(
        dict.fromkeys(places, latest),
        isolation_level=isolation,
        request_timeout=ADMIN_TIMEOUT_S,
    )
    return {
        (place.topic, place.partition): future.result(ADMIN_TIMEOUT_S).offset
        for place, future in asked.items()
    }


def last_marker(cluster: Cluster, changelog: PartitionOf, start: int) -> tuple[int, Marker] | None:
    """The last marker row from `start` on, committed or not, with its offset."""
    consumer: Consumer = cluster.consumer("unused", isolation="read_uncommitted")
    try:
        consumer.assign([TopicPartition(*changelog, start)])
        found = None
        while True:
            for message in consumer.consume(1_000, _POLL_S):
                error = message.error()
                if error is None:
                    if message.key() == MARKER:
                        marker = Marker.decode(cast(bytes, message.value()))
                        found = (cast(int, message.offset()), marker)
                elif error.code() == KafkaError._PARTITION_EOF:  # noqa: SLF001
                    return found
                else:
                    raise KafkaException(error)
    finally:
        consumer.close()


def end_transaction(
    cluster: Cluster, transactional_id: str, places: Collection[PartitionOf], *, commit: bool
) -> None:
    """Write an end to these partitions; fences every other producer of this id. Blocks."""
    log.warning(
        "The broker left a transaction of %s open; it is %s now, on %d partitions.",
        transactional_id, "committed" if commit else "aborted", len(places),
    )  # fmt: skip
    ending = _end(cluster, transactional_id, places, commit)
    asyncio.run(asyncio.wait_for(ending, _END_TIMEOUT_S))


async def _end(
    cluster: Cluster, transactional_id: str, places: Collection[PartitionOf], commit: bool
) -> None:
    # librdkafka adds a partition to a transaction only with a record for it, aiokafka without.
    producer = AIOKafkaProducer(
        bootstrap_servers=cluster.bootstrap_servers,
        transactional_id=transactional_id,
        transaction_timeout_ms=TRANSACTION_TIMEOUT_MS,
    )
    await producer.start()
    try:
        await producer.begin_transaction()
        transaction = producer._txn_manager  # noqa: SLF001
        for place in places:
            transaction.maybe_add_partition_to_txn(Place(*place))
        while transaction.partitions_to_add():
            await asyncio.sleep(0.01)
        if commit:
            await producer.commit_transaction()
        else:
            await producer.abort_transaction()
    finally:
        await producer.stop()
