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
from typing import Annotated

import typer

TOKEN_VARIABLE = "STREAMSYNC_ERP_TOKEN"  # noqa: S105 - a name, no secret


def register(app: typer.Typer) -> None:
    """Add this package's commands."""
    app.command("erp-simulated")(erp_simulated)


def _wrong_use(message: str) -> typer.Exit:
    typer.echo(message, err=True)
    return typer.Exit(2)


def _log_lines() -> None:
    logging.basicConfig(
        level=logging.INFO, format="%(asctime)s %(levelname)s %(name)s: %(message)s"
    )


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
    data_dir: Annotated[Path, typer.Option(help="Folder for its books and its manifest.")],
    host: Annotated[
        str, typer.Option(envvar="STREAMSYNC_ERP_HOST", help="Address to listen on.")
    ] = "127.0.0.1",
    port: Annotated[
        int, typer.Option(envvar="STREAMSYNC_ERP_PORT", min=1, max=65535, help="Port.")
    ] = 18090,
    chart: Annotated[
        Path | None, typer.Option(help="JSON file with entities and accounts to load.")
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

    Example: streamsync erp-simulated --data-dir data/erp --chart chart.json --faults default
    """
    from streamsync.erp.simulated.faults import FaultsInvalid, read_faults
    from streamsync.erp.simulated.process import SimulatedErp, SimulatedErpError, serve

    _log_lines()
    try:
        options = SimulatedErp(
            host=host,
            port=port,
            data_dir=data_dir,
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
