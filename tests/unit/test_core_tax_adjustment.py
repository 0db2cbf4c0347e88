"""Tax put right after the issue: who bears it, and what later facts give back; figures by hand."""

from __future__ import annotations

import pytest
from msgspec.structs import replace

from streamsync.core.company import Choices
from streamsync.core.facts import AdjustedTax, Fact, TaxAdjustment
from streamsync.core.figures import billing_amounts, owed_amount
from streamsync.core.journal import Books
from tests.unit.core_facts import (
    JAN,
    POLICY,
    book,
    credited,
    entry_of,
    fact,
    issued,
    line,
    moved,
    paid,
    reasons,
    refunded,
    sides,
    taken_back,
    tax,
    voided,
)

# 100.00 and 50.00, the first taxed with 8.00.
ISSUE = issued("2022-01-05", line(1, 10_000, None, None, tax(800)), line(2, 5_000))


def adjusted(  # noqa: PLR0917 -- who bears which tax
    day: str,
    amount: int,
    settlement: str = "receivable",
    code: str = "txr_1",
    line_id: str | None = None,
    name: str = "a1",
    direction: str | None = None,
) -> Fact:
    """More tax, or less where the amount is below zero."""
    told = TaxAdjustment(
        direction=direction or ("credit" if amount < 0 else "charge"),
        settlement=settlement,
        taxes=(AdjustedTax(tax_code=code, amount_minor=abs(amount), line_id=line_id),),
    )
    return fact("tax_adjusted", day, name, tax_adjustment=told)


def taxes_of(books: Books, role: str = "tax_payable") -> list[tuple[str | None, str, int]]:
    """Code, side and amount of each line of a role."""
    return [
        (one.tax.tax_code if one.tax else None, one.side, one.amount_minor)
        for entry in books.entries
        for one in entry.lines
        if one.role == role
    ]


@pytest.mark.parametrize(
    ("settlement", "role"),
    [
        ("receivable", "receivable"),
        ("customer_balance", "customer_credit"),
        ("company", "tax_adjustments"),
    ],
)
@pytest.mark.parametrize("amount", [250, -250])
def test_the_fact_says_who_bears_the_tax(settlement: str, role: str, amount: int) -> None:
    books = book(ISSUE, adjusted("2022-01-20", amount, settlement))
    debit, credit = ("debit", "credit") if amount > 0 else ("credit", "debit")
    assert sides(entry_of(books, "tax_adjusted")) == {
        (role, debit): 250,
        ("tax_payable", credit): 250,
    }


def test_more_tax_is_owed_and_a_void_takes_all_of_it() -> None:
    books = book(ISSUE, adjusted("2022-01-20", 250), voided("2022-01-25"))
    assert moved(books, "receivable") == {}
    assert moved(books, "tax_payable") == {}
    assert taxes_of(books) == [
        ("txr_1", "credit", 800),
        ("txr_1", "credit", 250),
        ("txr_1", "debit", 1_050),
    ]


def test_what_the_company_bears_is_not_given_back_to_the_customer() -> None:
    books = book(ISSUE, adjusted("2022-01-20", 250, "company"), voided("2022-01-25"))
    assert moved(books, "receivable") == {}
    assert moved(books, "tax_payable") == {JAN: 250}


def test_a_tax_that_the_invoice_had_not_is_added_where_it_is_named() -> None:
    told = adjusted("2022-01-20", 500, code="txr_2", line_id="il_2")
    books = book(ISSUE, told, credited("2022-01-25", 5_000, 500, named=(("il_2", 5_000),)))
    assert taxes_of(books) == [
        ("txr_1", "credit", 800),
        ("txr_2", "credit", 500),
        ("txr_2", "debit", 500),
    ]


def test_a_refund_gives_tax_back_in_the_ratio_that_is_right() -> None:
    # 160.00 of which 10.00 are tax: half of it back is 5.00 of tax.
    books = book(
        ISSUE,
        adjusted("2022-01-06", 200),
        paid("2022-01-07", 16_000),
        refunded("2022-01-20", 8_000),
    )
    assert moved(books, "tax_payable") == {JAN: 1_000 - 500}


def test_less_tax_is_taken_from_what_is_left_of_it() -> None:
    note = credited("2022-01-10", 5_000, 400, named=(("il_1", 5_000),))
    books = book(ISSUE, note, adjusted("2022-01-20", -400), adjusted("2022-01-21", -1, name="a2"))
    assert moved(books, "tax_payable") == {}
    (refused,) = books.refused
    assert (refused.fact_id, refused.reason) == ("tax_adjusted:a2", "credit_exceeds_document")
    assert refused.detail == "tax txr_1: 1 to take, 0 left"


def test_a_tax_of_another_code_has_nothing_to_take() -> None:
    books = book(ISSUE, adjusted("2022-01-20", -1, code="txr_9"))
    assert reasons(books) == {"tax_adjusted:a1": "credit_exceeds_document"}


