"""Commands for rules that concern what is already booked: `replay` shows, `restate` does it.

Problem: a change of rules over old documents must be seen, approved and paced. How: `replay` runs
recorded events by both rules and prints the journal difference; `restate` publishes a job that
moves the documents in its scope to a version of the rules that is in force.
"""

from __future__ import annotations

import getpass
import json
from collections.abc import Sequence
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer
from msgspec import Struct, structs

if TYPE_CHECKING:
    from streamsync.core.company import Company
    from streamsync.core.records import Customer, RawWebhook, ReferenceData
    from streamsync.governance.broker import Broker
    from topology.replay import Replay

_Servers = Annotated[str | None, typer.Option(help="Kafka; else STREAMSYNC_BOOTSTRAP_SERVERS.")]
_Registry = Annotated[
    str | None, typer.Option(help="Registry; else STREAMSYNC_SCHEMA_REGISTRY_URL.")
]
_Day = Annotated[datetime | None, typer.Option(formats=["%Y-%m-%d"], help="Last accounting date.")]
_Json = Annotated[bool, typer.Option("--json", help="One JSON object on standard output.")]
_FIRST, _LAST = "1900-01-01", "9999-12-31"


def register(app: typer.Typer) -> None:
    """Add `replay` and `restate`."""
    app.command()(replay)
    app.command()(restate)


def replay(
    rules: Annotated[Path, typer.Option(help="Folder with the new rules.")],
    events: Annotated[
        list[Path] | None, typer.Argument(help="Payload files; else what the broker keeps.")
    ] = None,
    company: Annotated[
        Path | None, typer.Option(help="Folder with the rules in force; else those published.")
    ] = None,
    source: Annotated[str, typer.Option(help="Billing system of payload files.")] = "stripe",
    from_: Annotated[
        datetime | None,
        typer.Option("--from", formats=["%Y-%m-%d"], help="First accounting date to compare."),
    ] = None,
    to: _Day = None,
    through: Annotated[
        datetime | None,
        typer.Option(formats=["%Y-%m-%d"], help="Make releases up to this day."),
    ] = None,
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="Show only; `restate` does it, once approved.")
    ] = False,
    as_json: _Json = False,
    bootstrap_servers: _Servers = None,
    schema_registry_url: _Registry = None,
) -> None:
    """Show what new rules would change in the journal, by entity, period and account.

    Exit status 0: nothing, 3: something. Example: streamsync replay --company examples/acme
    --rules new-rules --dry-run events.jsonl
    """
    from topology import replay as replays  # noqa: PLC0415

    if not dry_run:
        raise typer.BadParameter(
            "replay only shows: add --dry-run. To change what is booked, apply the rules and "
            "publish a job with `streamsync restate`."
        )
    given = _given(rules, company, events or (), source, (bootstrap_servers, schema_registry_url))
    made = replays.replay(
        given.old,
        given.new,
        given.customers,
        given.webhooks,
        rates=given.rates,
        through=through.date() if through else None,
        between=(_iso(from_, _FIRST), _iso(to, _LAST)),
    )
    _print(made, given.old, given.new, as_json=as_json)
    if made.differences:
        raise typer.Exit(3)


class _Given(Struct, frozen=True):
    """What is replayed."""

    old: Company
    new: Company
    rates: ReferenceData | None
    webhooks: list[RawWebhook]
    customers: Sequence[Customer]


def _given(
    rules: Path,
    company: Path | None,
    events: Sequence[Path],
    source: str,
    servers: tuple[str | None, str | None],
) -> _Given:
    """Both rules and the events: from files, or as the broker keeps them."""
    from streamsync.governance import (  # noqa: PLC0415
        CompanyErrors,
        load_company,
        load_customers,
        load_rates,
    )
    from streamsync.governance.commands import in_sentences  # noqa: PLC0415
    from streamsync.sources.files import FilesInvalid, read_payload_files  # noqa: PLC0415
    from topology import offline  # noqa: PLC0415

    try:
        new = load_company(rules)
        rates = load_rates(rules)
        if not events:
            with in_sentences():
                return _kept(_broker(*servers), new, company, rates)
        if company is None:
            raise typer.BadParameter("name the rules in force: --company.")
        webhooks = [
            offline.raw(new.tenant, source, body) for _, body in read_payload_files(list(events))
        ]
        customers = load_customers(company) or offline.customers_of(webhooks)
        return _Given(load_company(company), new, rates, webhooks, customers)
    except (CompanyErrors, FilesInvalid) as error:
        typer.echo(str(error), err=True)
        raise typer.Exit(1) from error


