"""What the log of a partition says about the transactions in it.

Problem: when a transaction hangs, its fate must be read where it is written: in the log. Consumers
show neither whose a record is nor the markers that end transactions, and `read_committed` shows
nothing behind the first one that is open. So the batches themselves are fetched and read.

Whose a transaction is, its first record on each partition says in a header (`OriginHeader`): the
changelog partition whose marker row decides, and the position at which the transaction began. It
is committed exactly if that changelog is past this position.
"""

from __future__ import annotations

import asyncio
import enum
import logging
import time
from collections.abc import AsyncIterator, Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from aiokafka.client import AIOKafkaClient
from aiokafka.errors import KafkaConnectionError, for_code
from aiokafka.protocol.fetch import FetchRequest
from aiokafka.record.control_record import COMMIT_MARKER, ControlRecord
from aiokafka.record.memory_records import MemoryRecords
from aiokafka.structs import TopicPartition as AioPartition
from confluent_kafka import IsolationLevel, KafkaError, KafkaException, TopicPartition
from confluent_kafka.admin import AdminClient
from confluent_kafka.admin._listoffsets import OffsetSpec

from streamsync.engine.cluster import (
    ADMIN_TIMEOUT_S,
    UNKNOWN_LOOKS,
    UNKNOWN_PAUSE_S,
    Cluster,
)

log = logging.getLogger(__name__)

HEADER = "transaction"
_FETCH_BYTES = 4 << 20
_FETCH_WAIT_MS = 500
_READ_UNCOMMITTED = 0
_TIMEOUT_S = 30.0
_UNKNOWN = (
    KafkaError.UNKNOWN_TOPIC_OR_PART,
    KafkaError._UNKNOWN_TOPIC,  # noqa: SLF001
    KafkaError._UNKNOWN_PARTITION,  # noqa: SLF001
)

Place = tuple[str, int]


@dataclass(frozen=True, slots=True)
class Origin:
    """Who wrote a transaction, and from which source position on."""

    changelog: str
    partition: int
    start: int

    def encode(self) -> bytes:
        return f"{self.changelog} {self.partition} {self.start}".encode()

    @classmethod
    def decode(cls, value: bytes) -> Origin:
        changelog, partition, start = value.decode().rsplit(" ", 2)
        return cls(changelog, int(partition), int(start))

    @property
    def writer(self) -> Place:
        return self.changelog, self.partition


def find_open(cluster: Cluster, places: Iterable[Place]) -> dict[Place, tuple[int, int]]:
    """Partitions with an open transaction: the offset at which readers are held, and the end.

    A partition that the broker doesn't know is asked for a few times, since a broker that has
    just come back doesn't know all of them yet; then its topic counts as deleted.
    """
    admin = cluster.admin()
    wanted = set(places)
    for attempt in range(UNKNOWN_LOOKS):
        stable = _ends(admin, wanted, IsolationLevel.READ_COMMITTED)
        unknown = wanted - stable.keys() - cluster.deleted
        if not unknown:
            break
        if attempt < UNKNOWN_LOOKS - 1:
            time.sleep(UNKNOWN_PAUSE_S)
    else:
        log.warning("Topics that lanes wrote to were deleted: %s", sorted(unknown))
        cluster.deleted |= unknown
    end = _ends(admin, stable, IsolationLevel.READ_UNCOMMITTED)
    return {
        place: (held, end[place])
        for place, held in stable.items()
        if place in end and held < end[place]
    }


def _ends(
    admin: AdminClient, places: Iterable[Place], isolation: IsolationLevel
) -> dict[Place, int]:
    """The end of each partition that the broker knows."""
    latest = OffsetSpec.latest()  # type: ignore[no-untyped-call]
    wanted = {TopicPartition(*place): latest for place in sorted(places)}
    if not wanted:
        return {}
    asked = admin.list_offsets(wanted, isolation_level=isolation, request_timeout=ADMIN_TIMEOUT_S)
    found = {}
    for place, future in asked.items():
        try:
            found[place.topic, place.partition] = future.result(ADMIN_TIMEOUT_S).offset
        except KafkaException as raised:
            if raised.args[0].code() not in _UNKNOWN:
                raise
    return found


class Fate(enum.Enum):
    """How a transaction ended on one partition."""

    OPEN = "open"
    COMMITTED = "committed"
    ABORTED = "aborted"


@dataclass(frozen=True, slots=True)
class Sighting:
    """A transaction as one partition shows it."""

    origin: Origin
    fate: Fate


class Sightings:
    """The transactions that begin within some batches, by their first record there.

    Batches are taken one by one: behind a transaction that hangs there may be very many.
    """

    def __init__(self) -> None:
        self._ended: list[Sighting] = []
        self._running: dict[int, Origin] = {}

    def take(self, batch: Any) -> None:
        if not batch.is_transactional:
            return
        producer = batch.producer_id
        if batch.is_control_batch:
            origin = self._running.pop(producer, None)
            if origin is not None:
                marker = ControlRecord.parse(next(iter(batch)).key)
                committed = marker.type_ == COMMIT_MARKER.type_
                fate = Fate.COMMITTED if committed else Fate.ABORTED
                self._ended.append(Sighting(origin, fate))
        elif producer not in self._running:
            origin = _origin(batch)
            if origin is not None:
                self._running[producer] = origin

    def seen(self) -> list[Sighting]:
        """Those that ended, in the order of their ends, then those that are open."""
        return [*self._ended, *(Sighting(one, Fate.OPEN) for one in self._running.values())]


def _origin(batch: Any) -> Origin | None:
    for record in batch:
        for name, value in record.headers:
            if name == HEADER and value is not None:
                return Origin.decode(value)
    return None


def look(cluster: Cluster, starts: Mapping[Place, tuple[int, int]]) -> dict[Place, list[Sighting]]:
    """What stands between two offsets of each of these partitions; blocks.

    Raises aiokafka's `KafkaError`, or `TimeoutError`, while no broker answers.
    """

    async def run() -> dict[Place, list[Sighting]]:
        client = AIOKafkaClient(**cluster.brokers.aiokafka())
        try:
            await client.bootstrap()
            await client.set_topics(sorted({topic for topic, _ in starts}))
            found = {}
            for place, (start, end) in starts.items():
                sightings = Sightings()
                async for batch in _batches(client, place, start, end):
                    sightings.take(batch)
                found[place] = sightings.seen()
            return found
        finally:
            await client.close()

    return asyncio.run(asyncio.wait_for(run(), _TIMEOUT_S))


async def _batches(
    client: AIOKafkaClient, place: Place, start: int, end: int
) -> AsyncIterator[Any]:
    offset = start
    while offset < end:
        leader = client.cluster.leader_for_partition(AioPartition(*place))
        if leader is None or leader < 0:
            raise KafkaConnectionError(f"{place[0]!r} partition {place[1]} has no leader just now")
        request = FetchRequest(
            _FETCH_WAIT_MS, 1, _FETCH_BYTES, _READ_UNCOMMITTED,
            [(place[0], [(place[1], offset, _FETCH_BYTES)])],
        )  # fmt: skip
        answer = await client.send(leader, request)
        ((_, ((_, error, *_, data),)),) = answer.topics
        if error:
            raise for_code(error)(f"{place[0]!r} partition {place[1]} at {offset}")
        for batch in _unpacked(data):
            # A fetch begins with the whole batch that its offset lies in.
            if offset <= batch.base_offset < end:
                yield batch
            offset = max(offset, batch.next_offset)


def _unpacked(data: bytes) -> Iterator[Any]:
    records = MemoryRecords(data)
    while records.has_next():
        yield records.next_batch()
