"""Policy: what an accounting policy can say, and whether its journals always balance.

Problem: a policy is data written by a company; an error in a journal template would unbalance every
entry of that kind, for some amounts only, and a choice that no rule knows would be booked by guess.
How: each kind of journal has a shape: its amounts, and the identity that holds between them
(`total = parts`). A template balances for every possible fact exactly when, with the total replaced
by its parts, every part is debited as often as credited. Choices are closed sets. Journals and
choices belong to families of events, so that an entity may book one family by another profile.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Final

from msgspec import Struct

from streamsync.core.company import TemplateLine
from streamsync.core.revenue import TREATMENTS

SIDES: Final = ("debit", "credit")

FAMILIES: Final = {
    "invoices": "issue of invoices, their revenue over time, and what ends it early",
    "payments": "payments, fees, disputes and payouts",
    "credits": "credit notes and refunds",
    "losses": "voids and bad debt",
    "usage": "usage and prepaid wallets",
    "contracts": "contracts, their segments and what is unbilled",
    "intercompany": "sales between the company's own entities",
}
"""Families of events; the schedule of a profile belongs to `invoices`."""


class JournalShape(Struct, frozen=True):
    """`total` is the sum of `parts`, and also of `other_parts` where there are any; a journal with
    one amount has no parts. `shown`: amounts that are in no total; a template may name each of them
    on both sides.
    """

    family: str
    total: str
    parts: tuple[str, ...] = ()
    other_parts: tuple[str, ...] = ()
    shown: tuple[str, ...] = ()

    @property
    def amounts(self) -> tuple[str, ...]:
        """Every amount a template of this kind may name."""
        return (self.total, *self.parts, *self.other_parts, *self.shown)


_ONE: Final = JournalShape("payments", "amount")
_WITH_FEE: Final = JournalShape("payments", "total", ("amount", "fee"))
_DISCOUNT: Final = ("discount",)
"""What was taken off the list price of what becomes revenue (ASC 606: revenue is net of it)."""

_ISSUED: Final = JournalShape(
    "invoices", "gross", ("deferred", "immediate", "tax"), shown=_DISCOUNT
)
_SETTLED: Final = JournalShape("payments", "total", ("charged", "from_balance"))
_CLEARED: Final = JournalShape("losses", "gross", ("unreleased", "released", "tax"))
_GIVEN_BACK: Final = JournalShape("credits", "total", ("released", "unreleased", "tax"))
_STOPPED: Final = JournalShape("invoices", "deferred", ("earned", "rest"), shown=_DISCOUNT)
_TAX_ADJUSTED: Final = JournalShape("invoices", "tax")
_OVERDUE: Final = JournalShape("losses", "amount")
_WALLET: Final = JournalShape("usage", "amount")
_INTERCOMPANY: Final = JournalShape("intercompany", "amount")

JOURNAL_AMOUNTS: Final[Mapping[str, JournalShape]] = {
    "invoice_issued": _ISSUED,
    "invoice_issued_negative": _ISSUED,
    "payment_applied": _SETTLED,
    "payment_out_of_band": _SETTLED,
    "payment_recognised": JournalShape(
        "payments",
        "total",
        ("deferred", "immediate", "tax"),
        ("charged", "from_balance"),
        shown=_DISCOUNT,
    ),
    "invoice_voided": _CLEARED,
    "invoice_uncollectible": _CLEARED,
    "invoice_overdue": _OVERDUE,
    "overdue_paid": _OVERDUE,
    "credit_note_receivable": _GIVEN_BACK,
    "credit_note_customer_balance": _GIVEN_BACK,
    "refunded": _GIVEN_BACK,
    "refunded_by_note": _GIVEN_BACK,
    "written_off": _CLEARED,
    "payment_overpaid": _ONE,
    "payment_unapplied": _ONE,
    "cash_received": _ONE,
    "cash_applied": _ONE,
    "charge_succeeded": _ONE,
    "application_fee_earned": _ONE,
    "charge_fee": _ONE,
    "settlement_left": _ONE,
    "settlement_arrived": _ONE,
    "dispute_funds_withdrawn": _WITH_FEE,
    "dispute_funds_reinstated": _WITH_FEE,
    "dispute_fee": _ONE,
    "dispute_lost": _ONE,
    "payout_paid": _WITH_FEE,
    "revenue_released": JournalShape("invoices", "amount", shown=_DISCOUNT),
    "service_stopped_refund": _STOPPED,
    "service_stopped_credit": _STOPPED,
    "service_stopped_release": _STOPPED,
    "tax_adjusted_receivable": _TAX_ADJUSTED,
    "tax_adjusted_customer_balance": _TAX_ADJUSTED,
    "tax_adjusted_company": _TAX_ADJUSTED,
    "revenue_earned": JournalShape("contracts", "amount", ("deferred", "unbilled")),
    "unbilled_cleared": JournalShape("contracts", "amount"),
    "wallet_topped_up_processor": _WALLET,
    "wallet_topped_up_elsewhere": _WALLET,
    "wallet_topped_up_on_account": _WALLET,
    "wallet_used": _WALLET,
    "wallet_expired": _WALLET,
    "intercompany_sale": _INTERCOMPANY,
    "intercompany_purchase": _INTERCOMPANY,
}


class Choice(Struct, frozen=True):
    """One point on which policies differ: its family and the values it may have."""

    family: str
    values: tuple[str, ...]


_RECOGNISED_AT: Final = Choice("invoices", ("issue", "payment"))
_TREATMENT: Final = Choice("credits", tuple(TREATMENTS))

CHOICES: Final[Mapping[str, Choice]] = {
    # Which fact books the revenue of an invoice, by the way it is collected.
    "charged_automatically": _RECOGNISED_AT,
    "sent_on_terms": _RECOGNISED_AT,
    # What of a credit or refund comes out of revenue, and what out of deferred revenue.
    "credit_note": _TREATMENT,
    "refund": _TREATMENT,
    # Where the tax in a refund or in a payment of a part is rounded: once, or by line.
    "tax_rounding": Choice("credits", ("document", "line")),
    # Whether revenue goes on when an invoice is given up, and which fact gives it up.
    "uncollectible": Choice("losses", ("schedule_stops", "schedule_stands")),
    "loss_at": Choice("losses", ("uncollectible", "overdue")),
    # What becomes of the deferred rest when a service ends early.
    "termination": Choice("invoices", ("schedule_stands", "refund", "credit", "release")),
    # Where an entry goes whose own period is closed.
    "late_event": Choice("invoices", ("earliest_open_period", "latest_open_period")),
    # Whether what expires in a wallet becomes revenue.
    "breakage": Choice("usage", ("on_expiry", "never")),
}
"""A closed period's balances never change, so no policy can choose to date back into one."""


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
    """The total stands for its parts; of two ways to cut it, the second stands for the first."""
    parts = shape.parts or (shape.total,)
    sides = {"debit": dict.fromkeys(shape.amounts, 0), "credit": dict.fromkeys(shape.amounts, 0)}
    for line in lines:
        sides[line.side][line.amount] += 1
    for count in sides.values():
        if shape.parts:
            _into_parts(count, shape)
    debited, credited = sides["debit"], sides["credit"]
    identity = f" ({shape.total} = {' + '.join(shape.parts)})" if shape.parts else ""
    if shape.other_parts:
        identity = f"{identity[:-1]} = {' + '.join(shape.other_parts)})"
    wrong = [
        f'{kind} does not balance{identity}: "{part}" is debited {_times(debited[part])} '
        f"and credited {_times(credited[part])}."
        for part in (*parts, *shape.other_parts, *shape.shown)
        if debited[part] != credited[part]
    ]
    # A template that leaves an amount out on both sides balances, and loses the amount.
    wrong += [
        f'{kind} never books "{part}": name it, or {shape.total}, on both sides.'
        for part in parts
        if not debited[part] and not credited[part]
    ]
    return wrong


def _into_parts(count: dict[str, int], shape: JournalShape) -> None:
    """All other parts, as often as each of them is there, are the total; and that is its parts."""
    times = min((count[part] for part in shape.other_parts), default=0)
    for part in shape.other_parts:
        count[part] -= times
    for part in shape.parts:
        count[part] += times + count[shape.total]


def _times(count: int) -> str:
    return {0: "never", 1: "once", 2: "twice"}.get(count, f"{count} times")
