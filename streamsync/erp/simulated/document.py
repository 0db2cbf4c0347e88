"""The journal entry as the simulated ERP reads it from the wire.

Problem: whatever arrives over HTTP may be anything. How: one strict pydantic model per object, no
coercion (an amount of 12.0 or "12" is refused), unknown fields refused. What the accounting rules
say about a well-formed entry stands in `ledger`.
"""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError

Name = Annotated[str, Field(min_length=1, max_length=200)]
IsoDate = Annotated[str, Field(pattern=r"^\d{4}-\d{2}-\d{2}$")]
Period = Annotated[str, Field(pattern=r"^\d{4}-(0[1-9]|1[0-2])$")]
Currency = Annotated[str, Field(pattern=r"^[A-Z]{3}$")]
# Sums of lines and of a whole trial balance must stay inside SQLite's 64-bit integers.
AMOUNT_MAX = 10**15
Amount = Annotated[int, Field(le=AMOUNT_MAX)]


class _Strict(BaseModel):
    model_config = ConfigDict(strict=True, frozen=True, extra="forbid")


class Line(_Strict):
    """One line; the sign is in `side`."""

    no: Annotated[int, Field(ge=1)]
    account: Name
    side: Literal["debit", "credit"]
    amount_minor: Amount
    functional_minor: Amount


class Reference(_Strict):
    """Whose posting this is; stored with the entry and echoed by a look-up."""

    idempotency_key: Name
    revision: Annotated[int, Field(ge=1)]
    command_id: Name
    account: Name
    correlation_id: Name


class Document(_Strict):
    """A journal entry to book."""

    external_key: Name
    entity: Name
    ledger: Name
    journal_type: Name
    document_date: IsoDate
    posting_date: IsoDate
    period: Period
    currency: Currency
    functional_currency: Currency
    lines: Annotated[list[Line], Field(max_length=1000)]
    reference: Reference
    created_at_ms: Annotated[int, Field(ge=0)]
    deadline_at_ms: Annotated[int, Field(ge=0)]


class ChartAccount(_Strict):
    """One account of a chart."""

    code: Name
    name: str = ""


class ChartEntity(_Strict):
    """A company of the ERP: its currency, the other currencies it may book in, its accounts."""

    id: Name
    functional_currency: Currency
    currencies: list[Currency] = []
    accounts: Annotated[list[ChartAccount], Field(min_length=1)]


class Chart(_Strict):
    """Body of POST /admin/chart and content of a chart file."""

    entities: Annotated[list[ChartEntity], Field(min_length=1)]


class DocumentInvalid(ValueError):
    """The body is not a journal entry; the text names the field and the rule, never the value."""


def read_document(raw: object) -> Document:
    """The entry in `raw`, a decoded JSON value."""
    try:
        return Document.model_validate(raw)
    except ValidationError as error:
        raise DocumentInvalid(first_problem(error)) from None


def first_problem(error: ValidationError) -> str:
    """Place and broken rule of the first problem; the input is left out, it may be anything."""
    first = error.errors(include_url=False, include_input=False, include_context=False)[0]
    place = ".".join(str(part) for part in first["loc"]) or "body"
    return f"{place}: {first['msg']}"
