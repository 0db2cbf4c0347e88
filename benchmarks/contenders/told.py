"""What every contender is told, and how it tells how far it is.

Problem: five programs in three environments must be started and measured alike. How: the same
options for all, and a line on standard output at the moments that count.
"""

from __future__ import annotations

import argparse
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

_LOOK_EVERY_S = 0.01
COUNT = "COUNT"


@dataclass(frozen=True)
class Told:
    """One run: what to read, where to write, and which events are only for warming up."""

    bootstrap_servers: str
    source: str
    output: str
    warm: int
    total: int
    work_dir: Path
    run: str
    codec: str
    standbys: int
    workers: int


def told() -> Told:
    """The options of this process."""
    parser = argparse.ArgumentParser()
    for name in ("bootstrap-servers", "source", "output", "run"):
        parser.add_argument(f"--{name}", required=True)
    parser.add_argument("--warm", type=int, required=True)
    parser.add_argument("--total", type=int, required=True)
    parser.add_argument("--work-dir", type=Path, required=True)
    parser.add_argument("--codec", default="fastavro")
    parser.add_argument("--standbys", type=int, default=0)
    parser.add_argument("--workers", type=int, default=1)
    return Told(**vars(parser.parse_args()))


def mark(name: str) -> None:
    """Tell the measuring process that a moment has come."""
    # A line of its own: Faust leaves its greeting without an end.
    print(f"\nMARK {name}", flush=True)


def tell_count(count: int) -> None:
    """Tell whoever started this one of several workers that so many more events are done."""
    print(f"\n{COUNT} {count}", flush=True)


def mark_active(active: Callable[[], int], word: str = "active") -> None:
    """Watch, in a thread, how many partitions are at work here, and tell of every change."""

    def watch() -> None:
        told = 0
        while True:
            now = active()
            if now != told:
                told = now
                mark(f"{word} {now}")
            time.sleep(_LOOK_EVERY_S)

    threading.Thread(target=watch, daemon=True).start()


class Meter:
    """Counts events and tells when the warm-up and the run are over. Safe in threads."""

    def __init__(self, warm: int, total: int) -> None:
        self._warm = warm
        self._total = total
        self._count = 0
        self._lock = threading.Lock()

    @property
    def done(self) -> bool:
        """Whether the last event was counted."""
        return self._count >= self._total

    def add(self, count: int) -> None:
        """So many more events are done."""
        with self._lock:
            before, self._count = self._count, self._count + count
            if before < self._warm <= self._count:
                mark("start")
            if before < self._total <= self._count:
                mark("end")
