"""Journal templates filled in: named amounts of a fact become the lines of its entry.

Problem: lines need amounts above zero, and the product, service period and tax that they are for.
How: a named amount comes in portions, each with its invoice line and tax; zero portions are dropped
and a negative one goes to the other side, so that an entry balances whenever its template does.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from msgspec import Struct
from msgspec.structs import replace

from streamsync.core.company import TemplateLine
from streamsync.core.document import Portion
from streamsync.core.facts import LineTax
from streamsync.core.records import CommandTax

Amounts = Mapping[str, Sequence[Portion]]


class EntryLine(Struct, frozen=True):
    """One line; `amount_minor` is above zero. Dates are ISO dates, the end exclusive."""

    role: str
    side: str
    amount_minor: int
    tax: CommandTax | None = None
    product: str | None = None
    service_from: str | None = None
    service_to: str | None = None
    counterparty: str | None = None


def fill(template: Sequence[TemplateLine], amounts: Amounts) -> tuple[EntryLine, ...]:
    """The template's lines with the amounts put in; empty when all are zero."""
    return tuple(
        _line(line.role, line.side, portion)
        for line in template
        for portion in amounts[line.amount]
        if portion.amount_minor
    )


def inverse(lines: Sequence[EntryLine]) -> tuple[EntryLine, ...]:
    """The same lines on the other side: what takes an entry back exactly."""
    return tuple(
        replace(line, side="credit" if line.side == "debit" else "debit") for line in lines
    )


def _line(role: str, side: str, portion: Portion) -> EntryLine:
    if portion.amount_minor < 0:
        side = "credit" if side == "debit" else "debit"
    of = portion.of
    return EntryLine(
        role=role,
        side=side,
        amount_minor=abs(portion.amount_minor),
        tax=_command_tax(portion.tax, portion.amount_minor) if portion.tax else None,
        product=of.product if of else None,
        service_from=of.start.isoformat() if of and of.start else None,
        service_to=of.end.isoformat() if of and of.end else None,
        counterparty=of.counterparty if of else None,
    )


def _command_tax(tax: LineTax, amount: int) -> CommandTax:
    return CommandTax(
        tax_code=tax.tax_code,
        jurisdiction=tax.jurisdiction,
        rate=tax.rate,
        # The stated base belongs to the whole tax; a part of it has none.
        base_minor=tax.base_minor if abs(amount) == tax.amount_minor else None,
        inclusive=tax.inclusive,
    )
