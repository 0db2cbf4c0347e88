"""Records to bytes and back, and what becomes of bytes that are no record of ours."""

from __future__ import annotations

import copy
import io
import struct
from functools import partial
from typing import Any

import fastavro
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from streamsync.contracts import ContractError, Contracts, InMemoryRegistry
from streamsync.contracts.schemas import load_schemas
from streamsync.core import facts, records
from streamsync.core.by_name import by_name
from streamsync.core.records import PostingConfirmation, Tick
from tests.codec_records import record_of

SCHEMAS = load_schemas()
CODEC = Contracts.in_memory()
CLASSES: dict[str, type[Any]] = {
    name: getattr(records, name, None) or getattr(facts, name) for name in SCHEMAS
}
REASONS = {"not_framed", "schema_unknown", "record_malformed"}
TICK = Tick(number=7, time_ms=1_768_435_200_000, leader="worker-1")
EDGES = {
    "string": st.text(st.characters(codec="utf-8"), max_size=12),
    "bytes": st.binary(max_size=12),
    "boolean": st.booleans(),
    "int": st.integers(-(2**31), 2**31 - 1),
    "long": st.integers(-(2**63), 2**63 - 1),
    "null": st.none(),
}


def values(avro: Any, known: dict[str, Any]) -> st.SearchStrategy[Any]:
    """Any value that a schema allows, as builtins."""
    if isinstance(avro, list):
        return st.one_of([values(one, known) for one in avro])
    if isinstance(avro, str):
        return EDGES[avro] if avro in EDGES else values(known[avro], known)
    if avro["type"] == "array":
        return st.lists(values(avro["items"], known), max_size=2).map(tuple)
    if avro["type"] == "map":
        return st.dictionaries(EDGES["string"], values(avro["values"], known), max_size=2)
    assert avro["type"] == "record"
    known[f"{avro['namespace']}.{avro['name']}"] = avro
    members = {field["name"]: values(field["type"], known) for field in avro["fields"]}
    return st.fixed_dictionaries(members)


def any_record(name: str) -> st.SearchStrategy[Any]:
    return values(SCHEMAS[name], {}).map(partial(record_of, name))


def decoded_or_reason(codec: Contracts, data: bytes) -> Any:
    try:
        return codec.decode(data)
    except ContractError as error:
        assert str(error)
        return error.reason


@pytest.mark.parametrize("name", SCHEMAS)
def test_every_record_comes_back_as_it_was(name: str) -> None:
    @settings(max_examples=25, deadline=None)
    @given(any_record(name))
    def comes_back(record: Any) -> None:
        data = CODEC.encode(record)
        assert CODEC.decode(data) == record
        assert Contracts.in_memory().encode(record) == data

    comes_back()


def test_the_framing_is_confluents() -> None:
    data = CODEC.encode(TICK)
    magic, schema_id = struct.unpack_from(">bI", data)
    assert magic == 0
    # Avro by hand: zigzag varint of 7, of the time, then length and bytes of the text.
    assert data[5:6] == b"\x0e" and data.endswith(b"\x10worker-1")
    assert schema_id > 0


@pytest.mark.parametrize("name", ["PostingCommand", "BillingEvent", "RawWebhook", "Totals"])
def test_cut_off_anywhere_it_is_refused_with_a_reason(name: str) -> None:
    @settings(max_examples=10, deadline=None)
    @given(any_record(name))
    def refused(record: Any) -> None:
        data = CODEC.encode(record)
        for length in range(len(data)):
            found = decoded_or_reason(CODEC, data[:length])
            assert found == ("not_framed" if length < 5 else "record_malformed"), length
        assert decoded_or_reason(CODEC, data + b"\x00") == "record_malformed"

    refused()


@settings(max_examples=300, deadline=None)
@given(st.binary(max_size=80))
def test_foreign_bytes_are_refused_and_nothing_else_is_raised(data: bytes) -> None:
    found = decoded_or_reason(CODEC, data)
    assert found in REASONS or len(data) > 5


