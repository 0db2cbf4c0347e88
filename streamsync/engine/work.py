"""The work of one partition of one lane, between two commits.

Problem: Kafka and the in-memory driver must run steps, treat poison records and collect outputs
in exactly the same way, or a test in memory would prove nothing. Both use this class: they hand
it records, take the batch it has collected, commit it and say so.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from streamsync.engine.lane import LaneSpec, Output, Poison, SourceRecord
from streamsync.engine.shard import LaneShard


@dataclass(frozen=True, slots=True)
class Batch:
    """What one commit makes durable: all of it, or nothing."""

    lane: LaneSpec
    partition: int
    records: int
    loop_backs: Sequence[tuple[Output, int]]
    outputs: Sequence[tuple[Output, int]]
    rows: Sequence[tuple[bytes, bytes | None]]
    position: int
    poison: int


class PartitionWork:
    """Runs a lane's step over the records of one partition and collects the results."""

    def __init__(self, lane: LaneSpec, shard: LaneShard, position: int) -> None:
        self.lane = lane
        self.shard = shard
        self.position = position
        self.skipped = 0
        self._poison = 0
        self._records = 0
        self._loop_backs: list[tuple[Output, int]] = []
        self._outputs: list[tuple[Output, int]] = []

    def __len__(self) -> int:
        return self._records

    @property
    def pending(self) -> int:
        """Records that wait to be written, apart from rows."""
        return len(self._outputs) + len(self._loop_backs)

    def apply(self, records: Iterable[SourceRecord]) -> None:
        """Run the step over records; those below the position were done before, and are skipped."""
        shard, step, source = self.shard, self.lane.step, self.lane.source
        begin_step, add_output = shard.begin_step, self._outputs.append
        for record in records:
            offset = record.offset
            if offset < self.position:
                self.skipped += 1
                continue
            begin_step()
            try:
                made = step(shard, record)
                if type(made) is not tuple:
                    # A generator works while it is read: nothing of it counts before its end.
                    made = tuple(made)
            except Poison as poison:
                shard.undo_step()
                self._poison += 1
                made = tuple(self.lane.dead_letter(record, poison))
            for output in made:
                if output.topic == source:
                    self._loop_backs.append((output, record.timestamp_ms))
                else:
                    add_output((output, record.timestamp_ms))
            self._records += 1
            self.position = offset + 1

    def batch(self) -> Batch | None:
        """Everything since the last commit; `None` when nothing was read."""
        if self._records == 0:
            return None
        return Batch(
            lane=self.lane,
            partition=self.shard.partition,
            records=self._records,
            loop_backs=self._loop_backs,
            outputs=self._outputs,
            rows=self.shard.changes(),
            position=self.position,
            poison=self._poison,
        )

    def committed(self) -> None:
        """The last batch is durable."""
        self.shard.committed()
        # New lists, since the batch that was handed out keeps the old ones.
        self._loop_backs, self._outputs = [], []
        self._records = self._poison = 0
