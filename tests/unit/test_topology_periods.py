"""Open, soft-closed, closed, reopened: where late and back-dated things go, and what stays put."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from msgspec.structs import replace

from streamsync.core.records import (
    PeriodStatus,
    PostingCommand,
    PostingConfirmation,
    PostingError,
)
from streamsync.governance import load_company
from tests.ledger_driver import ACME, Books, rejects
from tests.stripe_payloads import FEB_15, JAN_15, event, invoice, line
from topology.offline import accepts

NOON, DAY = 43_200, 86_400


@pytest.fixture
def books() -> Books:
    made = Books()
    made.customer("cus_1")
    return made


def status(period: str, told: str, version: int = 1) -> PeriodStatus:
    return PeriodStatus(
        tenant="acme",
        entity="acme-us",
        ledger="main",
        period=period,
        status=told,
        version=version,
        changed_by="controller",
    )


def issued() -> dict[str, Any]:
    item = line(period={"start": JAN_15 + NOON, "end": FEB_15 + NOON})
    times = {"finalized_at": JAN_15 + NOON, "paid_at": None}
    return event("invoice.finalized", invoice(item, status_transitions=times), id="evt_issue")


def voided(at: int) -> dict[str, Any]:
    item = line(period={"start": JAN_15 + NOON, "end": FEB_15 + NOON})
    times = {"finalized_at": JAN_15 + NOON, "voided_at": at}
    return event("invoice.voided", invoice(item, status_transitions=times), id="evt_void")


def placed(books: Books) -> list[tuple[str, str, str, str]]:
    return sorted(
        (one.purpose, one.original_period, one.period, one.period_basis) for one in books.commands()
    )


def period_refused(command: PostingCommand) -> PostingConfirmation:
    error = PostingError(
        canonical_code="PERIOD_CLOSED",
        native_code="PERIOD_NOT_OPEN",
        message="period is closed",
        retryable=False,
    )
    return replace(rejects(command), error=error)


def refusing(period: str) -> Callable[[PostingCommand], PostingConfirmation]:
    """An ERP in which one period is closed."""
    return lambda command: (
        period_refused(command)
        if command.period == period
        else accepts(command, f"doc-{command.command_id}")
    )


def test_what_belongs_to_closed_periods_goes_to_the_earliest_open_one(books: Books) -> None:
    for period in ("2026-01", "2026-02"):
        books.publish(status(period, "closed"))
    books.run()
    books.webhook(issued())
    books.tick("2026-03-10T12:00:00")
    books.run()
    assert placed(books) == [
        ("invoice_issued", "2026-01", "2026-03", "rolled"),
        ("revenue_released", "2026-01", "2026-03", "catch_up"),
        ("revenue_released", "2026-02", "2026-03", "catch_up"),
    ]
    assert {one.posting_date for one in books.commands()} == {"2026-03-01"}
    assert {one.document_date for one in books.commands()} == {
        "2026-01-15",
        "2026-01-31",
        "2026-02-28",
    }


def test_a_policy_may_roll_what_is_late_into_the_current_month() -> None:
    # Chargebee catches up in the current period; February is open, and is passed over.
    books = Books(company=replace(load_company(ACME, "chargebee"), summaries=()))
    books.customer("cus_1")
    books.publish(status("2026-01", "closed"))
    books.tick("2026-03-10T12:00:00")
    books.run()
    books.webhook(issued())
    books.run()
    assert placed(books) == [
        ("invoice_issued", "2026-01", "2026-03", "rolled"),
        ("revenue_released", "2026-01", "2026-03", "catch_up"),
        ("revenue_released", "2026-02", "2026-02", "natural"),
    ]


def test_a_soft_closed_period_takes_only_what_the_policy_allows(books: Books) -> None:
    books.publish(status("2026-01", "soft_closed"))
    books.run()
    books.webhook(issued())
    books.tick("2026-02-01T12:00:00")
    books.run()
    assert placed(books) == [
        ("invoice_issued", "2026-01", "2026-02", "rolled"),
        ("revenue_released", "2026-01", "2026-01", "natural"),
    ]


def test_a_reopened_period_takes_postings_again_and_closes_again(books: Books) -> None:
    for version, told in enumerate(("closed", "reopened"), start=1):
        books.publish(status("2026-01", told, version))
    books.run()
    books.webhook(issued())
    books.run()
    books.publish(status("2026-01", "closed", 3))
    books.run()
    books.webhook(voided(JAN_15 + DAY))
    books.run()
    assert placed(books) == [
        ("invoice_issued", "2026-01", "2026-01", "natural"),
        ("invoice_voided", "2026-01", "2026-02", "rolled"),
    ]


def test_an_older_status_changes_nothing(books: Books) -> None:
    books.publish(status("2026-01", "open", 2))
    books.publish(status("2026-01", "closed", 1))
    books.run()
    books.webhook(issued())
    books.run()
    assert placed(books) == [("invoice_issued", "2026-01", "2026-01", "natural")]


def test_a_status_that_is_none_is_a_dead_letter(books: Books) -> None:
    books.publish(status("2026-01", "opne"))
    books.run()
    (first, *_) = books.dead_letters()
    assert first.reason == "period_status_unknown"
    assert '"opne" is not one of open, soft_closed, closed, reopened' in first.detail


def test_a_command_that_meets_a_closed_period_is_dated_anew_by_a_new_revision(
    books: Books,
) -> None:
    sent: list[PostingCommand] = []

    def silence(command: PostingCommand) -> None:
        sent.append(command)

    books.webhook(issued())
    books.tick("2026-01-20T12:00:00")
    books.run(silence)
    books.publish(status("2026-01", "closed"))
    books.run()
    assert [one.revision for one in books.commands()] == [1]  # in flight: not edited
    books.confirm(period_refused(sent[0]))
    books.run(refusing("2026-01"))
    assert [(one.revision, one.action, one.period) for one in books.commands()] == [
        (1, "post", "2026-01"),
        (2, "post", "2026-02"),
    ]
    assert books.open_codes() == []
    books.tick("2026-01-21T12:00:00")
    books.run()
    totals = books.totals("acme-us")
    assert totals.billing_agrees and totals.erp_agrees
    assert {(one.period, one.commands_count) for one in totals.lines if one.commands_count} == {
        ("2026-02", 1)
    }


def test_a_refusal_for_a_period_that_nobody_closed_waits_for_its_status(books: Books) -> None:
    books.webhook(issued())
    books.run(refusing("2026-01"))
    assert books.open_codes() == ["M02", "period_not_open"]
    assert [one.revision for one in books.commands()] == [1]
    books.publish(status("2026-01", "closed"))
    books.run(refusing("2026-01"))
    assert [(one.revision, one.period) for one in books.commands()] == [
        (1, "2026-01"),
        (2, "2026-02"),
    ]
    assert books.open_codes() == []


def test_a_change_of_what_the_erp_holds_is_adjusted_when_its_period_was_closed_there(
    books: Books,
) -> None:
    books.webhook(issued())
    books.tick("2026-02-01T12:00:00")
    books.run()
    books.webhook(voided(JAN_15 + DAY))
    books.run(refusing("2026-01"))
    assert "period_not_open" in books.open_codes()
    books.publish(status("2026-01", "closed"))
    books.run(refusing("2026-01"))
    assert books.open_codes() == []
    late = [one for one in books.commands() if one.period == "2026-02"]
    assert {(one.purpose, one.action) for one in late} == {
        ("invoice_voided", "post"),
        ("revenue_released", "adjust"),
    }


def test_when_no_period_is_open_the_entry_waits_and_the_worker_goes_on() -> None:
    books = Books()
    books.customer("cus_1")
    for month in range(121):
        year, number = divmod(2026 * 12 + month, 12)
        books.publish(status(f"{year:04d}-{number + 1:02d}", "closed"))
    books.run()
    books.webhook(issued())
    books.run()
    assert books.commands() == []
    assert books.open_codes() == ["period_not_open"]
    assert books.counts() == {"waiting": 1}
    books.publish(status("2026-03", "reopened", 2))
    books.run()
    assert placed(books) == [("invoice_issued", "2026-01", "2026-03", "rolled")]


def test_a_document_before_the_companys_first_day_waits() -> None:
    company = replace(load_company(ACME), effective_from="2026-02-01")
    books = Books(company=company)
    books.customer("cus_1")
    books.webhook(issued())
    books.run()
    assert books.commands() == []
    (told,) = [one for one in books.exceptions().values() if one.state == "detected"]
    assert (told.code, told.detail) == (
        "policy_not_found",
        "no accounting policy is in force on 2026-01-15",
    )
