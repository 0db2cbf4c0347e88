"""The ledger's books equal an independent recomputation, in any order, with any duplication."""

from __future__ import annotations

import json
import random
from collections.abc import Sequence
from datetime import date
from typing import Any

import pytest

from streamsync.core.by_name import by_name
from streamsync.core.receivables import roll_forwards
from streamsync.core.records import Customer
from streamsync.governance import load_company
from streamsync.simulator import customers, simulate
from tests.ledger_driver import ACME, ENTITIES, Books
from tests.oracle import naive
from topology import topics

TODAY = date(2026, 3, 4)
END, LATER, LAST = "2026-03-04T12:00:00", "2026-03-06T12:00:00", "2026-03-06T13:00:00"
CLASSES = ("posted", "no_entry", "ignored", "waiting", "unknown", "rejected", "duplicate")


def recompute(bodies: Sequence[bytes], known: Sequence[Customer]) -> dict[str, Any]:
    return naive.recompute(bodies, [by_name(one) for one in known], [], today=TODAY)


def feed(books: Books, bodies: Sequence[bytes], known: Sequence[Customer]) -> None:
    for one in known:
        books.feed(topics.CUSTOMERS, one.account, one)
    for body in bodies:
        books.webhook(body)


def close(books: Books) -> None:
    books.run()
    for time in (END, LATER, LAST):
        books.tick(time)
        books.run()


def totals(books: Books) -> list[dict[str, Any]]:
    rows = []
    for entity in ENTITIES:
        for line in books.totals(entity).lines:
            row = {"entity": entity} | by_name(line)
            del row["commands_count"], row["confirmed_count"]
            rows.append(row)
    return rows


def balances(result: dict[str, Any]) -> dict[tuple[str, str], int]:
    found = {
        (row["entity"], row["role"]): row["debit_minor"] - row["credit_minor"]
        for row in result["trial_balance"]
    }
    return {where: amount for where, amount in sorted(found.items()) if amount}


def classes(books: Books) -> dict[str, int]:
    counts = books.counts()
    return {"inputs": sum(counts.values())} | {name: counts.get(name, 0) for name in CLASSES}


@pytest.mark.parametrize("seed", range(1, 6))
@pytest.mark.parametrize("summarised", [False, True])
def test_sixty_days_in_order_equal_the_recomputation(seed: int, summarised: bool) -> None:
    bodies = [event.body for event in simulate(seed)]
    known = customers(seed)
    books = Books(company=load_company(ACME) if summarised else None, rates=True)
    feed(books, bodies, known)
    close(books)
    expected = recompute(bodies, known)
    assert classes(books) == expected["events"]
    assert totals(books) == expected["totals"]
    assert books.balances() == balances(expected)


@pytest.mark.parametrize("seed", range(11, 17))
def test_any_order_and_duplication_ends_in_the_same_books(seed: int) -> None:
    draw = random.Random(seed)
    bodies = [event.body for event in simulate(seed, accounts=45)]
    known = customers(seed, accounts=45)
    shuffled = bodies + draw.sample(bodies, 40)
    draw.shuffle(shuffled)
    books = Books(seed=seed, redeliver=True, rates=True)
    cut = [0, *sorted(draw.sample(range(len(shuffled)), 3)), len(shuffled)]
    late = draw.sample(known, len(known) // 3)
    feed(books, [], [one for one in known if one not in late])
    for number, time in enumerate(("2026-01-10", "2026-02-01", "2026-02-20", "2026-03-02")):
        feed(books, shuffled[cut[number] : cut[number + 1]], late if number == 2 else [])
        books.run()
        books.tick(f"{time}T12:00:00")
        books.run()
    close(books)
    expected = recompute(bodies, known)
    assert books.balances() == balances(expected)
    told = [
        (row["entity"], row["period"], row["purpose"], row["billing_minor"])
        for row in totals(books)
        if row["billing_minor"]
    ]
    assert told == [
        (row["entity"], row["period"], row["purpose"], row["billing_minor"])
        for row in expected["totals"]
        if row["billing_minor"]
    ]
    assert all(books.totals(entity).billing_agrees for entity in ENTITIES)
    assert all(books.totals(entity).erp_agrees for entity in ENTITIES)
    again = recompute(shuffled, known)["events"]
    assert classes(books) == again


def test_one_changed_amount_is_noticed() -> None:
    bodies = [event.body for event in simulate(3, accounts=45)]
    known = customers(3, accounts=45)
    books = Books(rates=True)
    feed(books, bodies, known)
    close(books)
    place, payload = next(
        (at, json.loads(body))
        for at, body in enumerate(bodies)
        if b'"invoice.paid"' in body and json.loads(body)["data"]["object"]["amount_paid"]
    )
    payload["data"]["object"]["amount_paid"] += 1
    changed = [*bodies[:place], json.dumps(payload).encode(), *bodies[place + 1 :]]
    assert totals(books) == recompute(bodies, known)["totals"]
    assert totals(books) != recompute(changed, known)["totals"]


@pytest.mark.parametrize("seed", [1, 4])
def test_ages_add_up_to_the_receivable_and_roll_forwards_to_balances(seed: int) -> None:
    bodies = [event.body for event in simulate(seed, accounts=45)]
    books = Books(company=load_company(ACME), rates=True)
    feed(books, bodies, customers(seed, accounts=45))
    close(books)
    balances_now = books.balances()
    for entity in ENTITIES:
        told = books.totals(entity)
        aged = sum(one.debit_minor - one.credit_minor for one in told.ageing)
        assert aged == balances_now.get((entity, "receivable"), 0)
        owed = sum(
            one.debit_minor - one.credit_minor for one in told.taxes if one.role == "tax_payable"
        )
        assert owed == balances_now.get((entity, "tax_payable"), 0)
        last = {one.role: one.closing_minor for one in roll_forwards(told.roles)}
        assert {role: amount for role, amount in last.items() if amount} == {
            role: amount for (where, role), amount in balances_now.items() if where == entity
        }
