"""Parts of payments, losses paid after all, what is taken back, disputes and payouts, by hand.

Sources: domain rules 3.1 and 3.7, published cases P6 and P8 (minor units here).
"""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st
from msgspec.structs import replace

from streamsync.core.facts import BalanceTransaction, Charge, Dispute, Fact, Payout
from streamsync.core.journal import book_document
from tests.unit.core_facts import (
    FAR,
    FEB,
    JAN,
    MAR,
    POLICY,
    QUARTER,
    book,
    credited,
    entry_of,
    fact,
    issued,
    line,
    lost,
    moved,
    paid,
    part_paid,
    reasons,
    refunded,
    sides,
    taken_back,
    tax,
    voided,
)

# Published cases P1, P6, P7: 31.00 from 15 January to 15 February.
MONTH = line(1, 3100, "2022-01-15", "2022-02-15")


def movement(amount: int, fee: int, currency: str = "USD") -> BalanceTransaction:
    """A balance transaction of these signed figures."""
    return BalanceTransaction(
        balance_transaction_id="txn_1",
        kind="adjustment",
        direction="in" if amount >= 0 else "out",
        amount_minor=abs(amount),
        fee_minor=abs(fee),
        fee_direction="charged" if fee >= 0 else "returned",
        net_minor=abs(amount - fee),
        net_direction="in" if amount >= fee else "out",
        currency=currency,
    )


def test_the_whole_books_what_its_earlier_parts_did_not() -> None:
    issue = issued("2022-01-15", MONTH)
    first, last = part_paid("2022-01-16", 1000, "a"), part_paid("2022-01-18", 2100, "b")
    whole = paid("2022-01-18", 3100)
    alone = book(issue, first)
    assert moved(alone, "clearing") == {JAN: -1000}
    waits = book(issue, first, last)
    assert reasons(waits) == {"payment_applied:b": "payment_not_confirmed"}
    books = book(issue, first, last, whole)
    assert reasons(books) == {"payment_applied:b": "settled_by_payment"}
    assert [sides(one)["clearing", "debit"] for one in books.entries
            if one.purpose == "payment_applied"] == [1000, 2100]  # fmt: skip
    assert moved(books, "receivable") == {}
    broken = book(issue, first, paid("2022-01-18", 900))
    assert reasons(broken) == {"payment_applied:in_1": "payment_total_mismatch"}
    assert broken.refused[0].detail == "900 paid in all, its earlier parts add up to 1000"


def test_a_part_that_pays_what_a_credit_note_left_waits_for_the_whole() -> None:
    # 31.00 billed, 6.00 credited before the payment: 25.00 are due, not 31.00.
    note = credited("2022-01-16", 600, settlement="receivable")
    issue, whole = issued("2022-01-15", MONTH), paid("2022-01-18", 2500)
    all_that_is_due = part_paid("2022-01-18", 2500, "b")
    alone = book(issue, note, all_that_is_due)
    assert reasons(alone) == {"payment_applied:b": "payment_not_confirmed"}
    assert moved(book(issue, note, all_that_is_due, whole), "clearing") == {JAN: -2500}
    first, last = part_paid("2022-01-17", 1000, "a"), part_paid("2022-01-18", 1500, "b")
    assert moved(book(issue, note, first), "clearing") == {JAN: -1000}
    assert reasons(book(issue, note, first, last)) == {"payment_applied:b": "payment_not_confirmed"}
    assert moved(book(issue, note, first, last, whole), "receivable") == {}


def test_too_much_is_the_customers_credit() -> None:
    told = paid("2022-01-16", 3500)
    assert told.payment is not None
    over = replace(told, payment=replace(told.payment, overpaid_minor=400))
    books = book(issued("2022-01-15", MONTH), over)
    assert moved(books, "receivable") == {}
    assert moved(books, "customer_credit") == {JAN: 400}
    assert moved(books, "clearing") == {JAN: -3500}


