"""The manifest file: what the simulated ERP did wrong, one JSON object per line.

Problem: the closing screen of a demo is only believable beside an account of the injected faults
that the system under test never touches. How: the whole file is written anew and renamed into
place on every change; there are few faults, and a reader never sees half a line.
"""

from __future__ import annotations

import json
import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any


class ManifestFile:
    """Writes the rows when they differ from what was last written."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._written: str | None = None

    def write(self, rows: Sequence[Mapping[str, Any]]) -> None:
        """Make the file say exactly `rows`."""
        text = "".join(json.dumps(row) + "\n" for row in rows)
        if text == self._written:
            return
        fresh = self._path.with_suffix(".new")
        fresh.write_text(text, encoding="utf-8")
        os.replace(fresh, self._path)
        self._written = text
