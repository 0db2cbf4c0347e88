"""Schedule: on which days a net amount becomes revenue, and how much of it on each.

Problem: companies count service by days, by whole months, by both or by the millisecond, begin at
the start of service or at the invoice, and round in different ways; all of it must add up to the
cent, at issue and again after every credit. How: a start convention moves the service period, a
basis or a release convention turns it into dated slices with whole-number weights, a rounding turns
an amount and weights into amounts. All are chosen by name in the accounting policy; what is left of
an amount after a reduction is spread over the slices that are left, with the weights they had.
"""

from __future__ import annotations

from calendar import monthrange
from collections.abc import Callable, Mapping, Sequence
from datetime import date, timedelta
from functools import lru_cache
from itertools import accumulate, pairwise
from typing import Final

from msgspec import Struct
from msgspec.structs import replace

from streamsync.core.calendar import (
    day_end_ms,
    days_by_month,
    local_date,
    month_end,
    period_of,
    service_days,
)
from streamsync.core.money import allocate, round_half_up_div

_DAY: Final = timedelta(days=1)
_DAYS_OF_A_MONTH: Final = 30
_BY_DOCUMENT: Final = ("document_date", "later_of_both")


class Row(Struct, frozen=True, array_like=True):
    """Revenue of one slice; below zero for a credit line."""

    date: date
    amount_minor: int


class Service(Struct, frozen=True, array_like=True):
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

    @property
    def days(self) -> int:
        """Days of service."""
        return service_days(self.start, self.end)


@lru_cache(maxsize=4096)
def service_between(from_ms: int, to_ms: int, zone: str) -> Service:
    """The service between two moments, for an entity in a time zone."""
    return Service(from_ms, to_ms, zone, local_date(from_ms, zone), local_date(to_ms, zone))


def service_of_days(start: date, end: date, zone: str) -> Service:
    """The service from the first moment of a day until before the first moment of another."""
    return Service(_begin_ms(start, zone), _begin_ms(end, zone), zone, start, end)


def _begin_ms(day: date, zone: str) -> int:
    return day_end_ms(day - _DAY, zone)


class Slice(Struct, frozen=True, array_like=True):
    """A part of a service: the day on which it is revenue, its weight, and whether it is one of
    several even ones.
    """

    date: date
    weight: int
    even: bool = False


class Method(Struct, frozen=True):
    """How a policy spreads: names of the tables below.

    `immediate_up_to_days`: a line with at most so many days of service is revenue at once.
    """

    basis: str
    rounding: str
    start: str = "service_start"
    first_release: str = "service_time"
    immediate_up_to_days: int = 0

    @property
    def starts_by_document(self) -> bool:
        """Whether the document's day decides where a schedule begins."""
        return self.start in _BY_DOCUMENT

    @property
    def by_longest_line(self) -> bool:
        """Whether the longest line of a document decides over all of them."""
        return self.first_release == "one_month_after_start"

    @property
    def unknown(self) -> str | None:
        """The first name that this version of the program does not have."""
        return _unknown_name(self)


@lru_cache(maxsize=256)  # every issue asks
def _unknown_name(method: Method) -> str | None:
    named = (
        (method.basis, BASES),
        (method.rounding, ROUNDINGS),
        (method.start, STARTS),
        (method.first_release, FIRST_RELEASES),
    )
    return next((name for name, known in named if name not in known), None)


