"""One document's running position: what its reducing facts take from its lines and taxes.

Problem: credit notes, refunds, voids and write-offs of one invoice build on each other, whatever
order they arrive in. How: they are applied in the order of (business time, fact id) to the invoice's
line books; each application answers the amounts that its journal needs, or why it is refused.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date

from streamsync.core.calendar import local_date
from streamsync.core.facts import CreditNote, Fact, LineTax
from streamsync.core.money import allocate, round_half_up_div
from streamsync.core.records import CommandTax
from streamsync.core.linebook import LineBook, open_line


@dataclass(frozen=True, slots=True)
class Part:
    """A signed amount of a journal, with what its posting line should say."""

    amount_minor: int
    line: LineBook | None = None
    tax: CommandTax | None = None


Amounts = dict[str, list[Part]]
"""Free amounts of a journal by name; a missing name is nothing."""


@dataclass(frozen=True, slots=True)
class Excess:
    """A reduction that is larger than what is left."""

    detail: str


@dataclass(slots=True)
class _TaxLeft:
    tax: LineTax
    sign: int
    left_minor: int


@dataclass(slots=True)
class Position:
    """What is left of an invoice; changed by `take`, `clear` in the order of the facts."""

    lines: list[LineBook]
    taxes: list[_TaxLeft]
    tax_minor: int
    total_minor: int
    refunded_minor: int = 0
    refunded_tax_minor: int = 0

    @property
    def tax_left(self) -> int:
        """Tax not yet taken back, minor units."""
        return sum(tax.sign * tax.left_minor for tax in self.taxes)

    def take_note(self, note: CreditNote, day: date) -> Amounts | Excess:
        """A credit note: its own lines if they name the invoice's, else in proportion."""
        named = self._named_shares(note)
        return self._take(note.net_minor, note.tax_minor, day, named)

    def take_refund(self, amount_minor: int, day: date) -> Amounts | Excess:
        """A refund without a note: tax in the document's ratio, cumulative over refunds."""
        cumulative = self.refunded_minor + amount_minor
        tax = 0
        if self.total_minor > 0:
            due = round_half_up_div(self.tax_minor * cumulative, self.total_minor)
            tax = min(due - self.refunded_tax_minor, max(self.tax_left, 0), amount_minor)
        taken = self._take(amount_minor - tax, tax, day, None)
        if not isinstance(taken, Excess):
            self.refunded_minor = cumulative
            self.refunded_tax_minor += tax
        return taken

    def clear(self, day: date) -> Amounts:
        """Void or write off: everything that is left, lines of both directions."""
        amounts: Amounts = {"unreleased": [], "released": [], "tax": []}
        for at, book in enumerate(self.lines):
            left = book.left_at(day)
            unreleased, released = book.unreleased_at(day), book.released_at(day)
            amounts["unreleased"].append(Part(book.sign * unreleased, book))
            amounts["released"].append(Part(book.sign * released, book))
            self.lines[at], _ = book.reduce(left, day)
        for tax in self.taxes:
            amounts["tax"].append(Part(tax.sign * tax.left_minor, None, command_tax(tax.tax)))
            tax.left_minor = 0
        return amounts

    def _named_shares(self, note: CreditNote) -> dict[str, int] | None:
        charges = {book.line.line_id for book in self.lines if book.sign > 0}
        shares: dict[str, int] = {}
        for line in note.lines:
            if line.invoice_line_id not in charges:
                return None
            name = line.invoice_line_id
            shares[name] = shares.get(name, 0) + line.amount_minor
        return shares if shares and sum(shares.values()) == note.net_minor else None

    def _take(
        self, net_minor: int, tax_minor: int, day: date, named: dict[str, int] | None
    ) -> Amounts | Excess:
        charges = [at for at, book in enumerate(self.lines) if book.sign > 0]
        lefts = [self.lines[at].left_at(day) for at in charges]
        if net_minor > sum(lefts):
            return Excess(f"net {net_minor} of the credit, {sum(lefts)} left on the document")
        if tax_minor > max(self.tax_left, 0):
            return Excess(f"tax {tax_minor} of the credit, {self.tax_left} left on the document")
        if named is not None:
            shares = [named.get(self.lines[at].line.line_id, 0) for at in charges]
            for at, share, left in zip(charges, shares, lefts, strict=True):
                if share > left:
                    name = self.lines[at].line.line_id
                    return Excess(f"line {name}: {share} of the credit, {left} left")
        else:
            shares = allocate(net_minor, lefts)
        amounts: Amounts = {"released": [], "unreleased": [], "tax": self._take_tax(tax_minor)}
        for at, share in zip(charges, shares, strict=True):
            if share:
                before = self.lines[at]
                self.lines[at], split = before.reduce(share, day)
                amounts["released"].append(Part(split.released_minor, before))
                amounts["unreleased"].append(Part(split.unreleased_minor, before))
        return amounts

    def _take_tax(self, tax_minor: int) -> list[Part]:
        charged = [tax for tax in self.taxes if tax.sign > 0]
        parts = []
        for tax, share in zip(
            charged, allocate(tax_minor, [tax.left_minor for tax in charged]), strict=True
        ):
            if share:
                tax.left_minor -= share
                parts.append(Part(share, None, command_tax(tax.tax)))
        return parts


