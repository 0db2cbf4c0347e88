"""What the demo plays: days of deliveries and master data, and when the clock moves.

Problem: time is input, so it must be fixed which events come before which tick; an event that is
told after its own day was closed would be a correction, not a first posting. How: a day of the demo
ends at 06:00 UTC of the next date, when the date is over in every time zone of the example company;
everything with an earlier time is played before that tick. Quiet days follow, until every deadline
has passed, none of them the last of a month.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, date, datetime, time, timedelta

from streamsync.core.records import Customer
from streamsync.simulator import arrivals, simulate
from streamsync.simulator.stream import START

_DAY_ENDS = time(6, tzinfo=UTC)
# Deadlines are a day long: one quiet day reaches those of the last postings, one more to be sure.
_QUIET_DAYS_MIN = 2


@dataclass(frozen=True, slots=True)
class Day:
    """One simulated day. `ends_ms`: the time of its tick; `over`: the date that is over by then."""

    over: date
    ends_ms: int
    customers: tuple[Customer, ...]
    bodies: tuple[bytes, ...]


@dataclass(frozen=True, slots=True)
class Scenario:
    """Everything that is played. `starts_ms` is the first tick's time."""

    starts_ms: int
    days: tuple[Day, ...]

    @property
    def today(self) -> date:
        """The date at the end: what is dated before is over."""
        return self.days[-1].over + timedelta(days=1)

    @property
    def webhooks(self) -> int:
        """Deliveries in all."""
        return sum(len(day.bodies) for day in self.days)


def in_newer_shape(index: int) -> bool:
    """Whether an account, by its number, is told in Stripe's newer shape: one of four is."""
    return index % 4 == 0


def make_scenario(seed: int, days: int, accounts: int, tenant: str) -> Scenario:
    """The simulator's company over `days`, cut into days, with quiet days at the end."""
    company = simulate(seed, days, accounts, newer=in_newer_shape, metered=True)
    told = [(event.time_ms, event.body) for event in company]
    crm = [
        (arrival.time_ms, arrival.customer) for arrival in arrivals(seed, accounts, tenant=tenant)
    ]
    last = START + timedelta(days=days - 1)
    played: list[Day] = []
    begins_ms = 0
    for number in range(days + quiet_days(last)):
        over = START + timedelta(days=number)
        ends_ms = day_end_ms(over)
        played.append(
            Day(
                over,
                ends_ms,
                tuple(customer for at, customer in crm if begins_ms <= at < ends_ms),
                tuple(body for at, body in told if begins_ms <= at < ends_ms),
            )
        )
        begins_ms = ends_ms
    return Scenario(day_end_ms(START - timedelta(days=1)), tuple(played))


def day_end_ms(day: date) -> int:
    """When a date is over everywhere."""
    return int(datetime.combine(day + timedelta(days=1), _DAY_ENDS).timestamp()) * 1000


def quiet_days(last: date) -> int:
    """Days without events after `last`, the final ones free of month ends."""
    count = _QUIET_DAYS_MIN
    while any(_ends_month(day) for day in _final_days(last, count)):
        count += 1
    return count


def _final_days(last: date, count: int) -> Sequence[date]:
    return [last + timedelta(days=count - back) for back in range(_QUIET_DAYS_MIN)]


def _ends_month(day: date) -> bool:
    return (day + timedelta(days=1)).day == 1
