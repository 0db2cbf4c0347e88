"""New rules over old documents: nothing happens by itself, a job moves them, so many per tick."""

from __future__ import annotations

import json
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import typer
from msgspec.structs import replace
from typer.testing import CliRunner, Result

from streamsync.core.company import Company, RestatementJob
from streamsync.core.records import PeriodStatus, ReferenceData
from streamsync.engine.commit import CommitStep
from streamsync.engine.driver import DriverCrashed
from streamsync.governance import load_company, reference_data
from streamsync.governance.restatement import restatement_item
from tests.company_folder import edit, own_profile
from tests.ledger_driver import ACME, Books
from tests.stripe_payloads import FEB_15, JAN_15, event, invoice, line
from topology import ledger
from topology.rows import RESTATEMENT, RestatementRow
from topology.rules_commands import register

NOON, DAY = 43_200, 86_400


@pytest.fixture(scope="module")
def new_rules(tmp_path_factory: pytest.TempPathFactory) -> Company:
    """The same company, but revenue is spread over even months."""
    folder = Path(shutil.copytree(ACME, tmp_path_factory.mktemp("new") / "acme"))
    own_profile(folder, "basis: day", "basis: even_month")
    edit(folder, "company.yaml", "version: 1", "version: 2")
    return load_company(folder)


@pytest.fixture
def books() -> Books:
    made = Books(partitions=1)
    made.customer("cus_1")
    return made


def issued(number: int = 1) -> dict[str, Any]:
    item = line(id=f"il_{number}", period={"start": JAN_15 + NOON, "end": FEB_15 + NOON})
    times = {"finalized_at": JAN_15 + NOON, "paid_at": None}
    body = invoice(item, id=f"in_{number}", status_transitions=times)
    return event("invoice.finalized", body, id=f"evt_{number}")


def paid(number: int = 1) -> dict[str, Any]:
    told = issued(number)
    body = told["data"]["object"] | {
        "status_transitions": {"finalized_at": JAN_15 + NOON, "paid_at": FEB_15}
    }
    return event("invoice.paid", body, id=f"evt_p{number}", created=FEB_15)


def job(name: str = "even", **changes: Any) -> ReferenceData:
    asked = RestatementJob(
        id=name, rules_version=2, date_from="2026-01-01", date_to="2026-12-31", budget=100
    )
    return restatement_item("acme", replace(asked, **changes), prepared_by="ana", approved_by="ben")


def revenue(books: Books) -> dict[str, int]:
    """Net credits to revenue by posting period."""
    found: dict[str, int] = {}
    for command in books.commands():
        for each in command.lines:
            if each.role == "revenue":
                amount = each.amount_minor if each.side == "credit" else -each.amount_minor
                found[command.period] = found.get(command.period, 0) + amount
    return {period: amount for period, amount in sorted(found.items()) if amount}


def jobs(books: Books) -> Iterator[RestatementRow]:
    for partition in range(books.driver.partitions(ledger.LANE)):
        for _, row in books.driver.shard(ledger.LANE, partition).scan(RESTATEMENT):
            yield row


def booked(books: Books, count: int = 1) -> None:
    """Documents booked by the first rules, one month released."""
    for number in range(1, count + 1):
        books.webhook(issued(number))
    books.run()
    books.tick("2026-02-01T12:00:00")
    books.run()


def test_a_document_keeps_its_rules_when_it_is_booked_again(
    books: Books, new_rules: Company
) -> None:
    booked(books)
    books.publish(reference_data(new_rules, 0, "test", None))
    books.run()
    books.webhook(paid())
    books.tick("2026-03-01T12:00:00")
    books.run()
    assert revenue(books) == {"2026-01": 1700, "2026-02": 1400}
    assert {one.action for one in books.commands()} == {"post"}
    by_purpose = {one.purpose: one.policy.id for one in books.commands()}
    assert by_purpose == {
        "invoice_issued": "stripe",
        "revenue_released": "stripe",
        "payment_applied": "own",
    }


def test_a_new_document_is_booked_by_the_new_rules(books: Books, new_rules: Company) -> None:
    books.publish(reference_data(new_rules, 0, "test", None))
    books.run()
    booked(books)
    assert revenue(books) == {"2026-01": 3100}


def test_an_approved_job_moves_documents_and_sends_only_what_differs(
    books: Books, new_rules: Company
) -> None:
    booked(books)
    books.publish(reference_data(new_rules, 0, "test", None))
    books.publish(job())
    books.run()
    assert revenue(books) == {"2026-01": 1700}
    books.tick("2026-02-02T12:00:00")
    books.run()
    assert revenue(books) == {"2026-01": 3100}
    assert [(one.purpose, one.action, one.revision) for one in books.commands()] == [
        ("invoice_issued", "post", 1),
        ("revenue_released", "post", 1),
        ("revenue_released", "correct", 2),
    ]
    assert [(one.seen, one.moved, one.done) for one in jobs(books)] == [(1, 1, True)]
    books.tick("2026-03-02T12:00:00")
    books.run()
    assert revenue(books) == {"2026-01": 3100}
    totals = books.totals("acme-us")
    assert totals.billing_agrees and totals.erp_agrees


def test_a_job_never_touches_a_closed_period(books: Books, new_rules: Company) -> None:
    booked(books)
    closed = PeriodStatus(
        tenant="acme",
        entity="acme-us",
        ledger="main",
        period="2026-01",
        status="closed",
        version=1,
        changed_by="controller",
    )
    books.publish(closed)
    books.publish(reference_data(new_rules, 0, "test", None))
    books.publish(job())
    books.tick("2026-02-02T12:00:00")
    books.run()
    assert revenue(books) == {"2026-01": 1700, "2026-02": 1400}
    last = books.commands()[-1]
    assert (last.action, last.period, last.original_period) == ("adjust", "2026-02", "2026-01")


