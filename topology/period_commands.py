"""Commands of whoever closes the books: `periods` shows, `close` and `reopen` change a status.

Problem: the status of a period decides where everything posts, and must come from a person who may
decide it, approved by another. How: the last word on the control topic is read, the change is
checked against it, published behind it, and read back; of two people at once the first one wins.
"""

from __future__ import annotations

import getpass
import json
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer
from msgspec import structs

if TYPE_CHECKING:
    from streamsync.core.company import Company
    from streamsync.core.records import PeriodStatus

_Company = Annotated[
    Path, typer.Option(help="Company folder: its entities and ledgers.", exists=True)
]
_Entity = Annotated[str, typer.Argument(help="Id of the entity.")]
_Period = Annotated[str, typer.Argument(help="The month, as 2026-01.")]
_By = Annotated[
    str | None, typer.Option(help="Who changes it; else the user who runs the command.")
]
_Approved = Annotated[str, typer.Option(help="Who approved it: another person.")]
_Json = Annotated[bool, typer.Option("--json", help="One JSON object on standard output.")]
_Servers = Annotated[str | None, typer.Option(help="Kafka; else STREAMSYNC_BOOTSTRAP_SERVERS.")]
_Registry = Annotated[
    str | None, typer.Option(help="Registry; else STREAMSYNC_SCHEMA_REGISTRY_URL.")
]


def register(app: typer.Typer) -> None:
    """Add `periods`, `close` and `reopen`."""
    app.command()(periods)
    app.command()(close)
    app.command()(reopen)


def periods(
    company: _Company,
    entity: Annotated[str | None, typer.Option(help="Only this entity.")] = None,
    as_json: _Json = False,
    bootstrap_servers: _Servers = None,
    schema_registry_url: _Registry = None,
) -> None:
    """Show every period that was ever closed; one that is not shown is open.

    Example: streamsync periods --company examples/acme --entity acme-us
    """
    from streamsync.governance import load_company  # noqa: PLC0415
    from streamsync.governance.commands import connect, in_sentences  # noqa: PLC0415

    with in_sentences():
        rules = load_company(company)
        if entity is not None:
            _ledger(rules, entity)
        found = connect(bootstrap_servers, schema_registry_url).periods(rules.tenant)
    told = [one for _, one in sorted(found.items()) if entity in (None, one.entity)]
    if as_json:
        shown = [structs.asdict(one) for one in told]
        typer.echo(json.dumps({"schema_version": 1, "periods": shown}))
        return
    for one in told:
        typer.echo(_sentence(one))
    if not told:
        typer.echo("All periods are open.")


def close(
    entity: _Entity,
    period: _Period,
    company: _Company,
    approved_by: _Approved,
    soft: Annotated[
        bool, typer.Option("--soft", help="Still takes what thresholds.yaml names.")
    ] = False,
    changed_by: _By = None,
    reason: Annotated[str | None, typer.Option(help="Why, for the record.")] = None,
    as_json: _Json = False,
    bootstrap_servers: _Servers = None,
    schema_registry_url: _Registry = None,
) -> None:
    """Close a period of an entity: what comes for it later posts in the next open one.

    Example: streamsync close acme-us 2026-01 --company examples/acme --approved-by ben
    """
    people = (changed_by or getpass.getuser(), approved_by)
    status = "soft_closed" if soft else "closed"
    where = (bootstrap_servers, schema_registry_url)
    _change(company, (entity, period, status, reason), people, where, as_json=as_json)


def reopen(
    entity: _Entity,
    period: _Period,
    company: _Company,
    approved_by: _Approved,
    reason: Annotated[str, typer.Option(help="Why it is opened again.")],
    changed_by: _By = None,
    as_json: _Json = False,
    bootstrap_servers: _Servers = None,
    schema_registry_url: _Registry = None,
) -> None:
    """Open a closed period again; what waited for an open period may post there.

    Example: streamsync reopen acme-us 2026-01 --company examples/acme --approved-by ben
    --reason "audit adjustment 7"
    """
    people = (changed_by or getpass.getuser(), approved_by)
    where = (bootstrap_servers, schema_registry_url)
    _change(company, (entity, period, "reopened", reason), people, where, as_json=as_json)


def _change(
    company: Path,
    asked: tuple[str, str, str, str | None],
    people: tuple[str, str],
    where: tuple[str | None, str | None],
    *,
    as_json: bool,
) -> None:
    from streamsync.core.period_status import changed  # noqa: PLC0415
    from streamsync.core.records import PeriodStatus  # noqa: PLC0415
    from streamsync.governance import load_company  # noqa: PLC0415
    from streamsync.governance.commands import connect, in_sentences  # noqa: PLC0415

    entity, period, status, reason = asked
    with in_sentences():
        rules = load_company(company)
        wanted = PeriodStatus(
            tenant=rules.tenant,
            entity=entity,
            ledger=_ledger(rules, entity),
            period=period,
            status=status,
            version=0,
            changed_by=people[0],
            approved_by=people[1],
            reason=reason,
        )
        broker = connect(*where)
        broker.create_topics()
        known = broker.periods(rules.tenant).get((entity, wanted.ledger, period))
        told = changed(known, wanted)
        if told is not None:
            broker.publish([told], ())
    shown = told or known or wanted
    if as_json:
        one = {"schema_version": 1, "changed": told is not None, "period": structs.asdict(shown)}
        typer.echo(json.dumps(one))
    else:
        typer.echo(_sentence(shown) + ("" if told is not None else " It was before."))


def _sentence(told: PeriodStatus) -> str:
    people = told.changed_by + (f", approved by {told.approved_by}" if told.approved_by else "")
    why = f" ({told.reason})" if told.reason else ""
    where = f"{told.entity} {told.ledger} {told.period}"
    return f"{where} is {told.status}, version {told.version}, by {people}{why}."


def _ledger(rules: Company, entity: str) -> str:
    found = next((one.ledger for one in rules.entities if one.id == entity), None)
    if found is None:
        known = ", ".join(one.id for one in rules.entities)
        raise typer.BadParameter(f'"{entity}" is no entity of {rules.tenant}: use {known}.')
    return found
