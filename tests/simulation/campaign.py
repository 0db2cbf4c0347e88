"""Run seeds, tell what failed and how to run it again, and refuse to call nothing a success.

Problem: a campaign that injected nothing or verified nothing passes for ever, and a failure that
can't be repeated is worthless. How: each run reports what happened in it and what was compared; a
failure carries seed, commit, options and the one command that repeats it.
"""

from __future__ import annotations

import os
import subprocess
import sys
import time
import traceback
from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass, field
from functools import lru_cache
from hashlib import sha256
from pathlib import Path

from tests.simulation import planted
from tests.simulation.books_checks import check_books
from tests.simulation.checks import check_engine
from tests.simulation.options import draw
from tests.simulation.world import World

_SEEDS_PER_TASK = 10


@dataclass(frozen=True, slots=True)
class Result:
    """One run: what was injected and compared, and what was wrong with it."""

    seed: int
    options: str
    happened: Mapping[str, int]
    compared: int
    digest: str
    seconds: float
    failure: str | None = None


@dataclass
class Summary:
    """All runs of a campaign."""

    runs: int = 0
    compared: int = 0
    seconds: float = 0.0
    happened: Counter[str] = field(default_factory=Counter)
    failures: list[str] = field(default_factory=list)

    def add(self, result: Result, given: Mapping[str, int], bug: str | None) -> None:
        """Count a run."""
        self.runs += 1
        self.compared += result.compared
        self.seconds += result.seconds
        self.happened.update(result.happened)
        if result.failure is not None:
            self.failures.append(told(result, given, bug))

    @property
    def sound(self) -> bool:
        """Whether the campaign passed, having injected and compared something."""
        return not self.failures and bool(self.runs and self.happened and self.compared)


def run_seed(seed: int, given: Mapping[str, int] | None = None, bug: str | None = None) -> Result:
    """One run, from its seed alone; `bug`: with the code broken on purpose."""
    began = time.perf_counter()
    options = draw(seed, given)
    failure, compared, digest = None, 0, ""
    happened: Mapping[str, int] = {}
    with planted.planted(bug):
        try:
            world = World(options)
            happened = world.faults.happened
            world.play()
            compared = check_books(world)
            compared += check_engine(world)
            digest = _digest(world)
            if not happened:
                failure = "nothing was injected"
            elif not compared:
                failure = "nothing was compared"
        except Exception as error:  # whatever it is, the seed must be told
            frames = traceback.extract_tb(error.__traceback__)
            last = next(frame for frame in reversed(frames) if frame.name != "expect")
            place = f"{Path(last.filename).name}:{last.lineno}"
            failure = f"{type(error).__name__} in {place}: {str(error)[:2000]}"
    seconds = time.perf_counter() - began
    return Result(seed, str(options), dict(happened), compared, digest, seconds, failure)


def _digest(world: World) -> str:
    """A fingerprint of everything that a run stored and wrote."""
    digest = sha256()
    for topic in sorted(world.driver.topics()):
        for record in world.driver.outputs(topic):
            digest.update(repr(record).encode())
    return digest.hexdigest()[:16]


def told(result: Result, given: Mapping[str, int], bug: str | None = None) -> str:
    """A failure as an operator needs it: what, in which code, and how to see it again."""
    extra = "".join(f" --set {name}={value}" for name, value in given.items())
    extra += f" --plant {bug}" if bug else ""
    return (
        f"seed {result.seed} at commit {commit()}: {result.failure}\n"
        f"  options: {result.options}\n"
        f"  happened: {dict(result.happened)}\n"
        f"  again: python -m tests.simulation --seed {result.seed}{extra}"
    )


@lru_cache(maxsize=1)
def commit() -> str:
    """The commit of this tree, marked if something is changed."""
    made = subprocess.run(
        ["git", "describe", "--always", "--dirty", "--abbrev=12"],
        cwd=Path(__file__).parent,
        capture_output=True,
        text=True,
        check=False,
    )
    return made.stdout.strip() or "unknown"


def _run_seeds(seeds: Sequence[int], given: Mapping[str, int], bug: str | None) -> list[Result]:
    return [run_seed(seed, given, bug) for seed in seeds]


def run(
    seeds: Iterable[int],
    *,
    given: Mapping[str, int] | None = None,
    bug: str | None = None,
    jobs: int = 1,
    until_failure: bool = False,
    progress: Callable[[Summary], None] | None = None,
) -> Summary:
    """Run seeds in so many processes and sum up."""
    summary = Summary()
    given = given or {}
    all_seeds = list(seeds)
    tasks = [
        all_seeds[at : at + _SEEDS_PER_TASK] for at in range(0, len(all_seeds), _SEEDS_PER_TASK)
    ]
    if jobs == 1:
        for seed in all_seeds:
            summary.add(run_seed(seed, given, bug), given, bug)
            if progress:
                progress(summary)
            if until_failure and summary.failures:
                return summary
        return summary
    with ProcessPoolExecutor(jobs) as pool:
        waiting = [pool.submit(_run_seeds, task, given, bug) for task in tasks]
        for task in waiting:
            for result in task.result():
                summary.add(result, given, bug)
            if progress:
                progress(summary)
            if until_failure and summary.failures:
                pool.shutdown(cancel_futures=True)
                return summary
    return summary


def progress_line(total: int) -> Callable[[Summary], None]:
    """Print rate and time left: in place on a terminal, now and then elsewhere."""
    began = time.monotonic()
    shown = 0.0

    def show(summary: Summary) -> None:
        nonlocal shown
        now = time.monotonic()
        live = sys.stderr.isatty()
        if summary.runs < total and now - shown < (0.2 if live else 10.0):
            return
        shown = now
        rate = summary.runs / max(now - began, 1e-9)
        text = (
            f"{summary.runs}/{total} seeds, {rate:.1f}/s, "
            f"{(total - summary.runs) / rate:.0f} s left, {len(summary.failures)} failed"
        )
        end = "\n" if not live or summary.runs == total else "\r"
        print(text, end=end, file=sys.stderr, flush=True)

    return show


def cores() -> int:
    """Processes to use."""
    return max(1, min(os.cpu_count() or 1, 8))
