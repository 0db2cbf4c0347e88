"""The demo's processes: started, watched, started again, and ended with the demo.

Problem: the demo shows an installation of ordinary processes, and one that dies in the middle must
change nothing. How: each child is the ordinary command in a session of its own with its own log
file; a task per child waits for its end and starts it again; one that keeps dying ends the demo
with the name of its log file. Pid and start time of each are kept beside its log, so that a run
after one that was killed ends exactly what that one left behind.
"""

from __future__ import annotations

import asyncio
import json
import logging
import os
import signal
import sys
import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

import aiohttp

from streamsync.demo.options import DemoError
from streamsync.embedded.server import start_time

log = logging.getLogger(__name__)
_READY_SECONDS = 90
_STOP_SECONDS = 30
_RESTARTS_MAX = 3
_LOG_LINES_SHOWN = 5


@dataclass(frozen=True, slots=True, kw_only=True)
class ChildSpec:
    """A command of `streamsync` to run; it is ready when `ready_url` answers 200."""

    name: str
    arguments: tuple[str, ...]
    environment: Mapping[str, str] = field(repr=False)
    ready_url: str


class Children:
    """The processes of one run."""

    def __init__(self, folder: Path, session: aiohttp.ClientSession) -> None:
        self._folder = folder
        self._session = session
        self._processes: dict[str, asyncio.subprocess.Process] = {}
        self._watches: list[asyncio.Task[None]] = []
        self._stopping = False
        self.restarts: dict[str, int] = {}
        self.failure: asyncio.Future[None] = asyncio.get_running_loop().create_future()

    def log_path(self, name: str) -> Path:
        """Where a child writes its log."""
        return self._folder / f"{name}.log"

    async def start(self, spec: ChildSpec) -> None:
        """Start a child and wait until it is ready."""
        await self._spawn(spec)
        self._watches.append(asyncio.create_task(self._watch(spec), name=spec.name))
        await self._until_ready(spec)

    async def stop(self) -> list[str]:
        """End all children, the last one started first; names those that had to be killed."""
        self._stopping = True
        killed = []
        for name, process in reversed(self._processes.items()):
            _signal(process, signal.SIGTERM)
            try:
                await asyncio.wait_for(process.wait(), _STOP_SECONDS)
            except TimeoutError:
                log.warning("%s did not end within %d s; see %s", name, _STOP_SECONDS,
                            self.log_path(name))  # fmt: skip
                _signal(process, signal.SIGKILL)
                await process.wait()
                killed.append(name)
        for watch in self._watches:
            watch.cancel()
        await asyncio.gather(*self._watches, return_exceptions=True)
        for name in self._processes:
            self._record(name).unlink(missing_ok=True)
        return killed

    async def _spawn(self, spec: ChildSpec) -> None:
        with self.log_path(spec.name).open("ab") as out:
            process = await asyncio.create_subprocess_exec(
                sys.executable,
                "-m",
                "streamsync",
                *spec.arguments,
                stdin=asyncio.subprocess.DEVNULL,
                stdout=out,
                stderr=out,
                env={**os.environ, **spec.environment},
                # A Ctrl-C at the terminal reaches the demo alone, which ends the children in order.
                start_new_session=True,
            )
        self._processes[spec.name] = process
        record = {"pid": process.pid, "started": start_time(process.pid)}
        self._record(spec.name).write_text(json.dumps(record), encoding="utf-8")

    def _record(self, name: str) -> Path:
        return self._folder / f"{name}.pid"

    async def _watch(self, spec: ChildSpec) -> None:
        while True:
            status = await self._processes[spec.name].wait()
            if self._stopping:
                return
            count = self.restarts.get(spec.name, 0) + 1
            self.restarts[spec.name] = count
            if count > _RESTARTS_MAX:
                self._fail(DemoError(f"{spec.name} ended {count} times. {self._tail(spec.name)}"))
                return
            log.warning("%s ended with %d: started again", spec.name, status)
            await self._spawn(spec)

    async def _until_ready(self, spec: ChildSpec) -> None:
        end = time.monotonic() + _READY_SECONDS
        while True:
            if self.failure.done():
                self.failure.result()
            try:
                async with self._session.get(spec.ready_url) as answer:
                    if answer.status == 200:
                        return
            except (aiohttp.ClientError, TimeoutError):
                pass
            if time.monotonic() > end:
                raise DemoError(
                    f"{spec.name} is not ready after {_READY_SECONDS} s. {self._tail(spec.name)}"
                )
            await asyncio.sleep(0.1)

    def _fail(self, error: DemoError) -> None:
        if not self.failure.done():
            self.failure.set_exception(error)

    def _tail(self, name: str) -> str:
        path = self.log_path(name)
        lines = path.read_text(encoding="utf-8", errors="replace").splitlines()
        shown = "\n".join(f"    {line}" for line in lines[-_LOG_LINES_SHOWN:])
        return f"Its log is {path}; it ends with:\n{shown}"


def _signal(process: asyncio.subprocess.Process, number: signal.Signals) -> None:
    try:
        process.send_signal(number)
    except ProcessLookupError:
        # It has just ended by itself, which is what is wanted.
        pass
