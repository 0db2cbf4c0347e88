"""`make bench-latency`: from the broker's acknowledgement of a webhook to its command.

Problem: throughput says nothing about how long one webhook waits, and averages hide the waits that
hurt. How: an open-loop load on a prepared installation, both lanes exactly-once; a command counts
as visible when a `read_committed` consumer has it. Percentiles are over every webhook of the
measured seconds that made a command, after a warm-up at the same rate. Beside them stand what the
worker uses with no load, and what a webhook costs on the broker's disk: bytes, and control records
of transactions.
"""

from __future__ import annotations

import math
import tempfile
import time
from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from benchmarks.installation import PARTITIONS, Installation, codec_name, installed
from benchmarks.load import Load, Watch
from benchmarks.outcome import Options, machine, medians, parse, run, save, say, show
from benchmarks.processes import RunFailed, sample, threads
from topology import topics

_STALL_S = 1.0
_PERCENTILES = (50, 95, 99)


def percentile(values: Sequence[float], percent: float) -> float:
    """The smallest value that so many percent of all do not exceed."""
    ordered = sorted(values)
    return ordered[max(0, math.ceil(len(ordered) * percent / 100) - 1)]


class Disk:
    """What the broker holds of each topic: bytes of its log, records, control records."""

    def __init__(self, at: Installation, folder: Path) -> None:
        changelogs = [f"streamsync-{lane}-changelog" for lane in ("webhooks", "ledger")]
        names = [topics.BILLING_WEBHOOKS, topics.LEDGER_LOG, *at.scenario.command_topics]
        self.bytes: Counter[str] = Counter()
        self.records: Counter[str] = Counter()
        self.control: Counter[str] = Counter()
        for topic in (*names, *changelogs):
            visible = sum(1 for _ in at.broker.read(topic))
            self.records[topic] = visible
            self.control[topic] = at.broker.ends(topic) - visible
            for log in (folder / "broker" / "kafka" / "log").glob(f"{topic}-[0-9]*/*.log"):
                self.bytes[topic] += log.stat().st_size

    def per_webhook(self, before: Disk, webhooks: int) -> dict[str, dict[str, float]]:
        """What has come since, by topic and webhook."""
        return {
            topic: {
                "bytes": (self.bytes[topic] - before.bytes[topic]) / webhooks,
                "records": (self.records[topic] - before.records[topic]) / webhooks,
                "control_records": (self.control[topic] - before.control[topic]) / webhooks,
            }
            for topic in self.records
        }


def idle(at: Installation, seconds: float) -> dict[str, float]:
    """What worker and broker use when nothing comes."""
    worker, broker = at.workers[0].pid, at.platform.kafka.pid or 0
    before = sample(worker), sample(broker)
    time.sleep(seconds)
    after = sample(worker), sample(broker)
    return {
        "idle_worker_percent": after[0].cpu_since(before[0]) / after[0].since(before[0]) * 100,
        "idle_broker_percent": after[1].cpu_since(before[1]) / after[1].since(before[1]) * 100,
        "worker_threads": threads(worker),
    }


def under_load(at: Installation, rate: float, warm_s: float) -> dict[str, Any]:
    """Send everything at the rate, and see when each command appears."""
    webhooks = at.scenario.webhooks
    load, watch = Load(at.broker), Watch(at.broker, at.scenario.command_topics)
    watch.start()
    worker, broker = at.workers[0], at.platform.kafka.pid or 0
    before = worker.sample(), sample(broker)
    load.send(webhooks, rate)
    after = worker.sample(), sample(broker)
    records = at.lane_records()["webhooks"]
    at.settle(Counter(webhooks=len(webhooks)))
    watch.stop()
    if load.acknowledged.failed:
        raise RunFailed(f"The broker refused webhooks: {load.acknowledged.failed[0]}.")
    waits = _waits(at, load, watch, int(rate * warm_s))
    return {
        "webhooks": len(webhooks),
        "measured_commands": len(waits),
        **{f"p{percent}_ms": percentile(waits, percent) * 1e3 for percent in _PERCENTILES},
        "max_ms": max(waits) * 1e3,
        "stalls_over_1s": sum(1 for wait in waits if wait > _STALL_S),
        "generator_late_ms": load.latest_s * 1e3,
        "behind_at_end": len(webhooks) - records,
        "worker_percent": after[0].cpu_since(before[0]) / after[0].since(before[0]) * 100,
        "broker_percent": after[1].cpu_since(before[1]) / after[1].since(before[1]) * 100,
        "rss_mb": after[0].rss_mb,
    }


