"""Records of every schema for the codec tests, the codecs they run on, and a writer of its own.

`written` is Avro by hand, straight from the specification and independent of both codecs: it can
also cut arrays and maps into blocks in every way that the specification allows.
"""

from __future__ import annotations

import random
import shutil
from collections.abc import Callable, Iterator, Mapping
from functools import partial
from typing import Any

import msgspec
import pytest
from hypothesis import strategies as st

from streamsync.contracts.choice import CodecName, CodecUnavailable, chosen, record_classes
from streamsync.contracts.codec import Contracts
from streamsync.contracts.schemas import load_schemas
from streamsync.core.by_name import by_name

SCHEMAS = load_schemas()
CLASSES = record_classes()
CODECS: tuple[CodecName, ...] = ("compiled", "fastavro")

_TEXTS = ("", "a", "acme/stripe/cus_1", "żółć", "\x00", "x" * 63, "x" * 64, "\U0001f4b6" * 40)


def contracts(codec: CodecName) -> Contracts:
    """Contracts on one codec; skips only where the compiled one cannot be built."""
    try:
        chosen(codec)
    except CodecUnavailable as error:
        if shutil.which("cc") or shutil.which("gcc"):
            raise
        pytest.skip(f"no C compiler: {error}")
    return Contracts.in_memory(codec)


def any_record(name: str) -> st.SearchStrategy[Any]:
    """Any record of a schema."""
    return _values(SCHEMAS[name]).map(partial(record_of, name))


def random_record(name: str, rng: random.Random) -> Any:
    """A record of a schema, much quicker than by hypothesis."""
    return record_of(name, _random(SCHEMAS[name], rng))


def record_of(name: str, told: Mapping[str, Any]) -> Any:
    """The record of plain values."""
    return msgspec.convert(_listed(SCHEMAS[name], told), CLASSES[name])


def _listed(node: Any, told: Any) -> Any:
    """Plain values with records as arrays, as msgspec takes them for these classes."""
    if told is None:
        return None
    if isinstance(node, str):
        return told if node in _EDGES else _listed(_named(node), told)
    if isinstance(node, list):
        return _listed(next(one for one in node if one != "null"), told)
    if node["type"] == "array":
        return [_listed(node["items"], one) for one in told]
    if node["type"] == "map":
        return told
    return [_listed(field["type"], told[field["name"]]) for field in node["fields"]]


def written(name: str, record: Any, rng: random.Random | None = None) -> bytes:
    """The Avro body of a record; with `rng`, arrays and maps in blocks of any kind."""
    told = by_name(record)
    return b"".join(_written(SCHEMAS[name], told, rng))


def number(value: int) -> bytes:
    """A zigzag varint."""
    value = value << 1 if value >= 0 else ~(value << 1)
    found = bytearray()
    while value > 0x7F:
        found.append(value & 0x7F | 0x80)
        value >>= 7
    return bytes([*found, value])


_EDGES: dict[str, st.SearchStrategy[Any]] = {
    "null": st.none(),
    "boolean": st.booleans(),
    "int": st.integers(-(2**31), 2**31 - 1),
    "long": st.integers(-(2**63), 2**63 - 1),
    "bytes": st.binary(max_size=20),
    "string": st.text(st.characters(codec="utf-8"), max_size=20),
}


def _named(node: str) -> Any:
    # Every type that a schema refers to has a file of its own.
    return SCHEMAS[node.rpartition(".")[2]]


def _values(node: Any) -> st.SearchStrategy[Any]:
    if isinstance(node, str):
        return _EDGES[node] if node in _EDGES else _values(_named(node))
    if isinstance(node, list):
        return st.one_of([_values(one) for one in node])
    if node["type"] == "array":
        return st.lists(_values(node["items"]), max_size=3)
    if node["type"] == "map":
        return st.dictionaries(_EDGES["string"], _values(node["values"]), max_size=3)
    return st.fixed_dictionaries(
        {field["name"]: _values(field["type"]) for field in node["fields"]}
    )


def _random(node: Any, rng: random.Random) -> Any:
    if isinstance(node, list):
        return _random(rng.choice(node), rng)
    if isinstance(node, str):
        return _RANDOM[node](rng) if node in _RANDOM else _random(_named(node), rng)
    if node["type"] == "array":
        return [_random(node["items"], rng) for _ in range(rng.choice((0, 1, 2, 3)))]
    if node["type"] == "map":
        return {f"k{i}": _random(node["values"], rng) for i in range(rng.choice((0, 1, 2)))}
    return {field["name"]: _random(field["type"], rng) for field in node["fields"]}


def _random_number(bits: int, rng: random.Random) -> int:
    value = rng.getrandbits(rng.randrange(bits))
    return rng.choice((value, -value - 1))


_RANDOM: dict[str, Callable[[random.Random], Any]] = {
    "null": lambda _: None,
    "boolean": lambda rng: rng.random() < 0.5,
    "int": partial(_random_number, 32),
    "long": partial(_random_number, 64),
    "bytes": lambda rng: rng.randbytes(rng.randrange(70)),
    "string": lambda rng: rng.choice(_TEXTS),
}


def _written(node: Any, told: Any, rng: Any) -> Iterator[bytes]:
    if isinstance(node, list):
        (value,) = [one for one in node if one != "null"]
        branch = "null" if told is None else value
        yield number(node.index(branch))
        yield from _written(branch, told, rng)
    elif isinstance(node, Mapping):
        if node["type"] == "record":
            for field in node["fields"]:
                yield from _written(field["type"], told[field["name"]], rng)
        else:
            yield from _blocks(node, told, rng)
    elif node in {"int", "long"}:
        yield number(told)
    elif node in {"string", "bytes"}:
        raw = told.encode() if isinstance(told, str) else told
        yield number(len(raw)) + raw
    elif node == "boolean":
        yield b"\1" if told else b"\0"
    elif node != "null":
        yield from _written(_named(node), told, rng)


def _blocks(node: Any, told: Any, rng: Any) -> Iterator[bytes]:
    if node["type"] == "array":
        items = [b"".join(_written(node["items"], one, rng)) for one in told]
    else:
        items = [
            b"".join([*_written("string", key, rng), *_written(node["values"], one, rng)])
            for key, one in told.items()
        ]
    while items:
        size = len(items) if rng is None else rng.randint(1, len(items))
        block, items = b"".join(items[:size]), items[size:]
        sized = rng is not None and rng.random() < 0.5
        yield (number(-size) + number(len(block)) if sized else number(size)) + block
    yield b"\0"
