"""hledger, an independent program, accepts the exported journal strictly and gets our balances."""

from __future__ import annotations

import csv
import io
import shutil
import subprocess
from calendar import monthrange
from decimal import Decimal

import pytest

from tests.contract.checked_journal import CASES, SIMULATED, balances, made
from topology.render import hledger

pytestmark = pytest.mark.skipif(
    shutil.which("hledger") is None,
    reason="hledger is not installed: apt-get install hledger, dnf install hledger, brew install",
)


def ask(text: str, *words: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        ["hledger", "-f", "-", *words], input=text, capture_output=True, text=True, check=False
    )


def exported(case: str = SIMULATED) -> list[str]:
    return list(hledger(made(case).commands))


def month_end(month: str) -> str:
    return f"{month}-{monthrange(int(month[:4]), int(month[5:]))[1]}"


def asserted(month: str, lines: dict[tuple[str, str, str], Decimal]) -> list[str]:
    """A transaction that moves nothing and asserts balances, those of all accounts of a role."""
    told = [
        f"    {entity}:{role}  {currency} 0 =* {currency} {amount}"
        for (entity, role, currency), amount in sorted(lines.items())
    ]
    return ["", f"{month_end(month)} the oracle's balances", *told]


@pytest.mark.parametrize("case", CASES)
def test_every_strict_check_passes(case: str) -> None:
    told = ask("\n".join(exported(case)) + "\n", "check", "--strict", "ordereddates")
    assert told.returncode == 0, told.stderr


def test_one_changed_cent_is_refused() -> None:
    lines = exported()
    place = next(at for at, one in enumerate(lines) if one.startswith("    ") and "USD" in one)
    head, amount = lines[place].rsplit(" ", 1)
    lines[place] = f"{head} {Decimal(amount) + Decimal('0.01')}"
    told = ask("\n".join(lines) + "\n", "check", "--strict")
    assert told.returncode != 0
    assert "balance" in told.stderr


def test_a_balanced_change_is_refused_by_the_balance_at_the_months_end() -> None:
    lines = exported()
    place = next(at for at, one in enumerate(lines) if one.startswith("    ") and "USD" in one)
    lines.insert(place, "    acme-us:clearing:1150  USD 0.01")
    lines.insert(place, "    acme-us:bad_debt:6100  USD -0.01")
    told = ask("\n".join(lines) + "\n", "check", "--strict")
    assert told.returncode != 0
    assert "assertion" in told.stderr


@pytest.mark.parametrize("case", CASES)
def test_it_finds_the_oracles_balances_at_every_months_end(case: str) -> None:
    lines, ends = exported(case), balances(case)
    declared = {f"account {where[0]}:{where[1]}" for end in ends.values() for where in end}
    added = [text for month, end in ends.items() for text in asserted(month, end)]
    told = ask("\n".join([*sorted(declared), *lines, *added]) + "\n", "check", "--strict")
    assert told.returncode == 0, told.stderr
    month = min(ends)
    end = ends[month]
    wrong = dict(end) | {min(end): end[min(end)] + 1}
    told = ask("\n".join([*sorted(declared), *lines, *asserted(month, wrong)]), "check", "--strict")
    assert told.returncode != 0


def test_it_computes_the_balances_that_the_oracle_does() -> None:
    ours = {
        (f"{entity}:{role}", currency): amount
        for (entity, role, currency), amount in balances()[max(balances())].items()
    }
    told = ask(
        "\n".join(exported()) + "\n", "balance", "--flat", "--depth=2", "--no-total", "-O", "csv"
    )
    rows = list(csv.reader(io.StringIO(told.stdout)))[1:]
    theirs = {
        (name, part.split(" ")[0]): Decimal(part.split(" ")[1].replace(",", ""))
        for name, amounts in rows
        for part in amounts.split(", ")
        if part != "0"
    }
    assert theirs == {name: amount for name, amount in ours.items() if amount}
