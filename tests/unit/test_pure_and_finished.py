"""Topology and core read no clock and no randomness, and no module leaves work for later."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
FORBIDDEN_MODULES = {"time", "random", "secrets", "os", "socket", "threading", "asyncio"}
FORBIDDEN_CALLS = {
    "now",
    "today",
    "utcnow",
    "uuid1",
    "uuid4",
    "urandom",
    "getrandbits",
    "id",
    "hash",
}
# The command line and the process around the graph may know the machine they run on.
PURE = [
    *sorted((ROOT / "streamsync" / "core").glob("*.py")),
    *(path for path in sorted((ROOT / "topology").glob("*.py"))
      if path.name not in ("commands.py", "worker.py")),
]  # fmt: skip
ALL = [path for top in ("streamsync", "topology") for path in sorted((ROOT / top).rglob("*.py"))]
LATER = re.compile(r"\b(TODO|FIXME|XXX|HACK|NotImplementedError)\b")


def impure(source: str) -> Iterator[str]:
    """What in a source could answer differently the next time."""
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Import):
            names = [alias.name.split(".")[0] for alias in node.names]
        elif isinstance(node, ast.ImportFrom):
            names = [(node.module or "").split(".")[0]]
        elif isinstance(node, ast.Call):
            called = node.func
            name = called.attr if isinstance(called, ast.Attribute) else getattr(called, "id", "")
            if name in FORBIDDEN_CALLS:
                yield f"line {node.lineno}: {name}()"
            continue
        else:
            continue
        yield from (f"line {node.lineno}: {name}" for name in names if name in FORBIDDEN_MODULES)


def test_topology_and_core_read_no_clock_and_no_randomness() -> None:
    assert len(PURE) > 25
    assert {path.name: found for path in PURE if (found := list(impure(path.read_text())))} == {}


@pytest.mark.parametrize(
    "source",
    ["import time", "from random import choice", "datetime.now(UTC)", "date.today()", "uuid4()",
     "hash(key)", "key = id(row)"],
)  # fmt: skip
def test_what_is_impure_is_caught(source: str) -> None:
    assert len(list(impure(source))) == 1


def test_no_module_leaves_work_for_later() -> None:
    found = [
        f"{path.relative_to(ROOT)}:{number}"
        for path in ALL
        for number, line in enumerate(path.read_text().splitlines(), start=1)
        if LATER.search(line)
    ]
    assert found == []
    assert LATER.search("raise NotImplementedError")
