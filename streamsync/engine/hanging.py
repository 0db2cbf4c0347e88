"""End transactions that the broker has forgotten.

Problem: a transaction is over when Kafka's coordinator has decided; its end reaches the partitions
afterwards. A broker that dies in between writes the ends when it is back, but skips every
partition whose leader it doesn't know yet ("likely deleted already"): seen on Kafka 4.4.0 with a
single broker, in every other kill under load. The transaction is then over for its coordinator
and open for the partition: its records stay invisible, with everything behind them, until the
next end of the same transactional id makes them visible or not, whatever they are.

So recovery, once the id is fenced, looks at every partition that the lane's partition ever wrote
to (the marker row keeps the list, and is written before the first record to a new one). Where
`read_committed` ends earlier than `read_uncommitted` it reads the log itself (`evidence`) and
writes the end that is missing. Which one it must be is never guessed:

- The transaction hangs on an output partition: its first record there says at which source
  position it began. Committed, if the changelog is past that position; else aborted.
- It hangs on the changelog itself. Without its marker row it was never committed, since a commit
  is only asked for when all of it has arrived. With it: committed, if the local database holds it
  (written after the broker's yes only), or if one of the partitions it wrote to shows it so.
  If all of them hang too, nobody has seen anything of it: it is aborted, and run again.

This holds as long as no later transaction of the same id is mixed with one that hangs, because
both would share one end. So a producer that lost a connection is not written with until a look
at its partitions shows that nothing is open (`port`), and `watch` looks from time to time as
well. What is left: a worker that dies in the milliseconds in which recovery writes a forgotten
commit anew; the coordinator then aborts what the worker had begun to commit.

An end that the partition didn't need changes nothing.
"""

from __future__ import annotations

import asyncio
import logging
from collections import defaultdict
from collections.abc import Callable, Collection, Iterable, Mapping
from dataclasses import dataclass
from typing import cast

from aiokafka import AIOKafkaProducer
from aiokafka.structs import TopicPartition as AioPartition
from confluent_kafka import Consumer, KafkaError, KafkaException, TopicPartition

from streamsync.engine.cluster import ADMIN_TIMEOUT_S, Cluster
from streamsync.engine.evidence import Fate, Place, find_open, look
from streamsync.engine.port import MARKER, Marker

log = logging.getLogger(__name__)

_POLL_S = 0.2  # the client waits that long for a full batch
_START_TIMEOUT_S = 30.0
# Longer than a broker takes to come back: a commit that it didn't hear must not time out.
_END_TIMEOUT_MS = 600_000
_WINDOW = 1_000


@dataclass(frozen=True, slots=True)
class Writer:
    """A partition of a lane, as its transactions know it."""

    transactional_id: str
    changelog: str
    partition: int

    @property
    def place(self) -> Place:
        return self.changelog, self.partition


