"""The broker of a benchmark: topics made, filled, and read back as committed.

Problem: contenders must meet the same bytes, and a figure counts only when what was written is
right. How: plain confluent-kafka clients that know nothing of the contenders.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from typing import Any

from confluent_kafka import Consumer, KafkaError, KafkaException, Message, Producer, TopicPartition
from confluent_kafka.admin import AdminClient, OffsetSpec  # type: ignore[attr-defined]
from confluent_kafka.cimpl import NewTopic

from benchmarks.processes import RunFailed
from benchmarks.workload import PARTITIONS, Digest, Fold, encode_event, events

_PATIENCE_S = 30


class Broker:
    """One broker, by its address."""

    def __init__(self, bootstrap_servers: str) -> None:
        self.bootstrap_servers = bootstrap_servers
        self._admin = AdminClient({"bootstrap.servers": bootstrap_servers, "log_level": 0})

    def create(
        self, *topics: str, partitions: int = PARTITIONS, config: Mapping[str, str] | None = None
    ) -> None:
        """Create topics."""
        made = self._admin.create_topics(
            [NewTopic(topic, partitions, 1, config=dict(config or {})) for topic in topics],
            operation_timeout=_PATIENCE_S,
        )
        for future in made.values():
            future.result(_PATIENCE_S)

    def delete_but(self, kept: Iterable[str]) -> None:
        """Delete every topic that is neither the broker's own nor to be kept."""
        stay = set(kept)
        names = [
            name
            for name in self._admin.list_topics(timeout=_PATIENCE_S).topics
            if name not in stay and not name.startswith("__")
        ]
        for future in self._admin.delete_topics(names).values() if names else ():
            future.result(_PATIENCE_S)

    def producer(self, **settings: str | int | float | bool) -> Producer:
        """An idempotent producer that places keys as Java clients do."""
        return Producer(
            {
                "bootstrap.servers": self.bootstrap_servers,
                "enable.idempotence": True,
                "compression.type": "lz4",
                "partitioner": "murmur2_random",
                "log_level": 0,
                **settings,
            }
        )

    def fill(self, topic: str, records: Iterable[tuple[bytes | None, bytes]]) -> int:
        """Write records of (key, value); returns their number when the broker has all."""
        producer = self.producer(**{"linger.ms": 20, "queue.buffering.max.messages": 1_000_000})
        count = 0
        for key, value in records:
            while True:
                try:
                    producer.produce(topic, value, key)
                    break
                except BufferError:
                    producer.poll(0.1)
            count += 1
            if count % 1_000 == 0:
                producer.poll(0)
        if producer.flush(_PATIENCE_S * 4):
            raise RunFailed(f"The broker did not take all records of {topic}.")
        return count

    def consumer(self) -> Consumer:
        """A consumer of committed records that tells where partitions end."""
        return Consumer(
            {
                "bootstrap.servers": self.bootstrap_servers,
                "group.id": "benchmark",
                "enable.auto.commit": False,
                "isolation.level": "read_committed",
                "enable.partition.eof": True,
                "auto.offset.reset": "earliest",
                "queued.min.messages": 200_000,
                "fetch.wait.max.ms": 20,
                "log_level": 0,
            }
        )

    def partitions(self, consumer: Consumer, topic: str) -> Sequence[int]:
        """The partitions of a topic; none when it does not exist."""
        found = consumer.list_topics(topic, timeout=_PATIENCE_S).topics[topic]
        return [] if found.error is not None else sorted(found.partitions)

    def read(self, topic: str) -> Iterator[Message]:
        """All committed records of a topic up to its end."""
        consumer = self.consumer()
        try:
            left = set(self.partitions(consumer, topic))
            consumer.assign([TopicPartition(topic, number, 0) for number in left])
            heard_at = time.monotonic()
            while left:
                # It waits for the whole number or the whole time, so both are small.
                messages = consumer.consume(2_000, 0.1)
                if messages:
                    heard_at = time.monotonic()
                elif time.monotonic() - heard_at > _PATIENCE_S:
                    raise RunFailed(f"The broker gives nothing of {topic}.")
                for message in messages:
                    error = message.error()
                    if error is None:
                        yield message
                    elif error.code() == KafkaError._PARTITION_EOF:  # noqa: SLF001 - its name
                        left.discard(message.partition())
                    else:
                        raise KafkaException(error)
        finally:
            consumer.close()

    def consumer_end(self, consumer: Consumer, topic: str, partition: int) -> int:
        """The offset that the next record of a partition gets."""
        place = TopicPartition(topic, partition)
        return int(consumer.get_watermark_offsets(place, _PATIENCE_S)[1])

    def ends(self, *topics: str) -> int:
        """Sum of the offsets that were given out in topics, control records included.

        One request, so that it may be asked often while something is measured.
        """
        known = self._admin.list_topics(timeout=_PATIENCE_S).topics
        latest: Any = OffsetSpec.latest()  # type: ignore[no-untyped-call]
        places = {
            TopicPartition(topic, number): latest
            for topic in topics
            if topic in known
            for number in known[topic].partitions
        }
        found = self._admin.list_offsets(places, request_timeout=_PATIENCE_S)
        return sum(future.result().offset for future in found.values())


def fill_workload(broker: Broker, topic: str, count: int, keys: int) -> Digest:
    """Write the events of W to a new topic; gives what all of their postings must sum up to."""
    broker.create(topic)
    fold = Fold()

    def records() -> Iterator[tuple[bytes, bytes]]:
        for key, event in events(count, keys):
            fold.add(key, event)
            yield key.encode(), encode_event(event)

    broker.fill(topic, records())
    return fold.digest


def check_outputs(broker: Broker, topic: str, wanted: Digest) -> None:
    """Read an output topic back: exactly the wanted postings, each once, or `RunFailed`."""
    found = Digest()
    for message in broker.read(topic):
        found.add(message.value() or b"")
    if found != wanted:
        raise RunFailed(
            f"{topic} holds {found.count} committed postings for {wanted.count} events"
            + ("" if found.count != wanted.count else ", but not the right ones")
            + ": no figure is taken from this run."
        )


def wait_for(done: Callable[[], bool], within_s: float, what: str, pause_s: float = 0.05) -> None:
    """Ask again and again; `RunFailed` when it takes too long."""
    end = time.monotonic() + within_s
    while not done():
        if time.monotonic() > end:
            raise RunFailed(f"{what}: not within {within_s:.0f} s.")
        time.sleep(pause_s)
