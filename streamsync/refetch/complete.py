"""Which part of a stored webhook is missing, and the webhook with that part put in.

Problem: Stripe embeds ten lines and names a balance transaction by its id; the rest has to be
asked for, and what comes back must not change what the event said. How: only the missing part is
fetched and put into the event as it was told; the completed event has the id of its original and
a suffix, so that the ledger knows which record it completes.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from decimal import Decimal
from typing import Any

import msgspec

from streamsync.sources.envelope import FETCHED
from streamsync.sources.refusal import Refusal
from streamsync.sources.strict_json import loads

# Numbers keep their digits: a rate must not go through a binary float.
_ENCODER = msgspec.json.Encoder(decimal_format="number")


@dataclass(frozen=True, slots=True)
class Want:
    """What to ask for: a path, whether it is a list of pages, and where it belongs.

    `field`: the field of `data.object`.
    """

    path: str
    is_list: bool
    field: str
    api_version: str | None


_LISTS = {
    "invoice": ("lines", "/v1/invoices/{id}/lines"),
    "credit_note": ("lines", "/v1/credit_notes/{id}/lines"),
    "charge": ("refunds", "/v1/charges/{id}/refunds"),
}


def wanted(body: bytes, *, fees: bool) -> Want | None:
    """What a stored Stripe webhook lacks; None when nothing, or when it cannot be read.

    `fees`: ask for the balance transactions of charges, too.
    """
    event = _event(body)
    told = _object(event)
    version = event.get("api_version")
    api_version = version if isinstance(version, str) else None
    name, kind = told.get("id"), told.get("object")
    if str(event.get("id", "")).endswith(FETCHED) or not _is_id(name):
        return None
    field, path = _LISTS.get(str(kind), ("", ""))
    listed = told.get(field)
    if isinstance(listed, dict) and listed.get("has_more") is True:
        return Want(path.format(id=name), True, field, api_version)
    movement = told.get("balance_transaction")
    if fees and kind == "charge" and _is_id(movement):
        return Want(f"/v1/balance_transactions/{movement}", False, "balance_transaction", version)
    return None


def completed(body: bytes, want: Want, found: Any) -> bytes:
    """The event with the fetched part in place."""
    event = dict(_event(body))
    told = dict(_object(event))
    told[want.field] = (
        {"object": "list", "data": found, "has_more": False} if want.is_list else found
    )
    event["id"] = f"{event['id']}{FETCHED}"
    event["data"] = {**_mapping(event.get("data")), "object": told}
    return _ENCODER.encode(_plain(event))


def _event(body: bytes) -> Mapping[str, Any]:
    try:
        return _mapping(loads(body))
    except Refusal:
        return {}


def _object(event: Mapping[str, Any]) -> Mapping[str, Any]:
    return _mapping(_mapping(event.get("data")).get("object"))


def _mapping(value: object) -> Mapping[str, Any]:
    return value if isinstance(value, dict) else {}


def _is_id(value: object) -> bool:
    """An id as Stripe makes them: nothing in it can change the path that it becomes part of."""
    return isinstance(value, str) and value.isascii() and value.replace("_", "").isalnum()


def _plain(value: Any) -> Any:
    """The strict reader's own number class as the encoder knows it."""
    if isinstance(value, Decimal):
        return Decimal(value)
    if isinstance(value, dict):
        return {name: _plain(one) for name, one in value.items()}
    return [_plain(one) for one in value] if isinstance(value, list) else value
