"""The closing report: true when all agrees, and false line by line when one figure is touched."""

from __future__ import annotations

import io
import json
from collections import Counter
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest
from msgspec import structs
from rich.console import Console

from streamsync.core.by_name import by_name
from streamsync.demo import screen, trace
from streamsync.demo.evidence import Evidence
from streamsync.demo.report import chosen_mismatch, make_report
from tests.demo_in_memory import InMemoryDemo
from tests.oracle.naive import recompute

COMPARED = ("events", "totals", "deferred", "mismatches", "trial_balance")


@pytest.fixture(scope="module")
def demo(tmp_path_factory: pytest.TempPathFactory) -> InMemoryDemo:
    played = InMemoryDemo(tmp_path_factory.mktemp("demo"), seed=1, accounts=60)
    played.play()
    return played


@pytest.fixture(scope="module")
def evidence(demo: InMemoryDemo) -> Evidence:
    return demo.evidence()


def failing(report: dict[str, Any]) -> list[str]:
    return [check["line"] for check in report["checks"] if not check["holds"]]


def test_every_line_holds_after_an_undisturbed_play(evidence: Evidence) -> None:
    report = make_report(evidence)
    assert failing(report) == []
    assert report["holds"]


def test_the_report_equals_the_naive_recomputation(evidence: Evidence) -> None:
    report = make_report(evidence)
    naive = recompute(
        [one.record.body for one in evidence.webhooks],
        [by_name(one) for one in evidence.customers],
        evidence.manifest,
        today=evidence.today,
    )
    for part in COMPARED:
        assert report[part] == naive[part], part


