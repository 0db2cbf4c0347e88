"""The ingress over real HTTP, with a store that can fail: 200 only for what is stored."""

from __future__ import annotations

import asyncio
import gzip
import hashlib
import json
import time
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, field

import aiohttp
import pytest
from aiohttp.test_utils import TestServer

from streamsync.core.records import RawWebhook
from streamsync.ingress.ingest import ingest
from streamsync.ingress.publisher import TOO_LARGE, NotStored
from streamsync.ingress.server import Ingress
from streamsync.ingress.settings import IngressLimits
from streamsync.sources import SOURCES
from streamsync.sources.configured import ConfiguredSource
from streamsync.sources.delivery import Delivery
from streamsync.sources.signature import SigningSecret, sign
from tests import stripe_payloads as p

SECRET = SigningSecret("k1", b"whsec_0123456789abcdef")
OTHER = SigningSecret("k2", b"whsec_another_0123456789")
BODY = json.dumps(p.event("invoice.paid", p.invoice())).encode()


@dataclass
class MemoryStore:
    """Keeps records, or fails as often as told."""

    kept: list[tuple[str, RawWebhook]] = field(default_factory=list)
    failures: int = 0
    seconds: float = 0
    reason: str = "broker_away"

    async def store(self, key: str, raw: RawWebhook) -> None:
        await asyncio.sleep(self.seconds)
        if self.failures:
            self.failures -= 1
            raise NotStored(self.reason)
        self.kept.append((key, raw))


