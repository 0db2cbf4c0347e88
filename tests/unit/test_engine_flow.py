"""Memory of a partition is bounded by bytes: outputs and rows that wait, and rows that are kept."""

from __future__ import annotations

import dataclasses
import random
from collections.abc import Callable, Iterable
from typing import Any

import pytest

from streamsync.engine.lane import Output, Shard, SourceRecord
from streamsync.engine.pace import Pace
from streamsync.engine.rows import RowType
from streamsync.engine.seat import Ground, Seat
from streamsync.engine.shard import CACHE_BYTES_MAX, LaneShard, MemoryRows
from streamsync.engine.work import CHANGED_BYTES_MAX, OUTPUT_BYTES_MAX, Batch, PartitionWork
from tests.unit.test_engine_commit import LANE, FakeHost, records, until

LARGE = "x" * 100_000
COUNT = 10_000
ROW = RowType("row", 1, str)


class Weighing(FakeHost):
    """Remembers the weight of each batch instead of the batch."""

    def __init__(self, step: Callable[[Shard, SourceRecord], Iterable[Output]]) -> None:
        super().__init__([])
        self.spec = dataclasses.replace(LANE, step=step)
        self.rows = MemoryRows()
        self.outputs: list[int] = []
        self.changed: list[int] = []
        self.done = 0

    def ground(self) -> Ground:
        return dataclasses.replace(super().ground(), rows=self.rows)

    def committed(self, done: Batch, _seconds: float) -> None:
        self.outputs.append(sum(len(output.value or b"") for output, _ in done.outputs))
        self.changed.append(sum(len(data or b"") for _, data in done.rows))
        self.done += done.records


async def work_through(host: Any) -> None:
    seat = Seat(host, 0, host.ground(), Pace())
    seat.offer(records(0, COUNT))
    await until(lambda: host.done == COUNT or bool(host.crashes))
    await seat.release(5)
    assert not host.crashes
    assert host.done == COUNT


async def test_ten_thousand_outputs_of_100_kb_are_many_transactions() -> None:
    value = LARGE.encode()

    def large(_shard: Shard, record: SourceRecord) -> Iterable[Output]:
        return (Output("out", record.key, value),)

    host = Weighing(large)
    await work_through(host)
    assert sum(host.outputs) == COUNT * len(value)
    assert max(host.outputs) <= OUTPUT_BYTES_MAX + len(value)


async def test_ten_thousand_rows_of_100_kb_are_many_transactions() -> None:
    def grow(shard: Shard, record: SourceRecord) -> Iterable[Output]:
        shard.put(ROW, f"{record.offset}", LARGE)
        return ()

    host = Weighing(grow)
    await work_through(host)
    # What new rows are is known after a turn of 100 records.
    assert max(host.changed) <= CHANGED_BYTES_MAX + 200 * (len(LARGE) + 10)
    assert sum(host.changed) >= COUNT * len(LARGE)


def test_small_records_are_one_transaction_as_before() -> None:
    host = Weighing(LANE.step)
    work = PartitionWork(host.spec, LaneShard(0, MemoryRows()), 0)
    assert work.apply(records(0, COUNT).records) == COUNT
    assert not work.is_full


def test_a_full_batch_takes_no_further_record_and_the_rest_goes_on_behind_it() -> None:
    value = b"x" * (OUTPUT_BYTES_MAX // 2)

    def large(_shard: Shard, record: SourceRecord) -> Iterable[Output]:
        return (Output("in" if record.offset % 2 else "out", record.key, value),)

    work = PartitionWork(dataclasses.replace(LANE, step=large), LaneShard(0, MemoryRows()), 0)
    found = records(0, 7).records
    assert work.apply(found) == 3
    assert work.is_full and work.position == 3
    work.batch()
    work.committed()
    assert not work.is_full
    assert work.apply(found) == 6, "three done before, and three more"


def test_rows_that_were_only_read_leave_the_cache_and_are_read_again() -> None:
    store = MemoryRows()
    for number in range(400):
        store.write(b"row|%03d" % number, ROW.encode(f"{number}{LARGE}"))
    shard = LaneShard(0, store)
    shard.begin_step()
    shard.put(ROW, "first", "changed")
    for number in range(400):
        shard.begin_step()
        assert shard.get(ROW, f"{number:03d}") == f"{number}{LARGE}"
        shard.keep_bounded()
        assert shard._cached_bytes <= CACHE_BYTES_MAX
    assert len(shard._cache) < 170
    assert shard.get(ROW, "first") == "changed", "a row that is not written yet was evicted"
    assert shard.get(ROW, "000") == f"0{LARGE}"


@pytest.mark.parametrize("seed", range(20))
def test_what_the_cache_counts_is_what_it_holds_whatever_steps_do(
    seed: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("streamsync.engine.shard.CACHE_BYTES_MAX", 20_000)
    chosen = random.Random(seed)
    store = MemoryRows()
    shard, known = LaneShard(0, store), dict[str, str]()
    for _ in range(300):
        shard.begin_step()
        before = dict(known)
        for _ in range(chosen.randrange(4)):
            key, what = f"{chosen.randrange(60)}", chosen.random()
            if what < 0.5:
                known[key] = "v" * chosen.randrange(900)
                shard.put(ROW, key, known[key])
            elif what < 0.6:
                shard.delete(ROW, key)
                known.pop(key, None)
            elif what < 0.7:
                assert dict(shard.scan(ROW, limit=5)) == dict(sorted(known.items())[:5])
            else:
                assert shard.get(ROW, key) == known.get(key)
        if chosen.random() < 0.2:
            shard.undo_step()
            known = before
        shard.keep_bounded()
        if chosen.random() < 0.1:
            for name, data in shard.changes():
                store.write(name, data)
            shard.committed()
            assert shard.changed_bytes == 0
        assert shard._cached_bytes == sum(cell.size for cell in shard._cache.values())
        assert shard.changed_bytes == sum(cell.size for cell in shard._dirty.values())
        assert shard._dirty.items() <= shard._cache.items()
    assert dict(shard.scan(ROW)) == known
