"""Control totals: the same figure from two sides.

Problem: totals that are computed from the entries they should check agree always. How: the billing
side is read from the documents' own figures, the posting side from the movement of one control role
per purpose; ERP and mismatches are sums of debits.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import fields, replace
from typing import Final, Protocol

from streamsync.core.document import in_order, refund_amounts, signed_total
from streamsync.core.facts import Fact
from streamsync.core.records import ControlTotal, RoleTotal

# Purpose: the roles whose movement is its control figure, and the side that raises it.
_CONTROL: Final[Mapping[str, tuple[tuple[str, ...], str]]] = {
    "invoice_issued": (("receivable", "customer_credit"), "debit"),
    "payment_applied": (("receivable",), "credit"),
    "invoice_voided": (("receivable",), "credit"),
    "invoice_uncollectible": (("receivable",), "credit"),
    "credit_note_issued": (("receivable", "customer_credit"), "credit"),
    "refunded": (("clearing",), "credit"),
    "revenue_released": (("deferred_revenue",), "debit"),
    # They move nothing in the document's own currency.
    "fx_revalued": (("receivable",), "debit"),
    "fx_revaluation_reversed": (("receivable",), "debit"),
}
_BOOKED_SETTLEMENTS: Final = ("receivable", "customer_balance")
_CLEARING: Final = ("invoice_voided", "invoice_uncollectible")
_MOVEMENTS: Final = (
    "debit_minor",
    "credit_minor",
    "functional_debit_minor",
    "functional_credit_minor",
)
_ADDED: Final = tuple(
    found.name
    for found in fields(ControlTotal)
    if found.name not in ("period", "currency", "purpose")
)


class SidedLine(Protocol):
    """A line of an entry or of a command."""

    @property
    def role(self) -> str:
        """Account role."""

    @property
    def side(self) -> str:
        """debit or credit."""

    @property
    def amount_minor(self) -> int:
        """At least 0."""


def control_amount(purpose: str, lines: Iterable[SidedLine]) -> int:
    """Net movement of the purpose's control roles, minor units; an inverse entry is negative."""
    roles, side = _CONTROL[purpose]
    return sum(
        line.amount_minor if line.side == side else -line.amount_minor
        for line in lines
        if line.role in roles
    )


def billing_amount(fact: Fact) -> tuple[str, int] | None:
    """Purpose and amount of a fact by its own figures; None where it has none of its own.

    Void, loss and a refund that only a cumulative figure tells need the whole document.
    """
    if fact.kind == "invoice_issued" and fact.invoice is not None:
        return fact.kind, signed_total(fact.invoice)
    if fact.payment is not None:
        return fact.kind, fact.payment.amount_minor + fact.payment.from_balance_minor
    if fact.credit_note is not None and fact.credit_note.settlement in _BOOKED_SETTLEMENTS:
        return fact.kind, fact.credit_note.total_minor
    if fact.refund is not None and fact.refund.amount_minor is not None:
        return fact.kind, fact.refund.amount_minor
    return None


def billing_amounts(
    facts: Sequence[Fact], without: Collection[str] = ()
) -> list[tuple[str, str, int, str, int]]:
    """Billing's own figures of one document: (fact id, purpose, business time, currency, amount).

    `without`: ids of the facts that wait or are refused; they have no figure yet, and must not
    lower what a void or loss clears: what earlier credits left of the invoice's total.
    """
    told = in_order(facts)
    refunds = refund_amounts(told)
    issues = (fact.invoice for fact in told if fact.kind == "invoice_issued")
    left = sum(signed_total(issued) for issued in issues if issued is not None)
    found: list[tuple[str, str, int, str, int]] = []
    for fact in told:
        if fact.fact_id in without:
            continue
        own = billing_amount(fact)
        amount = own[1] if own is not None else refunds.get(fact.fact_id)
        if fact.kind in _CLEARING:
            amount = left
        if amount is None:
            continue
        if fact.credit_note is not None or fact.refund is not None or fact.kind in _CLEARING:
            left -= amount
        found.append((fact.fact_id, fact.kind, fact.occurred_at_ms, fact.currency or "", amount))
    return found


def add_totals(one: ControlTotal, other: ControlTotal) -> ControlTotal:
    """Sum of two totals of the same period, currency and purpose."""
    return replace(one, **{name: getattr(one, name) + getattr(other, name) for name in _ADDED})


def add_roles(one: RoleTotal, other: RoleTotal) -> RoleTotal:
    """Sum of two movements of the same period, currency and role."""
    return replace(one, **{name: getattr(one, name) + getattr(other, name) for name in _MOVEMENTS})


def billing_agrees(line: ControlTotal) -> bool:
    """Billing's figures are what was commanded."""
    return line.billing_minor == line.commands_minor


def erp_agrees(line: ControlTotal) -> bool:
    """What the ERP lacks is exactly the sum of the signed open differences.

    Only true at rest: a command that is in flight and not yet due is on neither side.
    """
    return line.commands_debit_minor - line.erp_debit_minor == line.open_difference_minor
