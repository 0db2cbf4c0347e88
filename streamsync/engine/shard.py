"""The rows of one partition, with what is not committed yet.

Problem: decoding a row each time a step looks at it would cost more than the step, rows must not
reach RocksDB before their transaction is committed, and a poison record must leave no trace. So
a shard keeps decoded values in a cache, the names of changed ones in a dirty map that the commit
drains, and a journal of the current step that can be played backwards. The order of dirty
names is only kept for kinds of rows that steps scan.

Memory is bounded by bytes. What a row takes as bytes is known when it is read and when it is
written; a new row counts as much as the last ones that were written, on average, or as one that
is tried now and then. Rows that don't differ from the store are evicted, oldest first.

Invariants: the store below holds only committed rows and doesn't change during a step; every
dirty row is in the cache; an evicted row is never dirty.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, Final, Protocol, TypeVar, cast

import msgspec

from streamsync.engine.keyorder import KeyOrder
from streamsync.engine.rows import RowType

T = TypeVar("T")


class _Nothing:
    """Marks 'no such row' and 'not known' without being a value that a row could have."""


_ABSENT: Final = _Nothing()
_UNKNOWN: Final = _Nothing()

CACHE_BYTES_MAX = 16 << 20
"""Of one partition, rows as bytes; what they take as Python's objects is a few times that."""
_CELL_BYTES = 256
"""What a row takes beside its value: name, cell, places in dictionaries."""


class RowStore(Protocol):
    """Committed rows below a shard: RocksDB, a snapshot of it, or memory."""

    def get(self, key: bytes) -> bytes | None: ...

    def seek(self, start: bytes) -> Iterator[tuple[bytes, bytes]]:
        """All rows from `start` on, in byte order."""


class MemoryRows:
    """A row store in memory."""

    def __init__(self) -> None:
        self._rows: dict[str, bytes] = {}
        self._order = KeyOrder()

    def get(self, key: bytes) -> bytes | None:
        return self._rows.get(key.decode())

    def seek(self, start: bytes) -> Iterator[tuple[bytes, bytes]]:
        key = self._order.at_or_after(start.decode())
        while key is not None:
            yield key.encode(), self._rows[key]
            key = self._order.at_or_after(key + "\0")

    def write(self, key: bytes, value: bytes | None) -> None:
        name = key.decode()
        if value is None:
            self._rows.pop(name, None)
            self._order.discard(name)
        else:
            if name not in self._rows:
                self._order.add(name)
            self._rows[name] = value


class _Cell(msgspec.Struct, gc=False):
    """A row as steps see it; `kind` is set while it differs from the store."""

    value: Any
    size: int
    kind: RowType[Any] | None = None


