"""Journal: the entries that the facts of one billing document ask for.

Problem: events repeat, come in any order and correct each other; booking them one by one makes the
books depend on the order of arrival. How: `book_document` is a pure function of the set of facts.
It puts them in order of business time, keeps what is left of each invoice line, and answers every
entry that the document should have today; what differs from the posted entries is somebody else's
work (`topology.post`). `BOOKING` says which function books which kind; they stand in
`core.booking`, by family. The rules to the cent stand in docs/accounting.md.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from datetime import date
from typing import Final

from streamsync.core.booking import (
    by_payment,
    charge,
    contract,
    credit_note,
    dispute,
    intercompany,
    invoice,
    loss,
    payment,
    payout,
    refund,
    tax,
    wallet,
)
from streamsync.core.booking.desk import Desk, PolicyAt, Stopped
from streamsync.core.books import Books, Entry, NoEntry, Refused, Waiting
from streamsync.core.company import UsagePrice
from streamsync.core.contract import TermsBroken
from streamsync.core.document import (
    CannotReduce,
    ContractPlace,
    contract_nets,
)
from streamsync.core.facts import Fact
from streamsync.core.money import is_currency
from streamsync.core.ordering import in_order, refund_amounts
from streamsync.core.position import Billed
from streamsync.core.schedule import Row
from streamsync.core.standing import Standing, standing_of
from streamsync.core.template import EntryLine

__all__ = [
    "Books",
    "Entry",
    "EntryLine",
    "NoEntry",
    "PolicyAt",
    "Refused",
    "Standing",
    "Waiting",
    "book_document",
    "book_next",
    "books_nothing",
]

BOOKING: Final[Mapping[str, Callable[[Desk, Fact], None]]] = {
    "invoice_issued": invoice.book_issue,
    "invoice_voided": invoice.book_clearing,
    "invoice_uncollectible": invoice.book_clearing,
    "written_off": invoice.book_clearing,
    "invoice_overdue": loss.book_overdue,
    "service_terminated": invoice.book_service_end,
    "payment_applied": payment.book_payment,
    "payment_unapplied": payment.book_unapplied,
    "cash_received": payment.book_cash,
    "cash_applied": payment.book_cash,
    "credit_note_issued": credit_note.book_credit_note,
    "credit_note_voided": credit_note.book_voided,
    "charge_succeeded": charge.book_charge,
    "refunded": refund.book_refund,
    "refund_reported": refund.book_reported,
    "refund_failed": refund.book_failed,
    "dispute_funds_withdrawn": dispute.book_funds,
    "dispute_funds_reinstated": dispute.book_funds,
    "dispute_closed": dispute.book_closed,
    "payout_paid": payout.book_paid,
    "payout_failed": payout.book_failed,
    "tax_adjusted": tax.book_adjustment,
    "contract_signed": contract.book_signed,
    "contract_modified": contract.book_modified,
    "contract_terminated": contract.book_terminated,
    "usage_recorded": contract.book_arrears,
    "wallet_topped_up": wallet.book_top_up,
    "wallet_expired": wallet.book_expiry,
    "intercompany_sale": intercompany.book_side,
    "intercompany_purchase": intercompany.book_side,
    "intercompany_sale_cancelled": intercompany.book_cancelled,
    "intercompany_purchase_cancelled": intercompany.book_cancelled,
}
"""Kind of fact to the function that books it."""

_STATES: Final = frozenset(
    {
        "payment_failed",
        "dispute_opened",
        "customer_changed",
        "subscription_changed",
    }
)
"""Kinds that never book, whatever their figures."""


_BEGINNINGS: Final = frozenset({"invoice_issued", "contract_signed"}) | intercompany.BEGINNINGS

LONG_FACTS: Final = 16
"""A document with so many facts is told where it stands; for a short one that costs more."""


def book_document(
    facts: Sequence[Fact],
    policy_at: PolicyAt,
    zone: str,
    today: date,
    *,
    prices: Sequence[UsagePrice] = (),
    billed: Sequence[Billed] = (),
) -> Books:
    """The desired entries of one document, from all its facts in any order.

    Releases dated before `today` are booked. `prices`: of usage. `billed`: what the invoices of the
    account billed of this contract or usage document.
    """
    ordered = in_order(facts)
    amounts = refund_amounts(ordered)
    notes = refund.notes_by_refund(ordered, amounts)
    desk = Desk(policy_at, zone, ordered, amounts, notes, prices=prices)
    desk.by_payment = by_payment.waits_for_payment(desk)
    bills: list[Billed] = []
    contracted = _names_contracts(ordered)
    # The issue comes first whatever its time: all other facts take from what it set.
    for fact in sorted(ordered, key=lambda one: one.kind not in _BEGINNINGS):
        before = contract_nets(desk.document) if contracted else {}
        _book_or_stop(desk, fact)
        # A loss takes nothing back of what was billed: the contract was performed.
        if contracted and fact.kind not in ("invoice_uncollectible", "written_off"):
            bills += _bills(fact, before, contract_nets(desk.document))
    standing = standing_of(desk) if len(ordered) >= LONG_FACTS else None
    return _books(desk, today, standing, billed, bills)


def book_next(
    standing: Standing, fact: Fact | None, policy_at: PolicyAt, zone: str, today: date
) -> Books | None:
    """What one more fact (or only another day) adds to a document: its entries and all releases.

    None: it is not to be booked alone, but with all facts of the document.
    """
    desk = Desk(policy_at, zone, document=standing.document)
    if fact is None:
        return _books(desk, today, standing)
    if not standing.takes(fact):
        return None
    desk = standing.desk(desk, fact)
    _book_or_stop(desk, fact)
    after = standing_of(desk, standing)
    return None if after is None else _books(desk, today, after)


def _books(
    desk: Desk,
    today: date,
    standing: Standing | None,
    billed: Sequence[Billed] = (),
    bills: Sequence[Billed] = (),
) -> Books:
    released, earned = invoice.release(desk, today), contract.earn(desk, billed, today)
    return Books(
        tuple(desk.entries),
        tuple(desk.waiting),
        tuple(desk.no_entry),
        tuple(desk.refused),
        min((on for on in (released, earned) if on is not None), default=None),
        tuple(bills),
        _measures(desk, today),
        standing,
    )


def _book_or_stop(desk: Desk, fact: Fact) -> None:
    try:
        _check_currency(desk, fact)
        _book_fact(desk, fact)
    except (CannotReduce, TermsBroken) as why:
        desk.stop(fact, Stopped(why.reason, why.detail, refused=True))
    except Stopped as why:
        desk.stop(fact, why)


def _bills(
    fact: Fact, before: Mapping[ContractPlace, int], after: Mapping[ContractPlace, int]
) -> Iterator[Billed]:
    """What a fact changed of what the document bills of contracts."""
    for place, net in after.items():
        change = net - before.get(place, 0)
        if change:
            yield Billed(
                contract=place[0],
                segment=place[1],
                document=fact.document or "",
                fact_id=fact.fact_id,
                currency=fact.currency or "",
                occurred_at_ms=fact.occurred_at_ms,
                amount_minor=change,
            )


def _names_contracts(facts: Sequence[Fact]) -> bool:
    """Whether any line bills a contract; few do, and the others need no look at them."""
    return any(
        line.contract is not None
        for fact in facts
        if fact.kind == "invoice_issued" and fact.invoice is not None
        for line in fact.invoice.lines
    )


def _measures(desk: Desk, today: date) -> dict[str, int]:
    """Bookings, and what of them is still to be earned (remaining performance obligations)."""
    bookings, remaining = 0, 0
    rows: list[Row] = []
    for line in desk.document.lines if desk.document is not None else ():
        if line.line.contract is None:
            bookings += line.net_left
            rows += line.rows
    for segment in desk.segments.values():
        bookings += segment.price_minor
        rows += segment.rows
    for row in rows:
        if row.date >= today:
            remaining += row.amount_minor
    found: dict[str, int] = {}
    if bookings:
        found["bookings"] = bookings
    if remaining:
        found["remaining_performance"] = remaining
    return found


def _check_currency(desk: Desk, fact: Fact) -> None:
    if fact.document is None:
        return
    if fact.currency is None or not is_currency(fact.currency):
        detail = f"currency {fact.currency} is not in ISO 4217"
        raise Stopped("currency_unknown", detail, refused=True)
    if desk.document is not None and desk.document.fact.currency != fact.currency:
        detail = f"{fact.kind} in {fact.currency}, the invoice is in {desk.document.fact.currency}"
        raise Stopped("currency_differs", detail, refused=True)


def _book_fact(desk: Desk, fact: Fact) -> None:
    book = BOOKING.get(fact.kind)
    nothing = books_nothing(fact)
    if desk.by_payment and by_payment.book(desk, fact):
        return
    if nothing is not None and fact.kind != "invoice_issued":
        desk.nothing(fact, nothing)
    elif fact.kind == "invoice_uncollectible" and loss.loses_at_overdue(desk, fact):
        loss.book_overdue(desk, fact)
    elif fact.kind == "usage_recorded" and fact.document_kind == "wallet":
        wallet.book_use(desk, fact)
    elif book is not None:
        book(desk, fact)
    else:
        raise Stopped("fact_kind_unknown", f"kind {fact.kind}", refused=True)


def books_nothing(fact: Fact) -> str | None:
    """Why a fact makes no entry in any books, whoever its customer is; None: it may make one."""
    note, paid = fact.credit_note, fact.payment
    if fact.kind in _STATES:
        return fact.kind
    if fact.kind == "dispute_closed" and fact.dispute and fact.dispute.outcome != "lost":
        return f"dispute_{fact.dispute.outcome or 'open'}"
    if note is not None and note.settlement == "refund":
        return "settled_by_refund"
    amounts: list[int | None] = []
    if note is not None:
        amounts = [note.net_minor, note.tax_minor]
    elif paid is not None:
        amounts = [paid.amount_minor, paid.from_balance_minor, paid.overpaid_minor]
    elif fact.refund is not None:
        amounts = [fact.refund.amount_minor]
    elif fact.invoice is not None:
        amounts = [fact.invoice.total_minor, *(line.amount_minor for line in fact.invoice.lines)]
        amounts += [tax.amount_minor for line in fact.invoice.lines for tax in line.taxes]
    return "amount_zero" if amounts and all(amount == 0 for amount in amounts) else None
