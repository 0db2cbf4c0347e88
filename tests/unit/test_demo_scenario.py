"""What the demo plays is cut into days so that no event is told after its own day was closed."""

from __future__ import annotations

import json
from datetime import UTC, date, datetime, timedelta
from zoneinfo import ZoneInfo

import pytest

from streamsync.demo.scenario import in_newer_shape, make_scenario, quiet_days
from streamsync.simulator import simulate

ZONES = (ZoneInfo("America/New_York"), ZoneInfo("Asia/Tokyo"))


def test_every_delivery_and_every_customer_is_played_once_in_order() -> None:
    scenario = make_scenario(3, 60, 60, "acme")
    played = [body for day in scenario.days for body in day.bodies]
    told = simulate(3, 60, 60, newer=in_newer_shape, metered=True)
    assert played == [event.body for event in told]
    assert sum(len(day.customers) for day in scenario.days) == 60


def test_a_day_ends_when_its_date_is_over_in_every_time_zone() -> None:
    for day in make_scenario(1, 60, 45, "acme").days:
        for zone in ZONES:
            local = datetime.fromtimestamp(day.ends_ms / 1000, zone)
            assert local.date() == day.over + timedelta(days=1)


def test_no_event_is_played_after_its_own_local_date_was_closed() -> None:
    scenario = make_scenario(1, 60, 60, "acme")
    begins_ms = scenario.starts_ms
    for day in scenario.days:
        for body in day.bodies:
            payload = json.loads(body)
            if "streamsync" in payload:
                told_ms = int(datetime.fromisoformat(payload["occurred_at"]).timestamp()) * 1000
            else:
                told_ms = payload["created"] * 1000
            for zone in ZONES:
                local = datetime.fromtimestamp(told_ms / 1000, zone).date()
                closed = datetime.fromtimestamp(begins_ms / 1000, UTC).date()
                # Only the days before the first tick are closed from the start.
                assert local >= closed or day is scenario.days[0]
        begins_ms = day.ends_ms


def test_the_play_ends_the_day_after_its_last_tick() -> None:
    scenario = make_scenario(1, 60, 45, "acme")
    assert scenario.days[-1].over == date(2026, 3, 3)
    assert scenario.today == date(2026, 3, 4)


@pytest.mark.parametrize(
    ("last", "count"),
    [
        (date(2026, 3, 1), 2),
        (date(2026, 2, 25), 2),
        (date(2026, 2, 26), 4),
        (date(2026, 2, 27), 3),
        (date(2024, 2, 27), 4),
    ],
)
def test_the_last_quiet_days_hold_no_month_end(last: date, count: int) -> None:
    assert quiet_days(last) == count
