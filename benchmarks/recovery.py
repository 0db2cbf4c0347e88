"""`make bench-recovery`: how long until a worker is back with all its rows.

Problem: state in memory and on a disk is worth as much as the way back to it. How: each contender
builds a state with one row per key, once, and is started twice in each round: with its disk, and
with nothing but its changelog. The time to be at work on all partitions is told for both; the
difference is the reading of the changelog, and gives rows a second. Slow contenders get fewer rows.
Fail-over is another measurement (`benchmarks.failover`), in the same run.
"""

from __future__ import annotations

import shutil
import tempfile
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from benchmarks import codecs, failover
from benchmarks.broker import Broker
from benchmarks.contenders.catalogue import KAFKA_STREAMS, Command, java, module, schemas
from benchmarks.outcome import Options, machine, medians, parse, run, save, say, show
from benchmarks.processes import Program, RunFailed
from benchmarks.workload import PARTITIONS, encode_event, events
from streamsync.embedded import EmbeddedPlatform

LANE = "lane"
PLAIN_FAUST = "plain-faust"
_WITHIN_S = 300.0
# Kafka Streams does not say good-bye: the group must have forgotten it before it starts again.
_FORGOTTEN_S = {KAFKA_STREAMS: 7.0}
_DIFFERENCE_MIN_S = 0.3
_ALL = f"active {PARTITIONS}"
_LABELS = {
    LANE: "streamsync lane",
    KAFKA_STREAMS: "Kafka Streams 4.3.1",
    PLAIN_FAUST: "plain Faust 0.15.3",
}
_SHARES = {LANE: 1, KAFKA_STREAMS: 1, PLAIN_FAUST: 100}


@dataclass(frozen=True)
class State:
    """One contender's state on the broker, and how to start a worker of it."""

    name: str
    run: str
    topic: str
    rows: int
    folder: Path
    bootstrap_servers: str

    @property
    def work_dir(self) -> Path:
        """Where the worker keeps its rows."""
        return self.folder / f"{self.run}-state"

    @contextmanager
    def worker(self) -> Iterator[Program]:
        """A worker that is ended with the context."""
        told = {
            "bootstrap-servers": self.bootstrap_servers,
            "source": self.topic,
            "output": f"{self.run}-postings",
            "warm": 1,
            "total": self.rows,
            "work-dir": self.work_dir,
            "run": self.run,
            **self._arguments(),
        }
        self.work_dir.mkdir(exist_ok=True)
        command = [*self._command(), *(f"--{option}={value}" for option, value in told.items())]
        program = Program(self.run, command, self.folder)
        try:
            yield program
            program.stop()
        finally:
            program.kill()

    def _command(self) -> Command:
        if self.name == KAFKA_STREAMS:
            return java()
        return module("lane" if self.name == LANE else "plain_faust")

    def _arguments(self) -> dict[str, str]:
        if self.name == KAFKA_STREAMS:
            return {"threads": "2", **schemas()}
        return {"codec": codecs.available()[0]}


def seconds_to_work(state: State) -> float:
    """From the start of the process until it works on all partitions."""
    time.sleep(_FORGOTTEN_S.get(state.name, 1.0))
    began = time.monotonic()
    with state.worker() as program:
        return program.wait_mark(_ALL, _WITHIN_S).at_s - began


def build(state: State) -> None:
    """Let the contender make its rows."""
    say(f"{_LABELS[state.name]} builds {state.rows:,} rows")
    with state.worker() as program:
        program.wait_mark("end", _WITHIN_S)
        # What is processed last is committed within a second or two.
        time.sleep(3)


def recover_once(state: State) -> dict[str, Any]:
    """Time to work with the disk and without it."""
    kept = seconds_to_work(state)
    shutil.rmtree(state.work_dir)
    wiped = seconds_to_work(state)
    return {
        "contender": state.name,
        "rows": state.rows,
        "with_disk_s": kept,
        "without_disk_s": wiped,
        # With few rows the difference is noise, and a rate would mean nothing.
        "rows_per_s": state.rows / (wiped - kept) if wiped - kept > _DIFFERENCE_MIN_S else None,
    }


def _fill(broker: Broker, rows: int) -> str:
    topic = f"rows-{rows}"
    say(f"Writing {rows:,} events, each of a key of its own, to {topic}")
    broker.create(topic)
    broker.fill(topic, ((key.encode(), encode_event(one)) for key, one in events(rows, rows)))
    return topic


def _built(broker: Broker, folder: Path, names: Sequence[str], options: Options) -> list[State]:
    wanted = {name: _rows(options, name) for name in names}
    filled = {rows: _fill(broker, rows) for rows in sorted(set(wanted.values()))}
    states = []
    for name, rows in wanted.items():
        state = State(name, f"recover-{name}", filled[rows], rows, folder, broker.bootstrap_servers)
        broker.create(f"{state.run}-postings")
        build(state)
        states.append(state)
    return states


def _rows(options: Options, name: str) -> int:
    if name not in _SHARES:
        raise RunFailed(f"There is no contender {name}; there are {', '.join(_SHARES)}.")
    return max(1_000, int(options.extra["rows"]) // _SHARES[name])


def _rounds(states: Sequence[State], options: Options) -> Iterator[dict[str, Any]]:
    for number in range(1, options.rounds + 1):
        for state in states:
            one = {"round": number, **recover_once(state)}
            say(
                f"round {number}: {_LABELS[state.name]}: {state.rows:,} rows, "
                f"{one['without_disk_s']:.1f} s to work without its disk, "
                f"{one['with_disk_s']:.1f} s with it"
            )
            yield one


def _run(options: Options) -> None:
    before, names = machine(), options.only or tuple(_LABELS)
    if KAFKA_STREAMS in names:
        java()
    with tempfile.TemporaryDirectory(prefix="streamsync-bench-", dir=options.data_dir) as name:
        folder = Path(name)
        with EmbeddedPlatform(folder, registry_port=None, say=say) as platform:
            broker = Broker(platform.bootstrap_servers)
            states = _built(broker, folder, names, options)
            rounds = list(_rounds(states, options))
            broker.delete_but([])
            failed_over = failover.measure(broker, folder, int(options.extra["state-mb"]))
    summary = [medians([one for one in rounds if one["contender"] == name]) for name in names]
    _tell(summary, options)
    failover.tell(failed_over, int(options.extra["state-mb"]))
    save(options, "recovery", rounds, {"recovery": summary, "fail_over": failed_over}, before)


def _tell(summary: list[dict[str, Any]], options: Options) -> None:
    show(
        f"Back at work, {PARTITIONS} partitions, median of {options.rounds} rounds",
        ("contender", "rows", "rows/s", "s to work, disk lost", "s to work, disk kept"),
        [
            (
                _LABELS[one["contender"]], one["rows"], one["rows_per_s"], one["without_disk_s"],
                one["with_disk_s"],
            )
            for one in summary
        ],
    )  # fmt: skip


def main() -> None:
    """Run all rounds."""
    extra = {
        "rows": (2_000_000, 20_000, "Rows of the state"),
        "state-mb": (1_024, 16, "Megabytes of the state that fails over"),
    }
    run(_run, parse("recovery", __doc__ or "", events=(0, 0), extra=extra))


if __name__ == "__main__":
    main()
