"""Today's schemas can follow everything that was ever released; a breaking change fails here.

`released_schemas.json` holds the schemas of each release, oldest first, without their
documentation. Its entries are never changed; a release adds to it by running this file:
`python tests/contract/test_contracts_releases.py`.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest

from streamsync.contracts import IncompatibleSchema, SchemaRegistry
from streamsync.contracts.schemas import load_schemas

RELEASED = Path(__file__).with_name("released_schemas.json")


def released() -> dict[str, list[dict[str, Any]]]:
    """All released versions by subject, oldest first."""
    found: dict[str, list[dict[str, Any]]] = json.loads(RELEASED.read_text())
    return found


@pytest.fixture(scope="module")
def client(registry: str) -> SchemaRegistry:
    """The real registry, with everything that was ever released."""
    client = SchemaRegistry(registry)
    for subject, versions in released().items():
        for schema in versions:
            client.register(f"released.{subject}", schema)
    return client


def test_no_released_record_is_gone() -> None:
    assert set(released()) <= {f"streamsync.{name}" for name in load_schemas()}


@pytest.mark.parametrize("name", sorted(load_schemas()))
def test_todays_schema_can_follow_every_release(client: SchemaRegistry, name: str) -> None:
    assert client.register(f"released.streamsync.{name}", load_schemas()[name]) > 0


def test_a_record_without_a_released_field_could_not_follow(client: SchemaRegistry) -> None:
    (tick, *_) = released()["streamsync.Tick"]
    with pytest.raises(IncompatibleSchema, match="number"):
        client.register("released.streamsync.Tick", {**tick, "fields": tick["fields"][1:]})


def release() -> None:
    """Add today's schemas where they differ from the last released ones."""
    known = released() if RELEASED.exists() else {}
    for name, schema in sorted(load_schemas().items()):
        versions = known.setdefault(f"streamsync.{name}", [])
        today = meaning(schema)
        if not versions or versions[-1] != today:
            versions.append(today)
    lines = [
        f" {json.dumps(subject)}: [\n  {schemas}\n ]"
        for subject, versions in sorted(known.items())
        for schemas in [",\n  ".join(json.dumps(one, sort_keys=True) for one in versions)]
    ]
    RELEASED.write_text("{\n" + ",\n".join(lines) + "\n}\n")


def meaning(node: Any) -> Any:
    """A schema without its documentation, which may be improved at any time."""
    if isinstance(node, list):
        return [meaning(one) for one in node]
    if isinstance(node, Mapping):
        return {key: meaning(value) for key, value in node.items() if key != "doc"}
    return node


if __name__ == "__main__":
    release()
