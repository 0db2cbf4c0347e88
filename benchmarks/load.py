"""An open-loop load: webhooks by the clock, whatever becomes of those before.

Problem: a generator that waits for answers slows down with what it measures, and the worst moments
vanish from its figures. How: every webhook has its time on a schedule and is sent then; a thread of
its own hears of the broker's acknowledgements, another reads committed commands as they appear.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Any

from confluent_kafka import KafkaError, Message, TopicPartition

from benchmarks.broker import Broker
from benchmarks.installation import Webhook
from topology import topics

_POLL_S = 0.1


@dataclass
class Acknowledged:
    """When the broker had each webhook, by event id; the first delivery counts."""

    at_s: dict[str, float] = field(default_factory=dict)
    failed: list[str] = field(default_factory=list)


class Load:
    """Sends webhooks at a rate."""

    def __init__(self, broker: Broker) -> None:
        self._producer = broker.producer(**{"linger.ms": 0})
        self._stop = threading.Event()
        self._poller = threading.Thread(target=self._poll, daemon=True)
        self.acknowledged = Acknowledged()
        self.latest_s = 0.0
        """How far the generator itself fell behind its schedule, at worst."""

    def send(self, webhooks: Sequence[Webhook], rate: float) -> None:
        """Send all of them; returns when the broker has the last."""
        self._poller.start()
        began = time.monotonic()
        for number, webhook in enumerate(webhooks):
            due = began + number / rate
            late = time.monotonic() - due
            if late < 0:
                time.sleep(-late)
            self.latest_s = max(self.latest_s, late)
            self._send(webhook)
        self._producer.flush(30)
        self._stop.set()
        self._poller.join()

    def _send(self, webhook: Webhook) -> None:
        acknowledged = self.acknowledged

        def delivered(error: KafkaError | None, _message: Message) -> None:
            if error is not None:
                acknowledged.failed.append(error.str())
            else:
                acknowledged.at_s.setdefault(webhook.event_id, time.monotonic())

        self._producer.produce(
            topics.BILLING_WEBHOOKS, webhook.value, webhook.key, on_delivery=delivered
        )

    def _poll(self) -> None:
        while not self._stop.is_set():
            self._producer.poll(_POLL_S)


class Watch:
    """Sees commands as soon as they are committed."""

    def __init__(self, broker: Broker, command_topics: Sequence[str]) -> None:
        self.seen: list[tuple[float, bytes]] = []
        self._consumer: Any = broker.consumer()
        self._places = [
            TopicPartition(topic, number, broker.consumer_end(self._consumer, topic, number))
            for topic in command_topics
            for number in broker.partitions(self._consumer, topic)
        ]
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._read, daemon=True)

    def start(self) -> None:
        """See what comes from now on."""
        self._consumer.assign(self._places)
        self._thread.start()

    def stop(self) -> None:
        """See no more."""
        self._stop.set()
        self._thread.join()
        with suppress(RuntimeError):
            self._consumer.close()

    def _read(self) -> None:
        while not self._stop.is_set():
            message = self._consumer.poll(_POLL_S)
            if message is not None and message.error() is None:
                self.seen.append((time.monotonic(), message.value() or b""))
