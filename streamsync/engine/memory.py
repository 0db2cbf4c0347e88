"""Kafka's topics as lists, with the rules of Kafka that a lane can notice.

Offsets have gaps where transaction markers would be, outputs of a transaction become visible
together when it commits, an aborted one leaves only a gap, loop-backs appear at once. A newer
producer fences the older; a changelog is compacted, and complete up to its last marker.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

from streamsync.engine.commit import Fenced
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


_MARKER = b"\0position"


@dataclass
class Disk:
    """One worker's database of one partition: rows, and the cut of history that they are."""

    rows: MemoryRows = field(default_factory=MemoryRows)
    end: int = 0
    """Offset behind the last changelog row that it contains."""
    position: int = 0

    def write(self, rows: Sequence[tuple[bytes, bytes | None]], end: int, position: int) -> None:
        """Rows, changelog offset and position in one write."""
        for key, value in rows:
            self.rows.write(key, value)
        self.end, self.position = end, position


@dataclass
class Changelog:
    """The compacted changelog of one partition: the last row of each key, in order of offset.

    `epoch` is that of the transactional producer; whoever has an older one is fenced.
    """

    rows: dict[bytes, tuple[int, bytes | None]] = field(default_factory=dict)
    end: int = 0
    epoch: int = 0

    def fence(self) -> int:
        """A new producer: from here on no earlier owner can commit."""
        self.epoch += 1
        return self.epoch

    def append(self, key: bytes, value: bytes | None) -> None:
        self.rows.pop(key, None)
        self.rows[key] = (self.end, value)
        self.end += 1

    def marker(self, position: int) -> None:
        """The row that ends a transaction: the position that belongs to the rows before."""
        self.append(_MARKER, b"%d" % position)

    @property
    def position(self) -> int:
        """The offset of the source that is read next."""
        found = self.rows.get(_MARKER)
        return 0 if found is None else int(found[1] or b"0")

    def recover(self, disk: Disk) -> None:
        """Bring a disk up to the changelog; it is written at markers only."""
        waiting: list[tuple[bytes, bytes | None]] = []
        for key, (offset, value) in list(self.rows.items()):
            if offset < disk.end:
                continue
            if key == _MARKER:
                disk.write(waiting, offset + 1, int(value or b"0"))
                waiting = []
            else:
                waiting.append((key, value))


class MemoryPort:
    """The commit port over memory: one transaction of one owner of a partition."""

    def __init__(self, topics: MemoryTopics, changelog: Changelog, disk: Disk, epoch: int) -> None:
        self._topics = topics
        self._changelog = changelog
        self._disk = disk
        self._epoch = epoch
        self._staged: list[tuple[Output, int]] = []
        self._rows: list[tuple[bytes, bytes | None]] = []
        self._position: int | None = None
        self._end = 0

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
        """The first moment at which the broker can refuse a fenced owner's records."""
        self._refuse_fenced()

    def commit(self) -> None:
        self._refuse_fenced()
        touched = set()
        for output, timestamp_ms in self._staged:
            record = self._topics.append(output, timestamp_ms)
            touched.add((record.topic, record.partition))
        self._end_transaction(touched)
        for key, value in self._rows:
            self._changelog.append(key, value)
        if self._position is not None:
            self._changelog.marker(self._position)
        self._end = self._changelog.end

    def abort(self) -> None:
        """The process is gone: what it had produced leaves a gap in the offsets."""
        touched = set()
        for output, _ in self._staged:
            partition = self._topics.place(output)
            self._topics.of(output.topic)[partition].end += 1
            touched.add((output.topic, partition))
        self._end_transaction(touched)

    def store(self, rows: Sequence[tuple[bytes, bytes | None]], position: int) -> None:
        self._disk.write(rows, self._end, position)

    def _refuse_fenced(self) -> None:
        if self._epoch != self._changelog.epoch:
            raise Fenced("A newer producer owns the partition.")

    def _end_transaction(self, touched: set[tuple[str, int]]) -> None:
        for topic, partition in touched:
            self._topics.of(topic)[partition].end += 1  # the marker takes an offset
        self._staged.clear()
