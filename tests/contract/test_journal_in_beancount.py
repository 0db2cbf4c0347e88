"""beancount, an independent program, accepts the exported journal and finds the oracle's balances.

Its own tolerance (half of the last digit, twice that for balances) is taken away: `~ 0`.
"""

from __future__ import annotations

from calendar import monthrange
from collections.abc import Sequence
from datetime import date, timedelta
from decimal import Decimal
from pathlib import Path

import pytest
from beancount import loader
from beancount.core.data import Balance, Transaction
from ruamel.yaml import YAML

from tests.contract.checked_journal import CASES, SIMULATED, balances, made
from topology.render import BEANCOUNT_ROOTS, beancount


def exported(case: str = SIMULATED) -> list[str]:
    return list(beancount(made(case).commands))


def check(lines: list[str]) -> tuple[Sequence[object], list[str]]:
    """The entries that it read, and what it has against them."""
    entries, errors, _ = loader.load_string("\n".join(lines) + "\n")
    return entries, [one.message for one in errors]


def after(month: str) -> date:
    year, number = int(month[:4]), int(month[5:])
    return date(year, number, monthrange(year, number)[1]) + timedelta(days=1)


def parent(entity: str, role: str) -> str:
    root, name = BEANCOUNT_ROOTS.get(role, "Equity"), role.replace("_", "-").capitalize()
    return f"{root}:{entity.capitalize()}:{name}"


def asserted(month: str, lines: dict[tuple[str, str, str], Decimal]) -> list[str]:
    return [
        f"{after(month)} balance {parent(entity, role)}  {amount} ~ 0 {currency}"
        for (entity, role, currency), amount in sorted(lines.items())
    ]


@pytest.mark.parametrize("case", CASES)
def test_it_accepts_every_entry_and_every_balance(case: str) -> None:
    entries, errors = check(exported(case))
    assert errors == []
    read = [one for one in entries if isinstance(one, Transaction)]
    assert len(read) == len(made(case).commands)
    ends = {one.date for one in entries if isinstance(one, Balance)}
    assert ends == {after(command.posting_date[:7]) for command in made(case).commands}


def test_one_changed_cent_is_refused() -> None:
    lines = exported()
    place = next(at for at, one in enumerate(lines) if one.startswith("  ") and " USD" in one)
    name, amount, currency = lines[place].split()
    lines[place] = f"  {name}  {Decimal(amount) + Decimal('0.01')} {currency}"
    assert any("does not balance" in one for one in check(lines)[1])


def test_a_balanced_change_of_one_cent_is_refused_at_the_months_end() -> None:
    lines = exported()
    place = next(at for at, one in enumerate(lines) if one.startswith("  ") and " USD" in one)
    name = lines[place].split()[0]
    other = next(one.split()[2] for one in lines if ":Bad-debt:6100" in one)
    lines[place:place] = [f"  {name}  0.01 USD", f"  {other}  -0.01 USD"]
    assert any("Balance failed" in one for one in check(lines)[1])


@pytest.mark.parametrize("case", CASES)
def test_it_finds_the_oracles_balances_at_every_months_end(case: str) -> None:
    lines, ends = exported(case), balances(case)
    parents = {parent(entity, role) for end in ends.values() for entity, role, _ in end}
    opened = [f"2000-01-01 open {name}" for name in sorted(parents)]
    added = [text for month, end in ends.items() for text in asserted(month, end)]
    assert check([*lines, *opened, *added])[1] == []
    month = min(ends)
    end = ends[month]
    wrong = asserted(month, dict(end) | {min(end): end[min(end)] + Decimal("0.01")})
    assert len(check([*lines, *opened, *wrong])[1]) == 1


def roles_of(profile: Path) -> list[str]:
    """The roles that a profile adds to those of the one that it extends."""
    return list(YAML(typ="safe").load(profile).get("roles", {}))


def test_every_role_of_every_profile_stands_where_reports_look_for_it() -> None:
    profiles = (Path(__file__).parents[2] / "profiles").glob("*.yaml")
    roles = {role for path in profiles for role in roles_of(path)}
    assert roles - set(BEANCOUNT_ROOTS) == set()
