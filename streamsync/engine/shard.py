"""The rows of one partition, with what is not committed yet.

Problem: decoding a row each time a step looks at it would cost more than the step, rows must not
reach RocksDB before their transaction is committed, and a poison record must leave no trace. So
a shard keeps decoded values in a cache, the names of changed ones in a dirty map that the commit
drains, and a journal of the current step that can be played backwards. The order of dirty
names is only kept for kinds of rows that steps scan.

Invariants: the store below holds only committed rows and doesn't change during a step; every
dirty row is in the cache; an evicted row is never dirty.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, Final, Protocol, TypeVar, cast

from streamsync.engine.keyorder import KeyOrder
from streamsync.engine.rows import RowType

T = TypeVar("T")


class _Nothing:
    """Marks 'no such row' and 'not known' without being a value that a row could have."""


_ABSENT: Final = _Nothing()
_UNKNOWN: Final = _Nothing()

CACHED_ROWS_MAX = 50_000


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


class LaneShard:
    """A shard over a row store; satisfies `lane.Shard`."""

    __slots__ = ("_cache", "_dirty", "_journal", "_orders", "_store", "begin_step", "partition")

    def __init__(self, partition: int, store: RowStore) -> None:
        self.partition = partition
        self._store = store
        self._cache: dict[str, Any] = {}
        self._dirty: dict[str, RowType[Any]] = {}
        self._orders: dict[str, KeyOrder] = {}  # by head
        self._journal: list[tuple[str, RowType[Any] | None, Any]] = []
        self.begin_step = self._journal.clear
        """From here on `undo_step` returns to this point."""

    # -- what steps use

    def get(self, row: RowType[T], key: str) -> T | None:
        name = row.head + key
        value = self._cache.get(name, _UNKNOWN)
        if value is _UNKNOWN:
            value = self._load(row, name)
        return None if value is _ABSENT else cast(T, value)

    def put(self, row: RowType[T], key: str, value: T) -> None:
        self._change(row, row.head + key, value)

    def delete(self, row: RowType[T], key: str) -> None:
        self._change(row, row.head + key, _ABSENT)

    def scan(
        self,
        row: RowType[T],
        prefix: str = "",
        after: str | None = None,
        limit: int | None = None,
    ) -> Iterator[tuple[str, T]]:
        order = self._orders.get(row.head)
        if order is None:
            changed_rows = (name for name, kind in self._dirty.items() if kind.head == row.head)
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
                value = self._cache[changed]
                if value is _ABSENT:
                    continue
                found = changed
            elif stored is not None:
                found, data = stored
                cursor = found + "\0"
                value = self._cache.get(found, _UNKNOWN)
                if value is _UNKNOWN:
                    value = self._cache[found] = row.decode(found, data)
            else:
                return
            yield found[head:], cast(T, value)
            if left is not None:
                left -= 1

    # -- what the engine uses

    def undo_step(self) -> None:
        """Undo every change since `begin_step`."""
        for key, dirty, cached in reversed(self._journal):
            if dirty is None:
                order = self._orders.get(self._dirty.pop(key).head)
                if order is not None:
                    order.discard(key)
            else:
                self._dirty[key] = dirty
            if cached is _UNKNOWN:
                self._cache.pop(key, None)
            else:
                self._cache[key] = cached
        self._journal.clear()

    def changes(self) -> list[tuple[bytes, bytes | None]]:
        """Every dirty row as bytes, `None` for a deleted one, in order of first change."""
        cache = self._cache
        return [
            (key.encode(), None if (value := cache[key]) is _ABSENT else row.encode(value))
            for key, row in self._dirty.items()
        ]

    def committed(self) -> None:
        """The dirty rows are in the store now."""
        self._dirty.clear()
        self._orders.clear()
        self._journal.clear()
        if len(self._cache) > CACHED_ROWS_MAX:
            for key in list(self._cache)[: len(self._cache) - CACHED_ROWS_MAX // 2]:
                del self._cache[key]

    # -- inside

    def _load(self, row: RowType[Any], key: str) -> Any:
        data = self._store.get(key.encode())
        value = self._cache[key] = _ABSENT if data is None else row.decode(key, data)
        return value

    def _change(self, row: RowType[Any], key: str, value: Any) -> None:
        dirty = self._dirty.get(key)
        self._journal.append((key, dirty, self._cache.get(key, _UNKNOWN)))
        if dirty is None and (order := self._orders.get(row.head)) is not None:
            order.add(key)
        self._dirty[key] = row
        self._cache[key] = value

    def _committed(self, start: str, low: str) -> Iterator[tuple[str, bytes]]:
        for key, data in self._store.seek(start.encode()):
            name = key.decode()
            if not name.startswith(low):
                return
            yield name, data
