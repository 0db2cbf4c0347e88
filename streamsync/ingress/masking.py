"""Card numbers that someone typed into a free text are masked before anything is stored.

Problem: a note or a metadata field may hold a card number, which may be kept nowhere. How: inside
JSON strings, a run of 13 to 19 digits (spaces or hyphens between them allowed) that starts like a
card and passes the Luhn check keeps its last four digits; the length of the body and its JSON stay
the same. Ids (`cus_…`) and bare numbers are left alone: digits joined to a letter or `_` are no
card number, and a number outside a string is an amount or a time.
"""

from __future__ import annotations

import re

_STRING = re.compile(rb'"(?:[^"\\]|\\.)*"', re.DOTALL)
# Card numbers start with 2 to 6; a time in milliseconds starts with 1.
_CANDIDATE = re.compile(rb"(?<![0-9A-Za-z_])[2-6](?:[ -]?[0-9]){12,18}(?![0-9A-Za-z_])")
_SHOWN = 4


def _luhn(digits: bytes) -> bool:
    total = 0
    for at, code in enumerate(reversed(digits)):
        digit = code - 48
        if at % 2:
            digit = digit * 2 - 9 if digit > 4 else digit * 2
        total += digit
    return total % 10 == 0


def _mask(found: re.Match[bytes]) -> bytes:
    text = found.group()
    digits = re.sub(rb"[^0-9]", b"", text)
    if len(set(digits)) == 1 or not _luhn(digits):
        return text
    hidden = len(digits) - _SHOWN
    masked = bytearray(text)
    for at, code in enumerate(text):
        if hidden and 48 <= code <= 57:
            masked[at] = ord("*")
            hidden -= 1
    return bytes(masked)


def mask_cards(body: bytes) -> bytes:
    """The body with every card number in its texts masked; the same bytes when there is none."""
    if not _CANDIDATE.search(body):
        return body
    return _STRING.sub(lambda found: _CANDIDATE.sub(_mask, found.group()), body)
