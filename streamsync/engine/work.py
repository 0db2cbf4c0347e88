"""The work of one partition of one lane, between two commits.

Problem: Kafka and the in-memory driver must run steps, treat poison records and collect outputs
in exactly the same way, or a test in memory would prove nothing. Both use this class: they hand
it records, take the batch it has collected, commit it and say so.

What is not committed yet is in memory, so it is bounded by bytes: a small record may cause large
outputs or change large rows. When the bound is reached no further record is taken; one step may
exceed it by what it writes at once.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from streamsync.engine.lane import LaneSpec, Output, Poison, SourceRecord
from streamsync.engine.shard import LaneShard

OUTPUTS_MAX = 50_000
OUTPUT_BYTES_MAX = 16 << 20
CHANGED_BYTES_MAX = 8 << 20


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
        self._output_bytes = 0
        self._loop_backs: list[tuple[Output, int]] = []
        self._outputs: list[tuple[Output, int]] = []

    def __len__(self) -> int:
        return self._records

    @property
    def is_full(self) -> bool:
        """Whether so much waits to be written that it should be committed first."""
        return (
            self._output_bytes > OUTPUT_BYTES_MAX
            or len(self._outputs) + len(self._loop_backs) > OUTPUTS_MAX
            or self.shard.changed_bytes > CHANGED_BYTES_MAX
        )

    def apply(self, records: Iterable[SourceRecord]) -> int:
        """Run the step over records, until the outputs are full; gives how many were taken.

        Those below the position were done before, and are skipped.
        """
        shard, step, source = self.shard, self.lane.step, self.lane.source
        begin_step, add_output = shard.begin_step, self._outputs.append
        size, size_max = self._output_bytes, OUTPUT_BYTES_MAX
        before = self._records + self.skipped
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
                if (value := output.value) is not None:
                    size += len(value)
                if output.topic == source:
                    self._loop_backs.append((output, record.timestamp_ms))
                else:
                    add_output((output, record.timestamp_ms))
            self._records += 1
            self.position = offset + 1
            if size > size_max:
                break
        self._output_bytes = size
        shard.keep_bounded()
        return self._records + self.skipped - before

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
        self._records = self._poison = self._output_bytes = 0
