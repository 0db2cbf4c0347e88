"""Fetched batches unpacked by the engine: the records that aiokafka would have given, no others."""

from __future__ import annotations

import asyncio
import struct
from collections.abc import Iterable
from typing import Any

import pytest
from aiokafka.consumer.fetcher import FetchError, FetchResult, PartitionRecords
from aiokafka.errors import CorruptRecordException, RecordTooLargeError
from aiokafka.record.default_records import DefaultRecordBatchBuilder
from aiokafka.record.memory_records import MemoryRecords
from aiokafka.record.util import calc_crc32c
from aiokafka.structs import TopicPartition
from hypothesis import given
from hypothesis import strategies as st

from streamsync.engine.fetch import take_fetched, unpack
from streamsync.engine.lane import SourceRecord

PLACE = TopicPartition("in", 3)
READ_COMMITTED = 1
_ATTRIBUTES = 21  # where they stand in a batch; the checksum of all from here on is before them
_CONTROL = 0x20
_ABORT, _COMMIT = 0, 1


def batch(
    start: int,
    records: Iterable[tuple[bytes | None, bytes | None]],
    *,
    producer: int = -1,
    compression: int = 0,
    control: bool = False,
) -> bytes:
    builder = DefaultRecordBatchBuilder(2, compression, producer >= 0, producer, 0, 0, 1 << 20)
    for number, (key, value) in enumerate(records):
        builder.append(number, 1_000 + start + number, key, value, [])
    data = bytearray(builder.build())
    struct.pack_into(">q", data, 0, start)
    if control:
        (attributes,) = struct.unpack_from(">h", data, _ATTRIBUTES)
        struct.pack_into(">h", data, _ATTRIBUTES, attributes | _CONTROL)
        struct.pack_into(">I", data, _ATTRIBUTES - 4, calc_crc32c(bytes(data[_ATTRIBUTES:])))
    return bytes(data)


def ending(start: int, producer: int, kind: int) -> bytes:
    return batch(start, [(struct.pack(">hh", 0, kind), b"")], producer=producer, control=True)


def answer(
    data: bytes, position: int = 0, aborted: Iterable[tuple[int, int]] = ()
) -> PartitionRecords:
    return PartitionRecords(
        PLACE, MemoryRecords(data), list(aborted), position, None, None, True, READ_COMMITTED
    )


def by_aiokafka(
    data: bytes, position: int, aborted: Iterable[tuple[int, int]]
) -> tuple[list[SourceRecord], int]:
    told = answer(data, position, aborted)
    records = [
        SourceRecord(r.topic, r.partition, r.offset, r.timestamp, r.key, r.value) for r in told
    ]
    return records, told.next_fetch_offset


@st.composite
def logs(draw: st.DrawFn) -> tuple[bytes, int, list[tuple[int, int]]]:
    """A partition's bytes, where reading starts, and its aborted transactions."""
    data, offset, aborted = b"", 0, []
    text = st.none() | st.binary(max_size=20)
    for _ in range(draw(st.integers(1, 8))):
        records = draw(st.lists(st.tuples(text, text), min_size=1, max_size=6))
        producer = draw(st.sampled_from([-1, 7, 8]))
        compression = draw(st.sampled_from([0, 1, 3]))
        first = offset
        data += batch(offset, records, producer=producer, compression=compression)
        offset += len(records)
        if producer >= 0:
            kind = draw(st.sampled_from([_ABORT, _COMMIT]))
            data += ending(offset, producer, kind)
            offset += 1
            if kind == _ABORT:
                aborted.append((producer, first))
        offset += draw(st.integers(0, 3))  # what compaction took away
    return data, draw(st.integers(0, offset)), aborted


@given(logs(), st.integers(1, 10))
def test_it_unpacks_what_aiokafka_gives_however_it_is_portioned(
    log: tuple[bytes, int, list[tuple[int, int]]], portion: int
) -> None:
    data, position, aborted = log
    told, found = answer(data, position, aborted), []
    while told._records.has_next():
        found += unpack(told, portion)
    assert (found, told.next_fetch_offset) == by_aiokafka(data, position, aborted)


