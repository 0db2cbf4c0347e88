"""One server as a child process: started, watched, stopped, and never forgotten.

Problem: a JVM outlives a Python process that is killed, keeps its port and its data, and the next
start fails for no visible reason. How: each child runs in a process group of its own and its pid
and start time are written beside its data; the next start ends exactly that process, if it still
lives. A pid alone would not do: it may belong to somebody else by then.
"""

from __future__ import annotations

import json
import os
import secrets
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from pathlib import Path

from streamsync.embedded.problems import PlatformProblem

_STOPS_WITHIN_S = 20.0
_LOOK_EVERY_S = 0.05
_PORTS = (20_000, 32_000)
_PORTS_TRIED = 100
# What `free_port` has given out: its server may not listen yet when the next one is asked for.
_given: set[int] = set()


class Server:
    """A child JVM. `command` is made anew at each start; `answers` says whether it is ready."""

    def __init__(
        self,
        name: str,
        *,
        folder: Path,
        command: Callable[[], Sequence[str | Path]],
        answers: Callable[[], bool],
        ready_within_s: float = 120.0,
    ) -> None:
        self.name = name
        self._folder = folder
        self._command = command
        self._answers = answers
        self._ready_within_s = ready_within_s
        self._process: subprocess.Popen[bytes] | None = None

    @property
    def log_path(self) -> Path:
        """Where the child's output goes."""
        return self._folder / f"{self.name}.log"

    @property
    def pid(self) -> int | None:
        """Process id while it runs."""
        return self._process.pid if self.alive and self._process else None

    @property
    def alive(self) -> bool:
        """Whether the child runs."""
        return self._process is not None and self._process.poll() is None

    def launch(self) -> None:
        """Start the child without waiting for it."""
        self._folder.mkdir(parents=True, exist_ok=True)
        self.end_leftover()
        command = [str(part) for part in self._command()]
        with self.log_path.open("ab") as log:
            self._process = subprocess.Popen(  # noqa: S603 - made by us
                command,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=subprocess.STDOUT,
                cwd=self._folder,
                start_new_session=True,
            )
        pid = self._process.pid
        self._record.write_text(json.dumps({"pid": pid, "started": start_time(pid)}))

    def wait_ready(self) -> None:
        """Wait until the child answers; a child that ends or never answers is a problem."""
        end = time.monotonic() + self._ready_within_s
        while not self._answers():
            if not self.alive:
                raise PlatformProblem(f"{self.name} ended while it started: {self._last_words()}")
            if time.monotonic() > end:
                self.kill()
                raise PlatformProblem(
                    f"{self.name} did not answer within {self._ready_within_s:.0f} s: "
                    f"{self._last_words()}"
                )
            time.sleep(_LOOK_EVERY_S)

    def ask_to_stop(self) -> None:
        """Send SIGTERM, so that several servers can end side by side."""
        self._signal(signal.SIGTERM)

    def stop(self) -> None:
        """End the child in good order, by force if it takes too long."""
        process = self._process
        if process is None:
            return
        self._signal(signal.SIGTERM)
        try:
            process.wait(_STOPS_WITHIN_S)
        except subprocess.TimeoutExpired:
            self._signal(signal.SIGKILL)
            process.wait()
        self._forget()

    def kill(self) -> None:
        """End the child at once, as a crash would."""
        if self._process is not None:
            self._signal(signal.SIGKILL)
            self._process.wait()
            self._forget()

    def restart(self) -> None:
        """Start again on the same data and wait until it answers."""
        self.stop()
        self.launch()
        self.wait_ready()

    @property
    def _record(self) -> Path:
        return self._folder / f"{self.name}.pid"

    def _signal(self, number: signal.Signals) -> None:
        if self.alive and self._process:
            os.killpg(self._process.pid, number)

    def _forget(self) -> None:
        self._process = None
        self._record.unlink(missing_ok=True)

    def end_leftover(self) -> None:
        """End what an earlier start left behind when its parent was killed."""
        try:
            told = json.loads(self._record.read_text())
            pid, started = int(told["pid"]), str(told["started"])
        except (OSError, ValueError, KeyError, TypeError):
            return
        for number in (signal.SIGTERM, signal.SIGKILL):
            if start_time(pid) != started:
                break
            os.kill(pid, number)
            end = time.monotonic() + _STOPS_WITHIN_S
            while start_time(pid) == started and time.monotonic() < end:
                time.sleep(_LOOK_EVERY_S)
        self._record.unlink(missing_ok=True)

    def _last_words(self) -> str:
        try:
            text = self.log_path.read_text(errors="replace")
        except OSError:
            text = ""
        return f"{last_error(text)} (its log: {self.log_path})"


def last_error(output: str) -> str:
    """The line of a JVM's output that says why it ended: a stack trace's last lines do not."""
    lines = [line.strip() for line in output.splitlines() if line.strip()]
    errors = [line for line in lines if "ERROR" in line or "Exception" in line]
    return (errors or lines or ["it said nothing"])[-1][:300]


def start_time(pid: int) -> str | None:
    """When a process began, in the system's own words; nothing when it is gone or a zombie."""
    if sys.platform == "linux":
        try:
            stat = Path(f"/proc/{pid}/stat").read_text()
        except OSError:
            return None
        # The name may hold spaces and brackets; fields are counted after its last bracket.
        fields = stat.rpartition(")")[2].split()
        return None if fields[0] == "Z" else fields[19]
    told = subprocess.run(  # noqa: S603 - fixed arguments
        ["/bin/ps", "-o", "lstart=", "-p", str(pid)], capture_output=True, text=True, check=False
    )
    return told.stdout.strip() or None


def free_port() -> int:
    """A port of the loopback address that nothing uses now and that was not given out before.

    Below the ports that the system gives to outgoing connections: one of those could be taken by
    a client between this look and the server's start.
    """
    for _ in range(_PORTS_TRIED):
        # The system's own randomness: somebody's `random.seed` would make processes choose alike.
        port = _PORTS[0] + secrets.randbelow(_PORTS[1] - _PORTS[0])
        if port in _given:
            continue
        with socket.socket() as probe:
            try:
                probe.bind(("127.0.0.1", port))
            except OSError:
                continue
            _given.add(port)
            return port
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def require_free(port: int, what: str, option: str) -> None:
    """Refuse a port in use with the option that moves it."""
    with socket.socket() as probe:
        # Without it, connections of a server that has just ended would count as use.
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind(("127.0.0.1", port))
        except OSError as error:
            variable = "STREAMSYNC_" + option.removeprefix("--").replace("-", "_").upper()
            raise PlatformProblem(
                f"Port {port}, meant for {what}, is in use: free it, or choose another with "
                f"{option} (or {variable})."
            ) from error


def listening(port: int) -> bool:
    """Whether something accepts connections on a loopback port."""
    with socket.socket() as probe:
        probe.settimeout(0.5)
        return probe.connect_ex(("127.0.0.1", port)) == 0
