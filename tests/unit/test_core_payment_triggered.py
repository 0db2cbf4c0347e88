"""The `payment_triggered` profile as it ships: cash books the revenue of what is charged by itself.

Figures by hand from the rules of docs/policies.md; USD in cents, UTC.
"""

from __future__ import annotations

from datetime import date

import pytest
from msgspec.structs import replace

from streamsync.core.facts import Fact
from streamsync.core.journal import Books, book_document
from streamsync.governance import load_company
from tests.company_folder import ACME
from tests.unit.core_facts import (
    FAR,
    credited,
    entry_of,
    fact,
    issued,
    line,
    lost,
    moved,
    paid,
    refunded,
    sides,
    tax,
    voided,
)

POLICY = load_company(ACME, "payment_triggered").policies[0].policy
YEAR = ("2022-01-05", "2023-01-05")


def book(*facts: Fact, today: date = FAR) -> Books:
    return book_document(facts, lambda _: POLICY, "UTC", today)


def on_terms(fact: Fact) -> Fact:
    assert fact.invoice is not None
    return replace(fact, invoice=replace(fact.invoice, collection="on_terms"))


def with_invoice(payment: Fact, issue: Fact, collection: str = "automatic") -> Fact:
    """The payment as its payload tells it, the invoice inside."""
    assert payment.payment is not None
    told = replace(payment.payment, collection=collection)
    return replace(payment, payment=told, invoice=issue.invoice)


MONTHLY = issued("2022-01-05", line(1, 3_000, "2022-01-05", "2022-02-05"))
ANNUAL = issued("2022-01-05", line(1, 36_500, *YEAR), line(2, 500))


def test_an_invoice_charged_automatically_is_nothing_until_it_is_paid() -> None:
    books = book(ANNUAL)
    assert not books.entries
    assert [found.reason for found in books.no_entry] == ["booked_at_payment"]
    stopped = fact("service_terminated", "2022-02-01")
    for end in (voided("2022-02-01"), lost("2022-02-01"), credited("2022-01-06", 100), stopped):
        after = book(ANNUAL, end)
        assert not after.entries
        assert not after.waiting
        assert (end.fact_id, "nothing_booked") in [
            (found.fact_id, found.reason) for found in after.no_entry
        ]


def test_a_month_is_revenue_when_it_is_paid_and_a_year_is_deferred() -> None:
    assert sides(entry_of(book(MONTHLY, paid("2022-01-06", 3_000)), "payment_recognised")) == {
        ("clearing", "debit"): 3_000,
        ("revenue", "credit"): 3_000,
    }
    books = book(ANNUAL, paid("2022-01-31", 37_000))
    assert sides(entry_of(books, "payment_recognised")) == {
        ("clearing", "debit"): 37_000,
        ("deferred_revenue", "credit"): 36_500,
        ("revenue", "credit"): 500,
    }
    # 365 days are 12 months; the first a month after the payment, on the last day it has.
    releases = [entry for entry in books.entries if entry.purpose == "revenue_released"]
    assert [entry.date.isoformat() for entry in releases[:3]] == [
        "2022-02-28",
        "2022-03-31",
        "2022-04-30",
    ]
    assert [entry.lines[0].amount_minor for entry in releases] == [3_041] * 11 + [3_049]


def test_a_payment_whose_payload_holds_the_invoice_waits_for_nothing() -> None:
    told = with_invoice(paid("2022-01-31", 37_000), ANNUAL)
    assert book(told).entries == book(ANNUAL, told).entries
    alone = book(paid("2022-01-31", 37_000), ANNUAL)
    assert [entry.lines for entry in alone.entries] == [entry.lines for entry in book(told).entries]


def test_the_customers_balance_pays_a_part_or_all() -> None:
    part = book(MONTHLY, paid("2022-01-06", 2_000, balance=1_000))
    assert sides(entry_of(part, "payment_recognised")) == {
        ("clearing", "debit"): 2_000,
        ("customer_credit", "debit"): 1_000,
        ("revenue", "credit"): 3_000,
    }
    whole = book(MONTHLY, paid("2022-01-06", 0, balance=3_000))
    assert sides(entry_of(whole, "payment_recognised")) == {
        ("customer_credit", "debit"): 3_000,
        ("revenue", "credit"): 3_000,
    }


def test_paid_out_of_band_or_nothing_to_pay_books_nothing() -> None:
    out = book(MONTHLY, paid("2022-01-06", 3_000, elsewhere=True))
    assert not out.entries
    assert out.no_entry[-1].reason == "paid_out_of_band"
    zero = issued("2022-01-05", line(1, 100), line(2, 100, direction="credit"))
    nothing = book(zero, paid("2022-01-06", 0))
    assert not nothing.entries
    assert nothing.no_entry[-1].reason == "amount_zero"


def test_what_was_overpaid_is_the_customers_and_no_revenue() -> None:
    told = paid("2022-01-06", 3_500)
    assert told.payment is not None
    over = replace(told, payment=replace(told.payment, overpaid_minor=500))
    books = book(MONTHLY, over)
    assert sides(entry_of(books, "payment_recognised")) == {
        ("clearing", "debit"): 3_000,
        ("revenue", "credit"): 3_000,
    }
    assert sides(entry_of(books, "payment_overpaid")) == {
        ("clearing", "debit"): 500,
        ("customer_credit", "credit"): 500,
    }


