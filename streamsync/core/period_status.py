"""Status of an accounting period: which are there, and which may follow which.

Problem: a period that was reported must not be opened by accident, and who opened it again, and
why, must stand beside it for ever. How: each status names those that may follow it; a change is a
record of its own with the next version, two people and, to open again, a reason.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Final

from msgspec.structs import replace

from streamsync.core.records import PeriodStatus

STATUSES: Final = ("open", "soft_closed", "closed", "reopened")
OPEN: Final = ("open", "reopened")
"""What takes everything."""

_FOLLOWING: Final[Mapping[str, tuple[str, ...]]] = {
    "open": ("soft_closed", "closed"),
    "soft_closed": ("closed", "reopened"),
    "closed": ("reopened",),
    "reopened": ("soft_closed", "closed"),
}
_PERIOD: Final = re.compile(r"[0-9]{4}-(0[1-9]|1[0-2])", re.ASCII)


class ChangeRefused(ValueError):
    """A change that breaks a rule; the message says which, and what to do."""


def changed(known: PeriodStatus | None, wanted: PeriodStatus) -> PeriodStatus | None:
    """The record to publish after `known`, with its version; None: the period has that status.

    Raises `ChangeRefused`.
    """
    if wanted.status not in STATUSES:
        raise ChangeRefused(f'"{wanted.status}" is no status: use {", ".join(STATUSES)}.')
    if _PERIOD.fullmatch(wanted.period) is None:
        raise ChangeRefused(f'"{wanted.period}" is no period: write the month as 2026-01.')
    before = "open" if known is None else known.status
    if wanted.status == before:
        return None
    if wanted.status not in _FOLLOWING[before]:
        possible = " or ".join(_FOLLOWING[before])
        raise ChangeRefused(
            f"{wanted.entity} {wanted.period} is {before}: it can become {possible}, not "
            f"{wanted.status}."
        )
    approver = (wanted.approved_by or "").strip()
    if not approver or approver.casefold() == wanted.changed_by.strip().casefold():
        raise ChangeRefused(
            f"{wanted.changed_by} changes it: name another person who approved, --approved-by."
        )
    if wanted.status == "reopened" and not (wanted.reason or "").strip():
        raise ChangeRefused("A period is opened again for a reason: --reason.")
    version = 1 if known is None else known.version + 1
    return replace(wanted, version=version, approved_by=approver)
