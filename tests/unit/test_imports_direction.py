"""The shape of the code: who may import whom, and how large a thing may grow.

Problem: a layering that only a diagram tells erodes with the first urgent fix. How: the table below
is the diagram, held against every import in the tree (those inside functions too), and each rule is
also shown a source that breaks it, so that a rule that catches nothing fails.
"""

from __future__ import annotations

import ast
import json
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

ROOT = Path(__file__).parents[2]
OURS = ("streamsync", "topology", "tests")
LONGEST_FUNCTION = 70
LONGEST_FILE = 400

# The longest name that fits decides. What is not named here may import nothing of ours.
MAY_IMPORT: dict[str, tuple[str, ...]] = {
    "streamsync": (),
    "streamsync.core": (),
    "streamsync.brokers": (),
    "streamsync.config": ("streamsync.brokers",),
    "streamsync.engine": ("streamsync.core", "streamsync.brokers"),
    "streamsync.contracts": ("streamsync.core",),
    "streamsync.sources": ("streamsync.core",),
    "streamsync.governance": ("streamsync.core",),
    "streamsync.simulator": ("streamsync.core", "streamsync.sources"),
    "topology": (
        "streamsync.core",
        "streamsync.engine",
        "streamsync.contracts",
        "streamsync.sources",
        "streamsync.erp",
        "streamsync.governance",
    ),
    # Processes: the list of topics and the packages below, never each other.
    "topology.commands": ("topology", "streamsync.config", "streamsync.contracts",
                          "streamsync.governance", "streamsync.sources"),
    "topology.worker": ("topology", "streamsync.config", "streamsync.contracts",
                        "streamsync.core", "streamsync.engine"),
    "streamsync.embedded": ("streamsync.config",),
    "streamsync.ingress": ("streamsync.brokers", "streamsync.config", "streamsync.core",
                           "streamsync.contracts", "streamsync.sources", "topology.topics"),
    "streamsync.erp": ("streamsync.brokers", "streamsync.config", "streamsync.core",
                       "streamsync.contracts", "topology.topics"),
    "streamsync.refetch": ("streamsync.brokers", "streamsync.config", "streamsync.core",
                           "streamsync.contracts", "streamsync.sources", "topology.topics"),
    "streamsync.governance.broker": ("streamsync.governance", "streamsync.core",
                                     "streamsync.brokers",
                                     "streamsync.contracts", "streamsync.engine",
                                     "topology.topics"),
    "streamsync.governance.commands": ("streamsync.governance", "streamsync.core",
                                       "streamsync.config", "streamsync.contracts",
                                       "topology.topics"),
    # The demo plays all of them, and the command line names all of them.
    "streamsync.demo": ("streamsync", "topology.topics"),
    "streamsync.cli": ("streamsync", "topology.commands"),
    "streamsync.__main__": ("streamsync.cli",),
}  # fmt: skip


def modules() -> Iterator[tuple[str, Path]]:
    """Every module of the product, by its dotted name."""
    for top in ("streamsync", "topology"):
        for path in sorted((ROOT / top).rglob("*.py")):
            parts = path.relative_to(ROOT).with_suffix("").parts
            yield ".".join(part for part in parts if part != "__init__"), path


def imported(source: str) -> Iterator[str]:
    """Full names that a source imports, wherever in it."""
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, "relative imports hide the direction: write the full name"
            for alias in node.names:
                yield f"{node.module}.{alias.name}"


def below(name: str, prefix: str) -> bool:
    return name == prefix or name.startswith(f"{prefix}.")


def illegal(module: str, source: str) -> list[str]:
    """What a module imports against the table."""
    rule = max((name for name in MAY_IMPORT if below(module, name)), key=len)
    found = []
    for name in imported(source):
        top = name.split(".")[0]
        if top in OURS:
            allowed = below(name, rule) or any(below(name, one) for one in MAY_IMPORT[rule])
        elif below(module, "streamsync.core"):
            # Its records are msgspec's, which has no effects.
            allowed = top in sys.stdlib_module_names or top in {"__future__", "msgspec"}
        elif top == "faust":
            allowed = below(module, "streamsync.engine") or module == "topology"
        else:
            allowed = True
        if not allowed:
            found.append(f"{module} imports {name}")
    return found


def test_imports_follow_the_table() -> None:
    assert [fault for name, path in modules() for fault in illegal(name, path.read_text())] == []


