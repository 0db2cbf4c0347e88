"""A billing document after its issue: what is left of each line, and how facts take from it.

Problem: credit notes, refunds, voids and losses each reduce a document by an amount, and the books
must know which line, how much of it was already revenue, and which tax. How: a `LineLeft` holds one
line's schedule and what was taken; a reduction answers new lines and the portions it took, signed
like the line (below zero for a credit line). What exceeds what is left raises `CannotReduce`.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence
from datetime import date

from msgspec import Struct
from msgspec.structs import replace

from streamsync.core.facts import CreditNoteLine, Fact, Invoice, InvoiceLine, LineTax
from streamsync.core.money import allocate, round_half_up_div, share_of_tax
from streamsync.core.revenue import (
    TREATMENTS,
    Left,
    reduce_unreleased,
    released,
    terminate,
    unreleased,
)
from streamsync.core.schedule import (
    Plan,
    Row,
)


class CannotReduce(Exception):
    """A reduction that breaks a rule: its reason code, and the figures for a person."""

    def __init__(self, reason: str, detail: str) -> None:
        super().__init__(f"{reason}: {detail}")
        self.reason = reason
        self.detail = detail


class LineLeft(Struct, frozen=True, array_like=True):
    """One line: its service, and what earlier facts left of it.

    `plan`: None for a line that was revenue at once.
    """

    line: InvoiceLine
    start: date | None
    end: date | None
    plan: Plan | None
    rows: tuple[Row, ...]
    at_once_minor: int
    taken_released_minor: int
    taxes_left: tuple[int, ...]

    def released_left(self, on: date) -> int:
        """Revenue so far, less what was taken back."""
        return self.at_once_minor + released(self.rows, on) - self.taken_released_minor

    def unreleased_left(self, on: date) -> int:
        """Deferred on that day."""
        return unreleased(self.rows, on)

    @property
    def net_left(self) -> int:
        """Issued net less what was taken; independent of the day."""
        scheduled = sum(row.amount_minor for row in self.rows)
        return self.at_once_minor + scheduled - self.taken_released_minor

    def discount(self, before: int, after: int) -> int:
        """The discount on the net that is earned between two sums of it, signed like the line.

        Cut at the rounded running shares, so that all of the net has all of the discount, less the
        part of it that was inclusive tax. What is free, in a bundle or of a contract shows none:
        its price is not the line's own.
        """
        line = self.line
        if not line.discount_minor or not line.amount_minor or line.bundle or line.contract:
            return 0
        priced = line.amount_minor + sum(tax.amount_minor for tax in line.taxes if tax.inclusive)
        until, since = (
            round_half_up_div(line.discount_minor * net, priced) for net in (after, before)
        )
        return until - since

    @property
    def product(self) -> str | None:
        """What was sold."""
        return self.line.product

    @property
    def counterparty(self) -> None:
        """A customer's invoice has no other entity."""
        return None

    @property
    def is_charge(self) -> bool:
        """Whether the line raised what the customer owes."""
        return self.line.direction != "credit"


class Performed(Struct, frozen=True):
    """What an amount is for where no invoice line is behind it."""

    product: str | None
    start: date | None = None
    end: date | None = None
    # The other entity of a sale between two of the company's own.
    counterparty: str | None = None


class Portion(Struct, frozen=True):
    """A signed part of a named amount; with the line and tax that it belongs to, if one."""

    amount_minor: int
    of: LineLeft | Performed | None = None
    tax: LineTax | None = None


class Taken(Struct, frozen=True):
    """What a reduction took, by named amount."""

    released: tuple[Portion, ...]
    unreleased: tuple[Portion, ...]
    tax: tuple[Portion, ...]

    @property
    def total_minor(self) -> int:
        """The gross of the reduction."""
        return sum(part.amount_minor for part in (*self.released, *self.unreleased, *self.tax))


class Issued(Struct, frozen=True, array_like=True):
    """An issued document: the day, its gross and tax (signed), and its lines in line order."""

    fact: Fact
    on: date
    gross_minor: int
    tax_minor: int
    lines: tuple[LineLeft, ...]

    @property
    def net_left(self) -> int:
        """Net of the document that no fact has taken yet."""
        return sum(line.net_left for line in self.lines)

    @property
    def tax_left(self) -> int:
        """Tax of the document that no fact has taken yet."""
        return sum(sum(line.taxes_left) for line in self.lines)


