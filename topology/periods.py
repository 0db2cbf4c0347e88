"""Accounting periods: their status, and where something of a natural date may post.

Problem: a reported month must not change, whatever arrives; and what arrives must not be lost.
How: each entity and ledger has a status per period (open, soft-closed, closed, reopened), told in
the one order of the control topic. What belongs to a period that does not take it goes to the
earliest later one that does, and keeps its original period.
"""

from __future__ import annotations

from msgspec import Struct

from streamsync.core.calendar import next_period
from streamsync.core.company import Company
from streamsync.core.period_status import OPEN, STATUSES
from streamsync.core.records import PeriodStatus
from streamsync.engine.lane import Poison
from topology.rows import PERIOD, row_key
from topology.turn import Turn

_PERIODS_AHEAD_MAX = 120


class Place(Struct, frozen=True):
    """Where an entry posts. `basis`: natural, or rolled into a later period."""

    period: str
    posting_date: str
    basis: str


def receive_period(turn: Turn, status: PeriodStatus) -> bool:
    """Take a period's status; false when a version at least as high is known."""
    if status.status not in STATUSES:
        known = ", ".join(STATUSES)
        told = f'period {status.period} of {status.entity}: "{status.status}" is not one of {known}'
        raise Poison("period_status_unknown", told)
    key = row_key(status.tenant, status.entity, status.ledger, status.period)
    known_status = turn.shard.get(PERIOD, key)
    if known_status is not None and known_status.version >= status.version:
        return False
    turn.shard.put(PERIOD, key, status)
    return True


def place(
    turn: Turn,
    company: Company,
    book: tuple[str, str],
    purpose: str,
    natural: tuple[str, str],
    not_before: str = "",
) -> Place | None:
    """Where something of a natural period and date may post; None when no period takes it.

    `book`: entity and ledger. `not_before`: a period; what is rolled goes there or later.
    """
    (period, day), basis = natural, "natural"
    for _ in range(_PERIODS_AHEAD_MAX):
        if _takes(turn, company, book, period, purpose):
            return Place(period, day, basis)
        period, basis = max(next_period(period), not_before), "rolled"
        day = f"{period}-01"
    return None


def _takes(turn: Turn, company: Company, book: tuple[str, str], period: str, purpose: str) -> bool:
    known = turn.shard.get(PERIOD, row_key(company.tenant, *book, period))
    if known is None or known.status in OPEN:
        return True
    return known.status == "soft_closed" and purpose in company.soft_close_takes
