"""The fast JSON reader and the slow one are one: same values, same refusals, on any bytes."""

from __future__ import annotations

import json

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from streamsync.sources import strict_json
from streamsync.sources.refusal import Refusal

texts = st.text(max_size=6) | st.text(alphabet='"\\:{}[],a/', max_size=8)
values = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-(10**30), 10**30)
    | st.floats(allow_nan=False, allow_infinity=False)
    | texts,
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(texts, inner, max_size=4),
    max_leaves=12,
)
pieces = st.sampled_from(
    ['{', '}', '[', ']', ':', ',', '"', '"a"', '"b"', '\\', '\\"', '\\\\', "\\u0061", "\\ud800",
     "\\udc00", "1", "-", "-0", "1.0", "1e9", "01", ".", "NaN", "Infinity", "null", "true", " ",
     "\n", "\x0c", "\x00", "é", "\ufeff", '{"a":1,', '"a":2}', '"\\u0061":2}']
)  # fmt: skip


def outcome(read: object, body: bytes) -> tuple[object, ...]:
    """The value with its types (1, 1.0 and true are one to `==`), or the refusal."""
    assert callable(read)
    try:
        value = read(body)
    except Refusal as why:
        return why.reason, why.detail
    return repr(value), strict_json.canonical(value)


def assert_alike(body: bytes) -> None:
    assert outcome(strict_json.loads, body) == outcome(strict_json._loads_or_why, body)


@given(values, st.booleans(), st.sampled_from([None, 1]))
@settings(max_examples=500, deadline=None)
def test_values_are_read_alike(value: object, escaped: bool, indent: int | None) -> None:
    assert_alike(json.dumps(value, ensure_ascii=escaped, indent=indent).encode())


@given(values, st.data())
@settings(max_examples=500, deadline=None)
def test_damaged_texts_are_read_or_refused_alike(value: object, data: st.DataObject) -> None:
    body = json.dumps(value, ensure_ascii=False).encode()
    at = data.draw(st.integers(0, len(body)))
    gone = data.draw(st.integers(0, 3))
    put = data.draw(st.binary(max_size=2) | pieces.map(str.encode))
    assert_alike(body[:at] + put + body[at + gone :])


@given(st.lists(pieces, max_size=12).map("".join))
@settings(max_examples=1000, deadline=None)
@example('{"a":1,"\\u0061":2}')
@example('{"a:\\"":1,"a:\\"":2}')
@example('{"\\\\":{"\\\\":1},"\\\\":2}')
@example('{"a" : 1,"a":":"}')
def test_any_text_is_read_or_refused_alike(text: str) -> None:
    assert_alike(text.encode())


@pytest.mark.parametrize("depth", [strict_json.DEPTH_MAX, strict_json.DEPTH_MAX + 1, 5000])
@pytest.mark.parametrize("brackets", [("[", "]"), ('{"a":', "}"), ('[{"a":[', "]}]")])
def test_depth_is_counted_alike(depth: int, brackets: tuple[str, str]) -> None:
    opening, closing = brackets
    times = depth // opening.count("[" if opening[0] == "[" else "{")
    text = opening * times + '"][}{"' + closing * times
    assert_alike(text.encode())


def test_the_same_number_has_one_canonical_form_and_a_text_another() -> None:
    read = strict_json.loads(b'{"b": 1.50, "a": "1.50"}')

    assert strict_json.canonical(read) == b'{"a":"1.50","b":"decimal:1.50"}'
