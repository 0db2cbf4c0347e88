"""What changes an issued invoice beside payments, credits and losses.

The problem: tax is put right after the issue, and a service ends early; both are facts of their own
kind, told by other systems than the one that bills. How: each finds its documents and books there.
"""

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

from . import facts as f
from .document import Document
from .entry import Entry
from .payload import RejectedError
from .schedule import in_proportion


# `books` is books.Books, which imports this module.
def adjust(books: Any, fact: f.TaxAdjusted, document: Document | None) -> None:  # noqa: ANN401
    """Book tax that is put right."""
    entity = books.entity_of(fact)
    if entity is None or not books.values(entity, fact.currency):
        books.wait(fact, entity, fact.amount)
    elif document is None and fact.settlement == "receivable":
        books.without_document(fact, entity, fact.amount)
    elif document is None:
        books.settle(fact, "waiting")
    else:
        entry = books.entry(fact, entity)
        try:
            document.adjust(fact, entry)
        except RejectedError:
            books.settle(fact, "rejected")
        else:
            books.post(fact, entry, fact.amount)


def end(books: Any, fact: f.Ended, documents: Sequence[Document]) -> None:  # noqa: ANN401
    """A cancelled subscription ends the service of whatever bills it beyond; it is one fact."""
    outcome = "no_entry"
    for document in documents:
        if document.serves(fact.subscription, fact.at):
            issue, entity = document.issue, document.entity.name
            named = replace(fact, currency=issue.currency, invoice=issue.invoice)
            entry = books.entry(named, entity)
            document.end(fact.subscription, entry)
            outcome = "posted" if books.add(entry) else outcome
    books.settle(fact, outcome)


def ungive(document: Document, entry: Entry) -> list[Entry]:
    """Of what an early end gave back nobody paid for what is owed beyond what is left."""
    beyond, total = document.owed - document.left(), sum(rest for _, _, rest in document.given)
    if min(beyond, total) <= 0:
        return []
    weights = {place: max(rest, 0) for place, (_, _, rest) in enumerate(document.given)}
    shares = in_proportion(min(beyond, total), weights)
    made = []
    for goes in dict.fromkeys(goes for goes, _, _ in document.given):
        undone = replace(entry, purpose=f.ENDED, legs=[])
        for place, (other, number, rest) in enumerate(document.given):
            if other == goes:
                rows = document.lines[number].rows
                rows[entry.day] = rows.get(entry.day, 0) + shares[place]
                document.given[place] = (other, number, rest - shares[place])
                undone.put("debit", goes, shares[place])
                undone.put("credit", "deferred_revenue", shares[place])
        made.append(undone)
    return made
