"""Discounts shown beside revenue at list price, by a profile whose journals name them; by hand."""

from __future__ import annotations

from msgspec.structs import replace

from streamsync.core.company import Choices, Policy
from streamsync.core.facts import InvoiceLine
from streamsync.core.policy import JOURNAL_AMOUNTS, check_template
from tests.unit.core_facts import (
    JAN,
    POLICY,
    book,
    credited,
    entry_of,
    issued,
    line,
    moved,
    sides,
    tax,
    template,
    voided,
)
from tests.unit.test_core_contracts import YEAR, billed, contract, fact, signed
from tests.unit.test_core_policies import other

SHOWN = template("Dr discounts discount, Cr revenue discount")
LISTED: Policy = replace(
    POLICY,
    journals={
        name: (*lines, *SHOWN) if "discount" in JOURNAL_AMOUNTS[name].amounts else lines
        for name, lines in POLICY.journals.items()
    },
)
# 60.00 for January and February, less 12.00.
TWO_MONTHS = replace(line(1, 4_800, "2022-01-01", "2022-03-01"), discount_minor=1_200)


def stopping(choice: str) -> Policy:
    return replace(LISTED, choices=Choices(termination=choice))


def test_each_month_shows_its_share_and_all_of_them_the_whole_discount() -> None:
    books = book(issued("2022-01-01", TWO_MONTHS), policy=LISTED)
    # 48.00 by days: 31 of 59; 12.00 by what is earned so far.
    assert moved(books, "discounts") == {JAN: -631, "2022-02": -569}
    assert moved(books, "revenue") == {JAN: 2_522 + 631, "2022-02": 2_278 + 569}
    assert moved(books, "deferred_revenue") == {JAN: 4_800 - 2_522, "2022-02": -2_278}


def test_a_policy_that_does_not_name_discounts_is_net_of_them() -> None:
    books = book(issued("2022-01-01", TWO_MONTHS))
    assert moved(books, "discounts") == {}
    assert moved(books, "revenue") == {JAN: 2_522, "2022-02": 2_278}


def test_what_is_revenue_at_once_shows_its_discount_at_the_issue() -> None:
    at_once = replace(line(1, 900, None, None, tax(90)), discount_minor=100)
    books = book(issued("2022-01-01", at_once), policy=LISTED)
    assert sides(entry_of(books, "invoice_issued")) == {
        ("receivable", "debit"): 990,
        ("revenue", "credit"): 1_000,
        ("tax_payable", "credit"): 90,
        ("discounts", "debit"): 100,
    }


def test_the_part_of_a_discount_that_was_inclusive_tax_is_no_revenue() -> None:
    # 120.00 with 20 % inside, half off: 50.00 of revenue beside a list price of 100.00.
    half = replace(line(1, 5_000, None, None, tax(1_000, inclusive=True)), discount_minor=6_000)
    books = book(issued("2022-01-01", half), policy=LISTED)
    assert moved(books, "discounts") == {JAN: -5_000}
    assert moved(books, "revenue") == {JAN: 10_000}


def test_a_credit_line_takes_its_discount_back() -> None:
    back: InvoiceLine = replace(line(2, 400, direction="credit"), discount_minor=100)
    kept = replace(line(1, 900), discount_minor=225)
    books = book(issued("2022-01-01", kept, back), policy=LISTED)
    assert moved(books, "discounts") == {JAN: -125}
    assert moved(books, "revenue") == {JAN: 500 + 125}


def test_a_credit_leaves_the_shares_that_were_shown_and_shrinks_the_others() -> None:
    books = book(issued("2022-01-01", TWO_MONTHS), credited("2022-02-01", 2_400), policy=LISTED)
    # Half of February's 22.78 is left: its discount is what 36.61 has, less what 25.22 had.
    assert moved(books, "deferred_revenue")["2022-02"] == -2_278
    assert moved(books, "discounts") == {JAN: -631, "2022-02": -(915 - 631)}


def test_a_void_cancels_what_was_not_shown_yet() -> None:
    books = book(issued("2022-01-01", TWO_MONTHS), voided("2022-02-01"), policy=LISTED)
    assert moved(books, "discounts") == {JAN: -631}
    assert sum(moved(books, "revenue").values()) == 2_522 + 631
    assert moved(books, "voids") == {"2022-02": -2_522}


def test_an_early_end_shows_the_discount_on_what_was_earned() -> None:
    # Ended on 15 February: 14 of 28 days, 11.39 of February's 22.78; by 36.61 9.15 is shown.
    ended = other("service_terminated", "2022-02-15")
    books = book(issued("2022-01-01", TWO_MONTHS), ended, policy=stopping("credit"))
    assert moved(books, "revenue")["2022-02"] == 1_139 + (915 - 631)
    assert moved(books, "discounts") == {JAN: -631, "2022-02": -(915 - 631)}
    released = book(issued("2022-01-01", TWO_MONTHS), ended, policy=stopping("release"))
    assert moved(released, "discounts") == {JAN: -631, "2022-02": -569}


def test_what_is_free_bundled_or_a_contracts_shows_no_discount() -> None:
    free = replace(line(1, 0, "2022-01-01", "2022-03-01"), discount_minor=6_000)
    bundled = replace(line(2, 900), discount_minor=100, bundle="b", standalone_minor=500)
    contracted = replace(line(3, 900), discount_minor=100, contract="ct_1")
    books = book(issued("2022-01-01", free, bundled, contracted), policy=LISTED)
    assert moved(books, "discounts") == {}


def test_a_contract_that_ends_early_shows_none_either() -> None:
    books = contract(
        signed("2022-01-01", YEAR),
        fact("contract_terminated", "2022-07-01"),
        bills=(billed("2022-01-01", 120_000),),
        policy=stopping("credit"),
    )
    assert moved(books, "discounts") == {}
    # January to June earn 101.91, 92.05, 101.91, 98.63, 101.91 and 98.63.
    assert moved(books, "customer_credit") == {"2022-07": 120_000 - 59_504}


def test_a_discount_on_one_side_only_does_not_balance() -> None:
    lines = (*POLICY.journals["revenue_released"], SHOWN[0])
    assert check_template("revenue_released", lines) == [
        'revenue_released does not balance: "discount" is debited once and credited never.'
    ]
