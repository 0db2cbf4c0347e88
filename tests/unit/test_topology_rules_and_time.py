"""Rules that arrive, long work in bounded steps, and crashes in the middle of both."""

from __future__ import annotations

from typing import Any

import pytest
from msgspec.structs import replace

from streamsync.core.company import Company
from streamsync.core.records import Continuation
from streamsync.engine.commit import CommitStep
from streamsync.engine.driver import DriverCrashed
from streamsync.governance import load_company, reference_data
from streamsync.simulator import customers, simulate
from tests.ledger_driver import ACME, Books
from tests.stripe_payloads import FEB_15, JAN_15, event, invoice, line
from topology import topics

NOON = 43_200


def without_role(role: str) -> Company:
    company = load_company(ACME)
    rules = tuple(rule for rule in company.account_rules if rule.role != role)
    return replace(company, account_rules=rules)


def invoice_of(number: int) -> dict[str, Any]:
    times = {"finalized_at": JAN_15 + NOON, "paid_at": None}
    item = line(id=f"il_{number}", period={"start": JAN_15 + NOON, "end": FEB_15 + NOON})
    body = invoice(item, id=f"in_{number}", customer=f"cus_{number % 7}", status_transitions=times)
    return event("invoice.finalized", body, id=f"evt_{number}")


def test_an_entry_without_account_waits_and_new_rules_release_it() -> None:
    books = Books(company=without_role("deferred_revenue"))
    books.customer("cus_1")
    books.webhook(invoice_of(1))
    books.run()
    assert books.commands() == []
    assert books.open_codes() == ["account_unmapped"]
    books.publish(reference_data(replace(load_company(ACME), version=2), 0, "test", None))
    books.run()
    assert [command.mapping.version for command in books.commands()] == [2]
    assert books.open_codes() == []


def test_a_lower_version_of_the_rules_changes_nothing() -> None:
    books = Books()
    books.publish(reference_data(replace(without_role("revenue"), version=0), 0, "test", None))
    books.customer("cus_1")
    books.webhook(invoice_of(1))
    books.run()
    assert [command.mapping.version for command in books.commands()] == [1]


def test_staged_rules_come_into_force_at_their_tick() -> None:
    books = Books(company=without_role("deferred_revenue"))
    books.customer("cus_1")
    books.webhook(invoice_of(1))
    books.publish(reference_data(replace(load_company(ACME), version=2), 3, "test", None))
    for day in range(1, 4):
        books.tick(f"2026-01-{day:02d}T12:00:00")
        books.run()
        assert books.commands() == []
    books.tick("2026-01-04T12:00:00")
    books.run()
    assert len(books.commands()) == 1


def test_a_month_end_is_done_in_bounded_steps_and_cut_only_when_all_is_done() -> None:
    count = 450
    books = Books(partitions=1)
    for number in range(7):
        books.customer(f"cus_{number}")
    for number in range(count):
        books.webhook(invoice_of(number))
    books.run()
    books.tick("2026-02-01T12:00:00")
    books.run()
    released = [one for one in books.commands() if one.purpose == "revenue_released"]
    assert len(released) == count
    log = [
        books.contracts.decode(record.value)
        for record in books.driver.outputs(topics.LEDGER_LOG)
        if record.value
    ]
    assert sum(isinstance(record, Continuation) for record in log) >= 2
    (line_,) = [row for row in books.totals("acme-us").lines if row.purpose == "revenue_released"]
    assert line_.commands_count == count
    assert line_.billing_minor == count * 1700


def test_a_command_older_than_the_first_tick_has_its_full_time_from_that_tick_on() -> None:
    books = Books()
    books.customer("cus_1")
    books.webhook(invoice_of(1))
    books.run(lambda _: None)
    for time, codes in (
        ("2026-01-16T00:00:00", []),
        ("2026-01-16T12:00:00", []),
        ("2026-02-16T00:00:00", ["M01"]),
    ):
        books.tick(time)
        books.run()
        assert books.open_codes() == codes


def test_rules_that_cannot_be_read_are_a_dead_letter_and_the_last_ones_stand() -> None:
    books = Books()
    broken = replace(reference_data(books.company, 0, "test", None), payload='{"tenant":1}')
    books.publish(broken)
    books.customer("cus_1")
    books.webhook(invoice_of(1))
    books.run()
    assert {letter.reason for letter in books.dead_letters()} == {"rules_malformed"}
    assert len(books.commands()) == 1


def run_with_crash(step: CommitStep, after: int) -> Books:
    """Twenty days of Acme with one crash right after a commit step of the ledger."""
    books = Books()
    bodies = [one.body for one in simulate(5, accounts=45, days=20)]
    for one in customers(5, accounts=45):
        books.feed(topics.CUSTOMERS, one.account, one)
    for body in bodies:
        books.webhook(body)
    books.driver.crash_at(step, lane="ledger", after=after)
    crashed = False
    for time in ("2026-01-20T12:00:00", "2026-02-01T12:00:00", "2026-03-02T12:00:00"):
        for _ in range(2):
            try:
                books.run()
                break
            except DriverCrashed:
                crashed = True
                books.driver.restart()
        books.tick(time)
    books.run()
    assert crashed, "the crash was never reached, so nothing was proven"
    return books


@pytest.fixture(scope="module")
def uncrashed() -> Books:
    books = Books()
    for one in customers(5, accounts=45):
        books.feed(topics.CUSTOMERS, one.account, one)
    for told in simulate(5, accounts=45, days=20):
        books.webhook(told.body)
    for time in ("2026-01-20T12:00:00", "2026-02-01T12:00:00", "2026-03-02T12:00:00"):
        books.run()
        books.tick(time)
    books.run()
    return books


@pytest.mark.parametrize("step", list(CommitStep))
@pytest.mark.parametrize("after", [0, 5])
def test_a_crash_after_any_commit_step_changes_no_command_and_no_balance(
    step: CommitStep, after: int, uncrashed: Books
) -> None:
    books = run_with_crash(step, after)
    assert books.counts() == uncrashed.counts()
    assert books.balances() == uncrashed.balances()
    sent = sorted((one.idempotency_key, one.revision) for one in books.commands())
    assert sent == sorted((one.idempotency_key, one.revision) for one in uncrashed.commands())
