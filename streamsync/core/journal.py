"""Journal: the entries that the facts of one billing document ask for.

Problem: events repeat, come in any order and correct each other; booking them one by one makes the
books depend on the order of arrival. How: `book_document` is a pure function of the set of facts.
It puts them in order of business time, keeps what is left of each invoice line, and answers every
entry that the document should have today; what differs from the posted entries is somebody else's
work (`topology.post`). The rules to the cent stand in docs/accounting.md.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import date

from streamsync.core.books import Books, Entry, NoEntry, Refused, Waiting
from streamsync.core.calendar import local_date, period_of
from streamsync.core.company import Policy
from streamsync.core.document import (
    CannotReduce,
    Issued,
    LineLeft,
    Portion,
    Taken,
    check_figures,
    clear,
    in_order,
    issue,
    reduce,
    refund_amounts,
    refund_tax,
)
from streamsync.core.facts import CreditNote, Fact
from streamsync.core.money import is_currency
from streamsync.core.schedule import Method
from streamsync.core.template import Amounts, EntryLine, fill

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

PolicyAt = Callable[[str], Policy | None]
"""The policy in force for the document's entity on an ISO date."""

_SETTLEMENT_JOURNALS = {
    "receivable": "credit_note_receivable",
    "customer_balance": "credit_note_customer_balance",
}


class _Stopped(Exception):
    """A fact waits (`refused` False) or is refused."""

    def __init__(self, reason: str, detail: str, *, refused: bool) -> None:
        super().__init__(f"{reason}: {detail}")
        self.reason = reason
        self.detail = detail
        self.refused = refused


@dataclass(slots=True)
class _Desk:
    """Where the entries of one document are collected."""

    policy_at: PolicyAt
    zone: str
    entries: list[Entry] = field(default_factory=list)
    waiting: list[Waiting] = field(default_factory=list)
    no_entry: list[NoEntry] = field(default_factory=list)
    refused: list[Refused] = field(default_factory=list)
    # The document as it stands after the facts booked so far; None: its issue is not booked.
    document: Issued | None = None
    # Why facts that need the issue wait, when they do.
    not_issued: tuple[str, str] = ("invoice_not_issued", "the invoice's issue has not been seen")
    refunded_minor: int = 0
    refunded_tax_minor: int = 0

    def issued(self) -> Issued:
        """The document, or its facts wait for it."""
        if self.document is None:
            raise _Stopped(*self.not_issued, refused=False)
        return self.document

    def template_policy(self, on: date, journal: str) -> Policy:
        """The policy of a day, if it has such a journal."""
        policy = self.policy_at(on.isoformat())
        if policy is None:
            detail = f"no accounting policy is in force on {on.isoformat()}"
            raise _Stopped("policy_not_found", detail, refused=False)
        if journal not in policy.journals:
            detail = f"policy {policy.id} {policy.version} has no journal {journal}"
            raise _Stopped("policy_not_found", detail, refused=False)
        return policy

    def post(
        self, fact: Fact, journal: str, amounts: Amounts, reference: str | None = None
    ) -> None:
        """One entry of a fact at its own date, unless all its amounts are zero."""
        if not any(part.amount_minor for parts in amounts.values() for part in parts):
            self.no_entry.append(NoEntry(fact.fact_id, "amount_zero"))
            return
        on = local_date(fact.occurred_at_ms, self.zone)
        lines = fill(self.template_policy(on, journal).journals[journal], amounts)
        self.entries.append(
            Entry(
                fact.fact_id,
                fact.kind,
                "",
                period_of(on),
                on,
                fact.currency or "",
                lines,
                reference,
            )
        )


def book_document(facts: Sequence[Fact], policy_at: PolicyAt, zone: str, today: date) -> Books:
    """The desired entries of one document, from all its facts in any order.

    Releases dated before `today` are booked.
    """
    desk = _Desk(policy_at, zone)
    ordered = in_order(facts)
    issues = [fact for fact in ordered if fact.kind == "invoice_issued"]
    amounts = refund_amounts(ordered)
    notes = _notes_by_refund(ordered, amounts)
    # The issue comes first whatever its time: all other facts take from what it set.
    for fact in (*issues, *(fact for fact in ordered if fact.kind != "invoice_issued")):
        try:
            _check_currency(desk, fact)
            _book_fact(desk, fact, amounts, notes)
        except CannotReduce as why:
            _stop(desk, fact, _Stopped(why.reason, why.detail, refused=True))
        except _Stopped as why:
            _stop(desk, fact, why)
    next_release = _release(desk, today)
    return Books(
        tuple(desk.entries),
        tuple(desk.waiting),
        tuple(desk.no_entry),
        tuple(desk.refused),
        next_release,
    )


