"""Receivables: what is open by age, and how a balance came from the last one.

Problem: a balance is only believed when it can be followed: what it was, what moved it and why, and
which documents it still consists of. How: movements are kept per role, posting period and purpose,
so that opening + movements = closing holds for every role; and each document's open amount is kept
by the day it was issued, so that ages are those of the day that one asks.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from datetime import date
from typing import Final

from msgspec import Struct

from streamsync.core.records import AgeingBucket, RoleTotal

BUCKETS: Final = ("days_0_30", "days_31_60", "days_61_90", "days_over_90")
_UNTIL: Final = (30, 60, 90)


class RollForward(Struct, frozen=True):
    """One role, currency and posting period; balances and movements are debits less credits.

    `movements`: purpose to net movement. The opening is the closing of the period before.
    """

    role: str
    currency: str
    period: str
    opening_minor: int
    movements: Mapping[str, int]
    closing_minor: int


def roll_forwards(totals: Iterable[RoleTotal]) -> list[RollForward]:
    """The roll-forward of every role and currency, in the order of periods."""
    moved: dict[tuple[str, str], dict[str, dict[str, int]]] = {}
    for one in totals:
        periods = moved.setdefault((one.role, one.currency), {})
        purposes = periods.setdefault(one.period, {})
        net = one.debit_minor - one.credit_minor
        purposes[one.purpose] = purposes.get(one.purpose, 0) + net
    made = []
    for (role, currency), periods in sorted(moved.items()):
        balance = 0
        for period, purposes in sorted(periods.items()):
            opening, balance = balance, balance + sum(purposes.values())
            movements = dict(sorted(purposes.items()))
            made.append(RollForward(role, currency, period, opening, movements, balance))
    return made


def age(open_by_day: Iterable[tuple[str, str, int]], today: date) -> list[AgeingBucket]:
    """Open receivables as (currency, ISO day of issue, debit less credit), by age in days."""
    sums: dict[tuple[str, str], list[int]] = {}
    for currency, day, amount in open_by_day:
        days = (today - date.fromisoformat(day)).days
        bucket = BUCKETS[sum(days > until for until in _UNTIL)]
        both = sums.setdefault((currency, bucket), [0, 0])
        both[amount < 0] += abs(amount)
    return [
        AgeingBucket(currency=currency, bucket=bucket, debit_minor=debit, credit_minor=credit)
        for (currency, bucket), (debit, credit) in sorted(sums.items())
    ]


def add_ageing(buckets: Iterable[AgeingBucket]) -> tuple[AgeingBucket, ...]:
    """Sums by currency and bucket."""
    sums: dict[tuple[str, str], tuple[int, int]] = {}
    for one in buckets:
        debit, credit = sums.get((one.currency, one.bucket), (0, 0))
        sums[one.currency, one.bucket] = (debit + one.debit_minor, credit + one.credit_minor)
    return tuple(
        AgeingBucket(currency=currency, bucket=bucket, debit_minor=debit, credit_minor=credit)
        for (currency, bucket), (debit, credit) in sorted(sums.items())
    )
