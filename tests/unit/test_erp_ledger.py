"""The simulated ERP's books keep the rules of a ledger."""

from __future__ import annotations

import itertools
import sqlite3
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from streamsync.erp.simulated.document import Chart
from streamsync.erp.simulated.faults import Faults, Kind
from streamsync.erp.simulated.ledger import Answer, Ledger
from streamsync.erp.simulated_client import document_of
from tests.erp_commands import CREATED_AT_MS, DAY_MS, make_command
from tests.erp_processes import CHART


def open_ledger(folder: Path, fault: Kind | None = None) -> Ledger:
    rates: dict[Kind, int] = {} if fault is None else {fault: 10_000}
    ledger = Ledger(folder / "ledger.sqlite", Faults(1, rates), lambda: CREATED_AT_MS)
    ledger.load_chart(Chart.model_validate(CHART))
    return ledger


@pytest.fixture
def ledger(tmp_path: Path) -> Ledger:
    return open_ledger(tmp_path)


def wire(key: str, **changes: Any) -> dict[str, Any]:
    return document_of(make_command(key)) | changes


def line(number: int, **changes: Any) -> dict[str, Any]:
    side, account = ("debit", "1100") if number == 1 else ("credit", "4000")
    usual = {"no": number, "account": account, "side": side}
    return usual | {"amount_minor": 500, "functional_minor": 500} | changes


def code(answer: Answer) -> str | None:
    return answer.refusal.code if answer.refusal else None


REFUSED: list[tuple[str, dict[str, Any]]] = [
    ("ENTITY_UNKNOWN", {"entity": "nobody"}),
    ("DATE_INVALID", {"posting_date": "2026-02-30", "period": "2026-02"}),
    ("DATE_OUTSIDE_PERIOD", {"period": "2026-04"}),
    ("CURRENCY_UNKNOWN", {"currency": "XTS"}),
    ("CURRENCY_UNKNOWN", {"functional_currency": "EUR"}),
    ("LINES_MISSING", {"lines": []}),
    ("LINES_MISSING", {"lines": [line(1)]}),
    ("LINES_MISSING", {"lines": [line(1), line(2, no=1)]}),
    ("AMOUNT_NEGATIVE", {"lines": [line(1, amount_minor=-5), line(2, amount_minor=-5)]}),
    ("AMOUNT_MISMATCH", {"lines": [line(1, functional_minor=1), line(2, functional_minor=1)]}),
    ("ACCOUNT_UNKNOWN", {"lines": [line(1, account="9999"), line(2)]}),
    ("UNBALANCED", {"lines": [line(1), line(2, amount_minor=501, functional_minor=501)]}),
    ("DOCUMENT_INVALID", {"lines": [line(1, amount_minor=500.0), line(2)]}),
    ("DOCUMENT_INVALID", {"lines": [line(1, amount_minor="500"), line(2)]}),
    ("DOCUMENT_INVALID", {"lines": [line(1, amount_minor=10**16), line(2)]}),
    ("DOCUMENT_INVALID", {"surprise": 1}),
]


@pytest.mark.parametrize(("native", "changes"), REFUSED)
def test_a_broken_rule_is_named_and_nothing_is_booked(
    ledger: Ledger, native: str, changes: dict[str, Any]
) -> None:
    answer = ledger.post(wire("a") | changes)
    assert (answer.outcome, code(answer)) == ("rejected", native)
    assert ledger.counts() == {}


@pytest.mark.parametrize("body", [None, [], "text", 5, {}])
def test_a_body_that_is_no_entry_is_refused(ledger: Ledger, body: object) -> None:
    assert code(ledger.post(body)) == "DOCUMENT_INVALID"


def test_a_refusal_does_not_repeat_what_was_sent(ledger: Ledger) -> None:
    answer = ledger.post(wire("a", journal_type={"name": "jane@example.com"}))
    assert answer.refusal is not None
    assert "journal_type" in answer.refusal.message
    assert "jane" not in answer.refusal.message


def test_the_same_key_returns_the_first_document_whatever_is_sent(ledger: Ledger) -> None:
    first = ledger.post(wire("a"))
    again = ledger.post(wire("a", lines=[line(1), line(2)]))
    assert (first.outcome, again.outcome) == ("posted", "duplicate")
    assert again.document == first.document


def test_a_known_key_is_a_duplicate_even_when_its_period_is_closed(ledger: Ledger) -> None:
    ledger.post(wire("a"))
    ledger.set_period("acme-us", "2026-03", "closed")
    assert ledger.post(wire("a")).outcome == "duplicate"
    assert code(ledger.post(wire("b"))) == "PERIOD_NOT_OPEN"


def test_the_same_key_in_another_entity_is_another_document(ledger: Ledger) -> None:
    japan = {"entity": "acme-jp", "currency": "JPY", "functional_currency": "JPY"}
    assert [ledger.post(wire("a")).outcome, ledger.post(wire("a") | japan).outcome] == [
        "posted",
        "posted",
    ]


def test_numbers_have_no_gap_through_refusals_and_restarts(tmp_path: Path) -> None:
    ledger = open_ledger(tmp_path)
    numbers = []
    for at in range(6):
        if at == 3:
            ledger.close()
            ledger = open_ledger(tmp_path)
        ledger.post(wire(f"bad-{at}", currency="XTS"))
        answer = ledger.post(wire(f"good-{at}"))
        assert answer.document is not None
        numbers.append(answer.document["number"])
    assert numbers == [f"acme-us-{number:07d}" for number in range(1, 7)]


