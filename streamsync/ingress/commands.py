"""Commands `ingress` and `ingest`: the door, and a way to push recorded events through it."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, NoReturn

import typer

if TYPE_CHECKING:
    from streamsync.ingress.ingest import IngestReport
    from streamsync.sources.delivery import Delivered

_SHOWN_FAILURES = 20


def register(app: typer.Typer) -> None:
    """Add `ingress` and `ingest`."""
    app.command()(ingress)
    app.command()(ingest)


def ingress(
    port: Annotated[int | None, typer.Option(help="Port to listen on.")] = None,
    host: Annotated[str | None, typer.Option(help="Address to listen on.")] = None,
    bootstrap_servers: Annotated[str | None, typer.Option(help="Kafka brokers.")] = None,
    schema_registry_url: Annotated[str | None, typer.Option(help="Schema registry.")] = None,
    sources_file: Annotated[
        Path | None, typer.Option(help="Sources and where their secrets are (YAML).")
    ] = None,
) -> None:
    """Take signed webhooks on POST /webhooks/SOURCE and store them in Kafka.

    Example: STREAMSYNC_STRIPE_SECRET=whsec_... streamsync ingress --port 18080
    """
    import asyncio  # noqa: PLC0415
    import logging  # noqa: PLC0415

    from streamsync.config import Settings  # noqa: PLC0415
    from streamsync.contracts.registry import IncompatibleSchema  # noqa: PLC0415
    from streamsync.ingress.process import CannotStart, IngressAddress, serve  # noqa: PLC0415
    from streamsync.ingress.storage import TopicDiffers  # noqa: PLC0415
    from streamsync.sources.configured import SourcesInvalid, load_sources  # noqa: PLC0415

    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(levelname)s %(message)s")
    settings = Settings()
    address = IngressAddress(
        host=host or settings.host,
        port=settings.ingress_port if port is None else port,
        brokers=settings.brokers(bootstrap_servers),
        registry_url=schema_registry_url or settings.schema_registry_url,
        tenant=settings.tenant,
        partitions=settings.partitions,
    )
    try:
        asyncio.run(serve(address, load_sources(sources_file)))
    except SourcesInvalid as error:
        _fail(str(error), 2)
    except (CannotStart, TopicDiffers, IncompatibleSchema) as error:
        _fail(str(error), 1)


def ingest(
    files: Annotated[list[Path], typer.Argument(help="Recorded events: .json or .jsonl.")],
    *,
    source: Annotated[str, typer.Option(help="Configured source that the events are of.")],
    url: Annotated[str | None, typer.Option(help="Address of the ingress.")] = None,
    sources_file: Annotated[
        Path | None, typer.Option(help="Sources and where their secrets are (YAML).")
    ] = None,
    patience: Annotated[int, typer.Option(help="Seconds to try again for one event.")] = 120,
    as_json: Annotated[bool, typer.Option("--json", help="Summary as one JSON object.")] = False,
) -> None:
    """Send recorded events through the ingress, signed, and report what became of each.

    Example: streamsync ingest events.jsonl --source stripe
    """
    import asyncio  # noqa: PLC0415

    from streamsync.config import Settings  # noqa: PLC0415
    from streamsync.ingress.ingest import ingest as send  # noqa: PLC0415
    from streamsync.sources.configured import SourcesInvalid, load_sources  # noqa: PLC0415
    from streamsync.sources.files import FilesInvalid, read_payload_files  # noqa: PLC0415

    settings = Settings()
    try:
        configured = load_sources(sources_file)
        # Read before the first is sent: a missing file must not leave half an import behind.
        events = list(read_payload_files(files))
    except (SourcesInvalid, FilesInvalid) as error:
        _fail(str(error), 2)
    if source not in configured:
        _fail(f"Source {source} is not configured; known: {', '.join(sorted(configured))}.", 2)
    base_url = url or f"http://{settings.host}:{settings.ingress_port}"
    with _Progress(len(events), quiet=as_json) as progress:
        report = asyncio.run(
            send(
                iter(events),
                base_url,
                configured[source],
                patience_s=patience,
                sent=progress.advance,
            )
        )
    _summary(report, as_json)
    raise typer.Exit(1 if report.failures else 0)


class _Progress:
    """A bar on a terminal; nothing elsewhere, where the summary is enough."""

    def __init__(self, total: int, quiet: bool) -> None:
        from rich.console import Console  # noqa: PLC0415
        from rich.progress import Progress  # noqa: PLC0415

        console = Console(stderr=True)
        self._bar = Progress(console=console, disable=quiet or not console.is_terminal)
        self._task = self._bar.add_task("events", total=total)

    def __enter__(self) -> _Progress:
        self._bar.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._bar.stop()

    def advance(self, place: str, delivered: Delivered) -> None:
        """One event is done."""
        self._bar.advance(self._task)


def _summary(report: IngestReport, as_json: bool) -> None:
    if as_json:
        failures = [
            {"place": place, "status": d.status, "reason": d.reason, "what_to_do": d.what_to_do}
            for place, d in report.failures
        ]
        counts = dict(sorted(report.counts.items()))
        told = {"version": 1, "events": report.events, "counts": counts, "failures": failures}
        typer.echo(json.dumps(told, sort_keys=True))
        return
    for place, delivered in report.failures[:_SHOWN_FAILURES]:
        status = f"{delivered.status} " if delivered.status else ""
        typer.echo(f"{place}: {status}{delivered.reason}. {delivered.what_to_do}", err=True)
    unshown = len(report.failures) - _SHOWN_FAILURES
    if unshown > 0:
        typer.echo(f"and {unshown} more; --json lists all", err=True)
    stored = report.counts["stored"]
    typer.echo(f"{report.events} events: {stored} stored, {report.events - stored} not stored")


def _fail(text: str, status: int) -> NoReturn:
    typer.echo(text, file=sys.stderr)
    raise typer.Exit(status)
