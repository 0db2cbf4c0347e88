"""What an ERP can do for us, and everything it can answer.

Problem: every ERP fails in its own words, and the dangerous answer is none at all. How: a client
turns whatever happens into one of a few values; the runner decides by value, never by exception.
A client raises only for a bug in itself.

Outcomes of a posting, and what the runner makes of them:
- `Posted`: booked now. `Duplicate`: the key was booked before.
- `Rejected`: refused for good; nothing was booked.
- `Parked`: taken, not yet booked; look up again.
- `Unknown`: perhaps booked; must be looked up before anything else.
- `Unavailable`: certainly not booked; the same command is sent again later.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal, Protocol

from streamsync.core.records import EchoLine, PostingCommand, PostingTotals

MESSAGE_CHARS_MAX = 200
_EMAIL = re.compile(r"[^\s@<>\"']+@[^\s@<>\"']+")
# Card, account and telephone numbers; ERP accounts and document numbers are shorter.
_LONG_NUMBER = re.compile(r"(?:\d[ -]?){9,}")
_BLANK = re.compile(r"\s+")


def safe_message(text: str) -> str:
    """An ERP's message fit for topics and logs: one short line without addresses and numbers."""
    line = _BLANK.sub(" ", "".join(c if c.isprintable() else " " for c in text)).strip()
    line = _LONG_NUMBER.sub("[number]", _EMAIL.sub("[address]", line[: 10 * MESSAGE_CHARS_MAX]))
    return line if len(line) <= MESSAGE_CHARS_MAX else line[: MESSAGE_CHARS_MAX - 1] + "…"


@dataclass(frozen=True, slots=True, kw_only=True)
class ErpDocument:
    """A booked document as the ERP holds it. `idempotency_key`: whose posting it says it is."""

    id: str
    number: str
    fiscal_year: str
    period: str
    posting_date: str
    currency: str
    lines: tuple[EchoLine, ...]
    totals: PostingTotals
    posted_at_ms: int
    idempotency_key: str | None
    revision: int | None


@dataclass(frozen=True, slots=True)
class Posted:
    """Booked."""

    document: ErpDocument


@dataclass(frozen=True, slots=True)
class Duplicate:
    """The ERP had this key already, with this document."""

    document: ErpDocument


@dataclass(frozen=True, slots=True)
class Rejected:
    """Refused for good. `canonical_code` is one of the contract's list."""

    canonical_code: str
    native_code: str
    message: str


@dataclass(frozen=True, slots=True)
class Parked:
    """Taken, and still being processed."""


@dataclass(frozen=True, slots=True)
class Unknown:
    """No answer: booked or not."""

    reason: str


@dataclass(frozen=True, slots=True)
class Unavailable:
    """Not processed: busy, down, or our credentials are refused."""

    canonical_code: Literal["UNAVAILABLE", "RATE_LIMITED", "AUTH"]
    reason: str
    retry_after_ms: int | None = None


@dataclass(frozen=True, slots=True)
class NotFound:
    """A look-up: no document with this key."""


PostOutcome = Posted | Duplicate | Rejected | Parked | Unknown | Unavailable
LookUpOutcome = Posted | Parked | NotFound | Unavailable


@dataclass(frozen=True, slots=True)
class PeriodChanged:
    """The ERP's period has the status that was asked for."""


PeriodOutcome = PeriodChanged | Rejected | Unavailable


class ErpClient(Protocol):
    """One ERP instance. All methods may be called again with the same arguments."""

    @property
    def not_found_conclusive_after_ms(self) -> int:
        """How long after sending a `NotFound` proves that nothing will be booked.

        0 where the ERP enforces the key: a straggler of the first request is then refused.
        Elsewhere its longest request time.
        """

    async def post_batch(self, commands: Sequence[PostingCommand]) -> Sequence[PostOutcome]:
        """Post each command; one outcome per command, in their order."""

    async def look_up(self, entity: str, erp_key: str) -> LookUpOutcome:
        """The document with this key."""

    async def set_period(
        self, entity: str, period: str, status: Literal["open", "closed"]
    ) -> PeriodOutcome:
        """Open or close a period of an entity in the ERP."""

    async def close(self) -> None:
        """Give connections back."""
