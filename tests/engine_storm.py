"""Random faults on a group of real workers, by seed; everything is read back and recomputed.

Each round deals some faults out over a stream of records, waits until all is settled, and lets
`Run.check` compare outputs, changelogs and totals with a naive fold of the input. What was
injected is counted: a round that injected or verified nothing fails.
"""

from __future__ import annotations

import random
import shutil
import signal
import subprocess
import time
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

from streamsync.embedded.server import Server
from tests.engine_run import READY_S, Run, Worker, wait_until

SESSION_S = 6.0
"""What `engine_toy` gives a worker before the group takes it for dead."""
PARTITIONS = 6
"""Two for each of three workers; the assignor gives a worker nothing of four."""
LANE_PARTITIONS = 2 * PARTITIONS + 1
# Less than the piece that RocksDB takes ahead for the log of each database where it can.
_DISK_MB = 8


@contextmanager
def small_disk(folder: Path) -> Iterator[bool]:
    """A file system of its own for a worker; false where nobody may mount one."""
    folder.mkdir(parents=True, exist_ok=True)
    command = ["mount", "-t", "tmpfs", "-o", f"size={_DISK_MB}m", "tmpfs", str(folder)]
    mounted = (
        shutil.which("mount") is not None
        and not subprocess.run(command, capture_output=True, check=False).returncode
    )
    try:
        yield mounted
    finally:
        if mounted:
            subprocess.run(["umount", "-l", str(folder)], check=True)


def fill(folder: Path) -> Path:
    """Take all the space that is left; gives the file to delete."""
    ballast = folder / "ballast"
    with ballast.open("wb", buffering=0) as file:
        for size in (1 << 20, 1 << 12):
            try:
                while True:
                    file.write(bytes(size))
            except OSError:
                continue
    return ballast


@dataclass
class Storm:
    """Three workers of one run, and what happens to them."""

    run: Run
    brokers: Sequence[Server]
    seed: int
    disks: bool
    happened: Counter[str] = field(default_factory=Counter)
    workers: list[Worker] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.random = random.Random(f"{self.seed}/storm")
        self.kinds: dict[str, Callable[[], None]] = {
            "killed": self._kill,
            "disk wiped": self._wipe,
            "stopped beyond its session": self._sleep,
            "asked to end": self._end,
            "broker killed": self._kill_broker,
        }
        if self.disks:
            self.kinds["disk full"] = self._fill_disk

    def start(self) -> None:
        self.workers = [self.run.worker(f"w{number}") for number in range(3)]
        self._wait_complete()

    def round(self, faults: Sequence[str]) -> None:
        """These faults, in a stream of records, and then everything is checked."""
        print(f"round with {', '.join(faults)}")
        # Nothing that a step can read, and nearly as much as a broker takes: dead letters.
        self.run.produce("numbers", 0, b"account-0", [None, b"x" * 900_000])
        for fault in faults:
            self._feed()
            time.sleep(self.random.random())
            self.kinds[fault]()
            self.happened[fault] += 1
            self._feed()
        self._wait_complete()
        self.run.wait_settled(120, explain=self._logs)
        assert self.run.check() > 0

    def deal(self, rounds: int, each: int) -> list[list[str]]:
        """Faults for so many rounds, every kind about as often as any other."""
        deck: list[str] = []
        while len(deck) < rounds * each:
            kinds = list(self.kinds)
            self.random.shuffle(kinds)
            deck += kinds
        return [deck[n * each : (n + 1) * each] for n in range(rounds)]

    def stop(self) -> None:
        for worker in self.workers:
            assert worker.stop() == 0, worker.log()[-3_000:]

    # -- the faults

    def _feed(self) -> None:
        self.run.feed(self.random.randint(50, 250), poison=self.random.randint(0, 1))

    def _start_again(self, worker: Worker) -> None:
        self.workers.remove(worker)
        self.workers.append(self.run.worker(worker.data_dir.name.rsplit("-", 1)[1]))

    def _kill(self) -> None:
        worker = self.random.choice(self.workers)
        worker.stop(how=signal.SIGKILL)
        self._feed()
        self._start_again(worker)

    def _wipe(self) -> None:
        worker = self.random.choice(self.workers)
        worker.stop(how=signal.SIGKILL)
        for inside in worker.data_dir.iterdir():
            shutil.rmtree(inside) if inside.is_dir() else inside.unlink()
        self._start_again(worker)

    def _sleep(self) -> None:
        worker = self.random.choice(self.workers)
        worker.process.send_signal(signal.SIGSTOP)
        end = time.monotonic() + SESSION_S + self.random.uniform(1, 5)
        while time.monotonic() < end:
            self._feed()
            time.sleep(1)
        worker.process.send_signal(signal.SIGCONT)

    def _end(self) -> None:
        worker = self.random.choice(self.workers)
        # One that has only just been started knows no signals yet.
        wait_until(lambda: worker.get("/v1/partitions")[0] != 0, 2 * READY_S, worker.log)
        assert worker.stop() == 0, worker.log()[-3_000:]
        self._feed()
        self._start_again(worker)

    def _kill_broker(self) -> None:
        broker = self.random.choice(self.brokers)
        broker.kill()
        time.sleep(self.random.uniform(0, 4))
        broker.restart()

    def _fill_disk(self) -> None:
        worker = self.random.choice(self.workers)
        wait_until(lambda: worker.get("/v1/partitions")[0] != 0, 2 * READY_S, worker.log)
        ballast = fill(worker.data_dir)
        self.run.feed(2_000)  # enough to need more than the last pages of the databases
        time.sleep(self.random.uniform(3, 6))
        assert worker.process.poll() is None, worker.log()[-3_000:]
        ballast.unlink()

    # -- what must come of it

    def _wait_complete(self) -> None:
        def complete() -> bool:
            assert all(worker.process.poll() is None for worker in self.workers), self._logs()
            owned = [worker.active() for worker in self.workers]
            return len(set().union(*owned)) == LANE_PARTITIONS

        wait_until(complete, 2 * READY_S, self._logs)

    def _logs(self) -> str:
        ended = [worker for worker in self.workers if worker.process.poll() is not None]
        return "\n".join(worker.log()[-3_000:] for worker in ended or self.workers)
