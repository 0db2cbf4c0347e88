"""Which documents the simulated ERP treats badly, and how.

Problem: a test must know in advance what goes wrong, however requests are ordered, batched or
repeated. How: the fault of a document is a pure function of the seed and its external key; rates
are whole documents per ten thousand.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

from streamsync.erp.simulated.document import Document, Line

Kind = Literal["no_answer", "reject", "alter", "late"]
KINDS: tuple[Kind, ...] = ("no_answer", "reject", "alter", "late")
_HOUR_MS = 3_600_000
_LATE_HOURS_MAX = 120
# One late answer in four stays out for a year: in any run of weeks it is simply missing.
_SILENT_ONE_IN = 4
_SILENT_HOURS = 365 * 24


class FaultsInvalid(ValueError):
    """The text of the faults option can't be understood."""


@dataclass(frozen=True, slots=True)
class Faults:
    """Rates per ten thousand documents, in the order of `KINDS`, and the seed that picks them."""

    seed: int
    rates: Mapping[Kind, int]

    def of(self, external_key: str) -> Kind | None:
        """The fault of a document, or none."""
        draw = self._number(external_key, "kind") % 10_000
        for kind in KINDS:
            rate = self.rates.get(kind, 0)
            if draw < rate:
                return kind
            draw -= rate
        return None

    def due_at_ms(self, document: Document) -> int:
        """When a late document is booked: always after the deadline of its command."""
        draw = self._number(document.external_key, "delay")
        hours = 1 + draw // _SILENT_ONE_IN % _LATE_HOURS_MAX
        if draw % _SILENT_ONE_IN == 0:
            hours = _SILENT_HOURS
        return max(document.created_at_ms, document.deadline_at_ms) + hours * _HOUR_MS

    def altered(self, document: Document) -> list[Line]:
        """The lines with one debit and one credit raised by the same amount: still balanced."""
        extra = 1 + self._number(document.external_key, "amount") % 999
        debit = _largest(document.lines, "debit")
        credit = _largest(document.lines, "credit")
        raised = document.lines[debit]
        # Both sides get the debit line's functional difference, or they would not balance.
        functional = extra * raised.functional_minor // max(raised.amount_minor, 1)
        return [
            line.model_copy(
                update={
                    "amount_minor": line.amount_minor + extra,
                    "functional_minor": line.functional_minor + functional,
                }
            )
            if at in (debit, credit)
            else line
            for at, line in enumerate(document.lines)
        ]

    def _number(self, external_key: str, use: str) -> int:
        digest = hashlib.sha256(f"{self.seed}|{use}|{external_key}".encode()).digest()
        return int.from_bytes(digest[:8], "big")


def _largest(lines: Sequence[Line], side: str) -> int:
    candidates = [at for at, line in enumerate(lines) if line.side == side]
    return max(candidates, key=lambda at: (lines[at].amount_minor, -at))


DEFAULT_RATES: Mapping[Kind, int] = {"no_answer": 40, "reject": 40, "alter": 40, "late": 50}


def read_faults(text: str, seed: int) -> Faults:
    """`none`, `default`, or for example `no_answer=40,late=50`: documents per ten thousand."""
    if text == "none":
        return Faults(seed, {})
    if text == "default":
        return Faults(seed, DEFAULT_RATES)
    rates: dict[Kind, int] = {}
    for part in text.split(","):
        name, _, number = part.strip().partition("=")
        kind = next((known for known in KINDS if known == name), None)
        if kind is None or not number.isdecimal():
            raise FaultsInvalid(
                f"faults: {part.strip()!r} is not one of {', '.join(KINDS)} with a whole number "
                "per 10000 documents; write for example no_answer=40,late=50, default or none"
            )
        rates[kind] = int(number)
    if sum(rates.values()) > 10_000:
        raise FaultsInvalid("faults: the rates add up to more than 10000 documents per 10000")
    return Faults(seed, rates)