class Settling:
    """Writes the ends that are missing for some partitions of one lane; everything blocks.

    `held` says whether the local database of a partition contains a changelog offset. `check`
    raises when the partitions are taken away. `fence` is called after an end was written, which
    takes the transactional id.
    """

    def __init__(
        self,
        cluster: Cluster,
        held: Callable[[int, int], bool],
        check: Callable[[], None],
        fence: Callable[[int], None],
    ) -> None:
        self._cluster = cluster
        self._held = held
        self._check = check
        self._fence = fence

    def changelogs(self, writers: Iterable[Writer]) -> None:
        """What hangs on the changelogs themselves; before they are read."""
        by_place = {writer.place: writer for writer in writers}
        for place, (stable, _) in find_open(self._cluster, by_place).items():
            writer = by_place[place]
            found = last_marker(self._cluster, place, stable, self._check)
            if found is None:
                self._end(writer, {place}, commit=False)
                continue
            offset, marker = found
            commit = self._held(writer.partition, offset) or self._seen(writer, marker)
            self._end(writer, {place, *marker.written}, commit=commit)

    def outputs(self, writers: Iterable[Writer], markers: Mapping[int, Marker]) -> None:
        """What hangs elsewhere; after the changelogs were read, and with them the markers."""
        touched = {writer: markers[writer.partition].touched for writer in writers}
        held_up = find_open(self._cluster, frozenset().union(*touched.values()))
        if not held_up:
            return
        seen = look(self._cluster, held_up)
        for writer, places in touched.items():
            position = markers[writer.partition].position
            ends: defaultdict[bool, set[Place]] = defaultdict(set)
            for place in places & seen.keys():
                for one in seen[place]:
                    if one.origin.writer == writer.place and one.fate is Fate.OPEN:
                        ends[one.origin.start < position].add(place)
            for commit, found in ends.items():
                self._end(writer, found, commit=commit)

    def _seen(self, writer: Writer, marker: Marker) -> bool:
        """Whether some partition shows this transaction as committed."""
        for place in sorted(marker.written):
            fate = self._fate(place, writer, marker.start)
            if fate is not Fate.OPEN:
                return fate is Fate.COMMITTED
        return False

    def _fate(self, place: Place, writer: Writer, start: int) -> Fate:
        """How the transaction that began at `start` ended here; it is looked for backwards."""
        low, high = _bounds(self._cluster, place)
        window = _WINDOW
        while True:
            begin = max(low, high - window)
            seen = look(self._cluster, {place: (begin, high)})[place]
            mine = [one for one in seen if one.origin.writer == writer.place]
            for one in mine:
                if one.origin.start >= start:
                    return one.fate
            if mine or begin == low:
                return Fate.ABORTED  # it never arrived here, so it can't have been committed
            window *= 10

    def _end(self, writer: Writer, places: Collection[Place], *, commit: bool) -> None:
        self._check()
        try:
            end_transaction(
                self._cluster, writer.transactional_id, places, commit=commit, check=self._check
            )
        finally:
            self._fence(writer.partition)


def _bounds(cluster: Cluster, place: Place) -> tuple[int, int]:
    consumer = cluster.consumer("unused", isolation="read_uncommitted")
    try:
        low, high = consumer.get_watermark_offsets(TopicPartition(*place), ADMIN_TIMEOUT_S)
        return int(low), int(high)
    finally:
        consumer.close()


def last_marker(
    cluster: Cluster, changelog: Place, start: int, check: Callable[[], None]
) -> tuple[int, Marker] | None:
    """The last marker row from `start` on, committed or not, with its offset.

    Blocks until the end was read, or `check` raises.
    """
    consumer: Consumer = cluster.consumer("unused", isolation="read_uncommitted")
    try:
        consumer.assign([TopicPartition(*changelog, start)])
        found = None
        while True:
            check()
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
    cluster: Cluster,
    transactional_id: str,
    places: Collection[Place],
    *,
    commit: bool,
    check: Callable[[], None],
) -> None:
    """Write an end to these partitions; fences every other producer of this id. Blocks.

    Once begun it waits for the broker as long as `check` doesn't raise: to give up would make
    the coordinator abort what is to be committed.
    """
    log.warning(
        "The broker left a transaction of %s open; it is %s now, on %d partitions.",
        transactional_id, "committed" if commit else "aborted", len(places),
    )  # fmt: skip
    asyncio.run(_end(cluster, transactional_id, places, commit, check))


async def _end(
    cluster: Cluster,
    transactional_id: str,
    places: Collection[Place],
    commit: bool,
    check: Callable[[], None],
) -> None:
    # librdkafka adds a partition to a transaction only with a record for it, aiokafka without.
    producer = AIOKafkaProducer(
        **cluster.brokers.aiokafka(),
        transactional_id=transactional_id,
        transaction_timeout_ms=_END_TIMEOUT_MS,
    )
    try:
        await asyncio.wait_for(producer.start(), _START_TIMEOUT_S)
        await producer.begin_transaction()
        transaction = producer._txn_manager  # noqa: SLF001
        for place in places:
            transaction.maybe_add_partition_to_txn(AioPartition(*place))
        end = producer.commit_transaction if commit else producer.abort_transaction
        ending = asyncio.ensure_future(end())
        try:
            while not ending.done():
                check()
                await asyncio.wait([ending], timeout=_POLL_S)
        finally:
            ending.cancel()
        ending.result()
    finally:
        await producer.stop()
