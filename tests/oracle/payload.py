"""Typed reads from parsed JSON.

The problem: a body may hold anything. How: each read says what it expects and raises
`RejectedError` with a reason when the body holds something else.
"""

import json
from typing import Any

Obj = dict[str, Any]


class RejectedError(Exception):
    """A record that cannot be taken; the text is the reason."""


def whole(obj: Obj, key: str) -> int:
    """A required integer."""
    value = obj.get(key)
    if not isinstance(value, int) or isinstance(value, bool):
        raise RejectedError(f"not_an_integer {key}")
    return value


def text(obj: Obj, key: str) -> str:
    """A required, non-empty string."""
    value = obj.get(key)
    if not isinstance(value, str) or not value:
        raise RejectedError(f"not_a_string {key}")
    return value


def reference(obj: Obj, key: str) -> str | None:
    """The id of another object, given bare or expanded; None when there is none."""
    value = obj.get(key)
    if isinstance(value, dict):
        value = value.get("id")
    if value is None:
        return None
    if not isinstance(value, str):
        raise RejectedError(f"not_a_reference {key}")
    return value


def objects(obj: Obj, key: str) -> list[Obj]:
    """A list of objects, given as a bare list or a Stripe list; missing means empty."""
    value = obj.get(key)
    if isinstance(value, dict):
        value = value.get("data")
    if value is None:
        return []
    if not isinstance(value, list) or not all(isinstance(item, dict) for item in value):
        raise RejectedError(f"not_a_list {key}")
    return value


def whole_or(obj: Obj, key: str, fallback: int) -> int:
    """An integer, else the fallback when it is missing."""
    return fallback if obj.get(key) is None else whole(obj, key)


def transition(invoice: Obj, key: str, fallback: int) -> int:
    """One of an invoice's status transitions."""
    transitions = invoice.get("status_transitions")
    return whole_or(transitions, key, fallback) if isinstance(transitions, dict) else fallback


def parsed(body: bytes) -> Obj:
    """The body as a JSON object."""
    try:
        event = json.loads(body)
    except ValueError as error:
        raise RejectedError("not_json") from error
    if not isinstance(event, dict):
        raise RejectedError("not_an_object")
    return event
