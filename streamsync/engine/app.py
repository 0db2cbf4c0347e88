"""A topology as a Faust app.

Problem: one definition of the lanes must run in memory, in a worker and in many workers. Here it
becomes a Faust app through Faust's own extension points: transport and store by URL scheme, the
table manager by setting. Nothing of Faust is patched, and stock agents, tables, timers and pages
work beside the lanes.
"""

from __future__ import annotations

import gc
from collections.abc import Callable
from pathlib import Path
from typing import Any, cast

import faust
from faust.stores import STORES
from faust.transport.drivers import TRANSPORTS
from prometheus_client import CollectorRegistry
from yarl import URL

from streamsync.engine import watch
from streamsync.engine.clock import Clock, ClockSpec
from streamsync.engine.cluster import Cluster
from streamsync.engine.commit import FaultHook, no_faults
from streamsync.engine.lane import LaneSpec, Topology
from streamsync.engine.lanes import Lanes
from streamsync.engine.metrics import EngineMetrics
from streamsync.engine.store import LaneStore
from streamsync.engine.tables import LaneTableManager
from streamsync.engine.views import Views

SCHEME = "streamsync"
GC_THRESHOLDS = (50_000, 20, 20)


class LaneApp(faust.App):
    """A Faust app with lanes."""

    lanes: Lanes
    views: Views


def build_app(
    topology: Topology,
    *,
    bootstrap_servers: str,
    data_dir: Path | str,
    web_host: str = "127.0.0.1",
    web_port: int = 6066,
    public_url: str | None = None,
    clock: ClockSpec | None = None,
    registry: CollectorRegistry | None = None,
    fault: FaultHook = no_faults,
    session_timeout_s: float = 10.0,
) -> LaneApp:
    """The Faust app of a topology; nothing is contacted before it starts.

    `public_url` is how other workers reach this one's views, when not by host and port.
    Without `clock` time comes from outside (`clock: external`).
    `fault` is called after each numbered commit step: for tests that kill the process there.
    """
    TRANSPORTS.aliases[SCHEME] = "streamsync.engine.transport:LaneTransport"
    STORES.aliases[SCHEME] = "streamsync.engine.store:LaneStore"
    app = LaneApp(
        topology.app_id,
        broker=[URL(f"{SCHEME}://{server.strip()}") for server in bootstrap_servers.split(",")],
        store="rocksdb://",
        datadir=str(data_dir),
        TableManager=LaneTableManager,
        producer_partitioner=_faust_partitioner(topology),
        web_bind=web_host,
        web_host=web_host,
        web_port=web_port,
        canonical_url=public_url,
        broker_session_timeout=session_timeout_s,
        broker_heartbeat_interval=session_timeout_s / 5,
        broker_rebalance_timeout=30.0,
        broker_request_timeout=30.0,
        broker_commit_interval=1.0,
        broker_max_poll_records=4_000,
        consumer_max_fetch_size=1 << 20,
        consumer_auto_offset_reset="earliest",
        stream_wait_empty=False,
    )
    app.lanes = Lanes(
        topology,
        Cluster(bootstrap_servers),
        EngineMetrics(registry if registry is not None else CollectorRegistry()),
        fault,
    )
    for spec in topology.lanes:
        _add_lane(app, topology, spec)
    app.views = Views(app)
    app.timer(interval=watch.INTERVAL_S, name="hanging transactions")(app.lanes.look_for_hanging)
    if clock is not None:
        _add_clock(app, topology, clock)
    return app


def _add_lane(app: LaneApp, topology: Topology, spec: LaneSpec) -> None:
    table = app.Table(
        spec.name,
        partitions=topology.topic(spec.source).partitions,
        key_type=bytes,
        value_type=bytes,
        store=f"{SCHEME}:{spec.name}",
    )
    app.lanes.add(spec, lambda: cast(LaneStore, table.data))
    app.topics.add(app.topic(spec.source, key_type=bytes, value_type=bytes, acks=False))


def _add_clock(app: LaneApp, topology: Topology, spec: ClockSpec) -> None:
    clock = Clock(spec, app.lanes.cluster, topology.app_id, app.lanes.metrics.ticks.inc)

    app.timer(interval=spec.interval_ms / 1_000, on_leader=True, name="clock")(clock.emit)


def _faust_partitioner(topology: Topology) -> Callable[[bytes | None, list[int], list[int]], int]:
    def partition(key: bytes | None, partitions: list[int], _available: list[int]) -> int:
        return partitions[topology.partitioner(key, len(partitions))]

    return partition


def run_worker(app: LaneApp, *, loglevel: str = "INFO", **settings: Any) -> None:
    """Run the app until a signal; ends the process with 0, or with 1 after a crash."""
    app.finalize()
    # A lane holds hundreds of thousands of rows and records that never form cycles; with Python's
    # own thresholds looking through them takes a third of the time.
    gc.freeze()
    gc.set_threshold(*GC_THRESHOLDS)
    worker = app.Worker(loglevel=loglevel, redirect_stdouts=False, **settings)
    worker.execute_from_commandline()
