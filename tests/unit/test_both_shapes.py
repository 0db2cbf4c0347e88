"""A whole simulated company in both shapes of Stripe's API: the books do not notice."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

from streamsync.core.records import PostingCommand
from streamsync.simulator import customers, simulate
from tests.ledger_driver import Books
from topology import topics

SEED, ACCOUNTS, DAYS = 3, 45, 62


def played(newer: Callable[[int], bool]) -> Books:
    """The company's events, some accounts in the newer shape, until nothing moves."""
    books = Books(seed=SEED if newer(0) else None)
    for customer in customers(SEED, ACCOUNTS):
        books.feed(topics.CUSTOMERS, customer.account, customer)
    books.run()
    for event in simulate(SEED, DAYS, ACCOUNTS, newer=newer):
        books.webhook(event.body)
    books.run()
    books.tick("2026-03-05T12:00")
    books.run()
    return books


def net(commands: list[PostingCommand]) -> dict[tuple[str, ...], int]:
    """What each document moved, by role and natural period."""
    sums: dict[tuple[str, ...], int] = {}
    for command in commands:
        for line in command.lines:
            where = (command.account, command.document, command.original_period, line.role)
            amount = line.amount_minor if line.side == "debit" else -line.amount_minor
            sums[where] = sums.get(where, 0) + amount
    return {where: amount for where, amount in sorted(sums.items()) if amount}


def test_a_company_books_the_same_in_both_shapes() -> None:
    older, newer = played(lambda _: False), played(lambda _: True)
    assert net(newer.commands()) == net(older.commands())
    assert net(played(lambda index: index % 2 == 0).commands()) == net(older.commands())
    counts, before = newer.counts(), older.counts()
    # Beside its invoice each payment is told once more, and books nothing; nothing waits.
    assert counts.pop("no_entry") - before.pop("no_entry") > 50
    assert counts == before
    assert newer.open_codes() == older.open_codes()


def test_the_newer_shape_has_nothing_of_the_older_one() -> None:
    seen: set[str] = set()
    for event in simulate(SEED, DAYS, ACCOUNTS, newer=lambda _: True):
        body: dict[str, Any] = json.loads(event.body)
        told = body["data"]["object"]
        seen.add(body["type"])
        if told.get("object") == "charge":
            assert "invoice" not in told and told["payment_intent"]
        if told.get("object") == "invoice":
            assert "subscription" not in told and "tax_amounts" not in told["lines"]["data"][0]
    assert {"invoice_payment.paid", "charge.refunded", "credit_note.created"} <= seen
