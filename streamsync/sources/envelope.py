"""What is read of a payload before it is stored: only the names that route it."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Envelope:
    """`account`: billing account that the payload names, if any; `event_id`: the source's id."""

    account: str | None
    event_id: str | None


FETCHED = ":fetched"
"""Ends the id of an event that was completed by a fetch; before it stands its original's id."""
