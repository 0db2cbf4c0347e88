"""Apply shapes to files, and say in an author's words what does not fit.

Problem: pydantic speaks of `extra_forbidden` at `('entities', 0)`; an author needs the line, the
key and the advice. How: every pydantic error becomes a problem at the place of its value or key. A
list is read item by item, so that one bad item hides no error of another.
"""

from __future__ import annotations

import types
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Generic, TypeVar, Union, get_args, get_origin

from pydantic import BaseModel, ValidationError
from pydantic_core import ErrorDetails

from streamsync.governance.problems import listed, nearest
from streamsync.governance.shapes import REPORTED, SENTENCE
from streamsync.governance.yaml_source import Location, YamlFile

M = TypeVar("M", bound=BaseModel)


@dataclass(frozen=True, slots=True)
class Placed(Generic[M]):
    """An item and where it stands in its file."""

    item: M
    at: Location


@dataclass(frozen=True, slots=True)
class Section(Generic[M]):
    """The readable items of a list; `complete` when none was dropped for an error."""

    items: tuple[Placed[M], ...] = ()
    complete: bool = False


def whole(file: YamlFile, shape: type[M]) -> M | None:
    """The whole file in its shape, or None with problems reported."""
    if file.problems and file.value is None:
        return None
    if not isinstance(file.value, dict):
        keys = listed(_known_keys(shape))
        file.report((), "wrong_value", f"Expected a mapping with these keys: {keys}.")
        return None
    return _validated(file, (), file.value, shape)


def each(file: YamlFile, key: str, shape: type[M]) -> Section[M]:
    """The items of the list under the file's one key; broken items are reported and dropped."""
    if file.problems and file.value is None:
        return Section()
    if not isinstance(file.value, dict):
        file.report((), "wrong_value", f'Expected "{key}:" with a list under it.')
        return Section()
    for other in file.value.keys() - {key}:
        _unknown_key(file, (other,), {key})
    if key not in file.value:
        file.report((), "missing_key", f'"{key}" is missing: add "{key}:" with a list under it.')
        return Section()
    raw = file.value[key]
    if not isinstance(raw, list):
        text = f'"{key}" must hold a list: start each item with "- ", or write [] for none.'
        file.report((key,), "wrong_value", text)
        return Section()
    found = [(_validated(file, (key, index), item, shape), index) for index, item in enumerate(raw)]
    items = tuple(Placed(item, (key, index)) for item, index in found if item is not None)
    return Section(items, complete=len(items) == len(raw) and not file.problems)


def _validated(file: YamlFile, at: Location, raw: object, shape: type[M]) -> M | None:
    try:
        return shape.model_validate(raw)
    except ValidationError as error:
        for detail in error.errors(include_url=False):
            _report(file, at, detail, shape)
        return None


def _report(file: YamlFile, base: Location, detail: ErrorDetails, shape: type[BaseModel]) -> None:
    at = (*base, *detail["loc"])
    kind = detail["type"]
    if kind == "extra_forbidden":
        _unknown_key(file, at, _known_keys(_shape_at(shape, detail["loc"][:-1])))
    elif kind == "missing":
        file.report(at[:-1], "missing_key", f'"{at[-1]}" is missing: add it.')
    elif kind == SENTENCE:
        file.report(at, "wrong_value", detail["msg"])
    elif kind != REPORTED and detail["input"] is not None:
        file.report(at, "wrong_value", _advice(detail))


# Pydantic's findings as sentences that say what to write.
_ADVICE = {
    "string_type": "Expected a single value here, not a list or mapping.",
    "int_parsing": "{shown} is not a whole number: write digits only.",
    "int_type": "{shown} is not a whole number: write digits only.",
    "greater_than_equal": "{shown} is too low: the lowest is {ge}.",
    "literal_error": "{shown} is not one of {expected}.",
    "dict_type": 'Expected a mapping here: lines of "key: value".',
    "model_type": 'Expected a mapping here: lines of "key: value".',
    "list_type": "Expected a list here with at least one item.",
    "too_short": "Expected a list here with at least one item.",
    "bool_parsing": "{shown} is neither true nor false.",
    "bool_type": "{shown} is neither true nor false.",
}


def _advice(detail: ErrorDetails) -> str:
    found = detail["input"]
    shown = f'"{found}"' if isinstance(found, str) else "This"
    sentence = _ADVICE.get(detail["type"])
    if sentence is None:
        return f"{detail['msg']}."
    return sentence.format(shown=shown, **detail.get("ctx", {}))


def _unknown_key(file: YamlFile, at: Location, known: set[str]) -> None:
    key = str(at[-1])
    text = f'"{key}" is no key of this place.{nearest(key, known)} Known keys: {listed(known)}.'
    file.report(at, "unknown_key", text, key=True)


def _known_keys(shape: type[BaseModel]) -> set[str]:
    return {field.alias or name for name, field in shape.model_fields.items()}


def _shape_at(shape: type[BaseModel], inner: Sequence[str | int]) -> type[BaseModel]:
    """The model that a location inside `shape` leads to."""
    found: object = shape
    for step in inner:
        if isinstance(found, type) and issubclass(found, BaseModel):
            fields = {field.alias or name: field for name, field in found.model_fields.items()}
            found = fields[str(step)].annotation
        else:
            found = _element(found)
    return found if isinstance(found, type) and issubclass(found, BaseModel) else shape


def _element(annotation: object) -> object:
    """What a list, mapping or optional type holds."""
    arguments = [item for item in get_args(annotation) if item is not types.NoneType]
    origin = get_origin(annotation)
    if origin in (Union, types.UnionType) and arguments:
        return _element(arguments[0])
    if isinstance(origin, type) and issubclass(origin, Mapping):
        return arguments[1]
    return arguments[0] if arguments else annotation
