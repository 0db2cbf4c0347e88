"""Whether this worker still is who it thinks it is.

Problem: a worker that was stopped for a minute, or cut off from the broker, goes on believing
that its partitions are its own, and would answer with rows that another worker has changed since.
The group gives partitions away only when a member was not heard of for the session time-out, and
an offset commit is refused for anybody but a member of the present generation. So every commit
that the group took proves membership as of the moment when it was sent, for one session time-out.
"""

from __future__ import annotations

import time
from collections.abc import Callable


class Membership:
    """When the group last confirmed this worker; used by the event loop."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self.session_timeout_s = 0.0
        """Set when the app is configured."""
        self._clock = clock
        self._confirmed_at: float | None = None

    def now(self) -> float:
        """The moment to hand to `confirm`, taken before asking."""
        return self._clock()

    def confirm(self, asked_at: float) -> None:
        """The group answered what was asked at that moment."""
        if self._confirmed_at is None or asked_at > self._confirmed_at:
            self._confirmed_at = asked_at

    def is_confirmed(self) -> bool:
        """Nobody else can own this worker's partitions yet."""
        return self._age() < self.session_timeout_s

    def is_due(self) -> bool:
        """It is time to ask again, well before the confirmation ends."""
        return self._age() > self.session_timeout_s / 4

    def _age(self) -> float:
        if self._confirmed_at is None:
            return float("inf")
        return self._clock() - self._confirmed_at
