"""Foreign documents through the ledger: rates that come late, are too old, or change; deadlines."""

from __future__ import annotations

from typing import Any

import pytest

from tests.ledger_driver import Books, rejects
from tests.stripe_payloads import FEB_15, JAN_15, charge, event, invoice, line

NOON = 43_200


@pytest.fixture
def books() -> Books:
    made = Books()
    made.customer("cus_1")
    return made


def publish(books: Books, *rates: tuple[str, str], version: int = 1, kind: str = "spot") -> None:
    books.rates("EUR", "USD", dict(rates), kind=kind, version=version)
    books.run()


def issued() -> dict[str, Any]:
    item = line(currency="eur", period={"start": JAN_15 + NOON, "end": FEB_15 + NOON})
    times = {"finalized_at": JAN_15 + NOON, "paid_at": None}
    body = invoice(item, currency="eur", status_transitions=times)
    return event("invoice.finalized", body, id="evt_issue")


def paid() -> dict[str, Any]:
    times = {"finalized_at": JAN_15 + NOON, "paid_at": FEB_15}
    item = line(currency="eur", period={"start": JAN_15 + NOON, "end": FEB_15 + NOON})
    body = invoice(item, currency="eur", status_transitions=times)
    return event("invoice.paid", body, id="evt_paid", created=FEB_15)


def worth(books: Books, role: str) -> int:
    return sum(
        each.functional_minor if each.side == "debit" else -each.functional_minor
        for command in books.commands()
        for each in command.lines
        if each.role == role
    )


def test_an_invoice_waits_for_its_rate_and_the_arrival_books_it(books: Books) -> None:
    books.webhook(issued())
    books.run()
    assert books.open_codes() == ["fx_rate_not_found"]
    publish(books, ("2026-01-14", "1.2"))
    (command,) = books.commands()
    assert (command.totals.debit_minor, command.totals.functional_debit_minor) == (3100, 3720)
    assert command.fx.rate_id == "spot:EUR/USD:2026-01-14:1"
    assert books.open_codes() == []
    assert books.counts() == {"posted": 1}


def test_a_rate_that_is_too_old_is_named_with_its_age(books: Books) -> None:
    publish(books, ("2026-01-02", "1.2"))
    books.webhook(issued())
    books.run()
    (told,) = books.exceptions().values()
    assert told.code == "fx_rate_stale"
    assert "the latest is 1.2 of 2026-01-02, 12 days old; at most 7" in told.detail
    publish(books, ("2026-01-09", "1.3"))
    assert len(books.commands()) == 1


def test_one_foreign_document_holds_up_nothing_else_of_its_account(books: Books) -> None:
    books.webhook(issued())
    other = invoice(line(id="il_2"), id="in_2")
    books.webhook(event("invoice.finalized", other, id="evt_2"))
    books.run()
    assert [command.document for command in books.commands()] == ["in_2"]


def test_a_wait_that_is_too_long_is_m13_until_the_rate_comes(books: Books) -> None:
    books.tick("2026-01-16T00:00:00")
    books.webhook(issued())
    books.run()
    books.tick("2026-01-22T00:00:00")
    books.run()
    assert books.open_codes() == ["fx_rate_not_found"]
    books.tick("2026-01-23T01:00:00")
    books.run()
    assert books.open_codes() == ["M13", "fx_rate_not_found"]
    publish(books, ("2026-01-14", "1.2"))
    assert books.open_codes() == []


def test_what_waits_since_before_the_first_tick_counts_from_that_tick_on(books: Books) -> None:
    books.webhook(issued())
    books.run()
    for time, codes in (("2026-01-20T00:00:00", 1), ("2026-01-26T00:00:00", 1)):
        books.tick(time)
        books.run()
        assert len(books.open_codes()) == codes
    books.tick("2026-01-28T00:00:00")
    books.run()
    assert books.open_codes() == ["M13", "fx_rate_not_found"]


def test_releases_keep_the_rate_of_the_issue_and_the_payment_has_its_own(books: Books) -> None:
    publish(books, ("2026-01-14", "1.2"), ("2026-02-13", "1.1"))
    publish(books, ("2026-01-31", "1.2"), version=1, kind="closing")
    books.webhook(issued())
    books.webhook(paid())
    for day in ("2026-02-01", "2026-03-01", "2026-03-02"):
        books.tick(f"{day}T12:00:00")
        books.run()
    assert worth(books, "revenue") == -3720
    assert worth(books, "deferred_revenue") == 0
    assert worth(books, "receivable") == 0
    assert worth(books, "clearing") == 3410
    assert worth(books, "fx_gain_loss") == 310
    assert books.open_codes() == []
    totals = books.totals("acme-us")
    assert totals.billing_agrees and totals.erp_agrees


