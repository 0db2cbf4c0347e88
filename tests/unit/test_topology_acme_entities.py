"""Acme's four entities: euros, three decimals, and sales in a foreign currency, by data alone."""

from __future__ import annotations

from typing import Any

import pytest
from msgspec.structs import replace

from streamsync.governance import load_company, load_rates
from tests.ledger_driver import ACME, Books, one_by_one
from tests.stripe_payloads import FEB_15, JAN_15, event, invoice, line, tax

NOON = 43_200


@pytest.fixture
def books() -> Books:
    made = Books(company=one_by_one())
    rates = load_rates(ACME)
    assert rates is not None
    made.publish(rates)
    made.run()
    return made


def issued(currency: str, amount: int, **changes: Any) -> dict[str, Any]:
    item = line(amount, currency=currency, period={"start": JAN_15 + NOON, "end": FEB_15 + NOON})
    times = {"finalized_at": JAN_15 + NOON, "paid_at": FEB_15}
    body = invoice(item, currency=currency, total=amount, status_transitions=times, **changes)
    return event("invoice.finalized", body, id="evt_issue")


def paid(told: dict[str, Any], amount: int) -> dict[str, Any]:
    body = told["data"]["object"] | {"amount_paid": amount}
    return event("invoice.paid", body, id="evt_paid", created=FEB_15)


def live(books: Books, country: str, told: dict[str, Any], amount: int) -> None:
    books.customer("cus_1", country)
    books.webhook(told)
    books.webhook(paid(told, amount))
    for day in ("2026-02-01", "2026-03-01", "2026-03-02"):
        books.tick(f"{day}T12:00:00")
        books.run()


def worth(books: Books) -> dict[str, int]:
    """Functional balance of each role, debit above zero; zero left out."""
    found: dict[str, int] = {}
    for command in books.commands():
        assert command.totals.functional_debit_minor == command.totals.functional_credit_minor
        for each in command.lines:
            sign = 1 if each.side == "debit" else -1
            found[each.role] = found.get(each.role, 0) + sign * each.functional_minor
    return {role: amount for role, amount in sorted(found.items()) if amount}


def test_the_german_entity_books_euros(books: Books) -> None:
    live(books, "DE", issued("eur", 3100), 3100)
    assert {command.entity for command in books.commands()} == {"acme-de"}
    assert worth(books) == {"clearing": 3100, "revenue": -3100}


def test_the_kuwaiti_entity_counts_thousandths(books: Books) -> None:
    # 31.000 dinar over 31 days: 17.000 in January, 14.000 in February (P1 in three decimals).
    live(books, "KW", issued("kwd", 31_000), 31_000)
    released = [one for one in books.commands() if one.purpose == "revenue_released"]
    assert [one.totals.debit_minor for one in released] == [17_000, 14_000]
    assert worth(books) == {"clearing": 31_000, "revenue": -31_000}


def test_a_sale_in_dollars_of_the_kuwaiti_entity_is_worth_dinar(books: Books) -> None:
    # 31.00 USD at 0.3025 (12 January) = 9.378 KWD; paid at 0.3095 (9 February) = 9.595.
    live(books, "KW", issued("usd", 3100), 3100)
    assert worth(books) == {"clearing": 9595, "fx_gain_loss": -217, "revenue": -9378}
    assert books.totals("acme-kw").billing_agrees and books.totals("acme-kw").erp_agrees


def test_a_sale_in_euros_of_the_american_entity_is_revalued_and_settled(books: Books) -> None:
    # 31.00 EUR at 1.1655 (12 January) = 36.13 USD; at 1.1886 (9 February) = 36.85.
    live(books, "US", issued("eur", 3100), 3100)
    assert {command.entity for command in books.commands()} == {"acme-us"}
    assert worth(books) == {"clearing": 3685, "fx_gain_loss": -72, "revenue": -3613}
    made = [one for one in books.commands() if one.purpose == "fx_revalued"]
    assert [one.totals.functional_debit_minor for one in made] == [82]  # 1.1919: 36.95
    assert books.open_codes() == []


def test_tax_keeps_the_rate_of_the_issue_too(books: Books) -> None:
    item = line(10_000, currency="eur", period={"start": JAN_15, "end": JAN_15})
    item |= {"tax_amounts": [tax(1900)]}
    times = {"finalized_at": JAN_15 + NOON, "paid_at": FEB_15}
    body = invoice(item, currency="eur", total=11_900, tax=1900, status_transitions=times)
    books.customer("cus_1", "US")
    books.webhook(event("invoice.finalized", body, id="evt_issue"))
    books.run()
    assert worth(books) == {"receivable": 13_869, "revenue": -11_655, "tax_payable": -2214}


def test_the_example_folder_is_the_one_the_demo_plays() -> None:
    company = load_company(ACME)
    assert [one.functional_currency for one in company.entities] == ["USD", "JPY", "EUR", "KWD"]
    assert replace(company, summaries=()) == one_by_one()
