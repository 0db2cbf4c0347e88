"""What is wrong in a company folder, said so that its author can put it right.

Problem: one error at a time, without a place, makes a folder of rules a guessing game. How: every
check appends a `Problem` (place, broken rule, what to do) to a list; nothing is raised before all
checks have run.
"""

from __future__ import annotations

import difflib
from collections.abc import Iterable
from dataclasses import dataclass


@dataclass(frozen=True, slots=True, order=True)
class Problem:
    """One broken rule. `line` and `column` count from 1; `rule` is a stable code."""

    file: str
    line: int
    column: int
    rule: str
    message: str

    def __str__(self) -> str:
        return f"{self.file}:{self.line}:{self.column}: {self.rule}: {self.message}"


class CompanyErrors(Exception):
    """A company folder that can't be used, with everything that is wrong in it."""

    def __init__(self, problems: Iterable[Problem]) -> None:
        self.problems = tuple(sorted(set(problems)))
        super().__init__("\n".join(str(problem) for problem in self.problems))


class UnknownProfile(ValueError):
    """An accounting profile that neither the company nor streamsync has."""

    def __init__(self, name: str, known: Iterable[str]) -> None:
        text = f'There is no accounting profile "{name}".{nearest(name, known)}'
        super().__init__(f"{text} Known: {listed(known)}; add others as profiles/<name>.yaml.")


def nearest(word: str, known: Iterable[str]) -> str:
    """` Did you mean "x"?`, or nothing when no known word is near."""
    by_folded = {candidate.casefold(): candidate for candidate in known}
    near = difflib.get_close_matches(word.casefold(), by_folded, n=1, cutoff=0.6)
    return f' Did you mean "{by_folded[near[0]]}"?' if near else ""


def listed(words: Iterable[str]) -> str:
    """Words as a sorted, comma separated list."""
    return ", ".join(sorted(words)) or "none"
