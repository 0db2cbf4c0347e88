"""What a demo run is told: its size, its folders, its addresses.

Problem: a dozen parts of a run need the same few decisions. How: one immutable value, made from the
command line; the folder of a run is its own, and is emptied before the next one so that every run
is the same.
"""

from __future__ import annotations

import fcntl
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from streamsync.config import Settings
from streamsync.embedded import Server

_MARKER = "this-folder-belongs-to-streamsync-demo"


class DemoError(Exception):
    """The demo can't go on; the text says what happened and what to do."""


@dataclass(frozen=True, slots=True, kw_only=True)
class DemoOptions:
    """A run. `settings` holds the addresses and, as data folder, the folder of this run.

    `own_broker`: Kafka and the registry are started, and stopped, by the demo.
    """

    settings: Settings
    company_dir: Path
    seed: int
    days: int
    accounts: int
    workers: int
    once: bool
    as_json: bool
    export_dir: Path | None
    own_broker: bool = True

    @property
    def folder(self) -> Path:
        """The run's own folder."""
        return self.settings.data_dir

    @property
    def worker_ports(self) -> tuple[int, ...]:
        """Web ports of the workers, the first one as configured."""
        first = self.settings.worker_web_port
        return tuple(range(first, first + self.workers))


@contextmanager
def fresh_folder(folder: Path) -> Iterator[None]:
    """Empty the run's folder, which must be the demo's own, and keep other runs away from it."""
    if folder.exists() and any(folder.iterdir()) and not (folder / _MARKER).exists():
        raise DemoError(
            f"{folder} holds files that are not the demo's; move them, or choose another "
            "folder with --data-dir."
        )
    folder.mkdir(parents=True, exist_ok=True)
    with (folder / _MARKER).open("w") as marker:
        try:
            fcntl.flock(marker, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            raise DemoError(
                f"Another demo runs in {folder}; stop it, or choose another folder with "
                "--data-dir and other ports."
            ) from None
        _end_leftovers(folder)
        for inside in folder.iterdir():
            if inside.is_dir() and not inside.is_symlink():
                shutil.rmtree(inside)
            elif inside.name != _MARKER:
                inside.unlink()
        yield


def _end_leftovers(folder: Path) -> None:
    """End what a run that was killed left behind, before its records are deleted."""
    # The broker's records lie deepest: what uses it ends before it, and so ends quickly.
    for record in sorted(folder.rglob("*.pid"), key=lambda found: len(found.parts)):
        Server(
            record.stem, folder=record.parent, command=lambda: (), answers=lambda: False
        ).end_leftover()
