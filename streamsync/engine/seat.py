"""One partition of one lane at work: its queue, its steps, its commits.

Problem: a quiet partition must answer at once, a busy one must fill its transactions, and while
one commits no other may wait. So each partition is a task of its own with the commit rule

    commit when the current batch is done, no commit is in flight, and the last one began
    at least `gap` ago; at most about 20,000 records, at most about a second of work

where the gap grows with the number of partitions that are committing (`Pace`). Nothing is gained
by small transactions while thousands of records wait at the broker: then a batch is only done
when it is full, and a row that changes often is written once. The commit itself runs in a thread.

What goes wrong in it is repaired here: `Aborted` and `Unsettled` recover the partition in place,
`Fenced` forgets it and asks the group, anything else stops the worker.
"""

from __future__ import annotations

import asyncio
import enum
import logging
import time
import traceback
from collections import deque
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Protocol

from streamsync.engine.commit import CommitError, FaultHook, Fenced, commit
from streamsync.engine.fetch import Fetched
from streamsync.engine.lane import LaneSpec, SourceRecord
from streamsync.engine.pace import Pace
from streamsync.engine.port import KafkaPort
from streamsync.engine.recovery import RecoveryCancelled
from streamsync.engine.shard import LaneShard, RowStore
from streamsync.engine.trouble import DatabaseTrouble
from streamsync.engine.work import Batch, PartitionWork

log = logging.getLogger(__name__)

RECORDS_MAX = 20_000
WORK_MAX_S = 1.0
FAILURES_MAX = 8
# So far behind the end of its source, a partition fills its transactions.
BEHIND_MIN = 1_000
QUEUE_HIGH = 20_000
QUEUE_LOW = 8_000
# Records may be large, and a step may write many: memory per partition is bounded in bytes too.
QUEUE_BYTES_HIGH = 32 << 20
QUEUE_BYTES_LOW = 8 << 20
BATCH_BYTES_MAX = 16 << 20
UNTIL_SEEK = 1 << 62
_RECORDS_AT_ONCE = 100
# A turn is long enough that records and rows of one partition stay in the processor's caches,
# and short enough that all partitions have theirs before the next fetch is due.
_TURN_S = 0.002


class CommitRefused(Exception):
    """The broker answers, but never takes this batch; the worker stops."""


class SeatState(enum.StrEnum):
    """What a partition of a lane is doing on this worker."""

    ACTIVE = "active"
    RECOVERING = "recovering"
    LOST = "lost"
    RELEASED = "released"


@dataclass(frozen=True)
class Ground:
    """What recovery hands a seat: rows, the position that belongs to them, a way to commit."""

    rows: RowStore
    position: int
    port: KafkaPort


class SeatHost(Protocol):
    """What a seat needs of the worker around it."""

    spec: LaneSpec
    fault: FaultHook

    async def recover_again(self, partition: int) -> Ground: ...

    async def look_again(self) -> None: ...

    async def seek(self, seat: Seat) -> None: ...

    async def set_fetching(self, partition: int, fetching: bool) -> None: ...

    def end_offset(self, partition: int) -> int | None: ...

    async def run_in_thread(self, call: Callable[[], None]) -> None: ...

    def discard(self, port: KafkaPort) -> Awaitable[object]: ...

    def lost(self, partition: int, why: CommitError) -> None: ...

    def committed(self, batch: Batch, seconds: float) -> None: ...

    def failed(self, outcome: str) -> None: ...

    def crash(self, error: BaseException) -> Awaitable[None]: ...


