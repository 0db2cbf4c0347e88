"""Sales between entities: each book balances alone, and the pair cancels out, in any order."""

from __future__ import annotations

import json
from collections import Counter
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from msgspec.structs import replace

from streamsync.core.company import Company
from streamsync.core.records import PeriodStatus, PostingCommand
from streamsync.governance import load_rates
from tests.ledger_driver import ACME, Books, one_by_one
from topology.offline import journal

ACCOUNT = "between-entities"


def sale(number: int, seller: str, buyer: str, amount: int, **more: Any) -> dict[str, Any]:
    return {
        "streamsync": "1",
        "id": f"evt_{number}",
        "kind": "intercompany_sale",
        "account": ACCOUNT,
        "document": f"ic_{number}",
        "currency": "USD",
        "occurred_at": "2026-01-15T12:00:00Z",
        "intercompany": {
            "seller": seller,
            "buyer": buyer,
            "amount_minor": amount,
            "product": "prod_support",
        },
    } | more


def cancelled(told: dict[str, Any]) -> dict[str, Any]:
    return told | {
        "id": f"{told['id']}_cancelled",
        "kind": "intercompany_sale_cancelled",
        "occurred_at": "2026-02-15T12:00:00Z",
    }


def opened(company: Company | None = None) -> Books:
    """Books that know what a dollar is worth in January: 0.80 EUR, 150 JPY, 0.300 KWD."""
    books = Books(partitions=1, company=company)
    for quote, rate in (("EUR", "0.8"), ("JPY", "150"), ("KWD", "0.3")):
        books.rates("USD", quote, {"2026-01-14": rate})
    books.tick("2026-03-01T12:00:00")
    books.run()
    return books


def booked(*events: dict[str, Any]) -> Books:
    books = opened()
    for one in events:
        books.webhook(one)
    books.run()
    return books


def lines(command: PostingCommand) -> list[tuple[str, str, int, int, str | None]]:
    return [
        (one.role, one.side, one.amount_minor, one.functional_minor, one.counterparty_entity)
        for one in command.lines
    ]


def net(books: Books, *, by_entity: bool) -> dict[tuple[str, ...], int]:
    """Debits less credits by role (and entity and document), what is zero left out."""
    found: Counter[tuple[str, ...]] = Counter()
    for command in books.commands():
        for one in command.lines:
            where = (command.entity, command.document, one.role) if by_entity else (one.role,)
            found[where] += one.amount_minor if one.side == "debit" else -one.amount_minor
    return {where: amount for where, amount in sorted(found.items()) if amount}


def test_a_sale_has_a_side_in_the_books_of_each_entity() -> None:
    books = booked(sale(1, "acme-us", "acme-de", 50_000))
    found = {one.entity: one for one in books.commands()}
    assert set(found) == {"acme-us", "acme-de"}
    assert lines(found["acme-us"]) == [
        ("receivable_intercompany", "debit", 50_000, 50_000, "acme-de"),
        ("revenue_intercompany", "credit", 50_000, 50_000, "acme-de"),
    ]
    # 500.00 USD at 0.80.
    bought = found["acme-de"]
    assert (bought.txn_currency, bought.functional_currency) == ("USD", "EUR")
    assert lines(bought) == [
        ("cost_intercompany", "debit", 50_000, 40_000, "acme-us"),
        ("payable_intercompany", "credit", 50_000, 40_000, "acme-us"),
    ]
    assert [one.customer for command in found.values() for one in command.lines] == [None] * 4
    assert books.open_codes() == []


def test_both_sides_of_the_control_totals_agree() -> None:
    told = sale(1, "acme-us", "acme-de", 50_000)
    books = booked(told, cancelled(told))
    books.tick("2026-04-01T12:00:00")
    books.run()
    for entity in ("acme-us", "acme-de"):
        totals = books.totals(entity)
        assert totals.billing_agrees and totals.erp_agrees
        assert sum(one.billing_minor for one in totals.lines) == 100_000


def test_a_cancelled_sale_leaves_nothing_in_either_book_and_either_currency() -> None:
    told = sale(1, "acme-us", "acme-de", 50_001)
    books = booked(told, cancelled(told))
    assert net(books, by_entity=True) == {}
    worth: Counter[tuple[str, str]] = Counter()
    for command in books.commands():
        for one in command.lines:
            sign = 1 if one.side == "debit" else -1
            worth[command.entity, one.role] += sign * one.functional_minor
    assert set(worth.values()) == {0}


def test_a_cancellation_waits_for_its_sale() -> None:
    told = sale(1, "acme-us", "acme-de", 50_000)
    books = booked(cancelled(told))
    assert books.commands() == []
    assert books.open_codes() == ["sale_not_seen", "sale_not_seen"]
    books.webhook(told)
    books.run()
    assert books.open_codes() == [] and net(books, by_entity=True) == {}


