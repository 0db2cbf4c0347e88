"""`make bench-recovery`: how long until a worker is back with all its rows.

Problem: state in memory and on a disk is worth as much as the way back to it. How: each contender
builds a state with one row per key, is stopped, and is started twice: with its disk, and with
nothing but its changelog. The time to be at work on all partitions is told for both; the difference
is the reading of the changelog, and gives rows a second. Then two workers share the state and one
is killed, or asked to end: how long until the other works on everything. Slow contenders get fewer
rows.
"""

from __future__ import annotations

import shutil
import signal
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from benchmarks import codecs
from benchmarks.broker import Broker
from benchmarks.contenders.catalogue import KAFKA_STREAMS, Command, java, module, schemas
from benchmarks.outcome import Options, machine, medians, parse, run, save, say, show
from benchmarks.processes import Program, RunFailed
from benchmarks.workload import PARTITIONS, encode_event, events
from streamsync.embedded import EmbeddedPlatform

LANE = "lane"
PLAIN_FAUST = "plain-faust"
_WITHIN_S = 900.0
_FORGOTTEN_S = 8.0
_DIFFERENCE_MIN_S = 0.3
_ALL = f"active {PARTITIONS}"
_HALF = f"active {PARTITIONS // 2}"
_LABELS = {
    LANE: "streamsync lane",
    KAFKA_STREAMS: "Kafka Streams 4.3.1",
    PLAIN_FAUST: "plain Faust 0.15.3",
}
_SHARES = {LANE: 1, KAFKA_STREAMS: 1, PLAIN_FAUST: 50}


@dataclass(frozen=True)
class State:
    """One contender's state on the broker, and how to start a worker of it."""

    name: str
    run: str
    topic: str
    rows: int
    folder: Path
    bootstrap_servers: str

    def worker(self, number: int) -> Program:
        """Start a worker on a folder of its own."""
        told = {
            "bootstrap-servers": self.bootstrap_servers,
            "source": self.topic,
            "output": f"{self.run}-postings",
            "warm": 1,
            "total": self.rows,
            "work-dir": self.work_dir(number),
            "run": self.run,
            **self._arguments(),
        }
        self.work_dir(number).mkdir(exist_ok=True)
        command = [*self._command(), *(f"--{option}={value}" for option, value in told.items())]
        return Program(f"{self.run}-{number}", command, self.folder)

    def work_dir(self, number: int) -> Path:
        """Where a worker keeps its rows."""
        return self.folder / f"{self.run}-{number}-state"

    def _command(self) -> Command:
        if self.name == KAFKA_STREAMS:
            return java()
        return module("lane" if self.name == LANE else "plain_faust")

    def _arguments(self) -> dict[str, str]:
        if self.name == KAFKA_STREAMS:
            return {"threads": "2", **schemas()}
        return {"codec": codecs.available()[0]}


@contextmanager
def running(state: State, number: int = 1) -> Iterator[Program]:
    """A worker that is ended with the context."""
    program = state.worker(number)
    try:
        yield program
        program.stop()
    finally:
        program.kill()


def seconds_to_work(state: State) -> float:
    """From the start of the process until it works on all partitions."""
    # The group must have forgotten the worker before: Kafka Streams does not say good-bye.
    time.sleep(_FORGOTTEN_S)
    began = time.monotonic()
    with running(state) as program:
        return program.wait_mark(_ALL, _WITHIN_S).at_s - began


def build(state: State) -> None:
    """Let the contender make its rows."""
    with running(state) as program:
        program.wait_mark("end", _WITHIN_S)
        # What is processed last is committed within a second or two.
        time.sleep(3)


def recover_one(state: State) -> dict[str, Any]:
    """Time to work with the disk and without it."""
    build(state)
    kept = seconds_to_work(state)
    shutil.rmtree(state.work_dir(1))
    wiped = seconds_to_work(state)
    return {
        "contender": state.name,
        "rows": state.rows,
        "with_disk_s": kept,
        "without_disk_s": wiped,
        # With few rows the difference is noise, and a rate would mean nothing.
        "rows_per_s": state.rows / (wiped - kept) if wiped - kept > _DIFFERENCE_MIN_S else None,
    }


