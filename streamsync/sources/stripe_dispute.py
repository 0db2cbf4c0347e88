"""Facts of disputes and payouts.

Problem: five events tell one dispute, each with all its movements so far, and a payout belongs to
no customer. How: each event tells one fact with the movements that are its own; the charge that a
dispute names finds its account; payouts live in the account of the processor.
"""

from __future__ import annotations

from streamsync.core.facts import Dispute, Fact, Payout
from streamsync.sources.refusal import Refusal
from streamsync.sources.stripe_charge import Read
from streamsync.sources.stripe_currency import currency_of
from streamsync.sources.stripe_money import (
    DisputeObject,
    Movement,
    PayoutObject,
    movement_of,
    not_below_zero,
)
from streamsync.sources.stripe_payload import place_of, read_piece

_KINDS = {
    "created": "dispute_opened",
    "funds_withdrawn": "dispute_funds_withdrawn",
    "funds_reinstated": "dispute_funds_reinstated",
    "closed": "dispute_closed",
}
_OUTCOMES = frozenset({"won", "lost", "warning_closed"})


def read_dispute(value: object, created_ms: int, change: str) -> Read:
    """charge.dispute.created, funds_withdrawn, funds_reinstated and closed."""
    dispute = read_piece(DisputeObject, value)
    kind = _KINDS[change]
    movements = dispute.balance_transactions or []
    own = [
        (index, movement)
        for index, movement in enumerate(movements)
        if change not in ("funds_withdrawn", "funds_reinstated")
        or (movement.amount < 0) == (change == "funds_withdrawn")
    ]
    if change == "closed" and dispute.status not in _OUTCOMES:
        detail = "data.object.status: won, lost or warning_closed is required"
        raise Refusal("field_type_wrong", detail)
    fact = Fact(
        fact_id=f"{kind}:{dispute.id}",
        kind=kind,
        document=dispute.charge,
        document_kind="charge",
        currency=currency_of(dispute.currency, "data.object.currency"),
        occurred_at_ms=_time(change, dispute, [one for _, one in own], created_ms),
        dispute=Dispute(
            dispute_id=dispute.id,
            charge=dispute.charge,
            payment_intent=dispute.payment_intent,
            amount_minor=not_below_zero(dispute.amount, "data.object.amount"),
            status=dispute.status,
            outcome=dispute.status if change == "closed" else None,
            reason=dispute.reason,
            movements=tuple(
                moved
                for index, movement in own
                for moved in [movement_of(movement, place_of(("balance_transactions", index)))]
                if moved is not None
            ),
        ),
    )
    return Read((fact,), dispute.charge)


def _time(change: str, dispute: DisputeObject, own: list[Movement], created_ms: int) -> int:
    moments = [movement.created for movement in own if movement.created is not None]
    if change in ("funds_withdrawn", "funds_reinstated") and moments:
        return max(moments) * 1000
    if change == "created" and dispute.created is not None:
        return dispute.created * 1000
    return created_ms


def read_payout(value: object, created_ms: int, change: str) -> Read:
    """payout.paid and payout.failed."""
    payout = read_piece(PayoutObject, value)
    failed = change == "failed"
    arrival_ms = None if payout.arrival_date is None else payout.arrival_date * 1000
    movement = payout.failure_balance_transaction if failed else payout.balance_transaction
    at_ms = created_ms if failed or arrival_ms is None else min(arrival_ms, created_ms)
    fact = Fact(
        fact_id=f"payout_{change}:{payout.id}",
        kind=f"payout_{change}",
        document=payout.id,
        document_kind="payout",
        currency=currency_of(payout.currency, "data.object.currency"),
        occurred_at_ms=at_ms,
        payout=Payout(
            payout_id=payout.id,
            processor="stripe",
            direction="in" if payout.amount < 0 else "out",
            amount_minor=abs(payout.amount),
            arrival_at_ms=arrival_ms,
            failure_code=payout.failure_code,
            balance=movement_of(movement, "data.object.balance_transaction"),
        ),
    )
    return Read((fact,))
