"""Records to bytes and back with fastavro, on any machine and for any version of a schema.

Problem: the compiled codec knows today's schemas only, and not every machine has a compiler. How:
fastavro writes and reads, and resolves an older or newer writer's schema to today's; what it is
too lenient about is checked before: values by `plain`, bytes by `walk`.
"""

from __future__ import annotations

import io
from collections.abc import Mapping
from typing import Any

import fastavro
from fastavro.types import AvroMessage

from streamsync.contracts.plain import from_plain, plain
from streamsync.contracts.walk import whole_walk

HEADER_SIZE = 5


def parsed(schema: Mapping[str, Any]) -> Any:
    """A schema as fastavro wants it."""
    # Each record is parsed apart, so that types of the same name never meet.
    return fastavro.parse_schema(dict(schema), named_schemas={})


class FastavroWriter:
    """Writes one kind of record with today's schema."""

    def __init__(
        self, schema: Mapping[str, Any], header: bytes, classes: Mapping[str, type]
    ) -> None:
        self._schema = parsed(schema)
        self._header = header
        self._plain = plain(schema, classes)

    def encode(self, record: object) -> bytes:
        """Header and body; `Misfit` when the record has a value that its schema has no room for."""
        body = io.BytesIO()
        body.write(self._header)
        fastavro.schemaless_writer(body, self._schema, self._plain(record))
        return body.getvalue()


class FastavroReader:
    """Reads what was written with one schema as a record of today."""

    def __init__(
        self,
        writer: Mapping[str, Any],
        today: Mapping[str, Any] | None,
        classes: Mapping[str, type],
    ) -> None:
        self._writer = parsed(writer)
        self._today = None if today is None else parsed(today)
        self._check = whole_walk(writer)
        self._record = from_plain(writer if today is None else today, classes)

    def decode(self, data: bytes) -> Any:
        """The record after the header; `Misfit` or a library's exception for anything else."""
        self._check(data, HEADER_SIZE)
        body = io.BytesIO(data)
        body.seek(HEADER_SIZE)
        told: AvroMessage = fastavro.schemaless_reader(body, self._writer, self._today)
        return self._record(told)
