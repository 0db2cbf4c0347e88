"""Journals against figures that others published.

Each case names the publication's figures (in dollars there, in cents here); P and X numbers are
those of the project's list of oracles. Stripe: the examples of its revenue recognition guide.
"""

from __future__ import annotations

import pytest

from streamsync.core.facts import Fact
from streamsync.core.money import allocate, round_half_up_div
from tests.unit.core_facts import (
    APR,
    FEB,
    JAN,
    MAR,
    book,
    credited,
    entry_of,
    issued,
    line,
    lost,
    moved,
    paid,
    part_paid,
    refunded,
    sides,
    tax,
    unapplied,
    voided,
)


def test_p1_stripe_a_month_from_mid_january_is_earned_by_days() -> None:
    books = book(issued("2022-01-15", line(1, 3100, "2022-01-15", "2022-02-15")))
    assert moved(books, "revenue") == {JAN: 1700, FEB: 1400}
    assert moved(books, "deferred_revenue") == {JAN: 1400, FEB: -1400}


def test_p2_stripe_a_year_is_earned_by_the_days_of_each_month() -> None:
    books = book(issued("2022-01-01", line(1, 36500, "2022-01-01", "2023-01-01")))
    revenue = moved(books, "revenue")
    assert [revenue[month] for month in (JAN, FEB, MAR)] == [3100, 2800, 3100]
    deferred = moved(books, "deferred_revenue")
    assert [deferred[month] for month in (JAN, FEB, MAR)] == [33400, -2800, -3100]


def test_p3_stripe_an_upgrade_on_21_april_earns_60_of_the_old_and_40_of_the_new_plan() -> None:
    # 90 from 1 April; on the 21st the unused 30 comes back and 40 is charged for the rest.
    books = book(
        issued(
            "2022-04-21",
            line(1, 9000, "2022-04-01", "2022-05-01"),
            line(2, 3000, "2022-04-21", "2022-05-01", direction="credit"),
            line(3, 4000, "2022-04-21", "2022-05-01"),
        )
    )
    assert moved(books, "revenue") == {APR: 10000}
    assert not moved(books, "deferred_revenue")


def test_p4_stripe_cancelling_without_refund_leaves_the_schedule() -> None:
    books = book(
        issued("2022-01-01", line(1, 9000, "2022-01-01", "2022-04-01")), paid("2022-01-01", 9000)
    )
    assert moved(books, "revenue") == {JAN: 3100, FEB: 2800, MAR: 3100}
    assert moved(books, "deferred_revenue") == {JAN: 5900, FEB: -2800, MAR: -3100}


def test_p5_stripe_a_line_without_a_period_is_revenue_at_once() -> None:
    books = book(issued("2022-01-15", line(1, 3100, "2022-01-15", "2022-02-15"), line(2, 500)))
    assert moved(books, "revenue") == {JAN: 2200, FEB: 1400}
    assert moved(books, "deferred_revenue") == {JAN: 1400, FEB: -1400}


@pytest.mark.parametrize(("fact", "role"), [(lost, "bad_debt"), (voided, "voids")])
def test_p6_p7_stripe_an_unpaid_invoice_given_up_on_1_february(fact: object, role: str) -> None:
    assert callable(fact)
    books = book(
        issued("2022-01-15", line(1, 3100, "2022-01-15", "2022-02-15")), fact("2022-02-01")
    )
    assert moved(books, "receivable") == {JAN: -3100, FEB: 3100}
    assert moved(books, "deferred_revenue") == {JAN: 1400, FEB: -1400}
    assert moved(books, role) == {FEB: -1700}
    assert moved(books, "revenue") == {JAN: 1700}


