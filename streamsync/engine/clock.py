"""The leader's tick emitter: time as numbered records.

Problem: lanes read no clock, so somebody must write time down, once, without gaps and without two
leaders numbering the same moment differently. The leader of the worker group does, with a
transactional producer of a fixed id: a new leader fences the old one, then reads the last number
from the topic and goes on from there. What a tick looks like is the topology's business.
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Callable
from dataclasses import dataclass

from confluent_kafka import KafkaError, KafkaException, Producer, TopicPartition

from streamsync.engine.cluster import Cluster
from streamsync.engine.lane import Output, SourceRecord
from streamsync.engine.producing import produce

log = logging.getLogger(__name__)

_CALL_TIMEOUT_S = 5.0
_POLL_S = 0.2  # the client waits that long for a full batch
_LOOK_BACK = 200


@dataclass(frozen=True)
class ClockSpec:
    """Where ticks go, how often, and how they are written and read."""

    topic: str
    interval_ms: int
    tick: Callable[[int, int], Output]
    """Number and milliseconds since the epoch to a record."""
    number_of: Callable[[SourceRecord], int | None]
    """The number of a tick; `None` for any other record of the topic."""
    partition: int = 0


class Clock:
    """Writes ticks while this worker leads."""

    def __init__(
        self, spec: ClockSpec, cluster: Cluster, app_id: str, emitted: Callable[[], None]
    ) -> None:
        self._spec = spec
        self._cluster = cluster
        self._app_id = app_id
        self._emitted = emitted
        self._producer: Producer | None = None
        self._number = 0

    async def emit(self) -> None:
        """Write the next tick; called by the leader's timer."""
        await asyncio.get_running_loop().run_in_executor(None, self.emit_blocking)

    def emit_blocking(self) -> None:
        """A failed tick is given up: the next call starts from what the topic holds."""
        try:
            if self._producer is None:
                self._producer = self._lead()
            number = self._number + 1
            now_ms = int(time.time() * 1_000)
            output = self._spec.tick(number, now_ms)
            self._producer.begin_transaction()
            produce(
                self._producer, output.topic, output.key, output.value, self._spec.partition, now_ms
            )
            self._producer.commit_transaction(_CALL_TIMEOUT_S)
            self._number = number
            self._emitted()
        except KafkaException as error:
            self._producer = None
            log.warning("A tick was not written, the next one will be: %s", error.args[0])

    def _lead(self) -> Producer:
        producer = self._cluster.transactional(f"{self._app_id}-clock")
        producer.init_transactions(_CALL_TIMEOUT_S)
        self._number = last_number(self._spec, self._cluster, self._app_id)
        log.info("This worker writes the ticks, from number %d on.", self._number + 1)
        return producer


def last_number(spec: ClockSpec, cluster: Cluster, app_id: str) -> int:
    """The number of the last tick in the topic, 0 when there is none."""
    consumer = cluster.consumer(f"{app_id}-clock")
    try:
        low, end = consumer.get_watermark_offsets(
            TopicPartition(spec.topic, spec.partition), _CALL_TIMEOUT_S
        )
        # Ticks are frequent, so looking back a little nearly always finds one.
        while end > low:
            start = max(low, end - _LOOK_BACK)
            consumer.assign([TopicPartition(spec.topic, spec.partition, start)])
            found = 0
            reading = True
            while reading:
                for message in consumer.consume(_LOOK_BACK, _POLL_S):
                    error = message.error()
                    if error is not None:
                        if error.code() != KafkaError._PARTITION_EOF:  # noqa: SLF001
                            raise KafkaException(error)
                        reading = False
                        continue
                    offset = message.offset() or 0
                    number = spec.number_of(
                        SourceRecord(
                            spec.topic, spec.partition, offset, message.timestamp()[1],
                            _bytes(message.key()), _bytes(message.value()),
                        )
                    )  # fmt: skip
                    found = max(found, number or 0)
            if found:
                return found
            end = start
        return 0
    finally:
        consumer.close()


def _bytes(value: str | bytes | None) -> bytes | None:
    return value.encode() if isinstance(value, str) else value
