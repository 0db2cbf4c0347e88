"""Exchange rates of a company as an item of the control topic, and back.

Problem: rates change daily and must not need a new version of all rules. How: `rates.yaml` has a
version of its own and travels as its own item; whoever streams rates publishes the same items.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import date

import msgspec

from streamsync.core.money import is_currency
from streamsync.core.rate import RATE_TYPES, Rate, is_rate
from streamsync.core.records import ReferenceData
from streamsync.governance.payload import content_hash

RATES_KIND = "fx_rates"


def rates_item(
    tenant: str,
    rates: Sequence[Rate],
    *,
    version: int,
    published_by: str,
    approved_by: str | None = None,
    item_id: str = "rates",
) -> ReferenceData:
    """Rates as an item of the control topic; in force when they arrive."""
    ordered = sorted(rates, key=lambda rate: (rate.rate_type, rate.base, rate.quote, rate.date))
    payload = msgspec.json.encode(ordered, order="sorted").decode()
    return ReferenceData(
        tenant=tenant,
        kind=RATES_KIND,
        id=item_id,
        version=version,
        active_from_tick=0,
        effective_from=min((rate.date for rate in rates), default="1970-01-01"),
        payload=payload,
        content_hash=content_hash(payload),
        published_by=published_by,
        approved_by=approved_by,
    )


def rates_of(item: ReferenceData) -> tuple[Rate, ...]:
    """The rates of an item; ValueError names the first that is none."""
    try:
        told = msgspec.json.decode(item.payload, type=tuple[Rate, ...])
    except (msgspec.DecodeError, msgspec.ValidationError) as error:
        raise ValueError(f"The payload holds no exchange rates: {error}.") from error
    for rate in told:
        wrong = rate_problem(rate)
        if wrong is not None:
            raise ValueError(f"{rate.rate_id}: {wrong}")
    return told


def rate_problem(rate: Rate) -> str | None:
    """What is wrong with a rate, as a sentence; None when nothing is."""
    for currency in (rate.base, rate.quote):
        if not is_currency(currency):
            return f'There is no currency "{currency}": use a code of ISO 4217 in capitals.'
    if rate.base == rate.quote:
        return f"{rate.base} to itself needs no rate: remove it."
    if rate.rate_type not in RATE_TYPES:
        return f'"{rate.rate_type}" is no type of rate: use {" or ".join(RATE_TYPES)}.'
    if not is_rate(rate.rate):
        return f'"{rate.rate}" is no rate: write a decimal number above 0, such as "1.0825".'
    try:
        date.fromisoformat(rate.date)
    except ValueError:
        return f'"{rate.date}" is not a date: write it as YYYY-MM-DD.'
    return None
