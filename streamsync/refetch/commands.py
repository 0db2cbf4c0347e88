"""Command `refetch`: completes webhooks that hold only part of their object."""

from __future__ import annotations

import json
import os
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, NoReturn

import typer

if TYPE_CHECKING:
    from streamsync.refetch.process import Report

KEY = "STREAMSYNC_STRIPE_API_KEY"


def register(app: typer.Typer) -> None:
    """Add `refetch`."""
    app.command()(refetch)


def refetch(
    *,
    fees: Annotated[
        bool, typer.Option(help="Ask for the balance transactions of charges, for their fees.")
    ] = True,
    once: Annotated[bool, typer.Option(help="Stop at the end of what is stored now.")] = False,
    requests_per_second: Annotated[
        float, typer.Option(min=0.1, max=90, help="Budget of the billing system's API.")
    ] = 10.0,
    api_url: Annotated[
        str, typer.Option(help="Address of the API: api.stripe.com, or loopback for a stand-in.")
    ] = "https://api.stripe.com",
    url: Annotated[str | None, typer.Option(help="Address of the ingress.")] = None,
    bootstrap_servers: Annotated[str | None, typer.Option(help="Kafka brokers.")] = None,
    schema_registry_url: Annotated[str | None, typer.Option(help="Schema registry.")] = None,
    sources_file: Annotated[
        Path | None, typer.Option(help="Sources and where their secrets are (YAML).")
    ] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Summary as one JSON object.")] = False,
) -> None:
    """Complete stored webhooks that hold only part of their object, through the signed door.

    The API key is read from STREAMSYNC_STRIPE_API_KEY; a restricted key that may read invoices,
    credit notes, charges and balance transactions is enough.

    Example: STREAMSYNC_STRIPE_API_KEY=rk_live_... streamsync refetch --once
    """
    import logging  # noqa: PLC0415
    import signal  # noqa: PLC0415

    from streamsync.config import Settings  # noqa: PLC0415
    from streamsync.refetch.api import FetchFailed, StripeApi  # noqa: PLC0415
    from streamsync.refetch.process import run  # noqa: PLC0415
    from streamsync.sources.configured import SourcesInvalid, load_sources  # noqa: PLC0415

    logging.basicConfig(level=logging.WARNING, format="%(asctime)s %(levelname)s %(message)s")
    settings = Settings()
    key = os.environ.get(KEY, "")
    if not key:
        _fail(f"{KEY} is not set: set it to a restricted key of the billing system.", 2)
    try:
        sources = dict(load_sources(sources_file))
        api = StripeApi(key, api_url, requests_per_second)
    except (SourcesInvalid, FetchFailed) as error:
        _fail(str(error), 2)
    ended: list[int] = []
    for name in (signal.SIGINT, signal.SIGTERM):
        signal.signal(name, lambda number, _frame: ended.append(number))
    report = run(
        brokers=settings.brokers(bootstrap_servers),
        registry_url=schema_registry_url or settings.schema_registry_url,
        api=api,
        ingress_url=url or f"http://{settings.host}:{settings.ingress_port}",
        sources=sources,
        fees=fees,
        once=once,
        stopped=lambda: bool(ended),
    )
    api.close()
    typer.echo(_summary(report, api.requests, as_json))
    raise typer.Exit(1 if report.failures else 0)


def _summary(report: Report, requests: int, as_json: bool) -> str:
    if not as_json:
        return (
            f"{report.read} webhooks read, {report.completed} completed with {requests} requests, "
            f"{len(report.failures)} failed"
        )
    told = {
        "version": 1,
        "read": report.read,
        "completed": report.completed,
        "requests": requests,
        "failures": report.failures,
    }
    return json.dumps(told, sort_keys=True)


def _fail(text: str, status: int) -> NoReturn:
    typer.echo(text, file=sys.stderr)
    raise typer.Exit(status)
