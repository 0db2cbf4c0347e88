"""Stores records in Kafka; a record is stored when the broker has acknowledged it, not before.

Problem: the answer to a billing system must be true, many requests wait at once, and the broker may
be away. How: one idempotent producer with acks=all; a thread collects delivery reports and wakes
the waiting requests in batches. While the broker is away, requests fail at once instead of piling
up; a probe in the same thread notices its return.
"""

from __future__ import annotations

import asyncio
import logging
import threading
import time
from collections.abc import Mapping

from confluent_kafka import KafkaError, KafkaException, Producer

from streamsync.brokers import Brokers

logger = logging.getLogger(__name__)

_POLL_S = 0.05
_PROBE_S = 2

TOO_LARGE = "record_too_large"
_TOO_LARGE = {KafkaError.MSG_SIZE_TOO_LARGE, KafkaError.RECORD_LIST_TOO_LARGE}


class NotStored(Exception):
    """The broker did not take the record; `reason` is one word for a counter.

    `TOO_LARGE` stays so however often it is sent; all others may pass.
    """

    def __init__(self, reason: str) -> None:
        super().__init__(reason)
        self.reason = reason


class Publisher:
    """An asyncio face of a confluent-kafka producer. Create it inside the running loop."""

    def __init__(self, brokers: Brokers, probe_topic: str, *, timeout_ms: int) -> None:
        self._config: Mapping[str, str | int | bool] = {
            **brokers.librdkafka(),
            "enable.idempotence": True,
            "acks": "all",
            "linger.ms": 5,
            "compression.type": "lz4",
            "message.timeout.ms": timeout_ms,
            # Kafka's own partitioner, as every other writer of account keys uses.
            "partitioner": "murmur2_random",
            "message.max.bytes": 8 * 1024 * 1024,
        }
        self._probe_topic = probe_topic
        self._timeout_ms = timeout_ms
        self._loop = asyncio.get_running_loop()
        self._producer = self._create()
        self._reports: list[tuple[asyncio.Future[None], KafkaError | None]] = []
        self._broken = threading.Event()
        self._closing = threading.Event()
        self._reachable = False
        self._thread = threading.Thread(target=self._run, name="ingress-delivery", daemon=True)
        self._thread.start()

    @property
    def reachable(self) -> bool:
        """Whether the broker answered last time and has the topic."""
        return self._reachable

    async def publish(self, topic: str, key: bytes, value: bytes) -> None:
        """Returns when the broker has the record; `NotStored` otherwise."""
        if not self._reachable:
            raise NotStored("broker_away")
        stored: asyncio.Future[None] = self._loop.create_future()

        def report(error: KafkaError | None, _: object) -> None:
            # Called in the delivery thread; the loop is woken once for the whole batch.
            self._reports.append((stored, error))

        try:
            self._producer.produce(topic, value, key, on_delivery=report)
        except BufferError as error:
            raise NotStored("queue_full") from error
        except KafkaException as error:
            if error.args[0].code() in _TOO_LARGE:
                raise NotStored(TOO_LARGE) from error
            self._note_failure(error.args[0])
            raise NotStored("broker_refused") from error
        try:
            # The report comes by the producer's own timeout; this bound is for a lost producer.
            async with asyncio.timeout(self._timeout_ms / 1000 + 5):
                await stored
        except TimeoutError as error:
            raise NotStored("broker_away") from error

    async def close(self, timeout_s: int = 10) -> None:
        """Flush what is under way and end the thread."""
        self._closing.set()
        await asyncio.to_thread(self._thread.join, timeout_s)

    def _create(self) -> Producer:
        return Producer(dict(self._config), logger=logger)

    def _settle(self, batch: list[tuple[asyncio.Future[None], KafkaError | None]]) -> None:
        for stored, error in batch:
            if stored.done():
                continue
            if error is None:
                stored.set_result(None)
            else:
                stored.set_exception(NotStored(_reason_of(error)))

    def _note_failure(self, error: KafkaError) -> None:
        self._reachable = False
        logger.warning("the broker did not take a record: %s", error.name())
        if error.fatal():
            self._broken.set()

    def _hand_over(self) -> None:
        batch, self._reports = self._reports, []
        if not batch:
            return
        for _, error in batch:
            if error is not None and error.code() not in _TOO_LARGE:
                self._note_failure(error)
        if not self._loop.is_closed():
            self._loop.call_soon_threadsafe(self._settle, batch)

    def _probe(self) -> None:
        try:
            found = self._producer.list_topics(self._probe_topic, timeout=_PROBE_S)
            error = found.topics[self._probe_topic].error
        except KafkaException as failure:
            error = failure.args[0]
        was, self._reachable = self._reachable, error is None
        if was and error is not None:
            logger.warning("the broker is away or has no topic: %s", error.name())
        elif not was and error is None:
            logger.info("the broker answers; webhooks are stored")

    def _run(self) -> None:
        next_probe = 0.0
        while not self._closing.is_set():
            now = time.monotonic()
            # A delivery proves more than a probe; only silence and failure need one.
            if now >= next_probe:
                self._probe()
                next_probe = now + (_PROBE_S if self._reachable else _PROBE_S / 4)
            self._producer.poll(_POLL_S)
            self._hand_over()
            if self._broken.is_set():
                # A fatal error ends a producer for good; what it held was never acknowledged.
                logger.warning("the producer failed for good; a new one takes over")
                spent, self._producer = self._producer, self._create()
                spent.purge()
                spent.poll(0)
                self._hand_over()
                self._broken.clear()
        self._producer.flush(_PROBE_S * 4)
        self._hand_over()


def _reason_of(error: KafkaError) -> str:
    return TOO_LARGE if error.code() in _TOO_LARGE else "broker_away"
