"""`make bench-path`: the real topology with its real contracts, from webhook topic to command.

Problem: an engine that is fast on a toy may still be slow at the work it was made for. How: a
prepared installation gets all webhooks at once and is watched until nothing moves. The same records
then go through the in-memory driver: same steps, same codec, no broker. The difference in processor
time is what the engine costs a record and lane; the driver's own time is split into codec and the
rest. Every command must be there exactly once, and be the one that the driver made.
"""

from __future__ import annotations

import cProfile
import gc
import pstats
import tempfile
import time
from collections import Counter
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from benchmarks.installation import (
    PARTITIONS,
    Installation,
    Scenario,
    codec_name,
    installed,
)
from benchmarks.outcome import Options, machine, medians, parse, run, save, say, show
from benchmarks.processes import RunFailed
from streamsync.contracts import Contracts
from streamsync.engine.driver import Driver
from topology import build, ledger, topics

_WORKERS = (1, 2)
_PROFILED_LINES = 30


class TimedContracts:
    """Contracts that add up the processor time spent in them."""

    def __init__(self, contracts: Contracts) -> None:
        self._contracts = contracts
        self.spent_ns = 0

    def encode(self, record: Any) -> bytes:
        """As `Contracts.encode`."""
        began = time.thread_time_ns()
        data = self._contracts.encode(record)
        self.spent_ns += time.thread_time_ns() - began
        return data

    def decode(self, data: bytes) -> Any:
        """As `Contracts.decode`."""
        began = time.thread_time_ns()
        record = self._contracts.decode(data)
        self.spent_ns += time.thread_time_ns() - began
        return record


@dataclass(frozen=True)
class InMemory:
    """The same records through the driver."""

    cpu_s: float
    codec_s: float
    records: int
    commands: Counter[str]


def in_memory(contracts: Contracts, scenario: Scenario, profile: bool = False) -> InMemory:
    """Run the driver twice: once for its time, once with the codec's time taken apart."""
    driver, cpu_s = drive(contracts, scenario, None)
    if profile:
        profiler = cProfile.Profile()
        drive(contracts, scenario, profiler)
        say("\nWhere the steps spend their time, in memory (profiled, so slower):")
        pstats.Stats(profiler).sort_stats("tottime").print_stats(_PROFILED_LINES)
    timed = TimedContracts(contracts)
    drive(timed, scenario, None)
    commands = Counter(
        contracts.decode(record.value).command_id
        for topic in scenario.command_topics
        for record in driver.outputs(topic)
        if record.value is not None
    )
    records = len(scenario.webhooks) + len(driver.outputs(topics.LEDGER_LOG))
    return InMemory(cpu_s, timed.spent_ns / 1e9, records, commands)


def drive(
    codec: Any, scenario: Scenario, profiler: cProfile.Profile | None
) -> tuple[Driver, float]:
    """All webhooks of a scenario through a driver; the driver, and the seconds of its work."""
    tenant = scenario.company.tenant
    driver = Driver(build(codec, tenant=tenant, partitions=PARTITIONS, app_id="in-memory"))
    driver.produce(topics.CONTROL, None, scenario.rules)
    driver.produce(topics.CONTROL, None, scenario.tick)
    driver.run()
    for key, value in scenario.customers:
        driver.produce(topics.CUSTOMERS, key, value)
    driver.run()
    for webhook in scenario.webhooks:
        driver.produce(topics.BILLING_WEBHOOKS, webhook.key, webhook.value)
    if isinstance(codec, TimedContracts):
        codec.spent_ns = 0
    gc.collect()
    began = time.process_time()
    if profiler is not None:
        profiler.enable()
    driver.run()
    if profiler is not None:
        profiler.disable()
    return driver, time.process_time() - began


def commands_of(at: Installation) -> Counter[str]:
    """Every command that was committed, by its id."""
    return Counter(
        at.contracts.decode(message.value() or b"").command_id
        for topic in at.scenario.command_topics
        for message in at.broker.read(topic)
    )


