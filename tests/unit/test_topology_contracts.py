"""Contracts, usage and wallets through the whole topology, in any order of arrival."""

from __future__ import annotations

import itertools
import json
from typing import Any

import pytest
from msgspec.structs import replace

from streamsync.core.company import RestatementJob
from streamsync.governance import load_rates, reference_data
from streamsync.governance.restatement import restatement_item
from tests.ledger_driver import ACME, Books
from topology.rows import DOCUMENT, row_key

EVENTS: list[dict[str, Any]] = [
    json.loads(line) for line in (ACME / "events.jsonl").read_text().splitlines()
]


def booked(events: list[dict[str, Any]], *, late_customer: bool = False) -> Books:
    books = Books(partitions=1)
    if not late_customer:
        books.customer("cus_demo")
    for event in events:
        books.webhook(event)
        books.run()
    if late_customer:
        books.customer("cus_demo")
    books.tick("2026-05-15T12:00:00")
    books.run()
    return books


def moved(books: Books) -> dict[tuple[str, str, str], int]:
    """Debits less credits by document, role and original period."""
    found: dict[tuple[str, str, str], int] = {}
    for command in books.commands():
        for line in command.lines:
            sign = 1 if line.side == "debit" else -1
            at = (command.document, line.role, command.original_period)
            found[at] = found.get(at, 0) + sign * line.amount_minor
    return {at: amount for at, amount in sorted(found.items()) if amount}


def of(document: str) -> list[dict[str, Any]]:
    return [event for event in EVENTS if event["document"] == document]


CONTRACT = [*of("ct_1"), *of("in_plan_2026")]
USAGE = [*of("usage/api/2026-01"), *of("in_usage_2026_01")]


@pytest.mark.parametrize("events", [CONTRACT, USAGE], ids=["contract", "usage"])
def test_the_order_of_arrival_of_contract_and_invoice_does_not_matter(
    events: list[dict[str, Any]],
) -> None:
    expected = moved(booked(events))
    assert expected
    for order in itertools.permutations(events):
        assert moved(booked([*order, order[0]])) == expected
    assert moved(booked(events, late_customer=True)) == expected


def test_usage_is_revenue_on_its_day_and_its_invoice_clears_what_was_unbilled() -> None:
    # By hand: 9,000 calls at a cent; of the next 6,000, 1,000 at a cent and 5,000 at 0.004.
    assert moved(booked(USAGE)) == {
        ("in_usage_2026_01", "deferred_revenue", "2026-02"): -12_000,
        ("in_usage_2026_01", "receivable", "2026-02"): 12_000,
        ("usage/api/2026-01", "deferred_revenue", "2026-02"): 12_000,
        ("usage/api/2026-01", "revenue", "2026-01"): -12_000,
        ("usage/api/2026-01", "unbilled_receivable", "2026-01"): 12_000,
        ("usage/api/2026-01", "unbilled_receivable", "2026-02"): -12_000,
    }


def test_an_invoice_of_a_contract_is_caused_by_its_own_event_on_both_sides() -> None:
    books = booked(CONTRACT)
    cleared = [made for made in books.commands() if made.purpose == "unbilled_cleared"]
    assert [made.causation_event_id for made in cleared if made.action == "post"] == [
        "acme_invoice_2"
    ]
    row = books.driver.shard("ledger", 0).get(DOCUMENT, row_key("acme/stripe/cus_demo", "ct_1"))
    assert row is not None
    # Through April: 120 of 365 days of 1,200 are earned; 300 more were agreed.
    assert row.sums["bookings"] == 150_000
    assert row.sums["remaining_performance"] == 150_000 - row.sums["recognised"]
    assert row.sums["recognised"] == 39_450


def test_every_example_event_is_booked_and_counted() -> None:
    books = booked(EVENTS)
    # The American side of a sale in euros waits for the rate that the company's treasury publishes.
    assert books.counts() == {"posted": 9, "no_entry": 1, "waiting": 1}
    books.publish(load_rates(ACME))
    books.run()
    assert books.counts() == {"posted": 10, "no_entry": 1}


def test_a_wallet_overdrawn_waits_alone_and_is_released_by_a_late_top_up() -> None:
    top_up, use = of("wallet_1")
    more = use | {"id": "acme_storage_2", "usage": use["usage"] | {"quantity": "1000"}}
    books = booked([top_up, use, more])
    assert books.counts()["waiting"] == 1
    late = top_up | {"id": "acme_topup_2", "wallet": top_up["wallet"] | {"amount_minor": 30_000}}
    books.webhook(late)
    books.run()
    assert books.counts().get("waiting", 0) == 0


def test_a_price_that_new_rules_change_in_place_changes_no_usage_that_is_booked() -> None:
    books = booked(USAGE)
    before = moved(books)
    dearer = tuple(
        replace(price, tiers=tuple(replace(tier, unit_price="0.02") for tier in price.tiers))
        for price in books.company.usage_prices
    )
    rules = replace(books.company, version=2, usage_prices=dearer)
    books.publish(reference_data(rules, 0, "test", None))
    books.run()
    known = next(event for event in USAGE if "usage" in event)
    nothing = known | {"id": "acme_usage_9", "usage": known["usage"] | {"quantity": "0"}}
    books.webhook(nothing)
    books.run()
    assert moved(books) == before
    assert {command.action for command in books.commands()} == {"post"}
    # A job moves it: 15,000 calls at two cents.
    asked = RestatementJob(
        id="dearer", rules_version=2, date_from="2026-01-01", date_to="2026-12-31", budget=100
    )
    books.publish(restatement_item("acme", asked, prepared_by="ana", approved_by="ben"))
    books.tick("2026-05-16T12:00:00")
    books.run()
    assert moved(books)["usage/api/2026-01", "revenue", "2026-01"] == -30_000
