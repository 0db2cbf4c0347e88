"""Writes the Cython source of the compiled codec from the schemas of `avro/`.

Problem: a codec that looks the schema up while it reads is the largest cost of the path, and one
written by hand drifts from the schemas. How: for every type a pair of functions is written out,
`take_…` from bytes to a record and `put_…` back, over the bounded primitives of `wire.pxi`. The
build writes and compiles the text (`setup.py`); a program compares its digest with today's, so an
extension of other schemas is never used. Standard library only: the build has nothing else.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

_DIRECTIVES = (
    "# cython: language_level=3, boundscheck=False, wraparound=False, binding=False\n"
    "# Written by streamsync/contracts/generate.py; changes here are lost.\n"
)
_PRIMITIVES = frozenset({"boolean", "bytes", "int", "long", "string"})


class UnsupportedSchema(Exception):
    """A schema uses what the compiled codec cannot do; the message says where and what to do."""


def source(schemas: Mapping[str, Mapping[str, Any]]) -> str:
    """The whole module, with its digest as `DIGEST`."""
    text = _Module(schemas).text()
    return f'{text}\n\nDIGEST = "{hashlib.sha256(text.encode()).hexdigest()}"\n'


def digest(schemas: Mapping[str, Mapping[str, Any]]) -> str:
    """The `DIGEST` of a module that fits these schemas."""
    return hashlib.sha256(_Module(schemas).text().encode()).hexdigest()


class _Module:
    """Collects the functions of all types, each once and after those that it calls."""

    def __init__(self, schemas: Mapping[str, Mapping[str, Any]]) -> None:
        self._functions: dict[str, str] = {}
        self._fields: dict[str, list[str]] = {}
        self._open: list[str] = []
        for name in sorted(schemas):
            self._open = [name]
            self._suffix(schemas[name])

    def text(self) -> str:
        """The source without its digest."""
        primitives = Path(__file__).with_name("wire.pxi").read_text(encoding="utf-8")
        return "\n\n".join(
            [_DIRECTIVES + primitives.rstrip(), *self._functions.values(), self._binding()]
        )

    def _suffix(self, node: Any) -> str:
        """What a type's functions are called, after writing them where that was not done."""
        if isinstance(node, str):
            known = node.rpartition(".")[2]
            if node in _PRIMITIVES or known in self._fields:
                return known
        elif isinstance(node, list):
            return self._optional(node)
        elif node["type"] == "array":
            items = self._suffix(node["items"])
            return self._add(f"array_of_{items}", _ARRAY.format(items=items))
        elif node["type"] == "map":
            values = self._suffix(node["values"])
            return self._add(f"map_of_{values}", _MAP.format(values=values))
        elif node["type"] == "record" and node["fields"]:
            return self._record(node)
        raise UnsupportedSchema(
            f"{'.'.join(self._open)}: the compiled codec knows no {node!r}: teach "
            "streamsync/contracts/generate.py, or use a type that it knows."
        )

    def _optional(self, node: list[Any]) -> str:
        others = [one for one in node if one != "null"]
        if len(node) != 2 or len(others) != 1:
            raise UnsupportedSchema(
                f"{'.'.join(self._open)}: only unions of null and one type: split the field."
            )
        null = node.index("null")
        value = self._suffix(others[0])
        name = f"optional_{value}" if null == 0 else f"{value}_or_null"
        return self._add(name, _OPTIONAL.format(name=name, value=value, null=null, set=1 - null))

    def _record(self, node: Mapping[str, Any]) -> str:
        name = node["name"]
        if name in self._fields:
            return str(name)
        takes, puts = [], []
        for index, field in enumerate(node["fields"]):
            self._open.append(field["name"])
            suffix = self._suffix(field["type"])
            self._open.pop()
            takes.append(f"    fill(made, {name}_slots[{index}], take_{suffix}(r))")
            puts.append(f"    put_{suffix}(w, slot(record, {name}_slots[{index}]))")
        self._fields[name] = [field["name"] for field in node["fields"]]
        return self._add(
            name,
            _RECORD.format(
                name=name, size=len(takes), takes="\n".join(takes), puts="\n".join(puts)
            ),
        )

    def _add(self, name: str, text: str) -> str:
        self._functions.setdefault(name, text.strip("\n"))
        return name

    def _binding(self) -> str:
        return _BINDING.format(
            binds="\n".join(
                f'    bind_record(classes["{name}"], {tuple(fields)!r}, &{name}_type, {name}_slots)'
                for name, fields in self._fields.items()
            ),
            choices="\n".join(_choices(self._fields)),
        ).strip("\n")


def _choices(names: Iterable[str]) -> Iterable[str]:
    for name in names:
        yield f'    if name == "{name}":'
        yield f"        return new_codec(header, take_{name}, put_{name})"


_RECORD = """
cdef PyTypeObject* {name}_type = NULL
cdef Py_ssize_t[{size}] {name}_slots


cdef object take_{name}(Reader* r):
    cdef object made = fresh({name}_type)
{takes}
    return made


cdef int put_{name}(Writer* w, object record) except -1:
    if not is_exactly(record, {name}_type):
        refuse()
{puts}
    return 0
"""

_OPTIONAL = """
cdef object take_{name}(Reader* r):
    cdef int64_t branch = take_int64(r)
    if branch == {null}:
        return None
    if branch != {set}:
        refuse()
    return take_{value}(r)


cdef int put_{name}(Writer* w, object value) except -1:
    if value is None:
        return put_int64(w, {null})
    put_int64(w, {set})
    return put_{value}(w, value)
"""

_ARRAY = """
cdef object take_array_of_{items}(Reader* r):
    cdef const uint8_t* block_end
    cdef list found
    cdef int64_t count = take_count(r, &block_end)
    if count == 0:
        return ()
    found = []
    while count > 0:
        while count > 0:
            found.append(take_{items}(r))
            count -= 1
        leave_block(r, block_end)
        count = take_count(r, &block_end)
    return tuple(found)


cdef int put_array_of_{items}(Writer* w, object value) except -1:
    cdef tuple items
    if not isinstance(value, (tuple, list)):
        refuse()
    items = tuple(value)
    if items:
        put_int64(w, len(items))
        for item in items:
            put_{items}(w, item)
    return put_int64(w, 0)
"""

_MAP = """
cdef object take_map_of_{values}(Reader* r):
    cdef const uint8_t* block_end
    cdef dict found = {{}}
    cdef int64_t count = take_count(r, &block_end)
    while count > 0:
        while count > 0:
            key = take_string(r)
            found[key] = take_{values}(r)
            count -= 1
        leave_block(r, block_end)
        count = take_count(r, &block_end)
    return found


cdef int put_map_of_{values}(Writer* w, object value) except -1:
    if not isinstance(value, dict):
        refuse()
    if value:
        put_int64(w, len(<dict>value))
        for key, item in (<dict>value).items():
            put_string(w, key)
            put_{values}(w, item)
    return put_int64(w, 0)
"""

_BINDING = """
def bind(dict classes not None):
    \"\"\"Learn the classes of the records, by name; before anything else.\"\"\"
{binds}


def record_codec(str name not None, bytes header not None):
    \"\"\"The codec of one record.\"\"\"
    if not BOUND:
        raise RuntimeError("bind the classes first")
{choices}
    raise KeyError(name)
"""
