"""Where verified webhooks go: framed and appended to `billing-webhooks`.

Problem: the broker and the registry may start after the ingress, or be away for a while. How: the
ingress listens at once and answers 503; in the background it registers its contract and makes sure
of its topic, as often as it takes.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable

from confluent_kafka import KafkaError, KafkaException
from confluent_kafka.admin import AdminClient
from confluent_kafka.cimpl import NewTopic

from streamsync.brokers import Brokers
from streamsync.contracts.codec import Contracts
from streamsync.contracts.registry import RegistryUnavailable
from streamsync.core.records import RawWebhook
from streamsync.ingress.publisher import NotStored, Publisher
from topology.topics import BILLING_WEBHOOKS, declared

logger = logging.getLogger(__name__)

_AGAIN_S = 1
_ADMIN_S = 5


class TopicDiffers(Exception):
    """The topic exists with another number of partitions; accounts would move."""


class Storage:
    """Writes raw webhooks. Create it inside the running loop."""

    def __init__(
        self,
        brokers: Brokers,
        contracts: Callable[[], Contracts],
        *,
        partitions: int,
        timeout_ms: int,
    ) -> None:
        self._brokers = brokers
        self._make_contracts = contracts
        self._partitions = partitions
        self._contracts: Contracts | None = None
        self._publisher = Publisher(brokers, BILLING_WEBHOOKS, timeout_ms=timeout_ms)

    @property
    def ready(self) -> bool:
        """Whether a webhook would be stored now."""
        return self._contracts is not None and self._publisher.reachable

    async def prepare(self) -> None:
        """Until contract and topic are there; `TopicDiffers` and refused schemas end it."""
        told = ""
        while self._contracts is None:
            try:
                self._contracts = await asyncio.to_thread(self._connect)
            except (RegistryUnavailable, KafkaException) as error:
                why = f"{type(error).__name__}: {error}"
                if why != told:
                    logger.warning("not ready yet: %s", why)
                told = why
                await asyncio.sleep(_AGAIN_S)

    async def store(self, key: str, raw: RawWebhook) -> None:
        """Returns when the broker has the record; `NotStored` otherwise."""
        if self._contracts is None:
            raise NotStored("starting")
        value = self._contracts.encode(raw)
        await self._publisher.publish(BILLING_WEBHOOKS, key.encode(), value)

    async def close(self) -> None:
        """Flush what is under way."""
        await self._publisher.close()

    def _connect(self) -> Contracts:
        self._ensure_topic()
        return self._make_contracts()

    def _ensure_topic(self) -> None:
        admin = AdminClient(self._brokers.librdkafka(), logger=logger)
        spec = next(t for t in declared(self._partitions) if t.name == BILLING_WEBHOOKS)
        found = admin.list_topics(spec.name, timeout=_ADMIN_S).topics[spec.name]
        if found.error is None:
            if len(found.partitions) != spec.partitions:
                raise TopicDiffers(
                    f"Topic {spec.name} has {len(found.partitions)} partitions, but "
                    f"{spec.partitions} are configured. Set STREAMSYNC_PARTITIONS to "
                    f"{len(found.partitions)}: the number of partitions never changes."
                )
            return
        new = NewTopic(spec.name, num_partitions=spec.partitions, config=dict(spec.config))
        for created in admin.create_topics([new], operation_timeout=_ADMIN_S).values():
            try:
                created.result()
            except KafkaException as error:
                # Another ingress was faster: the topic is there, which is what is wanted.
                if error.args[0].code() != KafkaError.TOPIC_ALREADY_EXISTS:
                    raise
