"""Bases and roundings of a schedule, against published figures and figures made by hand.

Stripe: the example of its revenue recognition settings, amortisation granularity (P12 of the
project's list of oracles): 120 USD for noon of 15 June to noon of 13 October. Chargebee: a credit
that changes only the months to come (P15). Tryton: the deferral of its test scenario (P30).
"""

from __future__ import annotations

from datetime import date

import pytest

from streamsync.core.journal import book_document
from streamsync.core.revenue import reduce_unreleased
from streamsync.core.schedule import BASES, ROUNDINGS, Method, plan, service_between
from tests.unit.core_facts import (
    FAR,
    NEW_YORK,
    POLICY,
    book,
    credited,
    issued,
    line,
    moved,
    ms,
    refunded,
    spreading,
    voided,
)

JUN, JUL, AUG, SEP, OCT = (f"2022-{month:02d}" for month in range(6, 11))
STRIPE = {
    "millisecond": {JUN: 1550, JUL: 3100, AUG: 3100, SEP: 3000, OCT: 1250},
    "day": {JUN: 1600, JUL: 3100, AUG: 3100, SEP: 3000, OCT: 1200},
    "even_month": {JUN: 3000, JUL: 3000, AUG: 3000, SEP: 3000},
    "even_month_prorated": {JUN: 1550, JUL: 3066, AUG: 3066, SEP: 3068, OCT: 1250},
}


def rows(basis: str, rounding: str, net: int, start: str, end: str) -> list[int]:
    months = plan(service_between(ms(start), ms(end), "UTC"), Method(basis, rounding))
    return [row.amount_minor for row in months.spread(net)]


@pytest.mark.parametrize("basis", STRIPE)
def test_p12_stripe_120_from_noon_of_15_june_to_noon_of_13_october(basis: str) -> None:
    books = book(
        issued("2022-06-15", line(1, 12000, "2022-06-15T12:00", "2022-10-13T12:00")),
        policy=spreading(basis),
    )
    assert moved(books, "revenue") == STRIPE[basis]
    first, *rest = STRIPE[basis].items()
    deferred = {first[0]: 12000 - first[1]} | {month: -amount for month, amount in rest}
    assert moved(books, "deferred_revenue") == deferred


@pytest.mark.parametrize("basis", STRIPE)
def test_p12_a_credit_line_is_the_mirror_of_its_charge(basis: str) -> None:
    books = book(
        issued(
            "2022-06-15",
            line(1, 20000),
            line(2, 12000, "2022-06-15T12:00", "2022-10-13T12:00", direction="credit"),
        ),
        policy=spreading(basis),
    )
    mirrored = {month: -amount for month, amount in STRIPE[basis].items()}
    mirrored[JUN] += 20000
    assert moved(books, "revenue") == mirrored


def test_p15_chargebee_a_prospective_credit_lowers_only_the_months_to_come() -> None:
    service = service_between(ms("2022-01-01"), ms("2022-07-01"), "UTC")
    months = plan(service, Method("even_month", "last_absorbs"))
    after = reduce_unreleased(months.spread(60000), date(2022, 4, 1), 6000, months)
    assert [row.amount_minor for row in after] == [10000, 10000, 10000, 8000, 8000, 8000]


def test_p15_chargebee_the_same_by_a_credit_line_for_the_months_to_come() -> None:
    even = spreading("even_month")
    whole = book(issued("2022-01-01", line(1, 60000, "2022-01-01", "2022-07-01")), policy=even)
    less = book(
        issued("2022-04-01", line(1, 6000, "2022-04-01", "2022-07-01", direction="credit")),
        policy=even,
    )
    earned = moved(whole, "revenue")
    for month, amount in moved(less, "revenue").items():
        earned[month] += amount
    assert list(earned.values()) == [10000, 10000, 10000, 8000, 8000, 8000]


@pytest.mark.parametrize("rounding", ROUNDINGS)
def test_p30_tryton_1000_over_500_days(rounding: str) -> None:
    # 18 moves with that of the invoice; 268 to 271 are left after the first year.
    amounts = rows("day", rounding, 100000, "2022-01-01", "2023-05-16")
    assert len(amounts) == 17
    assert 26800 <= sum(amounts[12:]) <= 27100
    assert sum(amounts) == 100000


