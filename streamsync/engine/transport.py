"""The lanes' place in Faust's consumer: the hooks of steps 7, 8, 13 and 14.

Problem: the stock path makes some 25 asyncio objects per record and commits offsets that must
not count. The consumer below hands whole fetches of lane topics to the lanes and leaves all
other records to Faust, so stock agents and tables work beside lanes.

Pinned to faust-streaming 0.15.3; `tests/contract` says what changed if it does.
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Awaitable, Callable, Iterable, Mapping
from contextlib import suppress
from functools import partial
from typing import TYPE_CHECKING, Any, cast

from aiokafka.errors import (
    ConsumerStoppedError,
    IllegalStateError,
    KafkaConnectionError,
    NodeNotReadyError,
    RequestTimedOutError,
)
from aiokafka.structs import OffsetAndMetadata, TopicPartition
from faust.exceptions import ConsumerNotStarted
from faust.transport.drivers import aiokafka as driver
from faust.types import TP

from streamsync.engine.fetch import take_fetched
from streamsync.engine.seat import UNTIL_SEEK, Seat

if TYPE_CHECKING:
    from streamsync.engine.app import LaneApp
    from streamsync.engine.lanes import Lanes

log = logging.getLogger(__name__)

# One fetch poll per this many seconds: more would spend the core on asking.
FETCH_PACE_S = 0.005
OFFSETS_TIMEOUT_S = 2.0
START_TIMEOUT_S = 120.0


async def _once_answered(
    call: Callable[[], Awaitable[None]],
    told: str,
    stopping: Callable[[], bool],
    errors: tuple[type[Exception], ...],
) -> None:
    """Call something of Faust's that asks a broker, again while none answers."""
    end = time.monotonic() + START_TIMEOUT_S
    while True:
        try:
            await call()
            return
        except errors as error:
            if stopping() or time.monotonic() > end:
                raise
            log.warning("%s yet: %s", told, error)
            await asyncio.sleep(1.0)


async def _started(
    start: Callable[[], Awaitable[None]], made: Callable[[], Any], stopping: Callable[[], bool]
) -> None:
    """Start a client of Faust, and try again while no broker answers.

    A worker that is started while the broker is away waits for it, as a running one does.
    """

    async def begin() -> None:
        try:
            await start()
        except KafkaConnectionError:
            await made().stop()
            raise

    await _once_answered(begin, "The worker can't start", stopping, (KafkaConnectionError,))


class LaneConsumerThread(driver.AIOKafkaConsumerThread):
    """The thread of aiokafka's consumer, with the settings that lanes need."""

    @property
    def _lanes(self) -> Lanes:
        return cast("LaneApp", self.app).lanes

    async def on_start(self) -> None:
        # Before the consumer exists: a topic unknown when it subscribes is ignored for ever.
        await asyncio.get_running_loop().run_in_executor(None, self._lanes.declare_topics)
        await _started(super().on_start, self._ensure_consumer, lambda: self.should_stop)

    async def on_thread_stop(self) -> None:
        try:
            await super().on_thread_stop()
        except asyncio.CancelledError:
            # aiokafka cancels a fetch that pauses until a broker is back, and awaits it as if it
            # had ended. Let through, this would end the thread without a word to who waits for it.
            log.info("The consumer ended while a broker was away.")

    def _create_worker_consumer(self, transport: Any) -> Any:
        # The ledger's source is written in transactions, so it must be read read_committed;
        # Faust takes the isolation level from this flag and from nothing else.
        consumer = self.consumer
        before, consumer.in_transaction = consumer.in_transaction, True
        try:
            return super()._create_worker_consumer(transport)
        finally:
            consumer.in_transaction = before

    async def _fetch_records(
        self,
        consumer: Any,
        active_partitions: set[TP],
        timeout: float | None = None,
        max_records: int | None = None,
    ) -> Mapping[TP, Any]:
        """As Faust's, but records of lanes are unpacked by `fetch`, whole batches at a time."""
        if not self.consumer.flow_active:
            return {}
        fetcher, topics = consumer._fetcher, self._lanes.by_source
        if consumer._closed or fetcher._closed:
            raise ConsumerStoppedError
        stock = {tp for tp in active_partitions if tp.topic not in topics}

        async def take() -> dict[Any, Any]:
            if fetcher._subscriptions.reassignment_in_progress:
                await fetcher._subscriptions.wait_for_assignment()
            found: dict[Any, Any] = {**take_fetched(fetcher, topics, active_partitions)}
            if stock:
                # Always, or agents would have to wait until lanes have nothing to do.
                found |= await fetcher.fetched_records(stock, max_records=max_records)
            return found

        with fetcher._subscriptions.fetch_context():
            found = await take()
            if not found and timeout:
                waiter = fetcher._create_fetch_waiter()
                await asyncio.wait([waiter], timeout=timeout)
                if not waiter.done():
                    waiter.cancel()
                    return {}
                waiter.result()  # raises what the group's coordinator has to say
                found = await take()
            return found

    async def call(self, action: Callable[[Any], Awaitable[None] | None]) -> None:
        """Run something with aiokafka's consumer in its own thread."""
        consumer = self._ensure_consumer()

        async def run() -> None:
            result = action(consumer)
            if result is not None:
                await result

        await self.call_thread(run)


