"""All lanes of one worker: which partitions it owns, from recovery to release.

Problem: Faust tells of partitions in several callbacks, some of them concurrent with a recovery
that still runs in threads. This class is the one place that knows the state; the Faust plug-ins
(`transport`, `tables`) only call it.
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Callable, Collection, Coroutine, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from typing import Any

from aiokafka.errors import KafkaError as AioKafkaError
from confluent_kafka import KafkaException

from streamsync.engine import formats
from streamsync.engine.changelog import DELETES_KEPT_MS, Place
from streamsync.engine.cluster import Catalog, Cluster
from streamsync.engine.commit import FaultHook
from streamsync.engine.evidence import find_open, look
from streamsync.engine.lane import TOPIC_BYTES_MAX, LaneSpec, TopicSpec, Topology
from streamsync.engine.membership import Membership
from streamsync.engine.metrics import EngineMetrics
from streamsync.engine.pace import Pace, RejoinGuard
from streamsync.engine.recovery import PositionLost, RecoveryCancelled
from streamsync.engine.runtime import Group, LaneRuntime
from streamsync.engine.seat import UNTIL_SEEK, Seat, SeatState
from streamsync.engine.standby import Followed, Standbys
from streamsync.engine.store import LaneStore
from streamsync.engine.watch import Watch

log = logging.getLogger(__name__)

_COMMIT_THREADS = 64

CHANGELOG_CONFIG = {
    "cleanup.policy": "compact",
    # A worker that was away for less than this still learns of every deleted row.
    "delete.retention.ms": str(DELETES_KEPT_MS),
    "compression.type": "producer",
    "max.message.bytes": TOPIC_BYTES_MAX,
}


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
        self.membership = Membership()
        self.in_group = False
        """Partitions were assigned and not taken away since."""
        self.pace = Pace()
        self.pool = ThreadPoolExecutor(_COMMIT_THREADS, "lane")
        self.by_name: dict[str, LaneRuntime] = {}
        self.by_source: dict[str, LaneRuntime] = {}
        self.by_changelog: dict[str, LaneRuntime] = {}
        self.standbys = Standbys(
            cluster, f"{topology.app_id}-standby", self._tell_followed, self._standby_failed
        )
        self._loop: asyncio.AbstractEventLoop
        self._guard = RejoinGuard()
        self._asking: asyncio.Task[None] | None = None
        self._background: set[asyncio.Task[None]] = set()
        self.commits = 0
        """Tried so far, on any lane: what `watch` need not look for without."""
        self._watch = Watch(partial(find_open, cluster), partial(look, cluster))

    def add(self, spec: LaneSpec, store: Callable[[], LaneStore]) -> LaneRuntime:
        runtime = LaneRuntime(self, spec, store)
        self.by_name[spec.name] = runtime
        self.by_source[spec.source] = runtime
        self.by_changelog[runtime.changelog_topic] = runtime
        return runtime

    def declare_topics(self) -> None:
        """Create every topic before anybody subscribes, and check the formats; blocks.

        Raises `TopicError` or `FormatError` when this worker must not take part.
        """
        declared = self.topology.topic
        changelogs = [
            TopicSpec(lane.changelog_topic, declared(lane.spec.source).partitions, CHANGELOG_CONFIG)
            for lane in self.by_name.values()
        ]
        self.catalog.declare([*self.topology.topics, *changelogs, formats.topic_of(self.topology)])
        formats.Formats(self.cluster, self.topology).take_part()

    async def take_over(
        self,
        owned: Mapping[str, Collection[int]],
        standbys: Collection[Place],
        still_ours: Callable[[], bool],
    ) -> None:
        """Recover the given partitions of each lane in the background, and follow the standbys.

        Each partition works as soon as it is recovered, whatever its neighbours do.
        """
        await self.release()
        try:
            await asyncio.get_running_loop().run_in_executor(self.pool, self._look_again)
        except KafkaException as error:
            log.warning("Topics and formats can't be looked at now: %s", error.args[0])
        if not still_ours():
            return
        # No await from here on: a release that comes now must find everything begun.
        self.in_group = True
        self._loop = asyncio.get_running_loop()
        for name, partitions in owned.items():
            work = self.by_name[name].take_over(partitions, still_ours)
            self._in_background(self._until_cancelled(name, work))
        self.standbys.start({place: self.by_changelog[place[0]].changelog for place in standbys})

    def _look_again(self) -> None:
        """What may have changed since the start: partitions of topics, formats of rows."""
        self.catalog.look_again()
        formats.Formats(self.cluster, self.topology).look_again()

    async def release(self) -> None:
        """Commit and forget every partition, stop recoveries and standbys."""
        self.in_group = False
        self.standbys.ask_to_stop()
        await asyncio.gather(*(lane.release() for lane in self.by_name.values()))
        given_up = await asyncio.get_running_loop().run_in_executor(self.pool, self.standbys.join)
        for topic, partition in given_up:
            self.metrics.forget(self.by_changelog[topic].spec.name, partition)

    def reads_nothing(self, tp: Any) -> bool:
        """A changelog, or a source without a seat yet: not to be fetched."""
        lane = self.by_source.get(tp.topic)
        if lane is None:
            return tp.topic in self.by_changelog
        return tp.partition not in lane.seats

    def begin_reading(self, lane: LaneRuntime, seat: Seat) -> None:
        """Step 7 for a partition that has just become ready: read its source from there on."""
        self._in_background(self._begin_reading(lane, seat))

    async def _begin_reading(self, lane: LaneRuntime, seat: Seat) -> None:
        await lane.seek(seat)
        await lane.set_fetching(seat.partition, True)

    @staticmethod
    async def _until_cancelled(lane: str, work: Coroutine[Any, Any, None]) -> None:
        try:
            await work
        except RecoveryCancelled:
            log.info("Lane %s: the group changed during its recovery.", lane)

    def _in_background(self, work: Coroutine[Any, Any, None]) -> None:
        task = asyncio.get_running_loop().create_task(self._or_stop(work))
        self._background.add(task)
        task.add_done_callback(self._background.discard)

    async def _or_stop(self, work: Coroutine[Any, Any, None]) -> None:
        try:
            await work
        except Exception as error:  # noqa: BLE001  (a bug, damaged rows, a lost position)
            await self.group.stop_worker(error)

    def _standby_failed(self, error: BaseException) -> None:
        """Called by the standbys' thread."""
        asyncio.run_coroutine_threadsafe(self.group.stop_worker(error), self._loop)

    def _tell_followed(self, lane: str, partition: int, followed: Followed) -> None:
        self.metrics.standby_lag.labels(lane, str(partition)).set(followed.lag)

    def take(self, records: Mapping[Any, Any], fetch_number: int) -> dict[Any, Sequence[Any]]:
        """Step 8: give lanes what was fetched for them; what is left is Faust's."""
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
            if fetched.start != seat.read_to:
                self._read_elsewhere(lane, seat, fetched.start)
                continue
            seat.offer(fetched)
            if seat.overfull:
                self._in_background(seat.hold_back())
        return rest

    def _seek_again(self, lane: LaneRuntime, seat: Seat) -> None:
        """A fetch from before a seek came after it: what it skipped must be read again."""
        if seat.state is not SeatState.ACTIVE or seat.fetch_floor == UNTIL_SEEK:
            return  # a seek is under way, or will be
        seat.fetch_floor = UNTIL_SEEK
        self._in_background(lane.seek(seat))

    def _read_elsewhere(self, lane: LaneRuntime, seat: Seat, start: int) -> None:
        """Records came from another offset than was asked for: ask again, once.

        aiokafka does so by itself when the topic no longer holds the position.
        """
        seat.dropped += 1
        if not seat.just_sought:
            self._seek_again(lane, seat)
            return
        seat.fetch_floor = UNTIL_SEEK
        error = PositionLost(
            f"Lane {lane.spec.name!r} reads partition {seat.partition} of {lane.spec.source!r} at "
            f"offset {seat.read_to}, and was given what stands at {start}: records were deleted "
            "before they were read, or the topic was recreated. Start the worker again: it says "
            "what the topic holds and what to do."
        )
        self._in_background(self.group.stop_worker(error))

    async def look_for_hanging(self) -> None:
        """Recover the partitions whose transactions hang; called every few seconds."""
        seats = {
            (lane.changelog_topic, partition): (lane, seat)
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