def test_roundings_of_100_over_three_even_months() -> None:
    # By hand: 33.33 each and a unit left; cumulated 33.33, 66.67 (66.666...), 100.
    quarter = ("even_month", 10000, "2022-01-01", "2022-04-01")
    basis, net, start, end = quarter
    assert rows(basis, "last_absorbs", net, start, end) == [3333, 3333, 3334]
    assert rows(basis, "largest_remainder", net, start, end) == [3334, 3333, 3333]
    assert rows(basis, "cumulative_round", net, start, end) == [3333, 3334, 3333]


def test_roundings_of_10_over_59_days_in_three_months() -> None:
    # By hand, 10.00 from 15 February to 15 April: 14, 31 and 14 of 59 days are 237.28..., 525.42...
    # and 237.28...: floors leave one unit, the largest remainder is March's; cumulated 237.28...
    # and 762.71... round to 237 and 763.
    period = ("2022-02-15", "2022-04-15")
    assert rows("day", "last_absorbs", 1000, *period) == [237, 525, 238]
    assert rows("day", "largest_remainder", 1000, *period) == [237, 526, 237]
    assert rows("day", "cumulative_round", 1000, *period) == [237, 526, 237]


def test_even_months_count_the_first_month_and_not_the_last() -> None:
    assert rows("even_month", "last_absorbs", 3100, "2022-01-15", "2022-02-15") == [3100]
    assert rows("even_month", "last_absorbs", 3100, "2022-01-05", "2022-01-25") == [3100]
    assert rows("even_month", "last_absorbs", 3100, "2022-01-31", "2022-03-01") == [1550, 1550]
    assert len(rows("even_month", "last_absorbs", 3100, "2022-01-01", "2023-01-01")) == 12


def test_two_months_are_both_prorated() -> None:
    # 15 January to 15 February at noon: 16.5 and 14.5 of 31 days.
    amounts = rows("even_month_prorated", "last_absorbs", 3100, "2022-01-15", "2022-02-15")
    assert amounts == [1650, 1450]


def test_milliseconds_count_the_hour_that_summer_time_takes() -> None:
    # March in New York has 743 hours, April 720: of 1463 dollars each hour is one.
    service = service_between(ms("2022-03-01T05:00"), ms("2022-05-01T04:00"), NEW_YORK)
    months = plan(service, Method("millisecond", "last_absorbs"))
    assert [row.amount_minor for row in months.spread(146300)] == [74300, 72000]


def test_a_credit_note_in_even_months_by_hand() -> None:
    # 90 over three months, 45 back on 1 February: a third was earned. 15 is contra; of the 60 to
    # come 30 goes, and 15 is left for each month.
    books = book(
        issued("2022-01-01", line(1, 9000, "2022-01-01", "2022-04-01")),
        credited("2022-02-01", 4500),
        policy=spreading("even_month"),
    )
    assert moved(books, "contra") == {"2022-02": -1500}
    assert list(moved(books, "revenue").values()) == [3000, 1500, 1500]


@pytest.mark.parametrize(
    ("basis", "on", "contra", "revenue"),
    [
        # 60 of 120 back on 5 August. Earned: 46.16; contra 60 * 46.16 / 120 = 23.08, 36.92 off
        # the 73.84 to come, 36.92 stays for 2/3 of 92 even days (August, September) and 12.5:
        # October 36.92 * 12.5 / 73.83 = 6.25, August 15.33, September the rest.
        ("even_month_prorated", "2022-08-05", -2308, [1550, 3066, 1533, 1534, 625]),
        # Earned 46.50 of 120: contra 23.25, 36.75 stays for 31, 30 and 12.5 of 73.5 days.
        ("millisecond", "2022-08-05", -2325, [1550, 3100, 1550, 1500, 625]),
        # Earned 60: contra 30, 30 stays for two months; October is none of them.
        ("even_month", "2022-08-05", -3000, [3000, 3000, 1500, 1500]),
        # After the last row everything is earned, though service goes on to the 13th.
        ("even_month", "2022-10-05", -6000, [3000, 3000, 3000, 3000]),
    ],
)
def test_a_refund_or_credit_of_half_keeps_the_weights_of_the_months_left(
    basis: str, on: str, contra: int, revenue: list[int]
) -> None:
    invoice = issued("2022-06-15", line(1, 12000, "2022-06-15T12:00", "2022-10-13T12:00"))
    policy = spreading(basis)
    for fact, role in ((credited(on, 6000), "contra"), (refunded(on, 6000), "refunds")):
        books = book(invoice, fact, policy=policy)
        assert moved(books, role) == {on[:7]: contra}
        assert list(moved(books, "revenue").values()) == revenue


