"""Canonical events of a life: one envelope for usage, wallets, contracts and adjusted tax."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

from .life import Event

if TYPE_CHECKING:
    from .biller import Biller


def tell(  # noqa: PLR0917
    biller: Biller, name: str, kind: str, document: str, more: dict[str, Any], text: str
) -> None:
    """A canonical event of the biller's customer, now; `name`: how its id begins."""
    body: dict[str, Any] = {
        "streamsync": "1",
        "id": f"{name}_{biller.name()}",
        "kind": kind,
        "source": "stripe",
        "account": biller.customer,
        "document": document,
        "currency": biller.market.currency.upper(),
        "occurred_at": at(biller.clock),
    } | more
    biller.events.append(Event(biller.clock, body, text))


def at(seconds: int) -> str:
    """RFC 3339."""
    return moment(datetime.fromtimestamp(seconds, UTC))


def moment(when: datetime) -> str:
    """RFC 3339."""
    return when.isoformat().replace("+00:00", "Z")