def test_of_a_payment_out_of_band_only_the_part_from_the_balance_counts() -> None:
    books = book(MONTHLY, paid("2022-01-06", 2_000, balance=1_000, elsewhere=True))
    assert sides(entry_of(books, "payment_recognised")) == {
        ("customer_credit", "debit"): 1_000,
        ("revenue", "credit"): 1_000,
    }


def test_a_negative_total_is_owed_to_the_customer() -> None:
    negative = issued("2022-01-05", line(1, 1_000, direction="credit"), line(2, 400))
    books = book(negative, paid("2022-01-06", 0))
    (entry,) = books.entries
    assert sides(entry)["customer_credit", "credit"] == 600
    assert moved(books, "revenue") == {"2022-01": -600}


def test_what_is_paid_is_split_in_the_proportion_of_lines_and_tax() -> None:
    # 100 and 200 at 20 %: 360; 30 were credited before. 330 paid: tax 55, lines 91.67 and 183.33.
    taxed = issued(
        "2022-01-05",
        line(1, 10_000, None, None, tax(2_000)),
        line(2, 20_000, None, None, tax(4_000)),
    )
    books = book(taxed, credited("2022-01-05T13:00", 2_500, 500), paid("2022-01-06", 33_000))
    entry = entry_of(books, "payment_recognised")
    assert [each.amount_minor for each in entry.lines if each.role == "revenue"] == [9_167, 18_333]
    assert moved(books, "tax_payable") == {"2022-01": 5_500}
    assert moved(books, "clearing") == {"2022-01": -33_000}


def test_on_terms_the_issue_books_and_the_payment_clears_the_receivable() -> None:
    books = book(on_terms(ANNUAL), paid("2022-02-10", 37_000))
    assert moved(books, "receivable") == {"2022-01": -37_000, "2022-02": 37_000}
    assert moved(books, "clearing") == {"2022-02": -37_000}
    assert moved(books, "revenue")["2022-01"] == 500
    elsewhere = book(on_terms(ANNUAL), paid("2022-02-10", 37_000, elsewhere=True))
    assert moved(elsewhere, "cash_received_elsewhere") == {"2022-02": -37_000}


def test_on_terms_uncollectible_is_bad_debt_in_full_and_releases_go_on() -> None:
    books = book(on_terms(ANNUAL), lost("2022-04-01"))
    assert sides(entry_of(books, "invoice_uncollectible")) == {
        ("bad_debt", "debit"): 37_000,
        ("receivable", "credit"): 37_000,
    }
    assert sum(moved(books, "revenue").values()) == 37_000
    assert moved(books, "deferred_revenue")["2022-12"] == -3_041


def test_on_terms_a_void_reverses_what_was_booked_and_cancels_what_was_not() -> None:
    books = book(on_terms(ANNUAL), voided("2022-04-01"))
    # Released on 5 February and 5 March: 3,041 each; the 500 were revenue at once.
    assert sides(entry_of(books, "invoice_voided")) == {
        ("deferred_revenue", "debit"): 36_500 - 6_082,
        ("revenue", "debit"): 6_082 + 500,
        ("receivable", "credit"): 37_000,
    }
    assert sum(moved(books, "revenue").values()) == 0


def test_a_credit_note_takes_deferred_revenue_first() -> None:
    note = credited("2022-04-01", 30_000, named=(("il_1", 30_000),))
    books = book(on_terms(issued("2022-01-05", line(1, 36_500, *YEAR))), note)
    assert sides(entry_of(books, "credit_note_issued")) == {
        ("deferred_revenue", "debit"): 30_000,
        ("receivable", "credit"): 30_000,
    }
    # 418 are left for ten months.
    assert [*moved(books, "revenue").values()][2:] == [41] * 9 + [49]
    more = credited("2022-04-01", 32_000, settlement="customer_balance")
    after = book(on_terms(issued("2022-01-05", line(1, 36_500, *YEAR))), more)
    assert sides(entry_of(after, "credit_note_issued")) == {
        ("deferred_revenue", "debit"): 30_418,
        ("revenue", "debit"): 1_582,
        ("customer_credit", "credit"): 32_000,
    }


@pytest.mark.parametrize("first", [1_000, 1_001])
def test_refunds_take_tax_in_the_invoices_ratio_cumulatively_and_leave_the_schedule(
    first: int,
) -> None:
    taxed = issued("2022-01-05", line(1, 36_500, *YEAR, tax(7_300)))
    facts = (taxed, paid("2022-01-05", 43_800))
    books = book(
        *facts,
        refunded("2022-03-01", first, name="re_1", cumulative=first),
        refunded("2022-04-01", 2_000, name="re_2", cumulative=first + 2_000),
    )
    back = (7_300 * (first + 2_000) * 2 + 43_800) // (2 * 43_800)
    assert sum(moved(books, "tax_payable").values()) == 7_300 - back
    assert sum(moved(books, "refunds_contra").values()) == -(first + 2_000 - back)
    released = [entry for entry in books.entries if entry.purpose == "revenue_released"]
    assert sum(entry.lines[0].amount_minor for entry in released) == 36_500


def test_a_refund_that_comes_before_its_payment_waits_for_it() -> None:
    books = book(MONTHLY, refunded("2022-02-01", 1_000))
    assert [found.reason for found in books.waiting] == ["invoice_not_issued"]
    assert not book(MONTHLY, refunded("2022-02-01", 1_000), paid("2022-01-06", 3_000)).waiting
