"""What a document should have in the books, as values.

Problem: whoever computes the books and whoever posts them must mean the same. How: entries with the
four parts of their identity, and one outcome for each fact that made none.
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import date
from typing import TYPE_CHECKING

from msgspec import Struct, field

from streamsync.core.position import Billed
from streamsync.core.template import EntryLine

if TYPE_CHECKING:
    from streamsync.core.standing import Standing


class Entry(Struct, frozen=True):
    """One balanced entry; its identity is fact, purpose, part and natural period."""

    fact_id: str
    purpose: str
    part: str
    natural_period: str
    date: date
    currency: str
    lines: tuple[EntryLine, ...]
    gateway_reference: str | None = None


class Waiting(Struct, frozen=True):
    """A fact that cannot be booked yet."""

    fact_id: str
    reason: str
    detail: str


class NoEntry(Struct, frozen=True):
    """A fact that is understood and books nothing."""

    fact_id: str
    reason: str


class Refused(Struct, frozen=True):
    """A fact that breaks a rule."""

    fact_id: str
    reason: str
    detail: str


class Books(Struct, frozen=True):
    """What a document should have in the books, and what becomes of each of its facts.

    `next_release`: date of the earliest release that is not due yet. `billed`: what the document
    billed of contracts. `measures`: running amounts that no entry shows, minor units.
    `standing`: from where a later fact can be booked alone.
    """

    entries: tuple[Entry, ...]
    waiting: tuple[Waiting, ...]
    no_entry: tuple[NoEntry, ...]
    refused: tuple[Refused, ...]
    next_release: date | None
    billed: tuple[Billed, ...] = ()
    measures: Mapping[str, int] = field(default_factory=dict)
    standing: Standing | None = None
