"""The life of an ingress process: listen, serve, drain on a signal, leave nothing unanswered."""

from __future__ import annotations

import asyncio
import logging
import signal
from collections.abc import Mapping
from dataclasses import dataclass

from aiohttp import web
from aiohttp.http_parser import HttpRequestParser, HttpRequestParserPy

from streamsync.brokers import Brokers
from streamsync.contracts.codec import Contracts
from streamsync.contracts.registry import SchemaRegistry
from streamsync.ingress.server import Ingress
from streamsync.ingress.settings import IngressLimits
from streamsync.ingress.storage import Storage
from streamsync.sources.configured import ConfiguredSource

logger = logging.getLogger(__name__)

_REGISTRY_S = 5


@dataclass(frozen=True, slots=True, kw_only=True)
class IngressAddress:
    """Where the ingress listens and what it talks to."""

    host: str
    port: int
    brokers: Brokers
    registry_url: str
    tenant: str
    partitions: int


class CannotStart(Exception):
    """The ingress cannot run here; the text says what to do."""


async def _listen(app: web.Application, address: IngressAddress, drain_s: int) -> web.AppRunner:
    runner = web.AppRunner(app, access_log=None, handle_signals=False, shutdown_timeout=drain_s)
    await runner.setup()
    try:
        await web.TCPSite(runner, address.host, address.port).start()
    except OSError as error:
        await runner.cleanup()
        raise CannotStart(
            f"Port {address.port} on {address.host} is in use or not allowed "
            f"({error.strerror}); choose another with --port or STREAMSYNC_INGRESS_PORT."
        ) from error
    return runner


async def serve(address: IngressAddress, sources: Mapping[str, ConfiguredSource]) -> None:
    """Serve until SIGTERM or SIGINT, then drain."""
    if HttpRequestParser is HttpRequestParserPy:
        # The pure-Python parser was open to request smuggling.
        raise CannotStart("aiohttp has no compiled HTTP parser here; install its binary wheel.")
    limits = IngressLimits()
    stop = asyncio.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        asyncio.get_running_loop().add_signal_handler(number, stop.set)
    storage = Storage(
        address.brokers,
        lambda: Contracts(SchemaRegistry(address.registry_url, patience_s=_REGISTRY_S)),
        partitions=address.partitions,
        timeout_ms=limits.store_timeout_ms,
    )
    ingress = Ingress(address.tenant, sources, storage.store, lambda: storage.ready, limits=limits)
    try:
        runner = await _listen(ingress.app(), address, limits.drain_seconds)
        try:
            logger.info("ingress listens on http://%s:%d", address.host, address.port)
            await _until_stopped(storage, stop)
            ingress.drain()
            logger.info("ingress drains")
        finally:
            await runner.cleanup()
    finally:
        await storage.close()


async def _until_stopped(storage: Storage, stop: asyncio.Event) -> None:
    preparing = asyncio.create_task(storage.prepare())
    stopped = asyncio.create_task(stop.wait())
    try:
        await asyncio.wait({preparing, stopped}, return_when=asyncio.FIRST_COMPLETED)
        if preparing.done():
            # A refused schema or a topic of another size is no outage: waiting would not help.
            preparing.result()
        await stopped
    finally:
        preparing.cancel()
        stopped.cancel()
