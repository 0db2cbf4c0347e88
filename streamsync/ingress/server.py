"""The HTTP side of the ingress: one webhook in, one true answer out.

Problem: whoever posts here may be a billing system, a forger or a flood, and 200 must mean stored.
How: cheap checks first (source, size, type), then the signature over the raw bytes, then rate and
JSON; only then the record is written, and the answer waits for the broker. An unverified request
gets 401 and a counter and touches no topic.
"""

from __future__ import annotations

import asyncio
import hashlib
import logging
import time
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass

from aiohttp import web
from prometheus_client import CONTENT_TYPE_LATEST, generate_latest

from streamsync.core.records import RawWebhook
from streamsync.ingress.masking import mask_cards
from streamsync.ingress.metrics import IngressMetrics
from streamsync.ingress.publisher import TOO_LARGE, NotStored
from streamsync.ingress.settings import IngressLimits
from streamsync.ingress.throttle import Bucket
from streamsync.sources import SOURCES, account_key
from streamsync.sources.configured import ConfiguredSource
from streamsync.sources.refusal import Refusal
from streamsync.sources.signature import SignatureRefused

logger = logging.getLogger(__name__)

Store = Callable[[str, RawWebhook], Awaitable[None]]
"""Writes a record under a key; returns when it is stored, raises `NotStored` when it is not."""


class _Refused(Exception):
    def __init__(
        self, status: int, outcome: str, what_to_do: str, retry_after_s: int | None = None
    ) -> None:
        super().__init__(outcome)
        self.status = status
        self.outcome = outcome
        self.what_to_do = what_to_do
        self.retry_after_s = retry_after_s


@dataclass(frozen=True, slots=True)
class _Clock:
    wall_ms: Callable[[], int] = lambda: time.time_ns() // 1_000_000
    steady_ns: Callable[[], int] = time.monotonic_ns


