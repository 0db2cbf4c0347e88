"""Committed rows in RocksDB, one database per partition, as a Faust store.

Problem: Faust's own RocksDB store writes row by row, opens a 2 GiB cache for each partition and
knows nothing of source positions. A lane needs rows, changelog offset and position written at
once, or a crash between them would repeat or skip records.

Next to the rows each database holds the changelog offset that it contains (under Faust's own
key, so that Faust's tools read it), the source position that belongs to it, and the id of the
changelog topic, so that a database is never read against a recreated topic.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import rocksdict
from faust.stores import rocksdb

from streamsync.engine.port import MARKER, Marker

_TOPIC_ID = b"\0topic"
_AFTER_ALL_KEYS = b"\xff"  # keys are UTF-8, or begin with a zero
_CACHE_BYTES = 64 << 20
_WRITE_BUFFER_BYTES = 4 << 20


@dataclass(frozen=True, slots=True)
class Stored:
    """How far a database is; `None` where it holds nothing."""

    changelog_offset: int | None
    marker: Marker | None
    topic_id: str | None


class DatabaseRows:
    """A row store over one database."""

    __slots__ = ("_database",)

    def __init__(self, database: Any) -> None:
        self._database = database

    def get(self, key: bytes) -> bytes | None:
        value: bytes | None = self._database.get(key)
        return value

    def seek(self, start: bytes) -> Iterator[tuple[bytes, bytes]]:
        rows: Iterator[tuple[bytes, bytes]] = self._database.items(from_key=start)
        return rows


class SnapshotRows:
    """A row store over a snapshot: what was committed at one moment."""

    __slots__ = ("_snapshot",)

    def __init__(self, database: Any) -> None:
        self._snapshot = database.snapshot()

    def get(self, key: bytes) -> bytes | None:
        # A snapshot has no get() that tells an absent key from an error.
        for found, value in self._snapshot.items(from_key=key):
            return value if found == key else None
        return None

    def seek(self, start: bytes) -> Iterator[tuple[bytes, bytes]]:
        rows: Iterator[tuple[bytes, bytes]] = self._snapshot.items(from_key=start)
        return rows


class LaneStore(rocksdb.Store):
    """The store of a lane's table."""

    before_close: Callable[[], Awaitable[None]] | None = None
    """Step 15: the last commit must come while the databases are still open."""

    _cache: Any = None

    def rows(self, partition: int) -> DatabaseRows:
        return DatabaseRows(self._db_for_partition(partition))

    def snapshot(self, partition: int) -> SnapshotRows:
        return SnapshotRows(self._db_for_partition(partition))

    def stored(self, partition: int) -> Stored:
        database = self._db_for_partition(partition)
        offset, marker = database.get(self.offset_key), database.get(MARKER)
        topic_id = database.get(_TOPIC_ID)
        return Stored(
            None if offset is None else int(offset),
            None if marker is None else Marker.decode(marker),
            None if topic_id is None else topic_id.decode(),
        )

    def bind(self, partition: int, topic_id: str) -> None:
        """Remember which changelog topic this database belongs to."""
        self._db_for_partition(partition).put(_TOPIC_ID, topic_id.encode())

    def write(
        self,
        partition: int,
        rows: Sequence[tuple[bytes, bytes | None]],
        changelog_offset: int,
        marker: Marker,
    ) -> None:
        """Rows, changelog offset and position in one atomic write."""
        batch = rocksdict.WriteBatch(raw_mode=True)
        for key, value in rows:
            if value is None:
                batch.delete(key)
            else:
                batch.put(key, value)
        batch.put(self.offset_key, b"%d" % changelog_offset)
        batch.put(MARKER, marker.encode())
        self._db_for_partition(partition).write(batch)

    def wipe(self, partition: int) -> None:
        """Delete every row; the changelog has everything that the database had.

        Not the files: a view may still hold the database open, and with it its lock.
        """
        self._db_for_partition(partition).delete_range(b"", _AFTER_ALL_KEYS)

    async def stop(self) -> None:
        if self.before_close is not None:
            await self.before_close()
        await super().stop()

    def _open_for_partition(self, partition: int) -> Any:
        if self._cache is None:
            self._cache = rocksdict.Cache(_CACHE_BYTES)
        table = rocksdict.BlockBasedOptions()
        table.set_bloom_filter(10, block_based=False)
        table.set_block_cache(self._cache)
        options = rocksdict.Options(raw_mode=True)
        options.create_if_missing(True)
        options.set_write_buffer_size(_WRITE_BUFFER_BYTES)
        options.set_max_write_buffer_number(3)
        options.set_block_based_table_factory(table)
        path = self.partition_path(partition)
        path.parent.mkdir(parents=True, exist_ok=True)
        return rocksdict.Rdict(str(path), options=options)
