"""Ages of open receivables, and balances that follow from the ones before."""

from __future__ import annotations

from datetime import date

from streamsync.core.receivables import age, roll_forwards
from streamsync.core.records import AgeingBucket, RoleTotal


def total(period: str, role: str, purpose: str, debit: int, credit: int) -> RoleTotal:
    return RoleTotal(
        period=period,
        currency="USD",
        role=role,
        purpose=purpose,
        debit_minor=debit,
        credit_minor=credit,
        functional_debit_minor=debit,
        functional_credit_minor=credit,
    )


def test_an_opening_is_the_closing_before_and_movements_make_the_difference() -> None:
    # P8 (Stripe): 90 for January to March, credit note of 45 on 1 February.
    got = roll_forwards(
        [
            total("2026-03", "deferred_revenue", "revenue_released", 1550, 0),
            total("2026-01", "deferred_revenue", "invoice_issued", 0, 9000),
            total("2026-01", "deferred_revenue", "revenue_released", 3100, 0),
            total("2026-02", "deferred_revenue", "credit_note_issued", 2950, 0),
            total("2026-02", "deferred_revenue", "revenue_released", 1400, 0),
        ]
    )
    assert [(one.period, one.opening_minor, one.closing_minor) for one in got] == [
        ("2026-01", 0, -5900),
        ("2026-02", -5900, -1550),
        ("2026-03", -1550, 0),
    ]
    assert got[1].movements == {"credit_note_issued": 2950, "revenue_released": 1400}


def test_ages_are_counted_from_the_issue_and_sides_stay_apart() -> None:
    days = [("USD", "2026-03-01", 100), ("USD", "2026-02-28", 10), ("USD", "2025-12-31", 7)]
    days += [("USD", "2026-01-30", 1), ("USD", "2025-12-30", 5), ("USD", "2026-03-31", -3)]
    assert age(days, date(2026, 3, 31)) == [
        AgeingBucket(currency="USD", bucket="days_0_30", debit_minor=100, credit_minor=3),
        AgeingBucket(currency="USD", bucket="days_31_60", debit_minor=11, credit_minor=0),
        AgeingBucket(currency="USD", bucket="days_61_90", debit_minor=7, credit_minor=0),
        AgeingBucket(currency="USD", bucket="days_over_90", debit_minor=5, credit_minor=0),
    ]
