"""Whether bytes are exactly one Avro value of a schema, and where not.

Problem: fastavro reads leniently: a text cut short, a boolean of 5, a number of 70 bits pass, and
a count of billions is believed. How: bytes are walked by their schema before fastavro sees them.
Each number has one spelling, a length ends inside the value, every item of a block takes a byte at
least, and a block ends where it says. The compiled codec keeps the same rules in C; this walk also
tells its refusals apart. No text of the value is repeated: it may be personal.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

INT32_MIN, INT32_MAX = -(2**31), 2**31 - 1
_FIXED_SIZES = {"float": 4, "double": 8}

# From the bytes and a position to the position after the value.
Walk = Callable[[bytes, int], int]


class Misfit(ValueError):
    """What does not fit its schema: the message says where in the record, and what is wrong."""

    def __init__(self, what: str) -> None:
        super().__init__(what)
        self.path: list[str] = []

    def __str__(self) -> str:
        place = "".join(reversed(self.path)).lstrip(".")
        return f"{place}: {self.args[0]}" if place else str(self.args[0])


def whole_walk(schema: Any) -> Callable[[bytes, int], None]:
    """Refuses, with `Misfit`, bytes that from a position on are not one value of the schema."""
    walk = _walk(schema, {})

    def check(data: bytes, start: int) -> None:
        try:
            end = walk(data, start)
        except RecursionError:
            raise Misfit("nested too deeply") from None
        if end != len(data):
            raise Misfit(f"{len(data) - end} bytes follow a complete record")

    return check


def _number(data: bytes, at: int) -> tuple[int, int]:
    """A zigzag varint of at most 64 bits in its shortest spelling."""
    if at < len(data) and (byte := data[at]) < 0x80:
        return (byte >> 1) ^ -(byte & 1), at + 1
    value = shift = 0
    for position in range(at, min(at + 10, len(data))):
        byte = data[position]
        if shift == 63 and byte > 1:
            break
        value |= (byte & 0x7F) << shift
        if byte < 0x80:
            if byte == 0 and shift:
                raise Misfit(f"a number has needless bytes (byte {at})")
            return (value >> 1) ^ -(value & 1), position + 1
        shift += 7
    else:
        if len(data) < at + 10:
            raise Misfit(f"the record ends inside a number (byte {at})")
    raise Misfit(f"a number has more than 64 bits (byte {at})")


def _length(data: bytes, at: int) -> tuple[int, int]:
    size, start = _number(data, at)
    if not 0 <= size <= len(data) - start:
        raise Misfit(f"a length of {size} where {len(data) - start} bytes remain (byte {at})")
    return size, start


def _long(data: bytes, at: int) -> int:
    if at < len(data) and data[at] < 0x80:
        return at + 1
    return _number(data, at)[1]


def _int(data: bytes, at: int) -> int:
    value, end = _number(data, at)
    if not INT32_MIN <= value <= INT32_MAX:
        raise Misfit(f"a number of more than 32 bits (byte {at})")
    return end


def _boolean(data: bytes, at: int) -> int:
    if data[at : at + 1] not in {b"\0", b"\1"}:
        raise Misfit(f"neither true nor false (byte {at})")
    return at + 1


def _bytes(data: bytes, at: int) -> int:
    size, start = _length(data, at)
    return start + size


def _string(data: bytes, at: int) -> int:
    # Most texts are shorter than 64 bytes: one byte of length, read without a call.
    if at < len(data) and not (first := data[at]) & 0x81 and at + (first >> 1) < len(data):
        size, start = first >> 1, at + 1
    else:
        size, start = _length(data, at)
    text = data[start : start + size]
    if not text.isascii():
        try:
            text.decode()
        except UnicodeDecodeError as error:
            raise Misfit(f"text that is not UTF-8 (byte {start + error.start})") from None
    return start + size


def _null(data: bytes, at: int) -> int:
    return at


_PRIMITIVES: dict[str, Walk] = {
    "null": _null,
    "boolean": _boolean,
    "int": _int,
    "long": _long,
    "bytes": _bytes,
    "string": _string,
}


def _walk(node: Any, named: dict[str, Walk], namespace: str = "") -> Walk:
    if isinstance(node, list):
        return _union([_walk(one, named, namespace) for one in node])
    if isinstance(node, Mapping):
        return _complex(node, named, namespace)
    if node in _PRIMITIVES:
        return _PRIMITIVES[node]
    if node in _FIXED_SIZES:
        return _fixed(_FIXED_SIZES[node])
    name = _full_name(node, namespace)
    # Looked up when it is used: a record may be part of itself.
    return lambda data, at: named[name](data, at)  # noqa: PLW0108


def _complex(node: Mapping[str, Any], named: dict[str, Walk], namespace: str) -> Walk:
    kind = node["type"]
    if kind == "array":
        return _blocks(_walk(node["items"], named, namespace))
    if kind == "map":
        value = _walk(node["values"], named, namespace)
        return _blocks(lambda data, at: value(data, _string(data, at)))
    if kind not in {"record", "error", "fixed", "enum"}:
        return _walk(kind, named, namespace)  # {"type": "string"}, with or without a logical type
    name = _full_name(node["name"], node.get("namespace", namespace))
    if kind == "fixed":
        made = _fixed(node["size"])
    elif kind == "enum":
        made = _enum(len(node["symbols"]))
    else:
        inner = name.rpartition(".")[0]
        made = _record(
            [(field["name"], _walk(field["type"], named, inner)) for field in node["fields"]]
        )
    named[name] = made
    return made


def _full_name(name: str, namespace: str) -> str:
    return name if "." in name or not namespace else f"{namespace}.{name}"


def _record(fields: list[tuple[str, Walk]]) -> Walk:
    def walk(data: bytes, at: int) -> int:
        name = ""
        try:
            for name, field in fields:  # noqa: B007 - the refusal below tells it
                at = field(data, at)
        except Misfit as error:
            error.path.append(f".{name}")
            raise
        return at

    return walk


def _blocks(item: Walk) -> Walk:
    def walk(data: bytes, at: int) -> int:
        number = 0
        while True:
            start = at
            count, at = _number(data, at)
            if count == 0:
                return at
            ends = None
            if count < 0:
                count = -count
                size, at = _length(data, at)
                ends = at + size
            if count > len(data) - at:
                raise Misfit(f"a count of {count} where {len(data) - at} bytes remain")
            for _ in range(count):
                try:
                    at = item(data, at)
                except Misfit as error:
                    error.path.append(f"[{number}]")
                    raise
                number += 1
            if ends is not None and at != ends:
                raise Misfit(f"a block does not end where it says (byte {start})")

    return walk


def _union(branches: list[Walk]) -> Walk:
    null = bytes([2 * branches.index(_null)]) if _null in branches[:64] else None

    def walk(data: bytes, at: int) -> int:
        if data[at : at + 1] == null:
            return at + 1
        branch, start = _number(data, at)
        if not 0 <= branch < len(branches):
            raise Misfit(f"branch {branch} of a union of {len(branches)} (byte {at})")
        return branches[branch](data, start)

    return walk


def _fixed(size: int) -> Walk:
    def walk(data: bytes, at: int) -> int:
        if size > len(data) - at:
            raise Misfit(f"{size} bytes where {len(data) - at} remain (byte {at})")
        return at + size

    return walk


def _enum(symbols: int) -> Walk:
    def walk(data: bytes, at: int) -> int:
        symbol, end = _number(data, at)
        if not 0 <= symbol < symbols:
            raise Misfit(f"symbol {symbol} of {symbols} (byte {at})")
        return end

    return walk
