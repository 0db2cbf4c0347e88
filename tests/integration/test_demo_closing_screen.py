"""The demo's closing screen is true: a second implementation says the same of the same webhooks."""

from __future__ import annotations

import copy
import json
import os
import re
import signal
from pathlib import Path
from typing import Any

import pytest

from tests.demo_process import Demo, Export, left_running

pytestmark = pytest.mark.timeout(900)
_DAY = re.compile(r"simulated (\d{4}-\d\d-\d\d)")
CLASSES = ("posted", "no_entry", "ignored", "waiting", "unknown", "rejected", "duplicate")


@pytest.fixture(scope="module")
def undisturbed(tmp_path_factory: pytest.TempPathFactory) -> Export:
    """One run of the whole demo."""
    folder = tmp_path_factory.mktemp("undisturbed")
    demo = Demo(folder)
    assert demo.wait() == 0, demo.said()
    assert left_running(folder) == []
    return Export.read(demo.export_folder)


@pytest.fixture
def touched(undisturbed: Export) -> Export:
    """A copy to corrupt."""
    return copy.deepcopy(undisturbed)


def test_every_line_holds_and_the_naive_recomputation_agrees(undisturbed: Export) -> None:
    assert undisturbed.report["holds"]
    assert undisturbed.differing() == []


@pytest.mark.parametrize("name", CLASSES)
def test_every_class_of_event_occurs(undisturbed: Export, name: str) -> None:
    assert undisturbed.report["events"][name] > 0


def test_the_classes_add_up_to_what_the_ingress_accepted(undisturbed: Export) -> None:
    events = undisturbed.report["events"]
    assert sum(events[name] for name in CLASSES) == events["inputs"]
    assert events["inputs"] == undisturbed.report["accepted"] == len(undisturbed.bodies)


def test_mismatches_equal_the_manifest_with_every_kind_of_fault(undisturbed: Export) -> None:
    by_kind: dict[str, list[str]] = {}
    for row in undisturbed.manifest:
        late = "answered" if row["answered_at_ms"] is not None else "unanswered"
        kind = f"late_{late}" if row["kind"] == "late" else row["kind"]
        by_kind.setdefault(kind, []).append(row["idempotency_key"])
    mismatches = undisturbed.report["mismatches"]
    codes = {"reject": "M02", "alter": "M04", "late_unanswered": "M01", "late_answered": "M11"}
    for kind, code in codes.items():
        assert mismatches[code] == sorted(by_kind[kind]), kind
    assert by_kind["no_answer"]
    opened = {row["code"] for row in undisturbed.report["exceptions"] if row["open"]}
    assert opened == set(codes.values())


def test_every_feature_of_the_story_occurs(undisturbed: Export) -> None:
    events = [json.loads(body) for body in undisturbed.bodies]
    types = {event.get("type", event.get("kind")) for event in events}
    assert types >= {
        "invoice.finalized",
        "invoice.paid",
        "invoice.payment_failed",
        "invoice.voided",
        "charge.refunded",
        "credit_note.created",
        "customer.subscription.updated",
        "usage_recorded",
    }
    lines = [
        line
        for event in events
        if event.get("type") == "invoice.finalized"
        for line in event["data"]["object"]["lines"]["data"]
    ]
    assert any(line.get("proration") and line["amount"] < 0 for line in lines)
    versions = {event["api_version"][:10] for event in events if "api_version" in event}
    assert min(versions) < "2025-03-31" < max(versions)
    booked = {(row["entity"], row["currency"]) for row in undisturbed.report["totals"]}
    assert booked == {
        ("acme-us", "USD"), ("acme-jp", "JPY"), ("acme-de", "EUR"),
        ("acme-kw", "KWD"), ("acme-kw", "USD"),
    }  # fmt: skip


def test_one_event_less_is_noticed(touched: Export) -> None:
    at = next(n for n, body in enumerate(touched.bodies) if b'"invoice.finalized"' in body)
    del touched.bodies[at]
    assert touched.differing()


def test_one_amount_changed_is_noticed(touched: Export) -> None:
    at = next(n for n, body in enumerate(touched.bodies) if b'"charge.refunded"' in body)
    event: dict[str, Any] = json.loads(touched.bodies[at])
    charge = event["data"]["object"]
    charge["amount_refunded"] -= 1
    for refund in charge.get("refunds", {}).get("data", [])[:1]:
        refund["amount"] -= 1
    touched.bodies[at] = json.dumps(event).encode()
    assert touched.differing()


def test_one_manifest_line_less_is_noticed(touched: Export) -> None:
    at = next(n for n, row in enumerate(touched.manifest) if row["kind"] == "reject")
    del touched.manifest[at]
    assert touched.differing()


def test_a_worker_killed_in_the_middle_changes_nothing(undisturbed: Export, tmp_path: Path) -> None:
    demo = Demo(tmp_path)
    try:
        demo.wait_until(lambda: max(_DAY.findall(demo.said()), default="") >= "2026-01-15")
        killed = demo.child("worker-1")
        assert killed is not None
        os.kill(killed, signal.SIGKILL)
        assert demo.wait() == 0, demo.said()
    finally:
        demo.stop()
    disturbed = Export.read(demo.export_folder)
    assert disturbed.report["run"]["restarts"] == {"worker-1": 1}
    assert _without_chance(disturbed.report) == _without_chance(undisturbed.report)
    assert disturbed.bodies and sorted(disturbed.bodies) == sorted(undisturbed.bodies)
    assert left_running(tmp_path) == []


def _without_chance(report: dict[str, Any]) -> dict[str, Any]:
    """The report without what may differ: ports, the order in which the ERP numbers, restarts."""
    told = copy.deepcopy(report)
    del told["run"], told["trace"]["urls"]
    for step in told["trace"]["steps"]:
        for name in ("erp_document_number", "number"):
            step["found"].pop(name, None)
    return told