@dataclass
class Door:
    """A running ingress and what a test needs of it."""

    store: MemoryStore
    ingress: Ingress
    url: str
    session: aiohttp.ClientSession

    async def post(
        self, body: bytes = BODY, path: str = "/webhooks/stripe", **headers: str
    ) -> tuple[int, dict[str, object], Mapping[str, str]]:
        signed = {"Stripe-Signature": sign(body, SECRET, time.time_ns() // 1_000_000)}
        sent = {"Content-Type": "application/json"} | signed
        sent |= {name.replace("_", "-"): value for name, value in headers.items()}
        async with self.session.post(self.url + path, data=body, headers=sent) as answer:
            return answer.status, await answer.json(), answer.headers

    def count(self, outcome: str, source: str = "stripe") -> float:
        labels = {"source": source, "outcome": outcome}
        registry = self.ingress.metrics.registry
        return registry.get_sample_value("streamsync_ingress_requests_total", labels) or 0


@asynccontextmanager
async def door(
    store: MemoryStore | None = None,
    limits: IngressLimits | None = None,
    **source: int,
) -> AsyncIterator[Door]:
    kept = store or MemoryStore()
    configured = ConfiguredSource("stripe", "stripe", (SECRET,), **source)
    own = ConfiguredSource("own", "canonical", (SECRET,))
    sources = {"stripe": configured, "own": own}
    ingress = Ingress("acme", sources, kept.store, lambda: True, limits=limits)
    async with TestServer(ingress.app()) as server, aiohttp.ClientSession() as session:
        yield Door(kept, ingress, str(server.make_url("")).rstrip("/"), session)


async def test_a_signed_webhook_is_stored_as_it_came_and_then_answered() -> None:
    async with door() as d:
        status, answer, _ = await d.post()
        assert (status, answer) == (200, {"stored": True})
        ((key, raw),) = d.store.kept
        assert key == "acme/stripe/cus_1"
        assert (raw.body, raw.tenant, raw.source, raw.source_kind) == (
            BODY,
            "acme",
            "stripe",
            "stripe",
        )
        assert raw.content_hash == hashlib.sha256(BODY).hexdigest()
        assert raw.signing_key_id == "k1"
        assert d.count("stored") == 1


async def test_a_canonical_event_comes_in_by_the_same_door() -> None:
    body = json.dumps({"streamsync": "1", "id": "evt_1", "account": "cus_1"}).encode()
    async with door() as d:
        signed = SOURCES["canonical"].sign(body, SECRET, time.time_ns() // 1_000_000)
        status, answer, _ = await d.post(body, "/webhooks/own", Stripe_Signature="", **signed)
        assert (status, answer) == (200, {"stored": True})
        ((key, raw),) = d.store.kept
        assert (key, raw.source, raw.source_kind) == ("acme/own/cus_1", "own", "canonical")
        # Stripe's header proves nothing here.
        status, answer, _ = await d.post(body, "/webhooks/own")
        assert (status, answer["error"]) == (401, "signature_missing")


@pytest.mark.parametrize(
    ("signature", "reason"),
    [
        (lambda _now: "", "signature_missing"),
        (lambda _now: "t=1,v1=", "signature_malformed"),
        (lambda now: sign(BODY, OTHER, now), "signature_wrong"),
        (lambda now: sign(BODY + b" ", SECRET, now), "signature_wrong"),
        (lambda now: sign(BODY, SECRET, now - 400_000), "signature_stale"),
        (lambda now: sign(BODY, SECRET, now + 400_000), "signature_stale"),
    ],
    ids=["missing", "malformed", "another secret", "another body", "too old", "of the future"],
)
async def test_an_unproven_request_gets_401_and_a_counter_and_is_not_stored(
    signature: Callable[[int], str], reason: str
) -> None:
    async with door() as d:
        signed = signature(time.time_ns() // 1_000_000)
        status, answer, _ = await d.post(Stripe_Signature=signed)
        assert (status, answer["error"]) == (401, reason)
        assert d.store.kept == []
        assert d.count(reason) == 1


async def test_a_second_signature_header_is_refused() -> None:
    async with door() as d:
        signature = sign(BODY, SECRET, time.time_ns() // 1_000_000)
        headers = [
            ("Content-Type", "application/json"),
            ("Stripe-Signature", signature),
            ("Stripe-Signature", signature),
        ]
        async with d.session.post(f"{d.url}/webhooks/stripe", data=BODY, headers=headers) as answer:
            assert answer.status == 401
        assert d.store.kept == []


async def test_a_large_body_is_refused_with_and_without_a_declared_length() -> None:
    async def chunks() -> AsyncIterator[bytes]:
        for _ in range(4):
            yield b" " * 1000

    async with door(limits=IngressLimits(body_max_bytes=2000)) as d:
        status, answer, _ = await d.post(b" " * 2001)
        assert (status, answer["error"]) == (413, "body_too_large")
        headers = {"Content-Type": "application/json"}
        url = f"{d.url}/webhooks/stripe"
        async with d.session.post(url, data=chunks(), headers=headers) as streamed:
            assert streamed.status == 413
        assert d.store.kept == [] and d.count("body_too_large") == 2


async def test_another_content_type_or_encoding_is_refused() -> None:
    async with door() as d:
        assert (await d.post(Content_Type="text/plain"))[0] == 415
        assert (await d.post(Content_Type="application/json; charset=utf-16"))[0] == 415
        assert (await d.post(Content_Type="application/json; charset=UTF-8"))[0] == 200
        packed = gzip.compress(BODY)
        status, answer, _ = await d.post(packed, Content_Encoding="gzip")
        assert (status, answer["error"]) == (415, "content_encoding_refused")
        assert len(d.store.kept) == 1


@pytest.mark.parametrize(
    ("body", "reason"),
    [
        (b"{", "payload_not_json"),
        (b'{"id":1,"id":2}', "payload_key_repeated"),
        (b"[NaN]", "payload_number_invalid"),
        (b"[" * 5000, "payload_too_deep"),
    ],
)
async def test_signed_nonsense_gets_400_with_its_reason(body: bytes, reason: str) -> None:
    async with door() as d:
        status, answer, _ = await d.post(body)
        assert (status, answer["error"]) == (400, reason)
        assert d.store.kept == []


async def test_an_unknown_source_gets_404_under_one_label() -> None:
    async with door() as d:
        status, answer, _ = await d.post(path="/webhooks/other")
        assert (status, answer["error"]) == (404, "source_unknown")
        assert d.count("source_unknown", "unknown") == 1


async def test_a_source_that_sends_too_fast_is_told_when_to_come_back() -> None:
    async with door(requests_per_second=1, burst=2) as d:
        answers = [await d.post() for _ in range(3)]
        assert [status for status, _, _ in answers] == [200, 200, 429]
        assert answers[2][2]["Retry-After"] == "1"
        # A forger cannot use up the rate of the source: he is refused before it.
        for _ in range(5):
            assert (await d.post(Stripe_Signature="t=1,v1=00"))[0] == 401
        await asyncio.sleep(1.05)
        assert (await d.post())[0] == 200


async def test_without_the_broker_nothing_is_answered_2xx() -> None:
    async with door(MemoryStore(failures=1)) as d:
        status, answer, headers = await d.post()
        assert (status, answer["error"], headers["Retry-After"]) == (503, "broker_away", "5")
        assert d.store.kept == []
        assert (await d.post())[0] == 200


async def test_what_the_broker_finds_too_large_gets_413_since_again_would_not_help() -> None:
    async with door(MemoryStore(failures=1, reason=TOO_LARGE)) as d:
        status, answer, headers = await d.post()
        assert (status, answer["error"]) == (413, "record_too_large")
        assert "Retry-After" not in headers
        assert d.count("record_too_large") == 1
        assert (await d.post())[0] == 200


async def test_too_many_at_once_are_sent_away() -> None:
    async with door(MemoryStore(seconds=0.2), IngressLimits(in_flight_max=2)) as d:
        statuses = [status for status, _, _ in await asyncio.gather(*(d.post() for _ in range(5)))]
        assert sorted(statuses) == [200, 200, 503, 503, 503]


async def test_while_draining_new_webhooks_go_elsewhere_and_readiness_says_so() -> None:
    async with door() as d:
        async with d.session.get(f"{d.url}/health/ready") as answer:
            assert answer.status == 200
        d.ingress.drain()
        assert (await d.post())[0] == 503
        async with d.session.get(f"{d.url}/health/ready") as answer:
            assert answer.status == 503
        async with d.session.get(f"{d.url}/health/live") as answer:
            assert answer.status == 200


async def test_a_card_number_is_masked_in_what_is_stored_and_the_hash_is_of_what_came() -> None:
    body = json.dumps(
        p.event("invoice.paid", p.invoice(description="card 4242424242424242"))
    ).encode()
    async with door() as d:
        assert (await d.post(body))[0] == 200
        ((_, raw),) = d.store.kept
        assert b"4242424242424242" not in raw.body and b"************4242" in raw.body
        assert raw.content_hash == hashlib.sha256(body).hexdigest()


async def test_a_payload_without_account_is_kept_under_its_event() -> None:
    async with door() as d:
        await d.post(json.dumps({"id": "evt_9", "type": "balance.available"}).encode())
        await d.post(b"{}")
        keys = [key for key, _ in d.store.kept]
        assert keys == ["acme/stripe/evt_9", f"acme/stripe/{hashlib.sha256(b'{}').hexdigest()}"]


async def test_the_metrics_page_shows_the_counts_and_no_secret() -> None:
    async with door() as d:
        await d.post()
        async with d.session.get(f"{d.url}/metrics") as answer:
            text = await answer.text()
        line = 'streamsync_ingress_requests_total{outcome="stored",source="stripe"} 1.0'
        assert line in text and "whsec" not in text


async def test_delivery_tries_again_until_stored_and_not_when_refused_for_good() -> None:
    configured = ConfiguredSource("stripe", "stripe", (SECRET,))
    wrong = ConfiguredSource("stripe", "stripe", (OTHER,))
    limits = IngressLimits(retry_after_seconds=1)
    async with door(MemoryStore(failures=2), limits) as d:
        delivered = await Delivery(d.session, d.url, configured).send(BODY)
        assert (delivered.status, delivered.attempts) == (200, 3)
        refused = await Delivery(d.session, d.url, wrong).send(BODY)
        assert (refused.status, refused.reason, refused.attempts) == (401, "signature_wrong", 1)
        assert len(d.store.kept) == 1


async def test_delivery_ends_with_a_reason_when_nobody_answers() -> None:
    configured = ConfiguredSource("stripe", "stripe", (SECRET,))
    async with aiohttp.ClientSession() as session:
        delivery = Delivery(session, "http://127.0.0.1:9", configured, patience_s=1)
        delivered = await delivery.send(BODY)
    assert not delivered.stored and delivered.status == 0
    assert "ingress" in delivered.what_to_do


async def test_ingest_counts_every_event_once_and_keeps_the_order_of_an_account() -> None:
    bodies = [
        json.dumps(p.event("invoice.paid", p.invoice(customer=f"cus_{at % 7}"), id=f"evt_{at}"))
        for at in range(200)
    ]
    events = [(f"f:{at}", body.encode()) for at, body in enumerate(bodies)]
    events.insert(50, ("f:bad", b"nonsense"))
    configured = ConfiguredSource("stripe", "stripe", (SECRET,))
    async with door() as d:
        report = await ingest(iter(events), d.url, configured, concurrency=8)
    assert report.counts == {"stored": 200, "payload_not_json": 1}
    assert [place for place, _ in report.failures] == ["f:bad"]
    for customer in range(7):
        key = f"acme/stripe/cus_{customer}"
        ids = [json.loads(raw.body)["id"] for kept, raw in d.store.kept if kept == key]
        assert ids == [f"evt_{at}" for at in range(customer, 200, 7)]
