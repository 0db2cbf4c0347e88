"""Records to framed bytes and back.

Problem: bytes from a topic are not to be trusted, and older writers must stay readable. How:
Confluent framing (a zero byte, a four-byte schema id, the Avro body); the id picks the writer's
schema. Today's is read by the compiled codec where there is one, every other by Avro resolution;
anything that does not fit exactly is a `ContractError` with a reason, the same by either codec.
"""

from __future__ import annotations

import struct
from collections.abc import Mapping
from typing import Any, NamedTuple, Protocol

from fastavro.schema import to_parsing_canonical_form

from streamsync.contracts.choice import CodecName, RecordCodec, chosen, record_classes
from streamsync.contracts.portable import HEADER_SIZE, FastavroReader, FastavroWriter
from streamsync.contracts.schemas import load_schemas
from streamsync.contracts.walk import Misfit

_HEADER = struct.Struct(">bI")
_MAGIC = 0


class ContractError(Exception):
    """What is no record of ours. `reason` for bytes: not_framed, schema_unknown, record_malformed;
    for a record that is to be written: record_unwritable.
    """

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


class _Encoder(Protocol):
    def encode(self, record: object) -> bytes: ...


class _Decoder(Protocol):
    def decode(self, data: bytes) -> Any: ...


class _Written(NamedTuple):
    """How a class is written; `fastavro` also says why a record cannot be."""

    header: bytes
    codec: _Encoder
    fastavro: FastavroWriter


class _Read(NamedTuple):
    """How a schema id is read; `fastavro` also says why bytes cannot be."""

    codec: _Decoder
    fastavro: FastavroReader
    cls: type


class _Today(NamedTuple):
    schema: Mapping[str, Any]
    canonical: str
    codec: RecordCodec | None
    cls: type


class Contracts:
    """Encodes and decodes every record that has a schema in `avro/`.

    `codec`: compiled, fastavro, or auto: the compiled one where it was built, else fastavro.
    """

    def __init__(self, registry: RegisteredSchemas, codec: CodecName = "auto") -> None:
        self._registry = registry
        self._written: dict[type, _Written] = {}
        self._readers: dict[int, _Read] = {}
        self._today: dict[str, _Today] = {}
        compiled = chosen(codec)
        self.codec = "fastavro" if compiled is None else "compiled"
        self._classes = record_classes()
        for name, schema in load_schemas().items():
            if name not in self._classes:
                continue
            subject = f"{schema['namespace']}.{name}"
            schema_id = registry.register(subject, schema)
            header = _HEADER.pack(_MAGIC, schema_id)
            made = None if compiled is None else compiled.record_codec(name, header)
            writer, cls = FastavroWriter(schema, header, self._classes), self._classes[name]
            self._written[cls] = _Written(header, made or writer, writer)
            self._today[subject] = _Today(schema, _canonical(schema), made, cls)
            self._readers[schema_id] = self._reading(schema, subject)

    @classmethod
    def in_memory(cls, codec: CodecName = "auto") -> Contracts:
        """Contracts without a registry server: for the in-memory driver and tests."""
        from streamsync.contracts.registry import InMemoryRegistry  # noqa: PLC0415

        return cls(InMemoryRegistry(), codec)

    def load_history(self) -> None:
        """Learn all older versions, so that records of earlier releases can be read."""
        for subject in self._today:
            for schema_id, schema in self._registry.versions(subject).items():
                if schema_id not in self._readers:
                    self._readers[schema_id] = self._reading(schema, subject)

    def encode(self, record: object) -> bytes:
        """Framed bytes of a record; the same record always gives the same bytes."""
        found = self._written.get(type(record))
        if found is None:
            raise ContractError(
                "record_unwritable", f"{type(record).__name__} has no schema in avro/"
            )
        try:
            return found.codec.encode(record)
        except ValueError as error:
            why = error if isinstance(error, Misfit) else _told(found.fastavro.encode, record)
            raise ContractError(
                "record_unwritable", f"not a {type(record).__name__}: {why}"
            ) from error

    def decode(self, data: bytes) -> Any:
        """The record in framed bytes; `ContractError` for anything else."""
        if len(data) < HEADER_SIZE or data[0] != _MAGIC:
            raise ContractError("not_framed", "the value does not begin with a Confluent header")
        schema_id = _HEADER.unpack_from(data)[1]
        found = self._readers.get(schema_id) or self._learn(schema_id)
        if found is None:
            raise ContractError(
                "schema_unknown",
                f"schema id {schema_id} is none of ours: it was written by a foreign program",
            )
        try:
            return found.codec.decode(data)
        except MemoryError:
            raise
        except Exception as error:  # fastavro raises whatever its C code met
            why = error if isinstance(error, Misfit) else _told(found.fastavro.decode, data)
            raise ContractError("record_malformed", f"not a {found.cls.__name__}: {why}") from error

    def _learn(self, schema_id: int) -> _Read | None:
        """How to read an id that was registered after the start: the next release runs beside us.

        An id never changes its schema, so the answer is the same at every re-run of a record.
        """
        schema = self._registry.schema(schema_id)
        subject = f"{schema.get('namespace')}.{schema.get('name')}" if schema else ""
        if schema is None or subject not in self._today:
            return None
        self._readers[schema_id] = self._reading(schema, subject)
        return self._readers[schema_id]

    def _reading(self, writer: Mapping[str, Any], subject: str) -> _Read:
        today = self._today[subject]
        # Versions that differ in their documentation only are one to the codecs.
        same = _canonical(writer) == today.canonical
        reader = FastavroReader(writer, None if same else today.schema, self._classes)
        return _Read(today.codec if same and today.codec else reader, reader, today.cls)


def _canonical(schema: Mapping[str, Any]) -> str:
    return to_parsing_canonical_form(dict(schema))


def _told(codec: Any, value: Any) -> str:
    """Why a value is refused, from the codec that tells; the compiled one only refuses."""
    try:
        codec(value)
    except MemoryError:
        raise
    except Exception as error:
        return str(error) if isinstance(error, Misfit) else type(error).__name__
    return "the compiled codec refuses it"
