"""Credit notes of a document.

Problem: the same note is booked against the receivable, the customer's balance, or by the refund
that pays it out. How: the note itself says which; its net and tax are taken from the document.
"""

from __future__ import annotations

from streamsync.core.booking.desk import Desk, Stopped, incomplete, taken_amounts
from streamsync.core.document import Portion, reduce
from streamsync.core.facts import Fact

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
    document = desk.issued()
    after, taken = reduce(document, desk.day_of(fact), note.net_minor, note.tax_minor, note.lines)
    desk.post(fact, journal, {"total": (Portion(taken.total_minor),), **taken_amounts(taken)})
    desk.document = after