def test_a_loss_takes_only_what_is_owed_after_a_part() -> None:
    # 31.00 and 3.10 tax; 14.10 paid; 20.00 lost, its tax 20.00 x 3.10 / 34.10 = 1.82.
    item = line(1, 3100, "2022-01-15", "2022-02-15", tax(310))
    books = book(issued("2022-01-15", item), part_paid("2022-01-20", 1410, "a"), lost("2022-02-01"))
    assert moved(books, "receivable") == {JAN: -2000, FEB: 2000}
    # Net 18.18: released share 18.18 x 17 / 31 = 9.97, deferred 8.21.
    assert sides(entry_of(books, "invoice_uncollectible")) == {
        ("deferred_revenue", "debit"): 821,
        ("bad_debt", "debit"): 997 + 182,
        ("receivable", "credit"): 2000,
    }
    assert moved(books, "deferred_revenue") == {JAN: 1400, FEB: -1400}
    settled = book(issued("2022-01-15", item), paid("2022-01-20", 3410), voided("2022-02-01"))
    assert reasons(settled) == {"invoice_voided:in_1": "nothing_outstanding"}


def test_a_loss_that_is_paid_comes_back_and_the_rest_is_earned_late() -> None:
    # P6: 17.00 bad debt, 14.00 deferred taken on 1 February; paid on 10 March.
    books = book(issued("2022-01-15", MONTH), lost("2022-02-01"), paid("2022-03-10", 3100))
    assert sides(entry_of(books, "invoice_recovered")) == {
        ("receivable", "debit"): 3100,
        ("bad_debt", "credit"): 1700,
        ("deferred_revenue", "credit"): 1400,
    }
    assert moved(books, "bad_debt") == {FEB: -1700, MAR: 1700}
    assert moved(books, "revenue") == {JAN: 1700, MAR: 1400}
    assert moved(books, "receivable") == {JAN: -3100, FEB: 3100}


def test_a_part_of_a_loss_comes_back_in_proportion() -> None:
    half = book(issued("2022-01-15", MONTH), lost("2022-02-01"), part_paid("2022-03-10", 1550, "a"))
    assert sides(entry_of(half, "invoice_recovered")) == {
        ("receivable", "debit"): 1550,
        ("bad_debt", "credit"): 850,
        ("deferred_revenue", "credit"): 700,
    }


def test_a_voided_note_is_the_exact_inverse() -> None:
    # P8: 90.00 January to March, a note of 45.00 on 1 February takes 15.50 and 29.50.
    issue = issued("2022-01-01", QUARTER)
    note = credited("2022-02-01", 4500)
    books = book(issue, note, taken_back("credit_note_voided", note, "2022-02-20"))
    assert sides(entry_of(books, "credit_note_voided")) == {
        ("receivable", "debit"): 4500,
        ("contra", "credit"): 1550,
        ("deferred_revenue", "credit"): 2950,
    }
    # What is deferred again is earned over what is left: 28 and 31 of 59 days, as without it.
    assert moved(books, "revenue") == {JAN: 3100, FEB: 2800, MAR: 3100}
    assert moved(books, "contra") == {}
    alone = book(issue, taken_back("credit_note_voided", note, "2022-02-20"))
    assert reasons(alone) == {"credit_note_voided:cn_1": "credit_note_not_issued"}
    by_refund = credited("2022-02-01", 4500, settlement="refund")
    nothing = book(issue, by_refund, taken_back("credit_note_voided", by_refund, "2022-02-20"))
    assert reasons(nothing)["credit_note_voided:cn_1"] in ("settled_by_refund", "nothing_booked")


def test_what_a_voided_note_had_forgiven_is_owed_again() -> None:
    note = credited("2022-01-16", 600, settlement="receivable")
    voided = taken_back("credit_note_voided", note, "2022-01-17")
    books = book(issued("2022-01-15", MONTH), note, voided, lost("2022-01-18"))
    assert moved(books, "receivable") == {}
    assert sides(entry_of(books, "invoice_uncollectible"))["receivable", "credit"] == 3100


def test_nothing_given_back_is_nothing_whether_or_not_its_invoice_was_seen() -> None:
    books = book(credited("2022-01-16", 0))
    assert reasons(books) == {"credit_note_issued:cn_1": "amount_zero"}


