"""Rules of docs/accounting.md that no published figure covers: what waits, is refused, repeats."""

from __future__ import annotations

from collections import Counter
from datetime import date

import pytest
from msgspec.structs import replace

from streamsync.core.calendar import day_end_ms, local_date
from streamsync.core.company import Policy
from streamsync.core.facts import Fact
from streamsync.core.journal import Refused, Waiting, book_document
from tests.unit.core_facts import (
    FAR,
    FEB,
    JAN,
    MAR,
    NEW_YORK,
    POLICY,
    QUARTER,
    book,
    credited,
    entry_of,
    failed,
    issued,
    line,
    lost,
    moved,
    ms,
    paid,
    reasons,
    refunded,
    sides,
    taken_back,
    tax,
    voided,
)


def test_a_release_is_booked_when_its_day_is_over_and_the_next_one_is_named() -> None:
    invoice = issued("2022-01-01", QUARTER)
    before = book(invoice, today=date(2022, 1, 31))
    assert moved(before, "revenue") == {}
    assert before.next_release == date(2022, 1, 31)
    after = book(invoice, today=date(2022, 2, 1))
    assert moved(after, "revenue") == {JAN: 3100}
    assert after.next_release == date(2022, 2, 28)
    assert book(invoice).next_release is None


def test_a_release_belongs_to_its_line_and_month_and_to_the_issuing_fact() -> None:
    releases = [entry for entry in book(issued("2022-01-01", QUARTER)).entries if entry.part]
    assert [(entry.part, entry.natural_period, entry.date) for entry in releases] == [
        ("il_1", JAN, date(2022, 1, 31)),
        ("il_1", FEB, date(2022, 2, 28)),
        ("il_1", MAR, date(2022, 3, 31)),
    ]
    assert {entry.fact_id for entry in releases} == {"invoice_issued:in_1"}


def test_the_entity_time_zone_decides_day_and_month() -> None:
    # Midnight UTC of 1 February is still 31 January in New York.
    invoice = issued("2022-02-01T00:00", line(1, 500))
    assert entry_of(book(invoice), "invoice_issued").natural_period == FEB
    assert entry_of(book(invoice, zone=NEW_YORK), "invoice_issued").natural_period == JAN


def test_lines_carry_service_dates_product_and_tax() -> None:
    taxed = line(1, 9000, "2022-01-01", "2022-04-01", replace(tax(900), base_minor=9000))
    receivable, deferred, owed = entry_of(book(issued("2022-01-01", taxed)), "invoice_issued").lines
    assert (receivable.product, receivable.service_from, receivable.tax) == (None, None, None)
    assert (deferred.product, deferred.service_from, deferred.service_to) == (
        "prod_1",
        "2022-01-01",
        "2022-04-01",
    )
    assert owed.tax is not None
    assert (owed.tax.tax_code, owed.tax.base_minor) == ("txr_1", 9000)


def test_service_that_is_over_on_the_invoice_date_is_revenue_at_once() -> None:
    over = issued("2022-02-01", line(1, 3100, "2022-01-01", "2022-02-01"))
    assert sides(entry_of(book(over), "invoice_issued"))["revenue", "credit"] == 3100
    running = issued("2022-01-31", line(1, 3100, "2022-01-01", "2022-02-01"))
    assert sides(entry_of(book(running), "invoice_issued"))["deferred_revenue", "credit"] == 3100


def test_months_before_a_late_invoice_keep_their_period_and_are_due_at_once() -> None:
    books = book(issued("2022-03-15", QUARTER), today=date(2022, 3, 15))
    assert moved(books, "revenue") == {JAN: 3100, FEB: 2800}


def test_less_than_a_day_of_service_is_none() -> None:
    within = line(1, 700, "2022-01-05T01:00", "2022-01-05T23:00")
    assert sides(entry_of(book(issued("2022-01-01", within)), "invoice_issued")) == {
        ("receivable", "debit"): 700,
        ("revenue", "credit"): 700,
    }


def test_a_negative_total_goes_to_the_customer_credit() -> None:
    downgrade = line(1, 3000, "2022-01-11", "2022-02-01", direction="credit")
    books = book(issued("2022-01-11", downgrade))
    assert sides(entry_of(books, "invoice_issued")) == {
        ("customer_credit", "credit"): 3000,
        ("deferred_revenue", "debit"): 3000,
    }
    assert moved(books, "revenue") == {JAN: -3000}


def test_money_received_elsewhere_is_not_in_the_clearing_account() -> None:
    books = book(issued("2022-01-01", QUARTER), paid("2022-01-05", 9000, elsewhere=True))
    assert sides(entry_of(books, "payment_applied")) == {
        ("elsewhere", "debit"): 9000,
        ("receivable", "credit"): 9000,
    }
    assert entry_of(books, "payment_applied").gateway_reference == "ch_1"


