"""Payments of a document.

Problem: money comes through the processor, from the customer's balance or past both. How: one entry
per payment, by the template of its way.
"""

from __future__ import annotations

from streamsync.core.booking.desk import Desk, incomplete
from streamsync.core.document import Portion
from streamsync.core.facts import Fact


def book_payment(desk: Desk, fact: Fact) -> None:
    """payment_applied: what was charged, and what came from the customer's balance."""
    if fact.payment is None:
        raise incomplete(fact)
    payment = fact.payment
    desk.post(
        fact,
        "payment_out_of_band" if payment.out_of_band else "payment_applied",
        {
            "total": (Portion(payment.amount_minor + payment.from_balance_minor),),
            "charged": (Portion(payment.amount_minor),),
            "from_balance": (Portion(payment.from_balance_minor),),
        },
        payment.gateway_reference,
    )
