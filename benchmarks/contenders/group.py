"""Workload W on a group of workers of this project, as it is scaled in production.

Problem: one Python process uses one core, and Kafka Streams in one process both of them. How: this
program starts `--workers` of `lane` with one app id, each with a folder of its own, adds up the
events that they say are committed, and ends them when it is ended. The measuring process takes
time and memory of all of them together.
"""

from __future__ import annotations

import signal
import subprocess
import sys
import threading
from typing import IO

from benchmarks.contenders.told import COUNT, Meter, told


def main() -> None:
    """Run until a signal."""
    options = told()
    meter = Meter(options.warm, options.total)
    children = []
    for number in range(options.workers):
        folder = options.work_dir / str(number)
        folder.mkdir()
        command = [sys.executable, "-m", "benchmarks.contenders.lane", *sys.argv[1:]]
        children.append(
            subprocess.Popen([*command, f"--work-dir={folder}"], stdout=subprocess.PIPE, text=True)
        )

    def end(_number: int, _frame: object) -> None:
        for child in children:
            child.terminate()

    signal.signal(signal.SIGTERM, end)
    readers = [threading.Thread(target=_add_up, args=(child.stdout, meter)) for child in children]
    for reader in readers:
        reader.start()
    for child in children:
        child.wait()
    for reader in readers:
        reader.join()


def _add_up(lines: IO[str], meter: Meter) -> None:
    for line in lines:
        word, _, count = line.partition(" ")
        if word == COUNT:
            meter.add(int(count))


if __name__ == "__main__":
    main()