@pytest.mark.parametrize(
    ("module", "source"),
    [
        ("streamsync.core.money", "from streamsync.contracts import Contracts"),
        ("streamsync.core.money", "import pydantic"),
        ("streamsync.engine.lane", "from topology import build"),
        ("streamsync.sources.stripe", "def late():\n    from streamsync.ingress import server"),
        ("streamsync.ingress.server", "import streamsync.erp.runner"),
        ("streamsync.ingress.server", "from topology import ledger"),
        ("streamsync.governance.load", "from streamsync.engine.lane import TopicSpec"),
        ("topology.ledger", "import faust"),
        ("streamsync.contracts.codec", "from tests import ledger_driver"),
    ],
)
def test_an_import_against_the_direction_is_caught(module: str, source: str) -> None:
    assert len(illegal(module, source)) == 1


def test_importing_any_module_does_nothing_and_loads_no_faust_outside_the_engine() -> None:
    names = [
        name
        for name, _ in modules()
        if not below(name, "streamsync.engine")
        and name not in {"streamsync.__main__", "topology.worker", "topology.web"}
    ]
    # Opening a file for writing, a socket or a process is an audit event: any of them is a fault.
    program = """
import importlib, json, sys
names = json.loads(sys.argv[1])
done = []
def watch(event, args):
    if event in ("socket.connect", "socket.bind", "subprocess.Popen", "os.mkdir"):
        done.append(event)
sys.addaudithook(watch)
for name in names:
    importlib.import_module(name)
print(json.dumps({"done": done, "faust": "faust" in sys.modules}))
"""
    told = subprocess.run(
        [sys.executable, "-c", program, json.dumps(names)],
        cwd=ROOT, capture_output=True, text=True, check=True,
    )  # fmt: skip
    assert json.loads(told.stdout) == {"done": [], "faust": False}


def inexact(source: str) -> list[str]:
    """Uses of floating point: the name, a literal, or true division."""
    found = []
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Name) and node.id == "float":
            found.append(f"line {node.lineno}: float")
        elif isinstance(node, ast.Constant) and isinstance(node.value, float | complex):
            found.append(f"line {node.lineno}: {node.value}")
        elif isinstance(node, ast.BinOp | ast.AugAssign) and isinstance(node.op, ast.Div):
            found.append(f"line {node.lineno}: /")
    return found


def test_core_has_no_floating_point() -> None:
    faults = {
        name: found
        for name, path in modules()
        if below(name, "streamsync.core") and (found := inexact(path.read_text()))
    }
    assert faults == {}


@pytest.mark.parametrize("source", ["x: float", "x = 0.5", "x = a / b", "x /= 2"])
def test_floating_point_is_caught(source: str) -> None:
    assert len(inexact(source)) == 1


def avro_types(node: Any) -> Iterator[str]:
    """Every type name in a schema."""
    if isinstance(node, str):
        yield node
    elif isinstance(node, list):
        for one in node:
            yield from avro_types(one)
    elif isinstance(node, dict):
        for key in ("type", "items", "values"):
            yield from avro_types(node.get(key, []))
        for field in node.get("fields", []):
            yield from avro_types(field["type"])


def test_contracts_have_no_floating_point() -> None:
    files = sorted((ROOT / "avro").glob("*.avsc"))
    assert files
    for path in files:
        assert not {"float", "double"} & set(avro_types(json.loads(path.read_text()))), path.name
    assert "double" in set(avro_types({"type": "array", "items": ["null", {"type": "double"}]}))


def test_modules_say_what_they_solve_and_stay_small() -> None:
    faults = []
    for name, path in modules():
        source = path.read_text()
        tree = ast.parse(source)
        if not ast.get_docstring(tree):
            faults.append(f"{name} has no docstring")
        if (lines := len(source.splitlines())) > LONGEST_FILE:
            faults.append(f"{name} has {lines} lines")
        for node in ast.walk(tree):
            if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
                length = (node.end_lineno or 0) - node.lineno + 1
                if length > LONGEST_FUNCTION:
                    faults.append(f"{name}.{node.name} has {length} lines")
    assert faults == []


def test_no_module_has_a_name_that_says_nothing() -> None:
    parts = {part for name, _ in modules() for part in name.split(".")}
    assert not parts & {"utils", "util", "helpers", "helper", "manager", "common", "misc"}


def test_the_oracle_shares_no_code_with_the_program() -> None:
    sources = sorted((ROOT / "tests" / "oracle").glob("*.py"))
    assert len(sources) > 10
    taken = {
        name
        for path in sources
        for name in re.findall(
            r"^\s*(?:from|import) (streamsync|topology)\b", path.read_text(), re.M
        )
    }
    assert taken == set()
