"""Book a document: the entries that its facts, master data and policy ask for.

Problem: duplicates, late events, corrections and replays each look like a special case. How: the
desired entries of a document are a pure function of its facts (`core.journal.book_document`);
this module loads the facts, calls it, hands the entries to `post`, and writes down what became of
each fact. Booking again changes nothing unless something changed.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from datetime import date

import msgspec
from msgspec.structs import replace

from streamsync.core.calendar import day_end_ms, local_date, period_of
from streamsync.core.closing import control_amount, is_computed
from streamsync.core.company import Company, UsagePrice
from streamsync.core.facts import Fact
from streamsync.core.figures import billing_amounts
from streamsync.core.journal import Books, Entry, Standing, book_document, books_nothing
from topology import aggregate, close, performance, post, report, waiting
from topology.enrich import Missing, Placed, place
from topology.rows import (
    DOCUMENT,
    DUE,
    FACT,
    RULES,
    WAIT,
    DocumentRow,
    DueRow,
    FactRow,
    PostingRow,
    row_key,
)
from topology.turn import Turn

Status = tuple[str, str | None, str]
"""Class of a fact, its reason code, and the detail for a person."""


def book(turn: Turn, account: str, document: str) -> None:
    """Bring the postings, sums and classes of one document in line with its facts."""
    row = turn.shard.get(DOCUMENT, row_key(account, document))
    if row is None:
        return
    prefix = row_key(account, document, "")
    stored = [fact for _, fact in turn.shard.scan(FACT, prefix)]
    facts = [fact.fact for fact in stored]
    found = place(turn, account, document, row, facts)
    contracts: list[str] = []
    if isinstance(found, Missing):
        statuses = {fact.fact_id: _status_without_place(fact, found) for fact in facts}
        missing: dict[str, Missing] = {}
    else:
        statuses, missing, contracts = _book_placed(turn, found, row, stored)
    held = {name for name, told in statuses.items() if told[0] in ("rejected", "waiting")}
    aggregate.keep_collection(turn, account, document, facts, held)
    settle(turn, account, document, stored, statuses, missing)
    for contract in contracts:
        book(turn, account, contract)


def release_waiting(turn: Turn, account: str, limit: int) -> bool:
    """Book again an account's waiting documents; false, and none booked, when more than `limit`."""
    found = list(turn.shard.scan(WAIT, row_key(account, ""), limit=limit + 1))
    if len(found) > limit:
        return False
    for _, waits in found:
        book(turn, waits.account, waits.document)
    return True


def _status_without_place(fact: Fact, missing: Missing) -> Status:
    """Facts wait for master data, but what books nothing in any books waits for nobody."""
    reason = books_nothing(fact)
    if reason is not None:
        return ("no_entry", reason, "")
    return ("waiting", missing.reason, missing.detail)


def _book_placed(
    turn: Turn, placed: Placed, row: DocumentRow, stored: Sequence[FactRow]
) -> tuple[dict[str, Status], dict[str, Missing], list[str]]:
    """Classes of the facts, what waits beside them, and the contracts to book again."""
    zone = placed.entity.time_zone
    facts = [fact.fact for fact in stored]
    today = local_date(turn.clock.time_ms, zone)
    postings = post.known(turn, placed)
    placed = replace(placed, booked_by=_booked_by(turn, placed, facts, postings))
    bills = performance.bills_of(turn, placed.account, placed.document, row)
    books = book_document(
        facts,
        placed.policy_at,
        zone,
        today,
        prices=_prices(placed),
        billed=[bill for _, bill in bills],
    )
    row = _as_now_told(turn, placed, row, facts)
    told = [*stored, *(fact for fact, _ in bills)]
    sent = post.send_differences(turn, placed, row, books.entries, told, postings)
    contracts = performance.tell_contracts(
        turn, placed.account, placed.document, facts, books.billed
    )
    statuses = statuses_of(facts, books)
    for fact_id, missing in sent.held.items():
        # The fact of an invoice that bills this document waits in its own; here the first does.
        own = fact_id if fact_id in statuses else facts[0].fact_id
        if statuses[own][0] not in ("rejected", "waiting"):
            statuses[own] = ("waiting", missing.reason, missing.detail)
    billing = billing_by_period(facts, books, statuses, zone)
    following = _earliest(books.next_release, sent.next_revaluation)
    settled = not (sent.held or sent.aside or placed.booked_by)
    settled = settled and row.currency == placed.entity.functional_currency
    standing = books.standing if settled else None
    sums, still_open = sums_of(billing, books), _open(books.entries, sent.held)
    keep_document(turn, placed, row, billing, sums, still_open, following, standing)
    return statuses, sent.aside, contracts