def open_position(issue: Fact, zone: str) -> Position:
    """The position of an invoice right after its issue."""
    invoice = issue.invoice
    if invoice is None:
        raise ValueError(f"Fact {issue.fact_id} is an issue without its invoice.")
    day = local_date(issue.occurred_at_ms, zone)
    books = [open_line(line, day, zone) for line in invoice.lines]
    taxes = [
        _TaxLeft(tax, book.sign, tax.amount_minor) for book in books for tax in book.line.taxes
    ]
    sign = 1 if invoice.direction == "charge" else -1
    return Position(books, taxes, sign * invoice.tax_minor, sign * invoice.total_minor)


def issue_amounts(position: Position) -> Amounts:
    """Amounts of the issue's journal, a part per line and tax."""
    amounts: Amounts = {"deferred": [], "immediate": [], "tax": []}
    for book in position.lines:
        name = "deferred" if book.deferred else "immediate"
        amounts[name].append(Part(book.sign * book.line.amount_minor, book))
        for tax in book.line.taxes:
            amounts["tax"].append(Part(book.sign * tax.amount_minor, book, command_tax(tax)))
    return amounts


def command_tax(tax: LineTax) -> CommandTax:
    """Tax attributes for a posting line."""
    return CommandTax(
        tax_code=tax.tax_code,
        jurisdiction=tax.jurisdiction,
        rate=tax.rate,
        base_minor=tax.base_minor,
        inclusive=tax.inclusive,
    )


def refund_increments(facts: Sequence[Fact]) -> dict[str, int]:
    """Amount of each refund fact by fact id, minor units.

    A refund told only by its charge's cumulative figure is the difference to what is known.
    """
    known: dict[str, int] = {}
    amounts: dict[str, int] = {}
    refunds = [fact for fact in facts if fact.refund is not None]
    for fact in refunds:
        if fact.refund is not None and fact.refund.amount_minor is not None:
            charge = fact.refund.charge
            amounts[fact.fact_id] = fact.refund.amount_minor
            known[charge] = known.get(charge, 0) + fact.refund.amount_minor
    cumulative = [
        (fact.refund.cumulative_minor, fact.fact_id, fact.refund.charge)
        for fact in refunds
        if fact.refund is not None and fact.refund.amount_minor is None
    ]
    for figure, fact_id, charge in sorted(cumulative):
        amounts[fact_id] = max(0, figure - known.get(charge, 0))
        known[charge] = max(figure, known.get(charge, 0))
    return amounts
