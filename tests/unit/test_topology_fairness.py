"""Long work in one account lets the others of its partition through."""

from __future__ import annotations

from typing import Any

import pytest

from tests.ledger_driver import Books
from tests.stripe_payloads import FEB_15, JAN_15, event, invoice, line
from topology import advance

NOON = 43_200
PER_STEP = 8
DUE = 100


def invoice_of(number: int, customer: str) -> dict[str, Any]:
    times = {"finalized_at": JAN_15 + NOON, "paid_at": None}
    item = line(id=f"il_{number}", period={"start": JAN_15 + NOON, "end": FEB_15 + NOON})
    body = invoice(item, id=f"in_{number}", customer=customer, status_transitions=times)
    return event("invoice.finalized", body, id=f"evt_{number}")


@pytest.fixture
def month_end(monkeypatch: pytest.MonkeyPatch) -> Books:
    """A hot account with a release of each of its invoices due, and one with nothing yet."""
    monkeypatch.setattr(advance, "DUE_PER_STEP_MAX", PER_STEP)
    books = Books(partitions=1)
    for customer in ("cus_hot", "cus_other"):
        books.customer(customer)
    for number in range(DUE):
        books.webhook(invoice_of(number, "cus_hot"))
    books.run()
    books.tick("2026-02-01T12:00:00")
    return books


def count(books: Books, purpose: str, customer: str) -> int:
    account = f"acme/stripe/{customer}"
    return sum(1 for one in books.commands() if (one.purpose, one.account) == (purpose, account))


def step_until(books: Books, *, released: int) -> None:
    while count(books, "revenue_released", "cus_hot") < released:
        assert books.driver.step(), "nothing is left to do"


def test_what_another_account_is_told_at_a_month_end_waits_for_one_or_two_steps(
    month_end: Books,
) -> None:
    books = month_end
    step_until(books, released=2 * PER_STEP)
    books.webhook(invoice_of(999, "cus_other"))
    before = count(books, "revenue_released", "cus_hot")
    while not count(books, "invoice_issued", "cus_other"):
        assert books.driver.step(), "nothing is left to do"
    waited_for = count(books, "revenue_released", "cus_hot") - before
    # One continuation was in the log before it, one more may share its batch.
    assert waited_for <= 3 * PER_STEP
    assert count(books, "revenue_released", "cus_hot") < DUE, "the month end was over before"
    books.run()
    assert count(books, "revenue_released", "cus_hot") == DUE


def test_no_step_of_a_month_end_writes_more_than_its_share(month_end: Books) -> None:
    books, seen = month_end, [0]
    while books.driver.step():
        seen.append(count(books, "revenue_released", "cus_hot"))
    assert seen[-1] == DUE
    assert max(now - before for before, now in zip(seen, seen[1:], strict=False)) <= PER_STEP