def test_less_tax_is_taken_line_by_line() -> None:
    issue = issued(
        "2022-01-05", line(1, 1_000, None, None, tax(80)), line(2, 2_000, None, None, tax(160))
    )
    told = adjusted("2022-01-20", -100)
    books = book(issue, told, voided("2022-01-25"))
    assert taxes_of(books)[2:] == [
        ("txr_1", "debit", 80),
        ("txr_1", "debit", 20),
        ("txr_1", "debit", 140),
    ]


def test_an_added_tax_never_joins_one_that_was_inside_a_price() -> None:
    inside = issued("2022-01-05", line(1, 10_000, None, None, tax(800, inclusive=True)))
    books = book(inside, adjusted("2022-01-06", 100), voided("2022-01-20"))
    assert taxes_of(books) == [
        ("txr_1", "credit", 800),
        ("txr_1", "credit", 100),
        ("txr_1", "debit", 800),
        ("txr_1", "debit", 100),
    ]


@pytest.mark.parametrize(
    ("told", "reason", "detail"),
    [
        (
            adjusted("2022-01-20", 1, "nobody"),
            "tax_adjustment_unknown",
            "tax_adjustment.settlement: nobody is none of receivable, customer_balance, company",
        ),
        (
            adjusted("2022-01-20", 1, direction="up"),
            "tax_adjustment_unknown",
            "tax_adjustment.direction: up is none of charge, credit",
        ),
        (
            adjusted("2022-01-20", 1, line_id="il_9"),
            "tax_line_unknown",
            "line il_9: the document has no such line that charges",
        ),
        (replace(adjusted("2022-01-20", 1), tax_adjustment=None), "fact_incomplete", None),
    ],
)
def test_what_fits_nothing_is_refused_alone(told: Fact, reason: str, detail: str | None) -> None:
    books = book(ISSUE, told)
    (refused,) = books.refused
    assert refused.reason == reason
    assert detail in (None, refused.detail)
    assert moved(books, "receivable") == {JAN: -15_800}


def test_it_waits_for_the_issue_and_nothing_is_nothing() -> None:
    assert reasons(book(adjusted("2022-01-20", 1))) == {"tax_adjusted:a1": "invoice_not_issued"}
    assert reasons(book(ISSUE, adjusted("2022-01-20", 0))) == {"tax_adjusted:a1": "amount_zero"}


def test_a_note_that_is_voided_gives_back_its_own_taxes_and_leaves_what_was_added_since() -> None:
    note = credited("2022-01-10", 5_000, 400, named=(("il_1", 5_000),))
    books = book(
        ISSUE,
        note,
        adjusted("2022-01-12", 25, code="txr_2", line_id="il_1"),
        taken_back("credit_note_voided", note, "2022-01-15"),
        voided("2022-01-25"),
    )
    assert not books.refused
    assert moved(books, "receivable") == {}
    assert moved(books, "tax_payable") == {}


def test_where_payments_book_the_revenue_what_is_owed_before_them_is_not_booked() -> None:
    by_payment = replace(POLICY, choices=Choices(charged_automatically="payment"))
    books = book(ISSUE, adjusted("2022-01-06", 200), paid("2022-01-07", 15_800), policy=by_payment)
    assert reasons(books)["tax_adjusted:a1"] == "nothing_booked"
    later = book(
        ISSUE, paid("2022-01-07", 15_800), adjusted("2022-01-08", 200, "company"), policy=by_payment
    )
    assert moved(later, "tax_payable") == {JAN: 1_000}


def test_billing_s_own_figure_is_by_how_much_the_tax_changed() -> None:
    facts = [ISSUE, adjusted("2022-01-20", 250), adjusted("2022-01-21", -50, "company", name="a2")]
    told = [(one.purpose, one.amount_minor) for one in billing_amounts(facts)]
    assert told[1:] == [("tax_adjusted", 250), ("tax_adjusted", -50)]
    assert owed_amount(facts) == 15_800 + 250
    assert owed_amount([ISSUE, adjusted("2022-01-20", 250, "customer_balance")]) == 15_800


def test_the_line_of_an_adjustment_carries_its_tax() -> None:
    told = adjusted("2022-01-20", 250)
    assert told.tax_adjustment is not None
    (one,) = told.tax_adjustment.taxes
    named = replace(one, jurisdiction="CA", rate="8.25", base_minor=3_030)
    taxed = replace(told, tax_adjustment=replace(told.tax_adjustment, taxes=(named,)))
    entry = entry_of(book(ISSUE, taxed), "tax_adjusted")
    (carried,) = [one.tax for one in entry.lines if one.role == "tax_payable"]
    assert carried is not None
    assert (carried.jurisdiction, carried.rate, carried.base_minor) == ("CA", "8.25", 3_030)