def test_a_void_in_even_months_takes_back_the_whole_first_month() -> None:
    # One month from 15 January is January's alone.
    books = book(
        issued("2022-01-15", line(1, 3100, "2022-01-15", "2022-02-15")),
        voided("2022-02-01"),
        policy=spreading("even_month"),
    )
    assert moved(books, "voids") == {"2022-02": -3100}
    assert moved(books, "revenue") == {"2022-01": 3100}


@pytest.mark.parametrize("first_basis", BASES)
def test_the_policy_of_the_day_of_issue_governs_also_after_a_credit(first_basis: str) -> None:
    facts = [
        issued("2022-06-15", line(1, 12000, "2022-06-15T12:00", "2022-10-13T12:00")),
        credited("2022-08-05", 6000),
    ]
    then, now = spreading(first_basis), spreading("day", "cumulative_round")
    books = book_document(facts, lambda day: then if day < "2022-07-01" else now, "UTC", FAR)
    alone = book(*facts, policy=then)
    assert moved(books, "revenue") == moved(alone, "revenue")


@pytest.mark.parametrize("policy", [spreading("weekly"), spreading("day", "up"), None])
def test_an_invoice_waits_for_a_policy_whose_schedule_is_known(policy: object) -> None:
    assert policy is None or isinstance(policy, type(POLICY))
    invoice = issued("2022-01-01", line(1, 9000, "2022-01-01", "2022-04-01"))
    books = book(invoice, credited("2022-02-01", 4500), policy=policy)
    assert not books.entries
    assert [found.reason for found in books.waiting] == ["policy_not_found"] * 2
    if policy is not None:
        assert policy.schedule.unknown is not None
        assert policy.schedule.unknown in books.waiting[0].detail


def test_wrong_figures_are_refused_whatever_the_policy() -> None:
    books = book(issued("2022-01-01", line(1, 9000), total=9001), policy=None)
    assert [found.reason for found in books.refused] == ["document_total_mismatch"]


# On 1 November 2009 at 00:01 the clocks of Newfoundland went back to 23:01 of 31 October.
ST_JOHNS = "America/St_Johns"
REPEATED_HOUR = ms("2009-11-01T03:00")  # 31 October, 23:30, for the second time


@pytest.mark.parametrize("basis", ["millisecond", "even_month_prorated"])
def test_an_hour_of_october_after_its_end_has_no_time_in_october(basis: str) -> None:
    service = service_between(REPEATED_HOUR, ms("2009-12-11T03:30"), ST_JOHNS)
    assert (service.start, service.end) == (date(2009, 10, 31), date(2009, 12, 11))
    months = plan(service, Method(basis, "last_absorbs"))
    assert [one.date for one in months.slices] == [date(2009, 11, 30), date(2009, 12, 31)]
    assert sum(row.amount_minor for row in months.spread(12345)) == 12345


def test_a_service_that_ends_before_it_starts_has_no_day_whatever_the_clock_shows() -> None:
    service = service_between(REPEATED_HOUR, ms("2009-11-01T02:30"), ST_JOHNS)
    assert service.start < service.end
    assert not service.has_a_day
    with pytest.raises(ValueError, match="no service period"):
        plan(service, Method("day", "last_absorbs"))
