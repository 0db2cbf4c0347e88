"""One demo from beginning to end: start, play, report, serve, stop.

Problem: whatever fails in between, nothing may be left running, and the person must learn which log
to read. How: everything that is started is stopped in the reverse order on every way out; a child
that keeps dying, a signal and the play race, and the first one to end decides.
"""

from __future__ import annotations

import asyncio
import json
import signal
import sys
from collections.abc import AsyncIterator, Callable, Coroutine
from contextlib import asynccontextmanager
from typing import Any

import aiohttp
from rich.console import Console

from streamsync.contracts import Contracts, SchemaRegistry
from streamsync.core.company import Company
from streamsync.demo import screen
from streamsync.demo.children import Children
from streamsync.demo.collect import collect, export, full_report
from streamsync.demo.evidence import Evidence, Json
from streamsync.demo.kafka import Kafka, require_unused
from streamsync.demo.live import Erp, NotYet, Views
from streamsync.demo.options import DemoError, DemoOptions, fresh_folder
from streamsync.demo.play import SOURCE_NAMES, Installation, Player
from streamsync.demo.processes import Secrets, child_specs, make_secrets, require_ports
from streamsync.demo.progress import Progress
from streamsync.demo.scenario import Scenario, make_scenario
from streamsync.embedded import EmbeddedPlatform
from streamsync.governance import load_company, load_rates, reference_data
from streamsync.governance.broker import Broker
from streamsync.sources.configured import ConfiguredSource
from streamsync.sources.delivery import Delivery
from streamsync.sources.signature import SigningSecret
from topology import topics

_REQUEST_SECONDS = 20
_COLLECT_TRIES = 60
_PLAIN_WIDTH = 140
# As a shell says of a command that Ctrl-C ended.
_STOPPED = 130


class Stopped(Exception):
    """Somebody asked the demo to end."""


def run(options: DemoOptions) -> int:
    """Run the demo; 0 when every line of the closing screen holds."""
    company = load_company(options.company_dir)
    scenario = make_scenario(options.seed, options.days, options.accounts, company.tenant)
    console = Console(stderr=True)
    with fresh_folder(options.folder):
        require_ports(options)
        _on_signals(_stop)
        try:
            if not options.own_broker:
                require_unused(options.settings.brokers())
                return asyncio.run(_run(options, company, scenario, console))
            return _on_platform(options, company, scenario, console)
        except Stopped:
            console.print("stopped")
            return _STOPPED


def _on_platform(
    options: DemoOptions, company: Company, scenario: Scenario, console: Console
) -> int:
    """Kafka and the registry around everything else; a signal ends their start, too."""
    console.print("starting Kafka and the schema registry")
    platform = EmbeddedPlatform(
        options.folder,
        kafka_port=options.settings.kafka_port,
        registry_port=options.settings.registry_port,
        say=lambda line: console.print(line, highlight=False, markup=False, soft_wrap=True),
    )
    with platform:
        try:
            return asyncio.run(_run(options, company, scenario, console))
        finally:
            # However impatient somebody is, the servers end in good order.
            _on_signals(signal.SIG_IGN)


def _on_signals(handler: Callable[[int, object], None] | signal.Handlers) -> None:
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, handler)


def _stop(_number: int, _frame: object) -> None:
    raise Stopped


async def _run(options: DemoOptions, company: Company, scenario: Scenario, console: Console) -> int:
    stopped = asyncio.get_running_loop().create_future()
    for number in (signal.SIGINT, signal.SIGTERM):
        asyncio.get_running_loop().add_signal_handler(number, _note, stopped)
    progress = Progress(console, len(scenario.days), scenario.webhooks)
    async with _installation(options, company, progress, stopped) as (at, children):
        erp = company.entities[0].target_erp
        player = Player(at, scenario, progress)
        with progress:
            evidence = await _first(_played(player, at, scenario, erp), children.failure, stopped)
        worker_url = f"http://127.0.0.1:{options.worker_ports[0]}"
        report = await full_report(at, evidence, worker_url)
        report["run"] = {
            "seed": options.seed,
            "days": options.days,
            "accounts": options.accounts,
            "restarts": children.restarts,
        }
        if options.export_dir is not None:
            export(options.export_dir, evidence, report)
        _tell(options, report)
        if not options.once:
            _tell_addresses(options, progress)
            await _first(_for_ever(), children.failure, stopped, ends=True)
    return 0 if report["holds"] else 1


async def _played(player: Player, at: Installation, scenario: Scenario, erp: str) -> Evidence:
    await player.play()
    for _ in range(_COLLECT_TRIES):
        try:
            return await collect(at, scenario, player, erp)
        except NotYet as why:
            waits_for = why
            await asyncio.sleep(0.5)
    raise DemoError(f"The evidence can't be read: {waits_for}.")


