"""Programs under measurement: started, watched from outside, ended.

Problem: a program that measures itself forgets its children, its start or its last commit. How:
this process reads the other's marks from its standard output, and at each of them its clock, and
processor time and memory of it and all its descendants from the system. Linux only.
"""

from __future__ import annotations

import os
import queue
import signal
import subprocess
import threading
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

_TICKS_PER_S = os.sysconf("SC_CLK_TCK")
_ENDS_WITHIN_S = 40
ROOT = Path(__file__).parents[1]


class RunFailed(Exception):
    """A contender ended, hung or was wrong; the text has its last words."""


@dataclass(frozen=True)
class Sample:
    """A process tree at one moment: clock, processor seconds so far, highest resident memory."""

    at_s: float
    cpu_s: float
    rss_mb: float

    def cpu_since(self, earlier: Sample) -> float:
        """Processor seconds in between."""
        return self.cpu_s - earlier.cpu_s

    def since(self, earlier: Sample) -> float:
        """Seconds in between."""
        return self.at_s - earlier.at_s


def sample(pid: int) -> Sample:
    """A process and its descendants now."""
    pids = [pid, *_descendants(pid)]
    return Sample(time.monotonic(), sum(map(_cpu_s, pids)), sum(map(_peak_mb, pids)))


def _descendants(pid: int) -> list[int]:
    found: list[int] = []
    for listed in Path(f"/proc/{pid}/task").glob("*/children"):
        try:
            children = [int(child) for child in listed.read_text().split()]
        except OSError:
            continue
        for child in children:
            found += [child, *_descendants(child)]
    return found


def _cpu_s(pid: int) -> float:
    try:
        stat = Path(f"/proc/{pid}/stat").read_text()
    except OSError:
        return 0.0
    # The name may hold spaces and brackets; fields are counted after its last bracket. Own time
    # in user and system mode, then the same of children that have ended.
    fields = stat.rpartition(")")[2].split()
    return sum(int(field) for field in fields[11:15]) / _TICKS_PER_S


def _peak_mb(pid: int) -> float:
    try:
        status = Path(f"/proc/{pid}/status").read_text()
    except OSError:
        return 0.0
    peak = next((line for line in status.splitlines() if line.startswith("VmHWM:")), "VmHWM: 0 kB")
    return int(peak.split()[1]) / 1024


def threads(pid: int) -> int:
    """Threads of one process."""
    return len(os.listdir(f"/proc/{pid}/task"))


class Program:
    """A child process in a session of its own; its standard error goes to a log file."""

    def __init__(
        self,
        name: str,
        command: Sequence[str | Path],
        folder: Path,
        environment: Mapping[str, str] | None = None,
    ) -> None:
        self.name = name
        self.log_path = folder / f"{name}.log"
        self._marks: queue.Queue[tuple[str, Sample] | None] = queue.Queue()
        with self.log_path.open("wb") as log:
            self._process = subprocess.Popen(
                [str(part) for part in command],
                stdin=subprocess.DEVNULL,
                stdout=subprocess.PIPE,
                stderr=log,
                cwd=folder,
                env={**os.environ, "PYTHONPATH": str(ROOT), **(environment or {})},
                start_new_session=True,
            )
        threading.Thread(target=self._listen, daemon=True).start()

    @property
    def pid(self) -> int:
        """Process id."""
        return self._process.pid

    @property
    def alive(self) -> bool:
        """Whether it runs."""
        return self._process.poll() is None

    def sample(self) -> Sample:
        """The process tree now."""
        return sample(self.pid)

    def wait_mark(self, name: str, within_s: float) -> Sample:
        """Wait until the program prints `MARK name`."""
        end = time.monotonic() + within_s
        while True:
            try:
                told = self._marks.get(timeout=max(0.0, end - time.monotonic()))
            except queue.Empty:
                raise self.failed(f"no {name!r} within {within_s:.0f} s") from None
            if told is None:
                raise self.failed(f"ended without {name!r}")
            if told[0] == name:
                return told[1]

    def failed(self, why: str) -> RunFailed:
        """What went wrong, with the program's last words."""
        words = self.log_path.read_text(errors="replace")[-2_000:].strip()
        return RunFailed(f"{self.name}: {why}.\n{words}")

    def wait(self, within_s: float = _ENDS_WITHIN_S) -> None:
        """Wait for its own end."""
        try:
            self._process.wait(within_s)
        except subprocess.TimeoutExpired:
            raise self.failed(f"did not end within {within_s:.0f} s") from None

    def signal(self, number: signal.Signals) -> None:
        """Send a signal to the process, if it still runs."""
        if self.alive:
            self._process.send_signal(number)

    def stop(self) -> None:
        """End it in good order, by force if it takes too long."""
        self.signal(signal.SIGTERM)
        try:
            self._process.wait(_ENDS_WITHIN_S)
        except subprocess.TimeoutExpired:
            self.kill()

    def kill(self) -> None:
        """End it, and what it started, at once."""
        if self.alive:
            os.killpg(self.pid, signal.SIGKILL)
            self._process.wait()

    def _listen(self) -> None:
        assert self._process.stdout is not None
        for line in self._process.stdout:
            if line.startswith(b"MARK "):
                self._marks.put((line[5:].decode().strip(), self.sample()))
        self._marks.put(None)