def test_a_refund_that_fails_never_left() -> None:
    issue = issued("2022-01-15", MONTH)
    refund = refunded("2022-02-01", 3100)
    failed = taken_back("refund_failed", refund, "2022-02-05")
    books = book(issue, paid("2022-01-15", 3100), refund, failed)
    assert moved(books, "clearing") == {JAN: -3100}
    assert moved(books, "refunds") == {}
    assert moved(books, "revenue") == {JAN: 1700, FEB: 1400}
    assert reasons(book(issue, failed)) == {"refund_failed:re_1": "refund_not_seen"}
    again = refunded("2022-02-10", 3100, name="re_2")
    assert reasons(book(issue, paid("2022-01-15", 3100), refund, failed, again)) == {}


def test_more_than_was_paid_is_never_given_back() -> None:
    books = book(
        issued("2022-01-15", MONTH), paid("2022-01-15", 3000), refunded("2022-02-01", 3001)
    )
    (refused,) = books.refused
    assert refused.reason == "refund_exceeds_payment"
    assert refused.detail == "3001 to give back after 0, 3000 was paid"


def test_a_refund_settles_the_note_that_names_it() -> None:
    issue = issued("2022-01-15", line(1, 3100, "2022-01-15", "2022-02-15", tax(310)))
    one, other = (
        replace(told, credit_note=replace(told.credit_note, refunds=names))
        for told, names in (
            (credited("2022-01-20", 1000, 100, "refund", "cn_1"), ("re_2",)),
            (credited("2022-01-20", 1100, 0, "refund", "cn_2"), ("re_1",)),
        )
        if told.credit_note is not None
    )
    books = book(issue, one, other, refunded("2022-01-21", 1100, 1100, "re_1"),
                 refunded("2022-01-22", 1100, 2200, "re_2"))  # fmt: skip
    taxes = [sides(entry).get(("tax_payable", "debit"), 0) for entry in books.entries
             if entry.purpose == "refunded"]  # fmt: skip
    assert taxes == [0, 100]


def charge(fee: BalanceTransaction | None, **parts: object) -> Fact:
    """A charge of 31.00."""
    told = Charge(
        charge="ch_1", processor="stripe", amount_minor=3100, destination=False, balance=fee
    )
    return fact("charge_succeeded", "2022-01-15", "ch_1", **({"charge": told} | parts))


def test_a_charge_of_an_invoice_books_its_fee_in_the_currency_of_settlement() -> None:
    books = book(charge(movement(2800, 120, "EUR")))
    entry = entry_of(books, "charge_fee")
    assert (entry.currency, sides(entry)) == (
        "EUR",
        {("processing_fees", "debit"): 120, ("clearing", "credit"): 120},
    )
    assert reasons(book(charge(None))) == {"charge_succeeded:ch_1": "fee_not_told"}


def test_a_charge_without_an_invoice_is_revenue_and_a_platforms_charge_its_fee() -> None:
    alone = {"document": "ch_1", "document_kind": "charge"}
    books = book(charge(movement(3100, 120), **alone))
    assert moved(books, "revenue") == {JAN: 3100}
    assert moved(books, "clearing") == {JAN: -2980}
    platform = Charge(charge="ch_1", processor="stripe", amount_minor=3100, destination=True,
                      application_fee_minor=310, balance=movement(310, 120))  # fmt: skip
    books = book(charge(None, charge=platform, **alone))
    assert moved(books, "application_fee_revenue") == {JAN: 310}
    assert moved(books, "clearing") == {JAN: -190}


def disputed(
    kind: str, day: str, *movements: BalanceTransaction, outcome: str | None = None
) -> Fact:
    """A step of a dispute of 31.00."""
    dispute = Dispute(
        dispute_id="dp_1",
        charge="ch_1",
        amount_minor=3100,
        status=outcome or "needs_response",
        outcome=outcome,
        movements=movements,
    )
    return fact(kind, day, "dp_1", dispute=dispute)


