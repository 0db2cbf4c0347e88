"""Options, figures and tables of all benchmarks.

Problem: figures must be comparable between runs, and traceable to each round. How: every round's
raw figures go into one JSON file beside a description of the machine; the terminal shows medians.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import signal
import statistics
import sys
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from importlib.metadata import version
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.table import Table

from benchmarks.processes import RunFailed
from streamsync.embedded import PlatformProblem

RESULTS = Path(__file__).parent / "results"
Figures = Mapping[str, Any]

_PACKAGES = ("faust-streaming", "aiokafka", "confluent-kafka", "rocksdict", "fastavro")
# Where nobody can widen a window, the tables decide how wide the output is.
_WIDTH = 150


@dataclass(frozen=True)
class Options:
    """What the command line says of one benchmark."""

    events: int
    rounds: int
    quick: bool
    profile: bool
    data_dir: Path | None
    results: Path
    only: tuple[str, ...]
    extra: Mapping[str, Any]


def parse(
    name: str,
    described: str,
    *,
    events: tuple[int, int],
    rounds: tuple[int, int] = (3, 1),
    extra: Mapping[str, tuple[float, float, str]] | None = None,
) -> Options:
    """The options, with a full and a quick default for each number."""
    parser = argparse.ArgumentParser(prog=f"python -m benchmarks.{name}", description=described)
    parser.add_argument("--events", type=int, help=f"Events to measure ({events[0]}).")
    parser.add_argument("--rounds", type=int, help=f"Interleaved rounds ({rounds[0]}).")
    parser.add_argument("--quick", action="store_true", help="One small round: does it run?")
    parser.add_argument("--profile", action="store_true", help="Say where the time goes.")
    parser.add_argument("--only", action="append", default=[], help="Only contenders named so.")
    parser.add_argument("--data-dir", type=Path, help="Folder for broker and state (temporary).")
    parser.add_argument("--results", type=Path, default=RESULTS / f"{name}.json")
    for option, (full, _, told) in (extra or {}).items():
        parser.add_argument(f"--{option}", type=type(full), help=f"{told} ({full}).")
    given = vars(parser.parse_args())
    quick = bool(given["quick"])

    def number(option: str, full: float, small: float) -> Any:
        chosen = given[option.replace("-", "_")]
        return chosen if chosen is not None else small if quick else full

    return Options(
        events=number("events", *events),
        rounds=number("rounds", *rounds),
        quick=quick,
        profile=bool(given["profile"]),
        data_dir=given["data_dir"],
        results=given["results"],
        only=tuple(given["only"]),
        extra={option: number(option, one[0], one[1]) for option, one in (extra or {}).items()},
    )


def run(benchmark: Callable[[Options], None], options: Options) -> None:
    """Run a benchmark; whatever ends it, what it started is ended with it."""
    signal.signal(signal.SIGTERM, lambda _number, _frame: sys.exit(128 + signal.SIGTERM))
    try:
        benchmark(options)
    except (RunFailed, PlatformProblem) as why:
        raise SystemExit(str(why)) from why


def machine() -> dict[str, Any]:
    """What the figures were taken on, without its name."""
    model = next(
        (
            line.partition(":")[2].strip()
            for line in Path("/proc/cpuinfo").read_text().splitlines()
            if line.startswith("model name")
        ),
        platform.machine(),
    )
    return {
        "cores": len(os.sched_getaffinity(0)),
        "processor": model,
        "memory_mb": os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") >> 20,
        "system": platform.system(),
        "python": platform.python_version(),
        "packages": {name: version(name) for name in _PACKAGES},
        "load_average": [round(load, 2) for load in os.getloadavg()],
    }


def medians(rounds: Sequence[Figures]) -> dict[str, Any]:
    """The median of every number over the rounds; of texts the first."""
    return {name: _median([one.get(name) for one in rounds]) for name in rounds[0]}


def _median(values: Sequence[Any]) -> Any:
    numbers = [value for value in values if isinstance(value, int | float)]
    return statistics.median(numbers) if numbers else values[0]


def save(
    options: Options, name: str, rounds: Sequence[Figures], summary: Any, before: Figures
) -> None:
    """Write all rounds and their summary as JSON; `before` is the machine when it began."""
    options.results.parent.mkdir(parents=True, exist_ok=True)
    content = {
        "benchmark": name,
        "taken_at": datetime.now(UTC).isoformat(timespec="seconds"),
        "machine": before,
        "options": {
            "events": options.events,
            "rounds": options.rounds,
            "quick": options.quick,
            **options.extra,
        },
        "summary": summary,
        "rounds": list(rounds),
    }
    options.results.write_text(json.dumps(content, indent=2) + "\n", encoding="utf-8")


def show(title: str, columns: Sequence[str], rows: Sequence[Sequence[Any]]) -> None:
    """A table on the terminal; the first column is text, the others are numbers."""
    table = Table(title=title, title_justify="left")
    for number, column in enumerate(columns):
        table.add_column(column, justify="right" if number else "left", no_wrap=not number)
    for row in rows:
        table.add_row(*(_text(cell) for cell in row))
    console = Console()
    if not console.is_terminal:
        console = Console(width=_WIDTH)
    console.print(table)


def say(line: str) -> None:
    """A line of progress."""
    print(line, flush=True)


def _text(cell: Any) -> str:
    if cell is None:
        return "–"
    if isinstance(cell, float):
        return f"{cell:,.0f}" if abs(cell) >= 1_000 else f"{cell:,.2f}"
    return f"{cell:,}" if isinstance(cell, int) else str(cell)