@pytest.mark.parametrize(
    "statement",
    [
        "UPDATE entries SET period = '2026-01'",
        "DELETE FROM entries",
        "UPDATE lines SET amount_minor = 1",
        "DELETE FROM lines",
        "INSERT INTO lines VALUES (1, 9, '1100', 'debit', 1, 1)",
        "INSERT OR REPLACE INTO lines VALUES (1, 1, '1100', 'debit', 1, 1)",
    ],
)
def test_the_database_refuses_to_change_what_is_booked(
    ledger: Ledger, tmp_path: Path, statement: str
) -> None:
    ledger.post(wire("a"))
    with sqlite3.connect(tmp_path / "ledger.sqlite") as db, pytest.raises(sqlite3.IntegrityError):
        db.execute(statement)


def test_the_database_refuses_to_book_what_does_not_balance(tmp_path: Path) -> None:
    ledger = open_ledger(tmp_path, "late")
    ledger.post(wire("a"))
    with sqlite3.connect(tmp_path / "ledger.sqlite") as db:
        db.execute("INSERT INTO lines VALUES (1, 9, '1100', 'debit', 1, 1)")
    with pytest.raises(sqlite3.IntegrityError, match="balance"):
        ledger.set_clock(CREATED_AT_MS + 1000 * DAY_MS)


def test_the_trial_balance_is_zero_and_by_period(ledger: Ledger) -> None:
    ledger.post(wire("a"))
    ledger.post(wire("b", posting_date="2026-04-01", period="2026-04"))
    march = ledger.trial_balance("acme-us", "2026-03")
    assert [(row["account"], row["debit_minor"], row["credit_minor"]) for row in march] == [
        ("1100", 12_345, 0),
        ("4000", 0, 12_345),
    ]
    everything = ledger.trial_balance("acme-us", None)
    assert sum(row["debit_minor"] - row["credit_minor"] for row in everything) == 0
    assert sum(row["debit_minor"] for row in everything) == 2 * 12_345


# Faults.


def fault_row(ledger: Ledger) -> dict[str, Any]:
    (row,) = ledger.manifest()
    return row


def test_no_answer_is_booked_and_answered_by_a_look_up(tmp_path: Path) -> None:
    ledger = open_ledger(tmp_path, "no_answer")
    assert ledger.post(wire("a")).cut
    row = fault_row(ledger)
    assert (row["booked_debit_minor"], row["answered_at_ms"]) == (12_345, None)
    assert ledger.look_up("acme-us", "a").outcome == "posted"
    assert fault_row(ledger)["answered_at_ms"] == CREATED_AT_MS


def test_a_second_post_of_an_unanswered_document_is_answered(tmp_path: Path) -> None:
    ledger = open_ledger(tmp_path, "no_answer")
    ledger.post(wire("a"))
    again = ledger.post(wire("a"))
    assert (again.outcome, again.cut) == ("duplicate", False)


def test_a_rejected_document_stays_rejected_and_counts_once(tmp_path: Path) -> None:
    ledger = open_ledger(tmp_path, "reject")
    assert [code(ledger.post(wire("a"))) for _ in range(3)] == ["ACCOUNT_BLOCKED"] * 3
    assert fault_row(ledger)["booked_debit_minor"] == 0
    assert ledger.look_up("acme-us", "a").outcome == "not_found"


def test_an_altered_document_is_answered_as_booked(tmp_path: Path) -> None:
    ledger = open_ledger(tmp_path, "alter")
    answer = ledger.post(wire("a"))
    row = fault_row(ledger)
    assert answer.document is not None
    assert answer.document["lines"][0]["amount_minor"] == row["booked_debit_minor"] > 12_345
    assert row["command_debit_minor"] == 12_345


def test_a_document_that_breaks_a_rule_is_no_fault(tmp_path: Path) -> None:
    ledger = open_ledger(tmp_path, "alter")
    ledger.post(wire("a", currency="XTS"))
    assert ledger.manifest() == []


def test_a_late_document_is_booked_when_its_time_has_come(tmp_path: Path) -> None:
    ledger = open_ledger(tmp_path, "late")
    key = next(
        f"k{number}"
        for number in itertools.count()
        if _due(tmp_path, ledger, f"k{number}") < CREATED_AT_MS + 10 * DAY_MS
    )
    due_at_ms = _due(tmp_path, ledger, key)
    ledger.set_clock(due_at_ms - 1)
    assert ledger.look_up("acme-us", key).outcome == "processing"
    assert ledger.post(wire(key)).outcome == "processing"
    before = _row(ledger, key)
    assert (before["booked_debit_minor"], before["answered_at_ms"]) == (0, None)

    ledger.set_clock(due_at_ms)
    waiting = ledger.due_unanswered()
    found = ledger.look_up("acme-us", key)
    assert found.outcome == "posted"
    assert found.document is not None
    assert found.document["booked_at_ms"] == due_at_ms
    after = _row(ledger, key)
    assert (after["booked_debit_minor"], after["answered_at_ms"]) == (12_345, due_at_ms)
    assert ledger.due_unanswered() == waiting - 1


def _row(ledger: Ledger, key: str) -> dict[str, Any]:
    return next(row for row in ledger.manifest() if row["external_key"] == key)


def _due(_: Path, ledger: Ledger, key: str) -> int:
    ledger.post(wire(key))
    return int(_row(ledger, key)["due_at_ms"])


def test_the_clock_never_goes_back_and_survives_a_restart(tmp_path: Path) -> None:
    ledger = open_ledger(tmp_path)
    assert ledger.now_ms() == CREATED_AT_MS
    set_clock: Callable[[int], int] = ledger.set_clock
    assert [set_clock(9_000), set_clock(5_000)] == [9_000, 9_000]
    ledger.close()
    assert open_ledger(tmp_path).now_ms() == 9_000
