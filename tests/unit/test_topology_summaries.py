"""Summary journals: one posting for many entries, frozen at a cut, and every member still found."""

from __future__ import annotations

from typing import Any

import pytest
from msgspec.structs import replace

from streamsync.core.company import SummaryRule
from streamsync.core.records import PeriodStatus, PostingCommand, PostingConfirmation
from streamsync.governance import load_company
from tests.ledger_driver import ACME, PARTITIONS, Books, alters, rejects
from tests.stripe_payloads import FEB_15, JAN_15, event, invoice, line
from topology import ledger
from topology.offline import accepts
from topology.rows import MEMBER, MEMBERSHIP, MemberRow

NOON, DAY = 43_200, 86_400


def summarising(*purposes: str, by: str = "day", partitions: int = PARTITIONS) -> Books:
    rules = tuple(SummaryRule(entity="acme-us", purpose=purpose, by=by) for purpose in purposes)
    return Books(company=replace(load_company(ACME), summaries=rules), partitions=partitions)


@pytest.fixture
def books() -> Books:
    return summarising("revenue_released")


def issued(number: int, at: int = JAN_15) -> dict[str, Any]:
    item = line(id=f"il_{number}", period={"start": JAN_15 + NOON, "end": FEB_15 + NOON})
    times = {"finalized_at": at + NOON, "paid_at": None}
    body = invoice(item, id=f"in_{number}", customer=f"cus_{number}", status_transitions=times)
    return event("invoice.finalized", body, id=f"evt_{number}")


def voided(number: int, at: int) -> dict[str, Any]:
    body = issued(number)["data"]["object"] | {
        "status_transitions": {"finalized_at": JAN_15 + NOON, "voided_at": at}
    }
    return event("invoice.voided", body, id=f"evt_v{number}")


def live(books: Books, count: int = 6) -> None:
    for number in range(1, count + 1):
        books.customer(f"cus_{number}")
        books.webhook(issued(number))
    books.run()


def ticks(books: Books, *days: str) -> None:
    for day in days:
        books.tick(f"{day}T12:00:00")
        books.run()


def releases(books: Books) -> list[PostingCommand]:
    return [one for one in books.commands() if one.purpose == "revenue_released"]


def members(books: Books) -> dict[str, MemberRow]:
    return {
        key.rsplit("|", 1)[1]: row
        for partition in range(books.driver.partitions(ledger.LANE))
        for key, row in books.driver.shard(ledger.LANE, partition).scan(MEMBER)
    }


def test_a_month_of_releases_is_one_posting(books: Books) -> None:
    live(books)
    ticks(books, "2026-02-01", "2026-02-02")
    (summary,) = releases(books)
    assert summary.account == "book/acme/acme-us"
    assert (summary.posting_date, summary.period) == ("2026-01-31", "2026-01")
    assert [(one.side, one.role, one.amount_minor) for one in summary.lines] == [
        ("credit", "revenue", 6 * 1700),
        ("debit", "deferred_revenue", 6 * 1700),
    ]
    assert summary.lines[0].dimensions == {"product": "prod_a"}
    assert books.open_codes() == []
    totals = books.totals("acme-us")
    assert totals.billing_agrees and totals.erp_agrees
    (released,) = [one for one in totals.lines if one.purpose == "revenue_released"]
    assert (released.commands_minor, released.commands_count) == (6 * 1700, 1)


def test_every_member_names_its_event_and_its_summary(books: Books) -> None:
    live(books)
    ticks(books, "2026-02-01", "2026-02-02")
    (summary,) = releases(books)
    found = members(books)
    assert {row.member.source_event_id for row in found.values()} == {
        f"evt_{number}" for number in range(1, 7)
    }
    assert {row.summary for row in found.values()} == {summary.document}
    assert sum(line.amount_minor for row in found.values() for line in row.member.lines) == sum(
        line.amount_minor for line in summary.lines
    )
    listed = [
        key.rsplit("|", 1)[1]
        for partition in range(books.driver.partitions(ledger.LANE))
        for key, _ in books.driver.shard(ledger.LANE, partition).scan(MEMBERSHIP)
    ]
    assert sorted(listed) == sorted(found)


def test_a_late_member_makes_a_supplementary_summary(books: Books) -> None:
    live(books, 3)
    ticks(books, "2026-02-01", "2026-02-02")
    first = releases(books)
    books.customer("cus_9")
    books.webhook(issued(9))
    books.run()
    ticks(books, "2026-02-03", "2026-02-04")
    assert releases(books)[: len(first)] == first
    late = releases(books)[-1]
    assert len(releases(books)) == 2
    assert late.idempotency_key != first[0].idempotency_key
    assert {one.amount_minor for one in late.lines} == {1700}
    assert (late.action, late.revision, late.posting_date) == ("post", 1, "2026-01-31")


def test_a_changed_member_is_taken_back_in_the_next_summary(books: Books) -> None:
    live(books, 3)
    ticks(books, "2026-02-01", "2026-02-02")
    books.webhook(voided(2, JAN_15 + DAY))
    books.run()
    ticks(books, "2026-02-03", "2026-02-04")
    last = releases(books)[-1]
    assert [(one.side, one.role, one.amount_minor) for one in last.lines] == [
        ("credit", "deferred_revenue", 1700),
        ("debit", "revenue", 1700),
    ]
    balances = books.balances()
    assert balances["acme-us", "revenue"] == -2 * 1700
    totals = books.totals("acme-us")
    assert totals.billing_agrees and totals.erp_agrees


