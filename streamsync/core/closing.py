"""Control totals: the same figure from two sides.

Problem: totals that are computed from the entries they should check agree always. How: the billing
side is read from the documents' own figures (`core.figures`), the posting side from the movement of
one control role per purpose; ERP and mismatches are sums of debits.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Final, Protocol, TypeVar

from msgspec.structs import replace

from streamsync.core.records import ControlTotal, RoleTotal, TaxTotal

# Purpose: the roles whose movement is its control figure, and the side that raises it.
_CONTROL: Final[Mapping[str, tuple[tuple[str, ...], str]]] = {
    "invoice_issued": (("receivable", "customer_credit"), "debit"),
    "payment_applied": (("receivable",), "credit"),
    "invoice_voided": (("receivable",), "credit"),
    "invoice_uncollectible": (("receivable",), "credit"),
    "credit_note_issued": (("receivable", "customer_credit"), "credit"),
    "written_off": (("receivable",), "credit"),
    "invoice_recovered": (("receivable",), "debit"),
    "payment_overpaid": (("customer_credit",), "credit"),
    "payment_unapplied": (("receivable",), "debit"),
    "cash_received": (("unapplied_cash",), "credit"),
    "cash_applied": (("unapplied_cash",), "debit"),
    "credit_note_voided": (("receivable", "customer_credit"), "debit"),
    "charge_succeeded": (("clearing",), "debit"),
    "charge_fee": (("clearing",), "credit"),
    "settlement_left": (("clearing",), "credit"),
    "settlement_arrived": (("clearing",), "debit"),
    "refunded": (("clearing",), "credit"),
    "refund_failed": (("clearing",), "debit"),
    "dispute_funds_withdrawn": (("clearing",), "credit"),
    "dispute_funds_reinstated": (("clearing",), "debit"),
    "dispute_fee": (("clearing",), "credit"),
    "dispute_closed": (("disputes_receivable",), "credit"),
    "payout_paid": (("bank",), "debit"),
    "payout_failed": (("bank",), "credit"),
    "revenue_released": (("deferred_revenue",), "debit"),
    "tax_adjusted": (("tax_payable",), "credit"),
    # They move nothing in the document's own currency.
    "fx_revalued": (("receivable",), "debit"),
    "fx_revaluation_reversed": (("receivable",), "debit"),
    "payment_recognised": (("clearing", "customer_credit"), "debit"),
    "revenue_earned": (("revenue",), "credit"),
    "usage_recorded": (("revenue",), "credit"),
    "unbilled_cleared": (("unbilled_receivable",), "credit"),
    "invoice_overdue": (("receivable",), "credit"),
    "overdue_paid": (("receivable",), "debit"),
    "service_terminated": (("deferred_revenue",), "debit"),
    "contract_terminated": (("deferred_revenue",), "debit"),
    "wallet_topped_up": (("customer_credit",), "credit"),
    "wallet_expired": (("customer_credit",), "debit"),
    "intercompany_sale": (("receivable_intercompany",), "debit"),
    "intercompany_purchase": (("payable_intercompany",), "credit"),
    "intercompany_sale_cancelled": (("receivable_intercompany",), "credit"),
    "intercompany_purchase_cancelled": (("payable_intercompany",), "debit"),
}
_COMPUTED: Final = frozenset(
    {
        "revenue_released",
        "payment_recognised",
        "revenue_earned",
        "usage_recorded",
        "unbilled_cleared",
        "invoice_overdue",
        "overdue_paid",
        "service_terminated",
        "contract_terminated",
        "wallet_topped_up",
        "wallet_expired",
    }
)
"""Purposes without a figure in any billing document; only the rules make it."""


Moved = TypeVar("Moved", RoleTotal, TaxTotal)


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


def is_computed(purpose: str) -> bool:
    """Whether only the rules make the figure of a purpose, and no billing document tells it."""
    return purpose in _COMPUTED


def add_totals(one: ControlTotal, other: ControlTotal) -> ControlTotal:
    """Sum of two totals of the same period, currency and purpose."""
    return ControlTotal(
        period=one.period,
        currency=one.currency,
        purpose=one.purpose,
        billing_minor=one.billing_minor + other.billing_minor,
        commands_minor=one.commands_minor + other.commands_minor,
        commands_debit_minor=one.commands_debit_minor + other.commands_debit_minor,
        erp_debit_minor=one.erp_debit_minor + other.erp_debit_minor,
        open_difference_minor=one.open_difference_minor + other.open_difference_minor,
        commands_count=one.commands_count + other.commands_count,
        confirmed_count=one.confirmed_count + other.confirmed_count,
    )


def add_moved(one: Moved, other: Moved) -> Moved:
    """Sum of two movements of the same period, currency, role and purpose (or tax)."""
    return replace(
        one,
        debit_minor=one.debit_minor + other.debit_minor,
        credit_minor=one.credit_minor + other.credit_minor,
        functional_debit_minor=one.functional_debit_minor + other.functional_debit_minor,
        functional_credit_minor=one.functional_credit_minor + other.functional_credit_minor,
    )


def billing_agrees(line: ControlTotal) -> bool:
    """Billing's figures are what was commanded."""
    return line.billing_minor == line.commands_minor


def erp_agrees(line: ControlTotal) -> bool:
    """What the ERP lacks is exactly the sum of the signed open differences.

    Only true at rest: a command that is in flight and not yet due is on neither side.
    """
    return line.commands_debit_minor - line.erp_debit_minor == line.open_difference_minor
