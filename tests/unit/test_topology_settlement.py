"""Money that is settled in another currency than it was paid in: clearing ends at nothing in both.

The example: 31.00 EUR, issued at 1.20 and paid at 1.30 dollars; the processor settles it as 40.00
USD, keeps 1.20 USD and pays out 38.80 USD. By hand: the payment is worth 40.30 against a receivable
of 37.20, a gain of 3.10; the conversion costs 40.30 - 40.00, a loss of 0.30.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from itertools import permutations
from typing import Any

import pytest
from msgspec.structs import replace

from streamsync.core.money import exponent
from tests.ledger_driver import Books, one_by_one
from tests.stripe_payloads import FEB_15, JAN_15, charge, event, invoice, line

NOON = 43_200
DAY = 86_400
RATES = {"2026-01-14": "1.2", "2026-02-13": "1.3", "2026-02-19": "1.25", "2026-03-01": "1.1"}


def moved(
    kind: str, amount: int, fee: int = 0, currency: str = "usd", identity: str | None = None
) -> dict[str, Any]:
    return {
        "id": identity or f"txn_{kind}_{amount}",
        "object": "balance_transaction",
        "amount": amount,
        "currency": currency,
        "exchange_rate": 1.29,
        "fee": fee,
        "fee_details": [],
        "net": amount - fee,
        "type": kind,
    }


def _invoice(**more: Any) -> dict[str, Any]:
    item = line(currency="eur", period={"start": JAN_15 + NOON, "end": FEB_15 + NOON})
    times = {"finalized_at": JAN_15 + NOON, "paid_at": more.pop("paid_at", None)}
    return invoice(item, currency="eur", status_transitions=times)


ISSUED = event("invoice.finalized", _invoice(), id="evt_issue", created=JAN_15 + NOON)
PAID = event("invoice.paid", _invoice(paid_at=FEB_15), id="evt_paid", created=FEB_15)
CHARGED = event(
    "charge.succeeded",
    charge(currency="eur", balance_transaction=moved("charge", 4000, 120), created=FEB_15),
    id="evt_charge",
    created=FEB_15,
)


def payout(amount: int, at: int = FEB_15 + 2 * DAY) -> dict[str, Any]:
    body = {
        "id": f"po_{amount}",
        "object": "payout",
        "amount": amount,
        "currency": "usd",
        "arrival_date": at,
        "created": at,
        "status": "paid",
        "balance_transaction": moved("payout", -amount),
    }
    return event("payout.paid", body, id=f"evt_po_{amount}", created=at)


def refunded(amount: int, settled: int, at: int = FEB_15 + 6 * DAY) -> dict[str, Any]:
    given = {
        "id": "re_1",
        "object": "refund",
        "amount": amount,
        "created": at,
        "status": "succeeded",
        "balance_transaction": moved("refund", -settled),
    }
    body = charge(given, currency="eur", created=FEB_15)
    return event("charge.refunded", body, id="evt_refund", created=at)


def refund_failed(
    amount: int, returned: int | None = None, at: int = FEB_15 + 16 * DAY
) -> dict[str, Any]:
    body = {
        "id": "re_1",
        "object": "refund",
        "amount": amount,
        "charge": "ch_1",
        "currency": "eur",
        "created": FEB_15 + 6 * DAY,
        "status": "failed",
    }
    if returned is not None:
        body["failure_balance_transaction"] = moved("refund_failure", returned)
    return event("refund.failed", body, id="evt_failed", created=at)


def disputed(kind: str, *movements: dict[str, Any], at: int) -> dict[str, Any]:
    body = {
        "id": "dp_1",
        "object": "dispute",
        "amount": 3100,
        "charge": {"id": "ch_1", "object": "charge", "customer": "cus_1", "invoice": "in_1"},
        "currency": "eur",
        "created": at,
        "status": "lost" if kind == "closed" else "needs_response",
        "balance_transactions": list(movements),
    }
    return event(f"charge.dispute.{kind}", body, id=f"evt_{kind}", created=at)


def booked(told: Sequence[dict[str, Any]], rates: bool = True) -> Books:
    books = Books(partitions=1, company=one_by_one())
    books.customer("cus_1")
    if rates:
        publish(books)
    books.tick("2026-04-02T12:00:00")
    books.run()
    for one in told:
        books.webhook(one)
        books.run()
    return books


def publish(books: Books) -> None:
    for kind in ("spot", "closing"):
        closing = {"2026-01-31": "1.2", "2026-03-31": "1.1"}
        books.rates("EUR", "USD", RATES | closing, kind=kind)
    books.run()


def balances(books: Books, role: str) -> dict[str, int]:
    """By currency, and `worth` in the entity's own; what is nothing is left out."""
    found: Counter[str] = Counter()
    for command in books.commands():
        for each in command.lines:
            if each.role == role:
                sign = 1 if each.side == "debit" else -1
                found[command.txn_currency] += sign * each.amount_minor
                found["worth"] += sign * each.functional_minor
    return {name: amount for name, amount in found.items() if amount}


