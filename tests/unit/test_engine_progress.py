"""What somebody is told who waits for a recovery: rows, rate and time left; and how it is ended."""

from __future__ import annotations

import asyncio
import logging
import time
from types import SimpleNamespace
from typing import Any

import pytest
from prometheus_client import CollectorRegistry

from streamsync.engine import runtime
from streamsync.engine.metrics import EngineMetrics
from streamsync.engine.progress import Left, Progress
from streamsync.engine.runtime import LaneRuntime

COPIES: Any = SimpleNamespace


def test_rows_rate_and_time_left_are_in_the_log_the_metrics_and_the_page(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """1,000 rows a second, of which 4,000 are left: 4 seconds."""
    caplog.set_level(logging.INFO)
    now = 100.0
    monkeypatch.setattr("streamsync.engine.progress.time.monotonic", lambda: now)
    metrics = EngineMetrics(CollectorRegistry())
    lane: Any = LaneRuntime.__new__(LaneRuntime)
    lane._lanes, lane.spec = SimpleNamespace(metrics=metrics), SimpleNamespace(name="ledger")
    progress = Progress("ledger", lane._tell_left)
    one = COPIES(rows_read=0, remaining=9_000)
    other = COPIES(rows_read=0, remaining=0)
    progress.began(0, one)
    progress.began(1, other)
    progress.done(1)
    assert not progress.is_due()
    now += 5
    one.rows_read, one.remaining = 5_000, 4_000
    assert progress.is_due()
    progress.tell(waiting=2)
    assert progress.left == {0: Left(4_000, 4.0)}
    labels = {"lane": "ledger", "partition": "0"}
    value = metrics.registry.get_sample_value
    assert value("streamsync_lane_recovery_left_offsets", labels) == 4_000
    assert value("streamsync_lane_recovery_left_seconds", {"lane": "ledger"}) == 4.0
    assert (
        "Lane ledger recovers: 1 of 2 partitions left, 5000 rows read, at most 4000 to go (55 %), "
        "1000 rows/s, about 4 s left. 2 partitions wait for their earlier owner's end."
    ) in caplog.text
    progress.done(0)
    assert progress.left == {}
    assert value("streamsync_lane_recovery_left_offsets", labels) == 0
    progress.ended()
    assert "Lane ledger recovered 2 partitions: 5000 changelog rows in 5.0 s." in caplog.text


async def test_a_release_waits_for_recoveries_and_commits_side_by_side(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """One after the other they would take longer than a worker has to end."""
    monkeypatch.setattr(runtime, "RELEASE_TIMEOUT_S", 0.4)

    class SlowSeat:
        async def release(self, timeout_s: float) -> None:
            await asyncio.sleep(timeout_s)

    lane: Any = LaneRuntime.__new__(LaneRuntime)
    lane._cancel = SimpleNamespace(set=lambda: None)
    lane._running = {asyncio.get_running_loop().create_future()}
    lane.seats, lane.recovering = {0: SlowSeat(), 1: SlowSeat()}, {2}
    lane.spec = SimpleNamespace(name="ledger")
    lane._lanes = SimpleNamespace(metrics=EngineMetrics(CollectorRegistry()))
    began = time.monotonic()
    await lane.release()
    assert 0.4 <= time.monotonic() - began < 0.75
    assert lane.seats == {} and lane.recovering == set()
