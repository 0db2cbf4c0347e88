"""Credit notes of a document, and those that are voided.

Problem: the same note is booked against the receivable, the customer's balance, or by the refund
that pays it out. How: the note itself says which; its net and tax are taken from the document,
and a voided note gives them back.
"""

from __future__ import annotations

from streamsync.core.booking.desk import Desk, Reduction, Stopped, incomplete, taken_amounts
from streamsync.core.document import Portion, reduce
from streamsync.core.facts import Fact
from streamsync.core.restoration import restore
from streamsync.core.template import inverse

_JOURNALS = {
    "receivable": "credit_note_receivable",
    "customer_balance": "credit_note_customer_balance",
}


def book_credit_note(desk: Desk, fact: Fact) -> None:
    """credit_note_issued, settled by the receivable or the customer's balance."""
    if fact.credit_note is None:
        raise incomplete(fact)
    note = fact.credit_note
    journal = _JOURNALS.get(note.settlement)
    if journal is None:
        detail = f"settlement {note.settlement} has no journal"
        raise Stopped("credit_note_settlement_unsupported", detail, refused=True)
    if note.net_minor + note.tax_minor != note.total_minor:
        detail = f"total {note.total_minor}, net {note.net_minor}, tax {note.tax_minor}"
        raise Stopped("document_total_mismatch", detail, refused=True)
    document, on = desk.issued(), desk.day_of(fact)
    choices = desk.policy_of(on).choices
    treatment = choices.credit_note_by_reason.get(note.reason or "", choices.credit_note)
    after, taken = reduce(document, on, note.net_minor, note.tax_minor, note.lines, treatment)
    desk.post(fact, journal, {"total": (Portion(taken.total_minor),), **taken_amounts(taken)})
    desk.document = after
    desk.reductions[fact.fact_id] = Reduction(fact, taken)
    if note.settlement == "receivable":
        desk.owed_minor -= taken.total_minor


def book_voided(desk: Desk, fact: Fact) -> None:
    """credit_note_voided: the exact inverse of what the note booked."""
    note = fact.credit_note
    if note is None:
        raise incomplete(fact)
    if not any(
        one.kind == "credit_note_issued"
        and one.credit_note is not None
        and one.credit_note.credit_note_id == note.credit_note_id
        for one in desk.facts
    ):
        detail = f"credit note {note.credit_note_id} was voided; its issue has not been seen"
        raise Stopped("credit_note_not_issued", detail, refused=False)
    issued_id = f"credit_note_issued:{note.credit_note_id}"
    waits = next((one for one in desk.waiting if one.fact_id == issued_id), None)
    if waits is not None:
        raise Stopped(waits.reason, waits.detail, refused=False)
    reduction, entry = desk.reductions.pop(issued_id, None), desk.entry_of(issued_id)
    if reduction is None or entry is None or desk.document is None:
        desk.nothing(fact, "nothing_booked")
        return
    desk.enter(fact, inverse(entry.lines), entry.gateway_reference)
    desk.document = restore(desk.document, desk.day_of(fact), reduction.taken)
    if note.settlement == "receivable":
        desk.owed_minor += reduction.taken.total_minor