def _stop(desk: _Desk, fact: Fact, why: _Stopped) -> None:
    if why.refused:
        desk.refused.append(Refused(fact.fact_id, why.reason, why.detail))
        return
    desk.waiting.append(Waiting(fact.fact_id, why.reason, why.detail))
    if fact.kind == "invoice_issued":
        desk.not_issued = (why.reason, f"the invoice itself waits: {why.detail}")


def _check_currency(desk: _Desk, fact: Fact) -> None:
    if fact.document is None:
        return
    if fact.currency is None or not is_currency(fact.currency):
        detail = f"currency {fact.currency} is not in ISO 4217"
        raise _Stopped("currency_unknown", detail, refused=True)
    if desk.document is not None and desk.document.fact.currency != fact.currency:
        detail = f"{fact.currency}, the invoice is in {desk.document.fact.currency}"
        raise _Stopped("currency_differs", detail, refused=True)


def _book_fact(
    desk: _Desk, fact: Fact, amounts: Mapping[str, int], notes: Mapping[str, CreditNote]
) -> None:
    nothing = books_nothing(fact)
    if nothing is not None and fact.kind != "invoice_issued":
        desk.no_entry.append(NoEntry(fact.fact_id, nothing))
    elif fact.kind == "invoice_issued":
        _book_issue(desk, fact)
    elif fact.kind == "payment_applied":
        _book_payment(desk, fact)
    elif fact.kind in ("invoice_voided", "invoice_uncollectible"):
        _book_clearing(desk, fact)
    elif fact.kind == "credit_note_issued":
        _book_credit_note(desk, fact)
    elif fact.kind == "refunded":
        _book_refund(desk, fact, amounts.get(fact.fact_id, 0), notes.get(fact.fact_id))
    else:
        raise _Stopped("fact_kind_unknown", f"kind {fact.kind}", refused=True)


def books_nothing(fact: Fact) -> str | None:
    """Why a fact makes no entry in any books, whoever its customer is; None: it may make one."""
    note, payment, invoice = fact.credit_note, fact.payment, fact.invoice
    if fact.kind in ("payment_failed", "customer_changed", "subscription_changed"):
        return fact.kind
    if note is not None and note.settlement == "refund":
        return "settled_by_refund"
    amounts: list[int | None] = []
    if note is not None:
        amounts = [note.net_minor, note.tax_minor]
    elif payment is not None:
        amounts = [payment.amount_minor, payment.from_balance_minor]
    elif fact.refund is not None:
        amounts = [fact.refund.amount_minor]
    elif invoice is not None:
        amounts = [invoice.total_minor, *(line.amount_minor for line in invoice.lines)]
        amounts += [tax.amount_minor for line in invoice.lines for tax in line.taxes]
    return "amount_zero" if amounts and all(amount == 0 for amount in amounts) else None


def _incomplete(fact: Fact) -> _Stopped:
    return _Stopped("fact_incomplete", f"{fact.kind} without its figures", refused=True)


def _book_issue(desk: _Desk, fact: Fact) -> None:
    if fact.invoice is None or desk.document is not None:
        raise _incomplete(fact)
    on = local_date(fact.occurred_at_ms, desk.zone)
    check_figures(fact.invoice)
    # Without it the invoice could never be earned: better to wait as a whole.
    policy = desk.template_policy(on, "revenue_released")
    document = issue(fact, fact.invoice, on, desk.zone, _method(policy))
    negative = document.gross_minor < 0
    desk.post(
        fact,
        "invoice_issued_negative" if negative else "invoice_issued",
        {
            "gross": (Portion(document.gross_minor),),
            "deferred": [Portion(line.unreleased_left(date.min), line) for line in document.lines],
            "immediate": [Portion(line.at_once_minor, line) for line in document.lines],
            "tax": [
                Portion(left, line, tax)
                for line in document.lines
                for tax, left in zip(line.line.taxes, line.taxes_left, strict=True)
            ],
        },
    )
    desk.document = document


def _method(policy: Policy) -> Method:
    """How the policy of the issue's day spreads revenue, then and after every reduction."""
    method = Method(policy.basis, policy.rounding)
    if not method.is_known:
        detail = (
            f"policy {policy.id} {policy.version} spreads revenue by {method.basis} and "
            f"{method.rounding}: this version of streamsync has no such schedule"
        )
        raise _Stopped("policy_not_found", detail, refused=False)
    return method


