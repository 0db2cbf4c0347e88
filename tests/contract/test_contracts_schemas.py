"""The schemas in `avro/` and the records of `core` are two writings of one contract."""

from __future__ import annotations

import json
import types
import typing
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import pytest
from msgspec import NODEFAULT, Struct, structs

from streamsync.contracts.schemas import SchemaFileError, load_schemas
from streamsync.core import facts, records

AVRO = Path(__file__).parents[2] / "avro"
FILES = {path.stem: json.loads(path.read_text()) for path in sorted(AVRO.glob("*.avsc"))}
CLASSES: dict[str, type[Any]] = {
    name: found
    for module in (records, facts)
    for name, found in vars(module).items()
    if isinstance(found, type) and issubclass(found, Struct) and found is not Struct
}
# The records that the contracts of the main path must have, by topic.
FAMILIES = {
    "RawWebhook", "BillingEvent", "Customer", "ReferenceData", "Tick", "PostingCommand",
    "PostingConfirmation", "PeriodStatus", "ExceptionRecord", "DeadLetter", "Totals",
}  # fmt: skip
PRIMITIVES = {str: "string", int: "long", bool: "boolean", bytes: "bytes"}


def optional(avro: Any) -> tuple[Any, bool]:
    """The type without null, and whether it may be null."""
    if isinstance(avro, list):
        (rest,) = [one for one in avro if one != "null"]
        return rest, "null" in avro
    return avro, False


def as_avro(hint: Any) -> tuple[Any, bool]:
    """What the schema must say for a field of this Python type, and whether it may be null."""
    arguments = typing.get_args(hint)
    if isinstance(hint, types.UnionType):
        (rest,) = [one for one in arguments if one is not type(None)]
        return as_avro(rest)[0], type(None) in arguments
    if typing.get_origin(hint) is tuple:
        return {"array": as_avro(arguments[0])[0]}, False
    if typing.get_origin(hint) is Mapping:
        return {"map": as_avro(arguments[1])[0]}, False
    return PRIMITIVES.get(hint) or f"streamsync.{hint.__name__}", False


def shape(avro: Any) -> Any:
    """The schema's type in the words of `as_avro`; int and long are one in Python."""
    if isinstance(avro, dict):
        kind = avro["type"]
        return {kind: shape(avro["items" if kind == "array" else "values"])}
    return "long" if avro == "int" else avro


def documented(node: Any, place: str) -> Iterator[tuple[str, str]]:
    """Every record and field with its documentation."""
    yield place, node.get("doc", "")
    for field in node["fields"]:
        yield f"{place}.{field['name']}", field.get("doc", "")


def test_every_record_and_field_is_documented() -> None:
    told = [one for schema in FILES.values() for one in documented(schema, schema["name"])]
    assert len(told) > 250
    assert [place for place, doc in told if len(doc.strip()) < 4] == []


def test_every_family_has_a_schema_and_every_schema_a_record() -> None:
    names = {schema["name"] for schema in FILES.values()}
    assert names >= FAMILIES
    assert names == set(CLASSES) == set(load_schemas())


@pytest.mark.parametrize("stem", FILES)
def test_schema_and_record_agree_field_by_field(stem: str) -> None:
    schema = FILES[stem]
    cls = CLASSES[schema["name"]]
    hints = typing.get_type_hints(cls)
    fields = structs.fields(cls)
    assert [field["name"] for field in schema["fields"]] == [field.name for field in fields]
    for told, field in zip(schema["fields"], fields, strict=True):
        place = f"{schema['name']}.{field.name}"
        avro, nullable = optional(told["type"])
        assert (shape(avro), nullable) == as_avro(hints[field.name]), place
        has_default = field.default is not NODEFAULT or field.default_factory is not NODEFAULT
        assert ("default" in told) == has_default, place
        if nullable:
            # Avro takes the default of a union from its first branch.
            assert told["type"][0] == "null" and told["default"] is None, place


def test_what_is_an_amount_or_a_time_says_its_unit_and_is_a_whole_number() -> None:
    for schema in FILES.values():
        for field in schema["fields"]:
            avro, _ = optional(field["type"])
            if field["name"].endswith(("_minor", "_ms")):
                assert avro == "long", f"{schema['name']}.{field['name']}"


def test_no_enum_freezes_a_set_that_will_grow() -> None:
    assert '"enum"' not in "".join(path.read_text() for path in AVRO.glob("*.avsc"))


def test_a_schema_file_that_is_no_json_is_named(tmp_path: Path) -> None:
    (tmp_path / "broken.avsc").write_text("{")
    with pytest.raises(SchemaFileError, match=r"broken\.avsc: not valid JSON .* correct it"):
        load_schemas(tmp_path)
    (tmp_path / "broken.avsc").unlink()
    with pytest.raises(SchemaFileError, match=r"No \.avsc file found"):
        load_schemas(tmp_path.parent / "nothing")
