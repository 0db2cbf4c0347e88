"""Run the topology in memory over a user's own events: the journal without a broker.

Problem: an accountant wants to see what the rules make of last month's events before anything is
connected. How: the very lanes of the running system in the in-memory driver; an ERP that accepts
every command stands in, and one tick moves the clock. Records that made no entry are named with
their class, reason and place, and the counts add up to the inputs.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Sequence
from datetime import UTC, date, datetime, timedelta

from msgspec import Struct
from msgspec.structs import replace

from streamsync.contracts import Contracts
from streamsync.core.company import Company
from streamsync.core.facts import BillingEvent
from streamsync.core.records import (
    Customer,
    EchoLine,
    PostingCommand,
    PostingConfirmation,
    RawWebhook,
    ReferenceData,
    SourcePosition,
    Tick,
)
from streamsync.engine.driver import Driver
from streamsync.governance.payload import reference_data
from streamsync.sources import SOURCES, is_processor, kind_of
from topology import build, ledger, topics
from topology.rows import COUNT, EXCEPTION, SOURCE, SourceRow


class Journal(Struct, frozen=True):
    """What the events made: commands in the order of their dates, and the records without entry.

    `unposted`: the record with its place (file and position); `counts` add up to `inputs`.
    """

    commands: tuple[PostingCommand, ...]
    unposted: tuple[tuple[str, SourceRow], ...]
    counts: dict[str, int]


def journal(
    company: Company,
    customers: Iterable[Customer],
    payloads: Sequence[tuple[str, bytes]],
    *,
    source: str,
    through: date | None = None,
    customers_from_events: bool = False,
    rates: ReferenceData | None = None,
) -> Journal:
    """Feed the payloads (place, body) through the topology and collect the journal.

    `source`: the billing system of payloads that do not say themselves that they are canonical.
    `through`: releases dated up to this day are made; default the day of the latest event.
    `customers_from_events`: every account that the events name counts as a known customer.
    """
    webhooks = [raw(company.tenant, source, body) for _, body in payloads]
    known = list(customers)
    if customers_from_events:
        told = {customer.account for customer in known}
        known += _customers_in([_peek(one) for one in webhooks], told)
    return play(
        company,
        known,
        webhooks,
        rates=rates,
        through=through,
        places=[place for place, _ in payloads],
    )


def play(
    company: Company,
    customers: Iterable[Customer],
    webhooks: Sequence[RawWebhook],
    *,
    rates: ReferenceData | None = None,
    through: date | None = None,
    places: Sequence[str] | None = None,
) -> Journal:
    """The journal of kept webhooks; `places` names where each of them came from.

    Every entry stands by itself: a reader wants to see what becomes of each event.
    """
    company = replace(company, summaries=())
    contracts = Contracts.in_memory()
    driver = Driver(build(contracts, tenant=company.tenant, partitions=1, app_id="offline"))
    rules = reference_data(
        company, active_from_tick=0, published_by="streamsync journal", approved_by=None
    )
    driver.produce(topics.CONTROL, None, contracts.encode(rules))
    if rates is not None:
        driver.produce(topics.CONTROL, None, contracts.encode(rates))
    for customer in customers:
        driver.produce(topics.CUSTOMERS, customer.account.encode(), contracts.encode(customer))
    for webhook in webhooks:
        driver.produce(topics.BILLING_WEBHOOKS, None, contracts.encode(webhook))
    latest = max((_peek(webhook).occurred_at_ms for webhook in webhooks), default=0)
    until = through or datetime.fromtimestamp(latest // 1000, UTC).date()
    # Noon of the next day in UTC: the day is over in every time zone that entities live in.
    end = datetime.combine(until + timedelta(days=1), datetime.min.time(), UTC)
    time_ms = int(end.timestamp()) * 1000 + 12 * 3_600_000
    tick = Tick(number=0, time_ms=time_ms, leader="offline")
    _settle(driver, contracts)
    driver.produce(topics.CONTROL, None, contracts.encode(tick))
    commands = _settle(driver, contracts)
    return Journal(
        tuple(sorted(commands, key=lambda made: (made.posting_date, made.document))),
        tuple(_unposted(driver, places or [str(at) for at in range(len(webhooks))])),
        _counts(driver),
    )


def raw(tenant: str, source: str, body: bytes) -> RawWebhook:
    """A payload file's event as the ingress would have kept it."""
    kind = kind_of(body, source)
    return RawWebhook(
        tenant=tenant,
        source=kind,
        source_kind=kind,
        body=body,
        content_type="application/json",
        content_hash=hashlib.sha256(body).hexdigest(),
        received_at_ms=0,
    )


