"""A topology as a Faust app.

Problem: one definition of the lanes must run in memory, in a worker and in many workers. Here it
becomes a Faust app through Faust's own extension points: transport and store by URL scheme, the
table manager by setting. Nothing of Faust is patched, and stock agents, tables, timers and pages
work beside the lanes.
"""

from __future__ import annotations

import gc
import logging
import os
import signal
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any, cast

import faust
from faust.auth import Credentials, SASLCredentials, SSLCredentials
from faust.stores import STORES
from faust.transport.drivers import TRANSPORTS
from prometheus_client import CollectorRegistry
from yarl import URL

from streamsync.brokers import Brokers
from streamsync.engine import watch
from streamsync.engine.clock import Clock, ClockSpec
from streamsync.engine.cluster import Cluster
from streamsync.engine.commit import FaultHook, no_faults
from streamsync.engine.datadir import claim
from streamsync.engine.health import add_pages
from streamsync.engine.lane import LaneSpec, Topology
from streamsync.engine.lanes import Lanes
from streamsync.engine.metrics import EngineMetrics
from streamsync.engine.store import LaneStore
from streamsync.engine.tables import LaneTable, LaneTableManager
from streamsync.engine.views import Views

log = logging.getLogger(__name__)

SCHEME = "streamsync"
GC_THRESHOLDS = (50_000, 20, 20)
METADATA_MAX_AGE_MS = 3_000


class LaneApp(faust.App):
    """A Faust app with lanes."""

    lanes: Lanes
    views: Views
    drain_timeout_s: float

    async def on_stop(self) -> None:
        """Step 15: what a worker does first when it is asked to end.

        Before anything of Faust's is stopped, which may wait for a broker: the time runs from here
        on. And before the worker leaves the group: from then on others change what it would show.
        """
        _end_within(self.drain_timeout_s)
        await self.lanes.release()
        await super().on_stop()


def build_app(
    topology: Topology,
    *,
    bootstrap_servers: Brokers | str,
    data_dir: Path | str,
    web_host: str = "127.0.0.1",
    web_port: int = 6066,
    public_url: str | None = None,
    clock: ClockSpec | None = None,
    registry: CollectorRegistry | None = None,
    fault: FaultHook = no_faults,
    session_timeout_s: float = 10.0,
    standby_replicas: int = 1,
    drain_timeout_s: float = 30.0,
) -> LaneApp:
    """The Faust app of a topology; nothing is contacted before it starts.

    `bootstrap_servers` are plain addresses, or brokers with encryption and credentials.
    `public_url` is how other workers reach this one's views, when not by host and port.
    `standby_replicas` is on how many other workers each lane partition has a warm copy.
    After SIGTERM a worker commits and leaves the group; one that still runs after
    `drain_timeout_s` is ended, and what it had not committed is done again by its successor.
    Without `clock` time comes from outside (`clock: external`).
    `fault` is called after each numbered commit step: for tests that kill the process there.
    """
    TRANSPORTS.aliases[SCHEME] = "streamsync.engine.transport:LaneTransport"
    STORES.aliases[SCHEME] = "streamsync.engine.store:LaneStore"
    brokers = Brokers.of(bootstrap_servers)
    app = LaneApp(
        topology.app_id,
        broker=[URL(f"{SCHEME}://{address}") for address in brokers.addresses],
        broker_credentials=_credentials(brokers),
        store="rocksdb://",
        datadir=str(data_dir),
        TableManager=LaneTableManager,
        producer_partitioner=_faust_partitioner(topology),
        web_bind=web_host,
        web_host=web_host,
        web_port=web_port,
        canonical_url=public_url,
        table_standby_replicas=standby_replicas,
        broker_session_timeout=session_timeout_s,
        broker_heartbeat_interval=session_timeout_s / 5,
        broker_rebalance_timeout=30.0,
        broker_request_timeout=30.0,
        broker_commit_interval=1.0,
        # aiokafka asks a former leader for offsets, again and again, until it looks who leads now.
        consumer_metadata_max_age_ms=METADATA_MAX_AGE_MS,
        producer_metadata_max_age_ms=METADATA_MAX_AGE_MS,
        broker_max_poll_records=4_000,
        consumer_max_fetch_size=1 << 20,
        consumer_auto_offset_reset="earliest",
        stream_wait_empty=False,
    )
    app.lanes = Lanes(
        topology,
        Cluster(brokers),
        EngineMetrics(registry if registry is not None else CollectorRegistry()),
        fault,
    )
    for spec in topology.lanes:
        _add_lane(app, topology, spec)
    app.lanes.membership.session_timeout_s = session_timeout_s
    app.views = Views(app)
    app.drain_timeout_s = drain_timeout_s
    app.timer(interval=watch.INTERVAL_S, name="hanging transactions")(app.lanes.look_for_hanging)
    add_pages(app)
    if clock is not None:
        _add_clock(app, topology, clock)
    return app


