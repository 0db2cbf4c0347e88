"""Standing: where a document stands after all its facts, so that a later one can be booked alone.

Problem: the books of a document are a function of all its facts, and a document that is paid in ten
thousand parts would be booked from the start ten thousand times. How: what a fact that is later
than all others needs of them is little: the document as it is left, a few sums, and whether any of
them could still change. That is a `Standing`; it doesn't grow. `core.journal.book_next` books one
more fact from it and answers exactly the entries that booking all facts would add or change.

A document has one while its facts depend on each other through nothing else: its issue, parts of
payments, refunds with an amount of their own, credit notes that are settled at once, and what books
nothing. With any other fact, with one that waits or is refused, and for one that is earlier than
the last, the whole document is booked again from all its facts; so the books stay a function of the
facts, in any order.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Final

from msgspec import Struct
from msgspec.structs import replace

from streamsync.core.booking.desk import Desk
from streamsync.core.books import Entry
from streamsync.core.document import Issued
from streamsync.core.facts import Fact

_NOTHING: Final = frozenset({"payment_failed"})
_SETTLED: Final = ("receivable", "customer_balance")


class Standing(Struct, frozen=True, array_like=True):
    """A document after all its facts.

    `at_ms`, `fact_id`: the latest fact's place in the order. `paid`: one part payment with the sum
    of all, if any. `moved`: by account role, credits less debits of all entries but releases, in
    minor units.
    """

    at_ms: int
    fact_id: str
    document: Issued
    owed_minor: int
    refunded_minor: int
    refunded_tax_minor: int
    paid: Fact | None
    moved: Mapping[str, int]

    def takes(self, fact: Fact) -> bool:
        """Whether this fact can be booked alone: it changes none before, and needs none of them."""
        if (fact.occurred_at_ms, fact.fact_id) <= (self.at_ms, self.fact_id):
            return False
        if fact.kind == "invoice_issued" or not _stands_alone(fact, self.document):
            return False
        # The first payment of a document says for the first time how much can be given back.
        first_payment = fact.kind == "payment_applied" and self.paid is None
        return not (first_payment and self.refunded_minor)

    def desk(self, desk: Desk, fact: Fact) -> Desk:
        """A fresh desk that stands where the document stands, for one more fact."""
        refund = fact.refund
        return replace(
            desk,
            facts=[told for told in (self.paid, fact) if told is not None],
            refund_amounts={} if refund is None else {fact.fact_id: refund.amount_minor or 0},
            document=self.document,
            owed_minor=self.owed_minor,
            refunded_minor=self.refunded_minor,
            refunded_tax_minor=self.refunded_tax_minor,
        )


def standing_of(desk: Desk, before: Standing | None = None) -> Standing | None:
    """Where a document stands after the facts on the desk, the last of them the latest.

    `before`: where it stood before them. None: a later fact may depend on more than a standing has.
    """
    document = desk.document
    if document is None or desk.waiting or desk.refused:
        return None
    if desk.loss is not None or desk.lost_minor or desk.by_payment or desk.earned:
        return None
    if any(line.line.contract is not None for line in document.lines):
        return None
    told = [fact for fact in desk.facts if before is None or fact is not before.paid]
    if not all(_stands_alone(fact, document) for fact in told):
        return None
    last = desk.facts[-1]
    return Standing(
        at_ms=last.occurred_at_ms,
        fact_id=last.fact_id,
        document=document,
        owed_minor=desk.owed_minor,
        refunded_minor=desk.refunded_minor,
        refunded_tax_minor=desk.refunded_tax_minor,
        paid=_all_parts(desk.facts),
        moved=_moved(desk.entries, before.moved if before is not None else {}),
    )


def _stands_alone(fact: Fact, document: Issued) -> bool:
    """Whether a fact depends on no other, and no later one on it, but through a standing."""
    issue = document.fact
    if fact.document_kind != "invoice" or fact.currency != issue.currency or fact.collection:
        return False
    if fact.kind == "invoice_issued":
        return fact.fact_id == issue.fact_id and not (fact.invoice and fact.invoice.due_at_ms)
    if fact.kind == "payment_applied":
        return fact.payment is not None and fact.payment.part
    if fact.kind == "refunded":
        return fact.refund is not None and fact.refund.amount_minor is not None
    if fact.kind == "credit_note_issued":
        return fact.credit_note is not None and fact.credit_note.settlement in _SETTLED
    return fact.kind in _NOTHING


def _all_parts(facts: Sequence[Fact]) -> Fact | None:
    """One part payment that stands for all: whoever looks at the parts looks at their sum."""
    paid = [fact for fact in facts if fact.kind == "payment_applied"]
    if not paid or paid[-1].payment is None:
        return None
    amount = sum(fact.payment.amount_minor for fact in paid if fact.payment is not None)
    return replace(paid[-1], payment=replace(paid[-1].payment, amount_minor=amount))


def _moved(entries: Sequence[Entry], before: Mapping[str, int]) -> Mapping[str, int]:
    moved = dict(before)
    for entry in entries:
        for line in entry.lines if entry.purpose != "revenue_released" else ():
            change = line.amount_minor if line.side == "credit" else -line.amount_minor
            moved[line.role] = moved.get(line.role, 0) + change
    return dict(sorted(moved.items()))
