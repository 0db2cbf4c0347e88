"""A part of an invoice: what of its tax and of its lines is in it.

The problem: a refund or a payment is of a part, and its tax and lines must add up to it. How: tax
in proportion, rounded once or by line; the rest is cut at the rounded running sums of the lines.
"""

from collections.abc import Sequence
from dataclasses import replace
from fractions import Fraction

from . import facts as f
from .company import Policy
from .schedule import round_half_up


def tax_in(taxes: Sequence[int], part: Fraction, policy: Policy) -> int:
    """The tax in a part of what it is on, rounded once or tax by tax."""
    if policy.choice("tax_rounding", "document") == "line":
        return sum(round_half_up(tax * part) for tax in taxes)
    return round_half_up(sum(taxes) * part)


def scaled(issue: f.Issue, paid: int, policy: Policy) -> f.Issue:
    """An invoice of another total: tax in proportion, then both cut at rounded running sums."""
    if paid == issue.total:
        return issue
    taxes = [tax for line in issue.lines for tax in line.taxes]
    tax = tax_in(taxes, Fraction(paid, issue.total), policy)
    cut_taxes = iter(cut(taxes, tax))
    nets = cut([line.net for line in issue.lines], paid - tax)
    lines = tuple(
        replace(
            line,
            net=net,
            taxes=tuple(next(cut_taxes) for _ in line.taxes),
            discount=round_half_up(Fraction(line.discount * net, line.net or 1)),
        )
        for line, net in zip(issue.lines, nets, strict=True)
    )
    return replace(issue, total=paid, lines=lines)


def cut(parts: Sequence[int], whole: int) -> list[int]:
    """Each part's share of a whole, as the growth of the rounded running share."""
    found: list[int] = []
    for end in range(1, len(parts) + 1):
        share = Fraction(whole * sum(parts[:end]), sum(parts) or 1)
        found.append(round_half_up(share) - sum(found))
    return found