def keep_document(  # noqa: PLR0917 -- what a document's row holds
    turn: Turn,
    placed: Placed,
    row: DocumentRow,
    billing: dict[str, int],
    sums: dict[str, int],
    still_open: tuple[int, str],
    following: date | None,
    standing: Standing | None,
) -> None:
    """Bring a document's row and sums elsewhere in line; `following`: when it is booked next.

    `still_open`: what the customer owes on it, and since when.
    """
    close.add_billing(turn, placed, row, billing)
    aggregate.add_to_subscription(turn, placed.account, row, sums)
    close.keep_open(turn, placed, row, *still_open)
    after = msgspec.structs.replace(
        row,
        entity=placed.entity.id,
        entity_rule=placed.entity_rule,
        next_release_ms=_schedule_release(turn, placed, row, following),
        billing=billing,
        sums=sums,
        open_minor=still_open[0],
        open_since=still_open[1],
        standing=standing,
        standing_rules=placed.company.version,
    )
    turn.shard.put(DOCUMENT, row_key(placed.account, placed.document), after)


def _booked_by(
    turn: Turn, placed: Placed, facts: Sequence[Fact], postings: Mapping[str, PostingRow]
) -> dict[str, Company]:
    """Earlier rules that this document keeps, by accounting date; what an ERP refused keeps none.

    New rules change what is booked only by a restatement job.
    """
    kept: dict[str, Company] = {}
    dates = {fact.fact_id: fact.occurred_at_ms for fact in facts}
    for posting in postings.values():
        version = posting.rules_version
        standing = posting.accepted is not None or posting.in_flight is not None
        if version in (0, placed.company.version) or not standing:
            continue
        rules = turn.shard.get(RULES, row_key(placed.tenant, f"{version:09d}"))
        if rules is not None and posting.fact_id in dates:
            day = local_date(dates[posting.fact_id], placed.entity.time_zone)
            kept[day.isoformat()] = rules
    return kept


def _prices(placed: Placed) -> Sequence[UsagePrice]:
    """Prices of usage: one that the document was booked by stays, whatever later rules call by the
    same id and first day; a price from a later day on is a new one.
    """
    earlier = [placed.booked_by[day] for day in sorted(placed.booked_by, reverse=True)]
    prices = {
        (price.id, price.currency, price.effective_from): price
        for rules in (placed.company, *earlier)
        for price in rules.usage_prices
    }
    return tuple(prices.values())


def _as_now_told(
    turn: Turn, placed: Placed, row: DocumentRow, facts: Sequence[Fact]
) -> DocumentRow:
    """The document's currency and subscription: its issue's word, whatever fact came first."""
    issue = next((fact for fact in facts if fact.kind == "invoice_issued"), None)
    subscription = row.subscription or next((f.subscription for f in facts if f.subscription), None)
    currency = row.currency
    if issue is not None:
        subscription = issue.subscription or subscription
        currency = issue.currency or currency
    if (currency, subscription) == (row.currency, row.subscription):
        return row
    # Its figures so far stand under the old names: take them out, they are added anew.
    close.add_billing(turn, placed, row, {})
    close.keep_open(turn, placed, row, 0, "")
    aggregate.add_to_subscription(turn, placed.account, row, {})
    return msgspec.structs.replace(
        row,
        currency=currency,
        subscription=subscription,
        billing={},
        sums={},
        open_minor=0,
        open_since="",
    )


def statuses_of(facts: Sequence[Fact], books: Books) -> dict[str, Status]:
    statuses: dict[str, Status] = {fact.fact_id: ("no_entry", "no_entry_due", "") for fact in facts}
    for none in books.no_entry:
        statuses[none.fact_id] = ("no_entry", none.reason, "")
    for entry in books.entries:
        if entry.fact_id in statuses:
            statuses[entry.fact_id] = ("posted", None, "")
    for waits in books.waiting:
        statuses[waits.fact_id] = ("waiting", waits.reason, waits.detail)
    for refused in books.refused:
        statuses[refused.fact_id] = ("rejected", refused.reason, refused.detail)
    return statuses


def billing_by_period(
    facts: Sequence[Fact], books: Books, statuses: Mapping[str, Status], zone: str
) -> dict[str, int]:
    """Billing's own figures as `period|currency|purpose`, for facts that the books could take.

    A fact that the policy books otherwise has none: another purpose has the figure. Releases have
    no figure in a billing document; theirs is the schedule's.
    """
    figures: dict[str, int] = {}
    stopped = {waits.fact_id for waits in books.waiting}
    stopped |= {refused.fact_id for refused in books.refused}
    booked = {(entry.fact_id, entry.purpose) for entry in books.entries}
    for fact_id, purpose, occurred_at_ms, currency, amount in billing_amounts(facts, stopped):
        if (fact_id, purpose) in booked and statuses[fact_id][0] not in ("rejected", "waiting"):
            key = f"{period_of(local_date(occurred_at_ms, zone))}|{currency}|{purpose}"
            figures[key] = figures.get(key, 0) + amount
    for entry in books.entries:
        own = statuses.get(entry.fact_id)
        if is_computed(entry.purpose) and (own is None or own[0] != "waiting"):
            key = f"{entry.natural_period}|{entry.currency}|{entry.purpose}"
            figures[key] = figures.get(key, 0) + control_amount(entry.purpose, entry.lines)
    return {key: amount for key, amount in sorted(figures.items()) if amount}


