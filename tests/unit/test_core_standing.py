"""When a document has a standing, and which later fact may be booked from it alone.

That both ways end in the same books is tests/property/test_topology_next_fact.py's; here it is
that the short way is open where it should be, and shut where another fact could still matter.
"""

from __future__ import annotations

from datetime import date

import pytest
from msgspec.structs import replace

from streamsync.core import journal
from streamsync.core.facts import Collection, Fact
from streamsync.core.standing import Standing
from tests.unit.core_facts import (
    FAR,
    POLICY,
    book,
    credited,
    failed,
    issued,
    line,
    lost,
    moved,
    paid,
    part_paid,
    refunded,
    voided,
)

ISSUE = issued("2022-01-15", line(1, 9000, "2022-01-15", "2022-04-15"))
PART = part_paid("2022-01-16", 1000, "a")
REFUND = refunded("2022-01-17", 500)
NOTE = credited("2022-01-18", 1000)
TO_BALANCE = credited("2022-01-18", 1000, settlement="customer_balance")
BY_REFUND = credited("2022-01-18", 1000, settlement="refund")
assert ISSUE.invoice is not None
DUE = replace(ISSUE, invoice=replace(ISSUE.invoice, due_at_ms=ISSUE.occurred_at_ms + 1))
COLLECTED = replace(
    failed("2022-01-19"),
    collection=Collection(remaining_minor=9000, attempts=1, overdue=False),
)


@pytest.fixture(autouse=True)
def at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    """A standing after the first fact, not only where it pays."""
    monkeypatch.setattr(journal, "LONG_FACTS", 1)


def standing(*facts: Fact) -> Standing | None:
    return book(*facts).standing


@pytest.mark.parametrize(
    "facts",
    [
        [ISSUE],
        [ISSUE, PART],
        [ISSUE, PART, REFUND],
        [ISSUE, NOTE],
        [ISSUE, TO_BALANCE],
        [ISSUE, failed("2022-01-19")],
    ],
)
def test_facts_that_touch_each_other_through_sums_leave_a_standing(facts: list[Fact]) -> None:
    found = standing(*facts)
    assert found is not None
    assert (found.at_ms, found.fact_id) == (facts[-1].occurred_at_ms, facts[-1].fact_id)


@pytest.mark.parametrize(
    "facts",
    [
        [PART],
        [ISSUE, paid("2022-01-16", 9000)],
        [ISSUE, refunded("2022-01-17", None, 500)],
        [ISSUE, BY_REFUND],
        [ISSUE, lost("2022-01-19")],
        [ISSUE, voided("2022-01-19")],
        [DUE, PART],
        [ISSUE, COLLECTED],
    ],
)
def test_a_fact_that_another_may_still_depend_on_leaves_none(facts: list[Fact]) -> None:
    assert standing(*facts) is None


def test_a_standing_has_the_sums_of_what_came_before() -> None:
    found = standing(ISSUE, PART, part_paid("2022-01-17", 2000, "b"), REFUND, NOTE)
    assert found is not None
    assert (found.owed_minor, found.refunded_minor) == (9000 - 1000 - 2000 - 1000, 500)
    assert found.paid is not None and found.paid.payment is not None
    assert found.paid.payment.amount_minor == 3000
    assert found.moved["receivable"] == -9000 + 3000 + 1000
    # Releases are counted by the document's rows.
    assert found.moved["clearing"] == -3000 + 500
    assert "revenue" not in found.moved


def test_only_a_later_fact_is_booked_from_it_and_never_another_issue() -> None:
    found = standing(ISSUE, PART)
    assert found is not None
    assert found.takes(part_paid("2022-01-17", 1, "b"))
    assert not found.takes(PART)
    assert not found.takes(part_paid("2022-01-15T13:00", 1, "b"))
    assert not found.takes(replace(ISSUE, occurred_at_ms=PART.occurred_at_ms + 1))
    assert not found.takes(replace(failed("2022-01-19"), currency="EUR"))


def test_the_first_payment_behind_a_refund_says_for_the_first_time_how_much_there_was() -> None:
    refunded_only, with_part = standing(ISSUE, REFUND), standing(ISSUE, PART, REFUND)
    assert refunded_only is not None and with_part is not None
    later = part_paid("2022-01-20", 1, "b")
    assert not refunded_only.takes(later)
    assert refunded_only.takes(failed("2022-01-20"))
    assert with_part.takes(later)
    unpaid = standing(ISSUE)
    assert unpaid is not None and unpaid.takes(later)


def test_one_more_fact_alone_adds_what_all_facts_would() -> None:
    found, later = standing(ISSUE, PART), refunded("2022-02-20", 700)
    assert found is not None
    alone = journal.book_next(found, later, lambda _: POLICY, "UTC", FAR)
    together = book(ISSUE, PART, later)
    assert alone is not None
    assert [entry for entry in alone.entries if entry.fact_id == later.fact_id] == [
        entry for entry in together.entries if entry.fact_id == later.fact_id
    ]
    assert alone.standing == together.standing
    releases = [one for one in together.entries if one.purpose == "revenue_released"]
    assert [one for one in alone.entries if one.purpose == "revenue_released"] == releases
    only_a_day = journal.book_next(found, None, lambda _: POLICY, "UTC", date(2022, 2, 1))
    assert only_a_day is not None
    assert moved(only_a_day, "revenue") == {"2022-01": 1700}
