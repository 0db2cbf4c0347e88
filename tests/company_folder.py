"""Company folders for tests: a copy of the example company with one thing broken."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from streamsync.governance import CompanyErrors, load_company

ROOT = Path(__file__).parents[1]
ACME = ROOT / "examples" / "acme"


def edit(folder: Path, file: str, old: str, new: str) -> None:
    """Replace the first occurrence; the test is wrong when there is none."""
    path = folder / file
    text = path.read_text(encoding="utf-8")
    assert old in text
    path.write_text(text.replace(old, new, 1), encoding="utf-8")


def errors_of(folder: Path) -> list[str]:
    """Messages, with the folder left out of the place."""
    with pytest.raises(CompanyErrors) as raised:
        load_company(folder)
    return [str(problem).removeprefix(f"{folder}/") for problem in raised.value.problems]


def own_profile(folder: Path, old: str, new: str) -> None:
    """Give the company a profile of its own: `stripe` with one change, used by acme-us."""
    (folder / "profiles").mkdir()
    text = (ROOT / "profiles" / "stripe.yaml").read_text(encoding="utf-8")
    (folder / "profiles" / "own.yaml").write_text(
        text.replace("profile: stripe", "profile: own"), encoding="utf-8"
    )
    edit(folder, "profiles/own.yaml", old, new)
    edit(folder, "policies.yaml", "acme-us, profile: stripe", "acme-us, profile: own")


def with_places(folder: Path, message: str) -> str:
    """A message with its places filled in: `@file|text@` is `line:column` of a text in a file,
    `#file|text#` its line. Tests state what an author sees, not how long a file happens to be.
    """

    def place(match: re.Match[str]) -> str:
        text = (folder / match[1]).read_text(encoding="utf-8")
        at = text.index(match[2])
        line = text.count("\n", 0, at) + 1
        column = at - (text.rfind("\n", 0, at) + 1) + 1
        return f"{line}:{column}" if match[0].startswith("@") else f"{line}"

    return re.sub(r"[@#]([^@#|]+)\|([^@#]+)[@#]", place, message)