ContractPlace = tuple[str, str | None]
"""A contract, and the segment of it that a line names."""


def contract_nets(document: Issued | None) -> dict[ContractPlace, int]:
    """What the document bills of contracts, less what was taken back."""
    found: dict[ContractPlace, int] = {}
    for line in document.lines if document is not None else ():
        if line.line.contract is not None:
            place = (line.line.contract, line.line.segment)
            found[place] = found.get(place, 0) + line.net_left
    return found


def sign_of(line: InvoiceLine) -> int:
    """-1 for a credit line."""
    return -1 if line.direction == "credit" else 1


def signed_total(invoice: Invoice) -> int:
    """The document's own total, below zero when the customer is owed."""
    return -invoice.total_minor if invoice.direction == "credit" else invoice.total_minor


def clear(
    document: Issued,
    on: date,
    *,
    stands: bool = False,
    lost: bool = False,
    ended: Collection[str] = (),
) -> tuple[Issued, Taken]:
    """Take all that is left, and cancel the rows of the day and later, unless the schedule stands.

    Where it stands, all of it counts as released: revenue goes on as if nothing had happened.
    `lost`: what a contract earns is earned although it is not paid; a loss takes none of it back.
    `ended`: ids of lines that have no schedule any more that could stand.
    """
    lines = document.lines
    keeps = [
        stands and line.line.line_id not in ended or lost and line.line.contract is not None
        for line in lines
    ]
    taken = Taken(
        released=tuple(
            Portion(line.net_left if keep else line.released_left(on), line)
            for line, keep in zip(lines, keeps, strict=True)
        ),
        unreleased=tuple(
            Portion(0 if keep else line.unreleased_left(on), line)
            for line, keep in zip(lines, keeps, strict=True)
        ),
        tax=tuple(
            Portion(left, line, tax)
            for line in lines
            for tax, left in zip(line.line.taxes, line.taxes_left, strict=True)
        ),
    )
    after = tuple(
        replace(
            line,
            rows=line.rows if keep else terminate(line.rows, on),
            taken_released_minor=line.taken_released_minor
            + (line.net_left if keep else line.released_left(on)),
            taxes_left=tuple(0 for _ in line.taxes_left),
        )
        for line, keep in zip(lines, keeps, strict=True)
    )
    return replace(document, lines=after), taken


def reduce(
    document: Issued,
    on: date,
    net: int,
    tax: int,
    named: Sequence[CreditNoteLine] = (),
    treatment: str = "proportional",
    *,
    lost: bool = False,
) -> tuple[Issued, Taken]:
    """Take a net and a tax amount; `named`: the note's own lines, if it has any.

    `treatment`: how each line's share is taken (`core.revenue.TREATMENTS`). `lost`: as in `clear`.
    """
    if min(net, tax, *(line.amount_minor for line in named)) < 0:
        raise CannotReduce("amount_negative", f"net {net}, tax {tax}, or a line is below zero")
    if named and sum(line.amount_minor for line in named) != net:
        told = sum(line.amount_minor for line in named)
        raise CannotReduce("document_total_mismatch", f"net {net}, the lines add up to {told}")
    if net > document.net_left or tax > document.tax_left:
        raise CannotReduce(
            "credit_exceeds_document",
            f"net {net} and tax {tax} to take, net {document.net_left} and tax "
            f"{document.tax_left} left",
        )
    everything = net > 0 and (net, tax) == (document.net_left, document.tax_left)
    if everything and not named and treatment != "point_in_time":
        # All of it is all of each line and tax, of credit lines too.
        return clear(document, on, lost=lost)
    shares = _shares(document.lines, net, named)
    taxes = _tax_shares(document.lines, shares, tax)
    after: list[LineLeft] = []
    contras: list[Portion] = []
    deferred: list[Portion] = []
    for line, share, line_taxes in zip(document.lines, shares, taxes, strict=True):
        contra = _contra(line, share, on, treatment, lost=lost)
        rest = share - contra
        contras.append(Portion(contra, line))
        deferred.append(Portion(rest, line))
        after.append(_take(line, on, contra, rest, line_taxes))
    portions = tuple(
        Portion(amount, line, line_tax)
        for line, line_taxes in zip(document.lines, taxes, strict=True)
        for line_tax, amount in zip(line.line.taxes, line_taxes, strict=True)
    )
    return replace(document, lines=tuple(after)), Taken(tuple(contras), tuple(deferred), portions)


