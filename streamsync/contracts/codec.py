"""Records to framed bytes and back.

Problem: bytes from a topic are not to be trusted, and older writers must stay readable. How:
Confluent framing (a zero byte, a four-byte schema id, the Avro body); the id picks the writer's
schema, Avro resolution brings it to today's; anything that does not fit exactly is a
`ContractError` with a reason.
"""

from __future__ import annotations

import io
import struct
from collections.abc import Mapping
from typing import Any, Protocol, TypeVar

import fastavro
import msgspec
from fastavro.types import AvroMessage

from streamsync.contracts.schemas import load_schemas
from streamsync.core import facts, records

_HEADER = struct.Struct(">bI")
_MAGIC = 0

T = TypeVar("T")


class ContractError(Exception):
    """Bytes that are no record of ours. `reason`: not_framed, schema_unknown, record_malformed."""

    def __init__(self, reason: str, detail: str) -> None:
        super().__init__(detail)
        self.reason = reason


class RegisteredSchemas(Protocol):
    """What a codec needs of a registry, once, at start."""

    def register(self, subject: str, schema: Mapping[str, Any]) -> int:
        """Schema id of today's schema."""
        ...

    def versions(self, subject: str) -> Mapping[int, Mapping[str, Any]]:
        """All versions of a subject, by schema id."""
        ...

    def schema(self, schema_id: int) -> Mapping[str, Any] | None:
        """The schema with this id, None when there is no such id."""
        ...


class Contracts:
    """Encodes and decodes every record that has a schema in `avro/`."""

    def __init__(self, registry: RegisteredSchemas) -> None:
        self._classes = _record_classes()
        self._registry = registry
        self._written: dict[type, tuple[bytes, Any]] = {}
        self._readers: dict[int, tuple[Any, Any, type]] = {}
        self._today: dict[str, Any] = {}
        for name, schema in load_schemas().items():
            if name not in self._classes:
                continue
            parsed = _parsed(schema)
            subject = f"{schema['namespace']}.{name}"
            schema_id = registry.register(subject, schema)
            self._today[subject] = parsed
            cls = self._classes[name]
            self._written[cls] = (_HEADER.pack(_MAGIC, schema_id), parsed)
            self._readers[schema_id] = (parsed, None, cls)

    @classmethod
    def in_memory(cls) -> Contracts:
        """Contracts without a registry server: for the in-memory driver and tests."""
        from streamsync.contracts.registry import InMemoryRegistry  # noqa: PLC0415

        return cls(InMemoryRegistry())

    def load_history(self) -> None:
        """Learn all older versions, so that records of earlier releases can be read."""
        for subject, today in self._today.items():
            cls = self._classes[subject.rsplit(".", 1)[1]]
            for schema_id, schema in self._registry.versions(subject).items():
                if schema_id not in self._readers:
                    self._readers[schema_id] = (_parsed(schema), today, cls)

    def encode(self, record: object) -> bytes:
        """Framed bytes of a record; the same record always gives the same bytes."""
        header, schema = self._written[type(record)]
        body = io.BytesIO()
        body.write(header)
        fastavro.schemaless_writer(
            body, schema, msgspec.to_builtins(record, builtin_types=(bytes,))
        )
        return body.getvalue()

    def decode(self, data: bytes) -> Any:
        """The record in framed bytes; `ContractError` for anything else."""
        if len(data) < _HEADER.size or data[0] != _MAGIC:
            raise ContractError("not_framed", "the value does not begin with a Confluent header")
        schema_id = _HEADER.unpack_from(data)[1]
        found = self._readers.get(schema_id) or self._learn(schema_id)
        if found is None:
            raise ContractError(
                "schema_unknown",
                f"schema id {schema_id} is none of ours: it was written by a foreign program",
            )
        writer, reader, cls = found
        body = io.BytesIO(data)
        body.seek(_HEADER.size)
        try:
            told: AvroMessage = fastavro.schemaless_reader(body, writer, reader)
            record: Any = msgspec.convert(told, cls)
        except Exception as error:  # fastavro raises whatever its C code met
            raise ContractError(
                "record_malformed", f"not a {cls.__name__}: {type(error).__name__}"
            ) from error
        if body.tell() != len(data):
            raise ContractError(
                "record_malformed",
                f"{len(data) - body.tell()} bytes follow a complete {cls.__name__}",
            )
        return record

    def _learn(self, schema_id: int) -> tuple[Any, Any, type] | None:
        """How to read an id that was registered after the start: the next release runs beside us.

        An id never changes its schema, so the answer is the same at every re-run of a record.
        """
        schema = self._registry.schema(schema_id)
        subject = f"{schema.get('namespace')}.{schema.get('name')}" if schema else ""
        today = self._today.get(subject)
        if schema is None or today is None:
            return None
        found = (_parsed(schema), today, self._classes[subject.rsplit(".", 1)[1]])
        self._readers[schema_id] = found
        return found


def _parsed(schema: Mapping[str, Any]) -> Any:
    # Each record is parsed apart, so that types of the same name never meet.
    return fastavro.parse_schema(dict(schema), named_schemas={})


def _record_classes() -> dict[str, type]:
    return {
        name: found
        for module in (records, facts)
        for name, found in vars(module).items()
        if isinstance(found, type) and hasattr(found, "__dataclass_fields__")
    }
