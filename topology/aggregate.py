"""Keep facts and the running sums: what was told, once, and what became of each source record.

Problem: webhooks repeat, arrive in any order and sometimes contradict each other, and every source
record must be accounted for in exactly one class. How: a fact's identity makes a repeat harmless;
the first telling stands and another figure is refused with both sides; a source record's class is
the strongest class among its facts and moves with them, counted in rows beside.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence

import msgspec
from msgspec.structs import replace

from streamsync.core.by_name import by_name
from streamsync.core.facts import BillingEvent, Fact
from streamsync.core.figures import owed_amount
from streamsync.core.reasons import SourceClass, strongest
from streamsync.sources.envelope import FETCHED
from topology import ending, report
from topology.rows import (
    ACCOUNT,
    COLLECTION,
    COUNT,
    DOCUMENT,
    FACT,
    SOURCE,
    SUBSCRIPTION,
    AccountRow,
    CollectionRow,
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
    if event.outcome in ("overdue", "moved"):
        _follow_held(turn, source_key, event)
        return []
    if turn.shard.get(SOURCE, source_key) is not None:
        _count(turn, "duplicate", 1)
        return []
    if event.outcome not in ("facts", "no_entry"):
        outcome = "waiting" if event.outcome == "held" else event.outcome
        _keep_source(turn, source_key, event, outcome, event.reason, event.detail)
        if event.outcome in ("rejected", "waiting"):
            report.of_source(turn, event, event.reason or event.outcome, event.detail or "")
        return []
    if event.source_event_id.endswith(FETCHED):
        _complete_original(turn, event)
    outcomes: list[str] = []
    new: dict[str, str] = {}
    conflict: str | None = None
    for fact in event.facts:
        if fact.document is None:
            _keep_state(turn, event.account, fact)
            new |= ending.keep_end(turn, event.account, _row_of(event, source_key, fact))
            outcomes.append("no_entry")
            continue
        stored = turn.shard.get(FACT, row_key(event.account, fact.document, fact.fact_id))
        agrees = stored is not None and _told_alike(stored.fact, fact)
        if stored is None or agrees and _completes(stored.fact, fact):
            if stored is not None and stored.outcome in ("waiting", "rejected"):
                _hand_over(turn, event.account, stored)
            _keep_fact(turn, event, source_key, fact, fact.document)
            new[row_key(fact.document, fact.fact_id)] = fact.document
            outcomes.append("waiting")
        elif agrees:
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


def _complete_original(turn: Turn, event: BillingEvent) -> None:
    """The record that this one completes waits no longer: this one tells its facts."""
    original = event.source_event_id.removesuffix(FETCHED)
    for key, row in list(turn.shard.scan(SOURCE, row_key(event.account, original, ""))):
        if row.outcome != "waiting" or row.facts:
            continue
        after = msgspec.structs.replace(row, outcome="duplicate", reason="told_completely")
        turn.shard.put(SOURCE, key, after)
        _count(turn, row.outcome, -1)
        _count(turn, "duplicate", 1)
        record = key.removeprefix(f"{row_key(event.account)}|")
        subject = report.source_subject(event.account, record, row.reason or "", row.correlation_id)
        report.resolved(turn, subject, detail="told completely now")


def _hand_over(turn: Turn, account: str, stored: FactRow) -> None:
    """A fact that is not booked yet is told completely: the record that told it first answers for
    it no more, else nothing would ever move that record's class again.
    """
    source = turn.shard.get(SOURCE, stored.source_key)
    told = row_key(stored.fact.document or "", stored.fact.fact_id)
    if source is None or told not in source.facts:
        return
    left = tuple(name for name in source.facts if name != told)
    outcomes = [
        fact.outcome
        for name in left
        if (fact := turn.shard.get(FACT, f"{row_key(account)}|{name}")) is not None
    ]
    conflict = source.reason == "fact_conflict"
    outcomes.append("rejected" if conflict else "duplicate")
    after = strongest(map(SourceClass, outcomes))
    if after != source.outcome:
        _count(turn, source.outcome, -1)
        _count(turn, after, 1)
    reason = source.reason if conflict or left else "told_completely"
    turn.shard.put(
        SOURCE,
        stored.source_key,
        msgspec.structs.replace(source, outcome=after, reason=reason, facts=left),
    )


def _follow_held(turn: Turn, source_key: str, event: BillingEvent) -> None:
    """A held record's deadline has passed, or it is on its way to its own account."""
    row = turn.shard.get(SOURCE, source_key)
    if row is None:
        return
    if event.outcome == "overdue":
        reason, detail = event.reason or "link_not_found", event.detail or ""
        after = msgspec.structs.replace(row, reason=reason, detail=detail)
        turn.shard.put(SOURCE, source_key, after)
        report.of_source(turn, event, reason, detail)
        return
    turn.shard.delete(SOURCE, source_key)
    _count(turn, row.outcome, -1)
    if row.reason is not None:
        record = source_key.removeprefix(f"{row_key(event.account)}|")
        subject = report.source_subject(event.account, record, row.reason, row.correlation_id)
        report.resolved(turn, subject, detail="its account is known now")