def _contra(line: LineLeft, share: int, on: date, treatment: str, *, lost: bool) -> int:
    """The part of a line's share that is taken out of revenue; a line without schedule is all."""
    if line.line.contract is not None:
        return share if lost else 0
    if line.plan is None or not share:
        return share
    left = Left(line.released_left(on), line.unreleased_left(on), line.plan, on)
    return TREATMENTS[treatment](share, left)


def _take(line: LineLeft, on: date, contra: int, rest: int, taxes: Sequence[int]) -> LineLeft:
    rows = line.rows
    if rest and line.plan is not None:
        rows = reduce_unreleased(rows, on, rest, line.plan)
    return replace(
        line,
        rows=rows,
        taken_released_minor=line.taken_released_minor + contra,
        taxes_left=tuple(left - taken for left, taken in zip(line.taxes_left, taxes, strict=True)),
    )


def _shares(lines: Sequence[LineLeft], net: int, named: Sequence[CreditNoteLine]) -> list[int]:
    """How much of the net each line bears: as named, the rest in proportion to what is left.

    To name a line of a bundle is to name the bundle: its price changes for all of it.
    """
    at = {line.line.line_id: place for place, line in enumerate(lines) if line.is_charge}
    shares = [0] * len(lines)
    by_bundle: dict[str, int] = {}
    for note_line in named:
        place = at.get(note_line.invoice_line_id or "")
        bundle = lines[place].line.bundle if place is not None else None
        if bundle is not None:
            by_bundle[bundle] = by_bundle.get(bundle, 0) + note_line.amount_minor
        elif place is not None:
            shares[place] += note_line.amount_minor
    for bundle, amount in by_bundle.items():
        weights = [max(line.net_left, 0) * (line.line.bundle == bundle) for line in lines]
        if amount > sum(weights):
            raise CannotReduce(
                "credit_exceeds_document",
                f"bundle {bundle}: {amount} to take, {sum(weights)} left",
            )
        shares = [one + more for one, more in zip(shares, allocate(amount, weights), strict=True)]
    left = [
        line.net_left - share if line.is_charge else 0
        for line, share in zip(lines, shares, strict=True)
    ]
    rest = net - sum(shares)
    for line, share, remains in zip(lines, shares, left, strict=True):
        if remains < 0:
            raise CannotReduce(
                "credit_exceeds_document",
                f"line {line.line.line_no}: {share} to take, {line.net_left} left",
            )
    if rest > sum(left):
        raise CannotReduce(
            "credit_exceeds_document", f"net {rest} to take, the lines have {sum(left)} left"
        )
    spread = allocate(rest, left)
    return [share + more for share, more in zip(shares, spread, strict=True)]


def _tax_shares(lines: Sequence[LineLeft], shares: Sequence[int], tax: int) -> list[list[int]]:
    """The tax by line and tax: of the credited lines if theirs is enough, else of all."""
    every = [[left if line.is_charge else 0 for left in line.taxes_left] for line in lines]
    credited = [
        taxes if share else [0] * len(taxes) for taxes, share in zip(every, shares, strict=True)
    ]
    weights = credited if sum(map(sum, credited)) >= tax else every
    spread = iter(allocate(tax, [left for taxes in weights for left in taxes]))
    return [[next(spread) for _ in taxes] for taxes in weights]


def refund_tax(
    document: Issued, amount: int, refunded_before: int, tax_before: int, rounding: str = "document"
) -> int:
    """Tax of a refund without a note: in the document's ratio, cumulative over its refunds.

    Kept within what is left, so that a refund of all that is left takes exactly that.
    """
    if document.gross_minor <= 0 or amount > document.net_left + document.tax_left:
        raise CannotReduce(
            "credit_exceeds_document",
            f"{amount} to give back, {document.net_left + document.tax_left} left of the document",
        )
    cumulative = refunded_before + amount
    taxes = [
        sign_of(line.line) * tax.amount_minor for line in document.lines for tax in line.line.taxes
    ]
    # What was taken back of them since (core.adjustment) stands in the document's tax only.
    taxes.append(document.tax_minor - sum(taxes))
    tax = share_of_tax(taxes, cumulative, document.gross_minor, rounding) - tax_before
    lowest = max(amount - document.net_left, 0)
    return min(max(tax, lowest), document.tax_left, amount)