@asynccontextmanager
async def _installation(
    options: DemoOptions, company: Company, progress: Progress, stopped: asyncio.Future[None]
) -> AsyncIterator[tuple[Installation, Children]]:
    """All processes, running while the context lasts."""
    timeout = aiohttp.ClientTimeout(total=_REQUEST_SECONDS)
    async with aiohttp.ClientSession(timeout=timeout) as session:
        children = Children(options.folder, session)
        secret = make_secrets()
        entities = tuple(entity.id for entity in company.entities)
        erp = company.entities[0].target_erp
        try:
            contracts = await asyncio.to_thread(_publish_rules, options, company)
            progress.say("starting the simulated ERP, ingress, worker and adapter")
            specs = child_specs(options, secret, erp, entities)
            starting = asyncio.gather(*(children.start(spec) for spec in specs))
            await _first(_wait(starting), children.failure, stopped)
            at = _connect(options, company, contracts, session, secret)
            try:
                yield at, children
            finally:
                at.kafka.close()
        finally:
            progress.say("stopping")
            await children.stop()


def _publish_rules(options: DemoOptions, company: Company) -> Contracts:
    """What `streamsync apply` does; the example has one person, so nobody approves."""
    settings = options.settings
    contracts = Contracts(SchemaRegistry(settings.schema_registry_url))
    specs = {spec.name: spec for spec in topics.declared(settings.partitions)}
    broker = Broker(settings.brokers(), contracts, specs[topics.CONTROL], specs[topics.CUSTOMERS])
    broker.create_topics()
    rules = reference_data(company, 0, "streamsync demo", None)
    rates = load_rates(options.company_dir, "streamsync demo")
    broker.publish([rules] if rates is None else [rules, rates], ())
    return contracts


def _connect(
    options: DemoOptions,
    company: Company,
    contracts: Contracts,
    session: aiohttp.ClientSession,
    secret: Secrets,
) -> Installation:
    settings = options.settings
    signing = SigningSecret("demo", secret.webhook.encode())
    ingress = f"http://127.0.0.1:{settings.ingress_port}"
    return Installation(
        tenant=company.tenant,
        entities=tuple(entity.id for entity in company.entities),
        partitions=settings.partitions,
        views=Views(session, [f"http://127.0.0.1:{port}" for port in options.worker_ports]),
        erp=Erp(session, f"http://127.0.0.1:{settings.erp_port}", secret.erp_token),
        kafka=Kafka(settings.brokers(), contracts),
        deliveries={
            kind: Delivery(session, ingress, ConfiguredSource(name, kind, (signing,)))
            for kind, name in SOURCE_NAMES.items()
        },
    )


async def _first(
    work: Coroutine[Any, Any, Any],
    failure: asyncio.Future[None],
    stopped: asyncio.Future[None],
    *,
    ends: bool = False,
) -> Any:
    """The result of the work, unless a child fails for good or somebody stops the demo."""
    task = asyncio.ensure_future(work)
    await asyncio.wait({task, failure, stopped}, return_when=asyncio.FIRST_COMPLETED)
    if task.done():
        return task.result()
    task.cancel()
    await asyncio.gather(task, return_exceptions=True)
    if failure.done():
        failure.result()
    if not ends:
        raise Stopped
    return None


async def _wait(future: asyncio.Future[Any]) -> None:
    await future


async def _for_ever() -> None:
    await asyncio.Event().wait()


def _note(stopped: asyncio.Future[None]) -> None:
    if not stopped.done():
        stopped.set_result(None)


def _tell(options: DemoOptions, report: Json) -> None:
    if options.as_json:
        print(json.dumps(report))
    else:
        # Where nobody can widen a window, the tables decide how wide the output is.
        width = None if sys.stdout.isatty() else _PLAIN_WIDTH
        screen.show(Console(width=width), report)


def _tell_addresses(options: DemoOptions, progress: Progress) -> None:
    settings = options.settings
    worker = f"http://127.0.0.1:{options.worker_ports[0]}/v1"
    entity_view = f"{worker}/totals/{settings.tenant}/"
    for line in (
        "Everything keeps running until Ctrl-C:",
        f"  counts      {worker}/counts",
        f"  exceptions  {worker}/exceptions",
        f"  totals      {entity_view}acme-us, and the same for acme-jp, acme-de and acme-kw",
        f"  partitions  {worker}/partitions",
        f"  metrics     http://127.0.0.1:{options.worker_ports[0]}/metrics, "
        f"http://127.0.0.1:{settings.ingress_port}/metrics, "
        f"http://127.0.0.1:{settings.adapter_port}/metrics, "
        f"http://127.0.0.1:{settings.erp_port}/metrics",
        f"  logs        {options.folder}",
    ):
        progress.say(line)