_MEASURES = {
    "invoice_issued": "invoiced",
    "payment_applied": "paid",
    "credit_note_issued": "credited",
    "refunded": "refunded",
    "invoice_voided": "voided",
    "invoice_uncollectible": "written_off",
    "written_off": "written_off",
}
# The measure of a role, and the side that raises it.
_ROLE_MEASURES = {
    "deferred_revenue": ("deferred", "credit"),
    "unbilled_receivable": ("unbilled", "debit"),
    "revenue": ("recognised", "credit"),
    "tax_payable": ("tax", "credit"),
}


def sums_of(
    billing: Mapping[str, int], books: Books, moved: Mapping[str, int] | None = None
) -> dict[str, int]:
    """A document's part in the running amounts of its subscription, minor units.

    `moved`: credits less debits by role of all entries but releases, where the books have not all.
    """
    sums = dict(books.measures)
    for role, amount in (moved or {}).items():
        measure, side = _ROLE_MEASURES.get(role, (None, ""))
        if measure is not None:
            sums[measure] = sums.get(measure, 0) + (amount if side == "credit" else -amount)
    for key, amount in billing.items():
        measure = _MEASURES.get(key.rsplit("|", 1)[1])
        if measure is not None:
            sums[measure] = sums.get(measure, 0) + amount
    for entry in books.entries:
        for line in entry.lines:
            if line.role in _ROLE_MEASURES:
                measure, raised_on = _ROLE_MEASURES[line.role]
                change = line.amount_minor if line.side == raised_on else -line.amount_minor
                sums[measure] = sums.get(measure, 0) + change
    return dict(sorted(sums.items()))


def receivable_moved(entries: Sequence[Entry], held: Collection[str] = ()) -> int:
    """By how much entries move what the customer owes, debit less credit."""
    return sum(
        line.amount_minor if line.side == "debit" else -line.amount_minor
        for entry in entries
        if entry.fact_id not in held
        for line in entry.lines
        if line.role == "receivable"
    )


def _open(entries: Sequence[Entry], held: Mapping[str, Missing]) -> tuple[int, str]:
    """What the customer owes on the document, and the day it is open since: that of its issue,
    else of the first entry on the receivable.
    """
    amount = receivable_moved(entries, held)
    days = [
        (entry.purpose != "invoice_issued", entry.date.isoformat())
        for entry in entries
        if entry.purpose == "invoice_issued" or receivable_moved([entry], held)
    ]
    return (amount, min(days)[1]) if amount else (0, "")


def _earliest(*days: date | None) -> date | None:
    return min((day for day in days if day is not None), default=None)


def _schedule_release(
    turn: Turn, placed: Placed, row: DocumentRow, next_release: date | None
) -> int | None:
    """Hang the next release or revaluation on the due-index; answers its time."""
    due = day_end_ms(next_release, placed.entity.time_zone) if next_release else None
    if due != row.next_release_ms:
        if row.next_release_ms is not None:
            turn.shard.delete(DUE, _due_key(row.next_release_ms, placed))
        if due is not None:
            work = DueRow("release", placed.account, placed.document)
            turn.shard.put(DUE, _due_key(due, placed), work)
    return due


def _due_key(due_ms: int, placed: Placed) -> str:
    return row_key(f"{due_ms:015d}", placed.account, placed.document)


def settle(
    turn: Turn,
    account: str,
    document: str,
    stored: Sequence[FactRow],
    statuses: Mapping[str, Status],
    missing: Mapping[str, Missing],
) -> None:
    """Write down each fact's class; open and resolve its exception; keep the waiting index."""
    reasons = waiting.beside(turn, account, document, missing)
    for fact in stored:
        outcome, reason, detail = statuses[fact.fact.fact_id]
        if outcome == "waiting" and reason is not None:
            reasons[fact.fact.fact_id] = reason
        if fact.reason and fact.outcome in ("waiting", "rejected") and fact.reason != reason:
            subject = _subject(account, document, fact, fact.reason)
            report.resolved(turn, subject, detail=f"now {outcome}")
        if outcome in ("waiting", "rejected") and reason is not None:
            subject = _subject(account, document, fact, reason)
            report.opened(turn, subject, rule=fact.fact.kind, detail=detail)
        aggregate.settle_fact(turn, account, fact, outcome, reason)
    waiting.keep(turn, account, document, reasons)


def _subject(account: str, document: str, fact: FactRow, reason: str) -> report.Subject:
    return report.Subject(
        account=account,
        code=reason,
        subject=row_key(document, fact.fact.fact_id),
        document=document,
        currency=fact.fact.currency,
        correlation_id=fact.correlation_id,
    )
