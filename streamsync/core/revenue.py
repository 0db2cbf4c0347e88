"""Revenue: what of a line was earned before a fact, and what a reduction leaves to earn.

Problem: what was invoiced for a period is earned over time, and later credits, voids and refunds
must take back what was earned and what was not, in the right proportion, to the cent. How: the rows
of a schedule (`core.schedule`), one per calendar month, dated its last day; a fact splits them into
released (rows dated before the fact) and unreleased (the rest), and leaves new rows.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import date

from streamsync.core.calendar import month_end
from streamsync.core.money import round_half_up_div
from streamsync.core.schedule import Plan, Row


def released(rows: Sequence[Row], on: date) -> int:
    """What was revenue before a day: the rows dated before it, strictly."""
    return sum(row.amount_minor for row in rows if row.date < on)


def unreleased(rows: Sequence[Row], on: date) -> int:
    """What is not yet revenue on a day: the rows dated on it or later."""
    return sum(row.amount_minor for row in rows if row.date >= on)


def terminate(rows: Sequence[Row], on: date) -> tuple[Row, ...]:
    """The schedule stops: all rows dated on the day or later are cancelled."""
    return tuple(row for row in rows if row.date < on)


def reduce_unreleased(rows: Sequence[Row], on: date, by_minor: int, plan: Plan) -> tuple[Row, ...]:
    """Take `by_minor` out of the unreleased part and spread the rest anew.

    The rest is spread over the months that remain: that of `on` (or the start of service, if
    later) and those after it.
    """
    return respread(rows, on, unreleased(rows, on) - by_minor, plan)


def respread(rows: Sequence[Row], on: date, left_minor: int, plan: Plan) -> tuple[Row, ...]:
    """The rows before a day as they are, and an amount spread anew over the months from it on.

    Where no month of service is left, the amount is earned in the month of the day.
    """
    kept = terminate(rows, on)
    if any(month.last >= on for month in plan.months):
        return kept + plan.spread(left_minor, on)
    return (*kept, Row(month_end(on), left_minor)) if left_minor else kept


def split_share(share: int, released_left: int, unreleased_left: int) -> tuple[int, int]:
    """How a reduction divides: its part of what was released, and of what was not.

    The released part is rounded half up, so that the two always add up to the share.
    """
    whole = released_left + unreleased_left
    contra = round_half_up_div(share * released_left, whole) if whole else 0
    return contra, share - contra
