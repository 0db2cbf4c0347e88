"""Committed rows in RocksDB, one database per partition, as a Faust store.

Problem: Faust's own RocksDB store writes row by row, opens a 2 GiB cache for each partition and
knows nothing of source positions. A lane needs rows, changelog offset and position written at
once, or a crash between them would repeat or skip records.

Next to the rows each database holds the changelog offset that it contains (under Faust's own
key, so that Faust's tools read it), the source position that belongs to it, the id of the
changelog topic, so that a database is never read against a recreated topic, and when it was last
written. Faust's tables read these rows too; only lanes write them.
"""

from __future__ import annotations

import logging
import shutil
import threading
import time
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from functools import cache, partial
from typing import Any

import rocksdict
from faust.stores import rocksdb

from streamsync.engine.port import MARKER, Marker
from streamsync.engine.trouble import DatabaseTrouble, trouble_of

log = logging.getLogger(__name__)

_TOPIC_ID = b"\0topic"
_WRITTEN = b"\0written"
_AFTER_ALL_KEYS = b"\xff"  # keys are UTF-8, or begin with a zero
# Of all databases of the process together, however many partitions it has.
_CACHE_BYTES = 64 << 20
_WRITE_BUFFERS_BYTES = 64 << 20
_WRITE_BUFFER_BYTES = 4 << 20


@dataclass(frozen=True, slots=True)
class Stored:
    """How far a database is; `None` where it holds nothing."""

    changelog_offset: int | None
    marker: Marker | None
    topic_id: str | None
    written_ms: int | None = None


Failed = Callable[[Exception], Exception]
"""What to raise for an error of RocksDB."""


class DatabaseRows:
    """A row store over one database."""

    __slots__ = ("_database", "_failed")

    def __init__(self, database: Any, failed: Failed) -> None:
        self._database = database
        self._failed = failed

    def get(self, key: bytes) -> bytes | None:
        try:
            value: bytes | None = self._database.get(key)
        except Exception as error:
            raise self._failed(error) from error
        return value

    def seek(self, start: bytes) -> Iterator[tuple[bytes, bytes]]:
        return _seek(self._database, start, self._failed)


class SnapshotRows:
    """A row store over a snapshot: what was committed at one moment."""

    __slots__ = ("_failed", "_snapshot")

    def __init__(self, database: Any, failed: Failed) -> None:
        self._snapshot = database.snapshot()
        self._failed = failed

    def get(self, key: bytes) -> bytes | None:
        # A snapshot has no get() that tells an absent key from an error.
        for found, value in self.seek(key):
            return value if found == key else None
        return None

    def seek(self, start: bytes) -> Iterator[tuple[bytes, bytes]]:
        return _seek(self._snapshot, start, self._failed)


def _seek(source: Any, start: bytes, failed: Failed) -> Iterator[tuple[bytes, bytes]]:
    """Rows from a key on, to the end.

    The client library's own iterator also just ends where a damaged block begins, so what stands
    behind the last row is looked at once more.
    """
    last = start
    try:
        for row in source.items(from_key=start):
            last = row[0]
            yield row
        behind = source.iter()
        behind.seek(last)
        if behind.valid():
            behind.next()
        behind.status()
    except Exception as error:
        raise failed(error) from error


@cache
def _memory() -> tuple[Any, Any]:
    """The memory that all databases share."""
    buffers = rocksdict.WriteBufferManager(_WRITE_BUFFERS_BYTES, allow_stall=False)
    return rocksdict.Cache(_CACHE_BYTES), buffers