def test_usage_is_earned_as_it_happens_and_its_invoice_clears_what_was_unbilled(
    evidence: Evidence,
) -> None:
    told = [json.loads(one.record.body) for one in evidence.webhooks]
    calls: Counter[str] = Counter()
    for one in told:
        if one.get("kind") == "usage_recorded":
            calls[one["document"]] += int(one["usage"]["quantity"])
    # Some reach the second tier: ten thousand calls at a cent each, the others at 0.4 cent.
    assert max(calls.values()) > 10_000 > min(calls.values())
    earned = sum(min(n, 10_000) + max(n - 10_000, 0) * 2 // 5 for n in calls.values())
    totals = make_report(evidence)["totals"]
    moved: Counter[str] = Counter()
    for row in totals:
        moved[row["purpose"]] += row["commands_minor"]
    assert moved["usage_recorded"] == earned
    assert 0 < moved["unbilled_cleared"] < earned


def test_one_call_more_is_noticed(evidence: Evidence) -> None:
    bodies = [one.record.body for one in evidence.webhooks]
    at = next(n for n, body in enumerate(bodies) if b'"usage_recorded"' in body)
    used = json.loads(bodies[at])
    used["usage"]["quantity"] = str(int(used["usage"]["quantity"]) + 1)
    known = [by_name(one) for one in evidence.customers]
    changed = [*bodies[:at], json.dumps(used).encode(), *bodies[at + 1 :]]
    naive = recompute(changed, known, evidence.manifest, today=evidence.today)
    assert make_report(evidence)["totals"] != naive["totals"]


def test_every_kind_of_fault_was_met(evidence: Evidence) -> None:
    assert all(make_report(evidence)["manifest"].values())


def _counted_twice(evidence: Evidence) -> Evidence:
    return replace(evidence, counts={**evidence.counts, "posted": evidence.counts["posted"] + 1})


def _webhook_lost(evidence: Evidence) -> Evidence:
    return replace(evidence, webhooks=evidence.webhooks[1:])


def _fault_hidden(evidence: Evidence) -> Evidence:
    at = next(n for n, row in enumerate(evidence.manifest) if row["kind"] == "alter")
    return replace(evidence, manifest=[*evidence.manifest[:at], *evidence.manifest[at + 1 :]])


def _mismatch_invented(evidence: Evidence) -> Evidence:
    one = next(row for row in evidence.exceptions if row["code"] == "M11")
    return replace(evidence, exceptions=[*evidence.exceptions, one | {"idempotency_key": "other"}])


def _unknown_code(evidence: Evidence) -> Evidence:
    one = next(row for row in evidence.exceptions if row["code"] == "M11")
    return replace(evidence, exceptions=[*evidence.exceptions, one | {"code": "M03"}])


def _answer_lost(evidence: Evidence) -> Evidence:
    one = next(told for told in evidence.confirmations if told.status == "posted")
    kept = [told for told in evidence.confirmations if told is not one]
    return replace(evidence, confirmations=kept)


def _not_looked_up(evidence: Evidence) -> Evidence:
    told = [structs.replace(one, found_by_lookup=False) for one in evidence.confirmations]
    return replace(evidence, confirmations=told)


def _book_with(evidence: Evidence, field: str) -> Evidence:
    books = json.loads(json.dumps(evidence.books))
    books["acme-us"]["lines"][0][field] += 1
    return replace(evidence, books=books)


def _difference_touched(evidence: Evidence) -> Evidence:
    touched = [
        one | {"difference_minor": one["difference_minor"] + 1} if one["code"] == "M04" else one
        for one in evidence.exceptions
    ]
    return replace(evidence, exceptions=touched)


def _erp_differs(evidence: Evidence) -> Evidence:
    (where, rows), *rest = evidence.trial_balances.items()
    rows = [rows[0] | {"debit_minor": rows[0]["debit_minor"] + 1}, *rows[1:]]
    return replace(evidence, trial_balances={where: rows, **dict(rest)})


@pytest.mark.parametrize(
    ("touch", "line"),
    [
        (_counted_twice, "every webhook that"),
        (_webhook_lost, "every webhook that"),
        (lambda told: replace(told, accepted=told.accepted + 1), "every webhook that"),
        (lambda told: replace(told, accepted=told.accepted - 1), "every webhook that"),
        (_fault_hidden, "mismatches are the injected faults"),
        (_mismatch_invented, "mismatches are the injected faults"),
        (_unknown_code, "mismatches are the injected faults"),
        (_answer_lost, "every command is answered"),
        (_not_looked_up, "what was booked without an answer"),
        (lambda told: _book_with(told, "commands_count"), "every command is answered"),
        (lambda told: _book_with(told, "billing_minor"), "billing = commands"),
        (lambda told: _book_with(told, "commands_minor"), "billing = commands"),
        (lambda told: _book_with(told, "commands_debit_minor"), "commands - ERP"),
        (lambda told: _book_with(told, "erp_debit_minor"), "the ERP's own trial balance"),
        (lambda told: _book_with(told, "open_difference_minor"), "commands - ERP"),
        (_difference_touched, "commands - ERP"),
        (_erp_differs, "the ERP's own trial balance"),
    ],
)
def test_one_touched_figure_fails_its_line(
    evidence: Evidence, touch: Callable[[Evidence], Evidence], line: str
) -> None:
    report = make_report(touch(evidence))
    assert any(failed.startswith(line) for failed in failing(report)), failing(report)
    assert not report["holds"]


def test_one_mismatch_is_traced_from_webhook_to_erp_document(
    demo: InMemoryDemo, evidence: Evidence
) -> None:
    mismatch = chosen_mismatch(evidence.exceptions, evidence.commands)
    assert mismatch is not None and mismatch["code"] == "M04"
    told = trace.final_confirmation(
        evidence.confirmations, mismatch["idempotency_key"], mismatch["revision"]
    )
    assert told is not None and told.erp_document_number is not None
    steps = trace.make_trace(
        mismatch,
        demo.document(mismatch["account"], mismatch["document"]),
        evidence.commands,
        evidence.confirmations,
        dict(demo.erp.by_number(told.erp_document_number) or {}),
    )
    assert trace.complete(steps)
    found = {step["step"]: step["found"] for step in steps}
    webhook = next(
        one
        for one in evidence.webhooks
        if (one.partition, one.offset)
        == (found["webhook"]["partition"], found["webhook"]["offset"])
    )
    assert json.loads(webhook.record.body)["id"] == found["webhook"]["event_id"]
    booked = found["erp_document"]["debit_minor"]
    assert booked == found["confirmation"]["debit_minor"] != found["command"]["debit_minor"]
    assert found["command"]["debit_minor"] - booked == mismatch["difference_minor"]


def test_a_trace_with_a_missing_link_is_not_complete(
    demo: InMemoryDemo, evidence: Evidence
) -> None:
    mismatch = chosen_mismatch(evidence.exceptions, evidence.commands)
    assert mismatch is not None
    document = demo.document(mismatch["account"], mismatch["document"])
    steps = trace.make_trace(mismatch, document, evidence.commands, evidence.confirmations, None)
    assert not trace.complete(steps)


@pytest.mark.parametrize("width", [80, 140])
def test_the_screen_shows_each_figure_whole_and_in_the_unit_of_its_currency(
    evidence: Evidence, width: int
) -> None:
    report = make_report(evidence)
    console = Console(width=width, file=io.StringIO(), record=True)
    screen.show(console, report)
    text = console.export_text()
    row = next(row for row in report["periods"] if row["currency"] == "USD")
    assert f"{row['commands_debit_minor'] // 100}.{row['commands_debit_minor'] % 100:02}" in text
    yen = next(row for row in report["periods"] if row["currency"] == "JPY")
    assert f" {yen['commands_debit_minor']} " in text
    assert "\N{HORIZONTAL ELLIPSIS}" not in text
    assert text.count("holds ") == len(report["checks"])


def test_a_period_without_deferred_revenue_of_its_own_shows_what_stands(evidence: Evidence) -> None:
    report = make_report(evidence)
    own = [row for row in report["deferred"] if row["entity"] == "acme-us"]
    last, standing = own[-1]["period"], own[-2]["balance_minor"]
    report["deferred"].remove(own[-1])
    console = Console(width=140, file=io.StringIO(), record=True)
    screen.show(console, report)
    figure = f" {standing // 100}.{standing % 100:02}"
    rows = [row for row in console.export_text().splitlines() if "acme-us" in row and figure in row]
    assert any(last in row for row in rows)
