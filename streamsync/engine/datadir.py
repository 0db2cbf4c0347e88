"""A data directory belongs to one worker of one app.

Problem: two workers on one directory would find each other's databases locked one by one, in the
middle of a rebalance, and a directory of another app would be wiped database by database as not
fitting. How: a lock on a file in it, which a killed process loses by itself, and in that file
whose directory it is. A disk that is full passes, so a worker that comes up on one waits, as one
that runs does.
"""

from __future__ import annotations

import errno
import fcntl
import json
import logging
import os
import time
from collections.abc import Callable
from pathlib import Path

log = logging.getLogger(__name__)

LAYOUT = 1
"""Of files and databases below the directory; a program reads its own only."""

_FILE = "worker.lock"


class DataDirectoryRefused(Exception):
    """The directory is in use, or not this app's; the message says which and what to do."""


_FULL = {errno.ENOSPC, errno.EDQUOT}
_LOOK_EVERY_S = 0.5
_TELL_EVERY = 20


def claim(
    folder: Path, app_id: str, *, wait: Callable[[], None] = lambda: time.sleep(_LOOK_EVERY_S)
) -> int:
    """Take the directory until this process ends; gives the open file that holds the lock.

    Blocks while the disk is full. Raises `DataDirectoryRefused`, or what else the system says.
    """
    tried = 0
    while True:
        try:
            return _claim(folder, app_id)
        except OSError as error:
            if error.errno not in _FULL:
                raise
            if tried % _TELL_EVERY == 0:
                log.warning(
                    "The worker can't start yet: the disk of its data directory %s is full (%s). "
                    "It waits for space; nothing is lost.", folder, error.strerror,
                )  # fmt: skip
            tried += 1
            wait()


def _claim(folder: Path, app_id: str) -> int:
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
        try:
            os.pwrite(held, json.dumps({"app": app_id, "layout": LAYOUT}).encode(), 0)
        except OSError:
            os.close(held)
            raise
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
