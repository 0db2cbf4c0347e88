"""Payouts: from the processor's balance to the bank, and back when one fails.

Problem: a payout belongs to no customer, and one that fails never reached the bank. How: it is a
document of its own in the processor's account; a failure takes back exactly what the payout booked.
"""

from __future__ import annotations

from streamsync.core.booking.desk import Desk, Stopped, incomplete
from streamsync.core.document import Portion
from streamsync.core.facts import Fact
from streamsync.core.figures import fee_of
from streamsync.core.template import inverse


def book_paid(desk: Desk, fact: Fact) -> None:
    """payout_paid: to the bank; the other way when it covers a negative balance."""
    payout = fact.payout
    if payout is None:
        raise incomplete(fact)
    balance = payout.balance
    if balance is not None and balance.currency != fact.currency:
        detail = (
            f"{fact.currency} {payout.amount_minor} to the bank, {balance.currency} "
            f"{balance.amount_minor} from the balance"
        )
        raise Stopped("payout_currency_differs", detail, refused=True)
    sign = -1 if payout.direction == "in" else 1
    amount, fee = sign * payout.amount_minor, fee_of(balance)
    desk.post(
        fact,
        "payout_paid",
        {"total": (Portion(amount + fee),), "amount": (Portion(amount),), "fee": (Portion(fee),)},
        payout.payout_id,
    )


def book_failed(desk: Desk, fact: Fact) -> None:
    """payout_failed: the inverse of the payout, if it was booked."""
    if fact.payout is None:
        raise incomplete(fact)
    paid = next((entry for entry in desk.entries if entry.purpose == "payout_paid"), None)
    if paid is None:
        desk.nothing(fact, "nothing_booked")
        return
    desk.enter(fact, inverse(paid.lines), fact.payout.payout_id)
