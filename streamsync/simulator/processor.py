"""What the payment processor tells: fees, disputes, and payouts to the bank.

Problem: the clearing account comes to rest only when fees, disputed money and payouts fit what was
charged, to the cent. How: each movement of the processor's balance is a balance transaction, made
here once; a payout is what they left since the last one.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Any

from streamsync.simulator.catalogue import CURRENCY

Object = dict[str, Any]
DAY_S = 86_400
_PAYOUT_DAYS = 7
# Permille and fixed part of a charge's fee, and the fee of a dispute, in the currency's own units.
_FEES = {
    "usd": (29, 30, 1500),
    "jpy": (36, 0, 1300),
    "eur": (15, 25, 2000),
    "kwd": (29, 90, 4600),
}


def movement(identity: str, amount: int, fee: int, currency: str, at: int, kind: str) -> Object:
    """A balance transaction; money that leaves the balance is below zero."""
    details = [{"amount": fee, "currency": currency, "type": "stripe_fee"}] if fee else []
    return {
        "id": identity,
        "object": "balance_transaction",
        "amount": amount,
        "available_on": at + 2 * DAY_S,
        "created": at,
        "currency": currency,
        "exchange_rate": None,
        "fee": fee,
        "fee_details": details,
        "net": amount - fee,
        "status": "pending",
        "type": kind,
    }


def charge_fee(amount: int, currency: str) -> int:
    """What the processor keeps of a charge."""
    permille, fixed, _ = _FEES[currency]
    return (amount * permille + 500) // 1000 + fixed


def taken(charge: Object, at: int) -> Object:
    """A charge as it succeeds, with its balance transaction."""
    amount, currency = charge["amount"], charge["currency"]
    fee = charge_fee(amount, currency)
    identity = f"txn_{charge['id'][3:]}"
    return charge | {
        "amount_captured": amount,
        "amount_refunded": 0,
        "balance_transaction": movement(identity, amount, fee, currency, at, "charge"),
        "created": at,
        "refunds": {"object": "list", "data": [], "has_more": False, "total_count": 0},
    }


def dispute(identity: str, charge: Object, at: int) -> Object:
    """A dispute of a whole charge, just opened."""
    return {
        "id": identity,
        "object": "dispute",
        "amount": charge["amount_paid"],
        "balance_transactions": [],
        "charge": charge["charge"],
        "created": at,
        "currency": charge["currency"],
        "reason": "fraudulent",
        "status": "needs_response",
    }


def withdrawn(opened: Object, at: int) -> Object:
    """The processor has taken the amount and its fee."""
    amount, currency = opened["amount"], opened["currency"]
    fee = _FEES[currency][2]
    identity = f"txn_{opened['id'][3:]}w"
    moved = movement(identity, -amount, fee, currency, at, "adjustment")
    return opened | {"balance_transactions": [moved]}


def reinstated(after: Object, at: int) -> Object:
    """The processor has given the amount back; its fee stays."""
    identity = f"txn_{after['id'][3:]}r"
    moved = movement(identity, after["amount"], 0, after["currency"], at, "adjustment")
    return after | {"balance_transactions": [*after["balance_transactions"], moved]}


def _moved(kind: str, body: Object) -> int:
    """What an event changed the processor's balance by."""
    if kind == "charge.succeeded":
        net: int = body["balance_transaction"]["net"]
        return net
    if kind == "charge.refunded":
        # The newest refund stands first; earlier events told the others.
        return -int(body["refunds"]["data"][0]["amount"])
    if kind in ("charge.dispute.funds_withdrawn", "charge.dispute.funds_reinstated"):
        return int(body["balance_transactions"][-1]["net"])
    return 0


def payouts(
    told: Iterable[tuple[int, str, Object]], start: int, days: int
) -> Iterator[tuple[int, str, Object]]:
    """Weekly payouts per currency of what came in; one of them fails and is paid with the next.

    `told`: time, type and object of every event, in order of time.
    """
    events = list(told)
    for currency in sorted(set(CURRENCY.values())):
        left, since = 0, start
        for week in range(1, days // _PAYOUT_DAYS + 1):
            until = start + week * _PAYOUT_DAYS * DAY_S - 3600
            left += sum(
                _moved(kind, body)
                for at, kind, body in events
                if since <= at < until and body.get("currency") == currency
            )
            since = until
            if left <= 0:
                continue
            payout = _payout(f"po_{currency}{week:03d}", left, currency, until)
            yield until, "payout.paid", payout
            if currency == "usd" and week == 2:
                failed = {"status": "failed", "failure_code": "account_closed"}
                yield until + 2 * DAY_S, "payout.failed", payout | failed
            else:
                left = 0


def _payout(identity: str, amount: int, currency: str, at: int) -> Object:
    moved = movement(f"txn_{identity}", -amount, 0, currency, at, "payout")
    return {
        "id": identity,
        "object": "payout",
        "amount": amount,
        "arrival_date": at,
        "balance_transaction": moved,
        "currency": currency,
        "status": "paid",
        "type": "bank_account",
    }
