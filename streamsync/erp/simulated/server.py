"""The HTTP face of the simulated ERP.

Problem: an adapter must be proven over a real connection that answers late, refuses, is busy or
breaks. How: aiohttp on loopback; a bearer token on everything but health and metrics; a batch is
answered line by line, so that what is cut in the middle is half known, as it is in real life.
"""

from __future__ import annotations

import asyncio
import hmac
import json
import logging
from collections.abc import Awaitable, Callable
from dataclasses import asdict, dataclass
from typing import Any, Literal

from aiohttp import web
from prometheus_client import CollectorRegistry, Counter, Gauge, generate_latest
from pydantic import ValidationError

from streamsync.erp.simulated.document import Chart, first_problem
from streamsync.erp.simulated.ledger import Answer, Ledger
from streamsync.erp.simulated.manifest import ManifestFile

log = logging.getLogger(__name__)
Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]
STATUS = {"posted": 201, "duplicate": 200, "processing": 202, "rejected": 422, "not_found": 404}
BATCH_MAX = 500
BODY_MAX_BYTES = 8 * 1024 * 1024


@dataclass(slots=True)
class Outage:
    """The next `requests` requests to the journal get `status` instead of an answer."""

    status: int = 503
    requests: int = 0


class Server:
    """Routes, token and outage around one ledger."""

    def __init__(
        self, ledger: Ledger, manifest: ManifestFile, token: str, hold_seconds: float
    ) -> None:
        self._ledger = ledger
        self._manifest = manifest
        self._token = token
        self._hold_seconds = hold_seconds
        self._outage = Outage()
        self._registry = CollectorRegistry()
        self._answers = Counter(
            "streamsync_erp_answers",
            "Documents by what the simulated ERP answered",
            ["request", "outcome"],
            registry=self._registry,
        )
        self._entries = Gauge(
            "streamsync_erp_entries", "Journal entries", ["state"], registry=self._registry
        )
        self._faults = Gauge(
            "streamsync_erp_faults", "Faults so far", ["kind"], registry=self._registry
        )
        manifest.write(ledger.manifest())

    def application(self) -> web.Application:
        """The aiohttp application."""
        app = web.Application(
            middlewares=[self._authenticate, self._interrupt], client_max_size=BODY_MAX_BYTES
        )
        app.router.add_post("/journal-entries", self._post)
        app.router.add_get("/journal-entries", self._look_up)
        app.router.add_get("/journal-entries/{number}", self._by_number)
        app.router.add_get("/trial-balance", self._trial_balance)
        app.router.add_post(r"/periods/{entity}/{period}/{verb:close|open}", self._period)
        app.router.add_post("/admin/chart", self._chart)
        app.router.add_get("/admin/clock", self._clock)
        app.router.add_post("/admin/clock", self._set_clock)
        app.router.add_post("/admin/outage", self._set_outage)
        app.router.add_get("/admin/manifest", self._get_manifest)
        app.router.add_get("/health", self._health)
        app.router.add_get("/metrics", self._metrics)
        return app

    @web.middleware
    async def _authenticate(self, request: web.Request, handler: Handler) -> web.StreamResponse:
        if request.path not in ("/health", "/metrics"):
            given = request.headers.get("Authorization", "").encode()
            if not hmac.compare_digest(given, f"Bearer {self._token}".encode()):
                return _problem(401, "UNAUTHORIZED", "send the ERP's bearer token")
        return await handler(request)

    @web.middleware
    async def _interrupt(self, request: web.Request, handler: Handler) -> web.StreamResponse:
        if self._outage.requests > 0 and request.path.startswith("/journal-entries"):
            self._outage.requests -= 1
            answer = _problem(self._outage.status, "BUSY", "try again later")
            answer.headers["Retry-After"] = "1"
            return answer
        return await handler(request)

    # Journal entries.

    async def _post(self, request: web.Request) -> web.StreamResponse:
        body = await _json(request)
        if not (isinstance(body, dict) and set(body) == {"documents"}):
            answer = self._answer(body)
            if answer.cut:
                return await self._cut(request, web.Response())
            return web.json_response(answer.as_json(), status=STATUS[answer.outcome])
        documents = body["documents"]
        if not isinstance(documents, list) or not 0 < len(documents) <= BATCH_MAX:
            return _problem(400, "BATCH_INVALID", f"documents: a list of 1 to {BATCH_MAX}")
        stream = web.StreamResponse(headers={"Content-Type": "application/x-ndjson"})
        await stream.prepare(request)
        for document in documents:
            answer = self._answer(document)
            if answer.cut:
                return await self._cut(request, stream)
            await stream.write(json.dumps(answer.as_json()).encode() + b"\n")
        await stream.write_eof()
        return stream

    def _answer(self, document: object) -> Answer:
        answer = self._ledger.post(document)
        self._answers.labels("post", answer.outcome).inc()
        self._manifest.write(self._ledger.manifest())
        return answer

    async def _cut(self, request: web.Request, stream: web.StreamResponse) -> web.StreamResponse:
        """Hold the connection, then break it: the client can't know what was booked."""
        await asyncio.sleep(self._hold_seconds)
        if request.transport is not None:
            request.transport.close()
        return stream

    async def _look_up(self, request: web.Request) -> web.Response:
        entity, key = request.query.get("entity"), request.query.get("external_key")
        if not entity or not key:
            return _problem(400, "QUERY_INVALID", "give entity and external_key")
        answer = self._ledger.look_up(entity, key)
        self._answers.labels("look_up", answer.outcome).inc()
        self._manifest.write(self._ledger.manifest())
        status = 200 if answer.outcome == "posted" else STATUS[answer.outcome]
        return web.json_response(answer.as_json(), status=status)

    async def _by_number(self, request: web.Request) -> web.Response:
        document = self._ledger.by_number(request.match_info["number"])
        if document is None:
            return _problem(404, "NOT_FOUND", "no booked entry has this number")
        return web.json_response(document)

    async def _trial_balance(self, request: web.Request) -> web.Response:
        entity = request.query.get("entity")
        if not entity or self._ledger.functional_currency(entity) is None:
            return _problem(404, "ENTITY_UNKNOWN", "give an entity that has a chart")
        period = request.query.get("period")
        accounts = self._ledger.trial_balance(entity, period)
        return web.json_response({"entity": entity, "period": period, "accounts": accounts})

    async def _period(self, request: web.Request) -> web.Response:
        entity, period = request.match_info["entity"], request.match_info["period"]
        status: Literal["open", "closed"] = (
            "closed" if request.match_info["verb"] == "close" else "open"
        )
        if not self._ledger.set_period(entity, period, status):
            return _problem(404, "ENTITY_UNKNOWN", "this entity has no chart of accounts")
        return web.json_response({"entity": entity, "period": period, "status": status})

    # Administration.

    async def _chart(self, request: web.Request) -> web.Response:
        try:
            chart = Chart.model_validate(await _json(request))
        except ValidationError as error:
            return _problem(400, "CHART_INVALID", first_problem(error))
        self._ledger.load_chart(chart)
        return web.json_response({"entities": [entity.id for entity in chart.entities]})

    async def _clock(self, _: web.Request) -> web.Response:
        return web.json_response(
            {"time_ms": self._ledger.now_ms(), "due_unanswered": self._ledger.due_unanswered()}
        )

    async def _set_clock(self, request: web.Request) -> web.Response:
        time_ms = _whole(await _json(request), "time_ms")
        if time_ms is None:
            return _problem(400, "CLOCK_INVALID", "time_ms: whole milliseconds since 1970")
        now_ms = self._ledger.set_clock(time_ms)
        self._manifest.write(self._ledger.manifest())
        due = self._ledger.due_unanswered()
        return web.json_response({"time_ms": now_ms, "due_unanswered": due})

    async def _set_outage(self, request: web.Request) -> web.Response:
        body = await _json(request)
        status, requests = _whole(body, "status"), _whole(body, "requests")
        if status not in (429, 500, 503) or requests is None:
            return _problem(400, "OUTAGE_INVALID", "status: 429, 500 or 503; requests: how many")
        self._outage = Outage(status, requests)
        return web.json_response(asdict(self._outage))

    async def _get_manifest(self, _: web.Request) -> web.Response:
        return web.json_response({"faults": self._ledger.manifest()})

    async def _health(self, _: web.Request) -> web.Response:
        return web.json_response({"status": "ok", "entries": self._ledger.counts()})

    async def _metrics(self, _: web.Request) -> web.Response:
        for state, count in self._ledger.counts().items():
            self._entries.labels(state).set(count)
        kinds = [row["kind"] for row in self._ledger.manifest()]
        for kind in set(kinds):
            self._faults.labels(kind).set(kinds.count(kind))
        return web.Response(body=generate_latest(self._registry), content_type="text/plain")


async def _json(request: web.Request) -> Any:
    try:
        return json.loads(await request.read())
    except ValueError:
        raise web.HTTPBadRequest(
            text=json.dumps(_error("BODY_INVALID", "the body is not JSON")),
            content_type="application/json",
        ) from None


def _whole(body: object, name: str) -> int | None:
    value = body.get(name) if isinstance(body, dict) else None
    whole = isinstance(value, int) and not isinstance(value, bool) and value >= 0
    return value if whole else None


def _error(code: str, message: str) -> dict[str, Any]:
    return {"error": {"code": code, "message": message}}


def _problem(status: int, code: str, message: str) -> web.Response:
    return web.json_response(_error(code, message), status=status)
