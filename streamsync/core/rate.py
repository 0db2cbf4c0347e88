"""Exchange rates: what they are, how they are named, and how an amount is converted.

Problem: a rate kept as a float is another rate, and a posting must name for ever the one that it
was valued at. How: a rate is the decimal text that was published, used exactly, in whole numbers.
"""

from __future__ import annotations

import re
from functools import lru_cache

from msgspec import Struct

from streamsync.core.money import exponent, round_half_up_div
from streamsync.core.records import ForeignExchange

RATE_TYPES = ("spot", "closing")
_DECIMAL = re.compile(r"(\d{1,12})(?:\.(\d{1,12}))?")


class Rate(Struct, frozen=True, kw_only=True):
    """One unit of `base` is `rate` (a decimal string) units of `quote` on an ISO date."""

    rate_type: str
    base: str
    quote: str
    date: str
    rate: str
    source: str
    version: int

    @property
    def rate_id(self) -> str:
        """Names this rate for ever, in this version."""
        return f"{self.rate_type}:{self.base}/{self.quote}:{self.date}:{self.version}"

    def record(self) -> ForeignExchange:
        """As a posting command tells it."""
        return ForeignExchange(
            rate=self.rate,
            rate_type=self.rate_type,
            date=self.date,
            source=self.source,
            rate_id=self.rate_id,
        )


def frozen_rate(told: ForeignExchange, base: str, quote: str) -> Rate:
    """The rate that an accepted command was valued at."""
    return Rate(
        rate_type=told.rate_type,
        base=base,
        quote=quote,
        date=told.date,
        rate=told.rate,
        source=told.source,
        version=int(told.rate_id.rsplit(":", 1)[1]) if told.rate_id else 0,
    )


@lru_cache(maxsize=1024)
def identity_rate(currency: str, on: str) -> Rate:
    """Of a currency to itself."""
    return Rate(
        rate_type="identity",
        base=currency,
        quote=currency,
        date=on,
        rate="1",
        source="identity",
        version=0,
    )


def is_rate(text: str) -> bool:
    """A decimal number above zero, without sign or exponent."""
    return _DECIMAL.fullmatch(text) is not None and bool(text.strip("0."))


def convert(amount_minor: int, rate: Rate) -> int:
    """Minor units of the rate's base as minor units of its quote, a half away from zero."""
    found = _DECIMAL.fullmatch(rate.rate)
    if found is None:
        raise ValueError(f"{rate.rate} is no rate: write a decimal number such as 1.0825.")
    decimals = found.group(2) or ""
    numerator, denominator = int(found.group(1) + decimals), int(10 ** len(decimals))
    shift = exponent(rate.quote) - exponent(rate.base)
    if shift >= 0:
        numerator *= int(10**shift)
    else:
        denominator *= int(10**-shift)
    return round_half_up_div(amount_minor * numerator, denominator)