@settings(max_examples=300, deadline=None)
@given(st.sampled_from(sorted(SCHEMAS)), st.binary(max_size=120))
def test_a_known_header_before_foreign_bytes_raises_only_contract_errors(
    name: str, body: bytes
) -> None:
    header = bytes(CODEC._written[CLASSES[name]][0])  # noqa: SLF001
    found = decoded_or_reason(CODEC, header + body)
    assert found == "record_malformed" or isinstance(found, CLASSES[name])


@pytest.mark.parametrize(
    ("data", "reason"),
    [
        (b"", "not_framed"),
        (b"\x00\x00", "not_framed"),
        (b'{"number": 7}', "not_framed"),
        (b"\x00\x7f\xff\xff\xff\x0e", "schema_unknown"),
        # A length of 2^62 bytes: refused without asking for that much memory.
        (CODEC.encode(TICK)[:5] + b"\x0e\x0e" + b"\x80" * 8 + b"\x40", "record_malformed"),
        # Text that is not UTF-8.
        (CODEC.encode(TICK)[:5] + b"\x0e\x0e\x02\xff", "record_malformed"),
    ],
)
def test_each_kind_of_bad_bytes_has_its_reason(data: bytes, reason: str) -> None:
    assert decoded_or_reason(CODEC, data) == reason


def without(schema: Any, *names: str) -> dict[str, Any]:
    """An older version of a schema, from before these fields."""
    older: dict[str, Any] = copy.deepcopy(dict(schema))
    older["fields"] = [field for field in older["fields"] if field["name"] not in names]
    return older


def framed(schema_id: int, schema: Any, told: dict[str, Any]) -> bytes:
    body = io.BytesIO()
    body.write(struct.pack(">bI", 0, schema_id))
    fastavro.schemaless_writer(body, fastavro.parse_schema(schema, named_schemas={}), told)
    return body.getvalue()


def confirmation() -> PostingConfirmation:
    return PostingConfirmation(
        schema_version=1,
        confirmation_id="c-1",
        tenant="acme",
        account="acme/stripe/cus_1",
        erp="sim",
        entity="acme-us",
        status="posted",
        observed_at_ms=1,
        attempt=1,
        found_by_lookup=False,
    )


def test_what_an_older_release_wrote_is_read_with_the_defaults() -> None:
    schema = SCHEMAS["PostingConfirmation"]
    older = without(schema, "raw_ref", "erp_added_lines", "correlation_id")
    registry = InMemoryRegistry()
    old_id = registry.register("streamsync.PostingConfirmation", older)
    told = by_name(confirmation())
    data = framed(old_id, older, {field["name"]: told[field["name"]] for field in older["fields"]})
    codec = Contracts(registry)
    codec.load_history()
    assert codec.decode(data) == confirmation()
    assert codec.encode(confirmation())[:5] != data[:5]


def test_what_a_newer_release_wrote_is_read_without_its_new_fields() -> None:
    registry = InMemoryRegistry()
    codec = Contracts(registry)
    codec.load_history()
    newer = copy.deepcopy(dict(SCHEMAS["Tick"]))
    newer["fields"] = [
        *newer["fields"],
        {"name": "skew_ms", "type": "long", "doc": "New.", "default": 0},
    ]
    # Registered only now: this program runs on while the next release starts beside it.
    new_id = registry.register("streamsync.Tick", newer)
    told = by_name(TICK) | {"skew_ms": 5}
    assert codec.decode(framed(new_id, newer, told)) == TICK


def test_a_registered_schema_that_is_none_of_ours_is_refused() -> None:
    registry = InMemoryRegistry()
    codec = Contracts(registry)
    foreign = {
        "type": "record",
        "name": "Shipment",
        "namespace": "warehouse",
        "fields": [{"name": "id", "type": "string"}],
    }
    foreign_id = registry.register("warehouse.Shipment", foreign)
    assert decoded_or_reason(codec, framed(foreign_id, foreign, {"id": "x"})) == "schema_unknown"
