"""Currencies of Stripe whose smallest unit is the minor unit of ISO 4217.

Problem: Stripe counts three currencies in other units than ISO 4217 (ISK and UGX in hundredths
that do not exist, MGA in whole ariary), so their integers would be wrong by a factor of a hundred.
How: a table of those that agree; every other code is refused, with its place.
"""

from __future__ import annotations

from streamsync.sources.refusal import Refusal

_AGREEING = frozenset(
    """
    AED AFN ALL AMD ANG AOA ARS AUD AWG AZN BAM BBD BDT BGN BHD BIF BMD BND BOB BRL BSD BWP BYN BZD
    CAD CDF CHF CLP CNY COP CRC CVE CZK DJF DKK DOP DZD EGP ETB EUR FJD FKP GBP GEL GIP GMD GNF GTQ
    GYD HKD HNL HTG HUF IDR ILS INR JMD JOD JPY KES KGS KHR KMF KRW KWD KYD KZT LAK LBP LKR LRD LSL
    MAD MDL MKD MMK MNT MOP MUR MVR MWK MXN MYR MZN NAD NGN NIO NOK NPR NZD OMR PAB PEN PGK PHP PKR
    PLN PYG QAR RON RSD RUB RWF SAR SBD SCR SEK SGD SHP SLE SOS SRD SZL THB TJS TND TOP TRY TTD TWD
    TZS UAH USD UYU UZS VND VUV WST XAF XCD XOF XPF YER ZAR ZMW
    """.split()
)


def currency_of(code: str, place: str) -> str:
    """The ISO 4217 code in upper case; anything but a known currency is refused."""
    currency = code.upper()
    if currency in _AGREEING:
        return currency
    # The code is quoted only when it looks like one: other text could be anything.
    shown = currency if len(code) == 3 and code.isascii() and code.isalpha() else "the text"
    raise Refusal("currency_unknown", f"{place}: {shown} is no currency that Stripe bills in")


def optional_currency(code: str | None, place: str) -> str | None:
    """The same for a field that may be empty."""
    return None if code is None else currency_of(code, place)
