"""What the demo shows while it runs.

Problem: a minute without a word looks like a hang, and a log must not be full of cursor movements.
How: one line that moves on a terminal (day, events per second, lag, time left), one plain line
every few seconds elsewhere; on standard error, so that `--json` stays clean.
"""

from __future__ import annotations

import time
from collections import deque
from datetime import date
from types import TracebackType
from typing import Self

from rich.console import Console
from rich.progress import BarColumn, TextColumn, TimeRemainingColumn
from rich.progress import Progress as Bar

_PLAIN_LINE_EVERY_S = 5.0
_RATE_WINDOW_S = 5.0


class Progress:
    """Told by the player; tells the person."""

    def __init__(self, console: Console, days: int, webhooks: int) -> None:
        self._console = console
        self._days = days
        self._webhooks = webhooks
        self._day = 0
        self._date = ""
        self._accepted = 0
        self._counted = 0
        self._in_flight = 0
        self._recent: deque[tuple[float, int]] = deque()
        self._told_at = 0.0
        self._bar: Bar | None = None
        if console.is_terminal:
            self._bar = Bar(
                TextColumn("{task.description}"),
                BarColumn(bar_width=12),
                TextColumn("{task.fields[figures]}"),
                TimeRemainingColumn(),
                console=console,
                transient=True,
            )
            self._task = self._bar.add_task("", total=days, figures="")

    def __enter__(self) -> Self:
        if self._bar is not None:
            self._bar.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        if self._bar is not None:
            self._bar.stop()

    def say(self, text: str) -> None:
        """A line of its own."""
        self._console.print(text, highlight=False, markup=False, soft_wrap=True)

    def day(self, over: date) -> None:
        """A simulated day begins."""
        self._day += 1
        self._date = over.isoformat()
        self._show(plain=time.monotonic() - self._told_at >= _PLAIN_LINE_EVERY_S)

    def accepted(self, webhooks: int) -> None:
        """The ingress has stored so many webhooks."""
        now = time.monotonic()
        self._accepted = webhooks
        self._recent.append((now, webhooks))
        while self._recent[0][0] < now - _RATE_WINDOW_S:
            self._recent.popleft()
        self._show(plain=False)

    def counted(self, webhooks: int, in_flight: int) -> None:
        """The ledger has classed so many, and so many postings are not confirmed."""
        self._counted = webhooks
        self._in_flight = in_flight
        self._show(plain=False)

    def _show(self, *, plain: bool) -> None:
        if self._bar is not None:
            self._bar.update(
                self._task,
                completed=self._day,
                description=self._date,
                figures=self._figures("/s", "in flight"),
            )
        elif plain:
            self._told_at = time.monotonic()
            figures = self._figures(" per second", "postings in flight")
            self.say(f"simulated {self._date} (day {self._day} of {self._days}): {figures}")

    def _figures(self, per_second: str, in_flight: str) -> str:
        lag = max(0, self._accepted - self._counted)
        return (
            f"{self._accepted} of {self._webhooks} webhooks, {self._rate()}{per_second}, "
            f"lag {lag}, {self._in_flight} {in_flight}"
        )

    def _rate(self) -> int:
        if not self._recent:
            return 0
        first_at, first = self._recent[0]
        seconds = time.monotonic() - first_at
        return round((self._accepted - first) / seconds) if seconds > 0.5 else self._accepted
