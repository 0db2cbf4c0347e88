"""Reading rows of this worker, as the owner of a partition or from a copy.

Problem: an answer must never be wrong. The owner's rows are right while it is the owner: a worker
that slept, or lost the broker, may have been replaced without knowing. So it answers only as long
as the group confirmed its membership within the session time-out, before which nobody can have
taken its partitions. Everybody else who has rows, a standby or an owner that recovers, may be
asked on purpose, and says how old its answer is.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from confluent_kafka import Consumer, KafkaException, TopicPartition

from streamsync.engine.lane import Shard
from streamsync.engine.lanes import Lanes
from streamsync.engine.port import MARKER, Marker
from streamsync.engine.runtime import LaneRuntime
from streamsync.engine.seat import Seat, SeatState
from streamsync.engine.shard import LaneShard
from streamsync.engine.trouble import DatabaseTrouble

Json = Any
Read = Callable[[Shard], Json]

_END_TIMEOUT_S = 2.0
_END_KEPT_S = 1.0


class Unavailable(Exception):
    """No worker can answer for this partition right now."""

    def __init__(self, lane: str, partition: int, why: str) -> None:
        super().__init__(f"Partition {partition} of {lane} can't be read now: {why}; try again.")


@dataclass(frozen=True, slots=True)
class Age:
    """How old an answer may be."""

    position: int
    """Records of the source from here on are not in it."""
    lag: int | None
    """Offsets from there to the source's end, at most that many records; `None`: not known."""


@dataclass(frozen=True, slots=True)
class Answer:
    """What a partition's rows say; `age` is `None` when they are its owner's."""

    found: Json
    age: Age | None = None

    def marked(self) -> Json:
        """The answer as JSON, a stale one with `stale`, `position` and `lag`."""
        if self.age is None:
            return self.found
        inside = self.found if isinstance(self.found, dict) else {"answer": self.found}
        return {**inside, "stale": True, "position": self.age.position, "lag": self.age.lag}

    @classmethod
    def unmarked(cls, told: Json) -> Answer:
        """Undo `marked`, for an answer that came from another worker."""
        if not isinstance(told, dict) or told.get("stale") is not True:
            return cls(told)
        inside = dict(told)
        del inside["stale"]
        age = Age(inside.pop("position"), inside.pop("lag"))
        return cls(inside["answer"] if inside.keys() == {"answer"} else inside, age)


class LocalRows:
    """The rows of all lanes on this worker."""

    def __init__(self, lanes: Lanes) -> None:
        self._lanes = lanes
        self._asking: Consumer | None = None
        self._ends: dict[tuple[str, int], tuple[float, int | None]] = {}

    async def fresh(self, lane: str, partition: int, read: Read) -> Answer:
        """Read as the partition's owner, else raise `Unavailable`."""
        runtime = self._lanes.by_name[lane]
        seat = self._seat(runtime, partition)
        try:
            found = await self._in_thread(lambda: Answer(read(self._shard(runtime, partition)[0])))
        except DatabaseTrouble as trouble:
            seat.doubt()
            raise Unavailable(lane, partition, "its database failed") from trouble
        # The thread may have read late: a partition that was given up or emptied meanwhile.
        if self._seat(runtime, partition) is not seat:
            raise Unavailable(lane, partition, "its owner changed while it was read")
        return found

    async def stale(self, lane: str, partition: int, read: Read) -> Answer:
        """Read whatever complete rows this worker has of the partition, else `Unavailable`."""
        runtime = self._lanes.by_name[lane]
        if not self.holds(runtime, partition):
            raise Unavailable(lane, partition, "this worker has no copy of it")

        def read_copy() -> Answer:
            shard, marker = self._shard(runtime, partition)
            if marker is None:
                raise Unavailable(lane, partition, "its copy is not complete yet")
            end = self._end(runtime.spec.source, partition)
            lag = None if end is None else max(0, end - marker.position)
            return Answer(read(shard), Age(marker.position, lag))

        try:
            return await self._in_thread(read_copy)
        except DatabaseTrouble as trouble:
            raise Unavailable(lane, partition, "its database failed") from trouble

    def _seat(self, runtime: LaneRuntime, partition: int) -> Seat:
        """The seat of a partition that this worker surely owns now, else `Unavailable`."""
        lane, seat = runtime.spec.name, runtime.seats.get(partition)
        if seat is None or seat.state is not SeatState.ACTIVE:
            raise Unavailable(lane, partition, "it is being recovered, or owned by another worker")
        if not self._lanes.membership.is_confirmed():
            raise Unavailable(lane, partition, "the group has not confirmed its owner for too long")
        return seat

    def holds(self, runtime: LaneRuntime, partition: int) -> bool:
        """Whether the database of this partition is open here, and ours to read."""
        place = (runtime.changelog_topic, partition)
        return (
            partition in runtime.seats
            or partition in runtime.recovering
            or place in self._lanes.standbys.followed
        )

    def _shard(self, runtime: LaneRuntime, partition: int) -> tuple[LaneShard, Marker | None]:
        rows = runtime.store.snapshot(partition)
        marker = rows.get(MARKER)
        return LaneShard(partition, rows), None if marker is None else Marker.decode(marker)

    async def _in_thread(self, call: Callable[[], Answer]) -> Answer:
        return await asyncio.get_running_loop().run_in_executor(self._lanes.pool, call)

    def _end(self, topic: str, partition: int) -> int | None:
        """The end of a source that this worker need not be assigned; asked once a second."""
        now = time.monotonic()
        asked_at, end = self._ends.get((topic, partition), (-_END_KEPT_S, None))
        if now - asked_at < _END_KEPT_S:
            return end
        if self._asking is None:
            self._asking = self._lanes.cluster.consumer("unused")
        try:
            place = TopicPartition(topic, partition)
            end = int(self._asking.get_watermark_offsets(place, _END_TIMEOUT_S)[1])
        except KafkaException:
            end = None
        self._ends[topic, partition] = (now, end)
        return end
