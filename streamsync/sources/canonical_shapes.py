"""The JSON shape of a canonical event, made from the facts that it becomes.

Problem: a company's own systems tell facts that no billing system knows (usage, contracts,
wallets), and a shape written beside the facts would drift from them. How: one strict pydantic model
per record of `core.facts`, made from its fields once at import: unknown keys are refused, types
are exact, amounts are integers of minor units within bounds, times are RFC 3339 text with an
offset. A time's field `occurred_at_ms` is written `occurred_at`.
"""

from __future__ import annotations

import re
import types
import typing
from datetime import UTC, datetime, timedelta
from typing import Annotated, Any, Final

from msgspec import NODEFAULT, Struct
from msgspec.structs import fields
from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, create_model
from pydantic_core import PydanticCustomError

from streamsync.core.facts import Fact
from streamsync.sources.stripe_payload import AMOUNT_MAX, ID_LENGTH_MAX, SECONDS_MAX

VERSION: Final = "1"
REASON: Final = "streamsync_reason"
"""Errors of this type carry the reason code as their context `reason`, and the rule as text."""

# Every other amount is at least 0; a direction or a kind says the rest.
_SIGNED: Final = frozenset({"change_minor", "starting_balance_minor", "ending_balance_minor"})
_COUNT_MAX: Final = 2**31 - 1
_ITEMS_MAX: Final = 10_000
_EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)
_QUANTITY: Final = re.compile(r"(-?)[0-9]{1,15}(\.[0-9]{1,12})?", re.ASCII)


class Shape(BaseModel):
    """Base of all pieces."""

    model_config = ConfigDict(strict=True, extra="forbid", frozen=True)


def _broken(reason: str, rule: str) -> PydanticCustomError:
    return PydanticCustomError(REASON, "{rule}", {"reason": reason, "rule": rule})


def _moment(value: object) -> object:
    """RFC 3339 text as epoch milliseconds."""
    try:
        moment = datetime.fromisoformat(value) if isinstance(value, str) else None
    except ValueError:
        moment = None
    if moment is None or moment.tzinfo is None:
        raise _broken("field_type_wrong", "a time with its offset, as 2026-01-31T12:00:00Z")
    return (moment - _EPOCH) // timedelta(milliseconds=1)


def _quantity(value: object) -> object:
    """A decimal number as text, at least 0."""
    match = _QUANTITY.fullmatch(value) if isinstance(value, str) else None
    if match is None:
        raise _broken("field_type_wrong", 'a decimal number as text, as "12.5"')
    if match[1]:
        raise _broken("quantity_negative", f"{match[0]}, at least 0 is required")
    return value


_Moment = Annotated[int, BeforeValidator(_moment), Field(ge=0, le=SECONDS_MAX * 1000)]
_Amount = Annotated[int, Field(ge=0, le=AMOUNT_MAX)]
_SignedAmount = Annotated[int, Field(ge=-AMOUNT_MAX, le=AMOUNT_MAX)]
_Count = Annotated[int, Field(ge=0, le=_COUNT_MAX)]
_Text = Annotated[str, Field(min_length=1, max_length=ID_LENGTH_MAX)]
_Quantity = Annotated[str, BeforeValidator(_quantity)]


def _type_of(name: str, hint: Any) -> Any:  # noqa: PLR0911 -- one answer per kind of type
    """What a field of this name and type accepts."""
    if isinstance(hint, types.UnionType):
        (rest,) = [one for one in typing.get_args(hint) if one is not types.NoneType]
        return _type_of(name, rest) | None
    if typing.get_origin(hint) is tuple:
        item = _type_of(name, typing.get_args(hint)[0])
        return Annotated[list[item], Field(max_length=_ITEMS_MAX)]  # type: ignore[valid-type]
    if isinstance(hint, type) and issubclass(hint, Struct):
        return model_of(hint)
    if hint is int:
        return _number(name)
    if hint is str:
        return _Quantity if name == "quantity" else _Text
    return hint


def _number(name: str) -> Any:
    if name.endswith("_ms"):
        return _Moment
    if name.endswith("_minor"):
        return _SignedAmount if name in _SIGNED else _Amount
    return _Count


_MODELS: dict[type, type[Shape]] = {}


def model_of(record: type[Struct]) -> type[Shape]:
    """The strict model of a record of facts."""
    if record not in _MODELS:
        _MODELS[record] = create_model(record.__name__, __base__=Shape, **_fields_of(record))
    return _MODELS[record]


def _fields_of(record: type[Struct]) -> dict[str, Any]:
    hints = typing.get_type_hints(record)
    found = {}
    for field in fields(record):
        alias = field.name.removesuffix("_ms")
        # A default means that the field may be left out; the record fills it in.
        needed = field.default is NODEFAULT
        default: Any = ... if needed else None
        accepted = _type_of(field.name, hints[field.name])
        found[field.name] = (accepted if needed else accepted | None, Field(default, alias=alias))
    return found


def as_record(record: type[Struct], piece: Shape) -> Any:
    """The record of a piece; what it leaves out has the record's default."""
    hints = typing.get_type_hints(record)
    values = {
        field.name: _as_value(hints[field.name], getattr(piece, field.name))
        for field in fields(record)
        if field.name in piece.model_fields_set and getattr(piece, field.name) is not None
    }
    return record(**values)


def _as_value(hint: Any, value: Any) -> Any:
    if isinstance(hint, types.UnionType):
        (hint,) = [one for one in typing.get_args(hint) if one is not types.NoneType]
    if typing.get_origin(hint) is tuple:
        return tuple(_as_value(typing.get_args(hint)[0], item) for item in value)
    if isinstance(value, Shape):
        return as_record(hint, value)
    return value


def _event_fields() -> dict[str, Any]:
    told = _fields_of(Fact)
    told["fact_id"] = (_Text | None, Field(None, alias="fact_id"))
    return told | {
        "streamsync": (_Text, ...),
        "id": (_Text, ...),
        "account": (_Text, ...),
        "source": (_Text | None, None),
    }


Event: type[Shape] = create_model("Event", __base__=Shape, **_event_fields())
"""A canonical event: the fields of its one fact, and the envelope around them."""
