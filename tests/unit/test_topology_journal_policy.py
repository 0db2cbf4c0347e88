"""`streamsync journal --policy`: a company's events booked by another accounting profile.

The events are Stripe's published example (120 for noon of 15 June to noon of 13 October, in the
entity's own time), once for the American and once for the Japanese entity.
"""

from __future__ import annotations

import json
import shutil
from datetime import datetime
from pathlib import Path
from zoneinfo import ZoneInfo

import pytest
import typer
from typer.testing import CliRunner, Result

from tests.company_folder import ACME, ROOT, edit
from tests.stripe_payloads import event, invoice, line
from topology.commands import register

BY_DAY = [1600, 3100, 3100, 3000, 1200]
PUBLISHED = {
    "even_month": [3000, 3000, 3000, 3000],
    "even_month_prorated": [1550, 3066, 3066, 3068, 1250],
    "millisecond": [1550, 3100, 3100, 3000, 1250],
}


@pytest.fixture
def acme(tmp_path: Path) -> Path:
    """A copy of the example company."""
    return Path(shutil.copytree(ACME, tmp_path / "acme"))


@pytest.fixture
def events(tmp_path: Path) -> Path:
    """A file with one invoice for each entity."""
    path = tmp_path / "events.jsonl"
    issued = [
        _issued("us", "usd", "America/New_York", 2026),
        _issued("jp", "jpy", "Asia/Tokyo", 2026),
    ]
    path.write_text("\n".join(map(json.dumps, issued)), encoding="utf-8")
    return path


def _issued(name: str, currency: str, zone: str, year: int) -> dict[str, object]:
    start, end = (
        int(datetime(year, month, day, 12, tzinfo=ZoneInfo(zone)).timestamp())
        for month, day in ((6, 15), (10, 13))
    )
    return event(
        "invoice.finalized",
        invoice(
            line(12000, id=f"il_{name}", currency=currency, period={"start": start, "end": end}),
            id=f"in_{name}",
            customer=f"cus_{name}",
            customer_address={"country": name.upper()},
            currency=currency,
            total=12000,
            amount_due=12000,
            status_transitions={"finalized_at": start, "paid_at": None},
        ),
        id=f"evt_{name}",
    )


def run(company: Path, events: Path, *options: str) -> Result:
    app = typer.Typer()
    register(app)
    arguments = ["--company", str(company), "--format", "jsonl", "--through", "2026-12-31"]
    return CliRunner().invoke(
        app,
        ["journal", *arguments, "--customers-from-events", *options, str(events)],
        env={"COLUMNS": "400"},
    )


def revenue(result: Result) -> dict[str, list[int]]:
    """Released revenue of each entity, in order of date."""
    assert result.exit_code == 0, result.output
    found: dict[str, list[int]] = {}
    for text in result.stdout.splitlines():
        entry = json.loads(text)
        if entry["purpose"] == "revenue_released":
            amounts = [each["amount_minor"] for each in entry["lines"] if each["side"] == "credit"]
            found.setdefault(entry["entity"], []).extend(amounts)
    return found


def own_profile(company: Path, name: str, *changes: tuple[str, str]) -> None:
    """The profile `stripe` under another name, with some words changed, used by no policy yet."""
    (company / "profiles").mkdir(exist_ok=True)
    shutil.copy(ROOT / "profiles" / "stripe.yaml", company / "profiles" / f"{name}.yaml")
    for old, new in (("profile: stripe", f"profile: {name}"), *changes):
        edit(company, f"profiles/{name}.yaml", old, new)


@pytest.mark.parametrize("basis", PUBLISHED)
def test_a_copied_profile_with_another_basis_books_every_entity(
    acme: Path, events: Path, basis: str
) -> None:
    own_profile(acme, "own", ("basis: day", f"basis: {basis}"))
    assert revenue(run(acme, events)) == {"acme-us": BY_DAY, "acme-jp": BY_DAY}
    again = revenue(run(acme, events, "--policy", "own"))
    assert again == {"acme-us": PUBLISHED[basis], "acme-jp": PUBLISHED[basis]}


def test_two_words_change_basis_and_rounding(acme: Path, events: Path) -> None:
    words = (("basis: day", "basis: even_month_prorated"), ("last_absorbs\n", "cumulative_round\n"))
    own_profile(acme, "own", *words)
    text = (acme / "profiles" / "own.yaml").read_text(encoding="utf-8")
    assert "  basis: even_month_prorated\n" in text
    assert "  rounding: cumulative_round\n" in text
    # Earned up to each month: 15.50, 46.1666..., 76.8333..., 107.50, 120, each rounded.
    assert revenue(run(acme, events, "--policy", "own"))["acme-us"] == [
        1550,
        3067,
        3066,
        3067,
        1250,
    ]


def test_the_profile_is_in_force_on_days_on_which_the_company_has_no_policy(
    acme: Path, events: Path
) -> None:
    edit(acme, "company.yaml", "effective_from: 2012-01-01", "effective_from: 2027-01-01")
    for entity in ("acme-us", "acme-jp"):
        edit(acme, "policies.yaml", f"{entity}, profile: stripe, from: 2012", f"{entity}, "
             "profile: stripe, from: 2027")  # fmt: skip
    waits = run(acme, events)
    assert waits.exit_code == 1
    assert "policy_not_found" in waits.stderr
    books = revenue(run(acme, events, "--policy", "stripe"))
    assert books == {"acme-us": BY_DAY, "acme-jp": BY_DAY}


def test_an_unknown_profile_is_wrong_use_and_names_those_there_are(
    acme: Path, events: Path
) -> None:
    own_profile(acme, "own")
    result = run(acme, events, "--policy", "strip")
    assert result.exit_code == 2
    told = 'There is no accounting profile "strip". Did you mean "stripe"? Known: chargebee,'
    assert told in result.stderr


def test_a_broken_profile_is_named_with_its_place(acme: Path, events: Path) -> None:
    own_profile(acme, "own", ("basis: day", "basis: week"))
    result = run(acme, events, "--policy", "own")
    assert result.exit_code == 1
    assert result.stderr.strip() == (
        f'{acme}/profiles/own.yaml:16:10: wrong_value: "week" is no basis of a schedule. '
        "Known: day, even_month, even_month_prorated, millisecond."
    )


def test_a_role_that_only_the_other_profile_uses_needs_its_accounts(
    acme: Path, events: Path
) -> None:
    role = "  revenue: Delivered\n"
    own_profile(
        acme,
        "own",
        (role, f"{role}  services: Delivered by hand\n"),
        ("{credit: revenue, amount: immediate}", "{credit: services, amount: immediate}"),
    )
    result = run(acme, events, "--policy", "own")
    assert result.exit_code == 1
    told = [text.split(": ")[1] for text in result.stderr.splitlines()]
    assert told == ["role_without_account"] * 4  # one for each entity
