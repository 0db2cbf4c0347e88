"""Whatever arrives: a closed period stays as it was, and the net of every document is the same."""

from __future__ import annotations

import random
from collections.abc import Mapping

import pytest

from streamsync.core.records import PeriodStatus, PostingCommand
from streamsync.simulator import customers, simulate
from tests.ledger_driver import ENTITIES, Books
from topology import topics

TICKS = ("2026-01-10", "2026-02-02", "2026-02-20", "2026-03-02", "2026-03-04", "2026-03-06")
Net = dict[tuple[str, ...], tuple[int, int]]


def status(entity: str, period: str, told: str, version: int) -> PeriodStatus:
    return PeriodStatus(
        tenant="acme",
        entity=entity,
        ledger="main",
        period=period,
        status=told,
        version=version,
        changed_by="controller",
    )


def by_period(commands: list[PostingCommand]) -> Net:
    """What is posted: entity, posting period, role to debit and credit."""
    return _net(commands, lambda one: (one.entity, one.period))


def by_document(commands: list[PostingCommand]) -> Net:
    """What documents amount to: entity, document, natural period, role to net debit and credit."""
    found = _net(commands, lambda one: (one.entity, one.document, one.original_period))
    return {where: (max(d - c, 0), max(c - d, 0)) for where, (d, c) in found.items() if d != c}


def _net(commands: list[PostingCommand], where: object) -> Net:
    found: Net = {}
    for one in commands:
        for line in one.lines:
            key = (*where(one), line.role)  # type: ignore[operator]
            debit, credit = found.get(key, (0, 0))
            amount = line.amount_minor
            sides = (amount, 0) if line.side == "debit" else (0, amount)
            found[key] = (debit + sides[0], credit + sides[1])
    return dict(sorted(found.items()))


def live(seed: int, statuses: Mapping[int, list[PeriodStatus]]) -> tuple[Books, list[Net]]:
    """Shuffled events between ticks; before a tick the statuses of its number are told.

    Also what was posted right after each of them, once nothing moved any more.
    """
    draw = random.Random(seed)
    bodies = [event.body for event in simulate(seed, accounts=45)]
    bodies += draw.sample(bodies, 30)
    draw.shuffle(bodies)
    books = Books(seed=seed, redeliver=True, rates=True)
    for one in customers(seed, accounts=45):
        books.feed(topics.CUSTOMERS, one.account, one)
    size = len(bodies) // len(TICKS) + 1
    posted = []
    for number, day in enumerate(TICKS):
        for body in bodies[number * size : (number + 1) * size]:
            books.webhook(body)
        books.run()
        for told in statuses.get(number, ()):
            books.publish(told)
        books.run()
        posted.append(by_period(books.commands()))
        books.tick(f"{day}T12:00:00")
        books.run()
    return books, posted


@pytest.mark.parametrize("seed", range(1, 6))
def test_a_closed_period_never_changes_and_documents_net_to_the_same(seed: int) -> None:
    draw = random.Random(f"{seed}/periods")
    closings = sorted(
        (draw.randrange(len(TICKS) - 1), entity, period)
        for entity in ENTITIES
        for period in ("2025-12", "2026-01", "2026-02")
    )
    statuses: dict[int, list[PeriodStatus]] = {}
    for number, entity, period in closings:
        soft = [status(entity, period, "soft_closed", 1)] if draw.random() < 0.3 else []
        statuses.setdefault(number, []).extend([*soft, status(entity, period, "closed", 2)])
    books, posted = live(seed, statuses)
    open_books, _ = live(seed, {})
    end = by_period(books.commands())
    for number, entity, period in closings:
        then = {key: sums for key, sums in posted[number].items() if key[:2] == (entity, period)}
        now = {key: sums for key, sums in end.items() if key[:2] == (entity, period)}
        assert now == then, f"{entity} {period} was closed before tick {number}"
    assert by_document(books.commands()) == by_document(open_books.commands())
    assert books.counts() == open_books.counts()
    for entity in ENTITIES:
        totals = books.totals(entity)
        assert totals.billing_agrees and totals.erp_agrees
