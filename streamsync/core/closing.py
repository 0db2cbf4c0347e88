"""Control totals: the same figure from two sides.

Problem: totals that are computed from the entries they should check agree always. How: the billing
side is read from the documents' own figures, the posting side from the movement of one control role
per purpose; ERP and mismatches are sums of debits.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import fields, replace
from typing import Final, Protocol

from streamsync.core.facts import Fact
from streamsync.core.receivables import refund_increments
from streamsync.core.records import ControlTotal

# Purpose: the roles whose movement is its control figure, and the side that raises it.
_CONTROL: Final[Mapping[str, tuple[tuple[str, ...], str]]] = {
    "invoice_issued": (("receivable", "customer_credit"), "debit"),
    "payment_applied": (("receivable",), "credit"),
    "invoice_voided": (("receivable",), "credit"),
    "invoice_uncollectible": (("receivable",), "credit"),
    "credit_note_issued": (("receivable", "customer_credit"), "credit"),
    "refunded": (("clearing",), "credit"),
    "revenue_released": (("deferred_revenue",), "debit"),
}
_ADDED: Final = tuple(
    found.name
    for found in fields(ControlTotal)
    if found.name not in ("period", "currency", "purpose")
)


class SidedLine(Protocol):
    """A line of an entry or of a command."""

    @property
    def role(self) -> str: ...
    @property
    def side(self) -> str: ...
    @property
    def amount_minor(self) -> int: ...


def control_amount(purpose: str, lines: Iterable[SidedLine]) -> int:
    """Net movement of the purpose's control roles, minor units; an inverse entry is negative."""
    roles, side = _CONTROL[purpose]
    return sum(
        line.amount_minor if line.side == side else -line.amount_minor
        for line in lines
        if line.role in roles
    )


def billing_amounts(facts: Sequence[Fact]) -> list[tuple[str, str, int, str, int]]:
    """Billing's own figures of one document: (fact id, purpose, business time, currency, amount).

    A void or write-off clears what earlier credits left of the invoice's total.
    """
    told = sorted(
        {fact.fact_id: fact for fact in facts}.values(),
        key=lambda fact: (fact.occurred_at_ms, fact.fact_id),
    )
    refunds = refund_increments(told)
    issue = next((fact for fact in told if fact.invoice is not None), None)
    left = _signed_total(issue) if issue is not None else 0
    found: list[tuple[str, str, int, str, int]] = []
    for fact in told:
        amount: int | None = None
        if fact.invoice is not None:
            amount = _signed_total(fact)
        elif fact.payment is not None:
            amount = fact.payment.amount_minor + fact.payment.from_balance_minor
        elif fact.credit_note is not None:
            if fact.credit_note.settlement != "refund":
                amount = fact.credit_note.total_minor
                left -= amount
        elif fact.refund is not None:
            amount = refunds[fact.fact_id]
            left -= amount
        elif fact.kind in ("invoice_voided", "invoice_uncollectible"):
            amount, left = left, 0
        if amount is not None:
            purpose = fact.kind
            found.append((fact.fact_id, purpose, fact.occurred_at_ms, fact.currency or "", amount))
    return found


def _signed_total(fact: Fact) -> int:
    if fact.invoice is None:
        return 0
    total = fact.invoice.total_minor
    return total if fact.invoice.direction == "charge" else -total


def add_totals(one: ControlTotal, other: ControlTotal) -> ControlTotal:
    """Sum of two totals of the same period, currency and purpose."""
    return replace(one, **{name: getattr(one, name) + getattr(other, name) for name in _ADDED})


def billing_agrees(line: ControlTotal) -> bool:
    """Billing's figures are what was commanded."""
    return line.billing_minor == line.commands_minor


def erp_agrees(line: ControlTotal) -> bool:
    """What the ERP lacks is exactly the sum of the signed open differences.

    Only true at rest: a command that is in flight and not yet due is on neither side.
    """
    return line.commands_debit_minor - line.erp_debit_minor == line.open_difference_minor
