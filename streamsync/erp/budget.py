"""How fast an adapter may talk to its ERP, and when not at all.

Problem: an ERP has limits, nights of maintenance and bad days; hammering it makes all of them
worse. How: a token bucket for the rate, doubling pauses with a ceiling after failures, and daily or
weekly windows in which the adapter only collects.
"""

from __future__ import annotations

import asyncio
import datetime as dt
import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass

_DAYS = ("mon", "tue", "wed", "thu", "fri", "sat", "sun")
_WINDOW = re.compile(
    r"(?:(?P<day>mon|tue|wed|thu|fri|sat|sun) )?"
    r"(?P<from_hour>[01]\d|2[0-3]):(?P<from_minute>[0-5]\d)"
    r"-(?P<to_hour>[01]\d|2[0-3]):(?P<to_minute>[0-5]\d)"
)
_DAY_MINUTES = 24 * 60


class BlackoutInvalid(ValueError):
    """A window can't be understood."""


@dataclass(frozen=True, slots=True)
class Window:
    """From minute to minute of a UTC day; past midnight when it ends before it starts."""

    weekday: int | None
    from_minute: int
    to_minute: int

    def covers(self, moment: dt.datetime) -> bool:
        """Whether `moment` (UTC) lies inside."""
        minute = moment.hour * 60 + moment.minute
        length = (self.to_minute - self.from_minute) % _DAY_MINUTES
        since = (minute - self.from_minute) % _DAY_MINUTES
        if since >= length:
            return False
        # After midnight the window belongs to the day on which it began.
        began = moment.weekday() if since <= minute else (moment.weekday() - 1) % 7
        return self.weekday is None or began == self.weekday


def read_windows(texts: Sequence[str]) -> tuple[Window, ...]:
    """Windows from `22:00-23:30` (every day) or `sun 22:00-02:00`."""
    windows = []
    for text in texts:
        match = _WINDOW.fullmatch(text.strip().lower())
        if match is None:
            raise BlackoutInvalid(
                f"blackout {text!r}: write HH:MM-HH:MM or for example sun 22:00-02:00 (UTC)"
            )
        day = match["day"]
        begin = int(match["from_hour"]) * 60 + int(match["from_minute"])
        end = int(match["to_hour"]) * 60 + int(match["to_minute"])
        if begin == end:
            raise BlackoutInvalid(f"blackout {text!r}: the window is empty")
        windows.append(Window(None if day is None else _DAYS.index(day), begin, end))
    return tuple(windows)


def backoff_ms(failures: int, first_ms: int, ceiling_ms: int) -> int:
    """Doubling wait after the given number of failures in a row, never above the ceiling."""
    return min(ceiling_ms, first_ms << min(max(failures - 1, 0), 30))


@dataclass(frozen=True, slots=True, kw_only=True)
class Budget:
    """What one entity of an ERP may be asked to bear."""

    requests_per_second: int = 200
    concurrency: int = 1
    batch_size: int = 50
    first_wait_ms: int = 250
    longest_wait_ms: int = 30_000
    parked_poll_ms: int = 2_000
    blackout: tuple[Window, ...] = ()


class Rate:
    """Token bucket of one second's worth; a document or a look-up is a token."""

    def __init__(self, per_second: int, seconds: Callable[[], float]) -> None:
        self._per_second = per_second
        self._seconds = seconds
        self._tokens: float = per_second
        self._at = seconds()

    async def take(self, tokens: int) -> None:
        """Wait until the tokens may be spent; a batch above the bucket waits its full time."""
        now = self._seconds()
        self._tokens = min(self._per_second, self._tokens + (now - self._at) * self._per_second)
        self._at = now
        self._tokens -= tokens
        if self._tokens < 0:
            await asyncio.sleep(-self._tokens / self._per_second)
