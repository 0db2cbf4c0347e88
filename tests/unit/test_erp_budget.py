"""Blackout windows, waits, the rate, and what may leave in a message."""

from __future__ import annotations

import datetime as dt

import pytest

from streamsync.erp.budget import BlackoutInvalid, Rate, backoff_ms, read_windows
from streamsync.erp.protocol import MESSAGE_CHARS_MAX, safe_message


@pytest.mark.parametrize(
    ("window", "moment", "inside"),
    [
        ("22:00-23:30", "2026-03-15T22:00", True),
        ("22:00-23:30", "2026-03-15T23:29", True),
        ("22:00-23:30", "2026-03-15T23:30", False),
        ("23:30-00:15", "2026-03-15T00:10", True),
        ("23:30-00:15", "2026-03-15T00:15", False),
        ("sun 22:00-02:00", "2026-03-15T23:00", True),
        ("sun 22:00-02:00", "2026-03-16T01:59", True),
        ("sun 22:00-02:00", "2026-03-15T01:00", False),
        ("sun 22:00-02:00", "2026-03-16T23:00", False),
    ],
)
def test_windows_cover_their_utc_minutes(window: str, moment: str, inside: bool) -> None:
    (read,) = read_windows([window])
    assert read.covers(dt.datetime.fromisoformat(moment).replace(tzinfo=dt.UTC)) is inside


@pytest.mark.parametrize("text", ["22-23", "25:00-26:00", "someday 22:00-23:00", "22:00-22:00"])
def test_an_unclear_window_is_refused_with_its_text(text: str) -> None:
    with pytest.raises(BlackoutInvalid, match=text):
        read_windows([text])


def test_waits_double_up_to_the_ceiling() -> None:
    assert [backoff_ms(n, 100, 1_000) for n in (1, 2, 3, 4, 5, 10_000)] == [
        100,
        200,
        400,
        800,
        1_000,
        1_000,
    ]


async def test_the_rate_spreads_what_exceeds_a_second(monkeypatch: pytest.MonkeyPatch) -> None:
    waited: list[float] = []

    async def sleep(seconds: float) -> None:
        waited.append(seconds)

    monkeypatch.setattr("asyncio.sleep", sleep)
    rate = Rate(10, lambda: 0.0)
    for _ in range(4):
        await rate.take(5)
    assert waited == [0.5, 1.0]


def test_messages_are_short_and_name_nobody() -> None:
    told = safe_message(
        "Customer jane.doe@example.com,\ncard 4242 4242 4242 4242, account 4000\x00 is blocked "
        + "x" * 500
    )
    assert len(told) <= MESSAGE_CHARS_MAX
    assert "jane" not in told
    assert "4242" not in told
    assert "account 4000 is blocked" in told
    assert "\n" not in told
