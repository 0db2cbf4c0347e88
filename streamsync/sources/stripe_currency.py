"""Currencies of Stripe whose smallest unit is the minor unit of ISO 4217.

Problem: Stripe counts a few currencies in other units than ISO 4217 (ISK and UGX in hundredths
that do not exist, MGA in whole ariary), so their integers would be wrong by a factor of a hundred.
How: those are refused by name, like every code that is no currency at all.
"""

from __future__ import annotations

from streamsync.core.money import STRIPE_EXPONENTS, is_currency
from streamsync.sources.refusal import Refusal


def currency_of(code: str, place: str) -> str:
    """The ISO 4217 code in upper case; anything but a known currency is refused."""
    currency = code.upper()
    if currency in STRIPE_EXPONENTS:
        rule = "the source counts it in another unit than ISO 4217, which is not handled yet"
        raise Refusal("currency_unknown", f"{place}: {currency}: {rule}")
    if is_currency(currency):
        return currency
    # The code is quoted only when it looks like one: other text could be anything.
    shown = currency if len(code) == 3 and code.isascii() and code.isalpha() else "the text"
    raise Refusal("currency_unknown", f"{place}: {shown} is no ISO 4217 currency")


def optional_currency(code: str | None, place: str) -> str | None:
    """The same for a field that may be empty."""
    return None if code is None else currency_of(code, place)
