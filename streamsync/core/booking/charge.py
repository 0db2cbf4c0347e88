"""Charges of a processor: its fees, and money received without an invoice.

Problem: the processor keeps its fee before it pays out, so the clearing account never comes to
nothing without it, and a charge that no invoice asked for is known from the charge alone. How: the
fee of the balance transaction, in the currency of settlement (`settlement` converts the rest); the
charge's own amount as revenue at once where there is no invoice, or only the application fee where
the money is another account's.
"""

from __future__ import annotations

from streamsync.core.booking.desk import Desk, incomplete
from streamsync.core.booking.settlement import book_conversion
from streamsync.core.document import Portion
from streamsync.core.facts import Fact
from streamsync.core.figures import applied_minor, fee_of


def book_charge(desk: Desk, fact: Fact) -> None:
    """charge_succeeded: the fee; without an invoice also the money."""
    charge = fact.charge
    if charge is None:
        raise incomplete(fact)
    fee, applied = fee_of(charge.balance), applied_minor(charge)
    without_invoice = fact.document_kind == "charge"
    if without_invoice:
        journal = "application_fee_earned" if charge.destination else "charge_succeeded"
        desk.post(fact, journal, {"amount": (Portion(applied),)}, charge.charge)
    if fee and charge.balance is not None:
        desk.post(
            fact,
            "charge_fee",
            {"amount": (Portion(fee),)},
            charge.charge,
            purpose="charge_fee",
            currency=charge.balance.currency,
        )
    if charge.balance is not None:
        book_conversion(desk, fact, applied, (charge.balance,), charge.charge)
    if not (without_invoice or desk.entry_of(fact.fact_id)):
        desk.nothing(fact, "amount_zero" if charge.balance else "fee_not_told")
