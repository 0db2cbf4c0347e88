"""Commands that run the topology: `worker` on Kafka, `journal` in memory.

Problem: the same code must serve operators and accountants. How: both commands build the one
topology; only what drives it differs.
"""

from __future__ import annotations

import json
from datetime import date, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from topology import period_commands, rules_commands

if TYPE_CHECKING:
    from topology import offline


def register(app: typer.Typer) -> None:
    """Add `worker`, `journal`, `replay` and `restate`."""
    app.command()(journal)
    app.command()(worker)
    rules_commands.register(app)
    period_commands.register(app)


def journal(
    events: Annotated[list[Path], typer.Argument(help="Payload files: .json or .jsonl.")],
    company: Annotated[Path, typer.Option(help="Company folder.")],
    source: Annotated[str, typer.Option(help="Source of what isn't canonical.")] = "stripe",
    output: Annotated[
        str, typer.Option("--format", help="table, jsonl, hledger or beancount.")
    ] = "table",
    through: Annotated[
        datetime | None,
        typer.Option(formats=["%Y-%m-%d"], help="Make releases up to this day."),
    ] = None,
    policy: Annotated[
        str | None,
        typer.Option(
            metavar="PROFILE",
            help="Accounting profile for all entities, in place of the company's policies.",
        ),
    ] = None,
    customers_from_events: Annotated[
        bool,
        typer.Option(
            "--customers-from-events",
            help="Treat every customer that the events name as known (no CRM at hand).",
        ),
    ] = False,
) -> None:
    """Print the journal that recorded events make, without a broker.

    Example: streamsync journal --company examples/acme --customers-from-events events.jsonl
    """
    from streamsync.governance import (  # noqa: PLC0415
        CompanyErrors,
        UnknownProfile,
        load_company,
        load_customers,
        load_rates,
    )
    from streamsync.sources import SOURCES  # noqa: PLC0415
    from streamsync.sources.files import FilesInvalid, read_payload_files  # noqa: PLC0415
    from topology import offline  # noqa: PLC0415

    if output not in ("table", "jsonl", "hledger", "beancount"):
        raise typer.BadParameter(
            f"{output!r} is no format: use table, jsonl, hledger or beancount."
        )
    if source not in SOURCES:
        raise typer.BadParameter(f"{source!r} is no source: use {', '.join(sorted(SOURCES))}.")
    try:
        rules = load_company(company, policy)
        customers = load_customers(company)
        rates = load_rates(company)
        payloads = list(read_payload_files(events))
    except UnknownProfile as error:
        raise typer.BadParameter(str(error), param_hint="--policy") from error
    except (CompanyErrors, FilesInvalid) as error:
        typer.echo(str(error), err=True)
        raise typer.Exit(1) from error
    made = offline.journal(
        rules,
        customers,
        payloads,
        source=source,
        through=_day(through),
        customers_from_events=customers_from_events,
        rates=rates,
    )
    _print(made, output)
    failed = any(made.counts[name] for name in ("rejected", "waiting", "unknown"))
    raise typer.Exit(1 if failed else 0)


def _print(made: offline.Journal, output: str) -> None:
    """The entries to standard output; what made none, and the counts, to standard error."""
    from topology import render  # noqa: PLC0415

    if output == "table":
        from rich.console import Console  # noqa: PLC0415

        Console().print(render.table(made.commands))
    else:
        for line in render.TEXTS[output](made.commands):
            typer.echo(line)
    for place, row in made.unposted:
        told = {
            "class": row.outcome,
            "reason": row.reason,
            "detail": row.detail,
            "type": row.event_type,
            "event_id": row.event_id,
            "position": place,
        }
        typer.echo(json.dumps(told), err=True)
    typer.echo(json.dumps({"counts": made.counts}), err=True)


def _day(moment: datetime | None) -> date | None:
    return moment.date() if moment is not None else None


def worker(
    web_port: Annotated[int | None, typer.Option(help="Port of the web views.")] = None,
    data_dir: Annotated[Path | None, typer.Option(help="Folder of this worker's state.")] = None,
    bootstrap_servers: Annotated[str | None, typer.Option(help="Kafka to use.")] = None,
    schema_registry_url: Annotated[str | None, typer.Option(help="Schema registry.")] = None,
    clock: Annotated[str | None, typer.Option(help="system or external.")] = None,
) -> None:
    """Run one worker of the group; start more for more throughput.

    Example: streamsync worker --web-port 16066 --data-dir data/worker-1
    """
    from streamsync.config import Settings  # noqa: PLC0415
    from streamsync.contracts import IncompatibleSchema, RegistryUnavailable  # noqa: PLC0415
    from topology.worker import run  # noqa: PLC0415

    given = {
        "worker_web_port": web_port,
        "data_dir": data_dir,
        "bootstrap_servers": bootstrap_servers,
        "schema_registry_url": schema_registry_url,
        "clock": clock,
    }
    chosen = {name: value for name, value in given.items() if value is not None}
    try:
        run(Settings.model_validate(Settings().model_dump() | chosen))
    except (IncompatibleSchema, RegistryUnavailable) as error:
        typer.echo(str(error), err=True)
        raise typer.Exit(1) from error