def test_what_books_nothing_is_named() -> None:
    books = book(
        issued("2022-01-01", QUARTER),
        paid("2022-01-01", 0),
        failed("2022-01-02"),
        credited("2022-01-03", 1000, settlement="refund"),
    )
    assert reasons(books) == {
        "payment_applied:in_1": "amount_zero",
        "payment_failed:in_1": "payment_failed",
        "credit_note_issued:cn_1": "settled_by_refund",
    }


@pytest.mark.parametrize(
    "fact",
    [
        voided("2022-02-01"),
        lost("2022-02-01"),
        credited("2022-02-01", 100),
        refunded("2022-02-01", 100),
    ],
)
def test_what_takes_from_an_invoice_waits_for_its_issue(fact: Fact) -> None:
    assert [waiting.reason for waiting in book(fact).waiting] == ["invoice_not_issued"]
    assert not book(fact, issued("2022-01-01", QUARTER)).waiting


def test_a_payment_waits_for_no_earlier_event() -> None:
    assert sides(entry_of(book(paid("2022-01-01", 900)), "payment_applied")) == {
        ("clearing", "debit"): 900,
        ("receivable", "credit"): 900,
    }


def test_a_credit_of_all_that_is_left_takes_credit_lines_and_their_taxes_too() -> None:
    # 90.00 for the quarter, taxed here; 30.00 back for a year, taxed there.
    here, there = replace(tax(1800), tax_code="here"), replace(tax(600), tax_code="there")
    facts = [
        issued(
            "2022-01-01",
            line(1, 9000, "2022-01-01", "2022-04-01", here),
            line(2, 3000, "2022-01-01", "2023-01-01", there, direction="credit"),
        ),
        credited("2022-02-01", 6000, 1200),
    ]
    books = book(*facts)
    assert max(moved(books, "deferred_revenue")) == FEB
    assert sum(moved(books, "deferred_revenue").values()) == 0
    # January: 31.00 of the quarter less 31/365 of 30.00.
    assert moved(books, "revenue") == {JAN: 3100 - 254}
    assert moved(books, "contra") == {FEB: -(3100 - 254)}
    by_code: Counter[str] = Counter()
    for each in (one for entry in books.entries for one in entry.lines):
        if each.tax is not None:
            by_code[each.tax.tax_code or ""] += each.amount_minor * (1 - 2 * (each.side == "debit"))
    assert by_code == {"here": 0, "there": 0}
    undone = book(*facts, taken_back("credit_note_voided", facts[1], "2022-03-05"))
    assert sum(moved(undone, "deferred_revenue").values()) == 0
    assert sum(moved(undone, "revenue").values()) == 6000
    assert sum(moved(undone, "tax_payable").values()) == 1200


def test_facts_before_the_first_policy_wait_for_it() -> None:
    def policy_at(day: str) -> Policy | None:
        return POLICY if day >= "2022-02-01" else None

    facts = [issued("2022-01-31", QUARTER), voided("2022-02-01"), paid("2022-02-01", 9000)]
    books = book_document(facts, policy_at, "UTC", FAR)
    assert {waiting.fact_id: waiting.reason for waiting in books.waiting} == {
        "invoice_issued:in_1": "policy_not_found",
        "invoice_voided:in_1": "policy_not_found",
    }
    assert [entry.purpose for entry in books.entries] == ["payment_applied"]


def test_the_policy_of_the_issue_governs_releases_and_that_of_its_own_day_each_fact() -> None:
    renamed = {
        kind: tuple(replace(each, role=f"new_{each.role}") for each in lines)
        for kind, lines in POLICY.journals.items()
    }
    later = replace(POLICY, version="2", journals=renamed)
    books = book_document(
        [issued("2022-01-01", QUARTER), paid("2022-02-01", 9000)],
        lambda day: later if day >= "2022-02-01" else POLICY,
        "UTC",
        FAR,
    )
    assert set(sides(entry_of(books, "payment_applied"))) == {
        ("new_clearing", "debit"),
        ("new_receivable", "credit"),
    }
    assert moved(books, "revenue") == {JAN: 3100, FEB: 2800, MAR: 3100}


def test_an_invoice_whose_lines_do_not_add_up_is_refused_with_both_figures() -> None:
    books = book(issued("2022-01-01", QUARTER, total=9001), voided("2022-01-02"))
    assert books.refused == (
        Refused(
            "invoice_issued:in_1",
            "document_total_mismatch",
            "total 9001, net and tax of its lines add up to 9000, difference 1",
        ),
    )
    assert [waiting.reason for waiting in books.waiting] == ["invoice_not_issued"]
    assert not books.entries


