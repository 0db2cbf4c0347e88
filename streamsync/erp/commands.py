"""Command lines of the ERP side: `erp-simulated` and `adapter`.

Problem: each process is started by hand, by the demo and by a container in the same way. How:
options fall back to `STREAMSYNC_*` variables; the ERP's token comes from the environment or a file,
never from the command line, where every user of the machine could read it.
"""

from __future__ import annotations

import asyncio
import logging
import os
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

if TYPE_CHECKING:
    from streamsync.erp.runner import Adapter

TOKEN_VARIABLE = "STREAMSYNC_ERP_TOKEN"  # noqa: S105 - a name, no secret


def register(app: typer.Typer) -> None:
    """Add this package's commands."""
    app.command("erp-simulated")(erp_simulated)
    app.command("adapter")(adapter)


def _wrong_use(message: str) -> typer.Exit:
    typer.echo(message, err=True)
    return typer.Exit(2)


def _log_lines() -> None:
    logging.basicConfig(
        level=logging.INFO, format="%(asctime)s %(levelname)s %(name)s: %(message)s"
    )
    # One line per request to the registry helps nobody.
    logging.getLogger("httpx").setLevel(logging.WARNING)


def _token(token_file: Path | None) -> str | None:
    if token_file is None:
        return os.environ.get(TOKEN_VARIABLE) or None
    try:
        token = token_file.read_text(encoding="utf-8").strip()
    except OSError as error:
        raise _wrong_use(f"--token-file {token_file}: {error.strerror}") from None
    if not token:
        raise _wrong_use(f"--token-file {token_file}: the file is empty; put the token into it")
    return token


def erp_simulated(
    data_dir: Annotated[
        Path | None,
        typer.Option(help="Its books and manifest; else erp-simulated in the data folder."),
    ] = None,
    host: Annotated[str | None, typer.Option(help="Address to listen on.")] = None,
    port: Annotated[
        int | None, typer.Option(min=1, max=65535, help="Port; else STREAMSYNC_ERP_PORT.")
    ] = None,
    chart: Annotated[
        Path | None, typer.Option(help="Chart of accounts: a JSON file, or a company folder.")
    ] = None,
    seed: Annotated[int, typer.Option(help="Picks the documents that are treated badly.")] = 1,
    faults: Annotated[
        str,
        typer.Option(
            help="none, default, or documents per 10000: no_answer=40,reject=40,alter=40,late=50."
        ),
    ] = "none",
    hold_seconds: Annotated[
        float, typer.Option(min=0, help="How long an unanswered request is held, then cut.")
    ] = 1.0,
    token_file: Annotated[
        Path | None,
        typer.Option(help=f"File with the bearer token; else {TOKEN_VARIABLE}, else made."),
    ] = None,
) -> None:
    """Run an ERP that keeps double-entry books and misbehaves by seed.

    Example: streamsync erp-simulated --chart examples/acme --seed 7 --faults default
    """
    from streamsync.config import Settings  # noqa: PLC0415
    from streamsync.erp.simulated.faults import FaultsInvalid, read_faults  # noqa: PLC0415
    from streamsync.erp.simulated.process import (  # noqa: PLC0415
        SimulatedErp,
        SimulatedErpError,
        serve,
    )

    _log_lines()
    settings = Settings()
    try:
        options = SimulatedErp(
            host=host or settings.host,
            port=port or settings.erp_port,
            data_dir=data_dir or settings.data_dir / "erp-simulated",
            faults=read_faults(faults, seed),
            token=_token(token_file),
            chart=chart,
            hold_seconds=hold_seconds,
        )
    except FaultsInvalid as error:
        raise _wrong_use(str(error)) from None
    try:
        asyncio.run(serve(options))
    except SimulatedErpError as error:
        typer.echo(str(error), err=True)
        raise typer.Exit(1) from None


