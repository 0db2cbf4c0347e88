"""Schedules of any service by any method: they add up, stay near the exact share, and survive cuts.

The exact shares are computed here in fractions, from the definition of each basis, not from weights
of the code under test.
"""

from __future__ import annotations

from calendar import monthrange
from datetime import UTC, date, datetime, timedelta
from fractions import Fraction
from itertools import accumulate
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given
from hypothesis import strategies as st

from streamsync.core.facts import Fact
from streamsync.core.ordering import in_order
from streamsync.core.revenue import reduce_unreleased, released, split_share, unreleased
from streamsync.core.schedule import (
    BASES,
    ROUNDINGS,
    Method,
    Plan,
    Row,
    Service,
    plan,
    service_between,
)
from tests.unit.core_facts import book, credited, issued, line, moved, refunded, spreading, voided

# Zones whose months have lost and won hours; Apia lost a whole day at the end of 2011.
ZONES = st.sampled_from(["UTC", "America/New_York", "Asia/Tokyo", "Pacific/Apia", "Asia/Beirut"])
NETS = st.integers(-(10**12), 10**12)
MOMENTS = st.integers(
    int(datetime(2011, 1, 1, tzinfo=UTC).timestamp()) * 1000,
    int(datetime(2025, 1, 1, tzinfo=UTC).timestamp()) * 1000,
)
HOUR_MS = 3_600_000
METHODS = [Method(basis, rounding) for basis in BASES for rounding in ROUNDINGS]
METHOD = st.sampled_from(METHODS)


@st.composite
def services(draw: st.DrawFn, longest_hours: int = 24 * 1200) -> Service:
    """A service of at least a day, beginning and ending at any moment."""
    start = draw(MOMENTS)
    length = draw(st.integers(49, longest_hours)) * HOUR_MS + draw(st.integers(0, HOUR_MS))
    return service_between(start, start + length, draw(ZONES))


def local(moment_ms: int, zone: str) -> datetime:
    """The wall clock of a zone."""
    return datetime.fromtimestamp(moment_ms / 1000, ZoneInfo(zone))


def month_of(day: date) -> date:
    """The first day of a month."""
    return day.replace(day=1)


def time_by_month(service: Service) -> dict[date, Fraction]:
    """Share of the time served in each local month, from instants of its first midnights."""
    zone = ZoneInfo(service.zone)
    shares: dict[date, Fraction] = {}
    month = month_of(local(service.from_ms, service.zone).date())
    while True:
        after = month_of(month + timedelta(days=32))
        edges = [
            int(datetime(day.year, day.month, 1, tzinfo=zone).timestamp()) * 1000
            for day in (month, after)
        ]
        served = min(edges[1], service.to_ms) - max(edges[0], service.from_ms)
        if served > 0:
            shares[month] = Fraction(served, service.to_ms - service.from_ms)
        if edges[1] >= service.to_ms:
            return shares
        month = after


def exact_shares(service: Service, basis: str) -> dict[date, Fraction]:
    """What each month earns of 1, by the definition of the basis."""
    start = local(service.from_ms, service.zone).date()
    end = local(service.to_ms, service.zone).date()
    if basis == "day":
        days = [start + timedelta(days=at) for at in range((end - start).days)]
        months = [month_of(day) for day in days]
        return {month: Fraction(months.count(month), len(days)) for month in dict.fromkeys(months)}
    if basis == "even_month":
        months = [month_of(start)]
        while month_of(months[-1] + timedelta(days=32)) < month_of(end):
            months.append(month_of(months[-1] + timedelta(days=32)))
        return dict.fromkeys(months, Fraction(1, len(months)))
    times = time_by_month(service)
    if basis == "even_month_prorated" and len(times) > 2:
        first, *inner, last = times
        even = (1 - times[first] - times[last]) / len(inner)
        return {month: times[month] if month in (first, last) else even for month in times}
    return times


@given(services(), METHOD, NETS)
def test_rows_add_up_to_the_net_and_have_its_sign(
    service: Service, method: Method, net: int
) -> None:
    rows = plan(service, method).spread(net)
    assert sum(row.amount_minor for row in rows) == net
    assert all(row.amount_minor * net >= 0 for row in rows)


@given(services(), METHOD, NETS)
def test_a_credit_is_its_charge_with_the_other_sign(
    service: Service, method: Method, net: int
) -> None:
    months = plan(service, method)
    mirrored = tuple(Row(row.date, -row.amount_minor) for row in months.spread(net))
    assert months.spread(-net) == mirrored


@given(services(), METHOD)
def test_rows_stand_at_the_ends_of_the_months_of_the_basis(
    service: Service, method: Method
) -> None:
    dates = [row.date for row in plan(service, method).spread(1)]
    assert [month_of(day) for day in dates] == list(exact_shares(service, method.basis))
    assert all(day.day == monthrange(day.year, day.month)[1] for day in dates)


def _exact(service: Service, basis: str, net: int) -> list[Fraction]:
    return [net * share for share in exact_shares(service, basis).values()]


@given(services(), st.sampled_from(list(BASES)), st.integers(0, 10**12))
def test_largest_remainder_misses_no_exact_share_by_a_unit(
    service: Service, basis: str, net: int
) -> None:
    rows = plan(service, Method(basis, "largest_remainder")).spread(net)
    for row, exact in zip(rows, _exact(service, basis, net), strict=True):
        assert abs(row.amount_minor - exact) < 1


