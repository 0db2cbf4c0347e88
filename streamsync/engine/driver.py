"""A whole topology in memory: the same lanes, the same commit order, no broker, no Faust.

Problem: the properties that matter (every crash ends in the same books) need thousands of runs,
and offline commands need the topology without a cluster. The driver runs lanes over topics in
memory (`memory`). A crash forgets everything but topics, changelogs and disks. Everything is
deterministic; a seed varies the order of work.
"""

from __future__ import annotations

import random
from dataclasses import dataclass
from itertools import islice

from streamsync.engine.commit import CommitStep, commit
from streamsync.engine.lane import Output, Shard, SourceRecord, Topology
from streamsync.engine.memory import Durable, MemoryPort, MemoryTopics
from streamsync.engine.shard import LaneShard, MemoryRows
from streamsync.engine.work import PartitionWork


class DriverCrashed(Exception):
    """The crash that the test asked for; call `restart` to go on."""


class DriverStuck(Exception):
    """The topology still moves after the bounded number of batches."""


@dataclass(frozen=True)
class _CrashPlan:
    step: CommitStep
    lane: str | None
    partition: int | None


class Driver:
    """Runs a topology in memory.

    `partitions` replaces the number of every topic that has more than one. With a `seed` the
    order of lanes, partitions and batch sizes is drawn from it, else it is a plain rotation.
    `redeliver` hands each lane records that it has already done, as Kafka may.
    """

    def __init__(
        self,
        topology: Topology,
        partitions: int | None = None,
        *,
        seed: int | None = None,
        redeliver: bool = False,
        batch_max: int = 500,
    ) -> None:
        self.topology = topology
        self._random = None if seed is None else random.Random(seed)  # noqa: S311
        self._redeliver = redeliver
        self._batch_max = batch_max
        self._topics = MemoryTopics(topology, partitions)
        self._durable: dict[tuple[str, int], Durable] = {}
        self._seats: dict[tuple[str, int], PartitionWork] = {}
        self._crash: _CrashPlan | None = None
        self._crash_after = 0
        self._crashed = False
        for topic in topology.topics:
            self._topics.of(topic.name)
        for lane in topology.lanes:
            for partition in range(len(self._topics.of(lane.source))):
                self._durable[lane.name, partition] = Durable()
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
        return LaneShard(partition, self._durable[lane, partition].disk)

    def shard_of(self, lane: str, key: bytes) -> Shard:
        """The committed rows of the partition that a key belongs to."""
        return self.shard(lane, self.partition_of(self.topology.lane(lane).source, key))

    def partitions(self, lane: str) -> int:
        return len(self._topics.of(self.topology.lane(lane).source))

    def position(self, lane: str, partition: int) -> int:
        """The offset that the lane reads next."""
        return self._durable[lane, partition].position

    def stored_rows(self, lane: str, partition: int) -> dict[bytes, bytes]:
        """Every committed row as bytes, to compare two runs."""
        return dict(self._durable[lane, partition].disk.seek(b""))

    # -- running

    def run(self, batches_max: int = 1_000_000) -> int:
        """Work until nothing moves; gives the number of batches.

        Raises `DriverStuck` after `batches_max` batches: a lane feeds itself without end.
        """
        if self._crashed:
            raise DriverCrashed("The worker has crashed: call restart() before run().")
        done = 0
        while True:
            seats = [key for key in self._seats if self._unread(key)]
            if not seats:
                return done
            if self._random is not None:
                seats = [self._random.choice(seats)]
            for seat in seats:
                if done >= batches_max:
                    raise DriverStuck(
                        f"After {batches_max} batches lane {seat[0]!r} still has records in "
                        f"partition {seat[1]}: a loop-back answers itself."
                    )
                self._run_batch(*seat)
                done += 1

    def crash_at(
        self,
        step: CommitStep,
        lane: str | None = None,
        partition: int | None = None,
        after: int = 0,
    ) -> None:
        """Let a coming commit crash right after this step, having let `after` of them pass."""
        self._crash, self._crash_after = _CrashPlan(step, lane, partition), after

    def restart(self, *, wipe: bool = False) -> None:
        """Start the worker again, on its disk or on an empty one."""
        if wipe:
            for durable in self._durable.values():
                durable.disk, durable.disk_end = MemoryRows(), 0
        self._crashed = False
        self._recover()

    # -- inside

    def _unread(self, seat: tuple[str, int]) -> bool:
        log = self._topics.of(self.topology.lane(seat[0]).source)[seat[1]]
        return bool(log.records) and log.records[-1].offset >= self._seats[seat].position

    def _recover(self) -> None:
        """Bring every disk up to its changelog, and start every seat at the marker."""
        self._seats.clear()
        for (name, partition), durable in self._durable.items():
            durable.recover()
            self._seats[name, partition] = PartitionWork(
                self.topology.lane(name), LaneShard(partition, durable.disk), durable.position
            )

    def _run_batch(self, name: str, partition: int) -> None:
        work = self._seats[name, partition]
        log = self._topics.of(work.lane.source)[partition]
        start = log.start_of(work.position)
        size = self._batch_max
        if self._random is not None:
            size = self._random.randint(1, size)
        again = min(start, 2) if self._redeliver else 0
        work.apply(list(islice(log.records, start - again, start + size)))
        batch = work.batch()
        if batch is None:
            return
        port = MemoryPort(self._topics, self._durable[name, partition])
        try:
            commit(batch, port, self._fault)
        except DriverCrashed:
            port.abort()
            self._crashed = True
            self._seats.clear()
            raise
        work.committed()

    def _fault(self, lane: str, partition: int, step: CommitStep) -> None:
        plan = self._crash
        if plan is None or plan.step is not step:
            return
        if plan.lane not in (None, lane) or plan.partition not in (None, partition):
            return
        if self._crash_after > 0:
            self._crash_after -= 1
            return
        self._crash = None
        raise DriverCrashed(f"Crash after {step.name} of {lane} partition {partition}.")
