"""A record as the plain values of its schema, or what in it does not fit; and back.

Problem: fastavro writes what it is given: a number of 40 bits as an int, True as 1, an object of
another class with the same fields. How: a function for each type of the schema checks a value and
gives what fastavro is to write. The compiled codec keeps the same rules in C; this also tells its
refusals apart. No value is repeated: it may be personal.

The way back takes what fastavro has read by a schema, so it checks nothing.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from streamsync.contracts.walk import INT32_MAX, INT32_MIN, Misfit

_INT64_MIN, _INT64_MAX = -(2**63), 2**63 - 1

Plain = Callable[[Any], Any]


def plain(node: Any, classes: Mapping[str, type]) -> Plain:
    """The function for a schema; `classes` gives the class of each record by its name."""
    return _plain(node, classes, {})


def _plain(node: Any, classes: Mapping[str, type], named: dict[str, Plain]) -> Plain:
    if isinstance(node, str):
        return _PRIMITIVES[node] if node in _PRIMITIVES else named[node]
    if isinstance(node, list):
        (value,) = [_plain(one, classes, named) for one in node if one != "null"]
        return lambda told: None if told is None else value(told)
    if node["type"] == "array":
        return _array(_plain(node["items"], classes, named))
    if node["type"] == "map":
        return _map(_plain(node["values"], classes, named))
    fields = [(field["name"], _plain(field["type"], classes, named)) for field in node["fields"]]
    made = _record(classes[node["name"]], fields)
    named[f"{node['namespace']}.{node['name']}"] = made
    return made


def _record(cls: type, fields: list[tuple[str, Plain]]) -> Plain:
    def convert(told: Any) -> dict[str, Any]:
        if type(told) is not cls:
            raise _misfit(told, f"a {cls.__name__}")
        name = ""
        found = {}
        try:
            for name, field in fields:
                found[name] = field(getattr(told, name))
        except Misfit as error:
            error.path.append(f".{name}")
            raise
        return found

    return convert


def _array(item: Plain) -> Plain:
    def convert(told: Any) -> list[Any]:
        if not isinstance(told, (tuple, list)):
            raise _misfit(told, "a tuple")
        found = []
        try:
            for one in tuple(told):
                found.append(item(one))  # noqa: PERF401
        except Misfit as error:
            error.path.append(f"[{len(found)}]")
            raise
        return found

    return convert


def _map(value: Plain) -> Plain:
    def convert(told: Any) -> dict[str, Any]:
        if not isinstance(told, dict):
            raise _misfit(told, "a dict")
        found = {}
        try:
            for key, one in told.items():
                found[_string(key)] = value(one)
        except Misfit as error:
            error.path.append(f"[{len(found)}]")
            raise
        return found

    return convert


def _string(told: Any) -> str:
    if not isinstance(told, str):
        raise _misfit(told, "a text")
    try:
        told.encode()
    except UnicodeEncodeError:
        raise Misfit("half of a character, which UTF-8 cannot write") from None
    return told


def _bytes(told: Any) -> bytes:
    if not isinstance(told, bytes):
        raise _misfit(told, "bytes")
    return told


def _boolean(told: Any) -> bool:
    if not isinstance(told, bool):
        raise _misfit(told, "true or false")
    return told


def _long(told: Any) -> int:
    if not isinstance(told, int) or isinstance(told, bool):
        raise _misfit(told, "a whole number")
    if not _INT64_MIN <= told <= _INT64_MAX:
        raise Misfit("a number of more than 64 bits")
    return told


def _int(told: Any) -> int:
    value = _long(told)
    if not INT32_MIN <= value <= INT32_MAX:
        raise Misfit("a number of more than 32 bits")
    return value


def _misfit(told: Any, wanted: str) -> Misfit:
    return Misfit(f"{type(told).__name__} where {wanted} belongs")


def from_plain(node: Any, classes: Mapping[str, type]) -> Plain:
    """The function that makes a record of the plain values of its schema."""
    return _from_plain(node, classes, {})


def _from_plain(node: Any, classes: Mapping[str, type], named: dict[str, Plain]) -> Plain:
    if isinstance(node, str):
        return _as_it_is if node in _PRIMITIVES else named[node]
    if isinstance(node, list):
        (value,) = [_from_plain(one, classes, named) for one in node if one != "null"]
        return lambda told: None if told is None else value(told)
    if node["type"] == "array":
        item = _from_plain(node["items"], classes, named)
        return lambda told: tuple([item(one) for one in told])
    if node["type"] == "map":
        value = _from_plain(node["values"], classes, named)
        return lambda told: {key: value(one) for key, one in told.items()}
    cls = classes[node["name"]]
    fields = [(one["name"], _from_plain(one["type"], classes, named)) for one in node["fields"]]
    made = named[f"{node['namespace']}.{node['name']}"] = lambda told: cls(
        **{name: field(told[name]) for name, field in fields}
    )
    return made


def _as_it_is(told: Any) -> Any:
    return told


_PRIMITIVES: dict[str, Plain] = {
    "boolean": _boolean,
    "int": _int,
    "long": _long,
    "bytes": _bytes,
    "string": _string,
}