def run_one(folder: Path, name: str, options: Options, workers: int) -> dict[str, Any]:
    """All webhooks through a fresh installation, and through the driver."""
    with installed(folder, name, options.events, workers) as at:
        scenario, count = at.scenario, len(at.scenario.webhooks)
        before = at.lane_records()
        starts = [worker.sample() for worker in at.workers]
        began = time.monotonic()
        at.broker.fill(topics.BILLING_WEBHOOKS, ((one.key, one.value) for one in scenario.webhooks))
        last = at.settle(Counter(webhooks=count))
        ended, ends = last.at_s, last.workers
        records = at.lane_records() - before
        cpu_s = sum(end.cpu_since(start) for start, end in zip(starts, ends, strict=True))
        alone = in_memory(at.contracts, scenario, options.profile and workers == 1)
        commands = commands_of(at)
    if commands != alone.commands:
        raise RunFailed(
            f"{commands.total()} commands were committed, {len(commands)} different ones; in "
            f"memory there are {alone.commands.total()}: no figure is taken from this run."
        )
    done = records["webhooks"] + records[ledger.LANE]
    return {
        "workers": workers,
        "codec": codec_name(at.contracts),
        "webhooks": count,
        "commands": commands.total(),
        "lane_records": done,
        "seconds": ended - began,
        "webhooks_per_s": count / (ended - began),
        "cpu_us_per_webhook": cpu_s / count * 1e6,
        "webhooks_per_core_s": count / cpu_s,
        "rss_mb": max(end.rss_mb for end in ends),
        "engine_us_per_record": (cpu_s - alone.cpu_s) / done * 1e6,
        "driver_us_per_webhook": alone.cpu_s / count * 1e6,
        "codec_us_per_webhook": alone.codec_s / count * 1e6,
        "logic_us_per_webhook": (alone.cpu_s - alone.codec_s) / count * 1e6,
    }


def tell(summary: list[dict[str, Any]], options: Options) -> None:
    """The tables."""
    show(
        f"Webhook topic to command, {summary[0]['webhooks']:,} webhooks, {PARTITIONS} partitions, "
        f"{summary[0]['codec']} codec, median of {options.rounds} rounds",
        (
            "workers", "commands", "webhooks/s", "worker CPU µs/webhook",
            "webhooks/s and worker core", "RSS MB of a worker",
        ),
        [
            (
                str(one["workers"]), one["commands"], one["webhooks_per_s"],
                one["cpu_us_per_webhook"], one["webhooks_per_core_s"], one["rss_mb"],
            )
            for one in summary
        ],
    )  # fmt: skip
    show(
        "Where the worker's processor time goes",
        (
            "workers", "codec µs/webhook", "steps and rows µs/webhook",
            "engine over the driver, µs/record and lane",
        ),
        [
            (
                str(one["workers"]), one["codec_us_per_webhook"], one["logic_us_per_webhook"],
                one["engine_us_per_record"],
            )
            for one in summary
        ],
    )  # fmt: skip


def _run(options: Options) -> None:
    before, rounds = machine(), []
    with tempfile.TemporaryDirectory(prefix="streamsync-bench-", dir=options.data_dir) as name:
        for number in range(1, options.rounds + 1):
            for workers in _WORKERS:
                one = run_one(Path(name), f"round-{number}-{workers}", options, workers)
                rounds.append({"round": number, **one})
                say(
                    f"round {number}, {workers} workers: {one['webhooks_per_s']:,.0f} webhooks/s, "
                    f"{one['cpu_us_per_webhook']:.0f} µs CPU each"
                )
    summary = [medians([one for one in rounds if one["workers"] == count]) for count in _WORKERS]
    tell(summary, options)
    save(options, "path", rounds, summary, before)


def main() -> None:
    """Run all rounds."""
    run(_run, parse("path", __doc__ or "", events=(60_000, 3_000)))


if __name__ == "__main__":
    main()
