"""Exchange rates: keep what is published, and find the one for an entry.

Problem: rates come late, are corrected, and may be too old to book by; an entry must not use one
that nobody can explain. How: one row per currency pair, kind and month; a higher version replaces
a rate, an entry that was accepted keeps the one it was valued at. A look-up answers with a rate or
with what is missing, and the arrival of rates releases what waits.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from datetime import date, timedelta

from msgspec import Struct

from streamsync.core.books import Entry
from streamsync.core.calendar import period_of
from streamsync.core.company import CurrencyRules, Entity
from streamsync.core.fx import NoRate
from streamsync.core.rate import Rate, frozen_rate, identity_rate
from streamsync.core.records import ReferenceData
from streamsync.engine.lane import Poison
from streamsync.governance.rates import rates_of
from topology.rows import RATES, PostingRow, RateMonth, row_key
from topology.turn import Turn

_LOOK_BACK_MONTHS = 24


def receive_rates(turn: Turn, item: ReferenceData) -> bool:
    """Take published rates; false when none of them is new."""
    try:
        told = rates_of(item)
    except ValueError as error:
        raise Poison("rules_malformed", str(error)) from error
    months: dict[str, RateMonth] = {}
    changed = False
    for rate in told:
        key = _month_key(item.tenant, rate.rate_type, rate.base, rate.quote, rate.date[:7])
        month = months.get(key) or turn.shard.get(RATES, key) or RateMonth({})
        known = month.days.get(rate.date)
        if known is None or known.version < rate.version:
            months[key] = RateMonth(dict(sorted((month.days | {rate.date: rate}).items())))
            changed = True
    for key, month in months.items():
        turn.shard.put(RATES, key, month)
    return changed


class DocumentRates(Struct, frozen=True):
    """The rates for one document's entries; those of accepted entries are frozen."""

    turn: Turn
    tenant: str
    entity: Entity
    rules: CurrencyRules
    key_of: Callable[[Entry], str]
    postings: Mapping[str, PostingRow]

    def rate(self, entry: Entry, rate_type: str) -> Rate | NoRate:
        """The frozen rate of an entry, else the latest that is known and young enough.

        A foreign document may have entries in the entity's own currency (a fee as it was settled),
        and one in the own currency foreign fees: nobody publishes a rate of a currency to itself.
        """
        base, quote = entry.currency, self.entity.functional_currency
        if base == quote:
            return identity_rate(base, entry.date.isoformat())
        row = self.postings.get(self.key_of(entry))
        if row is not None and row.accepted is not None and row.accepted.lines:
            return frozen_rate(row.accepted.fx, base, quote)
        if row is not None and row.in_flight is not None:
            return frozen_rate(row.in_flight.command.fx, base, quote)
        lag = self.rules.rate_lag_days if rate_type == "spot" else 0
        wanted = entry.date - timedelta(days=lag)
        return self._latest(rate_type, base, quote, wanted)

    def _latest(self, rate_type: str, base: str, quote: str, wanted: date) -> Rate | NoRate:
        month = wanted.replace(day=1)
        for _ in range(_LOOK_BACK_MONTHS):
            key = _month_key(self.tenant, rate_type, base, quote, period_of(month))
            row = self.turn.shard.get(RATES, key)
            days = [day for day in row.days if day <= wanted.isoformat()] if row else []
            if row is not None and days:
                return self._young_enough(row.days[max(days)], wanted)
            month = (month - timedelta(days=1)).replace(day=1)
        return NoRate(
            "fx_rate_not_found",
            f"{rate_type} rate {base} to {quote} for {self.entity.id} on {wanted.isoformat()}",
        )

    def _young_enough(self, rate: Rate, wanted: date) -> Rate | NoRate:
        age = (wanted - date.fromisoformat(rate.date)).days
        if age <= self.rules.rate_age_days_max:
            return rate
        return NoRate(
            "fx_rate_stale",
            f"{rate.rate_type} rate {rate.base} to {rate.quote} for {self.entity.id} on "
            f"{wanted.isoformat()}: the latest is {rate.rate} of {rate.date}, {age} days old; "
            f"at most {self.rules.rate_age_days_max} are allowed",
        )


def _month_key(tenant: str, rate_type: str, base: str, quote: str, period: str) -> str:
    return row_key(tenant, rate_type, base, quote, period)