def test_tax_against_the_direction_of_the_total_is_refused() -> None:
    odd = issued("2022-01-01", line(1, 200), line(2, 0, None, None, tax(1), direction="credit"))
    assert [refused.reason for refused in book(odd).refused] == ["tax_negative"]


@pytest.mark.parametrize(
    ("note", "reason"),
    [
        (credited("2022-01-02", -1), "amount_negative"),
        (credited("2022-01-02", 1, -1), "amount_negative"),
        (credited("2022-01-02", 5, named=(("il_1", 6),)), "document_total_mismatch"),
        (credited("2022-01-02", 5, named=(("il_1", 6), (None, -1))), "amount_negative"),
    ],
)
def test_a_credit_note_whose_figures_contradict_each_other_is_refused(
    note: Fact, reason: str
) -> None:
    books = book(issued("2022-01-01", QUARTER), note)
    assert [refused.reason for refused in books.refused] == [reason]


def test_a_credit_above_what_is_left_is_refused_and_changes_nothing() -> None:
    facts = [issued("2022-01-01", QUARTER), credited("2022-01-10", 6000)]
    books = book(*facts, credited("2022-01-11", 3001, name="cn_2"))
    assert [refused.reason for refused in books.refused] == ["credit_exceeds_document"]
    assert books.entries == book(*facts).entries


def test_a_named_line_bears_its_own_credit_and_no_more() -> None:
    invoice = issued("2022-01-01", QUARTER, line(2, 1000))
    books = book(invoice, credited("2022-01-10", 600, named=(("il_2", 600),)))
    assert sides(entry_of(books, "credit_note_issued")) == {
        ("contra", "debit"): 600,
        ("receivable", "credit"): 600,
    }
    too_much = book(invoice, credited("2022-01-10", 1001, named=(("il_2", 1001),)))
    assert [refused.detail for refused in too_much.refused] == ["line 2: 1001 to take, 1000 left"]


def test_a_credit_that_names_no_line_is_spread_over_charges_only() -> None:
    # 100 left on each of three charges; 100 in thirds is 34, 33, 33 (ties to the first line).
    charges = [line(number, 100) for number in (1, 2, 3)]
    back = line(4, 50, direction="credit")
    books = book(issued("2022-01-01", *charges, back), credited("2022-01-02", 100))
    note = entry_of(books, "credit_note_issued")
    assert [each.amount_minor for each in note.lines if each.role == "contra"] == [34, 33, 33]


def test_the_rest_after_a_credit_in_mid_month_is_spread_from_the_first_of_that_month() -> None:
    # By hand: 31 of 90 are earned, so 15.50 of the 45 is contra and 29.50 of 59 stays to earn, over
    # the 28 days of February and the 31 of March: 14.00 and 15.50.
    books = book(issued("2022-01-01", QUARTER), credited("2022-02-10", 4500))
    assert moved(books, "revenue") == {JAN: 3100, FEB: 1400, MAR: 1550}


def test_a_void_after_a_credit_note_clears_what_is_left() -> None:
    books = book(
        issued("2022-01-01", line(1, 9000, "2022-01-01", "2022-04-01", tax(900))),
        credited("2022-02-01", 4500, 450),
        voided("2022-03-01"),
    )
    assert sum(moved(books, "receivable").values()) == 0
    assert sum(moved(books, "deferred_revenue").values()) == 0
    assert sum(moved(books, "tax_payable").values()) == 0
    # P8: 31 and 14 were earned; 15.50 was taken back by the note, 29.50 are by the void.
    assert moved(books, "voids") == {MAR: -2950}


def test_an_uncollectible_invoice_keeps_its_tax_owed_and_loses_it() -> None:
    taxed = issued("2022-01-01", line(1, 9000, "2022-01-01", "2022-04-01", tax(900)))
    books = book(taxed, lost("2022-02-01"))
    assert moved(books, "bad_debt") == {FEB: -4000}
    assert moved(books, "tax_payable") == {JAN: 900}


def test_a_document_in_the_customers_favour_is_not_voided() -> None:
    books = book(issued("2022-01-11", line(1, 300, direction="credit")), voided("2022-01-12"))
    assert [refused.reason for refused in books.refused] == ["document_direction_wrong"]


def test_a_refund_without_an_invoice_is_all_revenue_taken_back() -> None:
    charge = replace(refunded("2022-01-10", 500), document="ch_1", document_kind="charge")
    assert sides(entry_of(book(charge), "refunded")) == {
        ("refunds", "debit"): 500,
        ("clearing", "credit"): 500,
    }


