"""Usage: what a quantity costs by a price with tiers.

Problem: tiers count over a whole billing period, but usage is earned day by day; rating each record
by itself would price it in the wrong tier and round it away. How: the amount of a record is the
price of all usage of the period up to it, less the price of all before it, each rounded half up
once: together the records always cost exactly what the period costs, also when a volume tier is
reached and prices everything anew. Quantities and unit prices are exact decimals, never floats.
"""

from __future__ import annotations

from fractions import Fraction

from streamsync.core.company import UsagePrice, UsageTier
from streamsync.core.money import exponent, round_half_up_div


def price_of(quantity: Fraction, price: UsagePrice) -> int:
    """What a quantity of one billing period costs, minor units, rounded half up."""
    amount = MODELS[price.model](quantity, price) if quantity else Fraction(0)
    minor = amount * 10 ** exponent(price.currency)
    return round_half_up_div(minor.numerator, minor.denominator)


def _graduated(quantity: Fraction, price: UsagePrice) -> Fraction:
    """Each tier prices what falls into it, and adds its flat amount when it is reached."""
    amount, below = Fraction(0), Fraction(0)
    for tier in price.tiers:
        if quantity <= below:
            break
        top = quantity if tier.up_to is None else min(quantity, Fraction(tier.up_to))
        amount += (top - below) * Fraction(tier.unit_price) + Fraction(tier.flat_price)
        below = top
    return amount


def _volume(quantity: Fraction, price: UsagePrice) -> Fraction:
    """The tier that the whole quantity reaches prices all of it."""
    tier = next(tier for tier in price.tiers if _holds(tier, quantity))
    return quantity * Fraction(tier.unit_price) + Fraction(tier.flat_price)


def _holds(tier: UsageTier, quantity: Fraction) -> bool:
    return tier.up_to is None or quantity <= Fraction(tier.up_to)


MODELS = {"graduated": _graduated, "volume": _volume}
