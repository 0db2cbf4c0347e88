"""Money: integer minor units, their exponents, and division that loses nothing.

Problem: amounts come in units that depend on the currency, and shares of an amount rarely divide
evenly; a cent lost here is a difference in the books. How: ISO 4217 exponents as a table, exact
integer division with a stated rounding, and allocation whose parts always add up to the whole.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Final

# ISO 4217 List One as published on 2026-01-01 (current currency and funds codes; SIX Financial
# Information, maintenance agency of the standard). Codes without a minor unit (gold, testing,
# special drawing rights) are left out: nobody bills in them.
_DECIMALS_0: Final = "BIF CLP DJF GNF ISK JPY KMF KRW PYG RWF UGX UYI VND VUV XAF XOF XPF"
_DECIMALS_3: Final = "BHD IQD JOD KWD LYD OMR TND"
_DECIMALS_4: Final = "CLF UYW"
_DECIMALS_2: Final = """
    AED AFN ALL AMD AOA ARS AUD AWG AZN BAM BBD BDT BMD BND BOB BOV BRL BSD BTN BWP BYN BZD CAD CDF
    CHE CHF CHW CNY COP COU CRC CUP CVE CZK DKK DOP DZD EGP ERN ETB EUR FJD FKP GBP GEL GHS GIP GMD
    GTQ GYD HKD HNL HTG HUF IDR ILS INR IRR JMD KES KGS KHR KPW KYD KZT LAK LBP LKR LRD LSL MAD MDL
    MGA MKD MMK MNT MOP MRU MUR MVR MWK MXN MXV MYR MZN NAD NGN NIO NOK NPR NZD PAB PEN PGK PHP PKR
    PLN QAR RON RSD RUB SAR SBD SCR SDG SEK SGD SHP SLE SOS SRD SSP STN SVC SYP SZL THB TJS TMT TOP
    TRY TTD TWD TZS UAH USD USN UYU UZS VED VES WST XAD XCD XCG YER ZAR ZMW ZWG
"""
# ISO 4217 List Three: withdrawn, but documents of earlier years are still corrected in it.
_WITHDRAWN_2: Final = "ANG BGN CUC HRK SLL STD VEF ZMK ZWL"

EXPONENTS: Final[Mapping[str, int]] = {
    code: digits
    for digits, codes in (
        (0, _DECIMALS_0),
        (2, _DECIMALS_2),
        (2, _WITHDRAWN_2),
        (3, _DECIMALS_3),
        (4, _DECIMALS_4),
    )
    for code in codes.split()
}

STRIPE_EXPONENTS: Final[Mapping[str, int]] = {"ISK": 2, "MGA": 0, "UGX": 2}
"""Where Stripe counts in other units than ISO 4217 (its page on zero-decimal currencies)."""


class UnknownCurrency(ValueError):
    """A code that is not in the ISO 4217 table."""


def is_currency(code: str) -> bool:
    """Whether a code, in upper case, is a currency that can be billed."""
    return code in EXPONENTS


def exponent(currency: str) -> int:
    """Decimal digits of the minor unit."""
    try:
        return EXPONENTS[currency]
    except KeyError:
        raise UnknownCurrency(
            f'"{currency}" is not an ISO 4217 currency: use the three-letter code in capitals.'
        ) from None


def iso_minor(amount: int, currency: str, exceptions: Mapping[str, int]) -> int:
    """An amount in a source's own units as ISO 4217 minor units.

    `exceptions`: the source's exponents where they differ. An amount that has no whole number of
    ISO minor units is refused, never rounded.
    """
    digits = exponent(currency)
    given = exceptions.get(currency, digits)
    if given <= digits:
        return amount * int(10 ** (digits - given))
    minor, rest = divmod(amount, int(10 ** (given - digits)))
    if rest:
        raise ValueError(f"{amount} with {given} decimals is no whole minor unit of {currency}.")
    return minor


def format_minor(amount: int, currency: str) -> str:
    """Minor units for a person: `1234` USD is `12.34`, `1234` JPY is `1234`."""
    digits = exponent(currency)
    sign = "-" if amount < 0 else ""
    text = str(abs(amount)).rjust(digits + 1, "0")
    return f"{sign}{text[:-digits]}.{text[-digits:]}" if digits else f"{sign}{text}"


def round_half_up_div(numerator: int, denominator: int) -> int:
    """The quotient rounded to the nearest integer; a half goes away from zero, as in commerce."""
    if denominator == 0:
        raise ZeroDivisionError("A share of nothing has no value.")
    negative = (numerator < 0) != (denominator < 0)
    whole = (2 * abs(numerator) + abs(denominator)) // (2 * abs(denominator))
    return -whole if negative else whole


def share_of_tax(taxes: Sequence[int], part: int, whole: int, rounding: str) -> int:
    """The tax in a part of what several taxes are on, half up.

    `rounding`: `document` rounds the share of all of them once, `line` that of each by itself.
    """
    if rounding == "line":
        return sum(round_half_up_div(tax * part, whole) for tax in taxes)
    return round_half_up_div(sum(taxes) * part, whole)


def allocate(total: int, weights: Sequence[int]) -> list[int]:
    """Shares of `total` in proportion to `weights` that add up to it exactly.

    Each share is rounded down; what remains goes, one unit each, to the largest remainders, ties
    to the earlier position.
    """
    if any(weight < 0 for weight in weights):
        raise ValueError("A weight is below zero: shares need weights of at least 0.")
    whole = sum(weights)
    if whole == 0:
        if total:
            raise ValueError(f"{total} cannot be shared: all weights are 0.")
        return [0] * len(weights)
    size = abs(total)
    shares = [size * weight // whole for weight in weights]
    # A remainder is less than one unit, so fewer units are left than positions have a remainder.
    by_remainder = sorted(range(len(weights)), key=lambda at: (-(size * weights[at] % whole), at))
    for at in by_remainder[: size - sum(shares)]:
        shares[at] += 1
    return shares if total >= 0 else [-share for share in shares]
