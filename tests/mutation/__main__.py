"""`python -m tests.mutation`: how many mutants of the core the tests kill."""

from __future__ import annotations

import argparse
import os
import random
import sys
import time
from collections import Counter
from pathlib import Path

import pytest
from hypothesis import settings

from tests.mutation.harness import ROOT, Harness, Verdict
from tests.mutation.mutants import Mutant, mutants_of

CORE = ROOT / "streamsync" / "core"
# What decides amounts, dates and what is posted. The rest of core/ is records, names and reasons,
# and the company's own data as it was read.
MODULES = (
    "adjustment",
    "booking",
    "books",
    "calendar",
    "closing",
    "contract",
    "document",
    "figures",
    "fx",
    "issue",
    "journal",
    "matching",
    "money",
    "ordering",
    "policy",
    "position",
    "posting",
    "rate",
    "receivables",
    "restoration",
    "revenue",
    "schedule",
    "standing",
    "template",
    "termination",
    "usage",
)
TESTS = (
    "tests/unit/test_core_*.py",
    "tests/unit/test_topology_*.py",
    "tests/property/test_core_*.py",
    "tests/property/test_topology_*.py",
    "tests/property/test_lifecycles.py",
    "tests/contract/test_published_figures_*.py",
)
WANTED_PERCENT = 85


def main() -> int:
    """Run a sample, or all; exit status 1 below the score that is wanted."""
    parser = argparse.ArgumentParser(
        prog="python -m tests.mutation",
        description=__doc__,
        epilog="Example: python -m tests.mutation --sample 200 --seed 7 --module journal",
    )
    parser.add_argument("--sample", type=int, default=0, help="so many mutants (default: all)")
    parser.add_argument("--seed", type=int, default=1, help="which ones (default 1)")
    parser.add_argument("--module", action="append", help="only modules whose name begins so")
    parser.add_argument("--seconds", type=float, default=20.0, help="tests of one mutant, together")
    parser.add_argument("--survivors", type=Path, help="write the survivors into this file")
    told = parser.parse_args()
    os.environ["STREAMSYNC_LIFECYCLES"] = "40"
    # The same examples for every mutant, however slow the machine.
    settings.register_profile("mutation", derandomize=True, deadline=None, database=None)
    settings.load_profile("mutation")
    mutants = chosen(told.module or MODULES, told.sample, told.seed)
    shown = Progress(len(mutants))
    harness = Harness(mutants, shown.show, told.seconds)
    files = sorted(str(path) for pattern in TESTS for path in ROOT.glob(pattern))
    options = [
        "-q",
        "-W",
        "ignore::pytest.PytestAssertRewriteWarning",
        "-p",
        "no:cacheprovider",
        "--no-header",
        *files,
    ]
    status = pytest.main(options, plugins=[harness])
    if len(harness.verdicts) < len(mutants):
        return int(status) or 1
    return report(harness.verdicts, told.seed, told.survivors)


def chosen(modules: tuple[str, ...] | list[str], sample: int, seed: int) -> list[Mutant]:
    """All mutants of the modules, or a sample by seed."""
    paths = sorted(
        path
        for path in CORE.rglob("*.py")
        if path.relative_to(CORE).as_posix().removesuffix(".py").startswith(tuple(modules))
    )
    found = [mutant for path in paths for mutant in mutants_of(path)]
    if sample and sample < len(found):
        found = random.Random(seed).sample(found, sample)
    return sorted(found, key=lambda mutant: (mutant.path, mutant.line, mutant.change))


class Progress:
    """A line now and then."""

    def __init__(self, total: int) -> None:
        self.total = total
        self.done = 0
        self.killed = 0
        self.began = time.monotonic()
        self.shown = 0.0

    def show(self, verdict: Verdict) -> None:
        """Count one; print every few seconds."""
        self.done += 1
        self.killed += verdict.outcome == "killed"
        now = time.monotonic()
        if now - self.shown > 10 or self.done == self.total:
            self.shown = now
            left = (now - self.began) / self.done * (self.total - self.done)
            print(
                f"{self.done}/{self.total} mutants, {self.killed} killed, {left:.0f} s left",
                file=sys.stderr,
                flush=True,
            )


def report(verdicts: list[Verdict], seed: int, survivors: Path | None) -> int:
    """Score by module, and what survived."""
    by_module: dict[str, Counter[str]] = {}
    for one in verdicts:
        name = one.mutant.path.relative_to(CORE).as_posix()
        by_module.setdefault(name, Counter())[one.outcome] += 1
    for name, counts in sorted(by_module.items()):
        print(f"{name:32} {_percent(counts):5.1f} % of {counts.total()}  {dict(counts)}")
    total = sum(by_module.values(), Counter[str]())
    score = _percent(total)
    print(f"killed {score:.1f} % of {total.total()} mutants (seed {seed}), {dict(total)}")
    if survivors is not None:
        survivors.write_text("".join(_line(one) for one in verdicts if one.outcome != "killed"))
    return 0 if score >= WANTED_PERCENT else 1


def _percent(counts: Counter[str]) -> float:
    return 100 * counts["killed"] / max(counts.total(), 1)


def _line(verdict: Verdict) -> str:
    mutant = verdict.mutant
    place = f"{mutant.path.relative_to(ROOT)}:{mutant.line}"
    return f"{verdict.outcome} {place} {mutant.function}: {mutant.change}\n"


if __name__ == "__main__":
    sys.exit(main())
