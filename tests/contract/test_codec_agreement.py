"""Both codecs write the bytes that fastavro and the Avro specification say, and read them back."""

from __future__ import annotations

import copy
import io
import random
import struct
import sys
from enum import StrEnum
from typing import Any

import fastavro
import pytest
from hypothesis import given, settings
from msgspec import structs

from streamsync.contracts import Contracts, InMemoryRegistry
from streamsync.contracts.choice import CodecName
from streamsync.core.by_name import by_name
from streamsync.core.records import PostingLine, SourcePosition, Tick
from tests.codec_records import CODECS, SCHEMAS, any_record, contracts, random_record, written

TICK = Tick(number=7, time_ms=1_768_435_200_000, leader="worker-1")


@pytest.fixture(params=CODECS)
def codec(request: pytest.FixtureRequest) -> Contracts:
    """Contracts on each codec in turn."""
    return contracts(request.param)


@pytest.mark.parametrize("name", SCHEMAS)
def test_both_codecs_write_what_fastavro_writes_and_read_it_back(name: str) -> None:
    compiled, portable = (contracts(one) for one in CODECS)
    parsed = fastavro.parse_schema(dict(SCHEMAS[name]), named_schemas={})

    @settings(max_examples=40, deadline=None)
    @given(any_record(name))
    def agree(record: Any) -> None:
        body = io.BytesIO()
        told = by_name(record)
        fastavro.schemaless_writer(body, parsed, told)
        data = compiled.encode(record)
        assert data[5:] == body.getvalue() == written(name, record)
        assert portable.encode(record) == data
        for codec in (compiled, portable):
            found = codec.decode(data)
            # repr tells True from 1 and a tuple from a list; == alone does not.
            assert found == record and repr(found) == repr(record)

    agree()


@pytest.mark.parametrize("name", ["BillingEvent", "PostingCommand", "Totals", "PostingLine"])
def test_arrays_and_maps_in_blocks_of_any_kind_are_read(codec: Contracts, name: str) -> None:
    rng = random.Random(name)
    several = 0
    for _ in range(200):
        record = random_record(name, rng)
        plain = codec.encode(record)
        data = plain[:5] + written(name, record, rng)
        several += data != plain
        assert codec.decode(data) == record
    assert several > 50


def test_a_record_is_as_good_as_one_that_was_constructed(codec: Contracts) -> None:
    found = codec.decode(codec.encode(TICK))
    assert type(found) is Tick and hash(found) == hash(TICK)
    assert structs.replace(found, number=8) == structs.replace(TICK, number=8)
    with pytest.raises(AttributeError):
        setattr(found, "number", 8)  # noqa: B010


def test_a_value_of_a_subclass_is_written_as_its_base(codec: Contracts) -> None:
    class Leader(StrEnum):
        FIRST = "worker-1"

    class Number(int):
        def __contains__(self, other: object) -> bool:
            raise AssertionError

    told = Tick(number=Number(7), time_ms=TICK.time_ms, leader=Leader.FIRST)
    assert codec.encode(told) == codec.encode(TICK)


def test_a_list_is_written_as_a_tuple_is(codec: Contracts) -> None:
    totals = random_record("Totals", random.Random(3))
    assert codec.encode(structs.replace(totals, lines=list(totals.lines))) == codec.encode(totals)


def test_the_last_of_equal_map_keys_counts(codec: Contracts) -> None:
    line = PostingLine(
        no=1, role="r", account="a", side="debit", amount_minor=1, functional_minor=1,
        dimensions={"k": "first", "l": "second"},
    )  # fmt: skip
    data = codec.encode(line).replace(b"\x02l\x0csecond", b"\x02k\x0csecond")
    assert codec.decode(data).dimensions == {"k": "second"}


@pytest.mark.parametrize("size", [0, 1, 4_080, 4_096, 8_191, 70_000, 3_000_000])
def test_records_of_any_size_are_written_whole(codec: Contracts, size: int) -> None:
    record = SourcePosition(topic="x" * size, partition=3, offset=2**63 - 1)
    data = codec.encode(record)
    assert data[5:] == written("SourcePosition", record)
    assert codec.decode(data) == record


def framed(schema_id: int, schema: Any, told: dict[str, Any]) -> bytes:
    """What a program with another schema wrote."""
    body = io.BytesIO()
    body.write(struct.pack(">bI", 0, schema_id))
    fastavro.schemaless_writer(body, fastavro.parse_schema(schema, named_schemas={}), told)
    return body.getvalue()


@pytest.mark.parametrize("name", CODECS)
def test_another_writers_schema_is_resolved_to_todays(name: CodecName) -> None:
    contracts(name)
    registry = InMemoryRegistry()
    codec = Contracts(registry, name)
    newer: Any = copy.deepcopy(dict(SCHEMAS["Tick"]))
    newer["fields"].insert(1, {"name": "skew", "type": "float", "default": 0})
    newer["fields"].append(
        {
            "name": "zones",
            "type": {"type": "map", "values": ["null", "double", {"type": "array", "items": {
                "type": "enum", "name": "Zone", "symbols": ["A", "B"]}}]},
            "default": {},
        }
    )  # fmt: skip
    new_id = registry.register("streamsync.Tick", newer)
    told = by_name(TICK) | {"skew": 0.5, "zones": {"a": None, "b": 1.5, "c": ["B"]}}
    assert codec.decode(framed(new_id, newer, told)) == TICK


def test_a_schema_that_differs_in_its_documentation_is_read_at_full_speed() -> None:
    contracts("compiled")
    registry = InMemoryRegistry()
    codec = Contracts(registry, "compiled")
    reworded = {**SCHEMAS["Tick"], "doc": "Said otherwise."}
    other_id = registry.register("streamsync.Tick", reworded)
    data = struct.pack(">bI", 0, other_id) + codec.encode(TICK)[5:]
    assert codec.decode(data) == TICK
    assert type(codec._readers[other_id].codec).__name__ == "RecordCodec"  # noqa: SLF001


@pytest.mark.parametrize("name", ["BillingEvent", "PostingCommand", "RawWebhook"])
def test_the_compiled_codec_keeps_no_memory(name: str) -> None:
    codec = contracts("compiled")
    rng = random.Random(name)
    every = [codec.encode(random_record(name, rng)) for _ in range(50)]

    def used() -> int:
        for data in every:
            record = codec.decode(data)
            assert codec.encode(record) == data
            for cut in range(5, len(data), 7):
                with pytest.raises(ValueError):
                    codec._written[type(record)].codec.decode(data[:cut])  # type: ignore[attr-defined]  # noqa: SLF001
        return sys.getallocatedblocks()

    used()
    first, last = used(), used()
    assert last - first < 20
