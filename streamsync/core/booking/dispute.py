"""Disputes: money that a processor takes back until it is decided who is right.

Problem: a dispute is told by up to five events, and only some of them move money. How: the opening
books nothing; the withdrawal parks the amount as a receivable and books the fee; a return takes the
park back; a loss turns the rest of it into an expense.
"""

from __future__ import annotations

from collections.abc import Sequence

from streamsync.core.booking.desk import Desk, incomplete
from streamsync.core.booking.settlement import book_conversion
from streamsync.core.document import Portion
from streamsync.core.facts import BalanceTransaction, Dispute, Fact
from streamsync.core.figures import fee_of


def book_funds(desk: Desk, fact: Fact) -> None:
    """dispute_funds_withdrawn and dispute_funds_reinstated: amount and fee, each way."""
    dispute = _figures(fact)
    back = fact.kind == "dispute_funds_reinstated"
    way, sign = ("in", -1) if back else ("out", 1)
    moved = [movement for movement in dispute.movements if movement.direction == way]
    here = [movement for movement in moved if movement.currency == fact.currency]
    amount = sum(movement.amount_minor for movement in here) if here else dispute.amount_minor
    fee = sign * sum(map(fee_of, here))
    desk.post(
        fact,
        fact.kind,
        {"total": (Portion(amount + fee),), "amount": (Portion(amount),), "fee": (Portion(fee),)},
        dispute.charge,
    )
    _book_foreign_fees(desk, fact, dispute, moved)
    if not here:
        book_conversion(desk, fact, -sign * amount, moved, dispute.charge)


def _book_foreign_fees(
    desk: Desk, fact: Fact, dispute: Dispute, moved: Sequence[BalanceTransaction]
) -> None:
    """Fees in another currency than the dispute's have entries of their own."""
    for currency in sorted({movement.currency for movement in moved} - {fact.currency or ""}):
        fee = sum(fee_of(movement) for movement in moved if movement.currency == currency)
        if fee:
            amounts = {"amount": (Portion(fee),)}
            purpose = "dispute_fee"
            desk.post(fact, purpose, amounts, dispute.charge, purpose=purpose, currency=currency)


def book_closed(desk: Desk, fact: Fact) -> None:
    """dispute_closed: lost, what is still parked is an expense; else nothing."""
    dispute = _figures(fact)
    if dispute.outcome != "lost":
        desk.nothing(fact, f"dispute_{dispute.outcome or 'open'}")
        return
    amounts = {"amount": (Portion(lost_minor(dispute, fact.currency)),)}
    desk.post(fact, "dispute_lost", amounts, dispute.charge)


def lost_minor(dispute: Dispute, currency: str | None) -> int:
    """What a lost dispute costs: withdrawn less returned; its amount where no movement is told."""
    here = [movement for movement in dispute.movements if movement.currency == currency]
    if not here:
        return dispute.amount_minor
    return sum(
        movement.amount_minor if movement.direction == "out" else -movement.amount_minor
        for movement in here
    )


def _figures(fact: Fact) -> Dispute:
    if fact.dispute is None:
        raise incomplete(fact)
    return fact.dispute
