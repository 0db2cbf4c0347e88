"""What an adapter shows of itself: health, figures, metrics.

Problem: an operator, and a demo that moves time, must know what is still on its way. How: `/status`
counts commands by state and the lag behind the topic, per entity; `/metrics` says the same to
Prometheus; `/health` is not ok while an entity's ERP can't be used, `/health/live` says only that
the process answers.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from aiohttp import web
from prometheus_client import CollectorRegistry, Counter, Gauge, generate_latest

from streamsync.erp.intake import Intake
from streamsync.erp.lane import EntityLane
from streamsync.erp.outbox import Outbox, Outgoing


class AdapterMetrics:
    """Counters and gauges of one process."""

    def __init__(self, erp: str) -> None:
        self._erp = erp
        self.registry = CollectorRegistry()
        self._outcomes = Counter(
            "streamsync_adapter_outcomes",
            "Requests to the ERP, per document, by outcome",
            ["erp", "entity", "request", "outcome"],
            registry=self.registry,
        )
        self._delivered = Counter(
            "streamsync_adapter_delivered",
            "Messages that Kafka has acknowledged",
            ["erp", "topic"],
            registry=self.registry,
        )
        self._commands = Gauge(
            "streamsync_adapter_commands",
            "Commands in the outbox by state",
            ["erp", "entity", "state"],
            registry=self.registry,
        )
        self._undelivered = Gauge(
            "streamsync_adapter_undelivered",
            "Messages not yet acknowledged by Kafka",
            ["erp"],
            registry=self.registry,
        )
        self._paused = Gauge(
            "streamsync_adapter_paused",
            "1 while the adapter only collects",
            ["erp", "entity"],
            registry=self.registry,
        )
        self._lag = Gauge(
            "streamsync_adapter_lag",
            "Committed commands not yet in the outbox",
            ["erp", "entity"],
            registry=self.registry,
        )

    def outcome(self, entity: str, request: str, outcome: str) -> None:
        """One document was asked for or about."""
        self._outcomes.labels(self._erp, entity, request, outcome).inc()

    def delivered(self, message: Outgoing) -> None:
        """Kafka has a message."""
        self._delivered.labels(self._erp, message.topic).inc()

    def show(self, status: Mapping[str, Any]) -> bytes:
        """All metrics as text, gauges from `status`."""
        self._undelivered.labels(self._erp).set(status["undelivered"])
        for entity, figures in status["entities"].items():
            for state, count in figures["commands"].items():
                self._commands.labels(self._erp, entity, state).set(count)
            self._paused.labels(self._erp, entity).set(figures["paused"] is not None)
            if figures["lag"] is not None:
                self._lag.labels(self._erp, entity).set(figures["lag"])
        return generate_latest(self.registry)


class StatusPage:
    """The process's small web server."""

    def __init__(
        self,
        outbox: Outbox,
        lanes: Sequence[EntityLane],
        intakes: Mapping[str, Intake],
        metrics: AdapterMetrics,
    ) -> None:
        self._outbox = outbox
        self._lanes = lanes
        self._intakes = intakes
        self._metrics = metrics

    def application(self) -> web.Application:
        """The aiohttp application."""
        app = web.Application()
        app.router.add_get("/health", self._health)
        app.router.add_get("/health/live", self._live)
        app.router.add_get("/status", self._get_status)
        app.router.add_get("/metrics", self._get_metrics)
        return app

    async def _status(self) -> dict[str, Any]:
        # The lag first: a command that arrives in between is then counted twice, never missed.
        lags = {lane.entity: await self._intakes[lane.entity].lag() for lane in self._lanes}
        return {
            "entities": {
                lane.entity: {
                    "lag": lags[lane.entity],
                    "commands": self._outbox.counts(lane.entity),
                    "paused": lane.paused,
                }
                for lane in self._lanes
            },
            "undelivered": self._outbox.undelivered_count(),
        }

    async def _health(self, _: web.Request) -> web.Response:
        paused = {lane.entity: lane.paused for lane in self._lanes if lane.paused is not None}
        if paused:
            return web.json_response({"status": "paused", "entities": paused}, status=503)
        return web.json_response({"status": "ok"})

    async def _live(self, _: web.Request) -> web.Response:
        return web.json_response({"live": True})

    async def _get_status(self, _: web.Request) -> web.Response:
        return web.json_response(await self._status())

    async def _get_metrics(self, _: web.Request) -> web.Response:
        body = self._metrics.show(await self._status())
        return web.Response(body=body, content_type="text/plain")
