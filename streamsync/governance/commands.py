"""Commands of the people who own the rules: `check` a company folder, `apply` it.

Problem: rules must reach the books checked, approved and under a version of their own. How: `check`
says everything that is wrong; `apply` shows what would change, asks, and publishes the compiled
company and its exchange rates to the control topic, and the folder's customers to theirs.
"""

from __future__ import annotations

import getpass
import json
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

if TYPE_CHECKING:
    from streamsync.core.company import Company
    from streamsync.core.records import Customer, ReferenceData
    from streamsync.governance.broker import Broker, ControlState
    from streamsync.governance.diff import Change
    from streamsync.governance.plan import Plan, Refusal

JSON_VERSION = 1

Directory = Annotated[Path, typer.Argument(help="Company folder.", exists=True, file_okay=False)]
Json = Annotated[bool, typer.Option("--json", help="One JSON object on standard output.")]


def register(app: typer.Typer) -> None:
    """Add `check` and `apply`."""
    app.command()(check)
    app.command()(apply)


def check(directory: Directory, as_json: Json = False) -> None:
    """Validate a company folder: every error with file, line and what to do.

    Example: streamsync check examples/acme
    """
    company = _loaded(directory, "", None, as_json).company
    if as_json:
        _print_json(
            {"ok": True, "tenant": company.tenant, "version": company.version, "errors": []}
        )
    else:
        typer.echo(
            f"{directory}: {company.ruleset} version {company.version} is sound: "
            f"{len(company.entities)} entities, {len(company.entity_rules)} entity rules, "
            f"{len(company.account_rules)} account rules."
        )


def apply(
    directory: Directory,
    *,
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="Show only; exit status 3 on differences.")
    ] = False,
    yes: Annotated[bool, typer.Option("--yes", help="Publish without asking.")] = False,
    published_by: Annotated[
        str | None, typer.Option(help="Who publishes; else the user who runs the command.")
    ] = None,
    approved_by: Annotated[
        str | None, typer.Option(help="Who approved the change: another person.")
    ] = None,
    as_json: Json = False,
    bootstrap_servers: Annotated[
        str | None, typer.Option(help="Kafka; else STREAMSYNC_BOOTSTRAP_SERVERS.")
    ] = None,
    schema_registry_url: Annotated[
        str | None, typer.Option(help="Registry; else STREAMSYNC_SCHEMA_REGISTRY_URL.")
    ] = None,
) -> None:
    """Publish a company folder, after showing what changes.

    Example: streamsync apply examples/acme --published-by ana --approved-by ben
    """
    publisher = published_by or getpass.getuser()
    if not dry_run:
        _approval(publisher, approved_by)
    folder = _loaded(directory, publisher, approved_by, as_json)
    company = folder.company
    with in_sentences():
        broker = connect(bootstrap_servers, schema_registry_url)
        broker.create_topics()
        state = broker.control_state(company.tenant)
        plan = _plan(broker, state, folder)
        refusals = tuple(_place(directory, refusal) + refusal.message for refusal in plan.refusals)
        if not as_json:
            _show(plan, company, refusals)
        outcome, status = _outcome(plan, dry_run)
        tick = None
        if outcome == "published":
            _ask(yes, as_json)
            tick = _publish(broker, state, plan, folder, (publisher, approved_by))
        if as_json:
            _print_json(_told(outcome, plan, company, refusals, tick))
        elif tick is not None:
            typer.echo(f"Published; in force from tick {tick}.")
        if status:
            raise typer.Exit(status)


@contextmanager
def in_sentences() -> Iterator[None]:
    """What a folder, Kafka, the registry or what is published has against a command is told on
    standard error, with exit status 1.
    """
    from streamsync.contracts import IncompatibleSchema, RegistryUnavailable  # noqa: PLC0415
    from streamsync.core.period_status import ChangeRefused  # noqa: PLC0415
    from streamsync.governance.broker import BrokerUnavailable, PublishedByAnother  # noqa: PLC0415
    from streamsync.governance.payload import PayloadError  # noqa: PLC0415
    from streamsync.governance.problems import CompanyErrors  # noqa: PLC0415

    try:
        yield
    except (
        BrokerUnavailable,
        ChangeRefused,
        CompanyErrors,
        IncompatibleSchema,
        PayloadError,
        PublishedByAnother,
        RegistryUnavailable,
    ) as error:
        typer.echo(str(error), err=True)
        raise typer.Exit(1) from error


@dataclass(frozen=True, slots=True)
class _Loaded:
    """What a sound folder holds."""

    company: Company
    customers: tuple[Customer, ...]
    rates: ReferenceData | None


def _loaded(directory: Path, publisher: str, approver: str | None, as_json: bool) -> _Loaded:
    from streamsync.governance.load import (  # noqa: PLC0415
        load_company,
        load_customers,
        load_rates,
    )
    from streamsync.governance.problems import CompanyErrors  # noqa: PLC0415

    try:
        return _Loaded(
            load_company(directory),
            load_customers(directory, publisher),
            load_rates(directory, publisher or "check", approver),
        )
    except CompanyErrors as errors:
        if as_json:
            told = [
                {
                    "file": problem.file,
                    "line": problem.line,
                    "column": problem.column,
                    "rule": problem.rule,
                    "message": problem.message,
                }
                for problem in errors.problems
            ]
            _print_json({"ok": False, "errors": told})
        else:
            count = len(errors.problems)
            typer.echo(str(errors), err=True)
            typer.echo(f"{count} error{'s' if count > 1 else ''} in {directory}.", err=True)
        raise typer.Exit(1) from errors


