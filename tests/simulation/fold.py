"""A lane without an engine: its steps over its whole topic, in order, once.

Problem: a run with faults can only be judged against something that has none. How: the visible
records of a lane's source are folded over a dictionary; no batches, no cache, no commits, nothing
of the engine but the encoding of a row. What the engine stored and wrote must be the same bytes.
"""

from __future__ import annotations

from bisect import bisect_left, insort
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any, TypeVar

from streamsync.engine.lane import LaneSpec, Output, Poison, SourceRecord
from streamsync.engine.rows import RowType

T = TypeVar("T")


class PlainShard:
    """Rows in a dictionary."""

    def __init__(self, partition: int) -> None:
        self.partition = partition
        self._rows: dict[str, tuple[RowType[Any], Any]] = {}
        self._keys: list[str] = []
        self._before: dict[str, tuple[RowType[Any], Any] | None] = {}

    def get(self, row: RowType[T], key: str) -> T | None:
        found = self._rows.get(row.head + key)
        return None if found is None else found[1]

    def put(self, row: RowType[T], key: str, value: T) -> None:
        self._set(row.head + key, (row, value))

    def delete(self, row: RowType[T], key: str) -> None:
        self._set(row.head + key, None)

    def scan(
        self,
        row: RowType[T],
        prefix: str = "",
        after: str | None = None,
        limit: int | None = None,
    ) -> Iterator[tuple[str, T]]:
        low = row.head + prefix
        start = low if after is None else max(low, row.head + after + "\0")
        left = limit
        while left is None or left > 0:
            at = bisect_left(self._keys, start)
            if at == len(self._keys) or not self._keys[at].startswith(low):
                return
            key = self._keys[at]
            start = key + "\0"
            yield key[len(row.head) :], self._rows[key][1]
            left = None if left is None else left - 1

    def begin(self) -> None:
        """Remember from here."""
        self._before.clear()

    def undo(self) -> None:
        """Back to `begin`."""
        for key, value in list(self._before.items()):
            self._set(key, value)

    def encoded(self) -> dict[bytes, bytes]:
        """Every row as a store would hold it."""
        return {key.encode(): row.encode(value) for key, (row, value) in self._rows.items()}

    def _set(self, key: str, value: tuple[RowType[Any], Any] | None) -> None:
        self._before.setdefault(key, self._rows.get(key))
        if value is None:
            if self._rows.pop(key, None) is not None:
                del self._keys[bisect_left(self._keys, key)]
            return
        if key not in self._rows:
            insort(self._keys, key)
        self._rows[key] = value


@dataclass
class Folded:
    """What a lane's partition must hold and must have written."""

    shard: PlainShard
    outputs: list[tuple[Output, int]] = field(default_factory=list)
    loop_backs: list[tuple[Output, int]] = field(default_factory=list)
    poison: int = 0


def fold(lane: LaneSpec, partition: int, records: Sequence[SourceRecord]) -> Folded:
    """Run the lane's step over the records of one partition."""
    folded = Folded(PlainShard(partition))
    for record in records:
        folded.shard.begin()
        try:
            made = list(lane.step(folded.shard, record))
        except Poison as poison:
            folded.shard.undo()
            folded.poison += 1
            made = list(lane.dead_letter(record, poison))
        for output in made:
            kind = folded.loop_backs if output.topic == lane.source else folded.outputs
            kind.append((output, record.timestamp_ms))
    return folded