def _book_payment(desk: _Desk, fact: Fact) -> None:
    if fact.payment is None:
        raise _incomplete(fact)
    payment = fact.payment
    desk.post(
        fact,
        "payment_out_of_band" if payment.out_of_band else "payment_applied",
        {
            "total": (Portion(payment.amount_minor + payment.from_balance_minor),),
            "charged": (Portion(payment.amount_minor),),
            "from_balance": (Portion(payment.from_balance_minor),),
        },
        payment.gateway_reference,
    )


def _book_clearing(desk: _Desk, fact: Fact) -> None:
    document = desk.issued()
    if document.gross_minor < 0:
        detail = f"total {document.gross_minor}: a document in the customer's favour stays"
        raise _Stopped("document_direction_wrong", detail, refused=True)
    after, taken = clear(document, local_date(fact.occurred_at_ms, desk.zone))
    desk.post(fact, fact.kind, {"gross": (Portion(taken.total_minor),), **_taken(taken)})
    desk.document = after


def _book_credit_note(desk: _Desk, fact: Fact) -> None:
    if fact.credit_note is None:
        raise _incomplete(fact)
    note = fact.credit_note
    journal = _SETTLEMENT_JOURNALS.get(note.settlement)
    if journal is None:
        detail = f"settlement {note.settlement} has no journal"
        raise _Stopped("credit_note_settlement_unsupported", detail, refused=True)
    if note.net_minor + note.tax_minor != note.total_minor:
        detail = f"total {note.total_minor}, net {note.net_minor}, tax {note.tax_minor}"
        raise _Stopped("document_total_mismatch", detail, refused=True)
    document = desk.issued()
    on = local_date(fact.occurred_at_ms, desk.zone)
    after, taken = reduce(document, on, note.net_minor, note.tax_minor, note.lines)
    desk.post(fact, journal, {"total": (Portion(taken.total_minor),), **_taken(taken)})
    desk.document = after


def _book_refund(desk: _Desk, fact: Fact, amount: int, note: CreditNote | None) -> None:
    if fact.refund is None:
        raise _incomplete(fact)
    reference = fact.refund.refund_id or fact.refund.charge
    total = (Portion(amount),)
    if fact.document_kind == "charge":
        # Nothing was issued, so nothing was deferred and no tax is known.
        amounts: Amounts = {"total": total, "released": total, "unreleased": (), "tax": ()}
        desk.post(fact, "refunded", amounts, reference)
        return
    document = desk.issued()
    if amount == 0:
        desk.no_entry.append(NoEntry(fact.fact_id, "amount_zero"))
        return
    on = local_date(fact.occurred_at_ms, desk.zone)
    if note is not None:
        tax, named = note.tax_minor, note.lines
    else:
        tax = refund_tax(document, amount, desk.refunded_minor, desk.refunded_tax_minor)
        named = ()
    after, taken = reduce(document, on, amount - tax, tax, named)
    desk.post(fact, "refunded", {"total": total, **_taken(taken)}, reference)
    desk.document = after
    desk.refunded_minor += amount
    desk.refunded_tax_minor += tax


def _notes_by_refund(
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


def _taken(taken: Taken) -> dict[str, Sequence[Portion]]:
    return {"released": taken.released, "unreleased": taken.unreleased, "tax": taken.tax}


def _release(desk: _Desk, today: date) -> date | None:
    """Releases that are due, by the policy of the issue's day; answers the date of the next."""
    document = desk.document
    if document is None:
        return None
    policy = desk.template_policy(document.on, "revenue_released")
    template = policy.journals["revenue_released"]
    rows = sorted(_rows(document), key=lambda found: (found[0], found[1].line.line_no))
    for on, line, amount in rows:
        if on < today:
            lines = fill(template, {"amount": (Portion(amount, line),)})
            desk.entries.append(
                Entry(
                    document.fact.fact_id,
                    "revenue_released",
                    line.line.line_id,
                    period_of(on),
                    on,
                    document.fact.currency or "",
                    lines,
                )
            )
    return min((on for on, _, _ in rows if on >= today), default=None)


def _rows(document: Issued) -> Iterator[tuple[date, LineLeft, int]]:
    for line in document.lines:
        for row in line.rows:
            if row.amount_minor:
                yield row.date, line, row.amount_minor
