"""The loop: stored webhooks in, completed ones back through the signed door.

Problem: what was fetched must be posted once however often this process is stopped, and one object
that cannot be fetched must not hold up the others. How: a consumer group of its own reads the
stored webhooks; its position is committed only behind what the door has stored; a repeat is a
duplicate by its id; what fails is told and left waiting in the ledger, where it is visible.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field

import aiohttp
from confluent_kafka import Consumer, KafkaError, Message

from streamsync.brokers import Brokers
from streamsync.contracts import ContractError, Contracts, SchemaRegistry
from streamsync.core.records import RawWebhook
from streamsync.refetch.api import FetchFailed, StripeApi
from streamsync.refetch.complete import completed, wanted
from streamsync.sources.configured import ConfiguredSource
from streamsync.sources.delivery import Delivered, Delivery
from topology.topics import BILLING_WEBHOOKS

GROUP = "streamsync-refetch"
log = logging.getLogger(__name__)


@dataclass(slots=True)
class Report:
    """How many webhooks were read, completed and stored; and what failed, with its reason."""

    read: int = 0
    completed: int = 0
    failures: list[str] = field(default_factory=list)


Send = Callable[[str, bytes], Delivered]


def complete_one(
    raw: RawWebhook, api: StripeApi, send: Send, report: Report, *, fees: bool
) -> None:
    """Complete one stored webhook, if it lacks something, and send it through the door."""
    report.read += 1
    want = wanted(raw.body, fees=fees) if raw.source_kind == "stripe" else None
    if want is None:
        return
    try:
        body = completed(raw.body, want, api.fetch(want))
    except FetchFailed as error:
        report.failures.append(str(error))
        log.warning("%s", error)
        return
    delivered = send(raw.source, body)
    if delivered.stored:
        report.completed += 1
        return
    report.failures.append(f"{want.path}: {delivered.reason}. {delivered.what_to_do}")
    log.warning("%s", report.failures[-1])


def run(
    *,
    brokers: Brokers,
    registry_url: str,
    api: StripeApi,
    ingress_url: str,
    sources: dict[str, ConfiguredSource],
    fees: bool,
    once: bool,
    stopped: Callable[[], bool],
) -> Report:
    """Read until stopped, or, with `once`, to the end of what is stored now."""
    contracts = Contracts(SchemaRegistry(registry_url))
    contracts.load_history()
    report = Report()
    consumer = Consumer(
        {
            **brokers.librdkafka(),
            "group.id": GROUP,
            "auto.offset.reset": "earliest",
            "enable.auto.commit": False,
            "enable.partition.eof": True,
            "isolation.level": "read_committed",
        }
    )
    consumer.subscribe([BILLING_WEBHOOKS])

    def send(source: str, body: bytes) -> Delivered:
        configured = sources.get(source)
        if configured is None:
            return Delivered(0, f"source {source} is not configured", "Add its secret.", 0)
        return asyncio.run(_send(ingress_url, configured, body))

    try:
        for message in _messages(consumer, once=once, stopped=stopped):
            raw = _decoded(contracts, message)
            if raw is not None:
                complete_one(raw, api, send, report, fees=fees)
            consumer.commit(message=message, asynchronous=False)
    finally:
        consumer.close()
    return report


async def _send(url: str, source: ConfiguredSource, body: bytes) -> Delivered:
    async with aiohttp.ClientSession(timeout=aiohttp.ClientTimeout(total=60)) as session:
        return await Delivery(session, url, source).send(body)


def _decoded(contracts: Contracts, message: Message) -> RawWebhook | None:
    value = message.value()
    try:
        told = contracts.decode(value) if value is not None else None
    except ContractError:
        # The webhooks lane has made a dead letter of it.
        return None
    return told if isinstance(told, RawWebhook) else None


def _messages(consumer: Consumer, *, once: bool, stopped: Callable[[], bool]) -> Iterator[Message]:
    ended: set[int] = set()
    while not stopped():
        message = consumer.poll(1.0)
        if message is None:
            continue
        error = message.error()
        if error is None:
            yield message
            continue
        if error.code() == KafkaError._PARTITION_EOF:  # noqa: SLF001 - the library's own name
            ended.add(message.partition() or 0)
            if once and len(ended) == len(consumer.assignment()):
                return
            continue
        log.warning("%s", error.str())
