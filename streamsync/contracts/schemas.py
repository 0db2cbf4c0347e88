"""The Avro schemas of `avro/`, each with what it refers to.

Problem: shared types are written once, in files of their own, but a registry wants every schema
complete in itself. How: all files are read, references are resolved by name, and a type is spelled
out where a schema uses it first.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from functools import lru_cache
from pathlib import Path
from typing import Any

NAMESPACE = "streamsync"


class SchemaFileError(Exception):
    """A file in `avro/` is not usable; the message names it and says what to do."""


def schema_folder() -> Path:
    """Where the `.avsc` files lie: in the package, which in a checkout links to `avro/`."""
    return Path(__file__).parent / "avro"


@lru_cache(maxsize=4)
def load_schemas(folder: Path | None = None) -> Mapping[str, Mapping[str, Any]]:
    """Record name to complete schema (all references spelled out)."""
    files: dict[str, Any] = {}
    where = folder or schema_folder()
    for path in sorted(where.glob("*.avsc")):
        try:
            schema = json.loads(path.read_text(encoding="utf-8"))
        except ValueError as error:
            raise SchemaFileError(f"{path.name}: not valid JSON ({error}): correct it.") from error
        files[f"{schema['namespace']}.{schema['name']}"] = schema
    if not files:
        raise SchemaFileError(f"No .avsc file found in {where}: reinstall streamsync.")
    return {schema["name"]: _complete(schema, files, set()) for schema in files.values()}


def _complete(node: Any, files: Mapping[str, Any], spelled: set[str]) -> Any:
    if isinstance(node, str):
        known = node in files and node not in spelled
        return _complete(files[node], files, spelled) if known else node
    if isinstance(node, list):
        return [_complete(item, files, spelled) for item in node]
    if isinstance(node, dict):
        if node.get("type") == "record":
            spelled.add(f"{node['namespace']}.{node['name']}")
            fields = [
                {**field, "type": _complete(field["type"], files, spelled)}
                for field in node["fields"]
            ]
            return {**node, "fields": fields}
        changed = {
            key: _complete(node[key], files, spelled) for key in ("items", "values") if key in node
        }
        return {**node, **changed}
    return node
