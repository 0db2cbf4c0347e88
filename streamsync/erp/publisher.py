"""From the outbox to Kafka: confirmations, in the order in which they were stored.

Problem: a confirmation that was produced but not delivered is lost, and one that is delivered but
not marked comes twice. How: a message is marked only after the broker acknowledged it (`acks=all`,
idempotent); after a crash in between it is delivered again, byte for byte, with the same id.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Sequence

from confluent_kafka import KafkaError, Message, Producer

from streamsync.erp.outbox import Outbox, Outgoing

log = logging.getLogger(__name__)
_BATCH = 500
_FLUSH_SECONDS = 1.0
_RETRY_SECONDS = 1.0
_DELIVERY_TIMEOUT_MS = 30_000


class PublisherError(Exception):
    """The broker refuses what this adapter writes; the text says what to do."""


class Publisher:
    """Delivers what the outbox holds."""

    def __init__(
        self, servers: dict[str, str], outbox: Outbox, delivered: Callable[[Outgoing], None]
    ) -> None:
        self._settings = {
            **servers,
            "acks": "all",
            "enable.idempotence": True,
            # Kafka's own partitioner: lanes find the account where its other records are.
            "partitioner": "murmur2_random",
            "delivery.timeout.ms": _DELIVERY_TIMEOUT_MS,
            "linger.ms": 5,
        }
        self._outbox = outbox
        self._delivered = delivered
        self._producer = Producer(self._settings)
        self._woken = asyncio.Event()

    def wake(self) -> None:
        """There is something to deliver."""
        self._woken.set()

    async def run(self, stop: asyncio.Event) -> None:
        """Deliver until stopped; what is left then is delivered after the next start."""
        while not stop.is_set():
            self._woken.clear()
            messages = self._outbox.undelivered(_BATCH)
            if messages:
                await self._deliver(messages)
                continue
            try:
                await asyncio.wait_for(self._woken.wait(), _FLUSH_SECONDS)
            except TimeoutError:
                continue

    async def _deliver(self, messages: Sequence[Outgoing]) -> None:
        failures: dict[int, KafkaError | None] = {}
        for message in messages:
            self._producer.produce(
                message.topic,
                value=message.value,
                key=message.key,
                on_delivery=_noting(failures, message.seq),
            )
        # Every message is answered within the delivery timeout, one way or the other.
        while len(failures) < len(messages):
            await asyncio.to_thread(self._producer.flush, _FLUSH_SECONDS)
        done = [message for message in messages if failures[message.seq] is None]
        if done:
            self._outbox.mark_delivered(done)
            for message in done:
                self._delivered(message)
        failed = [error for error in failures.values() if error is not None]
        if failed:
            await self._after_failure(failed, len(messages))

    async def _after_failure(self, failed: Sequence[KafkaError], of: int) -> None:
        refused = (
            KafkaError.TOPIC_AUTHORIZATION_FAILED,
            KafkaError.CLUSTER_AUTHORIZATION_FAILED,
        )
        for error in failed:
            if error.code() in refused:
                raise PublisherError(
                    f"the broker refuses to take confirmations: {error.str()}; give this "
                    "adapter's user the right to write posting-confirmations and dead-letters"
                )
        log.warning("%d of %d messages not delivered: %s", len(failed), of, failed[0].str())
        if any(error.fatal() for error in failed):
            self._producer = Producer(self._settings)
        await asyncio.sleep(_RETRY_SECONDS)


def _noting(
    answers: dict[int, KafkaError | None], seq: int
) -> Callable[[KafkaError | None, Message], None]:
    def note(error: KafkaError | None, _: Message) -> None:
        answers[seq] = error

    return note
