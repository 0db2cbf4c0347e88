"""All lanes of one worker: which partitions it owns, from recovery to release.

Problem: Faust tells of partitions in several callbacks, some of them concurrent with a recovery
that still runs in threads. This class is the one place that knows the state; the Faust plug-ins
(`transport`, `tables`) only call it.
"""

from __future__ import annotations

import asyncio
import logging
import threading
import time
from collections.abc import Awaitable, Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from typing import Any, Protocol

from aiokafka.errors import KafkaError as AioKafkaError
from confluent_kafka import KafkaException

from streamsync.engine.cluster import Catalog, Cluster
from streamsync.engine.commit import CommitError, FaultHook
from streamsync.engine.evidence import find_open, look
from streamsync.engine.lane import LaneSpec, TopicSpec, Topology
from streamsync.engine.metrics import EngineMetrics
from streamsync.engine.port import KafkaPort, LoopBackProducer
from streamsync.engine.recovery import RecoveryCancelled, RecoveryPlan, recover
from streamsync.engine.seat import UNTIL_SEEK, Ground, Pace, RejoinGuard, Seat, SeatState
from streamsync.engine.store import LaneStore
from streamsync.engine.watch import Watch
from streamsync.engine.work import Batch

log = logging.getLogger(__name__)

RELEASE_TIMEOUT_S = 15.0
_COMMIT_THREADS = 64

CHANGELOG_CONFIG = {
    "cleanup.policy": "compact",
    # A worker that was away for less than this still learns of every deleted row.
    "delete.retention.ms": str(7 * 24 * 3_600 * 1_000),
    "compression.type": "producer",
}


class Group(Protocol):
    """What lanes ask of the Faust consumer."""

    async def seek_seats(self, seats: Mapping[tuple[str, int], Seat]) -> None:
        """Read on where these seats (by topic and partition) want to, leaving no hole."""

    async def set_fetching(self, topic: str, partition: int, fetching: bool) -> None: ...

    def end_offset(self, topic: str, partition: int) -> int | None:
        """The topic's end as far as this worker has heard of it."""

    def rejoin(self) -> None: ...

    async def stop_worker(self, error: BaseException) -> None: ...