class LaneStore(rocksdb.Store):
    """The store of a lane's table."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self._opening = threading.Lock()
        self._troubled: dict[int, bool] = {}
        """Partitions whose database failed, and whether it is damaged."""

    def rows(self, partition: int) -> DatabaseRows:
        return DatabaseRows(self._db_for_partition(partition), partial(self._failed, partition))

    def snapshot(self, partition: int) -> SnapshotRows:
        return SnapshotRows(self._db_for_partition(partition), partial(self._failed, partition))

    def stored(self, partition: int) -> Stored:
        """How far the database is; one that failed is opened anew, empty if it is damaged."""
        self._mend(partition)
        rows = self.rows(partition)
        offset, marker = rows.get(self.offset_key), rows.get(MARKER)
        topic_id, written = rows.get(_TOPIC_ID), rows.get(_WRITTEN)
        return Stored(
            None if offset is None else int(offset),
            None if marker is None else Marker.decode(marker),
            None if topic_id is None else topic_id.decode(),
            None if written is None else int(written),
        )

    def changelog_offset(self, partition: int) -> int | None:
        """For whoever only looks: `None` also where the database fails, which it is left to."""
        try:
            offset = self.rows(partition).get(self.offset_key)
        except DatabaseTrouble:
            return None
        return None if offset is None else int(offset)

    def bind(self, partition: int, topic_id: str) -> None:
        """Remember which changelog topic this database belongs to."""
        batch = rocksdict.WriteBatch(raw_mode=True)
        batch.put(_TOPIC_ID, topic_id.encode())
        batch.put(_WRITTEN, b"%d" % (time.time() * 1_000))
        self._write(partition, batch)

    def write(
        self,
        partition: int,
        rows: Iterable[tuple[bytes, bytes | None]],
        changelog_offset: int,
        marker: Marker,
    ) -> None:
        """Rows, changelog offset and position in one atomic write."""
        batch = self._batch(rows, changelog_offset)
        batch.put(MARKER, marker.encode())
        self._write(partition, batch)

    def write_part(
        self, partition: int, rows: Iterable[tuple[bytes, bytes | None]], changelog_offset: int
    ) -> None:
        """Rows whose position is still to come; until then there is none."""
        batch = self._batch(rows, changelog_offset)
        batch.delete(MARKER)
        self._write(partition, batch)

    def _write(self, partition: int, batch: Any) -> None:
        database = self._db_for_partition(partition)
        try:
            database.write(batch)
        except Exception as error:
            raise self._failed(partition, error) from error

    def _batch(self, rows: Iterable[tuple[bytes, bytes | None]], changelog_offset: int) -> Any:
        batch = rocksdict.WriteBatch(raw_mode=True)
        put, delete = batch.put, batch.delete
        for key, value in rows:
            if value is None:
                delete(key)
            else:
                put(key, value)
        put(self.offset_key, b"%d" % changelog_offset)
        put(_WRITTEN, b"%d" % (time.time() * 1_000))
        return batch

    def wipe(self, partition: int) -> None:
        """Delete every row; the changelog has everything that the database had.

        Not the files: a view may still hold the database open, and with it its lock.
        """
        database = self._db_for_partition(partition)
        try:
            database.delete_range(b"", _AFTER_ALL_KEYS)
        except Exception as error:
            raise self._failed(partition, error) from error

    # -- databases that fail

    def _failed(self, partition: int, error: Exception) -> Exception:
        trouble = trouble_of(error, self.partition_path(partition))
        if trouble is None:
            return error
        self._troubled[partition] = trouble.damaged or self._troubled.get(partition, False)
        return trouble

    def _mend(self, partition: int) -> None:
        """Let go of a database that failed; the next use opens it, or an empty one."""
        with self._opening:  # nobody opens what is being deleted
            damaged = self._troubled.pop(partition, None)
            if damaged is None:
                return
            database = self._dbs.pop(partition, None)
            if database is not None:
                try:
                    database.close()
                except Exception as error:  # noqa: BLE001  (it failed, so it may fail to close)
                    log.info("A database that failed was left open: %s", error)
            if damaged:
                shutil.rmtree(self.partition_path(partition), ignore_errors=True)

    # -- what Faust's tables read: rows of partitions that this worker owns, no others

    def _get(self, key: bytes) -> bytes | None:
        for database in self._dbs_for_actives():
            value: bytes | None = database.get(key)
            if value is not None:
                return value
        return None

    def _contains(self, key: bytes) -> bool:
        return self._get(key) is not None

    def _visible_keys(self, db: Any) -> Iterator[bytes]:
        for key, _ in self._visible_items(db):
            yield key

    def _visible_items(self, db: Any) -> Iterator[tuple[bytes, bytes]]:
        for key, value in super()._visible_items(db):
            if not key.startswith(b"\0"):  # the engine's own
                yield key, value

    def _db_for_partition(self, partition: int) -> Any:
        # Threads of recovery, standbys and views; a second open would find the first one's lock.
        database = self._dbs.get(partition)
        if database is None:
            with self._opening:
                database = super()._db_for_partition(partition)
        return database

    async def _try_open_db_for_partition(self, *_args: Any, **_settings: Any) -> None:
        """Faust would end the worker over a database that doesn't open; recovery mends it."""

    def _open_for_partition(self, partition: int) -> Any:
        block_cache, write_buffers = _memory()
        table = rocksdict.BlockBasedOptions()
        table.set_bloom_filter(10, block_based=False)
        table.set_block_cache(block_cache)
        options = rocksdict.Options(raw_mode=True)
        options.create_if_missing(True)
        options.set_write_buffer_manager(write_buffers)
        options.set_write_buffer_size(_WRITE_BUFFER_BYTES)
        options.set_max_write_buffer_number(3)
        options.set_block_based_table_factory(table)
        path = self.partition_path(partition)
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            return rocksdict.Rdict(str(path), options=options)
        except Exception as error:
            raise self._failed(partition, error) from error