class Ingress:
    """Handlers and state of one ingress process."""

    def __init__(
        self,
        tenant: str,
        sources: Mapping[str, ConfiguredSource],
        store: Store,
        is_ready: Callable[[], bool],
        *,
        limits: IngressLimits | None = None,
        clock: _Clock | None = None,
    ) -> None:
        self.metrics = IngressMetrics()
        self._tenant = tenant
        self._sources = sources
        self._store = store
        self._is_ready = is_ready
        self._limits = limits or IngressLimits()
        self._clock = clock or _Clock()
        self._open = 0
        self._draining = False
        now_ns = self._clock.steady_ns()
        self._buckets = {
            name: Bucket(source.requests_per_second, source.burst, now_ns)
            for name, source in sources.items()
        }

    def app(self) -> web.Application:
        """The web application."""
        app = web.Application()
        app.router.add_post("/webhooks/{source}", self._webhook)
        app.router.add_get("/health/live", self._live)
        app.router.add_get("/health/ready", self._ready)
        app.router.add_get("/metrics", self._metrics)
        return app

    def drain(self) -> None:
        """From now on: not ready, and new webhooks are sent elsewhere."""
        self._draining = True

    async def _live(self, _: web.Request) -> web.Response:
        return web.json_response({"live": True})

    async def _ready(self, _: web.Request) -> web.Response:
        ready = self._is_ready() and not self._draining
        return web.json_response({"ready": ready}, status=200 if ready else 503)

    async def _metrics(self, _: web.Request) -> web.Response:
        self.metrics.ready.set(1 if self._is_ready() and not self._draining else 0)
        text = generate_latest(self.metrics.registry)
        return web.Response(body=text, headers={"Content-Type": CONTENT_TYPE_LATEST})

    async def _webhook(self, request: web.Request) -> web.Response:
        name = request.match_info["source"]
        label = name if name in self._sources else "unknown"
        self._open += 1
        self.metrics.in_flight.set(self._open)
        try:
            await self._accept(request, name)
        except _Refused as why:
            self.metrics.requests.labels(label, why.outcome).inc()
            logger.info("webhook of %s refused: %d %s", label, why.status, why.outcome)
            return _answer(why)
        finally:
            self._open -= 1
            self.metrics.in_flight.set(self._open)
        self.metrics.requests.labels(label, "stored").inc()
        return web.json_response({"stored": True})

    async def _accept(self, request: web.Request, name: str) -> None:
        configured = self._sources.get(name)
        if configured is None:
            raise _Refused(404, "source_unknown", "Post to /webhooks/ and a configured source.")
        if self._draining or self._open > self._limits.in_flight_max:
            raise self._unavailable("draining" if self._draining else "busy")
        _check_headers(request)
        body = await self._read(request)
        key_id = self._verify(request, configured, body)
        wait_s = self._buckets[name].take(self._clock.steady_ns())
        if wait_s:
            raise _Refused(429, "throttled", "Send again later.", wait_s)
        await self._keep(configured, request.content_type, body, key_id)

    async def _read(self, request: web.Request) -> bytes:
        limit = self._limits.body_max_bytes
        too_large = _Refused(413, "body_too_large", f"A body may have {limit} bytes.")
        if request.content_length is not None and request.content_length > limit:
            raise too_large
        body = bytearray()
        try:
            async with asyncio.timeout(self._limits.read_timeout_seconds):
                async for chunk in request.content.iter_any():
                    body += chunk
                    if len(body) > limit:
                        raise too_large
        except TimeoutError as error:
            raise _Refused(408, "body_too_slow", "Send the body without pauses.") from error
        return bytes(body)

    def _verify(self, request: web.Request, configured: ConfiguredSource, body: bytes) -> str:
        source = SOURCES[configured.kind]
        try:
            return source.verify(request.headers, body, configured.secrets, self._clock.wall_ms())
        except SignatureRefused as why:
            what = "Sign the exact bytes of the body with a secret of this source, with a clock "
            raise _Refused(401, why.reason, what + "that is right.") from why

    async def _keep(
        self, configured: ConfiguredSource, content_type: str, body: bytes, key_id: str
    ) -> None:
        masked = mask_cards(body)
        try:
            envelope = SOURCES[configured.kind].envelope(masked)
        except Refusal as why:
            raise _Refused(400, why.reason, f"{why.detail}. Send strict JSON.") from why
        content_hash = hashlib.sha256(body).hexdigest()
        named = envelope.account or envelope.event_id or content_hash
        raw = RawWebhook(
            tenant=self._tenant,
            source=configured.name,
            source_kind=configured.kind,
            body=masked,
            content_type=content_type,
            content_hash=content_hash,
            signing_key_id=key_id,
            received_at_ms=self._clock.wall_ms(),
        )
        try:
            with self.metrics.store_seconds.time():
                await self._store(account_key(self._tenant, configured.name, named), raw)
        except NotStored as why:
            if why.reason == TOO_LARGE:
                raise _Refused(
                    413, TOO_LARGE, "The topic takes no record of this size; send smaller events."
                ) from why
            raise self._unavailable(why.reason) from why
        self.metrics.stored_bytes.labels(configured.name).inc(len(masked))
        if masked is not body:
            self.metrics.masked.labels(configured.name).inc()

    def _unavailable(self, outcome: str) -> _Refused:
        what = "Nothing was stored; send the same request again."
        return _Refused(503, outcome, what, self._limits.retry_after_seconds)


def _check_headers(request: web.Request) -> None:
    charset = (request.charset or "utf-8").lower()
    if request.content_type != "application/json" or charset != "utf-8":
        raise _Refused(415, "content_type_wrong", "Send application/json in UTF-8.")
    if request.headers.get("Content-Encoding", "identity") != "identity":
        # A small compressed body can unpack to gigabytes, and the signature is over plain bytes.
        raise _Refused(415, "content_encoding_refused", "Send the body uncompressed.")


def _answer(why: _Refused) -> web.Response:
    headers = {} if why.retry_after_s is None else {"Retry-After": str(why.retry_after_s)}
    response = web.json_response(
        {"error": why.outcome, "what_to_do": why.what_to_do}, status=why.status, headers=headers
    )
    if why.status in (408, 413):
        # The rest of the body is not read.
        response.force_close()
    return response