class LaneRuntime:
    """One lane on this worker; the host of its seats."""

    def __init__(self, lanes: Lanes, spec: LaneSpec, store: Callable[[], LaneStore]) -> None:
        self.spec = spec
        self.fault = lanes.fault
        self.changelog = f"{lanes.topology.app_id}-{spec.name}-changelog"
        self.seats: dict[int, Seat] = {}
        self.recovering: set[int] = set()
        self._lanes = lanes
        self._store = store
        self._loop_backs = LoopBackProducer(lanes.cluster)
        self._cancel = threading.Event()
        self._running: asyncio.Future[dict[int, Ground]] | None = None

    @property
    def store(self) -> LaneStore:
        store = self._store()
        store.before_close = self.release
        return store

    # -- recovery and release

    async def recover(self, partitions: Sequence[int], still_ours: Callable[[], bool]) -> None:
        """Steps 3 to 6; raises `RecoveryCancelled` when the group changed meanwhile."""
        await self.release()
        self._cancel = threading.Event()
        self.recovering = set(partitions)
        try:
            grounds = await self._recover_in_thread(partitions)
            if not still_ours():
                raise RecoveryCancelled
            for partition, ground in grounds.items():
                self.seats[partition] = Seat(self, partition, ground, self._lanes.pace)
        finally:
            self.recovering = set()

    async def release(self) -> None:
        """Step 14: stop a recovery that still runs, commit, forget producers and caches."""
        self._cancel.set()
        if self._running is not None:
            # Databases must not be handed on while a thread still writes to them.
            await asyncio.wait([self._running], timeout=RELEASE_TIMEOUT_S)
        await asyncio.gather(*(seat.release(RELEASE_TIMEOUT_S) for seat in self.seats.values()))
        self.seats.clear()

    async def _recover_in_thread(self, partitions: Sequence[int]) -> dict[int, Ground]:
        loop = asyncio.get_running_loop()
        cancel = self._cancel
        running = loop.run_in_executor(
            self._lanes.pool, lambda: self._recover_blocking(partitions, cancel)
        )
        self._running = running
        # Outside of the group's join: a cancelled task must not leave the thread unobserved.
        return await asyncio.shield(running)

    def _recover_blocking(
        self, partitions: Sequence[int], cancel: threading.Event
    ) -> dict[int, Ground]:
        lanes, store = self._lanes, self.store
        plan = RecoveryPlan(
            lane=self.spec.name,
            app_id=lanes.topology.app_id,
            source=self.spec.source,
            changelog=self.changelog,
            changelog_id=lanes.catalog.topic_id(self.changelog),
            partitions=partitions,
            disk=store,
        )
        grounds = {}
        for partition, recovered in recover(plan, lanes.cluster, cancel).items():
            lanes.metrics.recovery_rows.labels(self.spec.name).inc(recovered.changelog_rows)
            port = KafkaPort(
                topology=lanes.topology,
                catalog=lanes.catalog,
                producer=recovered.producer,
                loop_backs=self._loop_backs,
                changelog=self.changelog,
                partition=partition,
                disk=store,
                marker=recovered.marker,
                any_open=lambda places: bool(find_open(lanes.cluster, places)),
            )
            position = recovered.marker.position
            grounds[partition] = Ground(store.rows(partition), position, port)
        return grounds

    # -- what seats ask for

    async def recover_again(self, partition: int) -> Ground:
        return (await self._recover_in_thread([partition]))[partition]

    async def seek(self, seat: Seat) -> None:
        await self._lanes.group.seek_seats({(self.spec.source, seat.partition): seat})

    async def set_fetching(self, partition: int, fetching: bool) -> None:
        await self._lanes.group.set_fetching(self.spec.source, partition, fetching)

    async def run_in_thread(self, call: Callable[[], None]) -> None:
        await asyncio.get_running_loop().run_in_executor(self._lanes.pool, call)

    def discard(self, port: KafkaPort) -> asyncio.Future[None]:
        """Nothing is written by this port any more; closing its producer takes a while."""
        port.abandon()
        return asyncio.get_running_loop().run_in_executor(self._lanes.pool, port.close)

    def lost(self, partition: int, why: CommitError) -> None:
        log.warning(
            "Lane %s partition %d was taken over by another worker (%s).",
            self.spec.name, partition, why,
        )  # fmt: skip
        self._lanes.ask_group_again()

    def committed(self, batch: Batch, seconds: float) -> None:
        metrics, name = self._lanes.metrics, self.spec.name
        metrics.records.labels(name).inc(batch.records)
        metrics.outputs.labels(name).inc(len(batch.outputs))
        metrics.loop_backs.labels(name).inc(len(batch.loop_backs))
        metrics.poison.labels(name).inc(batch.poison)
        metrics.commits.labels(name, "committed").inc()
        metrics.commit_seconds.labels(name).observe(seconds)

        self._lanes.commits += 1

    def failed(self, outcome: str) -> None:
        self._lanes.commits += 1
        self._lanes.metrics.commits.labels(self.spec.name, outcome).inc()

    def crash(self, error: BaseException) -> Awaitable[None]:
        return self._lanes.group.stop_worker(error)