class LaneShard:
    """A shard over a row store; satisfies `lane.Shard`."""

    __slots__ = (
        "_cache", "_cached_bytes", "_dirty", "_journal", "_mean_bytes", "_orders", "_store",
        "_written", "begin_step", "changed_bytes", "partition",
    )  # fmt: skip

    def __init__(self, partition: int, store: RowStore) -> None:
        self.partition = partition
        self._store = store
        self._cache: dict[str, _Cell] = {}
        self._cached_bytes = 0
        self._mean_bytes = _CELL_BYTES
        self.changed_bytes = 0
        """About how many bytes the dirty rows are."""
        self._written: list[tuple[bytes, bytes | None]] = []
        self._dirty: dict[str, _Cell] = {}
        self._orders: dict[str, KeyOrder] = {}  # by head
        self._journal: list[tuple[str, _Cell, Any, RowType[Any] | None]] = []
        self.begin_step = self._journal.clear
        """From here on `undo_step` returns to this point."""

    # -- what steps use

    def get(self, row: RowType[T], key: str) -> T | None:
        name = row.head + key
        cell = self._cache.get(name)
        if cell is None:
            cell = self._load(row, name)
        value = cell.value
        return None if value is _ABSENT else cast(T, value)

    def put(self, row: RowType[T], key: str, value: T) -> None:
        name = row.head + key
        cell = self._cache.get(name)
        if cell is None:
            cell = self._cache[name] = _Cell(_UNKNOWN, self._mean_bytes)
            self._cached_bytes += cell.size
        self._journal.append((name, cell, cell.value, cell.kind))
        if cell.kind is None:
            self._dirty[name] = cell
            self.changed_bytes += cell.size
            if self._orders and (order := self._orders.get(row.head)) is not None:
                order.add(name)
        cell.value = value
        cell.kind = row

    def delete(self, row: RowType[T], key: str) -> None:
        self.put(row, key, cast(T, _ABSENT))

    def scan(
        self,
        row: RowType[T],
        prefix: str = "",
        after: str | None = None,
        limit: int | None = None,
    ) -> Iterator[tuple[str, T]]:
        order = self._orders.get(row.head)
        if order is None:
            changed_rows = (name for name in self._dirty if name.startswith(row.head))
            order = self._orders[row.head] = KeyOrder(changed_rows)
        head = len(row.head)
        low = row.head + prefix
        # A zero character appended makes the next key in order: "behind" becomes "from".
        cursor = low if after is None else max(low, row.head + after + "\0")
        committed = self._committed(cursor, low)
        stored = next(committed, None)
        left = limit
        while left is None or left > 0:
            while stored is not None and (stored[0] < cursor or stored[0] in self._dirty):
                stored = next(committed, None)
            changed = order.at_or_after(cursor)
            if changed is not None and not changed.startswith(low):
                changed = None
            if changed is not None and (stored is None or changed < stored[0]):
                cursor = changed + "\0"
                value = self._cache[changed].value
                if value is _ABSENT:
                    continue
                found = changed
            elif stored is not None:
                found, data = stored
                cursor = found + "\0"
                cell = self._cache.get(found)
                if cell is None:
                    cell = self._cache[found] = _Cell(row.decode(found, data), len(data))
                    self._cached_bytes += len(data)
                value = cell.value
            else:
                return
            yield found[head:], cast(T, value)
            if left is not None:
                left -= 1

    # -- what the engine uses

    def undo_step(self) -> None:
        """Undo every change since `begin_step`."""
        for name, cell, value, kind in reversed(self._journal):
            if kind is None:
                del self._dirty[name]
                self.changed_bytes -= cell.size
                order = self._orders.get(_head(name))
                if order is not None:
                    order.discard(name)
            if value is _UNKNOWN:
                del self._cache[name]
                self._cached_bytes -= cell.size
            cell.value, cell.kind = value, kind
        self._journal.clear()

    def changes(self) -> list[tuple[bytes, bytes | None]]:
        """Every dirty row as bytes, `None` for a deleted one, in order of first change."""
        self._written = [
            (
                name.encode(),
                None
                if cell.value is _ABSENT or cell.kind is None
                else cell.kind.encode(cell.value),
            )
            for name, cell in self._dirty.items()
        ]
        return self._written

    def committed(self) -> None:
        """What `changes` gave last is in the store now."""
        sizes = [0 if data is None else len(data) for _, data in self._written]
        for cell, size in zip(self._dirty.values(), sizes, strict=True):
            cell.kind = None
            cell.size = size
        if sizes:
            total = sum(sizes)
            self._cached_bytes += total - self.changed_bytes
            self._mean_bytes = total // len(sizes)
        self._written, self.changed_bytes = [], 0
        self._dirty.clear()
        self._orders.clear()
        self._journal.clear()
        self.keep_bounded()

    def keep_bounded(self) -> None:
        """Evict rows that don't differ from the store when there are too many; between steps."""
        cache = self._cache
        if self._dirty:
            cell = next(reversed(self._dirty.values()))
            if cell.value is not _ABSENT and cell.kind is not None:
                self._mean_bytes = max(self._mean_bytes, len(cell.kind.encode(cell.value)))
        if self._cached_bytes + len(cache) * _CELL_BYTES <= CACHE_BYTES_MAX:
            return
        left = self._cached_bytes + len(cache) * _CELL_BYTES - CACHE_BYTES_MAX // 2
        for name in [name for name, cell in cache.items() if cell.kind is None]:
            if left <= 0:
                break
            size = cache.pop(name).size
            self._cached_bytes -= size
            left -= size + _CELL_BYTES

    # -- inside

    def _load(self, row: RowType[Any], name: str) -> _Cell:
        data = self._store.get(name.encode())
        if data is None:
            cell = self._cache[name] = _Cell(_ABSENT, 0)
        else:
            cell = self._cache[name] = _Cell(row.decode(name, data), len(data))
            self._cached_bytes += cell.size
        return cell

    def _committed(self, start: str, low: str) -> Iterator[tuple[str, bytes]]:
        for key, data in self._store.seek(start.encode()):
            name = key.decode()
            if not name.startswith(low):
                return
            yield name, data


def _head(name: str) -> str:
    return name[: name.index("|") + 1]
