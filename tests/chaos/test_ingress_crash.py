"""The ingress is killed, and its broker goes away: what was answered 200 is there."""

from __future__ import annotations

import asyncio
import json
import signal
import threading
import time
import uuid
from pathlib import Path

import aiohttp
from aiohttp.test_utils import TestServer

from streamsync.brokers import Brokers
from streamsync.contracts.codec import Contracts
from streamsync.contracts.registry import SchemaRegistry
from streamsync.embedded.platform import EmbeddedPlatform
from streamsync.ingress.ingest import ingest
from streamsync.ingress.server import Ingress
from streamsync.ingress.storage import Storage
from streamsync.sources.configured import ConfiguredSource
from streamsync.sources.signature import SigningSecret, sign
from tests import stripe_payloads as p
from tests.ingress_process import SECRET, ingress_process, stored

SOURCE = ConfiguredSource("stripe", "stripe", (SigningSecret("k", SECRET.encode()),))
AWAY_S = 30


def events(count: int) -> list[tuple[str, bytes]]:
    return [
        (
            f"e:{at}",
            json.dumps(
                p.event("invoice.paid", p.invoice(customer=f"cus_{at % 17}"), id=f"evt_{at}")
            ).encode(),
        )
        for at in range(count)
    ]


def test_kill_9_while_events_come_in_loses_none(broker: str, registry: str, tmp_path: Path) -> None:
    tenant = f"t{uuid.uuid4().hex[:8]}"
    sent = events(1500)
    with ingress_process(broker, registry, tenant, tmp_path) as process:
        killed = []

        def kill() -> None:
            time.sleep(0.4)
            killed.append(process.stop(signal.SIGKILL))
            process.start()

        killer = threading.Thread(target=kill)
        killer.start()
        report = asyncio.run(ingest(iter(sent), process.url, SOURCE, concurrency=16))
        killer.join()
        assert killed == [-signal.SIGKILL]
        assert report.counts == {"stored": 1500}
        # The kill came while requests were open: some had to be sent again.
        assert report.attempts > 1500
    contracts = Contracts(SchemaRegistry(registry))
    found = {json.loads(raw.body)["id"] for _, _, raw in stored(broker, contracts.decode, tenant)}
    assert found == {f"evt_{at}" for at in range(1500)}


async def test_a_broker_away_for_thirty_seconds_gets_503_and_loses_nothing(tmp_path: Path) -> None:
    contracts = Contracts.in_memory()
    platform = EmbeddedPlatform(tmp_path, registry_port=None)
    await asyncio.to_thread(platform.start)
    try:
        storage = Storage(
            Brokers(platform.bootstrap_servers), lambda: contracts, partitions=4, timeout_ms=3000
        )
        await storage.prepare()
        ingress = Ingress("acme", {"stripe": SOURCE}, storage.store, lambda: storage.ready)
        async with TestServer(ingress.app()) as server, aiohttp.ClientSession() as session:
            url = str(server.make_url("")).rstrip("/")
            await _until(session, url, 200)
            before, during, after = events(60)[:20], events(60)[20:40], events(60)[40:]
            assert await _statuses(session, url, before) == {200}
            await asyncio.to_thread(platform.kafka.kill)
            gone = time.monotonic()
            refused = await _statuses(session, url, during)
            assert refused == {503}
            waiting = asyncio.create_task(ingest(iter(during + after), url, SOURCE))
            await asyncio.sleep(max(0, AWAY_S - (time.monotonic() - gone)))
            assert not waiting.done()
            await asyncio.to_thread(platform.kafka.launch)
            await asyncio.to_thread(platform.kafka.wait_ready)
            report = await asyncio.wait_for(waiting, 90)
            assert report.counts == {"stored": 40}
        await storage.close()
        kept = await asyncio.to_thread(stored, platform.bootstrap_servers, contracts.decode, "acme")
        found = {json.loads(raw.body)["id"] for _, _, raw in kept}
        assert found == {f"evt_{at}" for at in range(60)}
    finally:
        await asyncio.to_thread(platform.stop)


async def _until(session: aiohttp.ClientSession, url: str, status: int) -> None:
    for _ in range(200):
        async with session.get(f"{url}/health/ready") as answer:
            if answer.status == status:
                return
        await asyncio.sleep(0.1)
    raise AssertionError(f"readiness never became {status}")


async def _statuses(
    session: aiohttp.ClientSession, url: str, sent: list[tuple[str, bytes]]
) -> set[int]:
    async def post(body: bytes) -> int:
        signature = sign(body, SOURCE.secrets[0], time.time_ns() // 1_000_000)
        headers = {"Content-Type": "application/json", "Stripe-Signature": signature}
        async with session.post(f"{url}/webhooks/stripe", data=body, headers=headers) as answer:
            return answer.status

    return set(await asyncio.gather(*(post(body) for _, body in sent)))
