"""What new rules would change in the journal, before they are in force: by entity, period, account.

Problem: whoever approves rules must see their effect on real documents, not guess it. How: the same
events go through the same topology twice, by the rules in force and by the new ones; the journals
are summed by entity, natural period, account and currency, and only what differs is told.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from datetime import date

from msgspec import Struct

from streamsync.core.company import Company
from streamsync.core.records import Customer, PostingCommand, RawWebhook, ReferenceData
from topology import offline

Place = tuple[str, str, str, str, str]
"""Entity, natural period, account, role, currency."""


class Difference(Struct, frozen=True):
    """Net movement (debit less credit, minor units) of one account, by both rules."""

    entity: str
    period: str
    account: str
    role: str
    currency: str
    before_minor: int
    after_minor: int

    @property
    def change_minor(self) -> int:
        """What the new rules add."""
        return self.after_minor - self.before_minor


class Replay(Struct, frozen=True):
    """The differences, and how many source records change their class."""

    differences: tuple[Difference, ...]
    counts_before: dict[str, int]
    counts_after: dict[str, int]


def replay(
    old: Company,
    new: Company,
    customers: Sequence[Customer],
    webhooks: Sequence[RawWebhook],
    *,
    rates: ReferenceData | None = None,
    through: date | None = None,
    between: tuple[str, str] = ("0000-01-01", "9999-12-31"),
) -> Replay:
    """Run the events by both rules and compare; `between`: accounting dates, both included."""
    made = [
        offline.play(company, customers, webhooks, rates=rates, through=through)
        for company in (old, new)
    ]
    before, after = (_net(journal.commands, between) for journal in made)
    places = sorted(before.keys() | after.keys())
    return Replay(
        tuple(
            Difference(*place, before.get(place, 0), after.get(place, 0))
            for place in places
            if before.get(place, 0) != after.get(place, 0)
        ),
        made[0].counts,
        made[1].counts,
    )


def _net(commands: Iterable[PostingCommand], between: tuple[str, str]) -> dict[Place, int]:
    found: dict[Place, int] = {}
    for one in commands:
        if not between[0] <= one.document_date <= between[1]:
            continue
        for line in one.lines:
            place = (one.entity, one.original_period, line.account, line.role, one.txn_currency)
            amount = line.amount_minor if line.side == "debit" else -line.amount_minor
            found[place] = found.get(place, 0) + amount
    return found
