"""What the web views show: rows of a shard as JSON-ready values, versioned by path.

Problem: finance and IT ask the same questions of state that lies in many shards. How: each view is
a function of a readable shard and a key; `engine.views` finds the shard's owner and answers there.
Amounts stay integer minor units, with the currency beside them.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, Protocol, TypeVar

from streamsync.core.by_name import by_name
from streamsync.core.reasons import SourceClass
from streamsync.core.receivables import roll_forwards
from streamsync.engine.rows import RowType
from topology.close import book_account
from topology.rows import (
    ACCOUNT,
    BOOK,
    CLOCK,
    COLLECTION,
    COMPANY,
    COUNT,
    DOCUMENT,
    EXCEPTION,
    FACT,
    GAUGE,
    POSTING,
    RESTATEMENT,
    SOURCE,
    SUBSCRIPTION,
    WAIT,
    ClockRow,
    CollectionRow,
    PostingRow,
    row_key,
)

T = TypeVar("T")
Json = dict[str, Any]


class Readable(Protocol):
    """The reading half of a shard."""

    def get(self, row: RowType[T], key: str) -> T | None: ...

    def scan(
        self,
        row: RowType[T],
        prefix: str = "",
        after: str | None = None,
        limit: int | None = None,
    ) -> Iterator[tuple[str, T]]: ...


def account(shard: Readable, name: str) -> Json | None:
    """A billing account: master data, subscriptions, documents, source records, open exceptions."""
    prefix = row_key(name, "")
    known = shard.get(ACCOUNT, row_key(name))
    documents = [key.rsplit("|", 1)[1] for key, _ in shard.scan(DOCUMENT, prefix)]
    sources = [row for _, row in shard.scan(SOURCE, prefix)]
    if known is None and not documents and not sources:
        return None
    return {
        "account": name,
        "customer": by_name(known.crm) if known and known.crm else None,
        "billing_profile": by_name(known.profile) if known and known.profile else None,
        "subscriptions": [key.rsplit("|", 1)[1] for key, _ in shard.scan(SUBSCRIPTION, prefix)],
        "documents": documents,
        "collection": {
            key.rsplit("|", 1)[1]: _named(row)
            for key, row in shard.scan(COLLECTION, prefix)
            if row.owed_minor
        },
        "source_records": [
            {
                "event_id": row.event_id,
                "type": row.event_type,
                "class": row.outcome,
                "reason": row.reason,
                "detail": row.detail,
                "position": by_name(row.position),
                "correlation_id": row.correlation_id,
            }
            for row in sources
        ],
        "exceptions": exceptions(shard, name)["exceptions"],
    }


def _named(row: CollectionRow) -> Json:
    """The state of collection by the names of its fields."""
    return {name: getattr(row, name) for name in row.__struct_fields__}


def subscription(shard: Readable, name: str, subscription_id: str) -> Json | None:
    """A subscription: its state, and its running invoice and revenue amounts by currency."""
    row = shard.get(SUBSCRIPTION, row_key(name, subscription_id))
    if row is None:
        return None
    sums: dict[str, dict[str, int]] = {}
    for label, amount in row.sums.items():
        currency, measure = label.split("|", 1)
        sums.setdefault(currency, {})[f"{measure}_minor"] = amount
    return {
        "account": name,
        "subscription": subscription_id,
        "state": by_name(row.state) if row.state else None,
        "running": sums,
    }


def document(shard: Readable, name: str, document_id: str) -> Json | None:
    """A billing document: facts, entries, commands and confirmations, from webhook to ERP."""
    row = shard.get(DOCUMENT, row_key(name, document_id))
    if row is None:
        return None
    prefix = row_key(name, document_id, "")
    facts = [fact for _, fact in shard.scan(FACT, prefix)]
    waiting = shard.get(WAIT, row_key(name, document_id))
    collection = shard.get(COLLECTION, row_key(name, document_id))
    return {
        "account": name,
        "document": document_id,
        "kind": row.kind,
        "currency": row.currency,
        "subscription": row.subscription,
        "entity": row.entity,
        "entity_rule": row.entity_rule,
        "next_release_ms": row.next_release_ms,
        "running": {f"{measure}_minor": amount for measure, amount in row.sums.items()},
        "collection": _named(collection) if collection else None,
        "waiting": waiting.reasons if waiting else {},
        "facts": [
            {
                "class": fact.outcome,
                "reason": fact.reason,
                "source_event_id": fact.source_event_id,
                "correlation_id": fact.correlation_id,
                "position": by_name(fact.position),
                "fact": by_name(fact.fact),
            }
            for fact in facts
        ],
        "postings": [
            _posting(key.rsplit("|", 1)[1], posting) for key, posting in shard.scan(POSTING, prefix)
        ],
        "exceptions": [
            record
            for record in exceptions(shard, name)["exceptions"]
            if record["document"] == document_id
        ],
    }


def _posting(key: str, row: PostingRow) -> Json:
    flight = row.in_flight
    status = "in_flight" if flight else "accepted" if row.accepted else "refused"
    return {
        "idempotency_key": key,
        "purpose": row.purpose,
        "fact_id": row.fact_id,
        "status": status,
        "revision": row.revision,
        "missing": bool(flight and flight.missing),
        "accepted": by_name(row.accepted) if row.accepted else None,
        "in_flight": by_name(flight.command) if flight else None,
        "refused": by_name(row.refused_command) if row.refused_hash else None,
    }


def exceptions(shard: Readable, name: str | None = None, *, state: str = "detected") -> Json:
    """Exceptions of an account, or of the whole shard, in one state."""
    prefix = row_key(name, "") if name is not None else ""
    found = [
        by_name(record)
        for _, record in shard.scan(EXCEPTION, prefix)
        if state in ("all", record.state)
    ]
    return {"exceptions": found}


def totals(shard: Readable, tenant: str, entity: str, period: str | None = None) -> Json | None:
    """An entity's book at its last complete cut, optionally one period of it."""
    book = shard.get(BOOK, row_key(tenant, entity))
    if book is None:
        return None
    shown: Json = by_name(book)
    shown["roll_forwards"] = [by_name(one) for one in roll_forwards(book.roles)]
    if period is not None:
        shown["lines"] = [line for line in shown["lines"] if line["period"] == period]
        for name in ("roles", "roll_forwards", "taxes"):
            shown[name] = [moved for moved in shown[name] if moved["period"] == period]
    return shown


