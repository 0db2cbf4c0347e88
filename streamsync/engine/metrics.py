"""What an operator sees of the engine, as Prometheus metrics."""

from __future__ import annotations

from contextlib import suppress

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram

_SECONDS = (0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0)


class EngineMetrics:
    """The engine's metrics in one registry; a process has one of these."""

    def __init__(self, registry: CollectorRegistry) -> None:
        self.registry = registry
        lane = ("lane",)
        partition = ("lane", "partition")
        self.records = Counter(
            "streamsync_lane_records", "Source records committed.", lane, registry=registry
        )
        self.outputs = Counter(
            "streamsync_lane_outputs", "Output records committed.", lane, registry=registry
        )
        self.loop_backs = Counter(
            "streamsync_lane_loop_backs", "Records to the lane's own topic.", lane,
            registry=registry,
        )  # fmt: skip
        self.poison = Counter(
            "streamsync_lane_poison_records", "Records dead-lettered by a step.", lane,
            registry=registry,
        )  # fmt: skip
        self.commits = Counter(
            "streamsync_lane_commits", "Commits by outcome.", ("lane", "outcome"),
            registry=registry,
        )  # fmt: skip
        self.commit_seconds = Histogram(
            "streamsync_lane_commit_seconds", "Seconds from the begin of a commit to its end.",
            lane, buckets=_SECONDS, registry=registry,
        )  # fmt: skip
        self.lag = Gauge(
            "streamsync_lane_lag_records", "Source offsets between position and end.", partition,
            registry=registry,
        )  # fmt: skip
        self.recovery_rows = Counter(
            "streamsync_lane_recovery_rows", "Changelog rows read by recoveries.", lane,
            registry=registry,
        )  # fmt: skip
        self.hanging = Counter(
            "streamsync_lane_hanging_transactions", "Transactions whose end the broker forgot, "
            "noticed at work.", lane, registry=registry,
        )  # fmt: skip
        self.recovery_left = Gauge(
            "streamsync_lane_recovery_left_offsets", "Changelog offsets that a recovery still has "
            "to read, at most that many rows.", partition, registry=registry,
        )  # fmt: skip
        self.recovery_seconds_left = Gauge(
            "streamsync_lane_recovery_left_seconds", "Seconds until a recovery ends, at its "
            "present rate.", lane, registry=registry,
        )  # fmt: skip
        self.standby_lag = Gauge(
            "streamsync_lane_standby_lag_offsets", "Changelog offsets that a warm copy is behind.",
            partition, registry=registry,
        )  # fmt: skip
        self.rejoins = Counter(
            "streamsync_group_rejoins", "Times this worker asked the group again after fencing.",
            registry=registry,
        )  # fmt: skip
        self.offset_errors = Counter(
            "streamsync_group_offset_errors", "Failed commits of the group's offsets, which are "
            "information only.", registry=registry,
        )  # fmt: skip
        self.ticks = Counter(
            "streamsync_clock_ticks", "Ticks that this worker wrote as leader.", registry=registry
        )

    def forget(self, lane: str, partition: int) -> None:
        """Show no more of a partition that this worker gave up."""
        for gauge in (self.lag, self.recovery_left, self.standby_lag):
            with suppress(KeyError):
                gauge.remove(lane, str(partition))