def test_a_damaged_batch_is_an_error_and_no_record() -> None:
    data = bytearray(batch(0, [(b"k", b"value")]))
    data[-2] ^= 1
    with pytest.raises(CorruptRecordException):
        unpack(answer(bytes(data)), 10)


class FakeState:
    """A partition's state in aiokafka's subscription."""

    def __init__(self) -> None:
        self.position, self.paused = 0, False

    def consumed_to(self, position: int) -> None:
        self.position = position


class FakeFetcher:
    """The parts of aiokafka's fetcher that are used."""

    _wait_consume_future = None

    def __init__(self, **results: Any) -> None:
        self.states: dict[TopicPartition, FakeState] = {}
        self.active = True
        self._records: dict[TopicPartition, Any] = {}
        self._subscriptions = self
        self.notified = 0
        for topic, result in results.items():
            place = TopicPartition(topic, 3)
            self.states[place] = FakeState()
            self._records[place] = (
                result
                if isinstance(result, FetchError)
                else FetchResult(
                    place, assignment=self, partition_records=answer(result), backoff=0
                )
            )

    def state_value(self, place: TopicPartition) -> FakeState:
        return self.states[place]

    def is_assigned(self, place: TopicPartition) -> bool:
        return bool(place.topic != "gone")

    def _notify(self, _future: asyncio.Future[None] | None) -> None:
        self.notified += 1


def test_lanes_get_their_topics_and_the_rest_stays_for_faust() -> None:
    data = batch(0, [(b"k", b"1"), (b"k", b"2")])
    fetcher = FakeFetcher(**{"in": data, "stock": data, "gone": data})
    stock = TopicPartition("stock", 3)
    found = take_fetched(fetcher, {"in", "gone"}, {PLACE, stock})
    assert list(found) == [PLACE]
    assert (found[PLACE].start, found[PLACE].end) == (0, 2)
    assert [record.value for record in found[PLACE].records] == [b"1", b"2"]
    assert list(fetcher._records) == [stock]
    assert (fetcher.states[PLACE].position, fetcher.notified) == (2, 1)


def test_a_large_answer_is_taken_in_portions_of_whole_batches() -> None:
    data = b"".join(batch(at, [(b"k", b"v")] * 9_000) for at in range(0, 45_000, 9_000))
    fetcher = FakeFetcher(**{"in": data})
    sizes = []
    while fetcher._records:
        sizes.append(len(take_fetched(fetcher, {"in"}, {PLACE})[PLACE].records))
    assert sizes == [36_000, 9_000]


def test_it_is_told_where_was_read_also_when_nothing_of_it_counts() -> None:
    data = batch(7, [(b"k", b"v")], producer=7) + ending(8, 7, _COMMIT) + ending(9, 8, _ABORT)
    fetcher = FakeFetcher(**{"in": data})
    (fetcher._records[PLACE]._partition_records).next_fetch_offset = 4
    fetcher.states[PLACE].position = 4
    taken = take_fetched(fetcher, {"in"}, {PLACE})[PLACE]
    assert (taken.start, taken.end, [record.offset for record in taken.records]) == (4, 10, [7])
    fetcher = FakeFetcher(**{"in": ending(0, 8, _ABORT)})
    assert take_fetched(fetcher, {"in"}, {PLACE})[PLACE] == (0, 1, [])


def test_an_answer_from_before_a_seek_or_a_pause_is_dropped() -> None:
    fetcher = FakeFetcher(**{"in": batch(0, [(b"k", b"v")])})
    fetcher.states[PLACE].position = 5
    assert take_fetched(fetcher, {"in"}, {PLACE}) == {}
    assert fetcher._records == {}


def test_an_error_waits_for_the_records_and_is_then_raised_once() -> None:
    error = FetchError(error=RecordTooLargeError("too large"), backoff=0)
    fetcher = FakeFetcher(**{"in": batch(0, [(b"k", b"v")]), "other": error})
    topics, allowed = {"in", "other"}, {PLACE, TopicPartition("other", 3)}
    assert list(take_fetched(fetcher, topics, allowed)) == [PLACE]
    with pytest.raises(RecordTooLargeError):
        take_fetched(fetcher, topics, allowed)
    assert take_fetched(fetcher, topics, allowed) == {}
