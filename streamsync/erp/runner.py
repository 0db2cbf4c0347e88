"""The adapter process: intake, lanes, publisher and a status page around one outbox.

Problem: a posting must leave exactly one document in the ERP and one final confirmation in Kafka,
whatever dies in between. How: the order of steps stands in `outbox`; this module starts the tasks,
stops all of them when one fails (the process then ends, and a restart resumes from the outbox), and
keeps a second process away from the same file.
"""

from __future__ import annotations

import asyncio
import fcntl
import logging
import signal
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from aiohttp import web

from streamsync.brokers import Brokers
from streamsync.contracts import Contracts
from streamsync.erp.budget import Budget
from streamsync.erp.intake import Intake, Source
from streamsync.erp.lane import EntityLane, LaneParts
from streamsync.erp.outbox import Outbox
from streamsync.erp.protocol import ErpClient
from streamsync.erp.publisher import Publisher
from streamsync.erp.status import AdapterMetrics, StatusPage
from topology import topics

log = logging.getLogger(__name__)
# A held request must not hold the process.
_STOP_HANDLERS_SECONDS = 1.0
_STOP_SECONDS = 15


class AdapterError(Exception):
    """The adapter can't run; the text says why and what to do."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Adapter:
    """Options of the process."""

    erp: str
    entities: tuple[str, ...]
    data_dir: Path
    brokers: Brokers
    host: str
    port: int
    budget: Budget


@dataclass(slots=True)
class _Process:
    outbox: Outbox
    lanes: list[EntityLane]
    intakes: dict[str, Intake]
    publisher: Publisher
    page: StatusPage


async def run(options: Adapter, client: ErpClient, contracts: Contracts) -> None:
    """Deliver commands until a signal; raises what stopped it otherwise."""
    folder = options.data_dir / f"adapter-{options.erp}"
    folder.mkdir(parents=True, exist_ok=True)
    with _only_one(folder / "lock"):
        outbox = Outbox(folder / "outbox.sqlite")
        try:
            uncertain = outbox.resume()
            if uncertain:
                log.warning("%d commands were on their way: looking them up first", uncertain)
            await _serve(options, _assemble(options, client, contracts, outbox))
        finally:
            await client.close()
            outbox.close()


@contextmanager
def _only_one(path: Path) -> Iterator[None]:
    with path.open("w") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            raise AdapterError(
                f"{path}: another adapter uses this outbox; stop it, or give another --data-dir"
            ) from None
        yield


def _assemble(
    options: Adapter, client: ErpClient, contracts: Contracts, outbox: Outbox
) -> _Process:
    servers = options.brokers.librdkafka()
    metrics = AdapterMetrics(options.erp)
    publisher = Publisher(servers, outbox, metrics.delivered)
    parts = LaneParts(
        erp=options.erp,
        client=client,
        outbox=outbox,
        codec=contracts,
        counts=metrics,
        confirmations_topic=topics.POSTING_CONFIRMATIONS,
        wall_ms=lambda: time.time_ns() // 1_000_000,
        seconds=time.monotonic,
        wake_publisher=publisher.wake,
    )
    lanes = [EntityLane(entity, parts, options.budget) for entity in options.entities]
    intakes = {
        entity: Intake(
            Source(
                topic=topics.posting_commands(options.erp, entity),
                erp=options.erp,
                entity=entity,
                dead_letters_topic=topics.DEAD_LETTERS,
            ),
            servers,
            outbox,
            contracts,
        )
        for entity in options.entities
    }
    return _Process(outbox, lanes, intakes, publisher, StatusPage(outbox, lanes, intakes, metrics))


async def _serve(options: Adapter, process: _Process) -> None:
    stop = asyncio.Event()
    for name in (signal.SIGINT, signal.SIGTERM):
        asyncio.get_running_loop().add_signal_handler(name, stop.set)
    page = web.AppRunner(
        process.page.application(), access_log=None, shutdown_timeout=_STOP_HANDLERS_SECONDS
    )
    await page.setup()
    try:
        await _listen(page, options)
        await _until_stopped(options, process, stop)
    finally:
        await page.cleanup()


async def _listen(page: web.AppRunner, options: Adapter) -> None:
    try:
        await web.TCPSite(page, options.host, options.port).start()
    except OSError as error:
        raise AdapterError(
            f"port {options.port} on {options.host}: {error.strerror}; choose another with --port"
        ) from None
    log.info(
        "adapter of %s for %s, status on http://%s:%d",
        options.erp,
        ", ".join(options.entities),
        options.host,
        options.port,
    )


async def _until_stopped(options: Adapter, process: _Process, stop: asyncio.Event) -> None:
    tasks = [asyncio.create_task(process.publisher.run(stop), name="publisher")]
    for lane in process.lanes:
        intake = process.intakes[lane.entity]
        wake = _waking(lane, process.publisher)
        tasks.append(asyncio.create_task(intake.run(stop, wake), name=f"intake {lane.entity}"))
        tasks += [
            asyncio.create_task(lane.work(stop), name=f"lane {lane.entity} {number}")
            for number in range(options.budget.concurrency)
        ]
    waiting = asyncio.create_task(stop.wait(), name="signal")
    await asyncio.wait([*tasks, waiting], return_when=asyncio.FIRST_COMPLETED)
    # A signal, or a task that failed: all end what they are doing, the outbox keeps the rest.
    stop.set()
    _, late = await asyncio.wait([*tasks, waiting], timeout=_STOP_SECONDS)
    for task in late:
        task.cancel()
    for task in tasks:
        error = task.exception() if task.done() and not task.cancelled() else None
        if error is not None:
            log.error("%s failed: %s", task.get_name(), type(error).__name__)
            raise error


def _waking(lane: EntityLane, publisher: Publisher) -> Callable[[], None]:
    def wake() -> None:
        lane.wake()
        # A resent command's confirmation and a dead letter need no lane.
        publisher.wake()

    return wake
