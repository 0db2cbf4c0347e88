"""A compiled company as canonical JSON, and back.

Problem: the company travels through the control topic, and its hash must mean "the same rules".
How: one JSON text per value (keys sorted, no white space); reading it back gives an equal value.
"""

from __future__ import annotations

import hashlib

import msgspec

from streamsync.core.company import Company
from streamsync.core.records import ReferenceData

KIND = "company"


class PayloadError(ValueError):
    """A published payload that is not a company."""


def to_payload(company: Company) -> str:
    """Canonical JSON of a company."""
    return msgspec.json.encode(company, order="sorted").decode()


def from_payload(payload: str) -> Company:
    """The company of a payload; keys of later versions of this program are ignored."""
    try:
        return msgspec.json.decode(payload, type=Company)
    except (msgspec.DecodeError, msgspec.ValidationError) as error:
        raise PayloadError(f"The payload is not a compiled company: {error}.") from error


def content_hash(payload: str) -> str:
    """SHA-256 of a payload, hex."""
    return hashlib.sha256(payload.encode()).hexdigest()


def reference_data(
    company: Company, active_from_tick: int, published_by: str, approved_by: str | None
) -> ReferenceData:
    """The company as an item of the control topic. Nobody approves their own change."""
    if not published_by.strip():
        raise ValueError("published_by is empty: name who publishes.")
    if approved_by is not None and same_person(published_by, approved_by):
        raise ValueError(
            f'approved_by and published_by are both "{published_by}": '
            "another person than the publisher must approve."
        )
    payload = to_payload(company)
    return ReferenceData(
        tenant=company.tenant,
        kind=KIND,
        id=company.ruleset,
        version=company.version,
        active_from_tick=active_from_tick,
        effective_from=company.effective_from,
        payload=payload,
        content_hash=content_hash(payload),
        published_by=published_by,
        approved_by=approved_by,
    )


def same_person(one: str, other: str) -> bool:
    """Whether two names are one person's."""
    return one.strip().casefold() == other.strip().casefold()
