"""Starts the processes of the ERP side for tests, and talks to the simulated ERP directly."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx

from streamsync.embedded.server import free_port

TOKEN = "test-token"
RUN = """
import typer
from streamsync.erp.commands import register
app = typer.Typer(pretty_exceptions_enable=False)
app.callback()(lambda: None)
register(app)
app()
"""


def chart_of(*entities: tuple[str, str]) -> dict[str, Any]:
    """A small chart for each entity and its currency."""
    return {
        "entities": [
            {
                "id": entity,
                "functional_currency": currency,
                "accounts": [{"code": code} for code in ("1100", "1200", "2400", "4000")],
            }
            for entity, currency in entities
        ]
    }


CHART = chart_of(("acme-us", "USD"), ("acme-jp", "JPY"))


def start(*arguments: str, token: str = TOKEN) -> subprocess.Popen[bytes]:
    """A process of the ERP side."""
    environment = {**os.environ, "STREAMSYNC_ERP_TOKEN": token}
    return subprocess.Popen([sys.executable, "-c", RUN, *arguments], env=environment)


def stop(process: subprocess.Popen[bytes]) -> int:
    """Ask it to end; its exit code."""
    process.terminate()
    return process.wait(timeout=40)


def wait_for(url: str, process: subprocess.Popen[bytes], seconds: float = 60) -> None:
    """Until the address answers."""
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        if process.poll() is not None:
            raise RuntimeError(f"the process ended with {process.returncode}")
        try:
            httpx.get(url, timeout=2)
            return
        except httpx.TransportError:
            time.sleep(0.05)
    raise RuntimeError(f"{url} does not answer")


@dataclass
class Erp:
    """A running simulated ERP."""

    url: str
    data_dir: Path
    process: subprocess.Popen[bytes]

    def call(
        self, path: str, body: Any = None, token: str | None = TOKEN
    ) -> tuple[int, dict[str, Any]]:
        """Status and JSON body of GET, or of POST when there is a body."""
        headers = {} if token is None else {"Authorization": f"Bearer {token}"}
        method = "GET" if body is None else "POST"
        answer = httpx.request(method, self.url + path, json=body, headers=headers, timeout=20)
        return answer.status_code, answer.json()

    def manifest(self) -> list[dict[str, Any]]:
        """The faults so far."""
        faults: list[dict[str, Any]] = self.call("/admin/manifest")[1]["faults"]
        return faults


@contextmanager
def simulated_erp(
    folder: Path, *options: str, port: int | None = None, chart: dict[str, Any] = CHART
) -> Iterator[Erp]:
    """A simulated ERP with a chart; the same folder again is the same books."""
    port = port or free_port()
    folder.mkdir(parents=True, exist_ok=True)
    chart_file = folder / "chart.json"
    chart_file.write_text(json.dumps(chart))
    arguments = ("--data-dir", str(folder), "--port", str(port), "--chart", str(chart_file))
    process = start("erp-simulated", *arguments, *options)
    try:
        url = f"http://127.0.0.1:{port}"
        wait_for(f"{url}/health", process)
        yield Erp(url, folder, process)
    finally:
        if process.poll() is None:
            stop(process)