def test_a_job_goes_on_with_its_budget_per_tick_and_after_a_crash(
    books: Books, new_rules: Company
) -> None:
    booked(books, 5)
    books.publish(reference_data(new_rules, 0, "test", None))
    books.publish(job(budget=2))
    books.run()
    seen = []
    crashes = 0
    for day in range(2, 6):
        if day == 3:
            books.driver.crash_at(CommitStep.OUTPUTS, lane="ledger", after=0)
        books.tick(f"2026-02-0{day}T12:00:00")
        try:
            books.run()
        except DriverCrashed:
            crashes += 1
            books.driver.restart()
            books.run()
        seen += [(one.seen, one.done) for one in jobs(books)]
    assert seen == [(2, False), (4, False), (5, True), (5, True)]
    assert crashes == 1
    corrections = [one for one in books.commands() if one.action == "correct"]
    assert len(corrections) == 5
    assert revenue(books) == {"2026-01": 5 * 3100}


@pytest.mark.parametrize(
    ("changes", "moved"),
    [
        ({"date_to": "2026-01-14"}, 0),
        ({"date_from": "2026-01-15", "date_to": "2026-01-15"}, 1),
        ({"entity": "acme-jp"}, 0),
        ({"entity": "acme-us"}, 1),
    ],
)
def test_a_job_moves_only_what_is_in_its_scope(
    books: Books, new_rules: Company, changes: dict[str, str], moved: int
) -> None:
    booked(books)
    books.publish(reference_data(new_rules, 0, "test", None))
    books.publish(job(**changes))
    books.tick("2026-02-02T12:00:00")
    books.run()
    assert [one.moved for one in jobs(books)] == [moved]
    assert revenue(books) == {"2026-01": 3100 if moved else 1700}


def test_a_job_that_nobody_else_approved_is_refused(books: Books, new_rules: Company) -> None:
    with pytest.raises(ValueError, match="another person than the preparer must approve"):
        restatement_item(
            "acme",
            RestatementJob(
                id="x", rules_version=2, date_from="2026-01-01", date_to="2026-12-31", budget=10
            ),
            prepared_by="ana",
            approved_by=" Ana ",
        )
    books.publish(replace(job(), approved_by=None))
    books.publish(job(rules_version=7))
    books.run()
    assert [letter.reason for letter in books.dead_letters()] == ["restatement_invalid"] * 2
    assert "was never in force" in books.dead_letters()[1].detail


def test_the_same_job_again_does_nothing(books: Books, new_rules: Company) -> None:
    booked(books)
    books.publish(reference_data(new_rules, 0, "test", None))
    books.publish(job())
    books.tick("2026-02-02T12:00:00")
    books.run()
    before = len(books.commands())
    books.publish(job())
    books.tick("2026-02-03T12:00:00")
    books.run()
    assert len(books.commands()) == before


@pytest.fixture
def folders(tmp_path: Path) -> tuple[Path, Path, Path]:
    """The rules in force, the new ones, and events."""
    old = Path(shutil.copytree(ACME, tmp_path / "old"))
    new = Path(shutil.copytree(ACME, tmp_path / "new"))
    own_profile(new, "basis: day", "basis: even_month")
    edit(new, "company.yaml", "version: 1", "version: 2")
    events = tmp_path / "events.json"
    events.write_text(json.dumps([issued(), paid()]), encoding="utf-8")
    return old, new, events


def replay(old: Path, new: Path, events: Path, *more: str) -> Result:
    app = typer.Typer()
    register(app)
    known = ["replay", "--company", str(old), "--rules", str(new), str(events)]
    return CliRunner().invoke(app, [*known, "--through", "2026-03-31", *more])


def test_replay_shows_the_difference_by_entity_period_and_account(
    folders: tuple[Path, Path, Path],
) -> None:
    shown = replay(*folders, "--dry-run")
    assert shown.exit_code == 3
    assert shown.stdout.splitlines() == [
        "acme-us 2026-01 2400 deferred_revenue: -14.00 -> 0.00 USD (14.00)",
        "acme-us 2026-01 4000 revenue: -17.00 -> -31.00 USD (-14.00)",
        "acme-us 2026-02 2400 deferred_revenue: 14.00 -> 0.00 USD (-14.00)",
        "acme-us 2026-02 4000 revenue: -14.00 -> 0.00 USD (14.00)",
    ]
    told = json.loads(replay(*folders, "--dry-run", "--json").stdout)
    assert [one["change_minor"] for one in told["differences"]] == [1400, -1400, -1400, 1400]
    assert told["rules_after"] == {"ruleset": "acme-rules", "version": 2}


def test_replay_of_the_same_rules_finds_nothing(folders: tuple[Path, Path, Path]) -> None:
    old, _, events = folders
    same = replay(old, old, events, "--dry-run")
    assert (same.exit_code, same.stdout) == (0, "The journals are the same.\n")


def test_replay_compares_only_the_dates_asked_for(folders: tuple[Path, Path, Path]) -> None:
    shown = replay(*folders, "--dry-run", "--from", "2026-02-01")
    assert [row.split()[1] for row in shown.stdout.splitlines()] == ["2026-02", "2026-02"]


def test_replay_changes_nothing_by_itself(folders: tuple[Path, Path, Path]) -> None:
    refused = replay(*folders)
    assert refused.exit_code == 2
    assert "streamsync restate" in refused.stderr
