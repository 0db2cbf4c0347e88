"""Card numbers in free text are masked; ids, amounts and times are not."""

from __future__ import annotations

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from streamsync.ingress.masking import mask_cards

# Numbers that the card networks publish for tests.
CARDS = [
    "4242424242424242",
    "4000056655665556",
    "5555555555554444",
    "378282246310005",
    "6011111111111117",
    "30569309025904",
    "3566002020360505",
    "4242 4242 4242 4242",
    "4000-0566-5566-5556",
]


@pytest.mark.parametrize("card", CARDS)
def test_a_card_number_keeps_its_last_four_digits(card: str) -> None:
    body = json.dumps({"metadata": {"note": f"paid with {card}, thanks"}}).encode()
    masked = json.loads(mask_cards(body))["metadata"]["note"]
    assert card not in masked
    assert masked.startswith("paid with *") and masked.endswith(card[-4:] + ", thanks")
    assert len(masked) == len(f"paid with {card}, thanks")


@pytest.mark.parametrize(
    "value",
    [
        "cus_00000000000000",
        "in_4242424242424242",
        "4242424242424241",  # fails the check digit
        "4444444444444444",  # one digit repeated: padding
        "1648320015000",  # a time in milliseconds
        "42424242424242424242",  # too long
        "424242424242",  # too short
        4242424242424242,  # a number is an amount, not a text
    ],
)
def test_what_is_no_card_number_stays(value: object) -> None:
    body = json.dumps({"value": value}).encode()
    assert mask_cards(body) is body or mask_cards(body) == body


def test_a_body_without_cards_is_the_same_object() -> None:
    body = b'{"id":"evt_1","total":3100}'
    assert mask_cards(body) is body


@given(
    st.recursive(st.text() | st.integers(), lambda v: st.lists(v) | st.dictionaries(st.text(), v))
)
def test_masking_never_breaks_the_json(value: object) -> None:
    body = json.dumps([value, "4242424242424242", 'a"4242424242424242"\\'], ensure_ascii=False)
    masked = json.loads(mask_cards(body.encode()))
    assert masked[1:] == ["************4242", 'a"************4242"\\']
