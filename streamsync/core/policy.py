"""Policy: which named amounts each journal has, and whether a template always balances.

Problem: a journal template is data written by a company; an error in it would unbalance every entry
of that kind, for some amounts only. How: each kind of journal has a shape: its amounts, and the
identity that holds between them (`total = parts`). A template balances for every possible fact
exactly when, with the total replaced by its parts, every part is debited as often as credited.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Final

from streamsync.core.company import TemplateLine

SIDES: Final = ("debit", "credit")


@dataclass(frozen=True, slots=True)
class JournalShape:
    """`total` is the sum of `parts`; a journal with one amount has no parts."""

    total: str
    parts: tuple[str, ...] = ()

    @property
    def amounts(self) -> tuple[str, ...]:
        """Every amount a template of this kind may name."""
        return (self.total, *self.parts)


_ONE: Final = JournalShape("amount")
_WITH_FEE: Final = JournalShape("total", ("amount", "fee"))
_ISSUED: Final = JournalShape("gross", ("deferred", "immediate", "tax"))
_SETTLED: Final = JournalShape("total", ("charged", "from_balance"))
_CLEARED: Final = JournalShape("gross", ("unreleased", "released", "tax"))
_GIVEN_BACK: Final = JournalShape("total", ("released", "unreleased", "tax"))

JOURNAL_AMOUNTS: Final[Mapping[str, JournalShape]] = {
    "invoice_issued": _ISSUED,
    "invoice_issued_negative": _ISSUED,
    "payment_applied": _SETTLED,
    "payment_out_of_band": _SETTLED,
    "invoice_voided": _CLEARED,
    "invoice_uncollectible": _CLEARED,
    "credit_note_receivable": _GIVEN_BACK,
    "credit_note_customer_balance": _GIVEN_BACK,
    "refunded": _GIVEN_BACK,
    "refunded_by_note": _GIVEN_BACK,
    "revenue_released": _ONE,
    "written_off": _CLEARED,
    "payment_overpaid": _ONE,
    "payment_unapplied": _ONE,
    "cash_received": _ONE,
    "cash_applied": _ONE,
    "charge_succeeded": _ONE,
    "application_fee_earned": _ONE,
    "charge_fee": _ONE,
    "dispute_funds_withdrawn": _WITH_FEE,
    "dispute_funds_reinstated": _WITH_FEE,
    "dispute_fee": _ONE,
    "dispute_lost": _ONE,
    "payout_paid": _WITH_FEE,
}


def check_template(kind: str, lines: Sequence[TemplateLine]) -> list[str]:
    """What is wrong with a template, one sentence each; empty when it is right."""
    shape = JOURNAL_AMOUNTS.get(kind)
    if shape is None:
        return [f'"{kind}" is no journal: use one of {", ".join(JOURNAL_AMOUNTS)}.']
    wrong: list[str] = []
    if not lines:
        wrong.append(f"{kind} has no lines: name each amount on a debit and a credit side.")
    for line in lines:
        if line.side not in SIDES:
            wrong.append(f'{kind}: "{line.side}" is no side: use debit or credit.')
        if line.amount not in shape.amounts:
            known = ", ".join(shape.amounts)
            wrong.append(f'{kind} has no amount "{line.amount}": use one of {known}.')
        if not line.role:
            wrong.append(f'{kind}: the line of "{line.amount}" names no account role.')
    return wrong or _unbalanced(kind, shape, lines)


def _unbalanced(kind: str, shape: JournalShape, lines: Sequence[TemplateLine]) -> list[str]:
    parts = shape.parts or (shape.total,)
    debited = dict.fromkeys(parts, 0)
    credited = dict.fromkeys(parts, 0)
    for line in lines:
        count = debited if line.side == "debit" else credited
        for part in parts if line.amount == shape.total else (line.amount,):
            count[part] += 1
    identity = f" ({shape.total} = {' + '.join(shape.parts)})" if shape.parts else ""
    wrong = [
        f'{kind} does not balance{identity}: "{part}" is debited {_times(debited[part])} '
        f"and credited {_times(credited[part])}."
        for part in parts
        if debited[part] != credited[part]
    ]
    # A template that leaves an amount out on both sides balances, and loses the amount.
    wrong += [
        f'{kind} never books "{part}": name it, or {shape.total}, on both sides.'
        for part in parts
        if not debited[part] and not credited[part]
    ]
    return wrong


def _times(count: int) -> str:
    return {0: "never", 1: "once", 2: "twice"}.get(count, f"{count} times")
