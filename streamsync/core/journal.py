"""Journal: the entries that the facts of one billing document ask for.

Problem: events repeat, come in any order and correct each other; booking them one by one makes the
books depend on the order of arrival. How: `book_document` is a pure function of the set of facts.
It puts them in order of business time, keeps what is left of each invoice line, and answers every
entry that the document should have today; what differs from the posted entries is somebody else's
work (`topology.post`). `BOOKING` says which function books which kind; they stand in
`core.booking`, by family. The rules to the cent stand in docs/accounting.md.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from datetime import date
from typing import Final

from streamsync.core.booking import (
    charge,
    credit_note,
    dispute,
    invoice,
    payment,
    payout,
    refund,
)
from streamsync.core.booking.desk import Desk, PolicyAt, Stopped
from streamsync.core.books import Books, Entry, NoEntry, Refused, Waiting
from streamsync.core.document import CannotReduce, in_order, refund_amounts
from streamsync.core.facts import Fact
from streamsync.core.money import is_currency
from streamsync.core.template import EntryLine

__all__ = [
    "Books",
    "Entry",
    "EntryLine",
    "NoEntry",
    "PolicyAt",
    "Refused",
    "Waiting",
    "book_document",
    "books_nothing",
]

BOOKING: Final[Mapping[str, Callable[[Desk, Fact], None]]] = {
    "invoice_issued": invoice.book_issue,
    "invoice_voided": invoice.book_clearing,
    "invoice_uncollectible": invoice.book_clearing,
    "written_off": invoice.book_clearing,
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
}
"""Kind of fact to the function that books it."""

_STATES: Final = frozenset(
    {
        "payment_failed",
        "invoice_overdue",
        "dispute_opened",
        "customer_changed",
        "subscription_changed",
    }
)
"""Kinds that never book, whatever their figures."""


def book_document(facts: Sequence[Fact], policy_at: PolicyAt, zone: str, today: date) -> Books:
    """The desired entries of one document, from all its facts in any order.

    Releases dated before `today` are booked.
    """
    ordered = in_order(facts)
    amounts = refund_amounts(ordered)
    notes = refund.notes_by_refund(ordered, amounts)
    desk = Desk(policy_at, zone, ordered, amounts, notes)
    # The issue comes first whatever its time: all other facts take from what it set.
    for fact in sorted(ordered, key=lambda one: one.kind != "invoice_issued"):
        try:
            _check_currency(desk, fact)
            _book_fact(desk, fact)
        except CannotReduce as why:
            desk.stop(fact, Stopped(why.reason, why.detail, refused=True))
        except Stopped as why:
            desk.stop(fact, why)
    next_release = invoice.release(desk, today)
    return Books(
        tuple(desk.entries),
        tuple(desk.waiting),
        tuple(desk.no_entry),
        tuple(desk.refused),
        next_release,
    )


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
    if nothing is not None and fact.kind != "invoice_issued":
        desk.nothing(fact, nothing)
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
