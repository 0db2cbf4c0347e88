"""A data directory belongs to one worker of one app.

Problem: two workers on one directory would find each other's databases locked one by one, in the
middle of a rebalance, and a directory of another app would be wiped database by database as not
fitting. How: a lock on a file in it, which a killed process loses by itself, and in that file
whose directory it is.
"""

from __future__ import annotations

import fcntl
import json
import os
from pathlib import Path

LAYOUT = 1
"""Of files and databases below the directory; a program reads its own only."""

_FILE = "worker.lock"


class DataDirectoryRefused(Exception):
    """The directory is in use, or not this app's; the message says which and what to do."""


def claim(folder: Path, app_id: str) -> int:
    """Take the directory until this process ends; gives the open file that holds the lock."""
    folder.mkdir(parents=True, exist_ok=True)
    held = os.open(folder / _FILE, os.O_RDWR | os.O_CREAT, 0o600)
    try:
        fcntl.flock(held, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError as error:
        os.close(held)
        raise DataDirectoryRefused(
            f"Another worker runs on the data directory {folder}: stop it, or give this one a "
            "directory of its own."
        ) from error
    found = os.pread(held, 4_096, 0)
    if not found:
        os.pwrite(held, json.dumps({"app": app_id, "layout": LAYOUT}).encode(), 0)
        return held
    owner = _owner(found)
    if owner != (app_id, LAYOUT):
        os.close(held)
        raise DataDirectoryRefused(
            f"The data directory {folder} belongs to app {owner[0]!r}, layout {owner[1]}; this is "
            f"app {app_id!r}, layout {LAYOUT}: give it a directory of its own. What is in the "
            "other one can be rebuilt from Kafka, by the app that it belongs to."
        )
    return held


def _owner(text: bytes) -> tuple[object, object]:
    try:
        told = json.loads(text)
        return told["app"], told["layout"]
    except (ValueError, TypeError, KeyError):
        return "unknown", "unknown"
