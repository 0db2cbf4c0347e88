"""Recorded events in files: an object, an array, JSON lines, or a list as the API exports it.

Problem: people keep events in whatever layout their export had, and a signature or a hash needs
the bytes of each event, not of the file. How: the layout is recognised from the content; each
event's own bytes are cut out unchanged, with the file and line where it starts. What is no JSON is
passed on as it is: the reader of the source says what is wrong with it, and it stays counted.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Iterator
from pathlib import Path

_SPACE = re.compile(r"[ \t\r\n]*")
_LINES = frozenset({".jsonl", ".ndjson"})
_DECODER = json.JSONDecoder()


class FilesInvalid(Exception):
    """A file cannot be read; the text names it and what to do."""


def read_payload_files(paths: Iterable[Path]) -> Iterator[tuple[str, bytes]]:
    """Each event as (`file:line`, its bytes), in the order of the files."""
    for path in paths:
        try:
            if path.suffix in _LINES:
                yield from _lines(path)
            else:
                yield from _documents(path, path.read_bytes())
        except OSError as error:
            raise FilesInvalid(
                f"{path}: cannot be read ({error.strerror or type(error).__name__}); give files "
                "with recorded events: .json or .jsonl."
            ) from error


def _lines(path: Path) -> Iterator[tuple[str, bytes]]:
    with path.open("rb") as file:
        for number, line in enumerate(file, 1):
            body = line.strip()
            if body:
                yield f"{path}:{number}", body


def _documents(path: Path, content: bytes) -> Iterator[tuple[str, bytes]]:
    try:
        text = content.decode()
        spans = list(_spans(text))
    except (ValueError, RecursionError):
        # One broken file is one broken event; the reader gives the reason.
        yield f"{path}:1", content
        return
    line, seen = 1, 0
    for start, end in spans:
        line += text.count("\n", seen, start)
        seen = start
        yield f"{path}:{line}", text[start:end].encode()


def _skip(text: str, at: int) -> int:
    found = _SPACE.match(text, at)
    return found.end() if found else at


def _spans(text: str) -> Iterator[tuple[int, int]]:
    """Where each event of a file starts and ends; ValueError when the text is not JSON."""
    at = _skip(text, 0)
    while at < len(text):
        value, end = _DECODER.raw_decode(text, at)
        if isinstance(value, list):
            yield from _elements(text, at)
        elif isinstance(value, dict) and value.get("object") == "list" and "data" in value:
            yield from _elements(text, _member(text, at, "data"))
        else:
            yield at, end
        at = _skip(text, end)


def _elements(text: str, at: int) -> Iterator[tuple[int, int]]:
    """The elements of the array that starts at `at`; the text was decoded before, so it is JSON."""
    if text[at] != "[":
        raise ValueError("a list without an array")
    at = _skip(text, at + 1)
    while text[at] != "]":
        _, end = _DECODER.raw_decode(text, at)
        yield at, end
        at = _skip(text, end)
        if text[at] == ",":
            at = _skip(text, at + 1)


def _member(text: str, at: int, name: str) -> int:
    """Where the value of the last member `name` of the object at `at` starts."""
    found = -1
    at = _skip(text, at + 1)
    while text[at] != "}":
        key, end = _DECODER.raw_decode(text, at)
        at = _skip(text, _skip(text, end) + 1)
        if key == name:
            found = at
        _, end = _DECODER.raw_decode(text, at)
        at = _skip(text, end)
        if text[at] == ",":
            at = _skip(text, at + 1)
    return found
