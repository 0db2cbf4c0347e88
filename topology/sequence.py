"""Sequence: bring every public input into the one order of the ledger log.

Problem: webhooks, master data, rules, ticks and confirmations arrive on topics of their own, and
books that depend on which was read first can't be replayed. How: one stateless step per input
topic parses its records and routes each to the log of the account it concerns; control records go
to every partition. Nothing is looked up, so a re-run writes the same bytes. What can't be read
becomes a dead letter, and a source record among them also a refused event, so that it is counted.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any, Protocol

from streamsync.contracts import ContractError
from streamsync.core.facts import BillingEvent
from streamsync.core.records import (
    Customer,
    DeadLetter,
    PeriodStatus,
    PostingConfirmation,
    RawWebhook,
    ReferenceData,
    SourcePosition,
    Tick,
)
from streamsync.engine.lane import (
    DeadLetter as DeadLetterOf,
)
from streamsync.engine.lane import (
    Output,
    Poison,
    Shard,
    SourceRecord,
    Step,
)
from streamsync.sources import SOURCES
from topology import close, topics


class Codec(Protocol):
    """Records as framed bytes."""

    def encode(self, record: Any) -> bytes: ...

    def decode(self, data: bytes) -> Any: ...


def position_of(record: SourceRecord) -> SourcePosition:
    """Where a record stands."""
    return SourcePosition(topic=record.topic, partition=record.partition, offset=record.offset)


def decode(codec: Codec, record: SourceRecord) -> Any:
    """The record's value, or Poison with the broken rule."""
    if record.value is None:
        raise Poison("value_missing", "a record without a value")
    try:
        return codec.decode(record.value)
    except ContractError as error:
        raise Poison(error.reason, str(error)) from error


def webhooks(codec: Codec, routed: Callable[[BillingEvent], Iterable[Output]]) -> Step:
    """billing-webhooks: raw payloads become canonical billing events, on their way (`resolve`)."""

    def step(_shard: Shard, record: SourceRecord) -> Iterable[Output]:
        raw = _expect(decode(codec, record), RawWebhook)
        source = SOURCES.get(raw.source_kind)
        if source is None:
            raise Poison("source_unknown", f"no source of kind {raw.source_kind!r} is installed")
        event = source.read_event(raw, position_of(record))
        yield from routed(event)
        if event.outcome == "rejected":
            refusal = Poison(event.reason or "rejected", event.detail or "")
            yield from dead_letter(codec, "webhooks")(record, refusal)

    return step


def customers(codec: Codec) -> Step:
    """customers: CRM records, one per billing account."""

    def step(_shard: Shard, record: SourceRecord) -> Iterable[Output]:
        customer = _expect(decode(codec, record), Customer)
        yield _to_log(codec, f"{customer.account}|customer", customer)

    return step


def confirmations(codec: Codec) -> Step:
    """posting-confirmations: to the account of the command, orphans to the entity's book."""

    def step(_shard: Shard, record: SourceRecord) -> Iterable[Output]:
        told = _expect(decode(codec, record), PostingConfirmation)
        account = told.account or close.book_account(told.tenant, told.entity)
        yield _to_log(codec, f"{account}|{told.idempotency_key or told.confirmation_id}", told)

    return step


def control(codec: Codec, partitions: int) -> Step:
    """control: ticks, rules and period status, copied to every partition in their one order.

    What waits for links knows time only: ticks go there, too.
    """

    def step(_shard: Shard, record: SourceRecord) -> Iterable[Output]:
        item = _expect(decode(codec, record), (Tick, ReferenceData, PeriodStatus))
        value = codec.encode(item)
        for partition in range(partitions):
            yield Output(topics.LEDGER_LOG, b"control", value, partition)
            if isinstance(item, Tick):
                yield Output(topics.OBJECT_LINKS, b"control", value, partition)

    return step


def dead_letter(codec: Codec, lane: str) -> DeadLetterOf:
    """Keeps a refused record whole, with its reason; a source record is counted as rejected."""

    def letters(record: SourceRecord, refusal: Poison) -> Iterable[Output]:
        letter = DeadLetter(
            lane=lane,
            position=position_of(record),
            key=record.key,
            value=record.value,
            reason=refusal.reason,
            detail=refusal.detail,
        )
        yield Output(topics.DEAD_LETTERS, record.key, codec.encode(letter))

    return letters


def unreadable_webhook(codec: Codec, tenant: str) -> DeadLetterOf:
    """A webhook record that is no RawWebhook at all: dead letter, and counted as rejected."""
    keep = dead_letter(codec, "webhooks")

    def letters(record: SourceRecord, refusal: Poison) -> Iterable[Output]:
        yield from keep(record, refusal)
        place = f"{record.partition}-{record.offset}"
        event = BillingEvent(
            tenant=tenant,
            source="unreadable",
            account=f"{tenant}/unreadable/{place}",
            source_event_id=place,
            source_event_type="unreadable",
            content_hash=place,
            occurred_at_ms=0,
            correlation_id=place,
            outcome="rejected",
            reason=refusal.reason,
            detail=refusal.detail,
            position=position_of(record),
        )
        yield _to_log(codec, f"{event.account}|{place}", event)

    return letters


def _to_log(codec: Codec, key: str, record: object) -> Output:
    return Output(topics.LEDGER_LOG, key.encode(), codec.encode(record))


def _expect(record: Any, wanted: Any) -> Any:
    if not isinstance(record, wanted):
        raise Poison("record_unexpected", f"{type(record).__name__} does not belong on this topic")
    return record