def test_acceptance_freezes_the_rate_and_a_corrected_one_changes_nothing(books: Books) -> None:
    publish(books, ("2026-01-14", "1.2"))
    books.webhook(issued())
    books.run()
    publish(books, ("2026-01-14", "1.9"), version=2)
    books.tick("2026-02-01T12:00:00")
    books.run()
    assert worth(books, "revenue") == -2040  # 17.00 at 1.2
    assert {command.action for command in books.commands()} == {"post"}


def test_a_refusal_frees_the_rate(books: Books) -> None:
    publish(books, ("2026-01-14", "1.2"))
    books.webhook(issued())
    books.run(rejects)
    assert books.open_codes() == ["M02"]
    publish(books, ("2026-01-14", "1.3"), version=2)
    books.tick("2026-02-01T12:00:00")
    books.run()
    assert worth(books, "receivable") == 3720 + 4030  # the refused one, and the one at 1.3
    assert "M02" not in books.open_codes()


def test_open_items_are_revalued_at_the_month_end_and_taken_back(books: Books) -> None:
    publish(books, ("2026-01-14", "1.2"), ("2026-02-13", "1.1"))
    books.webhook(issued())
    books.tick("2026-02-02T12:00:00")
    books.run()
    assert books.open_codes() == ["fx_rate_not_found"]  # the closing rate; nothing else waits
    assert books.counts() == {"posted": 1}
    publish(books, ("2026-01-31", "1.3"), kind="closing")
    assert books.open_codes() == []
    made = [one for one in books.commands() if one.purpose.startswith("fx_")]
    assert [(one.purpose, one.posting_date) for one in made] == [
        ("fx_revalued", "2026-01-31"),
        ("fx_revaluation_reversed", "2026-02-01"),
    ]
    assert [one.totals.functional_debit_minor for one in made] == [310, 310]
    assert {one.totals.debit_minor for one in made} == {0}
    books.webhook(paid())
    books.tick("2026-03-02T12:00:00")
    books.run()
    assert worth(books, "receivable") == worth(books, "fx_unrealised") == 0


def settled(currency: str, into: str, fee: int) -> dict[str, Any]:
    """The charge of the invoice, settled in another currency than its own."""
    movement = {"amount": 4030, "currency": into, "fee": fee, "net": 4030 - fee, "type": "charge"}
    taken = {"id": "txn_1", "object": "balance_transaction", **movement}
    body = charge(currency=currency, balance_transaction=taken, created=FEB_15)
    return event("charge.succeeded", body, id="evt_charge", created=FEB_15)


def test_a_fee_in_the_entitys_own_currency_needs_no_rate(books: Books) -> None:
    publish(books, ("2026-01-14", "1.2"), ("2026-02-13", "1.3"))
    for told in (issued(), paid(), settled("eur", "usd", 120)):
        books.webhook(told)
        books.run()
    assert books.counts() == {"posted": 3}
    (fee,) = [one for one in books.commands() if one.purpose == "charge_fee"]
    assert (fee.txn_currency, fee.fx.rate, fee.fx.rate_type) == ("USD", "1", "identity")
    assert (fee.totals.debit_minor, fee.totals.functional_debit_minor) == (120, 120)
    assert worth(books, "processing_fees") == 120


@pytest.mark.parametrize("fee_first", [True, False])
def test_a_foreign_fee_makes_no_foreign_document_of_a_domestic_one(
    books: Books, fee_first: bool
) -> None:
    publish(books, ("2026-02-13", "1.3"))
    body = invoice(
        line(period={"start": JAN_15 + NOON, "end": FEB_15 + NOON}),
        status_transitions={"finalized_at": JAN_15 + NOON, "paid_at": None},
    )
    told = [event("invoice.finalized", body, id="evt_issue"), settled("usd", "eur", 100)]
    for one in reversed(told) if fee_first else told:
        books.webhook(one)
        books.run()
    books.tick("2026-03-02T12:00:00")
    books.run()
    assert books.open_codes() == []
    assert books.counts() == {"posted": 2}
    assert (worth(books, "receivable"), worth(books, "revenue")) == (3100, -3100)
    assert worth(books, "processing_fees") == 130
    assert not [one for one in books.commands() if one.purpose.startswith("fx_")]
