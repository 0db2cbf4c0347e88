"""Runs `streamsync demo` as a person would, on ports of its own, and reads what it exported."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import date
from pathlib import Path
from typing import Any

from streamsync.embedded.server import free_port
from tests.oracle.naive import recompute

ROOT = Path(__file__).parents[1]
COMPARED = ("events", "totals", "deferred", "mismatches", "trial_balance")
_PORTS = ("kafka", "registry", "ingress", "worker-web", "erp", "adapter")
_DEMO_SECONDS = 420


@dataclass
class Export:
    """The folder that `--export` wrote; every part can be touched before it is recomputed."""

    bodies: list[bytes]
    customers: list[dict[str, Any]]
    manifest: list[dict[str, Any]]
    report: dict[str, Any]

    @classmethod
    def read(cls, folder: Path) -> Export:
        """Everything in the folder."""

        def rows(name: str) -> list[dict[str, Any]]:
            text = (folder / name).read_text(encoding="utf-8")
            return [json.loads(line) for line in text.splitlines()]

        return cls(
            [row["body"].encode() for row in rows("webhooks.jsonl")],
            rows("customers.jsonl"),
            rows("manifest.jsonl"),
            json.loads((folder / "report.json").read_text(encoding="utf-8")),
        )

    def differing(self) -> list[str]:
        """Parts of the report that the naive recomputation does not confirm."""
        today = date.fromisoformat(self.report["today"])
        naive = recompute(self.bodies, self.customers, self.manifest, today=today)
        return [part for part in COMPARED if self.report[part] != naive[part]]


class Demo:
    """One run of `streamsync demo --once`."""

    def __init__(
        self,
        folder: Path,
        *options: str,
        ports: list[int] | None = None,
        environment: Mapping[str, str] | None = None,
    ) -> None:
        self.folder = folder / "demo"
        self.export_folder = folder / "export"
        self.log = folder / "demo.log"
        self.ports = ports or [free_port() for _ in _PORTS]
        command = [
            sys.executable, "-m", "streamsync", "demo", "--once",
            f"--data-dir={folder}", f"--export={self.export_folder}",
            *(f"--{name}-port={port}" for name, port in zip(_PORTS, self.ports, strict=True)),
            *options,
        ]  # fmt: skip
        with self.log.open("wb") as out:
            self.process = subprocess.Popen(
                command, cwd=ROOT, stdout=out, stderr=out, env={**os.environ, **(environment or {})}
            )

    def wait(self) -> int:
        """Its exit status."""
        try:
            return self.process.wait(_DEMO_SECONDS)
        except subprocess.TimeoutExpired:
            self.process.send_signal(signal.SIGTERM)
            self.process.wait(90)
            raise

    def wait_until(self, done: Callable[[], bool]) -> None:
        """Until something happens while it runs."""
        end = time.monotonic() + _DEMO_SECONDS
        while not done():
            if self.process.poll() is not None or time.monotonic() > end:
                raise AssertionError(self.said())
            time.sleep(0.1)

    def child(self, name: str) -> int | None:
        """The process id of a child that runs now."""
        try:
            return int(json.loads((self.folder / f"{name}.pid").read_text())["pid"])
        except (OSError, ValueError):
            return None

    def said(self) -> str:
        """What it printed."""
        return self.log.read_text(encoding="utf-8", errors="replace")

    def stop(self) -> int:
        """Ask it to end; its exit status."""
        if self.process.poll() is None:
            self.process.send_signal(signal.SIGINT)
        return self.process.wait(90)


def left_running(folder: Path) -> list[int]:
    """Processes that name a folder in their command line or environment."""
    found = []
    needle = str(folder).encode()
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit():
            try:
                told = (entry / "cmdline").read_bytes() + (entry / "environ").read_bytes()
                if needle in told:
                    found.append(int(entry.name))
            except OSError:
                continue
    return found
