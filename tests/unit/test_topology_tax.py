"""Taxes by jurisdiction: what was invoiced, what was taken back, and that nothing is left over."""

from __future__ import annotations

from collections import Counter
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.ledger_driver import Books
from tests.stripe_payloads import JAN_15, charge, event, invoice, line, refund, tax
from topology import views
from topology.rows import BOOK

DAY = 86_400
RATES = [
    {"id": "txr_ny", "percentage": 8.875, "jurisdiction": "NY"},
    {"id": "txr_ca", "percentage": 7.25, "jurisdiction": "CA"},
]
# Two lines: 10.00 taxed in New York, 20.00 in New York and California.
TAXES = {"NY": 89 + 178, "CA": 145}
TOTAL = 3000 + sum(TAXES.values())


def issued(**changes: Any) -> dict[str, Any]:
    return invoice(
        line(1000, id="il_1", tax_amounts=[tax(89, rate="txr_ny")], tax_rates=RATES),
        line(
            2000,
            id="il_2",
            tax_amounts=[tax(178, rate="txr_ny"), tax(145, rate="txr_ca")],
            tax_rates=RATES,
        ),
        total=TOTAL,
        tax=sum(TAXES.values()),
        amount_due=TOTAL,
        amount_paid=TOTAL,
        **changes,
    )


def opened() -> Books:
    books = Books()
    books.customer("cus_1")
    books.tick("2026-01-20T12:00:00")
    books.webhook(event("invoice.finalized", issued(), id="evt_issue"))
    books.run()
    return books


def closed(books: Books) -> list[dict[str, Any]]:
    """What the view of the entity's totals says of taxes after one more cut."""
    books.tick("2026-03-20T12:00:00")
    books.run()
    for partition in range(books.driver.partitions("ledger")):
        shard = books.driver.shard("ledger", partition)
        if any(shard.scan(BOOK)):
            shown = views.totals(shard, "acme", "acme-us") or {}
            if shown.get("taxes"):
                found: list[dict[str, Any]] = shown["taxes"]
                return found
    return []


def owed(rows: list[dict[str, Any]]) -> dict[str, int]:
    """Credits less debits on tax payable, by jurisdiction."""
    found: Counter[str] = Counter()
    for row in rows:
        if row["role"] == "tax_payable":
            found[row["jurisdiction"]] += row["credit_minor"] - row["debit_minor"]
    return dict(found)


def test_what_is_owed_to_each_jurisdiction_is_a_running_total() -> None:
    rows = closed(opened())
    assert [
        (row["period"], row["currency"], row["jurisdiction"], row["tax_code"], row["credit_minor"])
        for row in rows
    ] == [("2026-01", "USD", "CA", "txr_ca", 145), ("2026-01", "USD", "NY", "txr_ny", 267)]
    assert all(row["functional_credit_minor"] == row["credit_minor"] for row in rows)


def test_a_void_takes_each_tax_back_where_it_was_owed() -> None:
    books = opened()
    times = {"finalized_at": JAN_15 + 1, "paid_at": None, "voided_at": JAN_15 + 25 * DAY}
    books.webhook(event("invoice.voided", issued(status_transitions=times), id="evt_void"))
    books.run()
    rows = closed(books)
    assert owed(rows) == {"NY": 0, "CA": 0}
    assert {(row["period"], row["jurisdiction"], row["debit_minor"]) for row in rows} == {
        ("2026-01", "NY", 0), ("2026-01", "CA", 0), ("2026-02", "NY", 267), ("2026-02", "CA", 145),
    }  # fmt: skip


CUTS = st.lists(st.integers(1, TOTAL - 1), unique=True, max_size=5).map(sorted)