def adapter(
    entity: Annotated[list[str], typer.Option(help="Entity to serve; may be repeated.")],
    erp: Annotated[str, typer.Option(help="ERP instance, as in the topic's name.")] = "sim",
    erp_url: Annotated[
        str | None, typer.Option(help="Address of the ERP; else the simulated one on loopback.")
    ] = None,
    token_file: Annotated[
        Path | None, typer.Option(help=f"File with the bearer token; else {TOKEN_VARIABLE}.")
    ] = None,
    bootstrap_servers: Annotated[str | None, typer.Option(help="Kafka bootstrap servers.")] = None,
    schema_registry_url: Annotated[str | None, typer.Option(help="Schema registry.")] = None,
    data_dir: Annotated[Path | None, typer.Option(help="Folder of the outbox.")] = None,
    host: Annotated[str | None, typer.Option(help="Address of the status page.")] = None,
    port: Annotated[
        int | None, typer.Option(min=1, max=65535, help="Port; else STREAMSYNC_ADAPTER_PORT.")
    ] = None,
    rate: Annotated[int, typer.Option(min=1, help="Documents per second and entity.")] = 200,
    concurrency: Annotated[int, typer.Option(min=1, help="Requests at once per entity.")] = 1,
    batch_size: Annotated[int, typer.Option(min=1, max=500, help="Documents per request.")] = 50,
    request_timeout: Annotated[
        float, typer.Option(min=0.1, help="Seconds until an answer counts as lost.")
    ] = 10.0,
    poll_seconds: Annotated[
        float, typer.Option(min=0.1, help="How often a parked document is asked for.")
    ] = 2.0,
    blackout: Annotated[
        list[str] | None,
        typer.Option(help="UTC window that only collects: 22:00-23:30 or 'sun 22:00-02:00'."),
    ] = None,
) -> None:
    """Post commands to an ERP and confirm what became of them.

    Example: streamsync adapter --erp sim --entity acme-us --entity acme-jp
    """
    from streamsync.config import Settings  # noqa: PLC0415
    from streamsync.erp.budget import BlackoutInvalid, Budget, read_windows  # noqa: PLC0415
    from streamsync.erp.runner import Adapter  # noqa: PLC0415

    _log_lines()
    settings = Settings()
    token = _token(token_file)
    if token is None:
        raise _wrong_use(f"no token for the ERP: set {TOKEN_VARIABLE} or give --token-file")
    try:
        windows = read_windows(blackout or [])
    except BlackoutInvalid as error:
        raise _wrong_use(str(error)) from None
    options = Adapter(
        erp=erp,
        entities=tuple(dict.fromkeys(entity)),
        data_dir=data_dir or settings.data_dir,
        brokers=settings.brokers(bootstrap_servers),
        host=host or settings.host,
        port=port or settings.adapter_port,
        budget=Budget(
            requests_per_second=rate,
            concurrency=concurrency,
            batch_size=batch_size,
            parked_poll_ms=int(poll_seconds * 1000),
            blackout=windows,
        ),
    )
    url = erp_url or f"http://127.0.0.1:{settings.erp_port}"
    registry = schema_registry_url or settings.schema_registry_url
    _run_adapter(options, url, token, request_timeout, registry)


def _run_adapter(
    options: Adapter, url: str, token: str, request_timeout: float, registry_url: str
) -> None:
    from streamsync.contracts import (  # noqa: PLC0415
        Contracts,
        IncompatibleSchema,
        RegistryUnavailable,
        SchemaRegistry,
    )
    from streamsync.erp.intake import IntakeError  # noqa: PLC0415
    from streamsync.erp.publisher import PublisherError  # noqa: PLC0415
    from streamsync.erp.runner import AdapterError, run  # noqa: PLC0415
    from streamsync.erp.simulated_client import SimulatedErpClient  # noqa: PLC0415

    try:
        contracts = Contracts(SchemaRegistry(registry_url))
        contracts.load_history()
        client = SimulatedErpClient(url, token, request_timeout)
        asyncio.run(run(options, client, contracts))
    except (
        AdapterError,
        IncompatibleSchema,
        IntakeError,
        PublisherError,
        RegistryUnavailable,
    ) as error:
        typer.echo(str(error), err=True)
        raise typer.Exit(1) from None
