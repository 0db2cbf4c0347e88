"""The ingress as a process, on a real broker and registry."""

from __future__ import annotations

import asyncio
import base64
import json
import os
import random
import subprocess
import time
import urllib.error
import urllib.request
import uuid
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from confluent_kafka.admin import AdminClient
from confluent_kafka.cimpl import NewTopic

from streamsync.brokers import Brokers
from streamsync.contracts.codec import Contracts
from streamsync.contracts.registry import SchemaRegistry
from streamsync.core.records import RawWebhook
from streamsync.engine.partitioner import account_partition
from streamsync.ingress.publisher import TOO_LARGE, NotStored, Publisher
from streamsync.sources.signature import SigningSecret, sign
from tests import stripe_payloads as p
from tests.ingress_process import (
    SECRET,
    STREAMSYNC,
    IngressProcess,
    ingress_process,
    partitions_of,
    stored,
)

SAMPLES = Path(__file__).resolve().parents[3] / "shared" / "data" / "stripe"
KEY = SigningSecret("k", SECRET.encode())


@dataclass
class Door:
    """A running ingress with a tenant of its own."""

    process: IngressProcess
    broker: str
    contracts: Contracts
    tenant: str

    def kept(self) -> list[tuple[int, str, RawWebhook]]:
        return stored(self.broker, self.contracts.decode, self.tenant)

    def post(self, body: bytes, **headers: str) -> int:
        signature = sign(body, KEY, time.time_ns() // 1_000_000)
        sent = {"Content-Type": "application/json", "Stripe-Signature": signature} | headers
        request = urllib.request.Request(  # noqa: S310 - loopback
            f"{self.process.url}/webhooks/stripe", data=body, headers=sent
        )
        try:
            with urllib.request.urlopen(request, timeout=20) as answer:  # noqa: S310
                return int(answer.status)
        except urllib.error.HTTPError as error:
            return error.code

    def ingest(self, *arguments: str) -> tuple[int, dict[str, Any], str]:
        command = [*STREAMSYNC, "ingest", *arguments]
        run = subprocess.run(
            [*command, "--source", "stripe", "--json"],
            env=os.environ | self.process.environment,
            capture_output=True,
            text=True,
            timeout=120,
            check=False,
        )
        return run.returncode, json.loads(run.stdout) if run.stdout else {}, run.stderr


@pytest.fixture
def door(broker: str, registry: str, tmp_path: Path) -> Iterator[Door]:
    tenant = f"t{uuid.uuid4().hex[:8]}"
    contracts = Contracts(SchemaRegistry(registry))
    with ingress_process(broker, registry, tenant, tmp_path) as process:
        yield Door(process, broker, contracts, tenant)


def test_what_is_answered_200_is_on_the_topic_under_its_account(door: Door) -> None:
    bodies = [
        json.dumps(p.event("invoice.paid", p.invoice(customer=f"cus_{at}"))).encode()
        for at in range(20)
    ]
    # Noise, which no compression makes smaller: 900 kB, and all that the door takes.
    for size in (900_000, 1024 * 1024):
        small = json.dumps(p.event("invoice.paid", p.invoice(footer=""))).encode()
        noise = base64.b64encode(random.Random(size).randbytes(size))[: size - len(small)]
        bodies.append(
            json.dumps(p.event("invoice.paid", p.invoice(footer=noise.decode()))).encode()
        )
    assert [door.post(body) for body in bodies] == [200] * 22
    kept = door.kept()
    assert {raw.body for _, _, raw in kept} == set(bodies)
    count = partitions_of(door.broker)
    for partition, key, raw in kept:
        account = p.read_bytes(raw.body).account.replace("acme/", f"{door.tenant}/", 1)
        assert key == account
        assert partition == account_partition(f"{key}|anything".encode(), count)
        assert raw.signing_key_id == "environment"


def test_what_is_not_proven_touches_no_topic(door: Door) -> None:
    body = json.dumps(p.event("invoice.paid", p.invoice())).encode()
    assert door.post(body, **{"Stripe-Signature": "t=1,v1=" + "0" * 64}) == 401
    assert door.post(b"x" * (1024 * 1024 + 1)) == 413
    assert door.post(b"x" * 5_000_000) == 413
    assert door.post(body, **{"Content-Type": "text/xml"}) == 415
    assert door.post(b"nonsense") == 400
    assert door.kept() == []
    _, metrics = door.process.get("/metrics")
    line = 'streamsync_ingress_requests_total{outcome="signature_wrong",source="stripe"} 1.0'
    assert line in metrics


async def test_a_record_that_the_broker_finds_too_large_is_no_outage(broker: str) -> None:
    topic = f"small-{uuid.uuid4().hex[:8]}"
    admin = AdminClient({"bootstrap.servers": broker})
    created = admin.create_topics([NewTopic(topic, 1, 1, config={"max.message.bytes": "10000"})])
    created[topic].result(30)
    publisher = Publisher(Brokers.of(broker), topic, timeout_ms=10_000)
    try:
        while not publisher.reachable:
            await asyncio.sleep(0.05)
        for size in (50_000, 9_000_000):  # above the topic's size, and above the producer's
            with pytest.raises(NotStored, match=TOO_LARGE):
                await publisher.publish(topic, b"k", random.Random(1).randbytes(size))
            assert publisher.reachable
            await publisher.publish(topic, b"k", b"small")
    finally:
        await publisher.close()


def test_sigterm_drains_and_ends_in_good_order(door: Door) -> None:
    assert door.post(json.dumps(p.event("invoice.paid", p.invoice())).encode()) == 200
    assert door.process.stop() == 0
    assert SECRET not in door.process.log.read_text()
    assert len(door.kept()) == 1


@pytest.mark.skipif(not SAMPLES.exists(), reason="the public samples are not on this machine")
def test_all_samples_go_through_the_door_and_count_as_they_do_offline(door: Door) -> None:
    files = sorted(str(path) for path in SAMPLES.glob("*.json"))
    status, told, _ = door.ingest(*files)
    assert (status, told["counts"]) == (0, {"stored": 88})
    online = Counter(p.read_bytes(raw.body).outcome for _, _, raw in door.kept())
    offline = Counter(p.read_bytes(Path(file).read_bytes()).outcome for file in files)
    assert online == offline and sum(online.values()) == 88


def test_ingest_names_the_line_of_what_is_refused(door: Door, tmp_path: Path) -> None:
    good = json.dumps(p.event("invoice.paid", p.invoice()))
    path = tmp_path / "events.jsonl"
    path.write_text(f"{good}\nnonsense\n")
    status, told, _ = door.ingest(str(path))
    assert status == 1
    assert told["counts"] == {"payload_not_json": 1, "stored": 1}
    assert told["failures"][0]["place"] == f"{path}:2"
    status, told, error = door.ingest(str(tmp_path / "none.jsonl"))
    assert (status, told) == (2, {})
    assert "none.jsonl: cannot be read" in error


def test_a_port_in_use_is_named_with_the_option(door: Door) -> None:
    run = subprocess.run(
        [*STREAMSYNC, "ingress"],
        env=os.environ | door.process.environment,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert run.returncode == 1
    assert "is in use" in run.stderr and "--port" in run.stderr
