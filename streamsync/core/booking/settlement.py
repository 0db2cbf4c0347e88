"""Settlement in another currency: what a processor converts before it keeps the money.

Problem: a charge in euros that is settled in dollars fills the clearing account in euros, and the
payout empties it in dollars; without the conversion neither ever comes to nothing. How: two
entries, one in each currency, by way of a conversion role: the money leaves clearing in the
currency of the payment and arrives there in the one of settlement. Valued (`core.fx`), the role
ends at nothing, and what the conversion cost or gained is the exchange loss or gain. The figures
are those of the balance transaction
(https://docs.stripe.com/api/balance_transactions/object: amount, currency).
"""

from __future__ import annotations

from collections.abc import Sequence

from streamsync.core.booking.desk import Desk
from streamsync.core.document import Portion
from streamsync.core.facts import BalanceTransaction, Fact
from streamsync.core.figures import ARRIVED, LEFT, converted
from streamsync.core.template import inverse


def book_conversion(
    desk: Desk,
    fact: Fact,
    amount_minor: int,
    movements: Sequence[BalanceTransaction],
    reference: str | None,
) -> None:
    """The two entries of money that came in (below zero: went out), if it was converted."""
    settled = converted(fact.currency, amount_minor, movements)
    if settled is None:
        return
    currency, settled_minor = settled
    left, arrived = {"amount": (Portion(amount_minor),)}, {"amount": (Portion(settled_minor),)}
    desk.post(fact, LEFT, left, reference, purpose=LEFT)
    desk.post(fact, ARRIVED, arrived, reference, purpose=ARRIVED, currency=currency)


def take_back_conversion(desk: Desk, told: Fact, fact: Fact) -> None:
    """The inverse of the two entries that `told` made, for the `fact` that it came to nothing."""
    for entry in tuple(desk.entries):
        if entry.fact_id == told.fact_id and entry.purpose in (LEFT, ARRIVED):
            desk.enter(
                fact,
                inverse(entry.lines),
                entry.gateway_reference,
                purpose=entry.purpose,
                currency=entry.currency,
            )
