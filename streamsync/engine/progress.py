"""How far recovery is, for the log, the metrics and `/v1/partitions`.

Problem: somebody who waits for a worker wants to know whether it moves and when it will be back.
Offsets left are an upper bound of the rows left, since compaction and transaction markers leave
gaps; the time left is what they would take at the rate of the last seconds.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Callable
from dataclasses import dataclass

from streamsync.engine.changelog import Copy

log = logging.getLogger(__name__)

LOG_EVERY_S = 5.0
_TELL_EVERY_S = 0.5


@dataclass(frozen=True, slots=True)
class Left:
    """What one partition has before it; `seconds` is `None` while there is no rate yet."""

    rows: int
    seconds: float | None


class Progress:
    """The recovery of one lane; written by its thread, read by any."""

    def __init__(self, lane: str, tell: Callable[[int, Left], None]) -> None:
        self.lane = lane
        self.left: dict[int, Left] = {}
        self._tell = tell
        self._copies: dict[int, Copy] = {}
        self._total = 0
        self._rows_done = 0
        self._began = self._told = self._logged = time.monotonic()
        self._speed = 0.0
        self._rows_told = 0

    def began(self, partition: int, copy: Copy) -> None:
        """A partition's changelog is read from here on; a second time after a broken read."""
        earlier = self._copies.get(partition)
        if earlier is None:
            self._total += 1
        else:
            self._rows_done += earlier.rows_read
        self._copies[partition] = copy

    def done(self, partition: int) -> None:
        """A partition is complete."""
        self._rows_done += self._copies.pop(partition).rows_read
        self.left.pop(partition, None)
        self._tell(partition, Left(0, 0.0))

    def is_due(self) -> bool:
        """Whether it is time to tell again."""
        return time.monotonic() - self._told >= _TELL_EVERY_S

    def tell(self, waiting: int) -> None:
        """Tell, and from time to time log; `waiting`: partitions that are not fenced yet."""
        now = time.monotonic()
        rows = self.rows
        rate = (rows - self._rows_told) / (now - self._told)
        self._speed = rate if not self._speed else 0.7 * self._speed + 0.3 * rate
        self._told, self._rows_told = now, rows
        seconds = self.seconds_left
        for partition, copy in self._copies.items():
            left = self.left[partition] = Left(copy.remaining, seconds)
            self._tell(partition, left)
        if now - self._logged >= LOG_EVERY_S:
            self._logged = now
            self._log(rows, waiting)

    def ended(self) -> None:
        """Every partition is complete."""
        log.info(
            "Lane %s recovered %d partitions: %d changelog rows in %.1f s.",
            self.lane, self._total, self._rows_done, time.monotonic() - self._began,
        )  # fmt: skip

    @property
    def rows(self) -> int:
        """Rows read so far."""
        return self._rows_done + sum(copy.rows_read for copy in self._copies.values())

    @property
    def remaining(self) -> int:
        """Offsets that are left, over all partitions."""
        return sum(copy.remaining for copy in self._copies.values())

    @property
    def seconds_left(self) -> float | None:
        """Seconds until all partitions are complete, at the present rate."""
        return self.remaining / self._speed if self._speed > 1 else None

    def _log(self, rows: int, waiting: int) -> None:
        seconds, remaining = self.seconds_left, self.remaining
        log.info(
            "Lane %s recovers: %d of %d partitions left, %d rows read, at most %d to go (%d %%), "
            "%.0f rows/s, %s.%s",
            self.lane, len(self._copies), self._total, rows, remaining,
            100 * rows // max(1, rows + remaining), self._speed,
            "time left not known yet" if seconds is None else f"about {seconds:.0f} s left",
            f" {waiting} partitions wait for their earlier owner's end." if waiting else "",
        )  # fmt: skip