class Plan(Struct, frozen=True, array_like=True):
    """The slices of one line in the order of their dates, the rounding that spreads amounts over
    them, and the service's first day and first day after it.
    """

    slices: tuple[Slice, ...]
    rounding: str
    start: date
    end: date

    def spread(self, net_minor: int, on: date = date.min) -> tuple[Row, ...]:
        """Rows of an amount over the slices of a day or later; they add up to it."""
        slices = [one for one in self.slices if one.date >= on]
        if not slices:
            if net_minor:
                raise ValueError(f"{net_minor} is left to spread, and nothing left of the service.")
            return ()
        # The size is spread and the sign put back: a credit mirrors its charge to the cent.
        amounts = ROUNDINGS[self.rounding](abs(net_minor), slices)
        sign = -1 if net_minor < 0 else 1
        return tuple(
            Row(one.date, sign * amount) for one, amount in zip(slices, amounts, strict=True)
        )

    def earned(self, total_minor: int, on: date) -> int:
        """What of an amount is earned before a day: its share by weight, rounded half up."""
        whole = sum(one.weight for one in self.slices)
        before = sum(one.weight for one in self.slices if one.date < on)
        return round_half_up_div(total_minor * before, whole)

    def cut(self, on: date) -> tuple[date, int, int] | None:
        """The slice that a day cuts: its date, its days before the day, and all its days.

        A slice runs from the day after the one before (or the first day) through its own date, or
        the last day of service if that is earlier. None: the day is after them all, or after the
        service.
        """
        served = self.start < self.end
        if served and on >= self.end:
            return None
        begin = self.start
        for one in self.slices:
            after = one.date + _DAY
            if served:
                after = min(after, self.end)
            if on < after:
                return one.date, max(service_days(begin, on), 0), service_days(begin, after)
            begin = after
        return None


def plan(service: Service, method: Method, on: date | None = None, longest_days: int = 0) -> Plan:
    """The slices of a service period of at least one day, billed on a day (else: as it begins).

    `longest_days`: of the longest line of the document, for conventions that go by it.
    """
    # What the method doesn't look at must not divide what is remembered.
    begin = on if method.starts_by_document else None
    longest = longest_days if method.by_longest_line else 0
    return _planned(service, method, begin, longest)


@lru_cache(maxsize=4096)  # the lines of an invoice share a service period, and each fact asks again
def _planned(service: Service, method: Method, on: date | None, longest_days: int) -> Plan:
    if not service.has_a_day:
        raise ValueError(f"{service.start} to {service.end} is no service period.")
    moved = STARTS[method.start](service, on or service.start)
    days = max(service.days, longest_days)
    return Plan(
        tuple(FIRST_RELEASES[method.first_release](moved, BASES[method.basis], days)),
        method.rounding,
        moved.start,
        moved.end,
    )


def _at_service_start(service: Service, _on: date) -> Service:
    return service


def _at_document_date(service: Service, on: date) -> Service:
    """The document's day, be it before or after the service begins."""
    return service if on == service.start else _from_day(service, on)


def _at_the_later(service: Service, on: date) -> Service:
    """The document's day, when the service began before it."""
    return _from_day(service, on) if on > service.start else service


def _from_day(service: Service, on: date) -> Service:
    return replace(service, from_ms=_begin_ms(on, service.zone), start=on)


def _at_month_start(service: Service, _on: date) -> Service:
    """Start and end at the first of their months."""
    return _whole_months(service, lambda day: day.replace(day=1))


def _at_next_month(service: Service, _on: date) -> Service:
    """Start and end at the first of the following month, unless they are a first."""
    return _whole_months(service, lambda day: day if day.day == 1 else _next_first(day))


def _at_mid_month(service: Service, _on: date) -> Service:
    """Up to the 15th as of the first of the month, later as of the next."""
    return _whole_months(
        service, lambda day: day.replace(day=1) if day.day <= 15 else _next_first(day)
    )


def _whole_months(service: Service, moved: Callable[[date], date]) -> Service:
    start, end = moved(service.start), moved(service.end)
    # A service that the convention leaves no month has the one that it begins in.
    return service_of_days(start, end if end > start else _next_first(start), service.zone)


def _next_first(day: date) -> date:
    return month_end(day) + _DAY


def _by_day(service: Service) -> list[Slice]:
    """Local days; the start day counts, the end day does not."""
    return [Slice(last, days) for last, days in days_by_month(service.start, service.end)]


def _by_even_month(service: Service) -> list[Slice]:
    """Whole months, as days in `day`: the start month counts, the end month does not."""
    cut_off = service.end.replace(day=1)
    if service.start >= cut_off:  # all within one month
        return [Slice(month_end(service.start), 1, even=True)]
    return [Slice(last, 1, even=True) for last, _ in days_by_month(service.start, cut_off)]


def _by_millisecond(service: Service) -> list[Slice]:
    """The time served in each local month."""
    months: list[Slice] = []
    begin, last = service.from_ms, month_end(service.start)
    while begin < service.to_ms:
        until = min(day_end_ms(last, service.zone), service.to_ms)
        # A clock set back over midnight repeats an hour of the month before.
        if until > begin:
            months.append(Slice(last, until - begin))
            begin = until
        last = month_end(last + _DAY)
    return months