def _end_within(timeout_s: float) -> None:
    """End this process by then, whatever still waits for a broker or a disk."""

    def end() -> None:
        log.error(
            "The worker did not end within %.0f s; it is ended now. Nothing is lost: its "
            "partitions go on from their last commit.", timeout_s,
        )  # fmt: skip
        os._exit(1)

    timer = threading.Timer(timeout_s, end)
    timer.daemon = True
    timer.start()


def _add_lane(app: LaneApp, topology: Topology, spec: LaneSpec) -> None:
    table = cast(
        LaneTable,
        app.tables.add(
            LaneTable(
                app,
                name=spec.name,
                partitions=topology.topic(spec.source).partitions,
                key_type=bytes,
                value_type=bytes,
                store=f"{SCHEME}:{spec.name}",
                help=f"Rows of lane {spec.name}, read only.",
            )
        ),
    )
    app.lanes.add(spec, lambda: cast(LaneStore, table.data))
    app.topics.add(app.topic(spec.source, key_type=bytes, value_type=bytes, acks=False))


def _add_clock(app: LaneApp, topology: Topology, spec: ClockSpec) -> None:
    clock = Clock(spec, app.lanes.cluster, topology.app_id, app.lanes.metrics.ticks.inc)

    app.timer(interval=spec.interval_ms / 1_000, on_leader=True, name="clock")(clock.emit)


def _credentials(brokers: Brokers) -> Credentials | None:
    """The same as Faust's own clients want it."""
    context = brokers.ssl_context()
    if brokers.uses_sasl:
        return SASLCredentials(
            username=brokers.username,
            password=brokers.password,
            mechanism=brokers.mechanism,
            ssl_context=context,
        )
    return None if context is None else SSLCredentials(context)


def _faust_partitioner(topology: Topology) -> Callable[[bytes | None, list[int], list[int]], int]:
    def partition(key: bytes | None, partitions: list[int], _available: list[int]) -> int:
        return partitions[topology.partitioner(key, len(partitions))]

    return partition


def end_on_sigterm() -> None:
    """Until the worker runs, and ends in order, there is nothing to end: status 0 at once."""

    def end(_number: int, _frame: object) -> None:
        raise SystemExit(0)

    signal.signal(signal.SIGTERM, end)


def run_worker(app: LaneApp, *, loglevel: str = "INFO", **settings: Any) -> None:
    """Run the app until a signal; ends the process with 0, or with 1 after a crash.

    Raises `DataDirectoryRefused` before anything is contacted.
    """
    end_on_sigterm()
    app.finalize()
    claim(Path(app.conf.datadir), app.lanes.topology.app_id)
    # A lane holds hundreds of thousands of rows and records that never form cycles; with Python's
    # own thresholds looking through them takes a third of the time.
    gc.freeze()
    gc.set_threshold(*GC_THRESHOLDS)
    worker = app.Worker(loglevel=loglevel, redirect_stdouts=False, **settings)
    try:
        worker.execute_from_commandline()
    except SystemExit as ended:
        # Threads that still wait for a broker have nothing left to write; Python would join them.
        logging.shutdown()
        os._exit(int(ended.code or 0))