def fail_over(state: State, how: signal.Signals) -> float:
    """From the end of one of two workers until the other works on everything."""
    first = state.worker(1)
    second: Program | None = None
    try:
        first.wait_mark(_ALL, _WITHIN_S)
        second = state.worker(2)
        second.wait_mark(_HALF, _WITHIN_S)
        time.sleep(2)
        began = time.monotonic()
        first.signal(how)
        return second.wait_mark(_ALL, _WITHIN_S).at_s - began
    finally:
        for program in (second, first):
            if program is not None:
                program.stop()


def _fill(broker: Broker, rows: int) -> str:
    topic = f"rows-{rows}"
    say(f"Writing {rows:,} events, each of a key of its own, to {topic}")
    broker.create(topic)
    broker.fill(topic, ((key.encode(), encode_event(one)) for key, one in events(rows, rows)))
    return topic


def _round(broker: Broker, folder: Path, filled: dict[int, str], options: Options) -> Iterator[
    dict[str, Any]
]:  # fmt: skip
    for name in options.only or _LABELS:
        rows = _rows(options, name)
        state = State(
            name=name,
            run=f"{name}-{time.time_ns() // 1_000_000 % 10**9}",
            topic=filled[rows],
            rows=rows,
            folder=folder,
            bootstrap_servers=broker.bootstrap_servers,
        )
        broker.create(f"{state.run}-postings")
        one = recover_one(state)
        if name == LANE:
            one["killed_s"] = fail_over(state, signal.SIGKILL)
            one["asked_to_end_s"] = fail_over(state, signal.SIGTERM)
        for number in (1, 2):
            shutil.rmtree(state.work_dir(number), ignore_errors=True)
        broker.delete_but(filled.values())
        yield one


def _rows(options: Options, name: str) -> int:
    if name not in _SHARES:
        raise RunFailed(f"There is no contender {name}; there are {', '.join(_SHARES)}.")
    return max(1_000, int(options.extra["rows"]) // _SHARES[name])


def _run(options: Options) -> None:
    before, rounds = machine(), []
    names = options.only or tuple(_LABELS)
    wanted = {_rows(options, name) for name in names}
    if KAFKA_STREAMS in names:
        java()
    with tempfile.TemporaryDirectory(prefix="streamsync-bench-", dir=options.data_dir) as name:
        with EmbeddedPlatform(Path(name), registry_port=None, say=say) as platform:
            broker = Broker(platform.bootstrap_servers)
            filled = {rows: _fill(broker, rows) for rows in sorted(wanted)}
            for number in range(1, options.rounds + 1):
                for one in _round(broker, Path(name), filled, options):
                    rounds.append({"round": number, **one})
                    say(
                        f"round {number}: {_LABELS[one['contender']]}: {one['rows']:,} rows, "
                        f"{one['without_disk_s']:.1f} s to work without its disk, "
                        f"{one['with_disk_s']:.1f} s with it"
                    )
    summary = [medians([one for one in rounds if one["contender"] == name]) for name in names]
    _tell(summary, options)
    save(options, "recovery", rounds, summary, before)


def _tell(summary: list[dict[str, Any]], options: Options) -> None:
    show(
        f"Back at work, {PARTITIONS} partitions, median of {options.rounds} rounds",
        (
            "contender", "rows", "rows/s", "s to work, disk lost", "s to work, disk kept",
            "s to fail over, killed", "s to fail over, asked to end",
        ),
        [
            (
                _LABELS[one["contender"]], one["rows"], one["rows_per_s"], one["without_disk_s"],
                one["with_disk_s"], one.get("killed_s"), one.get("asked_to_end_s"),
            )
            for one in summary
        ],
    )  # fmt: skip


def main() -> None:
    """Run all rounds."""
    extra = {"rows": (2_000_000, 20_000, "Rows of the state")}
    run(_run, parse("recovery", __doc__ or "", events=(0, 0), extra=extra))


if __name__ == "__main__":
    main()
