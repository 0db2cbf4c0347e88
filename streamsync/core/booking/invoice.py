"""Issue, void and loss of an invoice, and the release of its deferred revenue.

Problem: what an invoice defers at its issue comes back month by month, and what clears it must take
exactly what is left. How: the issue sets the document on the desk; a void or loss clears it; the
releases are the rows that all facts together leave.
"""

from __future__ import annotations

from collections.abc import Iterator
from datetime import date

from msgspec.structs import replace

from streamsync.core.booking.desk import Desk, Reduction, Stopped, incomplete, taken_amounts
from streamsync.core.company import Policy
from streamsync.core.document import Issued, LineLeft, Portion, clear, reduce
from streamsync.core.facts import Fact
from streamsync.core.issue import check_figures, issue
from streamsync.core.money import allocate, round_half_up_div
from streamsync.core.schedule import Method, Row
from streamsync.core.template import Amounts, fill
from streamsync.core.termination import stop

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
        issued_amounts(document),
    )
    desk.document = document
    desk.owed_minor += max(document.gross_minor, 0)


def issued_amounts(document: Issued) -> Amounts:
    """What an issue books: the gross, and by line what is deferred, revenue at once, and tax; and
    the discount on what is revenue at once.
    """
    return {
        "gross": (Portion(document.gross_minor),),
        "deferred": [Portion(line.unreleased_left(date.min), line) for line in document.lines],
        "immediate": [Portion(line.at_once_minor, line) for line in document.lines],
        "tax": [
            Portion(left, line, tax)
            for line in document.lines
            for tax, left in zip(line.line.taxes, line.taxes_left, strict=True)
        ],
        "discount": [
            Portion(line.discount(0, line.at_once_minor), line)
            for line in document.lines
            if line.line.discount_minor
        ],
    }


def method_of(policy: Policy) -> Method:
    """How the policy of the issue's day spreads revenue, then and after every reduction."""
    unknown = policy.schedule.unknown
    if unknown is not None:
        detail = (
            f"policy {policy.id} {policy.version} spreads revenue by {unknown}: "
            "this version of streamsync has no such schedule"
        )
        raise Stopped("policy_not_found", detail, refused=False)
    return policy.schedule


def book_clearing(desk: Desk, fact: Fact) -> None:
    """Void, loss and write-off: what the customer still owes of the document is taken back."""
    document = desk.issued()
    if document.gross_minor < 0:
        detail = f"total {document.gross_minor}: a document in the customer's favour stays"
        raise Stopped("document_direction_wrong", detail, refused=True)
    on, owed, lost = desk.day_of(fact), desk.owed_minor, fact.kind in _LOSSES
    ended = {
        portion.of.line.line_id
        for _, portion in desk.given_back
        if isinstance(portion.of, LineLeft)
    }
    document = _with_what_was_given_back(desk, fact, document, on)
    left = document.net_left + document.tax_left
    stands = lost and desk.policy_of(on).choices.uncollectible == "schedule_stands"
    if owed >= left:
        after, taken = clear(document, on, stands=stands, lost=lost, ended=ended)
    elif owed <= 0:
        desk.nothing(fact, "nothing_outstanding")
        return
    else:
        # Partly paid: the rest, with its share of the tax that is left.
        tax = round_half_up_div(document.tax_left * owed, left)
        how = "point_in_time" if stands else "proportional"
        after, taken = reduce(document, on, owed - tax, tax, treatment=how, lost=lost)
    desk.post(fact, fact.kind, {"gross": (Portion(taken.total_minor),), **taken_amounts(taken)})
    desk.document = after
    desk.owed_minor -= taken.total_minor
    if fact.kind in _LOSSES and taken.total_minor > 0:
        desk.loss = Reduction(fact, taken)


def book_service_end(desk: Desk, fact: Fact) -> None:
    """service_terminated: the schedule stands, or stops and the policy says where the rest goes."""
    on = desk.day_of(fact)
    choice = desk.policy_of(on).choices.termination
    if choice == "schedule_stands":
        desk.nothing(fact, choice)
        return
    after, ended = stop(desk.issued(), on, fact.subscription, release=choice == "release")
    amounts: Amounts = {
        "deferred": (Portion(ended.total_minor),),
        "earned": ended.earned,
        "rest": ended.rest,
        "discount": ended.discount,
    }
    desk.post(fact, f"service_stopped_{choice}", amounts)
    desk.document = after
    if choice != "release":
        desk.given_back += [(choice, portion) for portion in ended.rest if portion.amount_minor]


def _with_what_was_given_back(desk: Desk, fact: Fact, document: Issued, on: date) -> Issued:
    """The document before a void or loss: of what an early end gave back, as much as is owed beyond
    what is left is deferred again, since nobody paid for it.
    """
    beyond = desk.owed_minor - document.net_left - document.tax_left
    given = [portion.amount_minor for _, portion in desk.given_back]
    if beyond <= 0 or sum(given) <= 0:
        return document
    lines = {line.line.line_id: line for line in document.lines}
    shares = allocate(min(beyond, sum(given)), [max(amount, 0) for amount in given])
    for choice in dict.fromkeys(choice for choice, _ in desk.given_back):
        undone: list[Portion] = []
        for (other, portion), share in zip(desk.given_back, shares, strict=True):
            if other == choice and share and isinstance(portion.of, LineLeft):
                undone.append(Portion(-share, portion.of))
                line = lines[portion.of.line.line_id]
                lines[line.line.line_id] = replace(line, rows=(*line.rows, Row(on, share)))
        whole = (Portion(sum(portion.amount_minor for portion in undone)),)
        amounts: Amounts = {"deferred": whole, "earned": (), "rest": undone, "discount": ()}
        if undone:
            journal = f"service_stopped_{choice}"
            desk.post(fact, journal, amounts, purpose="service_terminated")
    desk.given_back = [
        (choice, replace(portion, amount_minor=portion.amount_minor - share))
        for (choice, portion), share in zip(desk.given_back, shares, strict=True)
    ]
    return replace(document, lines=tuple(lines[line.line.line_id] for line in document.lines))


def release(desk: Desk, today: date) -> date | None:
    """Releases that are due, by the policy of the issue's day; answers the date of the next."""
    document = desk.document
    if document is None:
        return None
    policy = desk.template_policy(document.on, "revenue_released")
    template = policy.journals["revenue_released"]
    daily = policy.schedule.first_release == "daily"
    rows = sorted(_rows(document), key=lambda found: (found[0], found[1].line.line_no))
    for on, line, amount, discount in rows:
        if on < today:
            amounts = {
                "amount": (Portion(amount, line),),
                "discount": (Portion(discount, line),),
            }
            desk.enter(
                document.fact,
                fill(template, amounts),
                on=on,
                purpose="revenue_released",
                # A month has one row of a line; only days need to be told apart.
                part=f"{line.line.line_id}@{on}" if daily else line.line.line_id,
            )
    return min((row[0] for row in rows if row[0] >= today), default=None)


def _rows(document: Issued) -> Iterator[tuple[date, LineLeft, int, int]]:
    """Date, line, amount and the discount on it, line by line."""
    for line in document.lines:
        earned = 0
        for row in line.rows if line.line.contract is None else ():
            if row.amount_minor:
                before, earned = earned, earned + row.amount_minor
                yield row.date, line, row.amount_minor, line.discount(before, earned)