def test_a_dispute_parks_its_amount_and_ends_lost_or_won() -> None:
    out, back = movement(-3100, 1500), movement(3100, -1500)
    opened = disputed("dispute_opened", "2022-02-01")
    taken = disputed("dispute_funds_withdrawn", "2022-02-02", out)
    lost_one = disputed("dispute_closed", "2022-03-01", out, outcome="lost")
    books = book(opened, taken, lost_one)
    assert moved(books, "clearing") == {FEB: 4600}
    assert moved(books, "disputes_receivable") == {FEB: -3100, MAR: 3100}
    assert moved(books, "dispute_losses") == {MAR: -3100}
    assert reasons(books) == {"dispute_opened:dp_1": "dispute_opened"}
    given = disputed("dispute_funds_reinstated", "2022-03-01", back)
    won = disputed("dispute_closed", "2022-03-01", out, back, outcome="won")
    books = book(taken, given, won)
    assert moved(books, "clearing") == {FEB: 4600, MAR: -4600}
    assert moved(books, "dispute_fees") == {FEB: -1500, MAR: 1500}
    assert reasons(books) == {"dispute_closed:dp_1": "dispute_won"}


def test_a_disputes_fee_in_another_currency_is_an_entry_of_its_own() -> None:
    books = book(disputed("dispute_funds_withdrawn", "2022-02-02", movement(-2800, 1500, "EUR")))
    entry = entry_of(books, "dispute_fee")
    assert (entry.currency, sides(entry)["clearing", "credit"]) == ("EUR", 1500)
    assert sides(entry_of(books, "dispute_funds_withdrawn"))["clearing", "credit"] == 3100


def payout(kind: str, day: str, amount: int, balance: BalanceTransaction | None = None) -> Fact:
    """A payout; below zero it comes from the bank."""
    told = Payout(
        payout_id="po_1",
        processor="stripe",
        direction="in" if amount < 0 else "out",
        amount_minor=abs(amount),
        balance=balance,
    )
    return fact(kind, day, "po_1", document="po_1", document_kind="payout", payout=told)


def test_payouts_reach_the_bank_with_their_fee_or_come_back() -> None:
    books = book(payout("payout_paid", "2022-02-01", 1000, movement(-1000, 15)))
    assert moved(books, "bank") == {FEB: -1000}
    assert moved(books, "clearing") == {FEB: 1015}
    books = book(payout("payout_paid", "2022-02-01", -700))
    assert moved(books, "bank") == {FEB: 700}
    back = book(
        payout("payout_paid", "2022-02-01", 1000), payout("payout_failed", "2022-03-03", 1000)
    )
    assert moved(back, "bank") == {FEB: -1000, MAR: 1000}
    alone = book(payout("payout_failed", "2022-03-03", 1000))
    assert reasons(alone) == {"payout_failed:po_1": "nothing_booked"}
    euros = book(payout("payout_paid", "2022-02-01", 1000, movement(-900, 0, "EUR")))
    assert euros.refused[0].reason == "payout_currency_differs"
    assert euros.refused[0].detail == "USD 1000 to the bank, EUR 900 from the balance"


AMOUNTS = st.integers(1, 9000)
DAYS = st.integers(1, 28)


@given(
    AMOUNTS, DAYS, DAYS, st.integers(0, 900), st.sampled_from(["receivable", "customer_balance"])
)
def test_whatever_a_note_took_its_void_gives_back(
    net: int, day: int, later: int, tax_part: int, settlement: str
) -> None:
    item = line(1, 9000, "2022-01-01", "2022-04-01", tax(900))
    issue = issued("2022-01-01", item)
    note = credited(f"2022-01-{day:02d}", net, tax_part, settlement)
    void = taken_back("credit_note_voided", note, f"2022-02-{later:02d}")
    books = book(issue, note, void)
    untouched = book(issue)
    for role in ("receivable", "customer_credit", "tax_payable", "contra", "deferred_revenue",
                 "revenue"):  # fmt: skip
        assert sum(moved(books, role).values()) == sum(moved(untouched, role).values())
    assert book_document([void, note, issue], lambda _: POLICY, "UTC", FAR) == books
