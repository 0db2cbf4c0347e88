"""Refunds: money given back for a charge of a document, and refunds that fail.

Problem: a refund may settle a credit note, which then must not be booked twice, a refund alone
says nothing of tax, and one that fails never left. How: the note of the same amount gives net and
tax; without one the tax follows
the document's ratio, cumulative over its refunds.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from streamsync.core.booking.desk import Desk, Reduction, Stopped, incomplete, taken_amounts
from streamsync.core.booking.payment import charged_in_all
from streamsync.core.booking.settlement import book_conversion, take_back_conversion
from streamsync.core.document import Portion, reduce, refund_tax
from streamsync.core.facts import CreditNote, Fact
from streamsync.core.figures import refund_balance, refund_told
from streamsync.core.restoration import restore
from streamsync.core.template import Amounts, inverse


def book_refund(desk: Desk, fact: Fact) -> None:
    """refunded: from the document, or from revenue where nothing was invoiced."""
    if fact.refund is None:
        raise incomplete(fact)
    amount = desk.refund_amounts.get(fact.fact_id, 0)
    reference = fact.refund.refund_id or fact.refund.charge
    total = (Portion(amount),)
    paid = charged_in_all(desk.facts)
    if paid is not None and desk.refunded_minor + amount > paid:
        detail = f"{amount} to give back after {desk.refunded_minor}, {paid} was paid"
        raise Stopped("refund_exceeds_payment", detail, refused=True)
    if fact.document_kind == "charge":
        # Nothing was issued, so nothing was deferred and no tax is known.
        amounts: Amounts = {"total": total, "released": total, "unreleased": (), "tax": ()}
        desk.post(fact, "refunded", amounts, reference)
        desk.refunded_minor += amount
        _book_settled(desk, fact, amount, reference)
        return
    document = desk.issued()
    if amount == 0:
        desk.nothing(fact, "amount_zero")
        return
    on = desk.day_of(fact)
    choices = desk.policy_of(on).choices
    note = desk.refund_notes.get(fact.fact_id)
    if note is not None:
        tax, named = note.tax_minor, note.lines
    else:
        before, tax_before = desk.refunded_minor, desk.refunded_tax_minor
        tax = refund_tax(document, amount, before, tax_before, choices.tax_rounding)
        named = ()
    treatment = choices.refund
    if note is not None:
        treatment = choices.credit_note_by_reason.get(note.reason or "", treatment)
    after, taken = reduce(document, on, amount - tax, tax, named, treatment)
    journal = "refunded" if note is None else "refunded_by_note"
    desk.post(fact, journal, {"total": total, **taken_amounts(taken)}, reference)
    desk.document = after
    desk.reductions[fact.fact_id] = Reduction(fact, taken, tax)
    desk.refunded_minor += amount
    desk.refunded_tax_minor += tax
    _book_settled(desk, fact, amount, reference)


def _book_settled(desk: Desk, fact: Fact, amount_minor: int, reference: str | None) -> None:
    balance = refund_balance(desk.facts, fact.refund)
    if balance is not None:
        book_conversion(desk, fact, -amount_minor, (balance,), reference)


def book_reported(desk: Desk, fact: Fact) -> None:
    """refund_reported: evidence of a refund that the charge tells; it waits until it does."""
    _refund_told(desk, fact)
    desk.nothing(fact, "told_by_charge")


def book_failed(desk: Desk, fact: Fact) -> None:
    """refund_failed: the money came back; the exact inverse of what the refund booked."""
    told = _refund_told(desk, fact)
    entry = desk.entry_of(told.fact_id)
    waits = next((one for one in desk.waiting if one.fact_id == told.fact_id), None)
    if waits is not None:
        raise Stopped(waits.reason, waits.detail, refused=False)
    if entry is None:
        desk.nothing(fact, "nothing_booked")
        return
    desk.enter(fact, inverse(entry.lines), entry.gateway_reference)
    amount = desk.refund_amounts.get(told.fact_id, 0)
    back = fact.refund.balance if fact.refund is not None else None
    if back is None:
        take_back_conversion(desk, told, fact)
    else:
        # It comes back at the rate of its own day.
        book_conversion(desk, fact, amount, (back,), entry.gateway_reference)
    desk.refunded_minor -= amount
    reduction = desk.reductions.pop(told.fact_id, None)
    if reduction is not None and desk.document is not None:
        desk.document = restore(desk.document, desk.day_of(fact), reduction.taken)
        desk.refunded_tax_minor -= reduction.tax_minor


def _refund_told(desk: Desk, fact: Fact) -> Fact:
    """The charge's telling of a refund, or the fact waits for it."""
    refund = fact.refund
    if refund is None:
        raise incomplete(fact)
    told = refund_told(desk.facts, desk.refund_amounts, fact)
    if told is not None:
        return told
    detail = f"refund {refund.refund_id} of {refund.amount_minor}: no charge.refunded tells it yet"
    raise Stopped("refund_not_seen", detail, refused=False)


def notes_by_refund(
    ordered: Sequence[Fact], amounts: Mapping[str, int]
) -> Mapping[str, CreditNote]:
    """Which refund settles which credit note: the one it names, else the first of its amount."""
    notes = [
        fact.credit_note
        for fact in ordered
        if fact.kind == "credit_note_issued"
        and fact.credit_note is not None
        and fact.credit_note.settlement == "refund"
    ]
    refunds = [fact for fact in ordered if fact.kind == "refunded" and fact.refund is not None]
    settled: dict[str, CreditNote] = {}
    for fact in refunds:
        named = [note for note in notes if fact.refund and fact.refund.refund_id in note.refunds]
        for note in named:
            # A refund of another amount than its note would not add up with the note's tax.
            if note.total_minor == amounts.get(fact.fact_id):
                settled[fact.fact_id] = note
                notes.remove(note)
    for fact in refunds:
        amount = amounts.get(fact.fact_id)
        free = (note for note in notes if note.total_minor == amount)
        first = None if fact.fact_id in settled else next(free, None)
        if first is not None:
            notes.remove(first)
            settled[fact.fact_id] = first
    return settled
