"""JSON from outside, read strictly.

Problem: ordinary JSON readers accept what two systems may read differently: duplicate keys (which
one counts?), NaN, text that is not Unicode, nesting that exhausts the stack, and numbers as binary
floats. How: each of them is refused with a reason; numbers with a fraction become Decimal.

Nearly every payload is in order, and every webhook is read here, so a fast reader goes first. It is
as strict but for duplicate keys and depth, which the text outside of strings tells: a colon is a
member, a bracket a level. What it refuses goes to the slow reader, which says why.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from decimal import Decimal, DecimalException

import msgspec

from streamsync.sources.refusal import Refusal

DEPTH_MAX = 40
"""Stripe nests about twelve levels deep; forty leaves room and keeps every later walk shallow."""


class Number(Decimal):
    """A number with a fraction or exponent; a class of its own, so that no text encodes alike."""


def _number(value: object) -> str:
    # Marked, so that the number 1.5 and the text "1.5" differ.
    return f"decimal:{value}"


_FAST = msgspec.json.Decoder(float_hook=Number)
_CANONICAL = msgspec.json.Encoder(order="sorted", enc_hook=_number)
_ONE_BRACKET = bytes.maketrans(b"{}", b"[]")
_NO_BRACKETS = bytes(byte for byte in range(256) if byte not in b"[]{}")


class _DuplicateKey(Exception):
    pass


class _NotFinite(Exception):
    pass


def _object(pairs: list[tuple[str, object]]) -> dict[str, object]:
    members = dict(pairs)
    if len(members) != len(pairs):
        raise _DuplicateKey
    return members


def _constant(_: str) -> object:
    raise _NotFinite


# One decoder for all calls: building it per payload costs more than reading a small payload.
_DECODER = json.JSONDecoder(object_pairs_hook=_object, parse_float=Number, parse_constant=_constant)


def _children(value: object) -> Iterator[object]:
    if isinstance(value, dict):
        yield from value.values()
    elif isinstance(value, list):
        yield from value


def _check_depth(value: object) -> None:
    level = [value]
    for _ in range(DEPTH_MAX):
        level = [
            child
            for parent in level
            for child in _children(parent)
            if isinstance(child, dict | list)
        ]
        if not level:
            return
    raise Refusal("payload_too_deep", f"payload: nested deeper than {DEPTH_MAX} levels")


def _check_text(text: str, value: object) -> None:
    # A lone surrogate can enter only by an escape; such text could never be stored as UTF-8.
    if "\\ud" not in text.lower():
        return
    try:
        json.dumps(value, ensure_ascii=False, default=str).encode()
    except UnicodeEncodeError as error:
        raise Refusal("payload_not_json", "payload: text with half a surrogate pair") from error


def loads(body: bytes) -> object:
    """The value of a JSON text, or `Refusal`; never another exception."""
    try:
        value: object = _FAST.decode(body)
        told = _outside_strings(body)
        kept = _outside_strings(_CANONICAL.encode(value))
    except (msgspec.MsgspecError, ValueError, DecimalException, RecursionError):
        return _loads_or_why(body)
    if told.count(b":") != kept.count(b":") or not _is_shallow(told):
        return _loads_or_why(body)
    return value


def _outside_strings(text: bytes) -> bytes:
    """What of a valid JSON text stands outside of its strings."""
    if b"\\" in text:
        # Escapes stand in strings only, and are read from the left: first the escaped backslashes.
        text = text.replace(b"\\\\", b"").replace(b'\\"', b"")
    return b"".join(text.split(b'"')[::2])


def _is_shallow(outside: bytes) -> bool:
    """Whether a valid text nests at most DEPTH_MAX levels; each round takes the innermost off."""
    brackets = outside.translate(_ONE_BRACKET, _NO_BRACKETS)
    for _ in range(DEPTH_MAX):
        if not brackets:
            return True
        brackets = brackets.replace(b"[]", b"")
    return not brackets


def _loads_or_why(body: bytes) -> object:
    """As `loads`, by the slow reader, which knows the broken rule and its place."""
    try:
        text = body.decode()
    except UnicodeDecodeError as error:
        raise Refusal("payload_not_json", f"payload: not UTF-8 at byte {error.start}") from error
    try:
        value = _DECODER.decode(text)
    except json.JSONDecodeError as error:
        place = f"line {error.lineno} column {error.colno}"
        raise Refusal("payload_not_json", f"payload: not JSON at {place}") from error
    except _DuplicateKey as error:
        raise Refusal("payload_key_repeated", "payload: an object has a key twice") from error
    except _NotFinite as error:
        raise Refusal("payload_number_invalid", "payload: NaN or Infinity") from error
    except (ValueError, DecimalException) as error:
        raise Refusal("payload_number_invalid", "payload: a number is too long") from error
    except RecursionError as error:
        detail = f"payload: nested deeper than {DEPTH_MAX} levels"
        raise Refusal("payload_too_deep", detail) from error
    _check_depth(value)
    _check_text(text, value)
    return value


def canonical(value: object) -> bytes:
    """The same bytes for the same value, whatever its layout and order of keys."""
    return _CANONICAL.encode(value)
