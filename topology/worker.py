"""A worker of the group: the topology as a Faust app, with its views and, on the leader, its clock.

Problem: the graph, the contracts and the web must be put together in one place, and only when a
worker really starts. How: schemas are registered (an incompatible one stops the start), the app is
built, and Faust's own worker runs it.
"""

from __future__ import annotations

from streamsync.config import Settings
from streamsync.contracts import ContractError, Contracts, SchemaRegistry
from streamsync.contracts.choice import CodecUnavailable
from streamsync.core.records import Tick
from streamsync.engine.app import LaneApp, build_app, end_on_sigterm, run_worker
from streamsync.engine.clock import ClockSpec
from streamsync.engine.datadir import DataDirectoryRefused
from streamsync.engine.lane import Output, SourceRecord
from topology import build, topics, web


def create_app(settings: Settings) -> LaneApp:
    """The Faust app of this installation; registers the contracts first."""
    contracts = Contracts(SchemaRegistry(settings.schema_registry_url), settings.codec)
    contracts.load_history()
    topology = build(
        contracts,
        tenant=settings.tenant,
        partitions=settings.partitions,
        app_id=settings.app_id,
    )
    app = build_app(
        topology,
        bootstrap_servers=settings.brokers(),
        data_dir=settings.data_dir,
        web_host=settings.host,
        web_port=settings.worker_web_port,
        public_url=settings.public_url,
        standby_replicas=settings.standby_replicas,
        drain_timeout_s=settings.drain_seconds,
        clock=_clock(contracts, settings) if settings.clock == "system" else None,
    )
    web.add_views(app)
    return app


def _clock(contracts: Contracts, settings: Settings) -> ClockSpec:
    def tick(number: int, time_ms: int) -> Output:
        record = Tick(number=number, time_ms=time_ms, leader=settings.app_id)
        return Output(topics.CONTROL, None, contracts.encode(record))

    def number_of(record: SourceRecord) -> int | None:
        if record.value is None:
            return None
        try:
            told = contracts.decode(record.value)
        except ContractError:
            return None
        return told.number if isinstance(told, Tick) else None

    return ClockSpec(topics.CONTROL, settings.tick_seconds * 1_000, tick, number_of)


def run(settings: Settings) -> None:
    """Run a worker until a signal ends it.

    A data directory that isn't its own, or a codec that isn't there, ends it at once.
    """
    end_on_sigterm()
    try:
        run_worker(create_app(settings))
    except (CodecUnavailable, DataDirectoryRefused) as refused:
        raise SystemExit(str(refused)) from refused