def test_a_refund_takes_the_split_of_the_credit_note_that_it_settles() -> None:
    invoice = issued("2022-01-01", QUARTER, line(2, 1000, None, None, tax(100)))
    note = credited("2022-01-10", 600, 60, settlement="refund", named=(("il_2", 600),))
    books = book(invoice, note, refunded("2022-01-10", 660))
    # domain rules 3.7: the refund that settles a note debits the contra of credit notes.
    assert sides(entry_of(books, "refunded")) == {
        ("contra", "debit"): 600,
        ("tax_payable", "debit"): 60,
        ("clearing", "credit"): 660,
    }


def test_a_cumulative_figure_counts_only_what_no_listed_refund_explains() -> None:
    invoice = issued("2022-01-01", QUARTER)
    first = refunded("2022-01-10", None, 500, name="ch_1:500")
    both = refunded("2022-01-12", None, 800, name="ch_1:800")
    listed = refunded("2022-01-10", 500, 500, name="re_1")
    assert moved(book(invoice, both), "clearing") == {JAN: 800}
    assert moved(book(invoice, first, both), "clearing") == {JAN: 800}
    assert moved(book(invoice, first, both, listed), "clearing") == {JAN: 800}
    assert reasons(book(invoice, first, listed)) == {"refunded:ch_1:500": "amount_zero"}


def test_a_refund_too_small_for_a_cent_of_tax_takes_none() -> None:
    invoice = issued("2022-01-01", line(1, 10_000, None, None, tax(100)))
    books = book(invoice, refunded("2022-01-10", 1))
    assert moved(books, "tax_payable") == {JAN: 100}
    assert moved(books, "refunds") == {JAN: -1}


def test_a_refund_that_tells_no_figure_gives_nothing_back() -> None:
    told = refunded("2022-01-10", None, name="ch_1:0")
    assert told.refund is not None
    silent = replace(told, refund=replace(told.refund, cumulative_minor=None))
    books = book(issued("2022-01-01", QUARTER), silent)
    assert reasons(books) == {"refunded:ch_1:0": "amount_zero"}


def test_a_settlement_without_a_journal_is_refused() -> None:
    books = book(
        issued("2022-01-01", QUARTER), credited("2022-01-10", 10, settlement="out_of_band")
    )
    assert [refused.reason for refused in books.refused] == ["credit_note_settlement_unsupported"]


@pytest.mark.parametrize(
    ("fact", "reason"),
    [
        (replace(paid("2022-01-02", 1), currency="EUR"), "currency_differs"),
        (replace(paid("2022-01-02", 1), currency="XTS"), "currency_unknown"),
        (replace(paid("2022-01-02", 1), currency=None), "currency_unknown"),
        (replace(paid("2022-01-02", 1), payment=None), "fact_incomplete"),
        (replace(paid("2022-01-02", 1), kind="surprise"), "fact_kind_unknown"),
    ],
)
def test_a_fact_that_fits_nothing_is_refused(fact: Fact, reason: str) -> None:
    books = book(issued("2022-01-01", QUARTER), fact)
    assert [refused.reason for refused in books.refused] == [reason]


def _without(journal: str) -> Policy:
    kept = {kind: each for kind, each in POLICY.journals.items() if kind != journal}
    return replace(POLICY, journals=kept)


def test_an_invoice_that_could_never_be_earned_waits_as_a_whole() -> None:
    without = _without("revenue_released")
    books = book_document([issued("2022-01-01", QUARTER)], lambda _: without, "UTC", FAR)
    assert [waiting.reason for waiting in books.waiting] == ["policy_not_found"]
    assert not books.entries


def test_a_template_that_is_missing_makes_the_fact_wait() -> None:
    without = _without("payment_applied")
    books = book_document([paid("2022-01-01", 5)], lambda _: without, "UTC", FAR)
    assert books.waiting == (
        Waiting(
            "payment_applied:in_1",
            "policy_not_found",
            "policy stripe 1 has no journal payment_applied",
        ),
    )


@pytest.mark.parametrize(
    ("zone", "day", "ends"),
    [
        # Offsets of the IANA time zone database.
        ("Asia/Tokyo", date(2022, 1, 31), "2022-01-31T15:00"),
        (NEW_YORK, date(2022, 3, 13), "2022-03-14T04:00"),
        (NEW_YORK, date(2022, 11, 6), "2022-11-07T05:00"),
        # Brazil's clocks went from midnight to one: the day began at 03:00 UTC all the same.
        ("America/Sao_Paulo", date(2018, 11, 3), "2018-11-04T03:00"),
        # Samoa skipped 30 December 2011.
        ("Pacific/Apia", date(2011, 12, 29), "2011-12-30T10:00"),
    ],
)
def test_a_day_ends_with_the_first_moment_of_the_next(zone: str, day: date, ends: str) -> None:
    assert day_end_ms(day, zone) == ms(ends)
    assert local_date(ms(ends) - 1, zone) == day
    assert local_date(ms(ends), zone) > day
