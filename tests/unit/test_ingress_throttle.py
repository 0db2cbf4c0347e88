"""The rate of a source, in simulated time."""

from __future__ import annotations

from streamsync.ingress.throttle import Bucket

SECOND = 1_000_000_000


def test_a_burst_passes_and_then_the_rate_holds() -> None:
    bucket = Bucket(rate=10, burst=5, now_ns=0)
    assert [bucket.take(0) for _ in range(6)] == [0, 0, 0, 0, 0, 1]
    assert bucket.take(SECOND // 10) == 0
    assert bucket.take(SECOND // 10) == 1
    passed = sum(bucket.take(SECOND + at * SECOND // 1000) == 0 for at in range(10_000))
    assert passed == 5 + 99  # saved up during the pause, then ten a second for ten seconds


def test_the_wait_is_told_in_whole_seconds() -> None:
    bucket = Bucket(rate=1, burst=1, now_ns=0)
    assert bucket.take(0) == 0
    assert bucket.take(1) == 1


def test_a_clock_that_goes_back_gives_nothing_away() -> None:
    bucket = Bucket(rate=1, burst=1, now_ns=10 * SECOND)
    assert bucket.take(10 * SECOND) == 0
    assert bucket.take(0) == 1
    assert bucket.take(10 * SECOND) == 1
    assert bucket.take(11 * SECOND) == 0
