"""Which codec is used, and that its extension is never one of other schemas."""

from __future__ import annotations

import copy
import dataclasses
import importlib
import logging
import sys
from collections.abc import Iterator
from typing import Any

import msgspec
import pytest

from streamsync.contracts import Contracts, InMemoryRegistry, choice
from streamsync.contracts.choice import CodecUnavailable
from streamsync.contracts.generate import UnsupportedSchema, digest, source
from streamsync.core.records import Tick
from tests.codec_records import SCHEMAS, contracts

TICK = Tick(number=7, time_ms=1, leader="w")


@pytest.fixture(autouse=True)
def afresh() -> Iterator[None]:
    """As in a new process: nothing chosen, nothing said."""
    choice._compiled_or_said.cache_clear()  # noqa: SLF001
    yield
    choice._compiled_or_said.cache_clear()  # noqa: SLF001


@pytest.fixture
def without_extension(monkeypatch: pytest.MonkeyPatch) -> None:
    """A machine that had no compiler."""
    monkeypatch.setitem(sys.modules, "streamsync.contracts.compiled", None)


def test_the_compiled_codec_is_used_where_it_was_built() -> None:
    contracts("compiled")
    assert Contracts.in_memory().codec == "compiled"
    assert Contracts(InMemoryRegistry(), "compiled").codec == "compiled"
    assert Contracts(InMemoryRegistry(), codec="fastavro").codec == "fastavro"


@pytest.mark.usefixtures("without_extension")
def test_without_the_extension_fastavro_is_used_and_the_log_says_so_once(
    caplog: pytest.LogCaptureFixture,
) -> None:
    with caplog.at_level(logging.INFO):
        first, second = Contracts.in_memory(), Contracts.in_memory("auto")
    assert first.codec == second.codec == "fastavro"
    assert first.decode(second.encode(TICK)) == TICK
    (said,) = caplog.records
    assert said.levelno == logging.WARNING
    assert "fastavro, several times slower" in said.getMessage()
    assert "install a C compiler and streamsync anew" in said.getMessage()


@pytest.mark.usefixtures("without_extension")
def test_who_asks_for_the_compiled_codec_gets_it_or_a_reason() -> None:
    with pytest.raises(CodecUnavailable, match="install a C compiler and streamsync anew"):
        Contracts.in_memory("compiled")


def test_who_asks_for_fastavro_is_told_nothing(caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.INFO):
        Contracts.in_memory("fastavro")
    assert caplog.records == []


def test_an_extension_of_other_schemas_is_not_used(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    contracts("compiled")
    changed: Any = copy.deepcopy(dict(SCHEMAS))
    changed["Tick"]["fields"][0]["type"] = "int"
    monkeypatch.setattr(choice, "load_schemas", lambda: changed)
    with pytest.raises(CodecUnavailable, match="built from other schemas: install streamsync anew"):
        Contracts.in_memory("compiled")
    assert Contracts.in_memory().codec == "fastavro"
    assert "built from other schemas" in caplog.text


def test_new_documentation_of_a_schema_leaves_the_extension_valid() -> None:
    changed: Any = copy.deepcopy(dict(SCHEMAS))
    changed["Tick"]["doc"] = changed["Tick"]["fields"][0]["doc"] = "Said otherwise."
    assert digest(changed) == digest(SCHEMAS)
    changed["Tick"]["fields"][0]["name"] = "count"
    assert digest(changed) != digest(SCHEMAS)


def test_the_source_is_the_same_whenever_it_is_written() -> None:
    assert source(SCHEMAS) == source(dict(reversed(list(SCHEMAS.items()))))
    assert digest(SCHEMAS) in source(SCHEMAS)


@pytest.mark.parametrize(
    ("kind", "says"),
    [
        ("double", "Tick.number: the compiled codec knows no 'double'"),
        (["int", "string"], "Tick.number: only unions of null and one type"),
        (["null", "int", "string"], "Tick.number: only unions of null and one type"),
        ({"type": "enum", "name": "E", "symbols": ["A"]}, "Tick.number: the compiled codec knows"),
        ({"type": "array", "items": "null"}, "Tick.number: the compiled codec knows no 'null'"),
        ("streamsync.Tick", "Tick.number: the compiled codec knows no 'streamsync.Tick'"),
    ],
)
def test_a_schema_that_the_generator_does_not_know_is_named(kind: Any, says: str) -> None:
    schema = copy.deepcopy(dict(SCHEMAS["Tick"]))
    schema["fields"][0]["type"] = kind
    with pytest.raises(UnsupportedSchema, match=says):
        source({"Tick": schema})


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class NoStruct:
    """A record whose fields are not where the codec would write them."""

    number: int
    time_ms: int
    leader: str


class OtherFields(msgspec.Struct, frozen=True, kw_only=True):
    """A record with a field that the schema has not."""

    number: int
    time_ms: int
    leader: str
    more: str = ""


@pytest.mark.parametrize(
    ("cls", "says"), [(NoStruct, "other fields"), (OtherFields, "other fields")]
)
def test_classes_that_do_not_fit_their_schema_are_not_bound(
    monkeypatch: pytest.MonkeyPatch, cls: type, says: str
) -> None:
    contracts("compiled")
    compiled: Any = importlib.import_module("streamsync.contracts.compiled")
    real = choice.record_classes()
    monkeypatch.setattr(choice, "record_classes", lambda: {**real, "Tick": cls})
    try:
        with pytest.raises(CodecUnavailable, match=says):
            Contracts.in_memory("compiled")
    finally:
        compiled.bind(dict(real))
