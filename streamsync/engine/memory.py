"""Kafka's topics as lists, with the rules of Kafka that a lane can notice.

Offsets have gaps where transaction markers would be, outputs of a transaction become visible
together when it commits, an aborted one leaves only a gap, loop-backs appear at once.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

from streamsync.engine.lane import Output, SourceRecord, Topology
from streamsync.engine.shard import MemoryRows


class Log:
    """One partition of one topic."""

    def __init__(self) -> None:
        self.records: list[SourceRecord] = []
        self.end = 0

    def append(self, partition: int, output: Output, timestamp_ms: int) -> SourceRecord:
        record = SourceRecord(
            output.topic, partition, self.end, timestamp_ms, output.key, output.value
        )
        self.records.append(record)
        self.end += 1
        return record

    def start_of(self, position: int) -> int:
        """Index of the first record at or after an offset."""
        low, high = 0, len(self.records)
        while low < high:
            middle = (low + high) // 2
            if self.records[middle].offset < position:
                low = middle + 1
            else:
                high = middle
        return low


class MemoryTopics:
    """All topics of a topology; those met at run time appear with the first record."""

    def __init__(self, topology: Topology, partitions: int | None) -> None:
        self._topology = topology
        self._partitions = partitions
        self.logs: dict[str, list[Log]] = {}

    def of(self, topic: str) -> list[Log]:
        logs = self.logs.get(topic)
        if logs is None:
            count = self._topology.topic(topic).partitions
            if self._partitions is not None and count > 1:
                count = self._partitions
            logs = self.logs[topic] = [Log() for _ in range(count)]
        return logs

    def place(self, output: Output) -> int:
        if output.partition is not None:
            return output.partition
        return self._topology.partitioner(output.key, len(self.of(output.topic)))

    def append(self, output: Output, timestamp_ms: int) -> SourceRecord:
        partition = self.place(output)
        return self.of(output.topic)[partition].append(partition, output, timestamp_ms)


@dataclass
class Durable:
    """What survives the process: the compacted changelog and the worker's disk."""

    changelog: dict[bytes, tuple[int, bytes | None]] = field(default_factory=dict)
    changelog_end: int = 0
    position: int = 0
    disk: MemoryRows = field(default_factory=MemoryRows)
    disk_end: int = 0

    def recover(self) -> None:
        """Bring the disk up to the changelog."""
        for key, (offset, value) in self.changelog.items():
            if offset >= self.disk_end:
                self.disk.write(key, value)
        self.disk_end = self.changelog_end


class MemoryPort:
    """The commit port over memory: one transaction."""

    def __init__(self, topics: MemoryTopics, durable: Durable) -> None:
        self._topics = topics
        self._durable = durable
        self._staged: list[tuple[Output, int]] = []
        self._rows: list[tuple[bytes, bytes | None]] = []
        self._position = 0

    def loop_back(self, records: Sequence[tuple[Output, int]]) -> None:
        for output, timestamp_ms in records:
            self._topics.append(output, timestamp_ms)

    def begin(self) -> None:
        """A transaction without records leaves no trace."""

    def outputs(self, records: Sequence[tuple[Output, int]]) -> None:
        self._staged.extend(records)

    def changelog(self, rows: Sequence[tuple[bytes, bytes | None]]) -> None:
        self._rows.extend(rows)

    def marker(self, position: int) -> None:
        self._position = position

    def flush(self) -> None:
        """Memory has nothing to flush; the step exists so that a test may crash after it."""

    def commit(self) -> None:
        touched = set()
        for output, timestamp_ms in self._staged:
            record = self._topics.append(output, timestamp_ms)
            touched.add((record.topic, record.partition))
        self._end(touched)
        durable = self._durable
        for key, value in self._rows:
            durable.changelog[key] = (durable.changelog_end, value)
            durable.changelog_end += 1
        durable.position = self._position

    def abort(self) -> None:
        """The process is gone: what it had produced leaves a gap in the offsets."""
        touched = set()
        for output, _ in self._staged:
            partition = self._topics.place(output)
            self._topics.of(output.topic)[partition].end += 1
            touched.add((output.topic, partition))
        self._end(touched)

    def _end(self, touched: set[tuple[str, int]]) -> None:
        for topic, partition in touched:
            self._topics.of(topic)[partition].end += 1  # the marker takes an offset
        self._staged.clear()

    def store(self, rows: Sequence[tuple[bytes, bytes | None]], position: int) -> None:
        for key, value in rows:
            self._durable.disk.write(key, value)
        self._durable.disk_end = self._durable.changelog_end
