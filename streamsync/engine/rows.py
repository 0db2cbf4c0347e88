"""Typed rows as versioned bytes.

Problem: rows outlive the program that wrote them. A row read with the wrong layout would give
wrong books without a sound, so every value begins with a version byte: the current version is
decoded by msgspec, older ones by the readers a row type names, and any other stops the worker
before it commits.

A row's key is `tag|suffix`; tags keep the row types of a shard apart.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any, Generic, TypeVar

import msgspec

T = TypeVar("T")

# Deterministic, because a re-run after a crash must write identical bytes.
_encode = msgspec.msgpack.Encoder(order="deterministic").encode


_VERSION_MAX = 255


class RowError(Exception):
    """A stored row can't be trusted; the worker stops before it commits."""


class UnknownRowVersion(RowError):
    """A row was written by a version of the program that this one doesn't know."""


class RowType(Generic[T]):
    """One kind of row: its tag, its current version and the readers of older versions."""

    __slots__ = ("_decode", "_prefix", "_readers", "cls", "head", "tag", "version")

    def __init__(
        self,
        tag: str,
        version: int,
        cls: type[T],
        readers: Mapping[int, Callable[[bytes], T]] | None = None,
    ) -> None:
        if not tag or "|" in tag or tag.startswith(("\0", "_")):
            raise RowError(
                f"The row tag {tag!r} is not usable: it must not be empty, contain '|' or begin "
                "with '_' or a zero character, which the engine keeps for itself."
            )
        if not 0 <= version <= _VERSION_MAX:
            raise RowError(f"The version {version} of row {tag!r} doesn't fit one byte.")
        self.tag = tag
        self.cls = cls
        self.version = version
        self.head = tag + "|"
        self._prefix = bytes((version,))
        self._readers = dict(readers or {})
        self._decode: Callable[[bytes], Any] = msgspec.msgpack.Decoder(cls).decode

    def __repr__(self) -> str:
        return f"RowType({self.tag!r}, {self.version})"

    @property
    def versions(self) -> set[int]:
        """Every version that can be read."""
        return {self.version, *self._readers}

    def encode(self, value: T) -> bytes:
        return self._prefix + _encode(value)

    def decode(self, key: str, data: bytes) -> T:
        version = data[0] if data else -1
        try:
            if version == self.version:
                value: T = self._decode(data[1:])
                return value
            reader = self._readers.get(version)
            if reader is not None:
                return reader(data[1:])
        except (msgspec.MsgspecError, ValueError, TypeError, KeyError) as error:
            raise RowError(
                f"Row {key!r} says version {version} but can't be read as it ({error}): "
                "the database is damaged or the layout changed without a new version; "
                "delete the data directory to rebuild it from the changelog, or fix the version."
            ) from error
        known = ", ".join(str(known) for known in sorted(self.versions))
        raise UnknownRowVersion(
            f"Row {key!r} has version {version}, this program reads {known}: start the release "
            "that wrote it, or a later one."
        )


def rows_of(*modules: Any) -> Sequence[RowType[Any]]:
    """Every row type that modules define, in the order of their tags."""
    found = {
        value.tag: value
        for module in modules
        for value in vars(module).values()
        if isinstance(value, RowType)
    }
    return [found[tag] for tag in sorted(found)]
