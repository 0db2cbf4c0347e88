"""hledger, an independent program, accepts the exported journal strictly and gets our balances."""

from __future__ import annotations

import csv
import io
import shutil
import subprocess
from datetime import date
from decimal import Decimal

import pytest

from streamsync.core.money import exponent
from streamsync.governance import load_company
from streamsync.simulator import customers, simulate
from tests.ledger_driver import ACME
from topology.offline import Journal, journal
from topology.render import hledger

pytestmark = pytest.mark.skipif(
    shutil.which("hledger") is None,
    reason="hledger is not installed: apt-get install hledger, dnf install hledger, brew install",
)


@pytest.fixture(scope="module")
def made() -> Journal:
    payloads = [(f"event {place}", one.body) for place, one in enumerate(simulate(4))]
    return journal(
        load_company(ACME), customers(4), payloads, source="stripe", through=date(2026, 6, 30)
    )


def ask(text: str, *words: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        ["hledger", "-f", "-", *words], input=text, capture_output=True, text=True, check=False
    )


def test_every_strict_check_passes(made: Journal) -> None:
    text = "\n".join(hledger(made.commands)) + "\n"
    told = ask(text, "check", "--strict", "ordereddates", "accounts", "commodities")
    assert told.returncode == 0, told.stderr


def test_one_changed_cent_is_refused(made: Journal) -> None:
    lines = list(hledger(made.commands))
    place = next(at for at, one in enumerate(lines) if one.startswith("    ") and "USD" in one)
    head, amount = lines[place].rsplit(" ", 1)
    lines[place] = f"{head} {Decimal(amount) + Decimal('0.01')}"
    told = ask("\n".join(lines) + "\n", "check", "--strict")
    assert told.returncode != 0
    assert "balance" in told.stderr


def test_it_computes_the_balances_that_we_do(made: Journal) -> None:
    ours: dict[str, Decimal] = {}
    for command in made.commands:
        for line in command.lines:
            name = f"{command.entity}:{line.role}:{line.account}"
            sign = 1 if line.side == "debit" else -1
            amount = Decimal(sign * line.amount_minor).scaleb(-exponent(command.txn_currency))
            ours[name] = ours.get(name, Decimal(0)) + amount
    text = "\n".join(hledger(made.commands)) + "\n"
    told = ask(text, "balance", "--flat", "--no-total", "-O", "csv")
    rows = list(csv.reader(io.StringIO(told.stdout)))[1:]
    theirs = {name: Decimal(amount.split(" ", 1)[1].replace(",", "")) for name, amount in rows}
    assert theirs == {name: amount for name, amount in ours.items() if amount}