def counts(shard: Readable) -> Json:
    """How many source records of this shard are in each class; they add up to the inputs."""
    classes = {name: shard.get(COUNT, name) or 0 for name in SourceClass}
    clock = shard.get(CLOCK, "") or ClockRow()
    return {
        "counts": {"inputs": sum(classes.values()), **classes},
        "tick": {"number": clock.number, "time_ms": clock.time_ms},
        "rules": {company.tenant: company.version for _, company in shard.scan(COMPANY)},
        "in_flight": shard.get(GAUGE, "in_flight") or 0,
        "waiting": shard.get(GAUGE, "waiting") or 0,
        "open_exceptions": {
            key.split("|", 1)[1]: count for key, count in shard.scan(GAUGE, "open|") if count
        },
    }


def restatements(shard: Readable) -> Json:
    """Restatement jobs: what each asks for, and how far this shard is."""
    return {
        "restatements": [
            {
                "tenant": key.split("|", 1)[0],
                "job": by_name(row.job),
                "documents_seen": row.seen,
                "documents_rebooked": row.moved,
                "done": row.done,
                "changed_at_ms": row.changed_at_ms,
            }
            for key, row in shard.scan(RESTATEMENT)
        ]
    }


def totals_key(tenant: str, entity: str) -> str:
    """Key whose owner holds an entity's book."""
    return book_account(tenant, entity)