def test_clearing_comes_to_nothing_in_both_currencies_when_it_is_paid_out() -> None:
    books = booked([ISSUED, PAID, CHARGED, payout(3880)])
    assert books.open_codes() == []
    assert balances(books, "clearing") == {}
    assert balances(books, "clearing_conversion") == {"EUR": 3100, "USD": -4000}
    assert balances(books, "bank") == {"USD": 3880, "worth": 3880}
    assert balances(books, "receivable") == {}
    assert balances(books, "fx_gain_loss")["worth"] == -310 + 30
    totals = books.totals("acme-us")
    assert totals.billing_agrees
    assert totals.erp_agrees


def test_each_currency_has_an_entry_that_balances_alone() -> None:
    books = booked([ISSUED, CHARGED])
    entries = [one for one in books.commands() if one.purpose.startswith("settlement_")]
    entries.sort(key=lambda one: one.txn_currency)
    assert [
        (one.purpose, one.txn_currency, [(x.role, x.side, x.amount_minor) for x in one.lines])
        for one in entries
    ] == [
        (
            "settlement_left",
            "EUR",
            [("clearing_conversion", "debit", 3100), ("clearing", "credit", 3100)],
        ),
        (
            "settlement_arrived",
            "USD",
            [
                ("clearing", "debit", 4000),
                ("clearing_conversion", "credit", 4000),
                ("fx_gain_loss", "debit", 0),
            ],
        ),
    ]
    assert [[x.functional_minor for x in one.lines] for one in entries] == [
        [4030, 4030],
        [4000, 4030, 30],
    ]
    for one in entries:
        assert one.totals.functional_debit_minor == one.totals.functional_credit_minor


def test_no_order_of_arrival_changes_the_books() -> None:
    told = [ISSUED, PAID, CHARGED, refunded(1000, 1260)]
    found = {str(sorted(booked(order).balances().items())) for order in permutations(told)}
    assert len(found) == 1


def test_a_refund_goes_out_in_the_currency_of_settlement() -> None:
    # 10.00 EUR at 1.25 are 12.50 USD; the processor takes 12.60.
    books = booked([ISSUED, PAID, CHARGED, refunded(1000, 1260), payout(3880 - 1260)])
    assert books.open_codes() == []
    assert balances(books, "clearing") == {}
    assert balances(books, "clearing_conversion") == {"EUR": 2100, "USD": -2740}
    # Revenue is taken back at the rate of the issue: 12.00 for 12.50, a loss of 0.50; and 0.10.
    assert balances(books, "fx_gain_loss")["worth"] == -310 + 30 + 50 + 10
    assert books.totals("acme-us").billing_agrees


@pytest.mark.parametrize("returned", [None, 1260, 1100])
def test_a_refund_that_failed_comes_back_as_it_is_told_or_as_it_went(
    returned: int | None,
) -> None:
    told = [ISSUED, PAID, CHARGED, refunded(1000, 1260), refund_failed(1000, returned)]
    lost = 1260 - (1260 if returned is None else returned)
    books = booked([*told, payout(3880 - lost)])
    assert books.open_codes() == []
    assert balances(books, "clearing") == {}
    assert balances(books, "clearing_conversion") == {"EUR": 3100, "USD": -4000 + lost}
    assert books.totals("acme-us").billing_agrees


