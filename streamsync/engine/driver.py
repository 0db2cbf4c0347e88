"""A whole topology in memory: the same lanes, the same commit order, no broker, no Faust.

Problem: the properties that matter (every crash ends in the same books) need thousands of runs,
and offline commands need the topology without a cluster. The driver runs lanes over topics in
memory (`memory`). A crash forgets everything but topics, changelogs and disks; a partition may
be handed to another worker, whose disk is its own, while the former owner still believes to own
it. Everything is deterministic; a seed varies the order of work.
"""

from __future__ import annotations

import random
from dataclasses import dataclass
from itertools import islice

from streamsync.engine.commit import CommitError, CommitStep, commit
from streamsync.engine.lane import Output, Shard, SourceRecord, Topology
from streamsync.engine.memory import Changelog, Disk, MemoryPort, MemoryTopics
from streamsync.engine.shard import LaneShard
from streamsync.engine.work import PartitionWork


class DriverCrashed(Exception):
    """The crash that the test asked for; call `restart` to go on."""


class DriverStuck(Exception):
    """The topology still moves after the bounded number of batches."""


@dataclass(frozen=True)
class _FaultPlan:
    step: CommitStep
    lane: str | None
    partition: int | None
    error: type[DriverCrashed | CommitError]


@dataclass(frozen=True, eq=False)
class _Seat:
    """A partition of a lane, as one worker holds it."""

    work: PartitionWork
    worker: int
    epoch: int