def _by_even_month_prorated(service: Service) -> list[Slice]:
    """The first and last month by their time; what they leave, evenly over those between."""
    months = _by_millisecond(service)
    if len(months) <= 2:
        return months
    first, *between, last = months
    count = len(between)
    each = sum(month.weight for month in between)
    # An inner month weighs each / count; all weights times count keep that a whole number.
    return [
        Slice(first.date, first.weight * count),
        *(Slice(month.date, each, even=True) for month in between),
        Slice(last.date, last.weight * count),
    ]


Basis = Callable[[Service], list[Slice]]


def _service_time(service: Service, basis: Basis, _days: int) -> list[Slice]:
    """Each month of service on its last day."""
    return basis(service)


def _month_end(service: Service, basis: Basis, _days: int) -> list[Slice]:
    """The same, but the last one no later than the last day of service.

    A few hours of the day after it may be a month of their own; they keep its last day.
    """
    *others, last = basis(service)
    day = min(last.date, service.end - _DAY)
    return [*others, replace(last, date=day) if period_of(day) == period_of(last.date) else last]


def _daily(service: Service, _basis: Basis, _days: int) -> list[Slice]:
    """Each day of service on that day."""
    return [Slice(service.start + at * _DAY, 1) for at in range(service.days)]


def _one_month_after_start(service: Service, _basis: Basis, days: int) -> list[Slice]:
    """Equal months, as many as the days hold months of 30 days, each on its start's day."""
    count = max(round_half_up_div(days, _DAYS_OF_A_MONTH), 1)
    return [Slice(_months_later(service.start, at), 1, even=True) for at in range(1, count + 1)]


def _months_later(day: date, months: int) -> date:
    """The same day some months later, or that month's last day."""
    year, month = divmod(day.year * 12 + day.month - 1 + months, 12)
    return date(year, month + 1, min(day.day, monthrange(year, month + 1)[1]))


def _last_absorbs(size: int, slices: Sequence[Slice]) -> list[int]:
    """Each month gets the floor of its share, the last one what remains.

    The last of the even months, where there are any: a prorated month keeps its own share.
    """
    whole = sum(one.weight for one in slices)
    amounts = [size * one.weight // whole for one in slices]
    even = [at for at, one in enumerate(slices) if one.even]
    amounts[even[-1] if even else -1] += size - sum(amounts)
    return amounts


def _largest_remainder(size: int, slices: Sequence[Slice]) -> list[int]:
    """Floors; the units that remain go to the largest remainders, ties to the earlier month."""
    return allocate(size, [one.weight for one in slices])


def _cumulative_round(size: int, slices: Sequence[Slice]) -> list[int]:
    """What is earned up to each month is rounded half up; a row is the step to the next."""
    whole = sum(one.weight for one in slices)
    earned = accumulate((one.weight for one in slices), initial=0)
    rounded = [round_half_up_div(size * weight, whole) for weight in earned]
    return [after - before for before, after in pairwise(rounded)]


BASES: Final[Mapping[str, Basis]] = {
    "day": _by_day,
    "even_month": _by_even_month,
    "even_month_prorated": _by_even_month_prorated,
    "millisecond": _by_millisecond,
}
ROUNDINGS: Final[Mapping[str, Callable[[int, Sequence[Slice]], list[int]]]] = {
    "last_absorbs": _last_absorbs,
    "largest_remainder": _largest_remainder,
    "cumulative_round": _cumulative_round,
}
STARTS: Final[Mapping[str, Callable[[Service, date], Service]]] = {
    "service_start": _at_service_start,
    "document_date": _at_document_date,
    "later_of_both": _at_the_later,
    "month_start": _at_month_start,
    "next_month_start": _at_next_month,
    "mid_month": _at_mid_month,
}
FIRST_RELEASES: Final[Mapping[str, Callable[[Service, Basis, int], list[Slice]]]] = {
    "service_time": _service_time,
    "month_end": _month_end,
    "daily": _daily,
    "one_month_after_start": _one_month_after_start,
}
