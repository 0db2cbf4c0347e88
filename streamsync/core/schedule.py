"""Schedule: over which months a net amount becomes revenue, and how much of it in each.

Problem: companies count service by days, by whole months, by both or by the millisecond, and round
in different ways; all of it must add up to the cent, at issue and again after every credit. How: a
basis turns a service period into months with whole-number weights, a rounding turns an amount and
weights into amounts. Both are chosen by name in the accounting policy; what is left of an amount
after a reduction is spread over the months that are left, with the weights they had at issue.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import date, timedelta
from functools import lru_cache
from itertools import accumulate, pairwise
from typing import Final

from streamsync.core.calendar import day_end_ms, days_by_month, local_date, month_end
from streamsync.core.money import allocate, round_half_up_div


@dataclass(frozen=True, slots=True)
class Row:
    """Revenue of one month; below zero for a credit line."""

    date: date
    amount_minor: int


@dataclass(frozen=True, slots=True)
class Service:
    """A service period: its first moment and the first after it, and both as days of a zone.

    The day of `start` is served, the day of `end` is not.
    """

    from_ms: int
    to_ms: int
    zone: str
    start: date
    end: date

    @property
    def has_a_day(self) -> bool:
        """Whether there is anything to spread over; other lines are revenue at once."""
        return self.start < self.end and self.from_ms < self.to_ms


@lru_cache(maxsize=4096)
def service_between(from_ms: int, to_ms: int, zone: str) -> Service:
    """The service between two moments, for an entity in a time zone."""
    return Service(from_ms, to_ms, zone, local_date(from_ms, zone), local_date(to_ms, zone))


@dataclass(frozen=True, slots=True)
class Month:
    """A month of service: its last day, its weight, and whether it is one of several even ones."""

    last: date
    weight: int
    even: bool = False


@dataclass(frozen=True, slots=True)
class Method:
    """How a policy spreads: the names of its basis and rounding."""

    basis: str
    rounding: str

    @property
    def is_known(self) -> bool:
        """Whether this version of the program has both."""
        return self.basis in BASES and self.rounding in ROUNDINGS


@dataclass(frozen=True, slots=True)
class Plan:
    """The months of one line, and the rounding that spreads amounts over them."""

    months: tuple[Month, ...]
    rounding: str

    def spread(self, net_minor: int, on: date = date.min) -> tuple[Row, ...]:
        """Rows of an amount over the months that end on a day or later; they add up to it."""
        months = [month for month in self.months if month.last >= on]
        if not months:
            if net_minor:
                raise ValueError(f"{net_minor} is left to spread, and no month of service.")
            return ()
        # The size is spread and the sign put back: a credit mirrors its charge to the cent.
        amounts = ROUNDINGS[self.rounding](abs(net_minor), months)
        sign = -1 if net_minor < 0 else 1
        return tuple(
            Row(month.last, sign * amount) for month, amount in zip(months, amounts, strict=True)
        )


@lru_cache(maxsize=4096)  # the lines of an invoice share a service period, and each fact asks again
def plan(service: Service, method: Method) -> Plan:
    """The months of a service period by a basis; the period has at least one day."""
    if not service.has_a_day:
        raise ValueError(f"{service.start} to {service.end} is no service period.")
    return Plan(tuple(BASES[method.basis](service)), method.rounding)


def _by_day(service: Service) -> list[Month]:
    """Local days; the start day counts, the end day does not."""
    return [Month(last, days) for last, days in days_by_month(service.start, service.end)]


def _by_even_month(service: Service) -> list[Month]:
    """Whole months, as days in `day`: the start month counts, the end month does not."""
    cut_off = service.end.replace(day=1)
    if service.start >= cut_off:  # all within one month
        return [Month(month_end(service.start), 1, even=True)]
    return [Month(last, 1, even=True) for last, _ in days_by_month(service.start, cut_off)]


def _by_millisecond(service: Service) -> list[Month]:
    """The time served in each local month."""
    months: list[Month] = []
    begin, last = service.from_ms, month_end(service.start)
    while begin < service.to_ms:
        until = min(day_end_ms(last, service.zone), service.to_ms)
        # A clock set back over midnight repeats an hour of the month before.
        if until > begin:
            months.append(Month(last, until - begin))
            begin = until
        last = month_end(last + timedelta(days=1))
    return months


def _by_even_month_prorated(service: Service) -> list[Month]:
    """The first and last month by their time; what they leave, evenly over those between."""
    months = _by_millisecond(service)
    if len(months) <= 2:
        return months
    first, *between, last = months
    count = len(between)
    each = sum(month.weight for month in between)
    # An inner month weighs each / count; all weights times count keep that a whole number.
    return [
        Month(first.last, first.weight * count),
        *(Month(month.last, each, even=True) for month in between),
        Month(last.last, last.weight * count),
    ]


def _last_absorbs(size: int, months: Sequence[Month]) -> list[int]:
    """Each month gets the floor of its share, the last one what remains.

    The last of the even months, where there are any: a prorated month keeps its own share.
    """
    whole = sum(month.weight for month in months)
    amounts = [size * month.weight // whole for month in months]
    even = [at for at, month in enumerate(months) if month.even]
    amounts[even[-1] if even else -1] += size - sum(amounts)
    return amounts


def _largest_remainder(size: int, months: Sequence[Month]) -> list[int]:
    """Floors; the units that remain go to the largest remainders, ties to the earlier month."""
    return allocate(size, [month.weight for month in months])


def _cumulative_round(size: int, months: Sequence[Month]) -> list[int]:
    """What is earned up to each month is rounded half up; a row is the step to the next."""
    whole = sum(month.weight for month in months)
    earned = accumulate((month.weight for month in months), initial=0)
    rounded = [round_half_up_div(size * weight, whole) for weight in earned]
    return [after - before for before, after in pairwise(rounded)]


BASES: Final[Mapping[str, Callable[[Service], list[Month]]]] = {
    "day": _by_day,
    "even_month": _by_even_month,
    "even_month_prorated": _by_even_month_prorated,
    "millisecond": _by_millisecond,
}
ROUNDINGS: Final[Mapping[str, Callable[[int, Sequence[Month]], list[int]]]] = {
    "last_absorbs": _last_absorbs,
    "largest_remainder": _largest_remainder,
    "cumulative_round": _cumulative_round,
}