class Driver:
    """Runs a topology in memory.

    `partitions` replaces the number of every topic that has more than one. With a `seed` the
    order of lanes, partitions and batch sizes is drawn from it, else it is a plain rotation.
    `redeliver` hands each lane records that it has already done, as Kafka may. With several
    `workers` the partitions are dealt out among them; `hand_over` moves one.
    """

    def __init__(
        self,
        topology: Topology,
        partitions: int | None = None,
        *,
        seed: int | None = None,
        redeliver: bool = False,
        batch_max: int = 500,
        workers: int = 1,
    ) -> None:
        self.topology = topology
        self._random = None if seed is None else random.Random(seed)  # noqa: S311
        self._redeliver = redeliver
        self._batch_max = batch_max
        self._topics = MemoryTopics(topology, partitions)
        self._changelogs: dict[tuple[str, int], Changelog] = {}
        self._disks: dict[tuple[str, int, int], Disk] = {}
        self._owner: dict[tuple[str, int], int] = {}
        self._seats: dict[tuple[str, int], _Seat] = {}
        self._zombies: list[_Seat] = []
        self._fault_plan: _FaultPlan | None = None
        self._fault_after = 0
        self._crashed: int | None = None
        self.workers = workers
        for topic in topology.topics:
            self._topics.of(topic.name)
        for lane in topology.lanes:
            for partition in range(len(self._topics.of(lane.source))):
                seat = lane.name, partition
                self._changelogs[seat] = Changelog()
                self._owner[seat] = len(self._owner) % workers
                for worker in range(workers):
                    self._disks[(*seat, worker)] = Disk()
        self._recover()

    # -- feeding and reading

    def produce(
        self,
        topic: str,
        key: bytes | None,
        value: bytes | None,
        partition: int | None = None,
        timestamp_ms: int = 0,
    ) -> SourceRecord:
        """Write one record, as an outside producer would."""
        return self._topics.append(Output(topic, key, value, partition), timestamp_ms)

    def outputs(self, topic: str, partition: int | None = None) -> list[SourceRecord]:
        """All visible records of a topic, by partition and offset."""
        logs = self._topics.logs.get(topic, [])
        chosen = logs if partition is None else logs[partition : partition + 1]
        return [record for log in chosen for record in log.records]

    def topics(self) -> list[str]:
        """Every topic, those met at run time included."""
        return list(self._topics.logs)

    def partition_of(self, topic: str, key: bytes | None) -> int:
        return self.topology.partitioner(key, len(self._topics.of(topic)))

    def shard(self, lane: str, partition: int) -> Shard:
        """The committed rows of a lane's partition; what is written to it goes nowhere."""
        return LaneShard(partition, self._disk(lane, partition).rows)

    def shard_of(self, lane: str, key: bytes) -> Shard:
        """The committed rows of the partition that a key belongs to."""
        return self.shard(lane, self.partition_of(self.topology.lane(lane).source, key))

    def partitions(self, lane: str) -> int:
        return len(self._topics.of(self.topology.lane(lane).source))

    def position(self, lane: str, partition: int) -> int:
        """The offset that the lane reads next."""
        return self._changelogs[lane, partition].position

    def stored_rows(self, lane: str, partition: int) -> dict[bytes, bytes]:
        """Every committed row as bytes, to compare two runs."""
        return dict(self._disk(lane, partition).rows.seek(b""))

    # -- running

    def run(self, batches_max: int = 1_000_000) -> int:
        """Work until nothing moves; gives the number of batches.

        Raises `DriverStuck` after `batches_max` batches: a lane feeds itself without end.
        """
        done = 0
        while True:
            seats = self._busy()
            if not seats:
                return done
            if self._random is not None:
                seats = [self._random.choice(seats)]
            for seat in seats:
                if done >= batches_max:
                    raise DriverStuck(
                        f"After {batches_max} batches lane {seat.work.lane.name!r} still has "
                        f"records in partition {seat.work.shard.partition}: a loop-back answers "
                        "itself."
                    )
                self._run_batch(seat)
                done += 1

    def step(self) -> bool:
        """One batch of one seat; false when nothing moves."""
        seats = self._busy()
        if not seats:
            return False
        self._run_batch(seats[0] if self._random is None else self._random.choice(seats))
        return True

    def crash_at(
        self,
        step: CommitStep,
        lane: str | None = None,
        partition: int | None = None,
        after: int = 0,
    ) -> None:
        """Let a coming commit crash right after this step, having let `after` of them pass."""
        self._fault_plan = _FaultPlan(step, lane, partition, DriverCrashed)
        self._fault_after = after

    def fail_at(
        self,
        step: CommitStep,
        error: type[CommitError],
        lane: str | None = None,
        partition: int | None = None,
        after: int = 0,
    ) -> None:
        """Let a coming commit meet this error right after this step; its worker lives on."""
        self._fault_plan = _FaultPlan(step, lane, partition, error)
        self._fault_after = after

    @property
    def fault_is_armed(self) -> bool:
        """Whether the last crash or error asked for is still to come."""
        return self._fault_plan is not None

    def disarm(self) -> None:
        """Forget a crash or error that has not come."""
        self._fault_plan = None

    def restart(self, *, wipe: bool = False) -> None:
        """Start the crashed worker (if none crashed: all) again, on its disk or an empty one."""
        workers = range(self.workers) if self._crashed is None else (self._crashed,)
        if wipe:
            for place in self._disks:
                if place[2] in workers:
                    self._disks[place] = Disk()
        if self._crashed is None:
            self._seats.clear()
            self._zombies.clear()
        self._crashed = None
        self._recover()

    def owner(self, lane: str, partition: int) -> int:
        """The worker that a partition belongs to."""
        return self._owner[lane, partition]

    def unseated(self) -> list[tuple[str, int]]:
        """Partitions that nobody works on, since their worker has crashed."""
        return [place for place in self._owner if place not in self._seats]

    def hand_over(self, lane: str, partition: int, worker: int, *, zombie: bool = False) -> None:
        """Give a partition to a worker, who fences the former owner and recovers on its own disk.

        A `zombie` is a former owner that was not told: it goes on with the rows that it has in
        memory, and learns the news when it tries to commit. One process never holds a partition
        twice: what the new owner held of it before is dropped.
        """
        former = self._seats.pop((lane, partition), None)
        if former is not None and zombie:
            self._zombies.append(former)
        self._zombies = [
            seat
            for seat in self._zombies
            if (seat.work.lane.name, seat.work.shard.partition, seat.worker)
            != (lane, partition, worker)
        ]
        self._owner[lane, partition] = worker
        self._recover_seat(lane, partition)

    # -- inside

    def _disk(self, lane: str, partition: int) -> Disk:
        return self._disks[lane, partition, self._owner[lane, partition]]

    def _busy(self) -> list[_Seat]:
        if self._crashed is not None:
            raise DriverCrashed("The worker has crashed: call restart() before run().")
        return [seat for seat in (*self._seats.values(), *self._zombies) if self._unread(seat)]

    def _unread(self, seat: _Seat) -> bool:
        log = self._topics.of(seat.work.lane.source)[seat.work.shard.partition]
        return bool(log.records) and log.records[-1].offset >= seat.work.position

    def _recover(self) -> None:
        """Seat every partition that has no seat."""
        for seat in self._owner:
            if seat not in self._seats:
                self._recover_seat(*seat)

    def _recover_seat(self, lane: str, partition: int) -> None:
        """Fence who was there, bring the owner's disk up to the changelog, start at the marker."""
        changelog, disk = self._changelogs[lane, partition], self._disk(lane, partition)
        epoch = changelog.fence()
        changelog.recover(disk)
        work = PartitionWork(
            self.topology.lane(lane), LaneShard(partition, disk.rows), disk.position
        )
        self._seats[lane, partition] = _Seat(work, self._owner[lane, partition], epoch)

    def _run_batch(self, seat: _Seat) -> None:
        work = seat.work
        log = self._topics.of(work.lane.source)[work.shard.partition]
        start = log.start_of(work.position)
        size = self._batch_max
        if self._random is not None:
            size = self._random.randint(1, size)
        again = min(start, 2) if self._redeliver else 0
        work.apply(list(islice(log.records, start - again, start + size)))
        batch = work.batch()
        if batch is None:
            return
        place = work.lane.name, work.shard.partition
        disk = self._disks[(*place, seat.worker)]
        port = MemoryPort(self._topics, self._changelogs[place], disk, seat.epoch)
        try:
            commit(batch, port, self._fault)
        except DriverCrashed:
            port.abort()
            self._crash(seat.worker)
            raise
        except CommitError:
            port.abort()
            self._lose(seat)
        else:
            work.committed()

    def _crash(self, worker: int) -> None:
        self._crashed = worker
        self._seats = {at: seat for at, seat in self._seats.items() if seat.worker != worker}
        self._zombies = [seat for seat in self._zombies if seat.worker != worker]

    def _lose(self, seat: _Seat) -> None:
        """Drop the cache; whoever owns the partition recovers it."""
        if seat in self._zombies:
            self._zombies.remove(seat)
            return
        place = seat.work.lane.name, seat.work.shard.partition
        del self._seats[place]
        self._recover_seat(*place)

    def _fault(self, lane: str, partition: int, step: CommitStep) -> None:
        plan = self._fault_plan
        if plan is None or plan.step is not step:
            return
        if plan.lane not in (None, lane) or plan.partition not in (None, partition):
            return
        if self._fault_after > 0:
            self._fault_after -= 1
            return
        self._fault_plan = None
        raise plan.error(f"{plan.error.__name__} after {step.name} of {lane} {partition}.")
