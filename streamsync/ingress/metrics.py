"""What the ingress counts: every request once, by source and what became of it."""

from __future__ import annotations

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram


class IngressMetrics:
    """Counters of one ingress process, on a registry of their own."""

    def __init__(self) -> None:
        self.registry = CollectorRegistry()
        self.requests = Counter(
            "streamsync_ingress_requests",
            "Webhook requests by source and outcome.",
            ("source", "outcome"),
            registry=self.registry,
        )
        self.masked = Counter(
            "streamsync_ingress_bodies_masked",
            "Stored bodies in which a card number was masked.",
            ("source",),
            registry=self.registry,
        )
        self.stored_bytes = Counter(
            "streamsync_ingress_stored_bytes",
            "Bytes of stored bodies.",
            ("source",),
            registry=self.registry,
        )
        self.store_seconds = Histogram(
            "streamsync_ingress_store_seconds",
            "From the verified body to the broker's acknowledgement.",
            registry=self.registry,
        )
        self.in_flight = Gauge(
            "streamsync_ingress_requests_in_flight",
            "Requests being handled.",
            registry=self.registry,
        )
        self.ready = Gauge(
            "streamsync_ingress_ready",
            "1 while the broker answers and webhooks are stored.",
            registry=self.registry,
        )
