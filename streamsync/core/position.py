"""Contract position: what was billed of a segment against what was earned of it.

Problem: invoices and performance run apart; what is billed ahead is deferred revenue, what is
earned ahead is an unbilled receivable, and never both for one segment (ASC 606-10-45-1). How: the
position is billed less earned; above zero it is deferred, below zero unbilled. Walking through the
days in order, each movement says how much of it falls on either side. Segments are never netted.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import date
from typing import Final

from msgspec import Struct

_BILLED_FIRST, _THEN_EARNED = 0, 1


class Billed(Struct, frozen=True, kw_only=True, array_like=True):
    """What one fact of an invoice billed of a segment; below zero when it took back.

    `contract`: the contract or usage document that the line names.
    """

    contract: str
    segment: str | None
    document: str
    fact_id: str
    currency: str
    occurred_at_ms: int
    amount_minor: int


class Movement(Struct, frozen=True):
    """One movement of a position on a day. `key`: what it is about, to order and to find it.

    `amount_minor`: billed, or earned. `unbilled_minor`: by how much unbilled grows (below zero: is
    cleared); the rest of what was earned comes out of deferred revenue.
    """

    on: date
    kind: int
    key: tuple[str, ...]
    amount_minor: int
    unbilled_minor: int = 0

    @property
    def deferred_minor(self) -> int:
        """What of an earned amount was billed before."""
        return self.amount_minor - self.unbilled_minor


BILLED: Final = _BILLED_FIRST
EARNED: Final = _THEN_EARNED


def settled(movements: Sequence[Movement]) -> tuple[list[Movement], int]:
    """The movements of one segment in order, each with its unbilled part; and the last position.

    On one day what is billed comes before what is earned.
    """
    position = 0
    found: list[Movement] = []
    for one in sorted(movements, key=lambda told: (told.on, told.kind, told.key)):
        signed = one.amount_minor if one.kind == BILLED else -one.amount_minor
        unbilled = max(-(position + signed), 0) - max(-position, 0)
        position += signed
        found.append(Movement(one.on, one.kind, one.key, one.amount_minor, unbilled))
    return found, position
