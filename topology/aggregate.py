"""Keep facts and the running sums: what was told, once, and what became of each source record.

Problem: webhooks repeat, arrive in any order and sometimes contradict each other, and every source
record must be accounted for in exactly one class. How: a fact's identity makes a repeat harmless;
the first telling stands and another figure is refused with both sides; a source record's class is
the strongest class among its facts and moves with them, counted in rows beside.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace

import msgspec

from streamsync.core.facts import BillingEvent, Fact
from streamsync.core.reasons import SourceClass, strongest
from topology import report
from topology.rows import (
    ACCOUNT,
    COUNT,
    DOCUMENT,
    FACT,
    SOURCE,
    SUBSCRIPTION,
    AccountRow,
    DocumentRow,
    FactRow,
    SourceRow,
    SubscriptionRow,
    row_key,
)
from topology.turn import Turn


def keep_event(turn: Turn, event: BillingEvent) -> list[str]:
    """Take one source record; answers the documents that have new facts and must be booked."""
    source_key = row_key(event.account, event.source_event_id, event.content_hash[:24])
    if turn.shard.get(SOURCE, source_key) is not None:
        _count(turn, "duplicate", 1)
        return []
    if event.outcome not in ("facts", "no_entry"):
        _keep_source(turn, source_key, event, event.outcome, event.reason, event.detail)
        if event.outcome in ("rejected", "waiting"):
            report.of_source(turn, event, event.reason or event.outcome, event.detail or "")
        return []
    outcomes: list[str] = []
    new: dict[str, str] = {}
    conflict: str | None = None
    for fact in event.facts:
        if fact.document is None:
            _keep_state(turn, event.account, fact)
            outcomes.append("no_entry")
            continue
        stored = turn.shard.get(FACT, row_key(event.account, fact.document, fact.fact_id))
        if stored is None:
            _keep_fact(turn, event, source_key, fact, fact.document)
            new[row_key(fact.document, fact.fact_id)] = fact.document
            outcomes.append("waiting")
        elif _told_alike(stored.fact, fact):
            outcomes.append("duplicate")
        else:
            conflict = _conflict(stored, fact)
            outcomes.append("rejected")
    outcome = strongest(map(SourceClass, outcomes)) if outcomes else event.outcome
    reason = "fact_conflict" if conflict else event.reason
    detail = conflict or event.detail
    _keep_source(turn, source_key, event, outcome, reason, detail, tuple(new))
    if conflict:
        report.of_source(turn, event, "fact_conflict", conflict)
    return list(dict.fromkeys(new.values()))


def settle_fact(turn: Turn, account: str, row: FactRow, outcome: str, reason: str | None) -> None:
    """Note what became of a fact, and move its source record to the class that follows."""
    if row.outcome == outcome and row.reason == reason:
        return
    key = row_key(account, row.fact.document or "", row.fact.fact_id)
    turn.shard.put(FACT, key, msgspec.structs.replace(row, outcome=outcome, reason=reason))
    source = turn.shard.get(SOURCE, row.source_key)
    if source is None or source.outcome in ("rejected", "duplicate") and not source.facts:
        return
    told = [turn.shard.get(FACT, f"{row_key(account)}|{fact}") for fact in source.facts]
    outcomes = [fact.outcome for fact in told if fact is not None]
    if source.reason == "fact_conflict":
        outcomes.append("rejected")
    after = strongest(map(SourceClass, outcomes))
    if after != source.outcome:
        _count(turn, source.outcome, -1)
        _count(turn, after, 1)
    shown = "fact_conflict" if source.reason == "fact_conflict" else reason
    turn.shard.put(
        SOURCE, row.source_key, msgspec.structs.replace(source, outcome=after, reason=shown)
    )


def add_to_subscription(
    turn: Turn, account: str, document: DocumentRow, after: Mapping[str, int]
) -> None:
    """Replace a document's part in its subscription's running sums."""
    key = row_key(account, document.subscription or "-")
    row = turn.shard.get(SUBSCRIPTION, key) or SubscriptionRow()
    sums = dict(row.sums)
    for name in document.sums.keys() | after.keys():
        label = f"{document.currency}|{name}"
        change = after.get(name, 0) - document.sums.get(name, 0)
        if change:
            sums[label] = sums.get(label, 0) + change
    if sums != row.sums:
        ordered = dict(sorted(sums.items()))
        turn.shard.put(SUBSCRIPTION, key, msgspec.structs.replace(row, sums=ordered))


def _keep_fact(turn: Turn, event: BillingEvent, source_key: str, fact: Fact, document: str) -> None:
    key = row_key(event.account, document)
    if turn.shard.get(DOCUMENT, key) is None:
        row = DocumentRow(fact.document_kind or "invoice", fact.currency or "", fact.subscription)
        turn.shard.put(DOCUMENT, key, row)
    turn.shard.put(
        FACT,
        row_key(event.account, document, fact.fact_id),
        FactRow(
            fact,
            source_key,
            event.source_event_id,
            event.correlation_id,
            event.position,
        ),
    )


def _told_alike(stored: Fact, told: Fact) -> bool:
    # The customer snapshot is evidence for rules, not a figure of the fact.
    return replace(stored, customer=None) == replace(told, customer=None)


def _conflict(stored: FactRow, told: Fact) -> str:
    differing = []
    before, after = msgspec.to_builtins(stored.fact), msgspec.to_builtins(told)
    for name, value in before.items():
        if name != "customer" and after[name] != value:
            differing.append(f"{name}: {_short(value)} stands, {_short(after[name])} told")
    return f"fact {told.fact_id}: " + "; ".join(differing)


def _short(value: object) -> str:
    text = msgspec.json.encode(value).decode()
    return text if len(text) <= 160 else text[:157] + "..."


def _keep_state(turn: Turn, account: str, fact: Fact) -> None:
    """Customers and subscriptions change: the latest state by business time stands."""
    if fact.kind == "customer_changed":
        key = row_key(account)
        known = turn.shard.get(ACCOUNT, key) or AccountRow()
        if fact.occurred_at_ms >= known.profile_at_ms:
            after = msgspec.structs.replace(
                known, profile=fact.customer, profile_at_ms=fact.occurred_at_ms
            )
            turn.shard.put(ACCOUNT, key, after)
    elif fact.kind == "subscription_changed":
        key = row_key(account, fact.subscription or "-")
        row = turn.shard.get(SUBSCRIPTION, key) or SubscriptionRow()
        if fact.occurred_at_ms >= row.state_at_ms:
            changed = msgspec.structs.replace(
                row, state=fact.subscription_state, state_at_ms=fact.occurred_at_ms
            )
            turn.shard.put(SUBSCRIPTION, key, changed)


def _keep_source(
    turn: Turn,
    key: str,
    event: BillingEvent,
    outcome: str,
    reason: str | None,
    detail: str | None,
    facts: tuple[str, ...] = (),
) -> None:
    row = SourceRow(
        event.source_event_type,
        event.source_event_id,
        outcome,
        event.position,
        event.correlation_id,
        reason,
        detail,
        facts,
    )
    turn.shard.put(SOURCE, key, row)
    _count(turn, outcome, 1)


def _count(turn: Turn, outcome: str, change: int) -> None:
    turn.shard.put(COUNT, outcome, (turn.shard.get(COUNT, outcome) or 0) + change)
