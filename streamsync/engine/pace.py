"""How often a worker may do what its neighbours pay for.

Problem: each transaction costs the broker the same, whatever is in it, so hundreds of partitions
that commit as fast as they can would leave no time for records; and two workers that fence each
other, each asking the group at once, would go on for ever. How: the gap between the commits of a
partition grows with the number of those that commit, and the pause before the group is asked
doubles until it is given up.
"""

from __future__ import annotations

import threading
from collections import deque
from dataclasses import dataclass


class Pace:
    """The gap between commits: what the partitions that are busy can afford together."""

    # Two cores and one broker carried 300 to 490 transactions a second; those of all lanes count.
    COMMITS_PER_SECOND = 400

    def __init__(self) -> None:
        self._recent: dict[object, float] = {}

    def began(self, seat: object, now: float) -> None:
        self._recent.pop(seat, None)
        self._recent[seat] = now

    def gap(self, now: float) -> float:
        for seat, at in list(self._recent.items()):
            if now - at < 1.0:
                break
            del self._recent[seat]
        return len(self._recent) / self.COMMITS_PER_SECOND


@dataclass
class RejoinGuard:
    """Bounds how often fencing makes this worker ask the group again.

    Two workers that both believe to own a partition fence each other in turn; each asking at
    once would go on for ever. The pause doubles, and after too many the worker stops.
    """

    limit: int = 6
    window_s: float = 60.0
    pause_s: float = 0.2

    def __post_init__(self) -> None:
        self._asked: deque[float] = deque()
        self._lock = threading.Lock()

    def next_pause(self, now: float) -> float | None:
        """Seconds to wait before asking the group; `None` when it was asked too often."""
        with self._lock:
            while self._asked and now - self._asked[0] > self.window_s:
                self._asked.popleft()
            if len(self._asked) >= self.limit:
                return None
            pause: float = self.pause_s * 2 ** len(self._asked)
            self._asked.append(now)
            return pause