def test_p8_stripe_a_credit_note_splits_by_what_is_earned() -> None:
    # Published as revenue 31, 14, 15.50; deferred +59, -43.50, -15.50; contra +15.50.
    books = book(
        issued("2022-01-01", line(1, 9000, "2022-01-01", "2022-04-01")),
        credited("2022-02-01", 4500),
    )
    assert moved(books, "receivable") == {JAN: -9000, FEB: 4500}
    assert moved(books, "revenue") == {JAN: 3100, FEB: 1400, MAR: 1550}
    assert moved(books, "deferred_revenue") == {JAN: 5900, FEB: -4350, MAR: -1550}
    assert moved(books, "contra") == {FEB: -1550}


def test_p9_stripe_a_credit_before_payment_in_the_month_of_issue_lowers_the_schedule() -> None:
    # 120 less 30 on the first day: nothing was earned, 90 is left to earn.
    books = book(
        issued("2022-01-01", line(1, 12000, "2022-01-01", "2022-04-01")),
        credited("2022-01-01T13:00", 3000),
        paid("2022-02-01", 9000),
    )
    assert moved(books, "receivable") == {JAN: -9000, FEB: 9000}
    assert moved(books, "revenue") == {JAN: 3100, FEB: 2800, MAR: 3100}
    assert moved(books, "deferred_revenue") == {JAN: 5900, FEB: -2800, MAR: -3100}
    assert not moved(books, "contra")


def test_p10_stripe_exclusive_tax_is_no_revenue() -> None:
    books = book(
        issued("2022-01-01", line(1, 3100, "2022-01-01", "2022-02-01", tax(310))),
        paid("2022-01-01", 3410),
    )
    assert moved(books, "revenue") == {JAN: 3100}
    assert moved(books, "clearing") == {JAN: -3410}
    assert moved(books, "tax_payable") == {JAN: 310}


def test_p11_stripe_a_customer_balance_pays_a_part() -> None:
    books = book(
        issued("2022-01-01", line(1, 3100, "2022-01-01", "2022-02-01")),
        paid("2022-01-01", 2000, balance=1100),
    )
    assert moved(books, "clearing") == {JAN: -2000}
    assert moved(books, "customer_credit") == {JAN: -1100}
    assert moved(books, "revenue") == {JAN: 3100}
    assert not moved(books, "receivable")


def test_p12_stripe_day_row_of_120_from_15_june_to_13_october() -> None:
    books = book(issued("2022-06-15", line(1, 12000, "2022-06-15", "2022-10-13")))
    assert list(moved(books, "revenue").values()) == [1600, 3100, 3100, 3000, 1200]


def test_a_third_of_92_is_rounded_down_and_the_last_month_absorbs() -> None:
    # Stripe, even periods of 92 over three months: 30.66, 30.66, 30.68; the same rule by days.
    books = book(issued("2022-07-01", line(1, 9200, "2022-07-01", "2022-10-01")))
    assert list(moved(books, "revenue").values()) == [3100, 3100, 3000]
    uneven = book(issued("2022-06-15", line(1, 9200, "2022-06-15", "2022-10-13")))
    # By hand: 9200 * 16, 31, 31, 30 / 120 rounded down, and the rest.
    assert list(moved(uneven, "revenue").values()) == [1226, 2376, 2376, 2300, 922]


def test_x2_inclusive_tax_of_31_at_10_percent_is_282_not_310() -> None:
    # Published as 27.90 + 3.10, which is 10 % of the gross; the tax inside is 31 * 10 / 110.
    inside = round_half_up_div(3100 * 10, 110)
    assert inside == 282
    books = book(
        issued("2022-01-01", line(1, 3100 - inside, None, None, tax(inside, inclusive=True)))
    )
    assert moved(books, "revenue") == {JAN: 2818}
    assert moved(books, "tax_payable") == {JAN: 282}
    assert moved(books, "receivable") == {JAN: -3100}


def test_p29_inclusive_tax_of_20_at_15_percent_is_261() -> None:
    assert round_half_up_div(2000 * 15, 115) == 261