def _peek(raw: RawWebhook) -> BillingEvent:
    nowhere = SourcePosition(topic=topics.BILLING_WEBHOOKS, partition=0, offset=0)
    return SOURCES[raw.source_kind].read_event(raw, nowhere)


def customers_of(webhooks: Sequence[RawWebhook]) -> list[Customer]:
    """Every customer that events name, as if the CRM knew them."""
    return _customers_in([_peek(one) for one in webhooks], set())


def _customers_in(events: Sequence[BillingEvent], known: set[str]) -> list[Customer]:
    found: dict[str, Customer] = {}
    for event in events:
        snapshots = [fact.customer for fact in event.facts if fact.customer is not None]
        country = next((shot.country for shot in snapshots if shot.country), None)
        before = found.get(event.account)
        if (
            is_processor(event.account)
            or event.account in known
            or (before is not None and before.country)
        ):
            continue
        found[event.account] = Customer(
            tenant=event.tenant,
            account=event.account,
            party=event.account,
            country=country,
            version=1,
            deleted=False,
            published_by="streamsync journal --customers-from-events",
        )
    return list(found.values())


def _settle(driver: Driver, contracts: Contracts) -> list[PostingCommand]:
    """Run until nothing moves, an ERP that accepts everything standing in."""
    confirmed = 0
    commands: list[PostingCommand] = []
    while True:
        driver.run()
        commands = [
            contracts.decode(record.value)
            for topic in driver.topics()
            if topic.startswith(topics.POSTING_COMMANDS_PREFIX)
            for record in driver.outputs(topic)
            if record.value is not None
        ]
        told = {
            contracts.decode(record.value).command_id
            for record in driver.outputs(topics.POSTING_CONFIRMATIONS)
            if record.value is not None
        }
        fresh = [command for command in commands if command.command_id not in told]
        if not fresh:
            return commands
        for command in fresh:
            confirmed += 1
            answer = contracts.encode(accepts(command, f"offline-{confirmed}"))
            driver.produce(topics.POSTING_CONFIRMATIONS, command.account.encode(), answer)


def accepts(command: PostingCommand, number: str) -> PostingConfirmation:
    """The confirmation of an ERP that booked the command as it stands."""
    return PostingConfirmation(
        schema_version=command.schema_version,
        confirmation_id=f"{command.command_id}:posted",
        tenant=command.tenant,
        account=command.account,
        idempotency_key=command.idempotency_key,
        command_id=command.command_id,
        revision=command.revision,
        erp=command.target_erp,
        entity=command.entity,
        status="posted",
        erp_document_id=number,
        erp_document_number=number,
        period=command.period,
        posting_date=command.posting_date,
        currency=command.txn_currency,
        totals=command.totals,
        lines_echo=tuple(
            EchoLine(
                no=line.no, account=line.account, side=line.side, amount_minor=line.amount_minor
            )
            for line in command.lines
        ),
        observed_at_ms=0,
        attempt=1,
        correlation_id=command.correlation_id,
        found_by_lookup=False,
    )


def _unposted(driver: Driver, places: Sequence[str]) -> Iterable[tuple[str, SourceRow]]:
    shard = driver.shard(ledger.LANE, 0)
    rows = [row for _, row in shard.scan(SOURCE)]
    # What a fact waits for, or why it was refused, stands in its exception.
    told = {
        (one.correlation_id, one.code): one.detail
        for _, one in shard.scan(EXCEPTION)
        if one.state == "detected"
    }
    for row in sorted(rows, key=lambda found: found.position.offset):
        if row.outcome in ("rejected", "waiting", "unknown", "ignored"):
            detail = row.detail or told.get((row.correlation_id, row.reason or ""))
            yield places[row.position.offset], replace(row, detail=detail)


def _counts(driver: Driver) -> dict[str, int]:
    shard = driver.shard(ledger.LANE, 0)
    order = ("posted", "no_entry", "ignored", "waiting", "unknown", "rejected", "duplicate")
    classes = {name: shard.get(COUNT, name) or 0 for name in order}
    return {"inputs": sum(classes.values()), **classes}
