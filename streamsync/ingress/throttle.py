"""How many requests of one source pass in a second.

Problem: a source that replays a month in a minute must not push the others out. How: a token
bucket per source in integers; the time is passed in.
"""

from __future__ import annotations

_SECOND_NS = 1_000_000_000


class Bucket:
    """`rate` tokens a second, at most `burst` saved up; integer nanoseconds, so nothing drifts."""

    __slots__ = ("_burst_ns", "_cost_ns", "_credit_ns", "_seen_ns")

    def __init__(self, rate: int, burst: int, now_ns: int) -> None:
        self._cost_ns = _SECOND_NS // rate
        self._burst_ns = burst * self._cost_ns
        self._credit_ns = self._burst_ns
        self._seen_ns = now_ns

    def take(self, now_ns: int) -> int:
        """0 when a request may pass, else the whole seconds to wait."""
        passed = max(0, now_ns - self._seen_ns)
        self._seen_ns = max(self._seen_ns, now_ns)
        self._credit_ns = min(self._burst_ns, self._credit_ns + passed)
        if self._credit_ns >= self._cost_ns:
            self._credit_ns -= self._cost_ns
            return 0
        return -(-(self._cost_ns - self._credit_ns) // _SECOND_NS)