def test_a_refund_whose_settlement_does_not_add_up_is_refused_at_its_place() -> None:
    told = refunded(1000, 1260)
    told["data"]["object"]["refunds"]["data"][0]["balance_transaction"]["net"] = -1259
    books = booked([ISSUED, PAID, CHARGED, told])
    (refused,) = [row for row in books.source_rows() if row.outcome == "rejected"]
    assert refused.reason == "document_total_mismatch"
    assert refused.detail == (
        "data.object.refunds.data[0].balance_transaction.net: -1259, amount -1260 less fee 0 is "
        "-1260, difference 1"
    )


def test_a_dispute_takes_and_gives_back_in_the_currency_of_settlement() -> None:
    withdrawn = moved("adjustment", -3900, 1500, identity="txn_out")
    back = moved("adjustment", 3410, identity="txn_in")
    told = [
        ISSUED,
        PAID,
        CHARGED,
        disputed("funds_withdrawn", withdrawn, at=FEB_15 + 6 * DAY),
        disputed("funds_reinstated", withdrawn, back, at=FEB_15 + 16 * DAY),
    ]
    books = booked([*told, payout(3880 - 3900 - 1500 + 3410)])
    assert books.open_codes() == []
    assert balances(books, "clearing") == {}
    assert balances(books, "disputes_receivable") == {}
    # Out and back in euros cancel out; in dollars the processor kept the difference.
    assert balances(books, "clearing_conversion") == {"EUR": 3100, "USD": -4000 + 3900 - 3410}
    assert books.totals("acme-us").billing_agrees


def test_what_arrives_waits_with_what_left_for_its_rate() -> None:
    books = booked([ISSUED, PAID, CHARGED], rates=False)
    assert balances(books, "clearing_conversion") == {}
    publish(books)
    assert books.open_codes() == []
    assert balances(books, "clearing_conversion") == {"EUR": 3100, "USD": -4000}


def test_without_an_account_for_the_conversion_only_the_conversion_waits() -> None:
    company = one_by_one()
    company = replace(
        company,
        account_rules=tuple(
            rule for rule in company.account_rules if rule.role != "clearing_conversion"
        ),
    )
    books = Books(partitions=1, company=company)
    books.customer("cus_1")
    publish(books)
    for one in (ISSUED, PAID, CHARGED):
        books.webhook(one)
    books.run()
    assert books.open_codes() == ["account_unmapped"]
    assert balances(books, "receivable") == {}
    assert balances(books, "processing_fees") == {"USD": 120, "worth": 120}


@pytest.mark.parametrize(("settled", "digits"), [("jpy", 0), ("kwd", 3)])
def test_the_currency_of_settlement_keeps_its_own_decimals(settled: str, digits: int) -> None:
    assert exponent(settled.upper()) == digits
    books = Books(partitions=1, company=one_by_one())
    books.customer("cus_1")
    publish(books)
    rate = "0.0065" if digits == 0 else "3.25"
    books.rates(settled.upper(), "USD", {"2026-02-13": rate})
    arrived = 6154 if digits == 0 else 12310  # 6,154 JPY = 40.00 USD; 12.310 KWD = 40.01 USD
    body = charge(
        currency="eur", balance_transaction=moved("charge", arrived, currency=settled),
        created=FEB_15,
    )  # fmt: skip
    for one in (ISSUED, PAID, event("charge.succeeded", body, id="evt_charge", created=FEB_15)):
        books.webhook(one)
    books.run()
    assert books.open_codes() == []
    worth = 4000 if digits == 0 else 4001
    assert balances(books, "clearing") == {settled.upper(): arrived, "worth": worth}
    assert "worth" not in balances(books, "clearing_conversion")
