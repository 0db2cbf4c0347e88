"""Refunds: money given back for a charge of a document.

Problem: a refund may settle a credit note, which then must not be booked twice, and a refund alone
says nothing of tax. How: the note of the same amount gives net and tax; without one the tax follows
the document's ratio, cumulative over its refunds.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from streamsync.core.booking.desk import Desk, incomplete, taken_amounts
from streamsync.core.document import Portion, reduce, refund_tax
from streamsync.core.facts import CreditNote, Fact
from streamsync.core.template import Amounts


def book_refund(desk: Desk, fact: Fact) -> None:
    """refunded: from the document, or from revenue where nothing was invoiced."""
    if fact.refund is None:
        raise incomplete(fact)
    amount = desk.refund_amounts.get(fact.fact_id, 0)
    reference = fact.refund.refund_id or fact.refund.charge
    total = (Portion(amount),)
    if fact.document_kind == "charge":
        # Nothing was issued, so nothing was deferred and no tax is known.
        amounts: Amounts = {"total": total, "released": total, "unreleased": (), "tax": ()}
        desk.post(fact, "refunded", amounts, reference)
        return
    document = desk.issued()
    if amount == 0:
        desk.nothing(fact, "amount_zero")
        return
    note = desk.refund_notes.get(fact.fact_id)
    if note is not None:
        tax, named = note.tax_minor, note.lines
    else:
        tax = refund_tax(document, amount, desk.refunded_minor, desk.refunded_tax_minor)
        named = ()
    after, taken = reduce(document, desk.day_of(fact), amount - tax, tax, named)
    desk.post(fact, "refunded", {"total": total, **taken_amounts(taken)}, reference)
    desk.document = after
    desk.refunded_minor += amount
    desk.refunded_tax_minor += tax


def notes_by_refund(
    ordered: Sequence[Fact], amounts: Mapping[str, int]
) -> Mapping[str, CreditNote]:
    """Which refund settles which credit note: the first of the same amount that is still free."""
    notes = [
        fact.credit_note
        for fact in ordered
        if fact.credit_note is not None and fact.credit_note.settlement == "refund"
    ]
    settled: dict[str, CreditNote] = {}
    for fact in ordered:
        amount = amounts.get(fact.fact_id)
        note = next((note for note in notes if note.total_minor == amount), None)
        if note is not None:
            notes.remove(note)
            settled[fact.fact_id] = note
    return settled
