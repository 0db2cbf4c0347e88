"""Records with the names of their fields, for people and JSON.

Problem: rows are kept as arrays, since names would be more than half of what a posting takes on
disk and in its changelog; and msgspec shows a record as it would write it. How: the names come from
the class.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from msgspec import Struct


def by_name(told: Any) -> Any:
    """A record, and every record inside, as a dictionary; tuples as lists, the rest as it is."""
    if isinstance(told, Struct):
        return {name: by_name(getattr(told, name)) for name in told.__struct_fields__}
    if isinstance(told, (tuple, list)):
        return [by_name(one) for one in told]
    if isinstance(told, Mapping):
        return {key: by_name(one) for key, one in told.items()}
    return told
