"""The tax of an issued document put right, without a change of its net.

Problem: a tax engine, an audit or the ERP finds the tax of an invoice too low or too high after it
was issued, and what later credits, refunds and voids give back must be the tax that is right. How:
each tax finds the line that it is on; more of it is added there, less of it is taken from what is
left there.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from msgspec.structs import replace

from streamsync.core.document import CannotReduce, Issued, LineLeft, Portion
from streamsync.core.facts import AdjustedTax, LineTax, TaxAdjustment


def adjust(document: Issued, told: TaxAdjustment) -> tuple[Issued, tuple[Portion, ...]]:
    """The document with its taxes put right, and by how much: below zero when less is owed.

    A tax goes to the line that it names, else to the first charge line that has the same code in
    the same jurisdiction, else to the first charge line. What is taken back is taken from the
    taxes of that code and jurisdiction, line by line; more than is left of them is refused.
    """
    lines = list(document.lines)
    found: list[Portion] = []
    for tax in told.taxes:
        if told.direction == "credit":
            found += _take(lines, tax)
        elif tax.amount_minor:
            found.append(_add(lines, tax))
    change = sum(portion.amount_minor for portion in found)
    after = replace(
        document,
        gross_minor=document.gross_minor + change,
        tax_minor=document.tax_minor + change,
        lines=tuple(lines),
    )
    return after, tuple(found)


def told_portions(told: TaxAdjustment) -> tuple[Portion, ...]:
    """The amounts as they were told, for an adjustment that leaves the document as it is."""
    sign = -1 if told.direction == "credit" else 1
    return tuple(Portion(sign * tax.amount_minor, None, _line_tax(tax)) for tax in told.taxes)


def _add(lines: list[LineLeft], tax: AdjustedTax) -> Portion:
    places = _places(lines, tax)
    # What is added to an invoice was not in its prices: it never joins a tax that was.
    same = (
        (at, number)
        for at, number in places
        if number is not None and not lines[at].line.taxes[number].inclusive
    )
    at, number = next(same, (places[0][0], None))
    line = lines[at]
    taxes, left = list(line.line.taxes), list(line.taxes_left)
    if number is None:
        taxes.append(_line_tax(tax))
        left.append(tax.amount_minor)
    else:
        before = taxes[number]
        taxes[number] = replace(before, amount_minor=before.amount_minor + tax.amount_minor)
        left[number] += tax.amount_minor
    lines[at] = replace(line, line=replace(line.line, taxes=tuple(taxes)), taxes_left=tuple(left))
    return Portion(tax.amount_minor, lines[at], _line_tax(tax))


def _take(lines: list[LineLeft], tax: AdjustedTax) -> Iterator[Portion]:
    missing = tax.amount_minor
    for at, number in _places(lines, tax):
        if number is None or not missing:
            continue
        left = list(lines[at].taxes_left)
        part = min(missing, left[number])
        left[number] -= part
        missing -= part
        lines[at] = replace(lines[at], taxes_left=tuple(left))
        if part:
            yield Portion(-part, lines[at], replace(_line_tax(tax), amount_minor=part))
    if missing:
        raise CannotReduce(
            "credit_exceeds_document",
            f"tax {tax.tax_code}: {tax.amount_minor} to take, {tax.amount_minor - missing} left",
        )


def _places(lines: Sequence[LineLeft], tax: AdjustedTax) -> list[tuple[int, int | None]]:
    """Charge lines that it may be on, each with the number of the same tax there, if it has it."""
    found: list[tuple[int, int | None]] = []
    for at, line in enumerate(lines):
        if not line.is_charge or tax.line_id not in (None, line.line.line_id):
            continue
        found.append((at, _same(line.line.taxes, tax)))
    if not found:
        raise CannotReduce(
            "tax_line_unknown",
            f"line {tax.line_id}: the document has no such line that charges",
        )
    return found


def _same(taxes: Sequence[LineTax], tax: AdjustedTax) -> int | None:
    """The number of the first tax of that code in that jurisdiction."""
    wanted = (tax.tax_code, tax.jurisdiction)
    return next(
        (at for at, one in enumerate(taxes) if (one.tax_code, one.jurisdiction) == wanted), None
    )


def _line_tax(tax: AdjustedTax) -> LineTax:
    return LineTax(
        tax_code=tax.tax_code,
        jurisdiction=tax.jurisdiction,
        rate=tax.rate,
        inclusive=False,
        base_minor=tax.base_minor,
        amount_minor=tax.amount_minor,
    )
