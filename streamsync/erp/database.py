"""A SQLite file that keeps what it was told, whatever happens to the machine.

Problem: the adapter's outbox and the simulated ERP's books must survive a kill and a power failure,
and half a change must never be seen. How: one way to open such a file, and one to change it.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path


def open_database(path: Path | str, schema: str) -> sqlite3.Connection:
    """The file, with its tables; nothing is changed outside of `transaction`."""
    database = sqlite3.connect(path, isolation_level=None)
    database.execute("PRAGMA journal_mode = WAL")
    # Survives a power failure: what the ERP may have booked is never forgotten.
    database.execute("PRAGMA synchronous = FULL")
    database.execute("PRAGMA foreign_keys = ON")
    database.executescript(schema)
    return database


@contextmanager
def transaction(database: sqlite3.Connection) -> Iterator[None]:
    """All or nothing; must not be held across an await."""
    database.execute("BEGIN IMMEDIATE")
    try:
        yield
    except BaseException:
        database.execute("ROLLBACK")
        raise
    database.execute("COMMIT")
