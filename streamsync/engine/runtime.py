"""One lane on this worker: the host of its seats, from recovery to release.

Problem: a seat works on one partition and knows nothing of threads, the group or other lanes; the
worker's `Lanes` know when partitions come and go. Between them stands this: it recovers what the
group gave, seats each partition as soon as it is ready, and does for seats what they ask for.
"""

from __future__ import annotations

import asyncio
import logging
import threading
from collections.abc import Awaitable, Callable, Collection, Coroutine, Mapping
from contextlib import suppress
from typing import TYPE_CHECKING, Any, Protocol

from confluent_kafka import KafkaException

from streamsync.engine.changelog import Changelog
from streamsync.engine.commit import CommitError
from streamsync.engine.evidence import find_open
from streamsync.engine.lane import LaneSpec
from streamsync.engine.port import KafkaPort, LoopBackProducer
from streamsync.engine.progress import Left, Progress
from streamsync.engine.recovery import Recovered, RecoveryPlan, recover
from streamsync.engine.seat import Ground, Seat
from streamsync.engine.store import LaneStore
from streamsync.engine.work import Batch

if TYPE_CHECKING:
    from streamsync.engine.lanes import Lanes

log = logging.getLogger(__name__)

RELEASE_TIMEOUT_S = 15.0


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
        self.changelog_topic = f"{lanes.topology.app_id}-{spec.name}-changelog"
        self.seats: dict[int, Seat] = {}
        self.recovering: set[int] = set()
        self.progress: Progress | None = None
        self._lanes = lanes
        self._store = store
        self._loop_backs = LoopBackProducer(lanes.cluster)
        self._cancel = threading.Event()
        self._running: set[asyncio.Future[None]] = set()

    @property
    def store(self) -> LaneStore:
        return self._store()

    @property
    def changelog(self) -> Changelog:
        """The changelog as recovery and standbys need it; known once topics are declared."""
        topic_id = self._lanes.catalog.topic_id(self.changelog_topic)
        return Changelog(self.spec.name, self.changelog_topic, topic_id, self.store)

    # -- recovery and release

    def take_over(
        self, partitions: Collection[int], still_ours: Callable[[], bool]
    ) -> Coroutine[Any, Any, None]:
        """Steps 3 to 6: each partition works as soon as it is recovered.

        From this call on, before it is awaited, `release` cancels it. Ends when all partitions
        work; raises `RecoveryCancelled` when the group changed meanwhile.
        """
        cancel = self._cancel = threading.Event()
        self.recovering = set(partitions)
        progress = self.progress = Progress(self.spec.name, self._tell_left)
        loop = asyncio.get_running_loop()

        def ready(partition: int, recovered: Recovered) -> None:
            loop.call_soon_threadsafe(self._sit_down, partition, recovered, cancel, still_ours)

        return self._recover_in_thread(partitions, cancel, ready, progress)

    async def release(self) -> None:
        """Step 14: stop a recovery that still runs, commit, forget producers and caches.

        Takes at most `RELEASE_TIMEOUT_S`.
        """
        self._cancel.set()
        given_up, self.recovering = self.recovering | self.seats.keys(), set()
        self._lanes.metrics.recovery_seconds_left.labels(self.spec.name).set(0)
        await asyncio.gather(
            self._end_recoveries(),
            *(seat.release(RELEASE_TIMEOUT_S) for seat in self.seats.values()),
        )
        for partition in given_up:
            self._lanes.metrics.forget(self.spec.name, partition)
        self.seats.clear()

    async def _end_recoveries(self) -> None:
        """Databases must not be handed on while a thread still writes to them."""
        if self._running:
            await asyncio.wait(self._running, timeout=RELEASE_TIMEOUT_S)

    def _sit_down(
        self,
        partition: int,
        recovered: Recovered,
        cancel: threading.Event,
        still_ours: Callable[[], bool],
    ) -> None:
        """Step 6 and 7 for one partition, unless the group has changed."""
        ground = self._ground(partition, recovered)
        if cancel.is_set() or not still_ours():
            self.discard(ground.port)
            return
        self.recovering.discard(partition)
        self.seats[partition] = seat = Seat(self, partition, ground, self._lanes.pace)
        self._lanes.begin_reading(self, seat)

    def _ground(self, partition: int, recovered: Recovered) -> Ground:
        lanes, store = self._lanes, self.store
        lanes.metrics.recovery_rows.labels(self.spec.name).inc(recovered.changelog_rows)
        port = KafkaPort(
            catalog=lanes.catalog,
            producer=recovered.producer,
            loop_backs=self._loop_backs,
            changelog=self.changelog_topic,
            partition=partition,
            disk=store,
            marker=recovered.marker,
            any_open=lambda places: bool(find_open(lanes.cluster, places)),
        )
        return Ground(store.rows(partition), recovered.marker.position, port)

    async def _recover_in_thread(
        self,
        partitions: Collection[int],
        cancel: threading.Event,
        ready: Callable[[int, Recovered], None],
        progress: Progress,
    ) -> None:
        lanes = self._lanes
        plan = RecoveryPlan(
            app_id=lanes.topology.app_id,
            source=self.spec.source,
            changelog=self.changelog,
            partitions=sorted(partitions),
            look_again=lanes.catalog.look_again,
        )
        running = asyncio.get_running_loop().run_in_executor(
            lanes.pool, lambda: recover(plan, lanes.cluster, cancel, ready, progress)
        )
        self._running.add(running)
        running.add_done_callback(self._running.discard)
        # Outside of the group's join: a cancelled task must not leave the thread unobserved.
        await asyncio.shield(running)

    def _tell_left(self, partition: int, left: Left) -> None:
        metrics, labels = self._lanes.metrics, (self.spec.name, str(partition))
        metrics.recovery_left.labels(*labels).set(left.rows)
        if left.seconds is not None:
            metrics.recovery_seconds_left.labels(self.spec.name).set(left.seconds)

    # -- what seats ask for

    async def recover_again(self, partition: int) -> Ground:
        found: list[Recovered] = []
        await self._recover_in_thread(
            [partition], self._cancel, lambda _partition, one: found.append(one),
            Progress(self.spec.name, self._tell_left),
        )  # fmt: skip
        return self._ground(partition, found[0])

    async def look_again(self) -> None:
        """Raise `TopicError` when a topic is gone: no recovery of the partition would show it."""
        with suppress(KafkaException, TimeoutError):  # the broker may be away
            await self.run_in_thread(self._lanes.catalog.look_again)

    async def seek(self, seat: Seat) -> None:
        await self._lanes.group.seek_seats({(self.spec.source, seat.partition): seat})

    async def set_fetching(self, partition: int, fetching: bool) -> None:
        await self._lanes.group.set_fetching(self.spec.source, partition, fetching)

    def end_offset(self, partition: int) -> int | None:
        return self._lanes.group.end_offset(self.spec.source, partition)

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
