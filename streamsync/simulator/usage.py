"""Usage of metered accounts: recorded as it happens, billed when its period is over.

Problem: usage is earned on the day it happens and billed weeks later, by another system than the
one that records it. How: some ordinary American accounts use an API beside their plan; their own
meter tells it as canonical events, five a period, and Stripe bills the period's sum on an invoice
whose line names the usage document.
"""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

from streamsync.simulator.catalogue import UNITED_STATES
from streamsync.simulator.scenario import Cast, account_random

Object = dict[str, Any]

CANONICAL = "canonical"
"""In place of an API version: the event is one of streamsync's own shape."""

DAY_S = 86_400
_METER, _PRICE, _PRODUCT = "api", "api-calls", "prod_api"
_RECORDS = 5
# The price of the company's prices.yaml in dollars: a cent a call, from 10,000 calls on 0.4 cent.
_FIRST_TIER = 10_000


def is_metered(member: Cast) -> bool:
    """Whether an account uses the API beside its plan."""
    plain = member.feature is None and member.tax is None and not member.discount_percent
    monthly = not (member.plan.annual or member.on_terms)
    return plain and monthly and member.country == UNITED_STATES


def document(member: Cast, cycle: int) -> str:
    """The document that holds the usage of a billing cycle."""
    return f"usage/{_METER}/{member.customer}/{cycle}"


def cost(calls: int) -> int:
    """What a period's calls cost, in cents; calls are counted in tens."""
    return min(calls, _FIRST_TIER) + max(calls - _FIRST_TIER, 0) * 2 // 5


def recorded(
    member: Cast, seed: int, cycle: int, period: tuple[int, int]
) -> list[tuple[int, int, Object]]:
    """Time, calls and event of each record of a cycle."""
    rng = account_random(seed, 1_000_000 + member.index * 100 + cycle)
    told = []
    for number in range(1, _RECORDS + 1):
        at = period[0] + number * DAY_S * 5 + rng.randrange(DAY_S // 2)
        calls = 10 * rng.randrange(100, 400)
        told.append((at, calls, _record(member, cycle, period, at, calls)))
    return told


def _record(member: Cast, cycle: int, period: tuple[int, int], at: int, calls: int) -> Object:
    return {
        "kind": "usage_recorded",
        "source": "stripe",
        "account": member.customer,
        "document": document(member, cycle),
        "currency": member.plan.currency.upper(),
        "occurred_at": _moment(at),
        "usage": {
            "meter": _METER,
            "quantity": str(calls),
            "price": _PRICE,
            "product": _PRODUCT,
            "period_from": _moment(period[0]),
            "period_to": _moment(period[1]),
        },
    }


def _moment(second: int) -> str:
    return datetime.fromtimestamp(second, UTC).isoformat().replace("+00:00", "Z")