class Lanes:
    """Every lane of the worker."""

    group: Group

    def __init__(
        self, topology: Topology, cluster: Cluster, metrics: EngineMetrics, fault: FaultHook
    ) -> None:
        self.topology = topology
        self.cluster = cluster
        self.metrics = metrics
        self.fault = fault
        self.catalog = Catalog(cluster, topology)
        self.pace = Pace()
        self.pool = ThreadPoolExecutor(_COMMIT_THREADS, "lane")
        self.by_name: dict[str, LaneRuntime] = {}
        self.by_source: dict[str, LaneRuntime] = {}
        self.by_changelog: dict[str, LaneRuntime] = {}
        self._guard = RejoinGuard()
        self._asking: asyncio.Task[None] | None = None
        self._seeking: set[asyncio.Task[None]] = set()
        self.commits = 0
        """Tried so far, on any lane: what `watch` need not look for without."""
        self._watch = Watch(partial(find_open, cluster), partial(look, cluster))

    def add(self, spec: LaneSpec, store: Callable[[], LaneStore]) -> LaneRuntime:
        runtime = LaneRuntime(self, spec, store)
        self.by_name[spec.name] = runtime
        self.by_source[spec.source] = runtime
        self.by_changelog[runtime.changelog] = runtime
        return runtime

    def declare_topics(self) -> None:
        """Create every topic before anybody subscribes; blocks."""
        changelogs = [
            TopicSpec(
                lane.changelog, self.topology.topic(lane.spec.source).partitions, CHANGELOG_CONFIG
            )
            for lane in self.by_name.values()
        ]
        self.catalog.declare([*self.topology.topics, *changelogs])

    async def recover(
        self, owned: Mapping[str, Sequence[int]], still_ours: Callable[[], bool]
    ) -> None:
        """Recover the given partitions of each lane, lanes side by side."""
        results = await asyncio.gather(
            *(
                self.by_name[name].recover(sorted(partitions), still_ours)
                for name, partitions in owned.items()
            ),
            return_exceptions=True,
        )
        failures = [result for result in results if isinstance(result, BaseException)]
        for failure in failures:
            if not isinstance(failure, RecoveryCancelled):
                raise failure
        if failures:
            raise RecoveryCancelled

    async def release(self) -> None:
        await asyncio.gather(*(lane.release() for lane in self.by_name.values()))

    def take(
        self, records: Mapping[Any, Sequence[Any]], fetch_number: int
    ) -> dict[Any, Sequence[Any]]:
        """Step 8: give lanes their records; what is left is Faust's."""
        rest = {}
        for tp, fetched in records.items():
            lane = self.by_source.get(tp.topic)
            if lane is None:
                # Stock recovery doesn't know the changelogs of lanes.
                if tp.topic not in self.by_changelog:
                    rest[tp] = fetched
                continue
            seat = lane.seats.get(tp.partition)
            if seat is None:
                continue
            if seat.state is not SeatState.ACTIVE or fetch_number < seat.fetch_floor:
                seat.dropped += 1
                self._seek_again(lane, seat)
                continue
            seat.offer(fetched)
        return rest

    def _seek_again(self, lane: LaneRuntime, seat: Seat) -> None:
        """A fetch from before a seek came after it: what it skipped must be read again."""
        if seat.state is not SeatState.ACTIVE or seat.fetch_floor == UNTIL_SEEK:
            return  # a seek is under way, or will be
        seat.fetch_floor = UNTIL_SEEK
        task = asyncio.get_running_loop().create_task(lane.seek(seat))
        self._seeking.add(task)
        task.add_done_callback(self._seeking.discard)

    async def look_for_hanging(self) -> None:
        """Recover the partitions whose transactions hang; called every few seconds."""
        seats = {
            (lane.changelog, partition): (lane, seat)
            for lane in self.by_name.values()
            for partition, seat in lane.seats.items()
        }
        places = seats.keys() | {place for _, seat in seats.values() for place in seat.touched}
        look = partial(self._watch.hanging, places, self.commits, time.monotonic())
        try:
            found = await asyncio.get_running_loop().run_in_executor(self.pool, look)
        except (KafkaException, AioKafkaError, TimeoutError) as error:
            log.info("Transactions that hang can't be looked for just now: %r", error)
            return
        for one in found:
            (topic, partition), (changelog, number) = one.place, one.writer
            log.warning(
                "Readers of %s partition %d stand at offset %d: a transaction of %s partition %d "
                "has no end there.", topic, partition, one.offset, changelog, number,
            )  # fmt: skip
            if one.writer in seats:
                self.metrics.hanging.labels(seats[one.writer][0].spec.name).inc()
                seats[one.writer][1].doubt()

    def ask_group_again(self) -> None:
        """Some partition was fenced: let the group decide who owns what, but not too often."""
        if self._asking is None or self._asking.done():
            self._asking = asyncio.get_running_loop().create_task(self._ask())

    async def _ask(self) -> None:
        pause = self._guard.next_pause(time.monotonic())
        if pause is None:
            await self.group.stop_worker(
                RuntimeError(
                    f"Partitions of {self.topology.app_id!r} were taken over from this worker "
                    f"{self._guard.limit} times within {self._guard.window_s:.0f} s: look for a "
                    "second worker with the same app id that is not in the same group, stop it "
                    "and start this one again."
                )
            )
            return
        await asyncio.sleep(pause)
        self.metrics.rejoins.inc()
        self.group.rejoin()