def _waits(at: Installation, load: Load, watch: Watch, warm: int) -> list[float]:
    visible: dict[str, float] = {}
    for seen_at, value in watch.seen:
        visible.setdefault(at.contracts.decode(value).causation_event_id, seen_at)
    acknowledged = load.acknowledged.at_s
    warming = {webhook.event_id for webhook in at.scenario.webhooks[:warm]}
    waits = [
        seen_at - acknowledged[event_id]
        for event_id, seen_at in visible.items()
        if event_id not in warming
    ]
    if not waits:
        raise RunFailed("No command came of any webhook: measure longer, with --seconds.")
    return waits


def run_one(folder: Path, name: str, options: Options, rate: int) -> dict[str, Any]:
    """One rate on a fresh installation with one worker."""
    seconds, warm_s = options.extra["seconds"], options.extra["warm"]
    with installed(folder, name, int(rate * (seconds + warm_s)), workers=1) as at:
        at_rest = idle(at, options.extra["idle"])
        before = Disk(at, folder / name)
        figures = under_load(at, rate, warm_s)
        use = Disk(at, folder / name).per_webhook(before, figures["webhooks"])
        return {
            "rate": rate,
            "codec": codec_name(at.contracts),
            **figures,
            **at_rest,
            "bytes_per_webhook": sum(one["bytes"] for one in use.values()),
            "control_records_per_webhook": sum(one["control_records"] for one in use.values()),
            "by_topic": use,
        }


def tell(summary: list[dict[str, Any]], options: Options) -> None:
    """The tables."""
    show(
        f"Broker ack of a webhook to its command visible read_committed, {PARTITIONS} partitions, "
        f"one worker, {options.extra['seconds']} s, median of {options.rounds} rounds",
        (
            "webhooks/s", "p50 ms", "p95 ms", "p99 ms", "max ms", "over 1 s", "worker CPU %",
            "broker CPU %", "idle worker %", "bytes/webhook", "control records/webhook",
        ),
        [
            (
                str(one["rate"]), one["p50_ms"], one["p95_ms"], one["p99_ms"], one["max_ms"],
                int(one["stalls_over_1s"]), one["worker_percent"], one["broker_percent"],
                one["idle_worker_percent"], one["bytes_per_webhook"],
                one["control_records_per_webhook"],
            )
            for one in summary
        ],
    )  # fmt: skip
    for one in summary:
        show(
            f"What a webhook leaves on the broker's disk, at {one['rate']}/s",
            ("topic", "bytes", "records", "control records"),
            [
                (topic, use["bytes"], use["records"], use["control_records"])
                for topic, use in one["by_topic"].items()
            ],
        )


def _run(options: Options) -> None:
    before, rounds = machine(), []
    rates = [int(rate) for rate in options.only] or [200, 1_000]
    with tempfile.TemporaryDirectory(prefix="streamsync-bench-", dir=options.data_dir) as name:
        for number in range(1, options.rounds + 1):
            for rate in rates:
                one = run_one(Path(name), f"round-{number}-{rate}", options, rate)
                rounds.append({"round": number, **one})
                say(
                    f"round {number}, {rate}/s: p50 {one['p50_ms']:.0f}, p99 {one['p99_ms']:.0f}, "
                    f"max {one['max_ms']:.0f} ms"
                )
    summary = [medians([one for one in rounds if one["rate"] == rate]) for rate in rates]
    tell(summary, options)
    save(options, "latency", rounds, summary, before)


def main() -> None:
    """Run all rounds."""
    extra = {
        "seconds": (120, 8, "Seconds to measure at each rate"),
        "warm": (20, 4, "Seconds of load before"),
        "idle": (20, 3, "Seconds without load"),
    }
    run(_run, parse("latency", __doc__ or "", events=(0, 0), extra=extra))


if __name__ == "__main__":
    main()
