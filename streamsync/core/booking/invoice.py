"""Issue, void and loss of an invoice, and the release of its deferred revenue.

Problem: what an invoice defers at its issue comes back month by month, and what clears it must take
exactly what is left. How: the issue sets the document on the desk; a void or loss clears it; the
releases are the rows that all facts together leave.
"""

from __future__ import annotations

from collections.abc import Iterator
from datetime import date

from streamsync.core.booking.desk import Desk, Reduction, Stopped, incomplete, taken_amounts
from streamsync.core.books import Entry
from streamsync.core.calendar import period_of
from streamsync.core.company import Policy
from streamsync.core.document import (
    Issued,
    LineLeft,
    Portion,
    check_figures,
    clear,
    issue,
    reduce,
)
from streamsync.core.facts import Fact
from streamsync.core.money import round_half_up_div
from streamsync.core.schedule import Method
from streamsync.core.template import fill

_LOSSES = ("invoice_uncollectible", "written_off")


def book_issue(desk: Desk, fact: Fact) -> None:
    """invoice_issued: its gross, by line deferred or revenue at once, and its tax."""
    if fact.invoice is None or desk.document is not None:
        raise incomplete(fact)
    on = desk.day_of(fact)
    check_figures(fact.invoice)
    # Without it the invoice could never be earned: better to wait as a whole.
    policy = desk.template_policy(on, "revenue_released")
    document = issue(fact, fact.invoice, on, desk.zone, method_of(policy))
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
    desk.owed_minor += max(document.gross_minor, 0)


def method_of(policy: Policy) -> Method:
    """How the policy of the issue's day spreads revenue, then and after every reduction."""
    method = Method(policy.basis, policy.rounding)
    if not method.is_known:
        detail = (
            f"policy {policy.id} {policy.version} spreads revenue by {method.basis} and "
            f"{method.rounding}: this version of streamsync has no such schedule"
        )
        raise Stopped("policy_not_found", detail, refused=False)
    return method


def book_clearing(desk: Desk, fact: Fact) -> None:
    """Void, loss and write-off: what the customer still owes of the document is taken back."""
    document = desk.issued()
    if document.gross_minor < 0:
        detail = f"total {document.gross_minor}: a document in the customer's favour stays"
        raise Stopped("document_direction_wrong", detail, refused=True)
    left = document.net_left + document.tax_left
    on, owed = desk.day_of(fact), desk.owed_minor
    if owed >= left:
        after, taken = clear(document, on)
    elif owed <= 0:
        desk.nothing(fact, "nothing_outstanding")
        return
    else:
        # Partly paid: the rest, with its share of the tax that is left.
        tax = round_half_up_div(document.tax_left * owed, left)
        after, taken = reduce(document, on, owed - tax, tax)
    desk.post(fact, fact.kind, {"gross": (Portion(taken.total_minor),), **taken_amounts(taken)})
    desk.document = after
    desk.owed_minor -= taken.total_minor
    if fact.kind in _LOSSES and taken.total_minor > 0:
        desk.loss = Reduction(fact, taken)


def release(desk: Desk, today: date) -> date | None:
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
