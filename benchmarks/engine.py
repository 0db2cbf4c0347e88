"""`make bench-engine`: workload W on every engine, exactly-once, side by side.

Problem: "fast" is a ratio to what others do with the same events on the same cores. How: the
contenders take turns, round after round, each on topics and folders of its own; events a second
and processor time are taken between the end of the warm-up and the last event, memory is the
highest that the system saw. Slow contenders get fewer events, of the same kind. Every posting is
read back `read_committed`; one that is missing, doubled or wrong ends the benchmark.
"""

from __future__ import annotations

import pstats
import shutil
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from benchmarks.broker import Broker, check_outputs, fill_workload
from benchmarks.contenders.catalogue import KAFKA_STREAMS, Contender, contenders
from benchmarks.outcome import Options, machine, medians, parse, run, save, say, show
from benchmarks.processes import Program
from benchmarks.workload import KEYS, Digest
from streamsync.embedded import EmbeddedPlatform

_WITHIN_S = 900.0
_PROFILED_LINES = 25


@dataclass(frozen=True)
class Input:
    """A filled topic: its events, those of the warm-up included, and what they must come to."""

    topic: str
    warm: int
    total: int
    wanted: Digest


def fill(broker: Broker, events: int, shares: set[int]) -> dict[int, Input]:
    """One input topic for each share of the events; a quarter more is for warming up."""
    inputs = {}
    for share in sorted(shares):
        measured = max(1_000, events // share)
        warm = measured // 4
        topic = f"workload-{share}"
        say(f"Writing {warm + measured:,} events to {topic}")
        wanted = fill_workload(broker, topic, warm + measured, min(KEYS, measured))
        inputs[share] = Input(topic, warm, warm + measured, wanted)
    return inputs


def run_one(
    broker: Broker, contender: Contender, given: Input, folder: Path, profile: Path | None = None
) -> dict[str, Any]:
    """One contender once: started, measured, ended, checked."""
    name = f"{contender.name}-{time.time_ns() // 1_000_000 % 10**9}"
    output, work = f"{name}-postings", folder / name
    work.mkdir()
    broker.create(output)
    broker.create(f"{output}-changelog", config={"cleanup.policy": "compact"})
    told = {
        "bootstrap-servers": broker.bootstrap_servers,
        "source": given.topic,
        "output": output,
        "warm": given.warm,
        "total": given.total,
        "work-dir": work,
        "run": name,
        **contender.arguments,
    }
    environment = {} if profile is None else {"BENCHMARK_PROFILE": str(profile)}
    command = [*contender.command(), *(f"--{option}={value}" for option, value in told.items())]
    program = Program(name, command, folder, environment)
    try:
        start = program.wait_mark("start", _WITHIN_S)
        end = program.wait_mark("end", _WITHIN_S)
        if contender.ends:
            program.wait()
        else:
            program.stop()
    finally:
        program.kill()
    check_outputs(broker, output, given.wanted)
    shutil.rmtree(work, ignore_errors=True)
    measured = given.total - given.warm
    return {
        "contender": contender.name,
        "label": contender.label,
        "events": measured,
        "seconds": end.since(start),
        "events_per_s": measured / end.since(start),
        "cpu_s_per_100k": end.cpu_since(start) / measured * 100_000,
        "rss_mb": end.rss_mb,
    }


def summarise(rounds: list[dict[str, Any]], order: list[Contender]) -> list[dict[str, Any]]:
    """Medians by contender, with ratios to Kafka Streams within each round."""
    by_round = {
        number: next(
            (r for r in rounds if r["round"] == number and r["contender"] == KAFKA_STREAMS), None
        )
        for number in {one["round"] for one in rounds}
    }
    for one in rounds:
        reference = by_round[one["round"]]
        for figure in ("events_per_s", "cpu_s_per_100k", "rss_mb"):
            one[f"{figure}_ratio"] = reference and one[figure] / reference[figure]
    return [
        medians([one for one in rounds if one["contender"] == contender.name])
        for contender in order
    ]


def tell(summary: list[dict[str, Any]], options: Options) -> None:
    """The table."""
    show(
        f"Workload W, {options.events:,} events, median of {options.rounds} rounds",
        (
            "contender", "events", "events/s", "CPU-s/100k", "RSS MB",
            "× speed", "× CPU", "× memory of Kafka Streams",
        ),
        [
            (
                one["label"], one["events"], one["events_per_s"], one["cpu_s_per_100k"],
                one["rss_mb"], one["events_per_s_ratio"], one["cpu_s_per_100k_ratio"],
                one["rss_mb_ratio"],
            )
            for one in summary
        ],
    )  # fmt: skip


def main() -> None:
    """Run all rounds."""
    run(_run, parse("engine", __doc__ or "", events=(2_000_000, 50_000)))


def _run(options: Options) -> None:
    before, chosen = machine(), contenders(options.only)
    for contender in chosen:
        contender.command()
    rounds: list[dict[str, Any]] = []
    with tempfile.TemporaryDirectory(prefix="streamsync-bench-", dir=options.data_dir) as name:
        folder = Path(name)
        with EmbeddedPlatform(folder, registry_port=None, say=say) as platform:
            broker = Broker(platform.bootstrap_servers)
            inputs = fill(broker, options.events, {one.share for one in chosen})
            for number in range(1, options.rounds + 1):
                for contender in chosen:
                    one = run_one(broker, contender, inputs[contender.share], folder)
                    rounds.append({"round": number, **one})
                    say(
                        f"round {number}: {contender.label}: {one['events_per_s']:,.0f} events/s, "
                        f"{one['cpu_s_per_100k']:.2f} CPU-s/100k, {one['rss_mb']:.0f} MB"
                    )
                    broker.delete_but(given.topic for given in inputs.values())
            summary = summarise(rounds, chosen)
            tell(summary, options)
            save(options, "engine", rounds, summary, before)
            if options.profile:
                _profile(broker, chosen[0], inputs[chosen[0].share], folder)


def _profile(broker: Broker, contender: Contender, given: Input, folder: Path) -> None:
    target = folder / "profile"
    run_one(broker, contender, given, folder, target)
    say(f"\nWhere {contender.label} spends its main thread (profiled, so slower):")
    pstats.Stats(str(target)).sort_stats("tottime").print_stats(_PROFILED_LINES)


if __name__ == "__main__":
    main()
