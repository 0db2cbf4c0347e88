"""Currencies of Stripe, and their amounts in the minor units of ISO 4217.

Problem: Stripe counts a few currencies in other units than ISO 4217 (ISK and UGX in hundredths
that do not exist, MGA in whole ariary), so their integers would be wrong by a factor of a hundred.
How: facts are read in Stripe's own units, so that sums are checked as they were told; every amount
of a finished fact is then converted. What is no whole minor unit is refused, never rounded.
"""

from __future__ import annotations

from typing import Any

from msgspec import Struct
from msgspec.structs import fields, replace

from streamsync.core.facts import BalanceTransaction, Fact
from streamsync.core.money import STRIPE_EXPONENTS, is_currency, iso_minor
from streamsync.sources.refusal import Refusal


def currency_of(code: str, place: str) -> str:
    """The ISO 4217 code in upper case; anything but a known currency is refused."""
    currency = code.upper()
    if is_currency(currency):
        return currency
    # The code is quoted only when it looks like one: other text could be anything.
    shown = currency if len(code) == 3 and code.isascii() and code.isalpha() else "the text"
    raise Refusal("currency_unknown", f"{place}: {shown} is no ISO 4217 currency")


def optional_currency(code: str | None, place: str) -> str | None:
    """The same for a field that may be empty."""
    return None if code is None else currency_of(code, place)


def in_iso_units(fact: Fact) -> Fact:
    """A fact with every amount in ISO minor units; most currencies are counted in them already."""
    # A balance transaction has a currency of its own and is converted where it is read.
    if fact.currency is None or fact.currency not in STRIPE_EXPONENTS:
        return fact
    try:
        converted: Fact = _converted(fact, fact.currency)
    except ValueError as error:
        raise Refusal("amount_not_integer", f"{fact.kind}: {error}") from error
    return converted


def _converted(value: Any, currency: str) -> Any:
    if isinstance(value, tuple):
        return tuple(_converted(one, currency) for one in value)
    if not isinstance(value, Struct) or isinstance(value, BalanceTransaction):
        return value
    changed = {
        field.name: iso_minor(told, currency, STRIPE_EXPONENTS)
        if field.name.endswith("_minor") and isinstance(told, int)
        else _converted(told, currency)
        for field in fields(value)
        for told in (getattr(value, field.name),)
    }
    return replace(value, **changed)