class Seat:
    """A partition of a lane that this worker owns."""

    def __init__(self, host: SeatHost, partition: int, ground: Ground, pace: Pace) -> None:
        self.partition = partition
        self.state = SeatState.ACTIVE
        self.fetch_floor = UNTIL_SEEK
        """Records of fetches that began before this one may leave a hole, and are not taken."""
        self.dropped = 0
        """Times that fetched records were not taken; after a seek they must be read again."""
        self.just_sought = False
        """Nothing was taken since the last seek."""
        self._host = host
        self._pace = pace
        self._queue: deque[SourceRecord] = deque()
        self._queue_bytes = self._batch_bytes = 0
        self._wake = asyncio.Event()
        self._stopping = False
        self._doubted = False
        self._failures = 0
        self._fetching = True
        self._commit_began = 0.0
        self._work_began = 0.0
        self.committed_position = ground.position
        self._stand_on(ground)
        self.task = asyncio.get_running_loop().create_task(
            self._run(), name=f"seat-{host.spec.name}-{partition}"
        )

    # -- from the consumer

    def offer(self, fetched: Fetched) -> None:
        """Queue what was read from `read_to` on."""
        records = fetched.records
        self.read_to = fetched.end
        self.just_sought = False
        if records:
            self._queue.extend(records)
            self._queue_bytes += sum([len(one.value) for one in records if one.value is not None])
            self._wake.set()

    @property
    def overfull(self) -> bool:
        """More is queued than should be, and more is fetched."""
        return self._fetching and (
            len(self._queue) > QUEUE_HIGH or self._queue_bytes > QUEUE_BYTES_HIGH
        )

    async def hold_back(self) -> None:
        """Stop the fetching while too much is queued, also while a commit takes its time."""
        if self.overfull and self.state is SeatState.ACTIVE:
            await self._set_fetching(False)

    @property
    def resume_position(self) -> int:
        """Where reading must go on; everything before is in the queue or done."""
        if self._queue:
            return self._queue[-1].offset + 1
        return self._work.position

    @property
    def done_to(self) -> int:
        """Every record before this offset is committed; behind markers when nothing is left."""
        if self._queue or len(self._work) or self.state is not SeatState.ACTIVE:
            return self.committed_position
        return max(self.committed_position, self.read_to)

    @property
    def touched(self) -> frozenset[tuple[str, int]]:
        """Every partition that it writes to."""
        return self._port.touched

    def doubt(self) -> None:
        """Recover before anything else is written: a transaction hangs, or the database failed."""
        self._doubted = True
        self._wake.set()

    # -- from the group

    async def release(self, timeout_s: float) -> None:
        """Finish with a last commit; after the timeout give up, which loses nothing."""
        self._stopping = True
        self._wake.set()
        try:
            await asyncio.wait_for(asyncio.shield(self.task), timeout_s)
        except TimeoutError:
            log.warning(
                "Lane %s partition %d did not finish its last commit in %.0f s; it is left to "
                "recovery.", self._host.spec.name, self.partition, timeout_s,
            )  # fmt: skip
            self.task.cancel()
        self._host.discard(self._port)
        if self.state is SeatState.ACTIVE:
            self.state = SeatState.RELEASED

    # -- the task

    async def _run(self) -> None:
        try:
            while not self._stopping and self.state is SeatState.ACTIVE:
                try:
                    await self._turn()
                except DatabaseTrouble as trouble:
                    _let_go(trouble)
                    log.warning("%s", trouble)
                    await self._recover()
            if self.state is SeatState.ACTIVE and len(self._work):
                await self._commit()
        except (asyncio.CancelledError, RecoveryCancelled):
            self.state = SeatState.RELEASED
        except Exception as error:  # a bug, damaged rows, a topic that may not be
            self.state = SeatState.LOST
            self._port.abandon()
            log.error(
                "Lane %s partition %d can't go on at offset %d of %s: %r. Nothing is committed.",
                self._host.spec.name, self.partition, self._work.position,
                self._host.spec.source, error,
            )  # fmt: skip
            await self._host.crash(error)

    async def _turn(self) -> None:
        if self._doubted:
            self._doubted = False
            await self._recover()
        now = time.monotonic()
        if not self._queue and not self._may_commit(now):
            self._wake.clear()
            wait = None if not len(self._work) else self._due(now) - now
            try:
                await asyncio.wait_for(self._wake.wait(), wait)
            except TimeoutError:
                pass
            return
        if self._queue and not self._full(now):
            if not len(self._work):
                self._work_began = now
            end = now + _TURN_S
            while self._queue and now < end and not self._full(now):
                self._apply_some()
                now = time.monotonic()
            await self._keep_queue_bounded()
            # Let other partitions have their turn, and more records arrive.
            await asyncio.sleep(0)
            if self._queue:
                return
        if self._may_commit(time.monotonic()):
            await self._commit()

    def _may_commit(self, now: float) -> bool:
        return len(self._work) > 0 and (now >= self._due(now) or self._full(now))

    def _due(self, now: float) -> float:
        """When the next commit may begin."""
        due = self._commit_began + self._pace.gap(now)
        if len(self._work):
            end = self._host.end_offset(self.partition)
            if end is not None and end - self._work.position > BEHIND_MIN:
                due = max(due, self._work_began + WORK_MAX_S)
        return due

    def _full(self, now: float) -> bool:
        return (
            len(self._work) >= RECORDS_MAX
            or self._batch_bytes >= BATCH_BYTES_MAX
            or self._work.is_full
            or (len(self._work) > 0 and now - self._work_began > WORK_MAX_S)
        )

    def _apply_some(self) -> None:
        queue = self._queue
        count = min(_RECORDS_AT_ONCE, len(queue), RECORDS_MAX - len(self._work))
        # Records of one queue are taken to be of one size: to count again would cost too much.
        size = self._queue_bytes // len(queue)
        room = BATCH_BYTES_MAX - self._batch_bytes
        if size * count > room:
            count = max(1, room // size)
        records = [queue.popleft() for _ in range(count)]
        taken = self._work.apply(records)
        if taken < count:
            queue.extendleft(reversed(records[taken:]))
        self._queue_bytes -= size * taken
        self._batch_bytes += size * taken
        if not len(self._work):
            self._batch_bytes = 0  # all of them were done before: there is nothing to commit
        if not queue:
            self._queue_bytes = 0

    def _forget_queue(self) -> None:
        self._queue, self._queue_bytes = deque(), 0

    async def _keep_queue_bounded(self) -> None:
        count, size = len(self._queue), self._queue_bytes
        if not self._fetching and count < QUEUE_LOW and size < QUEUE_BYTES_LOW:
            await self._set_fetching(True)
        else:
            await self.hold_back()

    async def _set_fetching(self, fetching: bool) -> None:
        self._fetching = fetching
        await self._host.set_fetching(self.partition, fetching)

    async def _commit(self) -> None:
        batch = self._work.batch()
        if batch is None:
            return
        began = self._commit_began = time.monotonic()
        self._pace.began(self, began)
        try:
            await self._host.run_in_thread(lambda: commit(batch, self._port, self._host.fault))
        except Fenced as why:
            self._host.failed("fenced")
            self.state = SeatState.LOST
            self._forget_queue()
            self._host.lost(self.partition, why)
        except CommitError as why:
            _let_go(why)
            self._host.failed(type(why).__name__.lower())
            log.warning(
                "Lane %s partition %d: %s; the partition is recovered.",
                self._host.spec.name, self.partition, why,
            )  # fmt: skip
            self._failures += 1
            if self._failures >= FAILURES_MAX:
                await self._host.look_again()
                raise CommitRefused(
                    f"Lane {self._host.spec.name!r} failed {self._failures} times in a row to "
                    f"commit partition {self.partition} at offset {batch.position}, last with: "
                    f"{why}. Look for that error at the broker, then start the worker again; "
                    "nothing was lost."
                ) from why
            await self._recover()
        else:
            self._failures = 0
            self._work.committed()
            self._batch_bytes = 0
            self.committed_position = batch.position
            self._host.committed(batch, time.monotonic() - began)

    async def _recover(self) -> None:
        self.state = SeatState.RECOVERING
        await self._host.discard(self._port)
        ground = await self._host.recover_again(self.partition)
        self._forget_queue()
        self._stand_on(ground)
        self.committed_position = ground.position
        if not self._fetching:
            await self._set_fetching(True)
        self.fetch_floor = UNTIL_SEEK
        self.state = SeatState.ACTIVE
        await self._host.seek(self)

    def _stand_on(self, ground: Ground) -> None:
        self._port = ground.port
        self._batch_bytes = 0
        self.read_to = ground.position
        self._work = PartitionWork(
            self._host.spec, LaneShard(self.partition, ground.rows), ground.position
        )


def _let_go(error: BaseException | None) -> None:
    """Forget what the frames of an error hold: a producer among them would live on.

    Only when it is gone can it no longer add partitions to a transaction (`hanging`).
    """
    while error is not None:
        traceback.clear_frames(error.__traceback__)
        error = error.__context__
