"""When the disk or a database fails.

Problem: a full disk passes and a damaged file does not, but neither may lose a row, give a wrong
answer or end the worker: everything in a local database can be had from its changelog. So every
failure of a database becomes `DatabaseTrouble`, and the partition is recovered: on the database
as it is, opened anew, once it can be written again; on an empty one when RocksDB's checksums say
that it is damaged. Until then the partition is not ready and says so.
"""

from __future__ import annotations

from pathlib import Path


class DatabaseTrouble(Exception):
    """A local database can't be read or written; the partition must be recovered."""

    def __init__(self, path: Path, why: str, *, damaged: bool) -> None:
        if damaged:
            told = f"The database {path} is damaged and is rebuilt from its changelog: {why}"
        else:
            told = (
                f"The database {path} can't be used now: {why}. The partition waits; look for a "
                "full or failing disk, nothing is lost."
            )
        super().__init__(told)
        self.damaged = damaged


def trouble_of(error: Exception, path: Path) -> DatabaseTrouble | None:
    """What RocksDB's error means for a database; `None` when it is another kind of error.

    The client library raises plain exceptions that begin with RocksDB's own name of the status;
    those of the files that it keeps beside the database end with the system's number.
    """
    why = str(error)
    damaged = why.startswith("Corruption")
    of_disk = isinstance(error, OSError) or why.startswith("IO error") or "(os error " in why
    if not damaged and not of_disk:
        return None
    return DatabaseTrouble(path, why, damaged=damaged)