@settings(max_examples=25, deadline=None)
@given(CUTS)
def test_however_a_document_is_refunded_each_tax_goes_back_exactly(cuts: list[int]) -> None:
    books = opened()
    books.webhook(event("invoice.paid", issued(), id="evt_paid"))
    ends = [*cuts, TOTAL]
    refunds: list[dict[str, Any]] = []
    for number, (before, after) in enumerate(zip([0, *cuts], ends, strict=True)):
        at = JAN_15 + (number + 1) * DAY
        refunds.insert(0, refund(f"re_{number}", after - before, at))
        told = charge(*refunds, amount=TOTAL)
        books.webhook(event("charge.refunded", told, id=f"evt_{number}", created=at))
        books.run()
        left = owed([row for row in closed_rows(books)])
        assert all(0 <= left[name] <= whole for name, whole in TAXES.items())
    assert owed(closed(books)) == {"NY": 0, "CA": 0}


def closed_rows(books: Books) -> list[dict[str, Any]]:
    """The same figures from the commands alone, added up here."""
    return [
        {
            "role": one.role,
            "jurisdiction": one.tax.jurisdiction,
            "credit_minor": one.amount_minor if one.side == "credit" else 0,
            "debit_minor": one.amount_minor if one.side == "debit" else 0,
        }
        for command in books.commands()
        for one in command.lines
        if one.tax is not None
    ]


@pytest.mark.parametrize("kind", ["invoice.marked_uncollectible"])
def test_a_loss_without_tax_relief_leaves_the_tax_owed(kind: str) -> None:
    books = opened()
    times = {
        "finalized_at": JAN_15 + 1,
        "paid_at": None,
        "marked_uncollectible_at": JAN_15 + 25 * DAY,
    }
    books.webhook(event(kind, issued(status_transitions=times), id="evt_lost"))
    books.run()
    rows = closed(books)
    assert owed(rows) == TAXES
    lost = {row["jurisdiction"]: row["debit_minor"] for row in rows if row["role"] == "bad_debt"}
    assert lost == TAXES


def adjusted(name: str, code: str, jurisdiction: str, amount: int, **more: Any) -> dict[str, Any]:
    """A canonical event that adds tax to the invoice."""
    told = {"tax_code": code, "jurisdiction": jurisdiction, "amount_minor": amount}
    return {
        "streamsync": "1",
        "id": name,
        "kind": "tax_adjusted",
        "source": "stripe",
        "account": "cus_1",
        "document": "in_1",
        "currency": "USD",
        "occurred_at": "2026-01-25T12:00:00Z",
        "tax_adjustment": {"direction": "charge", "settlement": "receivable", "taxes": [told]}
        | more,
    }


@pytest.mark.parametrize("order", [(0, 1, 2, 3), (3, 2, 1, 0), (2, 0, 3, 1)])
def test_tax_put_right_is_owed_where_it_was_short_and_a_void_takes_it_back(
    order: tuple[int, ...],
) -> None:
    times = {"finalized_at": JAN_15 + 1, "paid_at": None, "voided_at": JAN_15 + 25 * DAY}
    told = [
        event("invoice.finalized", issued(), id="evt_issue"),
        adjusted("adj_1", "txr_ca", "CA", 50),
        adjusted("adj_2", "txr_or", "OR", 7),
        adjusted("adj_3", "txr_ny", "NY", 12, direction="credit", settlement="company"),
    ]
    books = Books()
    books.customer("cus_1")
    books.tick("2026-01-20T12:00:00")
    for place in order:
        books.webhook(told[place])
        books.run()
    assert owed(closed(books)) == {"NY": 267 - 12, "CA": 145 + 50, "OR": 7}
    assert books.balances()["acme-us", "tax_adjustments"] == -12
    books.webhook(event("invoice.voided", issued(status_transitions=times), id="evt_void"))
    books.run()
    books.tick("2026-03-21T12:00:00")
    books.run()
    # What the company bore stays: the customer's document never had it.
    assert owed(closed(books)) == {"NY": -12, "CA": 0, "OR": 0}
    assert books.balances().get(("acme-us", "receivable"), 0) == 0


def test_a_tax_adjustment_is_read_strictly() -> None:
    books = opened()
    bad = adjusted("adj_1", "txr_ca", "CA", -5)
    books.webhook(bad)
    books.webhook(adjusted("adj_2", "txr_ca", "CA", 5, surprise=1))
    books.run()
    assert sorted(books.open_codes()) == ["amount_negative", "field_unknown"]
