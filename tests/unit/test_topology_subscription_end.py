"""A cancelled subscription ends the service of what it billed ahead, in any order of arrival.

Figures: Stripe's published example of a schedule of 90.00 for January to March (docs/policies.md),
ended on 10 February: 31.00 and 9.00 are earned, 50.00 never will be.
"""

from __future__ import annotations

from itertools import permutations
from typing import Any

import pytest
from msgspec.structs import replace

from streamsync.core.company import Company
from streamsync.core.records import PostingCommand
from tests.ledger_driver import Books, ms, one_by_one
from tests.stripe_payloads import event, invoice, line

JAN_1, FEB_10, APR_1 = (ms(f"2026-{day}T12:00:00") // 1000 for day in ("01-01", "02-10", "04-01"))


def ending(choice: str) -> Company:
    """Acme, whose policies end a service that is cancelled as told."""
    company = one_by_one()
    return replace(
        company,
        policies=tuple(
            replace(
                one,
                policy=replace(one.policy, choices=replace(one.policy.choices, termination=choice)),
            )
            for one in company.policies
        ),
    )


def served(*lines: dict[str, Any], at: int = JAN_1, **changes: Any) -> dict[str, Any]:
    """An invoice of 90.00, issued at `at`."""
    body = invoice(
        *(lines or (line(9_000, period={"start": JAN_1, "end": APR_1}),)),
        total=9_000,
        amount_due=9_000,
        status_transitions={"finalized_at": at, "paid_at": None},
        **changes,
    )
    return event("invoice.finalized", body, id=f"evt_{body['id']}", created=at)


def cancelled(
    subscription: str = "sub_1", at: int = FEB_10, identity: str = "evt_end"
) -> dict[str, Any]:
    body = {
        "id": subscription,
        "object": "subscription",
        "customer": "cus_1",
        "status": "canceled",
        "currency": "usd",
        "current_period_start": JAN_1,
        "current_period_end": APR_1,
        "items": {"object": "list", "data": []},
    }
    return event("customer.subscription.deleted", body, id=identity, created=at)


def booked(
    *told: dict[str, Any], choice: str, day: str = "2026-06-01", partitions: int = 1
) -> Books:
    books = Books(partitions=partitions, company=ending(choice))
    books.customer("cus_1")
    books.tick(f"{day}T12:00:00")
    books.run()
    for one in told:
        books.webhook(one)
        books.run()
    return books


def lines_of(books: Books, purpose: str) -> list[tuple[str, str, int]]:
    return [
        (one.role, one.side, one.amount_minor)
        for command in books.commands()
        if command.purpose == purpose
        for one in command.lines
    ]


@pytest.mark.parametrize(
    ("choice", "role"),
    [("refund", "clearing"), ("credit", "customer_credit"), ("release", "revenue")],
)
def test_what_is_not_earned_goes_where_the_policy_says(choice: str, role: str) -> None:
    books = booked(served(), cancelled(), choice=choice)
    assert lines_of(books, "service_terminated") == [
        ("deferred_revenue", "debit", 5_900),
        ("revenue", "credit", 900),
        (role, "credit", 5_000),
    ]
    balances = books.balances()
    assert ("acme-us", "deferred_revenue") not in balances
    assert balances["acme-us", "revenue"] == -(9_000 if choice == "release" else 4_000)
    assert books.counts() == {"posted": 2}


def test_a_schedule_that_stands_is_earned_to_its_end_and_the_record_books_nothing() -> None:
    books = booked(served(), cancelled(), choice="schedule_stands")
    assert lines_of(books, "service_terminated") == []
    assert books.balances()["acme-us", "revenue"] == -9_000
    assert books.counts() == {"no_entry": 1, "posted": 1}


def test_the_books_are_the_same_in_any_order_and_however_often_it_is_told() -> None:
    told = (
        served(),
        cancelled(),
        cancelled(identity="evt_end_again"),
        served(line(9_000, id="il_2", period={"start": JAN_1, "end": APR_1}), id="in_2"),
    )
    found = []
    for order in permutations(told):
        books = booked(*order, *order, choice="credit")
        found.append((books.balances(), _net(books.commands()), books.open_codes()))
        assert sum(books.counts().values()) == 8
        assert all(row.outcome in ("posted", "no_entry") for row in books.source_rows())
    assert found[0][0]["acme-us", "customer_credit"] == -10_000
    assert all(one == found[0] for one in found)


def _net(commands: list[PostingCommand]) -> dict[tuple[str, str, str, str], int]:
    net: dict[tuple[str, str, str, str], int] = {}
    for made in commands:
        for one in made.lines:
            key = (made.document, made.purpose, made.original_period or made.period, one.role)
            amount = one.amount_minor if one.side == "debit" else -one.amount_minor
            net[key] = net.get(key, 0) + amount
    return {key: amount for key, amount in net.items() if amount}


def test_only_the_lines_of_the_subscription_end() -> None:
    other = line(4_500, id="il_2", subscription="sub_2", period={"start": JAN_1, "end": APR_1})
    own = line(4_500, period={"start": JAN_1, "end": APR_1})
    books = booked(served(own, other), cancelled("sub_2"), choice="credit")
    # 45.00 over 90 days, ended after 40: 20.00 earned.
    assert books.balances()["acme-us", "customer_credit"] == -2_500
    assert books.balances()["acme-us", "revenue"] == -(4_500 + 2_000)


@pytest.mark.parametrize(
    ("name", "changed"),
    [
        ("ends with its period", cancelled(at=APR_1)),
        ("another subscription", cancelled("sub_9")),
        ("another customer", cancelled() | {"data": {"object": cancelled()["data"]["object"] | {
            "customer": "cus_2"}}}),
    ],
)  # fmt: skip
def test_an_end_that_cuts_nothing_books_nothing(name: str, changed: dict[str, Any]) -> None:
    books = booked(served(), changed, choice="credit")
    assert books.balances()["acme-us", "revenue"] == -9_000, name
    assert books.counts() == {"no_entry": 1, "posted": 1}


def test_an_invoice_issued_after_the_end_stands_as_it_was_billed() -> None:
    late = served(at=FEB_10 + 86_400, id="in_late")
    for order in permutations((late, cancelled())):
        books = booked(*order, choice="credit")
        assert books.balances()["acme-us", "revenue"] == -9_000
        assert books.counts() == {"no_entry": 1, "posted": 1}


def test_an_end_that_concerns_very_many_invoices_takes_several_steps() -> None:
    period = {"start": JAN_1, "end": APR_1}
    many = [
        served(line(9_000, id=f"il_{number}", period=period), id=f"in_{number}")
        for number in range(230)
    ]
    books = Books(partitions=1, company=ending("credit"))
    books.customer("cus_1")
    books.tick("2026-06-01T12:00:00")
    for one in many:
        books.webhook(one)
    books.run()
    books.webhook(cancelled())
    books.run()
    assert books.balances()["acme-us", "customer_credit"] == -5_000 * 230
    # A key of its own for each: the ERP books a key once.
    ends = [one for one in books.commands() if one.purpose == "service_terminated"]
    assert len({one.idempotency_key for one in ends}) == len(ends) == 230
    assert books.counts() == {"posted": 231}
    assert books.open_codes() == []


def test_an_end_of_what_waits_for_its_customer_is_booked_when_the_customer_comes() -> None:
    books = Books(partitions=1, company=ending("credit"))
    books.tick("2026-06-01T12:00:00")
    books.webhook(cancelled())
    books.webhook(served(customer_address=None))
    books.run()
    assert books.balances() == {}
    assert books.counts() == {"waiting": 2}
    books.customer("cus_1")
    books.run()
    assert books.balances()["acme-us", "customer_credit"] == -5_000
    assert books.counts() == {"posted": 2}
