"""Which codec a program uses: the compiled one where it was built and fits, else fastavro.

Problem: an extension may be missing (no compiler) or left over from other schemas, and either must
show. How: its digest is compared with that of the source which today's schemas give; whoever did
not ask for one codec gets the other, and the log says so once.
"""

from __future__ import annotations

import importlib
import logging
from functools import lru_cache
from typing import Any, Literal, Protocol, cast

from msgspec import Struct

from streamsync.contracts.generate import UnsupportedSchema, digest
from streamsync.contracts.schemas import load_schemas
from streamsync.core import facts, records

CodecName = Literal["auto", "compiled", "fastavro"]

_EXTENSION = "streamsync.contracts.compiled"
_log = logging.getLogger(__name__)


class CodecUnavailable(Exception):
    """The compiled codec was asked for and cannot be used; the message says why and what to do."""


class RecordCodec(Protocol):
    """Encodes and decodes one kind of record, header included."""

    def encode(self, record: object) -> bytes:
        """Framed bytes; ValueError when the record does not fit."""
        ...

    def decode(self, data: bytes) -> Any:
        """The record; ValueError when the bytes are none."""
        ...


class CompiledCodec(Protocol):
    """The extension, as `generate` writes it."""

    DIGEST: str

    def bind(self, classes: dict[str, type]) -> None:
        """Learn the records' classes."""
        ...

    def record_codec(self, name: str, header: bytes) -> RecordCodec:
        """The codec of one record."""
        ...


def chosen(name: CodecName) -> CompiledCodec | None:
    """The compiled codec, or None for fastavro."""
    if name == "fastavro":
        return None
    if name == "compiled":
        return _compiled()
    return _compiled_or_said()


@lru_cache(maxsize=1)
def record_classes() -> dict[str, type]:
    """All records of `core` by name."""
    return {
        name: found
        for module in (records, facts)
        for name, found in vars(module).items()
        if isinstance(found, type) and issubclass(found, Struct) and found is not Struct
    }


@lru_cache(maxsize=1)
def _compiled_or_said() -> CompiledCodec | None:
    try:
        return _compiled()
    except CodecUnavailable as error:
        _log.warning("Records are coded with fastavro, several times slower: %s", error)
        return None


def _compiled() -> CompiledCodec:
    try:
        found = cast(CompiledCodec, importlib.import_module(_EXTENSION))
    except ImportError as error:
        raise CodecUnavailable(
            f"the compiled codec is not there ({error}): install a C compiler and streamsync anew."
        ) from error
    try:
        fits = found.DIGEST == digest(load_schemas())
        if fits:
            found.bind(record_classes())
    except (UnsupportedSchema, TypeError, KeyError) as error:
        raise CodecUnavailable(f"the compiled codec does not fit the records: {error}") from error
    if not fits:
        raise CodecUnavailable(
            "the compiled codec was built from other schemas: install streamsync anew."
        )
    return found
