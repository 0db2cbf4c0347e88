"""Generated lives of subscriptions: the books equal the oracle's, whatever the order of arrival.

Each example is a few subscriptions' lives (tests/lifecycles). Their events arrive shuffled and with
repeats between ticks; the customers and the ERP's answers come when they come. What then stands is
compared, net, by document, role and natural period with `tests.oracle`, which reads the raw bodies.

`STREAMSYNC_LIFECYCLES` sets how many lives are played; from 10,000 on hypothesis chooses anew each
time, below that always the same ones, so that a change is judged by itself.
"""

from __future__ import annotations

import json
import os
import random
from collections import Counter
from dataclasses import replace
from datetime import date
from typing import Any

from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st

from streamsync.core.records import PeriodStatus
from tests.ledger_driver import Books
from tests.lifecycles import ALL_MARKETS, MARKETS, Event, Life, basil, draw_life
from tests.lifecycles.companies import PROFILES, company, customer, published
from tests.oracle import company as oracle
from tests.oracle import naive
from topology import topics, views

LIVES = int(os.environ.get("STREAMSYNC_LIFECYCLES", "2000"))
PER_EXAMPLE = 4
END = date(2027, 1, 15)
FAR = date(2028, 6, 1)
"""When all service is over."""
TICKS = ("2026-01-10", "2026-02-01", "2026-03-20")
ENTITIES = ("acme-de", "acme-jp", "acme-kw", "acme-us")
played: Counter[str] = Counter()

