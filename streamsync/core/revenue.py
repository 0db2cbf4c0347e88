"""Revenue: when the net of a line with a service period becomes revenue.

Problem: what was invoiced for a period is earned day by day, and later credits, voids and refunds
must take back what was earned and what was not, in the right proportion, to the cent. How: a
schedule is a tuple of rows, one per calendar month, dated its last day; a fact splits it into
released (rows dated before the fact) and unreleased (the rest), and leaves a new schedule.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date

from streamsync.core.calendar import days_by_month, service_days
from streamsync.core.money import round_half_up_div


@dataclass(frozen=True, slots=True)
class Row:
    """Revenue of one month; below zero for a credit line."""

    date: date
    amount_minor: int


def schedule(net_minor: int, start: date, end: date) -> tuple[Row, ...]:
    """Rows of a net amount over its service days: basis `day`, rounding `last_absorbs`.

    Each month gets the floor of its share of the size, the last month what remains.
    """
    all_days = service_days(start, end)
    if all_days <= 0:
        raise ValueError(f"A schedule needs at least one service day, {start} to {end} has none.")
    size, sign = abs(net_minor), -1 if net_minor < 0 else 1
    months = list(days_by_month(start, end))
    floors = [size * days // all_days for _, days in months[:-1]]
    amounts = [*floors, size - sum(floors)]
    return tuple(
        Row(last, sign * amount) for (last, _), amount in zip(months, amounts, strict=True)
    )


def released(rows: Sequence[Row], on: date) -> int:
    """What was revenue before a day: the rows dated before it, strictly."""
    return sum(row.amount_minor for row in rows if row.date < on)


def unreleased(rows: Sequence[Row], on: date) -> int:
    """What is not yet revenue on a day: the rows dated on it or later."""
    return sum(row.amount_minor for row in rows if row.date >= on)


def terminate(rows: Sequence[Row], on: date) -> tuple[Row, ...]:
    """The schedule stops: all rows dated on the day or later are cancelled."""
    return tuple(row for row in rows if row.date < on)


def reduce_unreleased(
    rows: Sequence[Row], on: date, by_minor: int, start: date, end: date
) -> tuple[Row, ...]:
    """Take `by_minor` out of the unreleased part and spread the rest anew.

    The rest is spread over the days that remain: from the first day of the month of `on` (or the
    start of service, if later) to the end of service.
    """
    remaining = unreleased(rows, on) - by_minor
    kept = terminate(rows, on)
    begin = max(on.replace(day=1), start)
    if begin >= end:
        if remaining:
            raise ValueError(f"{remaining} is left to spread after the service ended on {end}.")
        return kept
    return kept + schedule(remaining, begin, end)


def split_share(share: int, released_left: int, unreleased_left: int) -> tuple[int, int]:
    """How a reduction divides: its part of what was released, and of what was not.

    The released part is rounded half up, so that the two always add up to the share.
    """
    whole = released_left + unreleased_left
    contra = round_half_up_div(share * released_left, whole) if whole else 0
    return contra, share - contra
