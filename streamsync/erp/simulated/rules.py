"""What the simulated ERP demands of an entry, as a list of checks in order of precedence.

Problem: a client must learn which rule it broke, and the first broken rule must not depend on
chance. How: each check looks at the entry and the books and returns a refusal or nothing; the
first refusal is the answer.
"""

from __future__ import annotations

import datetime as dt
from collections.abc import Callable
from dataclasses import dataclass
from typing import Protocol

from streamsync.erp.simulated.document import Document


@dataclass(frozen=True, slots=True)
class Refusal:
    """Native code and message of a business rejection."""

    code: str
    message: str


class Books(Protocol):
    """What the checks need to know."""

    def functional_currency(self, entity: str) -> str | None: ...
    def currencies(self, entity: str) -> set[str]: ...
    def unknown_accounts(self, entity: str, codes: set[str]) -> set[str]: ...
    def period_status(self, entity: str, period: str) -> str: ...


Check = Callable[[Document, Books], Refusal | None]


def _entity_known(document: Document, books: Books) -> Refusal | None:
    if books.functional_currency(document.entity) is None:
        return Refusal("ENTITY_UNKNOWN", f"entity {document.entity} has no chart of accounts")
    return None


def _date_in_period(document: Document, _: Books) -> Refusal | None:
    try:
        dt.date.fromisoformat(document.posting_date)
        dt.date.fromisoformat(document.document_date)
    except ValueError:
        return Refusal("DATE_INVALID", "posting_date or document_date is no calendar date")
    if document.posting_date[:7] != document.period:
        return Refusal(
            "DATE_OUTSIDE_PERIOD",
            f"posting date {document.posting_date} is outside period {document.period}",
        )
    return None


def _period_open(document: Document, books: Books) -> Refusal | None:
    if books.period_status(document.entity, document.period) != "open":
        return Refusal("PERIOD_NOT_OPEN", f"period {document.period} is closed")
    return None


def _currency_known(document: Document, books: Books) -> Refusal | None:
    functional = books.functional_currency(document.entity)
    if document.functional_currency != functional:
        return Refusal("CURRENCY_UNKNOWN", f"the entity's books are kept in {functional}")
    if document.currency not in books.currencies(document.entity):
        return Refusal("CURRENCY_UNKNOWN", f"the entity does not book {document.currency}")
    return None


def _lines_complete(document: Document, _: Books) -> Refusal | None:
    sides = {line.side for line in document.lines}
    if sides != {"debit", "credit"}:
        return Refusal("LINES_MISSING", "an entry needs a debit and a credit line")
    if len({line.no for line in document.lines}) != len(document.lines):
        return Refusal("LINES_MISSING", "two lines have the same number")
    return None


def _amounts_not_negative(document: Document, _: Books) -> Refusal | None:
    for line in document.lines:
        if line.amount_minor < 0 or line.functional_minor < 0:
            return Refusal("AMOUNT_NEGATIVE", f"line {line.no} has a negative amount")
        if document.currency == document.functional_currency and (
            line.amount_minor != line.functional_minor
        ):
            return Refusal("AMOUNT_MISMATCH", f"line {line.no} differs from itself in one currency")
    return None


def _accounts_known(document: Document, books: Books) -> Refusal | None:
    unknown = books.unknown_accounts(document.entity, {line.account for line in document.lines})
    if unknown:
        return Refusal("ACCOUNT_UNKNOWN", f"account {min(unknown)} is not in the chart")
    return None


def _balanced(document: Document, _: Books) -> Refusal | None:
    for name in ("amount_minor", "functional_minor"):
        debit = sum(getattr(line, name) for line in document.lines if line.side == "debit")
        credit = sum(getattr(line, name) for line in document.lines if line.side == "credit")
        if debit != credit:
            return Refusal("UNBALANCED", f"{name}: debit {debit} differs from credit {credit}")
    return None


CHECKS: tuple[Check, ...] = (
    _entity_known,
    _date_in_period,
    _period_open,
    _currency_known,
    _lines_complete,
    _amounts_not_negative,
    _accounts_known,
    _balanced,
)


def first_refusal(document: Document, books: Books) -> Refusal | None:
    """The first broken rule, or none."""
    for check in CHECKS:
        refusal = check(document, books)
        if refusal is not None:
            return refusal
    return None