some = settings(
    max_examples=LIVES // 40,
    derandomize=LIVES < 10_000,
    database=None,
    deadline=None,
    suppress_health_check=list(HealthCheck),
    phases=(Phase.generate, Phase.shrink),
    report_multiple_bugs=False,
)
searching = settings(some, max_examples=LIVES * 5 // (4 * PER_EXAMPLE) + 10)


@st.composite
def lives(draw: st.DrawFn, settle: bool = False) -> Life:
    """Up to a few lives at once; shrinks to fewer and simpler events."""

    def choose(count: int) -> int:
        return draw(st.integers(0, count - 1)) if count > 1 else 0

    count = 1 + choose(2 * PER_EXAMPLE - 1)
    return draw_life(
        choose,
        subscriptions=count,
        settle=settle,
        markets=MARKETS if settle else ALL_MARKETS,
        processor=not settle,
    )


def arrive(books: Books, life: Life, bodies: list[bytes], late: int, end: date = END) -> None:
    """Everything comes in, cut up by ticks; some customers come only near the end."""
    if late % 2 == 0:
        books.publish(published())
    known = [customer(one) for one in life.customers]
    for one in known[late:]:
        books.feed(topics.CUSTOMERS, one.account, one)
    size = len(bodies) // len(TICKS) + 1
    for number, day in enumerate(TICKS):
        for body in bodies[number * size : (number + 1) * size]:
            books.webhook(body)
        books.run()
        books.tick(f"{day}T12:00:00")
        books.run()
    for one in known[:late]:
        books.feed(topics.CUSTOMERS, one.account, one)
    if late % 2:
        books.publish(published())
    books.run()
    for hour in (12, 13):
        books.tick(f"{end}T{hour}:00:00")
        books.run()


Where = tuple[str, str, str, str, str]
Net = dict[Where, tuple[int, int]]


def books_net(books: Books) -> Net:
    """Debits less credits of all commands, in the document's currency and in the entity's.

    By document, entity, currency, role and natural period.
    """
    found = Sums()
    for command in books.commands():
        period = command.original_period or command.period
        for line in command.lines:
            sign = 1 if line.side == "debit" else -1
            where = (command.document, command.entity, command.txn_currency, line.role, period)
            found.add(where, sign * line.amount_minor, sign * line.functional_minor)
    return found.net()


def oracle_net(life: Life, rules: oracle.Company) -> Net:
    """The same by the oracle, from the bodies in the order of their times."""
    found = Sums()
    entries: list[Any] = naive.journal(life.bodies, life.customers, today=END, company=rules)
    for entry in entries:
        for line in entry["lines"]:
            sign = 1 if line["side"] == "debit" else -1
            head = (entry["invoice"], entry["entity"], entry["currency"])
            where = (*head, line["role"], entry["period"])
            found.add(where, sign * line["amount_minor"], sign * line["functional_minor"])
    return found.net()


def worth_without_balance(books: Books) -> dict[tuple[str, ...], int]:
    """What is owed or deferred of a document in the entity's currency, but not in its own."""
    amounts, worths = Counter[tuple[str, ...]](), Counter[tuple[str, ...]]()
    for (document, entity, currency, role, _), (amount, worth) in books_net(books).items():
        if role in ("receivable", "deferred_revenue"):
            amounts[document, entity, currency, role] += amount
            worths[document, entity, currency, role] += worth
    return {where: worth for where, worth in worths.items() if worth and not amounts[where]}


def unequal_totals(books: Books) -> list[tuple[str, str, str, str, int, int]]:
    """Control totals at the last cut in which billing's own figure is not that of the commands."""
    found = []
    for partition in range(books.driver.partitions("ledger")):
        shard = books.driver.shard("ledger", partition)
        for entity in ENTITIES:
            for line in (views.totals(shard, "acme", entity) or {"lines": []})["lines"]:
                told, made = line["billing_minor"], line["commands_minor"]
                if told != made:
                    where = (line["period"], line["currency"], line["purpose"])
                    found.append((entity, *where, told, made))
    return found


class Sums:
    """Amounts by place, in two currencies."""

    def __init__(self) -> None:
        self.amounts: Counter[Where] = Counter()
        self.worths: Counter[Where] = Counter()

    def add(self, where: Where, amount: int, worth: int) -> None:
        self.amounts[where] += amount
        self.worths[where] += worth

    def net(self) -> Net:
        both = {*self.amounts, *self.worths}
        found = {where: (self.amounts[where], self.worths[where]) for where in both}
        return {where: amounts for where, amounts in found.items() if any(amounts)}


def different(ours: Net, theirs: Net) -> dict[Where, Any]:
    """What differs: the program's figures and the oracle's."""
    return {
        where: (ours.get(where), theirs.get(where))
        for where in sorted({*ours, *theirs})
        if ours.get(where) != theirs.get(where)
    }


def shuffled(bodies: list[bytes], order: int) -> list[bytes]:
    """In the order of time (0), or in another one with repeats."""
    if not order or not bodies:
        return list(bodies)
    draw = random.Random(order)
    told = [*bodies, *draw.choices(bodies, k=len(bodies) // 3)]
    draw.shuffle(told)
    return told


@searching
@given(lives(), st.integers(0, 9), st.integers(0, PER_EXAMPLE), st.integers(0, len(PROFILES) - 1))
def check_agreement(life: Life, order: int, late: int, policies: int) -> None:
    told = shuffled(life.bodies, order)
    rules, read = company(policies)
    books = Books(company=rules, partitions=1)
    arrive(books, life, told, late)
    assert different(books_net(books), oracle_net(life, read)) == {}
    expected: Any = naive.recompute(told, life.customers, [], today=END, company=read)
    counts = books.counts() | {"inputs": len(told)}
    assert counts == {name: count for name, count in expected["events"].items() if count}
    played["lives"] += len(life.customers)
    played["events"] += len(told)
    played["entries"] += len(books.commands())
    documents: dict[str, str] = {}
    for command in books.commands():
        played[command.purpose] += 1
        played[command.entity] += 1
        played["discounts"] += any(line.role == "discounts" for line in command.lines)
        # An ERP books a key once: two documents with one key would lose a posting.
        key = command.idempotency_key
        assert documents.setdefault(key, command.document) == command.document, key
    assert worth_without_balance(books) == {}
    assert unequal_totals(books) == []


def test_any_order_of_any_life_ends_in_the_oracles_books() -> None:
    check_agreement()
    assert played["lives"] >= LIVES
    assert played["entries"] > played["lives"]
    if LIVES < 2_000:
        return
    assert played["settlement_arrived"] > played["lives"] / 20
    for common in (
        "revenue_earned",
        "payment_recognised",
        "usage_recorded",
        "discounts",
        "wallet_topped_up",
        "fx_revalued",
        "fx_revaluation_reversed",
        *ENTITIES,
    ):
        assert played[common] > played["lives"] / 80, (common, played)
    for rare in (
        "invoice_overdue",
        "invoice_recovered",
        "service_terminated",
        "tax_adjusted",
        "contract_terminated",
        "wallet_expired",
    ):
        assert played[rare] > 0, (rare, played)


@some
@given(lives(), st.integers(0, 9), st.integers(0, PER_EXAMPLE))
def test_both_shapes_of_the_api_make_the_same_books(life: Life, order: int, late: int) -> None:
    rules, read = company(0)
    later = replace(life, events=basil(life.events))
    books = Books(company=rules, partitions=1)
    arrive(books, life, shuffled(later.bodies, order), late)
    assert different(books_net(books), oracle_net(life, read)) == {}


@some
@given(lives(), st.integers(0, 9))
def test_every_entry_balances_in_both_currencies_and_belongs_to_one_entity(
    life: Life, order: int
) -> None:
    books = Books(company=company(0)[0], partitions=1)
    arrive(books, life, shuffled(life.bodies, order), 0)
    for command in books.commands():
        moved: Counter[tuple[str, str]] = Counter()
        for line in command.lines:
            assert line.amount_minor >= 0
            assert line.functional_minor >= 0
            moved["transaction", line.side] += line.amount_minor
            moved["functional", line.side] += line.functional_minor
        for kind in ("transaction", "functional"):
            assert moved[kind, "debit"] == moved[kind, "credit"]
        totals = command.totals
        assert (totals.debit_minor, totals.credit_minor) == (
            moved["transaction", "debit"],
            moved["transaction", "credit"],
        )


@some
@given(lives(settle=True), st.integers(0, 9), st.integers(0, len(PROFILES) - 1))
def test_a_life_that_is_over_leaves_nothing_owed_and_nothing_deferred(
    life: Life, order: int, policies: int
) -> None:
    books = Books(company=company(policies)[0], partitions=1)
    arrive(books, life, shuffled(life.bodies, order), 0, FAR)
    if not books.open_codes():
        left = Counter[tuple[str, str]]()
        for (entity, role), amount in books.balances().items():
            left[entity, role] += amount
        for entity in ENTITIES:
            assert left[entity, "receivable"] == 0
            assert left[entity, "deferred_revenue"] == 0


@some
@given(lives(), st.integers(0, 9), st.integers(0, PER_EXAMPLE))
def test_replay_makes_the_same_commands_and_a_second_telling_none(
    life: Life, order: int, late: int
) -> None:
    told = shuffled(life.bodies, order)
    first, again = (Books(company=company(0)[0], partitions=1) for _ in range(2))
    for books in (first, again):
        arrive(books, life, told, late)
    assert identities(first) == identities(again)
    made = len(first.commands())
    for body in told:
        first.webhook(body)
    first.run()
    assert len(first.commands()) == made


@some
@given(lives(settle=True), st.integers(0, 9), st.integers(0, 2), st.integers(0, 60))
def test_the_balances_of_a_closed_period_never_change(
    life: Life, order: int, month: int, at: int
) -> None:
    """The period is closed after some of the events; whatever else comes goes elsewhere."""
    period = ("2026-01", "2025-12", "2026-02")[month]
    told = shuffled(life.bodies, order)
    books = Books(company=company(0)[0], partitions=1)
    books.publish(published())
    for one in map(customer, life.customers):
        books.feed(topics.CUSTOMERS, one.account, one)
    for body in told[:at]:
        books.webhook(body)
    books.run()
    books.tick("2026-03-01T12:00:00")
    books.run()
    for entity in ENTITIES:
        books.publish(closed(entity, period))
    books.run()
    before = posted_in(books, period)
    for body in told[at:]:
        books.webhook(body)
    books.run()
    for hour in (12, 13):
        books.tick(f"{END}T{hour}:00:00")
        books.run()
    assert posted_in(books, period) == before
    assert different(books_net(books), oracle_net(life, company(0)[1])) == {}
    for command in books.commands():
        if command.original_period == period and command.period != period:
            assert command.period > period


@some
@given(lives(), st.integers(0, 9), st.integers(0, 99))
def test_no_missing_confirmation_is_forgotten_across_a_restart(
    life: Life, order: int, wiped: int
) -> None:
    """The ERP is silent; deadlines pass; the process ends and begins, its disk lost or not."""
    books = Books(company=company(0)[0], partitions=1)
    books.publish(published())
    for one in map(customer, life.customers):
        books.feed(topics.CUSTOMERS, one.account, one)
    for body in shuffled(life.bodies, order):
        books.webhook(body)
    books.run(lambda _: None)
    for day in ("2026-05-01", "2026-05-20"):
        books.tick(f"{day}T12:00:00")
        books.run(lambda _: None)
    missing = [one for one in books.open_codes() if one == "M01"]
    books.driver.restart(wipe=bool(wiped % 2))
    books.run(lambda _: None)
    books.tick("2026-05-21T12:00:00")
    books.run(lambda _: None)
    assert [one for one in books.open_codes() if one == "M01"] == missing
    keys = {command.idempotency_key for command in books.commands()}
    due = {
        command.idempotency_key for command in books.commands() if command.posting_date < "2026-05"
    }
    assert len(due) <= len(missing) <= len(keys)


@some
@given(lives(), st.integers(0, 10_000))
def test_one_corrupted_amount_or_one_lost_event_is_noticed(life: Life, at: int) -> None:
    """Whatever amount of a body that books something is changed by one, the two disagree."""
    rules, read = company(0)
    books = Books(company=rules, partitions=1)
    arrive(books, life, life.bodies, 0)
    ours = books_net(books)
    count = len(life.events)
    place = next((i % count for i in range(at, at + count) if matters(life, i % count, read)), None)
    if place is None:
        return
    lost = replace(life, events=[*life.events[:place], *life.events[place + 1 :]])
    assert different(ours, oracle_net(lost, read)) != {}
    changed = replace(
        life,
        events=[*life.events[:place], corrupted(life.events[place]), *life.events[place + 1 :]],
    )
    assert different(ours, oracle_net(changed, read)) != {}


def identities(books: Books) -> list[tuple[str, int, str]]:
    """Key, revision and content of every command."""
    made = [(one.idempotency_key, one.revision, one.content_hash) for one in books.commands()]
    return sorted(made)


def closed(entity: str, period: str) -> PeriodStatus:
    return PeriodStatus(
        tenant="acme",
        entity=entity,
        ledger="main",
        period=period,
        status="closed",
        version=1,
        changed_by="controller",
    )


def posted_in(books: Books, period: str) -> dict[tuple[str, str], int]:
    """Balances of a period by the dates of posting."""
    found: Counter[tuple[str, str]] = Counter()
    for command in books.commands():
        if command.period == period:
            for line in command.lines:
                sign = 1 if line.side == "debit" else -1
                found[command.entity, line.role] += sign * line.amount_minor
    return {where: amount for where, amount in found.items() if amount}


def matters(life: Life, at: int, read: oracle.Company) -> bool:
    """Whether the books would be others without an event."""
    without = replace(life, events=[*life.events[:at], *life.events[at + 1 :]])
    return different(oracle_net(life, read), oracle_net(without, read)) != {}


def corrupted_own(body: Any) -> Any:
    """The same of a canonical event; more of what is earned later, an end in another year."""
    terms = body.get("contract", {})
    if body["kind"] == "tax_adjusted":
        body["tax_adjustment"]["taxes"][0]["amount_minor"] += 1
    elif "segments" in terms:
        terms["segments"][0]["price_minor"] += 1_200
    elif terms:
        name = "variable_minor" if "variable_minor" in terms else "change_minor"
        terms[name] += 1_200
    elif "amount_minor" in body.get("wallet", {}):
        body["wallet"]["amount_minor"] += 1
    elif body["kind"] in ("contract_terminated", "wallet_expired"):
        body["occurred_at"] = f"2028{body['occurred_at'][4:]}"
    else:
        body["usage"]["quantity"] = str(int(float(body["usage"]["quantity"])) + 1_000)
    return body


def corrupted(event: Event) -> Event:
    """The event with its amount one higher; an invoice's first line and its total."""
    body: Any = json.loads(event.raw)
    if "streamsync" in body:
        return replace(event, body=corrupted_own(body))
    payload = body["data"]["object"]
    kind = body["type"]
    if kind == "invoice.finalized":
        payload["lines"]["data"][0]["amount"] += 1
        payload["total"] += 1
    elif kind in ("invoice.paid", "invoice.payment_succeeded"):
        payload["amount_paid"] += 1
    elif kind == "charge.refunded":
        for one in payload["refunds"]["data"]:
            one["amount"] += 1
    elif kind == "credit_note.created":
        if payload["refund"] is None:
            payload["total"] += 1
        # Of one that a refund settles only the shares count, and here they have none.
        payload["refund"] = None
    elif kind == "charge.succeeded":
        payload["balance_transaction"]["fee"] += 1
    elif kind.startswith("charge.dispute."):
        for movement in payload["balance_transactions"][: 1 + (kind.endswith("reinstated"))]:
            movement["amount"] -= 1
    elif kind == "payout.paid":
        payload["amount"] += 1
    else:
        payload["status_transitions"] = {}
        payload["voided_at"] = None
        body["created"] += 400 * 86_400
    return replace(event, body=body)