def settle_fact(turn: Turn, account: str, row: FactRow, outcome: str, reason: str | None) -> None:
    """Note what became of a fact, and move its source record to the class that follows."""
    if row.outcome == outcome and row.reason == reason:
        return
    key = row_key(account, row.fact.document or "", row.fact.fact_id)
    turn.shard.put(FACT, key, msgspec.structs.replace(row, outcome=outcome, reason=reason))
    source = turn.shard.get(SOURCE, row.source_key)
    if source is None or source.outcome in ("rejected", "duplicate") and not source.facts:
        return
    found = (turn.shard.get(FACT, f"{row_key(account)}|{fact}") for fact in source.facts)
    told = [fact for fact in found if fact is not None]
    outcomes = [fact.outcome for fact in told]
    if source.reason == "fact_conflict":
        outcomes.append("rejected")
    after = strongest(map(SourceClass, outcomes))
    if after != source.outcome:
        _count(turn, source.outcome, -1)
        _count(turn, after, 1)
    # The reason is that of a fact which decided the class, whichever was booked last.
    shown = next((fact.reason for fact in told if fact.outcome == after and fact.reason), None)
    shown = "fact_conflict" if source.reason == "fact_conflict" else shown
    turn.shard.put(
        SOURCE, row.source_key, msgspec.structs.replace(source, outcome=after, reason=shown)
    )


def keep_collection(
    turn: Turn, account: str, document: str, facts: Sequence[Fact], without: Collection[str]
) -> None:
    """Bring the collection state of a document in line with its facts.

    Only what is sent on terms, failed or is past due has one; `without`: facts not in the books.
    """
    issue = next((fact for fact in facts if fact.kind == "invoice_issued"), None)
    told = [fact for fact in facts if fact.collection is not None]
    if issue is None or issue.invoice is None or not (told or issue.invoice.due_at_ms):
        return
    row = CollectionRow(issue.currency or "", due_at_ms=issue.invoice.due_at_ms)
    for fact in sorted(told, key=lambda one: (one.occurred_at_ms, one.fact_id)):
        state = fact.collection
        if state is not None:
            row = msgspec.structs.replace(
                row,
                attempts=max(row.attempts, state.attempts or 0),
                next_attempt_at_ms=state.next_attempt_at_ms,
                due_at_ms=state.due_at_ms or row.due_at_ms,
                overdue=row.overdue or state.overdue,
            )
    counted = [fact for fact in facts if fact.fact_id not in without]
    owed = max(owed_amount(counted), 0)
    if owed == 0:
        row = msgspec.structs.replace(row, next_attempt_at_ms=None, overdue=False)
    key = row_key(account, document)
    after = msgspec.structs.replace(row, owed_minor=owed)
    if turn.shard.get(COLLECTION, key) != after:
        turn.shard.put(COLLECTION, key, after)


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
    fact_key = row_key(event.account, document, fact.fact_id)
    turn.shard.put(FACT, fact_key, _row_of(event, source_key, fact))
    if fact.kind == "invoice_issued":
        ending.keep_served(turn, event.account, fact)


def _row_of(event: BillingEvent, source_key: str, fact: Fact) -> FactRow:
    return FactRow(fact, source_key, event.source_event_id, event.correlation_id, event.position)


def _told_alike(stored: Fact, told: Fact) -> bool:
    """Whether two tellings agree; what only one of them holds (an expanded object) is no figure."""
    return _without_sum(_fewer(stored, told)) == _without_sum(_fewer(told, stored))


def _without_sum(fact: Fact) -> Fact:
    """A refund with an amount of its own: the sum up to it shrinks when an earlier one fails."""
    refund = fact.refund
    if refund is None or refund.amount_minor is None:
        return fact
    return replace(fact, refund=replace(refund, cumulative_minor=None))


def _completes(stored: Fact, told: Fact) -> bool:
    """Whether a telling that agrees holds what the stored one lacks."""
    return _fewer(told, stored) != replace(told, customer=None)


def _fewer(fact: Fact, other: Fact) -> Fact:
    """The fact without what the other does not hold.

    The customer snapshot is evidence for rules, not a figure of the fact.
    """
    charge, refund, paid = fact.charge, fact.refund, fact.payment
    if charge and other.charge and other.charge.balance is None:
        charge = replace(charge, balance=None)
    if refund and other.refund and other.refund.balance is None:
        refund = replace(refund, balance=None)
    if paid and other.payment and other.payment.charge is None:
        paid = replace(paid, charge=None)
    payout = fact.payout
    if payout and other.payout and other.payout.balance is None:
        payout = replace(payout, balance=None)
    invoice = fact.invoice if other.invoice is not None else None
    return replace(
        fact,
        customer=None,
        charge=charge,
        refund=refund,
        payment=paid,
        payout=payout,
        invoice=invoice,
    )


def _conflict(stored: FactRow, told: Fact) -> str:
    differing = []
    before, after = by_name(stored.fact), by_name(told)
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