def test_a_summary_of_a_closed_period_is_caught_up_in_the_open_one(books: Books) -> None:
    live(books, 2)
    books.publish(
        PeriodStatus(
            tenant="acme",
            entity="acme-us",
            ledger="main",
            period="2026-01",
            status="closed",
            version=1,
            changed_by="controller",
        )
    )
    books.run()
    ticks(books, "2026-03-01", "2026-03-02")
    assert [
        (one.original_period, one.period, one.posting_date, one.period_basis)
        for one in releases(books)
    ] == [
        ("2026-01", "2026-02", "2026-02-01", "catch_up"),
        ("2026-02", "2026-02", "2026-02-28", "natural"),
    ]


def test_a_summary_is_reconciled_like_any_posting(books: Books) -> None:
    live(books, 2)
    books.tick("2026-02-01T12:00:00")
    books.run(lambda command: alters(command, 7))
    ticks(books, "2026-02-02", "2026-02-03")
    codes = [one for one in books.exceptions().values() if one.code == "M04"]
    assert [one.account for one in codes if one.account.startswith("book/")] == [
        "book/acme/acme-us"
    ]
    assert books.totals("acme-us").erp_agrees


def test_daily_summaries_wait_for_the_end_of_their_day() -> None:
    books = summarising("invoice_issued")
    for number, at in ((1, JAN_15), (2, JAN_15), (3, JAN_15 + DAY)):
        books.customer(f"cus_{number}")
        books.webhook(issued(number, at))
    books.run()
    ticks(books, "2026-01-15")
    assert books.commands() == []
    ticks(books, "2026-01-16", "2026-01-17")
    made = [(one.posting_date, one.totals.debit_minor) for one in books.commands()]
    assert made == [("2026-01-15", 6200), ("2026-01-16", 3100)]


def test_period_summaries_wait_for_the_end_of_their_month() -> None:
    books = summarising("invoice_issued", by="period")
    live(books, 3)
    ticks(books, "2026-01-31")
    assert [one.purpose for one in books.commands()] == []
    ticks(books, "2026-02-01")
    (summary,) = [one for one in books.commands() if one.purpose == "invoice_issued"]
    assert (summary.posting_date, summary.totals.debit_minor) == ("2026-01-31", 9300)


@pytest.mark.parametrize("seed", [1, 2, 3])
def test_any_order_of_work_ends_in_the_same_balances(seed: int) -> None:
    plain = Books(seed=seed, redeliver=True)
    rules = (SummaryRule(entity="acme-us", purpose="revenue_released", by="day"),)
    company = replace(load_company(ACME), summaries=rules)
    summed = Books(seed=seed, redeliver=True, company=company)
    for books in (plain, summed):
        live(books, 5)
        books.webhook(voided(3, FEB_15))
        ticks(books, "2026-02-01", "2026-02-20", "2026-03-01", "2026-03-02")
    assert summed.balances() == plain.balances()
    assert len(releases(summed)) < len(releases(plain))


def closed_in_january(command: PostingCommand) -> PostingConfirmation:
    """An ERP whose January is closed, whatever streamsync has heard of it."""
    if command.period != "2026-01" or not command.account.startswith("book/"):
        return accepts(command, f"doc-{command.command_id}")
    refusal = rejects(command)
    assert refusal.error is not None
    return replace(refusal, error=replace(refusal.error, canonical_code="PERIOD_CLOSED"))


def test_a_summary_refused_for_its_closed_period_posts_in_the_next_one(books: Books) -> None:
    live(books, 3)
    for day in ("2026-02-01", "2026-02-02", "2026-02-03"):
        books.tick(f"{day}T12:00:00")
        books.run(closed_in_january)
    assert books.open_codes() == ["M02", "period_not_open"]
    assert [(one.period, one.revision) for one in releases(books)] == [("2026-01", 1)]
    books.publish(
        PeriodStatus(
            tenant="acme",
            entity="acme-us",
            ledger="main",
            period="2026-01",
            status="closed",
            version=1,
            changed_by="controller",
        )
    )
    for day in ("2026-02-04", "2026-02-05", "2026-02-06"):
        books.tick(f"{day}T12:00:00")
        books.run(closed_in_january)
    first, again = releases(books)
    assert (again.period, again.posting_date, again.revision) == ("2026-02", "2026-02-01", 2)
    assert (again.period_basis, again.original_period) == ("catch_up", "2026-01")
    assert (again.idempotency_key, again.lines) == (first.idempotency_key, first.lines)
    assert again.erp_key != first.erp_key
    assert books.open_codes() == []
    totals = books.totals("acme-us")
    assert totals.billing_agrees and totals.erp_agrees
    held = {one.period: one for one in totals.lines if one.purpose == "revenue_released"}
    assert (held["2026-01"].commands_minor, held["2026-01"].commands_debit_minor) == (5100, 0)
    assert (held["2026-02"].commands_debit_minor, held["2026-02"].erp_debit_minor) == (5100, 5100)