class LaneConsumer(driver.Consumer):
    """Faust's consumer; the lanes' `Group`."""

    _thread: LaneConsumerThread

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self._fetch_number = 0
        self._fetched_at = 0.0
        self._lanes.group = self

    @property
    def _lanes(self) -> Lanes:
        return cast("LaneApp", self.app).lanes

    def _new_consumer_thread(self) -> LaneConsumerThread:
        return LaneConsumerThread(self, loop=self.loop, beacon=self.beacon)

    async def verify_all_partitions_active(self) -> None:
        # Faust looks after five seconds whether agents keep up; on a busy machine its own consumer
        # may not have started by then, and the look would end the worker.
        with suppress(ConsumerNotStarted):
            await super().verify_all_partitions_active()

    # -- step 7: where to read

    async def seek_to_committed(self) -> Mapping[TP, int]:
        committed = dict(await super().seek_to_committed())
        seats = {
            (lane.spec.source, partition): seat
            for lane in self._lanes.by_name.values()
            for partition, seat in lane.seats.items()
        }
        await self.seek_seats(seats)
        for (topic, partition), seat in seats.items():
            committed[TP(topic, partition)] = seat.resume_position
        # Faust's own pause only hides what aiokafka would go on fetching: changelogs, and sources
        # whose partition is still recovered. A seat resumes its own, behind this in the queue.
        idle = [tp for tp in self.assignment() if self._lanes.reads_nothing(tp)]
        if idle:
            await self._pause(idle)
        return committed

    async def seek_seats(self, seats: Mapping[tuple[str, int], Seat]) -> None:
        left = {TP(*place): seat for place, seat in seats.items()}
        for seat in left.values():
            seat.fetch_floor = UNTIL_SEEK
        while left := {tp: seat for tp, seat in left.items() if tp in self.assignment()}:
            dropped = {tp: seat.dropped for tp, seat in left.items()}
            offsets = {tp: seat.resume_position for tp, seat in left.items()}
            try:
                await self._thread.seek_wait(offsets)
            except IllegalStateError:
                continue  # one of them has just been revoked
            # No await from here on: a fetch is either counted as dropped, or still to come.
            for tp, seat in list(left.items()):
                if seat.dropped == dropped[tp]:
                    seat.fetch_floor = self._fetch_number + 1
                    seat.read_to, seat.just_sought = offsets[tp], True
                    del left[tp]

    # -- step 8: records to the lanes

    async def _wait_next_records(self, timeout: float) -> tuple[Any, Any]:
        await asyncio.sleep(max(0.0, self._fetched_at + FETCH_PACE_S - time.monotonic()))
        self._fetched_at = time.monotonic()
        if self.flow_active and not self._get_active_partitions():
            # Everything is paused for back-pressure; Faust would sleep for a second here.
            await asyncio.sleep(2 * FETCH_PACE_S)
            return {}, set()
        self._fetch_number += 1
        number, generation = self._fetch_number, self.app.consumer_generation_id
        records, active = await super()._wait_next_records(timeout)
        if not records:
            return records, active
        if not self.flow_active or generation != self.app.consumer_generation_id:
            number = 0  # older than any seek: dropped, and read again
        return self._lanes.take(records, number), active

    async def set_fetching(self, topic: str, partition: int, fetching: bool) -> None:
        tp = TP(topic, partition)
        if tp not in self.assignment():
            return
        with suppress(IllegalStateError):  # it has just been revoked
            if fetching:
                self.resume_partitions({tp})
                await self._thread.call(lambda consumer: consumer.resume(TopicPartition(*tp)))
            else:
                self.pause_partitions({tp})
                await self._pause([tp])

    async def _pause(self, tps: Iterable[TP]) -> None:
        paused = [TopicPartition(*tp) for tp in tps]
        await self._thread.call(lambda consumer: consumer.pause(*paused))

    # -- step 13: offsets as information

    async def force_commit(self, *args: Any, **kwargs: Any) -> bool:
        await self._report_offsets()
        return bool(await super().force_commit(*args, **kwargs))

    async def _report_offsets(self) -> None:
        if self.app.rebalancing:
            return
        positions, membership = self._positions(), self._lanes.membership
        news = {tp: at for tp, at in positions.items() if self._committed_offset.get(tp) != at}
        if not news and membership.is_due():
            news = positions  # told before, but the answer says that this worker is a member
        if not news:
            return
        asked_at = membership.now()
        offsets = {
            TopicPartition(*tp): OffsetAndMetadata(offset, "") for tp, offset in news.items()
        }
        try:
            # Bounded inside the thread, whose other calls wait for this one.
            await self._thread.call(
                lambda consumer: asyncio.wait_for(consumer.commit(offsets), OFFSETS_TIMEOUT_S)
            )
        except Exception as error:  # noqa: BLE001  (information only: counted, never raised)
            self._lanes.metrics.offset_errors.inc()
            log.info("The group's offsets were not committed: %r", error)
            return
        membership.confirm(asked_at)
        self._committed_offset.update(news)
        self.app.monitor.on_tp_commit(news)

    def _positions(self) -> dict[TP, int]:
        """Where every partition at work is committed; takes their lag by the way."""
        positions: dict[TP, int] = {}
        for lane in self._lanes.by_name.values():
            for partition, seat in lane.seats.items():
                tp, position = TP(lane.spec.source, partition), seat.done_to
                self._lanes.metrics.lag.labels(lane.spec.name, str(partition)).set(
                    max(0, (self.end_offset(*tp) or position) - position)
                )
                positions[tp] = position
        return positions

    def end_offset(self, topic: str, partition: int) -> int | None:
        try:
            return self.highwater(TP(topic, partition))
        except Exception:  # noqa: BLE001  (aiokafka asserts assignment, which may just change)
            return None

    # -- step 14: release

    async def on_partitions_revoked(self, revoked: set[TP]) -> None:
        await self._lanes.release()
        await super().on_partitions_revoked(revoked)

    def rejoin(self) -> None:
        def ask() -> None:
            consumer = self._thread._ensure_consumer()  # noqa: SLF001
            consumer._coordinator.request_rejoin()  # noqa: SLF001

        self._thread.thread_loop.call_soon_threadsafe(ask)

    async def stop_worker(self, error: BaseException) -> None:
        log.error("The worker stops before it commits: %s", error)
        await self.crash(error)


class LaneProducer(driver.Producer):
    """Faust's producer, for its own tables and agents."""

    async def on_start(self) -> None:
        await _started(super().on_start, self._ensure_producer, lambda: self.should_stop)

    async def create_topic(self, topic: str, *args: Any, **settings: Any) -> None:
        """As Faust's, for its own topics; while the broker that it asks is away, it asks again."""
        declare = partial(super().create_topic, topic, *args, **settings)
        await _once_answered(
            declare, f"Topic {topic} can't be declared", lambda: self.should_stop,
            (KafkaConnectionError, NodeNotReadyError, RequestTimedOutError),
        )  # fmt: skip


class LaneTransport(driver.Transport):
    """Registered under the URL scheme `streamsync://` by `app.build_app`."""

    Consumer = LaneConsumer
    Producer = LaneProducer
