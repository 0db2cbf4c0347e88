"""Records on their way to librdkafka.

Problem: this is called once for each output and each changed row, so each name that is looked up
here is paid hundreds of thousands of times a second. How: the arguments of `Producer.produce`, by
position, as one tuple, which the client library would make of them anyway; one loop hands them
over and waits while librdkafka's queue is full.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from contextlib import suppress

from confluent_kafka import KafkaError, KafkaException, Message, Producer

from streamsync.engine.lane import TOPIC_BYTES_MAX, Output
from streamsync.engine.routes import Headers, Way

OnDelivery = Callable[[KafkaError | None, Message], None]
Arguments = tuple[
    str, bytes | None, bytes | None, int, OnDelivery | None, None, int, Headers | None
]
"""Of `Producer.produce`: topic, value, key, partition, callbacks, time, headers."""


class OutputTooLarge(Exception):
    """A step wrote a record that no broker will take; the worker stops."""


def produce_all(producer: Producer, records: Iterable[Arguments]) -> None:
    """Hand records to librdkafka, waiting while its queue is full."""
    produce = producer.produce
    for given in records:
        try:
            produce(*given)
        except BufferError:
            _produce_later(producer, given)
        except KafkaException as raised:
            _refuse_too_large(raised, given)
            raise


def produce(
    producer: Producer,
    topic: str,
    key: bytes | None,
    value: bytes | None,
    partition: int,
    time_ms: int,
    on_delivery: OnDelivery | None = None,
) -> None:
    """Hand over one record; where there are many, `produce_all` spares a call for each."""
    produce_all(producer, [(topic, value, key, partition, on_delivery, None, time_ms, None)])


def _produce_later(producer: Producer, given: Arguments) -> None:
    while True:
        producer.poll(0.1)
        with suppress(BufferError):
            producer.produce(*given)
            return


def _refuse_too_large(raised: KafkaException, given: Arguments) -> None:
    if raised.args[0].code() == KafkaError.MSG_SIZE_TOO_LARGE:
        topic, value, key = given[:3]
        raise OutputTooLarge(
            f"An output of {len(value or b'')} bytes to {topic!r}, key {key!r}, is more than the "
            "producer may send: the step must write smaller records."
        ) from raised


def refuse_too_large(error: KafkaError, told: str) -> None:
    """Raise `OutputTooLarge` when the broker would say so however often it is asked."""
    if error.code() == KafkaError.MSG_SIZE_TOO_LARGE:
        raise OutputTooLarge(
            f"The broker takes no record of this size: {told}. Let max.message.bytes of that topic "
            f"be {TOPIC_BYTES_MAX}, then start the worker again; nothing was lost."
        )


def arguments_of(
    records: Iterable[tuple[Output, int]],
    ways: Iterable[Way],
    on_delivery: OnDelivery | None = None,
) -> Iterator[Arguments]:
    """What to call `Producer.produce` with for each output and the time of its source record."""
    for (output, timestamp_ms), way in zip(records, ways, strict=True):
        headers = way.headers
        if headers is not None:
            way.headers = None
        topic, partition = way.place
        # A record from before 1970 has no time that Kafka takes.
        time_ms = timestamp_ms if timestamp_ms > 0 else 0
        yield topic, output.value, output.key, partition, on_delivery, None, time_ms, headers