@pytest.mark.parametrize(("seller", "buyer"), [("acme-us", "acme-uk"), ("acme-uk", "acme-us")])
def test_neither_side_is_booked_while_one_entity_is_unknown(seller: str, buyer: str) -> None:
    books = booked(sale(1, seller, buyer, 50_000), sale(2, "acme-us", "acme-de", 700))
    assert {one.document for one in books.commands()} == {"ic_2/acme-us", "ic_2/acme-de"}
    details = [one.detail for one in books.exceptions().values()]
    assert books.open_codes() == ["counterparty_unknown", "counterparty_unknown"]
    assert all("acme-uk is none of the company's (acme-us, acme-jp" in one for one in details)


@pytest.mark.parametrize(
    ("change", "reason", "says"),
    [
        ({"buyer": "acme-us"}, "sale_to_itself", "acme-us is both seller and buyer"),
        ({"amount_minor": -5}, "amount_negative", "intercompany.amount_minor: -5"),
        ({"seller": None}, "field_type_wrong", "intercompany.seller"),
    ],
)
def test_a_sale_that_is_none_is_rejected_at_its_place(
    change: dict[str, Any], reason: str, says: str
) -> None:
    told = sale(1, "acme-us", "acme-de", 50_000)
    books = booked(told | {"intercompany": told["intercompany"] | change})
    (row,) = books.source_rows()
    assert (row.outcome, row.reason) == ("rejected", reason)
    assert says in (row.detail or "")


def test_a_role_without_an_account_is_named_and_holds_up_only_its_own_side() -> None:
    acme = one_by_one()
    rules = tuple(rule for rule in acme.account_rules if rule.rule_id != "us-payable-intercompany")
    books = opened(replace(acme, account_rules=rules))
    books.webhook(sale(1, "acme-de", "acme-us", 50_000))
    books.run()
    assert {one.entity for one in books.commands()} == {"acme-de"}
    (told,) = books.exceptions().values()
    assert told.code == "account_unmapped"
    assert "payable_intercompany of acme-us" in told.detail


def test_a_period_closed_in_one_entity_moves_that_side_alone() -> None:
    books = opened()
    closed = PeriodStatus(
        tenant="acme",
        entity="acme-us",
        ledger="main",
        period="2026-01",
        status="closed",
        version=1,
        changed_by="controller",
    )
    books.publish(closed)
    books.run()
    books.webhook(sale(1, "acme-us", "acme-de", 50_000))
    books.run()
    places = {one.entity: (one.period, one.original_period) for one in books.commands()}
    assert places == {"acme-us": ("2026-02", "2026-01"), "acme-de": ("2026-01", "2026-01")}


ENTITIES = ("acme-us", "acme-jp", "acme-de", "acme-kw")
PAIRS = st.sampled_from([(a, b) for a in ENTITIES for b in ENTITIES if a != b])
SALES = st.lists(
    st.tuples(PAIRS, st.integers(0, 10**9), st.booleans()), min_size=1, max_size=4
).map(
    lambda told: [
        event
        for number, ((seller, buyer), amount, taken_back) in enumerate(told)
        for one in (sale(number, seller, buyer, amount),)
        for event in ([one, cancelled(one)] if taken_back else [one])
    ]
)


@settings(max_examples=20, deadline=None)
@given(SALES, st.randoms(use_true_random=False))
def test_pairs_net_to_zero_and_no_order_or_repetition_changes_the_books(
    events: list[dict[str, Any]], chance: Any
) -> None:
    expected = net(booked(*events), by_entity=True)
    mixed = [*events, *chance.sample(events, chance.randrange(len(events) + 1))]
    chance.shuffle(mixed)
    books = booked(*mixed)
    assert net(books, by_entity=True) == expected
    for command in books.commands():
        sums = command.totals
        assert sums.debit_minor == sums.credit_minor
        assert sums.functional_debit_minor == sums.functional_credit_minor
    both = net(books, by_entity=False)
    assert both.get(("receivable_intercompany",), 0) + both.get(("payable_intercompany",), 0) == 0
    assert both.get(("revenue_intercompany",), 0) + both.get(("cost_intercompany",), 0) == 0


def test_the_journal_says_why_a_side_waits_although_the_other_is_booked() -> None:
    company = one_by_one()
    told = json.dumps(sale(1, "acme-us", "acme-de", 500_00) | {"currency": "EUR"}).encode()
    found = journal(company, [], [("one", told)], source="own", rates=load_rates(ACME, "test"))
    assert [made.entity for made in found.commands] == ["acme-de", "acme-us"]
    unrated = journal(company, [], [("one", told)], source="own")
    ((place, row),) = unrated.unposted
    assert (place, row.outcome, row.reason) == ("one", "waiting", "fx_rate_not_found")
    assert row.detail == "spot rate EUR to USD for acme-us on 2026-01-14"
    assert [made.entity for made in unrated.commands] == ["acme-de"]
