"""The demo at the broker: it writes the clock, and reads the evidence back.

Problem: time must reach the topics in order and for certain, and the closing screen must rest on
what was really stored. How: one idempotent producer whose every record is awaited; topics are read
from their beginning to their end as committed, by a consumer of its own.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

from confluent_kafka import OFFSET_BEGINNING, Consumer, KafkaError, KafkaException, Producer
from confluent_kafka import TopicPartition as Seat
from confluent_kafka.admin import AdminClient

from streamsync.brokers import Brokers
from streamsync.contracts import ContractError, Contracts
from streamsync.core.records import Customer, Tick
from streamsync.demo.options import DemoError
from topology import topics

_PATIENCE_S = 30
_POLL_S = 1.0
_ANSWER_SECONDS = 10
_BATCH = 1000
_ERRORS_ONLY = 3


@dataclass(frozen=True, slots=True)
class Stored:
    """A record as it stands in a topic."""

    topic: str
    partition: int
    offset: int
    record: Any


class Kafka:
    """One broker, by confluent-kafka; every call blocks."""

    def __init__(self, brokers: Brokers, contracts: Contracts) -> None:
        self._brokers = brokers
        self._contracts = contracts
        self._producer = Producer(
            {
                **brokers.librdkafka(),
                "acks": "all",
                "enable.idempotence": True,
                # Kafka's own hash of the key, as every other writer of these topics.
                "partitioner": "murmur2_random",
                # Retries are librdkafka's business; what fails for good is raised here.
                "log_level": _ERRORS_ONLY,
            }
        )

    def close(self) -> None:
        """Let go of the broker, before it is stopped."""
        self._producer.close()

    def tick(self, number: int, time_ms: int) -> None:
        """Write the next tick."""
        record = Tick(number=number, time_ms=time_ms, leader="demo")
        self._send([(topics.CONTROL, None, record)], partition=0)

    def customers(self, customers: Iterable[Customer]) -> None:
        """Publish CRM records."""
        self._send([(topics.CUSTOMERS, one.account.encode(), one) for one in customers])

    def _send(
        self, records: Sequence[tuple[str, bytes | None, object]], partition: int = -1
    ) -> None:
        failed: list[str] = []

        def delivered(error: KafkaError | None, _message: object) -> None:
            if error is not None:
                failed.append(error.str())

        for topic, key, record in records:
            self._producer.produce(
                topic,
                key=key,
                value=self._contracts.encode(record),
                partition=partition,
                on_delivery=delivered,
            )
        if self._producer.flush(_PATIENCE_S) or failed:
            why = failed[0] if failed else "no answer"
            raise DemoError(f"Kafka at {self._brokers} did not take a record: {why}.")

    def read(self, topic: str) -> list[Stored]:
        """Everything committed in a topic; nothing when there is no such topic."""
        consumer = Consumer(
            {
                **self._brokers.librdkafka(),
                "group.id": "streamsync-demo",
                "enable.auto.commit": False,
                "isolation.level": "read_committed",
                "enable.partition.eof": True,
                "log_level": _ERRORS_ONLY,
            }
        )
        try:
            listed = consumer.list_topics(topic, timeout=_PATIENCE_S).topics[topic]
            seats = [Seat(topic, number, OFFSET_BEGINNING) for number in listed.partitions]
            if listed.error is not None or not seats:
                return []
            consumer.assign(seats)
            return self._drain(consumer, topic, {seat.partition for seat in seats})
        finally:
            consumer.close()

    def _drain(self, consumer: Consumer, topic: str, unread: set[int]) -> list[Stored]:
        found: list[Stored] = []
        silent_s = 0.0
        while unread:
            batch = consumer.consume(_BATCH, _POLL_S)
            silent_s = 0.0 if batch else silent_s + _POLL_S
            if silent_s > _PATIENCE_S:
                raise DemoError(f"Kafka at {self._brokers} gives nothing of topic {topic}.")
            for message in batch:
                error, value = message.error(), message.value()
                partition, offset = message.partition() or 0, message.offset() or 0
                if error is not None:
                    if error.code() != KafkaError._PARTITION_EOF:  # noqa: SLF001 - its public name
                        raise DemoError(f"Topic {topic} can't be read: {error.str()}.")
                    unread.discard(partition)
                elif value is not None:
                    found.append(Stored(topic, partition, offset, self._decoded(value, topic)))
        return sorted(found, key=lambda one: (one.partition, one.offset))

    def _decoded(self, value: bytes, topic: str) -> Any:
        try:
            return self._contracts.decode(value)
        except ContractError as error:
            raise DemoError(f"Topic {topic} holds a record that is none: {error}.") from error


def require_unused(brokers: Brokers) -> None:
    """Refuse a broker that holds streamsync's topics: the demo's figures would mix with theirs."""
    admin = AdminClient({**brokers.librdkafka(), "log_level": _ERRORS_ONLY})
    try:
        known = set(admin.list_topics(timeout=_ANSWER_SECONDS).topics)
    except KafkaException as error:
        raise DemoError(
            f"Kafka at {brokers} does not answer ({error.args[0].str()}): start it, or "
            "leave --bootstrap-servers out and the demo starts one."
        ) from error
    taken = sorted(known & {spec.name for spec in topics.declared(1)})
    if taken:
        raise DemoError(
            f"Kafka at {brokers} already holds the topic {taken[0]}: the demo needs a "
            "broker of its own; leave --bootstrap-servers out and it starts one."
        )
