"""Calendar: local dates, periods and service days of a legal entity.

Problem: the same moment is a different day, month and fiscal period in two entities. How: every
date is taken in the entity's IANA time zone from epoch milliseconds, with integer arithmetic; the
end of a day is the first moment that is no longer in it, daylight saving included.
"""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, date, datetime, time, timedelta
from functools import cache, lru_cache
from typing import Final
from zoneinfo import ZoneInfo

_EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)
_MILLISECOND: Final = timedelta(milliseconds=1)
_DAY: Final = timedelta(days=1)


@cache
def zone_of(name: str) -> ZoneInfo:
    """The time zone of an IANA name; raises KeyError for a name that is none."""
    return ZoneInfo(name)


@lru_cache(maxsize=4096)  # the moments of one document are asked for again and again
def local_date(epoch_ms: int, zone: str) -> date:
    """The calendar day of a moment in a time zone."""
    return (_EPOCH + epoch_ms * _MILLISECOND).astimezone(zone_of(zone)).date()


def day_end_ms(day: date, zone: str) -> int:
    """The first moment after a local day: from then on the day is over."""
    after = datetime.combine(day + _DAY, time(), tzinfo=zone_of(zone))
    return (after - _EPOCH) // _MILLISECOND


def period_of(day: date) -> str:
    """The period `YYYY-MM` of a day."""
    return f"{day.year:04d}-{day.month:02d}"


def next_period(period: str) -> str:
    """The period after `YYYY-MM`."""
    return period_of(period_end(period) + _DAY)


def period_end(period: str) -> date:
    """The last day of a period `YYYY-MM`."""
    year, month = period.split("-")
    return month_end(date(int(year), int(month), 1))


def month_end(day: date) -> date:
    """The last day of the month of a day."""
    # The 28th exists in every month; four days later it is the next month.
    in_next = day.replace(day=28) + 4 * _DAY
    return in_next - in_next.day * _DAY


def service_days(start: date, end: date) -> int:
    """Days of service: the start day counts, the end day does not."""
    return (end - start).days


def days_by_month(start: date, end: date) -> Iterator[tuple[date, int]]:
    """Service days cut at calendar months: each month's last day, and its days of service."""
    begin = start
    while begin < end:
        last = month_end(begin)
        after = min(last + _DAY, end)
        yield last, service_days(begin, after)
        begin = after