@given(services(), st.sampled_from(list(BASES)), st.integers(0, 10**12))
def test_cumulative_rounding_is_never_more_than_half_a_unit_behind_or_ahead(
    service: Service, basis: str, net: int
) -> None:
    rows = plan(service, Method(basis, "cumulative_round")).spread(net)
    exact = _exact(service, basis, net)
    earned = list(accumulate(row.amount_minor for row in rows))
    for sum_of_rows, sum_of_exact in zip(earned, accumulate(exact), strict=True):
        assert abs(sum_of_rows - sum_of_exact) <= Fraction(1, 2)
    for row, share in zip(rows, exact, strict=True):
        assert abs(row.amount_minor - share) <= 1
    assert earned == sorted(earned)


@given(services(), st.sampled_from(list(BASES)), st.integers(0, 10**12))
def test_last_absorbs_floors_every_month_but_one(service: Service, basis: str, net: int) -> None:
    rows = plan(service, Method(basis, "last_absorbs")).spread(net)
    exact = _exact(service, basis, net)
    absorbs = len(rows) - 1
    if basis == "even_month_prorated" and len(rows) > 2:
        absorbs -= 1
    for at, (row, share) in enumerate(zip(rows, exact, strict=True)):
        if at != absorbs:
            assert row.amount_minor == share.__floor__()
    assert 0 <= rows[absorbs].amount_minor - exact[absorbs] < len(rows)


@given(services(24 * 800), METHOD, st.integers(0, 10**9), st.data())
def test_a_reduction_takes_its_share_and_spreads_the_rest_over_the_months_left(
    service: Service, method: Method, net: int, data: st.DataObject
) -> None:
    months = plan(service, method)
    rows = months.spread(net)
    on = data.draw(st.dates(service.start - timedelta(days=40), service.end + timedelta(days=40)))
    was, open_still = released(rows, on), unreleased(rows, on)
    share = data.draw(st.integers(0, net))
    contra, deferred = split_share(share, was, open_still)
    assert contra + deferred == share
    assert 0 <= contra <= was
    assert 0 <= deferred <= open_still
    after = reduce_unreleased(rows, on, deferred, months)
    assert released(after, on) == was
    assert unreleased(after, on) == open_still - deferred
    assert [row.date for row in after] == [row.date for row in rows]
    left = exact_shares(service, method.basis)
    whole = sum(share for month, share in left.items() if month >= month_of(on))
    for row in after:
        if row.date >= on:
            exact = (open_still - deferred) * left[month_of(row.date)] / whole
            assert abs(row.amount_minor - exact) < len(rows)


@pytest.mark.parametrize("method", METHODS, ids=lambda method: f"{method.basis}-{method.rounding}")
def test_nothing_is_spread_over_no_month(method: Method) -> None:
    months = Plan((), method.rounding, date(2022, 1, 1), date(2022, 1, 2))
    assert months.spread(0) == ()
    with pytest.raises(ValueError, match="nothing left of the service"):
        months.spread(1)


@st.composite
def documents(draw: st.DrawFn) -> list[Fact]:
    """An invoice of two deferred lines, one perhaps a credit, and reductions in a row."""

    def moment(least: int, most: int) -> str:
        hours = draw(st.integers(least * 24, most * 24))
        return (datetime(2022, 1, 1) + timedelta(hours=hours)).strftime("%Y-%m-%dT%H:00")  # noqa: DTZ001

    first = line(1, draw(st.integers(1, 90_000)), moment(0, 60), moment(70, 500))
    sign = draw(st.sampled_from(["charge", "credit"]))
    second = line(2, draw(st.integers(0, 9_000)), moment(0, 60), moment(70, 500), direction=sign)
    facts = [issued(moment(0, 80), first, second)]
    for at in range(draw(st.integers(1, 3))):
        facts.append(credited(moment(0, 400), draw(st.integers(0, 30_000)), name=f"cn_{at}"))
    if draw(st.booleans()):
        facts.append(refunded(moment(0, 400), draw(st.integers(1, 20_000))))
    if draw(st.booleans()):
        facts.append(voided(moment(100, 450)))
    return facts


@given(documents(), METHOD, ZONES, st.data())
def test_books_by_any_method_are_the_same_in_any_order_of_arrival(
    facts: list[Fact], method: Method, zone: str, data: st.DataObject
) -> None:
    policy = spreading(method.basis, method.rounding)
    books = book(*in_order(facts), zone=zone, policy=policy)
    shuffled = data.draw(st.permutations(facts))
    repeated = shuffled + data.draw(st.lists(st.sampled_from(facts), max_size=3))
    assert book(*repeated, zone=zone, policy=policy) == books
    assert sum(moved(books, "deferred_revenue").values()) == 0


@given(documents(), METHOD, ZONES)
def test_the_method_moves_revenue_in_time_and_creates_none(
    facts: list[Fact], method: Method, zone: str
) -> None:
    policy = spreading(method.basis, method.rounding)
    earned = moved(book(facts[0], zone=zone, policy=policy), "revenue")
    assert sum(earned.values()) == sum(moved(book(facts[0], zone=zone), "revenue").values())