def _kept(
    broker: Broker, new: Company, company: Path | None, rates: ReferenceData | None
) -> _Given:
    """Rules, rates, webhooks and customers as the broker keeps them."""
    from streamsync.governance import load_company  # noqa: PLC0415
    from streamsync.governance.payload import from_payload  # noqa: PLC0415
    from topology import topics  # noqa: PLC0415

    state = broker.control_state(new.tenant)
    if company is not None:
        old = load_company(company)
    elif state.latest is not None:
        old = from_payload(state.latest.payload)
    else:
        raise typer.BadParameter("no rules are published: name the rules in force: --company.")
    webhooks, customers = broker.billing(topics.BILLING_WEBHOOKS, new.tenant)
    return _Given(old, new, rates or state.rates, webhooks, customers)


def _print(made: Replay, old: Company, new: Company, *, as_json: bool) -> None:
    from streamsync.core.money import format_minor  # noqa: PLC0415

    if as_json:
        told = {
            "schema_version": 1,
            "rules_before": {"ruleset": old.ruleset, "version": old.version},
            "rules_after": {"ruleset": new.ruleset, "version": new.version},
            "differences": [
                structs.asdict(one) | {"change_minor": one.change_minor} for one in made.differences
            ],
            "counts_before": made.counts_before,
            "counts_after": made.counts_after,
        }
        typer.echo(json.dumps(told))
        return
    if not made.differences:
        typer.echo("The journals are the same.")
    for one in made.differences:
        before, after, change = (
            format_minor(amount, one.currency)
            for amount in (one.before_minor, one.after_minor, one.change_minor)
        )
        typer.echo(
            f"{one.entity} {one.period} {one.account} {one.role}: {before} -> {after} "
            f"{one.currency} ({change})"
        )
    changed = {
        name: (made.counts_before[name], count)
        for name, count in made.counts_after.items()
        if made.counts_before[name] != count
    }
    for name, (was, now) in changed.items():
        typer.echo(f"source records {name}: {was} -> {now}")


def restate(
    job: Annotated[str, typer.Option(help="Name of the job; the same name is the same job.")],
    tenant: Annotated[str, typer.Option(help="Tenant.")],
    rules_version: Annotated[int, typer.Option(help="Version of the rules to rebook by.")],
    approved_by: Annotated[str, typer.Option(help="Who approved the job: another person.")],
    prepared_by: Annotated[
        str | None, typer.Option(help="Who prepared it; else the user who runs the command.")
    ] = None,
    from_: Annotated[
        datetime | None,
        typer.Option("--from", formats=["%Y-%m-%d"], help="First accounting date in scope."),
    ] = None,
    to: _Day = None,
    entity: Annotated[str | None, typer.Option(help="Only this entity.")] = None,
    budget: Annotated[
        int, typer.Option(help="Documents per tick and partition, at most 500.")
    ] = 100,
    as_json: _Json = False,
    bootstrap_servers: _Servers = None,
    schema_registry_url: _Registry = None,
) -> None:
    """Rebook old documents by a version of the rules that is in force, so many per tick.

    Progress: /v1/restatements of any worker. Example: streamsync restate --tenant acme
    --job 2026-q1-even --rules-version 2 --from 2026-01-01 --prepared-by ana --approved-by ben
    """
    from streamsync.core.company import RestatementJob  # noqa: PLC0415
    from streamsync.governance.commands import in_sentences  # noqa: PLC0415
    from streamsync.governance.restatement import restatement_item  # noqa: PLC0415

    asked = RestatementJob(
        id=job,
        rules_version=rules_version,
        date_from=_iso(from_, _FIRST),
        date_to=_iso(to, _LAST),
        budget=budget,
        entity=entity,
    )
    people = (prepared_by or getpass.getuser(), approved_by)
    try:
        item = restatement_item(tenant, asked, prepared_by=people[0], approved_by=people[1])
    except ValueError as error:
        raise typer.BadParameter(str(error)) from error
    with in_sentences():
        broker = _broker(bootstrap_servers, schema_registry_url)
        state = broker.control_state(tenant)
        if rules_version not in state.versions:
            shown = ", ".join(map(str, sorted(state.versions))) or "none"
            raise typer.BadParameter(
                f"version {rules_version} of {tenant}'s rules is not published (published: "
                f"{shown}): apply it first."
            )
        if job in state.jobs:
            known = state.jobs[job]
            if known.content_hash != item.content_hash:
                raise typer.BadParameter(
                    f'job "{job}" by {known.published_by} asks for something else: choose another '
                    "name."
                )
        else:
            broker.publish([item], ())
    if as_json:
        typer.echo(
            json.dumps({"schema_version": 1, "job": structs.asdict(asked), "tenant": tenant})
        )
    else:
        typer.echo(f'Job "{job}" is published; it begins with the next tick.')


def _iso(day: datetime | None, default: str) -> str:
    return day.date().isoformat() if day is not None else default


def _broker(bootstrap_servers: str | None, schema_registry_url: str | None) -> Broker:
    from streamsync.governance.commands import connect  # noqa: PLC0415

    return connect(bootstrap_servers, schema_registry_url)