def test_x4_a_credit_of_1550_in_the_ratio_of_refund_and_credit_is_517_and_1033() -> None:
    # Published as 5.10 / 10.40 of 15.50 in the ratio 1 : 2; exact is 5.17 / 10.33.
    books = book(
        issued("2022-01-01", line(1, 9000, "2022-01-01", "2022-04-01")),
        credited("2022-02-01", 3000, settlement="customer_balance"),
        refunded("2022-02-01T13:00", 1500),
    )
    note = sides(entry_of(books, "credit_note_issued"))
    refund = sides(entry_of(books, "refunded"))
    # 31 of 90 were earned: 10.33 of the credit of 30 and 5.17 of the refund of 15, 15.50 in all.
    assert note["contra", "debit"] == 1033
    assert refund["refunds", "debit"] == 517
    assert moved(books, "revenue")[MAR] == 1550


# Lago, getlago/lago-api#2643: fees of 68.33, 68.33, 57.50 and 85.00 at 20 %. Together they are
# 334.99 with tax; each by itself 82.00, 82.00, 69.00 and 102.00, a cent more.
FEES = [6833, 6833, 5750, 8500]


def _lago_invoice() -> Fact:
    whole_tax = round_half_up_div(sum(FEES) * 20, 100)
    assert sum(FEES) + whole_tax == 33499
    taxes = allocate(whole_tax, FEES)
    lines = [
        line(number, fee, None, None, tax(part))
        for number, (fee, part) in enumerate(zip(FEES, taxes, strict=True), start=1)
    ]
    return issued("2022-01-01", *lines)


def test_p27_lago_refunds_of_each_fee_give_back_exactly_the_tax_of_the_whole() -> None:
    amounts = [8200, 8200, 6900, 33499 - 8200 - 8200 - 6900]
    books = book(
        _lago_invoice(),
        *(
            refunded(f"2022-02-0{day}", amount, name=f"re_{day}", cumulative=sum(amounts[:day]))
            for day, amount in enumerate(amounts, start=1)
        ),
    )
    assert not books.refused
    assert amounts[-1] == 10200 - 1
    # 5583 x 8200 / 33499 = 1366.6, x 16400 = 2733.2, x 23300 = 3883.2; the last part gets the rest.
    back = [
        sides(each)["tax_payable", "debit"] for each in books.entries if each.purpose == "refunded"
    ]
    assert back == [1367, 1366, 1150, 1700]
    assert moved(books, "tax_payable") == {JAN: 5583, FEB: -5583}


@pytest.mark.parametrize("names_its_line", [False, True])
def test_p27_lago_the_last_credit_note_absorbs_the_cent(*, names_its_line: bool) -> None:
    def note(day: int, net: int, part: int) -> Fact:
        named = ((f"il_{day}", net),) if names_its_line else ()
        return credited(f"2022-02-0{day}", net, part, name=f"cn_{day}", named=named)

    notes = [(6833, 1367), (6833, 1367), (5750, 1150), (8500, 1700 - 1)]
    credits_of_all = [note(day, net, part) for day, (net, part) in enumerate(notes, start=1)]
    books = book(_lago_invoice(), *credits_of_all)
    assert not books.refused
    assert moved(books, "receivable") == {JAN: -33499, FEB: 33499}
    assert moved(books, "tax_payable") == {JAN: 5583, FEB: -5583}
    # With its own rounding the last one is a cent too much, and says so.
    (refused,) = book(_lago_invoice(), *credits_of_all[:3], note(4, 8500, 1700)).refused
    assert refused.reason == "credit_exceeds_document"
    assert "tax 1700 to take" in refused.detail
    assert "tax 1699 left" in refused.detail


def test_p14_stripe_20_of_31_applied_on_1_february_and_taken_off_on_5_march() -> None:
    part = part_paid("2022-02-01", 2000, "inpay_1")
    invoice = issued("2022-01-15", line(1, 3100, "2022-01-15", "2022-02-15"))
    books = book(invoice, part, unapplied(part, "2022-03-05"))
    assert moved(books, "receivable") == {"2022-01": -3100, "2022-02": 2000, "2022-03": -2000}
    assert moved(books, "unapplied_cash") == {"2022-03": 2000}
    assert moved(books, "clearing") == {"2022-02": -2000}
