"""The simulated ERP as a process: token, chart file, server, stop on a signal.

Problem: its books must outlive it, and nobody without the token may write them. How: everything is
in the data folder; a missing token is made there, readable by its owner only, and is never shown.
"""

from __future__ import annotations

import asyncio
import json
import logging
import os
import secrets
import signal
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from aiohttp import web
from pydantic import ValidationError
from ruamel.yaml import YAML
from ruamel.yaml.error import YAMLError

from streamsync.erp.simulated.document import Chart, first_problem
from streamsync.erp.simulated.faults import Faults
from streamsync.erp.simulated.ledger import Ledger
from streamsync.erp.simulated.manifest import ManifestFile
from streamsync.erp.simulated.server import Server

log = logging.getLogger(__name__)
# A held request must not hold the process.
_STOP_HANDLERS_SECONDS = 1.0


class SimulatedErpError(Exception):
    """The process can't start; the text says why and what to do."""


@dataclass(frozen=True, slots=True, kw_only=True)
class SimulatedErp:
    """Options of the process."""

    host: str
    port: int
    data_dir: Path
    faults: Faults
    token: str | None = None
    chart: Path | None = None
    hold_seconds: float = 1.0


def token_in(data_dir: Path) -> str:
    """The token kept in the data folder, made at first use."""
    path = data_dir / "token"
    try:
        with os.fdopen(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w") as file:
            file.write(secrets.token_urlsafe(32))
        log.info("made a token for the simulated ERP: %s", path)
    except FileExistsError:
        pass
    return path.read_text(encoding="utf-8").strip()


def read_chart(path: Path) -> Chart:
    """The chart in a JSON file, or in the `chart.yaml` and `entities.yaml` of a company folder."""
    try:
        told = _company_chart(path) if path.is_dir() else json.loads(path.read_text("utf-8"))
        return Chart.model_validate(told)
    except OSError as error:
        place = error.filename or path
        raise SimulatedErpError(f"chart {place}: {error.strerror}; give a readable file") from None
    except ValidationError as error:
        raise SimulatedErpError(f"chart {path}: {first_problem(error)}") from None
    except YAMLError as error:
        raise SimulatedErpError(f"chart {path}: not YAML: {error}") from None
    except (ValueError, LookupError, TypeError, AttributeError) as error:
        raise SimulatedErpError(
            f"chart {path}: no chart of accounts ({type(error).__name__}: {error})"
        ) from None


def _company_chart(folder: Path) -> dict[str, Any]:
    yaml = YAML(typ="safe", pure=True)
    chart = yaml.load(folder / "chart.yaml")["chart"]
    entities = yaml.load(folder / "entities.yaml")["entities"]
    # An entity books in every currency that has a rate to its own.
    file = folder / "rates.yaml"
    rates = yaml.load(file)["rates"] if file.exists() else []
    return {
        "entities": [
            {
                "id": entity["id"],
                "functional_currency": entity["functional_currency"],
                "currencies": sorted(
                    {rate["from"] for rate in rates if rate["to"] == entity["functional_currency"]}
                ),
                "accounts": [
                    {"code": code, "name": name} for code, name in chart[entity["id"]].items()
                ],
            }
            for entity in entities
        ]
    }


async def serve(options: SimulatedErp) -> None:
    """Serve until a signal."""
    options.data_dir.mkdir(parents=True, exist_ok=True)
    ledger = Ledger(
        options.data_dir / "ledger.sqlite", options.faults, lambda: time.time_ns() // 1_000_000
    )
    try:
        if options.chart is not None:
            ledger.load_chart(read_chart(options.chart))
        server = Server(
            ledger,
            ManifestFile(options.data_dir / "manifest.jsonl"),
            options.token or token_in(options.data_dir),
            options.hold_seconds,
        )
        runner = web.AppRunner(
            server.application(), access_log=None, shutdown_timeout=_STOP_HANDLERS_SECONDS
        )
        await runner.setup()
        try:
            await _listen(runner, options)
        finally:
            await runner.cleanup()
    finally:
        ledger.close()


async def _listen(runner: web.AppRunner, options: SimulatedErp) -> None:
    site = web.TCPSite(runner, options.host, options.port)
    try:
        await site.start()
    except OSError as error:
        raise SimulatedErpError(
            f"port {options.port} on {options.host}: {error.strerror}; choose another with --port"
        ) from None
    log.info("simulated ERP on http://%s:%d", options.host, options.port)
    stop = asyncio.Event()
    for name in (signal.SIGINT, signal.SIGTERM):
        asyncio.get_running_loop().add_signal_handler(name, stop.set)
    await stop.wait()
