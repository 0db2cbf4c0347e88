"""Revenue: what of a line was earned before a fact, and what a reduction leaves to earn.

Problem: what was invoiced for a period is earned over time, and later credits, voids and refunds
must take back what was earned and what was not, in the right proportion, to the cent. How: the rows
of a schedule (`core.schedule`), each with its day; a fact splits them into released (rows dated
before it) and unreleased (the rest), takes from both by the policy's treatment, leaves new rows.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from datetime import date
from typing import Final

from msgspec import Struct

from streamsync.core.calendar import month_end
from streamsync.core.money import round_half_up_div
from streamsync.core.schedule import Plan, Row


def released(rows: Sequence[Row], on: date) -> int:
    """What was revenue before a day: the rows dated before it, strictly."""
    return sum(row.amount_minor for row in rows if row.date < on)


def unreleased(rows: Sequence[Row], on: date) -> int:
    """What is not yet revenue on a day: the rows dated on it or later."""
    return sum(row.amount_minor for row in rows if row.date >= on)


def served(rows: Sequence[Row], plan: Plan, on: date) -> int:
    """What was served before a day: the rows dated before it, and of the row that the day cuts its
    share by days, rounded half up; all when the service is over, also where a row is dated later.
    """
    whole = sum(row.amount_minor for row in rows if row.date < on)
    found = plan.cut(on)
    if found is None:
        return sum(row.amount_minor for row in rows)
    last, before, days = found
    # A slice may end before its date: what is dated before the day is served in any case.
    cut = sum(row.amount_minor for row in rows if row.date == last and row.date >= on)
    return whole + round_half_up_div(cut * before, days)


def terminate(rows: Sequence[Row], on: date) -> tuple[Row, ...]:
    """The schedule stops: all rows dated on the day or later are cancelled."""
    return tuple(row for row in rows if row.date < on)


def reduce_unreleased(rows: Sequence[Row], on: date, by_minor: int, plan: Plan) -> tuple[Row, ...]:
    """Take `by_minor` out of the unreleased part and spread the rest anew.

    The rest is spread over the slices that remain: those dated on the day or later.
    """
    return respread(rows, on, unreleased(rows, on) - by_minor, plan)


def respread(rows: Sequence[Row], on: date, left_minor: int, plan: Plan) -> tuple[Row, ...]:
    """The rows before a day as they are, and an amount spread anew over the slices from it on.

    Where nothing of the service is left, the amount is earned in the month of the day.
    """
    kept = terminate(rows, on)
    if any(one.date >= on for one in plan.slices):
        return kept + plan.spread(left_minor, on)
    return (*kept, Row(month_end(on), left_minor)) if left_minor else kept


def split_share(share: int, released_left: int, unreleased_left: int) -> tuple[int, int]:
    """How a reduction divides in proportion: its part of what was released, and of what was not.

    The released part is rounded half up, so that the two always add up to the share.
    """
    whole = released_left + unreleased_left
    contra = round_half_up_div(share * released_left, whole) if whole else 0
    return contra, share - contra


class Left(Struct, frozen=True):
    """A line on the day of a reduction: what was released and what was not, after earlier ones."""

    released: int
    unreleased: int
    plan: Plan
    on: date


def _proportional(share: int, left: Left) -> int:
    """As much of what was earned as of what was not (Stripe)."""
    return split_share(share, left.released, left.unreleased)[0]


def _prospective(share: int, left: Left) -> int:
    """What was not earned first; only what exceeds it is clawed back (Chargebee)."""
    return share - min(share, max(left.unreleased, 0))


def _retrospective(share: int, left: Left) -> int:
    """As if the line had been that much smaller from its first day (Chargebee)."""
    return left.released - left.plan.earned(left.released + left.unreleased - share, left.on)


def _point_in_time(share: int, _left: Left) -> int:
    """All of it on the day itself; the schedule stands (Chargebee; ERPNext #51020)."""
    return share


TREATMENTS: Final[Mapping[str, Callable[[int, Left], int]]] = {
    "proportional": _proportional,
    "prospective": _prospective,
    "retrospective": _retrospective,
    "point_in_time": _point_in_time,
}
"""How a credit divides: share and what is left, to the part that is taken out of revenue."""