def _approval(publisher: str, approver: str | None) -> None:
    if approver is None or not approver.strip():
        raise typer.BadParameter("name who approved the change: --approved-by.")
    if approver.strip().casefold() == publisher.strip().casefold():
        raise typer.BadParameter(
            f'--approved-by and --published-by are both "{publisher}": another person than the '
            "publisher must approve."
        )


def connect(bootstrap_servers: str | None, schema_registry_url: str | None) -> Broker:
    """The control and customers topics of the broker that settings or options name."""
    from streamsync.config import Settings  # noqa: PLC0415
    from streamsync.contracts import Contracts, SchemaRegistry  # noqa: PLC0415
    from streamsync.governance.broker import Broker  # noqa: PLC0415
    from topology import topics  # noqa: PLC0415

    settings = Settings()
    contracts = Contracts(SchemaRegistry(schema_registry_url or settings.schema_registry_url))
    contracts.load_history()
    specs = {spec.name: spec for spec in topics.declared(settings.partitions)}
    brokers = settings.brokers(bootstrap_servers)
    return Broker(brokers, contracts, specs[topics.CONTROL], specs[topics.CUSTOMERS])


def _plan(broker: Broker, state: ControlState, folder: _Loaded) -> Plan:
    from streamsync.governance.plan import make_plan  # noqa: PLC0415

    customers = folder.customers
    known = broker.customers({customer.account for customer in customers})
    return make_plan(state.latest, folder.company, known, customers, state.rates, folder.rates)


def _place(directory: Path, refusal: Refusal) -> str:
    """Where the version stands that a refusal is about."""
    from streamsync.governance.yaml_source import read_yaml  # noqa: PLC0415

    name, customer = refusal.file, refusal.customer
    file = read_yaml(directory / name, f"{directory}/{name}")
    at = ("version",) if customer is None else ("customers", customer, "version")
    return f"{file.name}:{file.line(at)}: version_in_use: "


def _outcome(plan: Plan, dry_run: bool) -> tuple[str, int]:
    """What becomes of the plan, and the exit status."""
    if plan.refusals:
        return "refused", 1
    if plan.is_empty:
        return "nothing_to_do", 0
    return ("would_change", 3) if dry_run else ("published", 0)


def _told(
    outcome: str, plan: Plan, company: Company, refusals: Sequence[str], tick: int | None
) -> dict[str, object]:
    return {
        "outcome": outcome,
        "tenant": company.tenant,
        "ruleset": company.ruleset,
        "version": company.version,
        "published_version": plan.published_version,
        "active_from_tick": tick,
        "customers": len(plan.customers),
        "changes": [
            {"path": change.path, "before": change.before, "after": change.after}
            for change in plan.changes
        ],
        "refusals": list(refusals),
    }


def _show(plan: Plan, company: Company, refusals: Sequence[str]) -> None:
    if plan.is_empty:
        typer.echo(f"{company.tenant}: version {company.version} is published; nothing to do.")
        return
    before = "nothing" if plan.published_version is None else f"version {plan.published_version}"
    typer.echo(f"{company.tenant}: {before} is published; {len(plan.changes)} values change:")
    if sys.stdout.isatty():
        _show_table(plan.changes)
    else:
        for change in plan.changes:
            typer.echo(f"{change.path}: {change.before or '-'} -> {change.after or '-'}")
    for refusal in refusals:
        typer.echo(refusal, err=True)


def _show_table(changes: Sequence[Change]) -> None:
    from rich.console import Console  # noqa: PLC0415
    from rich.table import Table  # noqa: PLC0415
    from rich.text import Text  # noqa: PLC0415

    table = Table("what", "before", "after")
    for change in changes:
        # As Text: brackets in a rule's words are no markup.
        table.add_row(*map(Text, (change.path, change.before or "", change.after or "")))
    Console().print(table)


def _ask(yes: bool, as_json: bool) -> None:
    if yes:
        return
    if as_json or not sys.stdin.isatty():
        raise typer.BadParameter("nobody is there to be asked: add --yes to publish.")
    typer.confirm("Publish?", abort=True)


def _publish(
    broker: Broker,
    state: ControlState,
    plan: Plan,
    folder: _Loaded,
    people: tuple[str, str | None],
) -> int:
    """Publish what the plan says; the first tick at which it is in force."""
    from streamsync.governance.payload import reference_data  # noqa: PLC0415

    tick = state.last_tick + 1
    items = [reference_data(folder.company, tick, *people)] if plan.company_changed else []
    if plan.rates_changed and folder.rates is not None:
        items.append(folder.rates)
    broker.publish(items, plan.customers)
    return tick


def _print_json(told: dict[str, object]) -> None:
    typer.echo(json.dumps({"schema_version": JSON_VERSION, **told}))
