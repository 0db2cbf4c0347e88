"""Billing facts: what a billing system told, in one canonical shape for every source.

Problem: each source words the same fact differently. How: `sources` translate payloads into these
immutable values (one class per Avro record in `avro/`, same name and fields); everything after
knows only them. Amounts are integer minor units, times epoch milliseconds.
"""

from __future__ import annotations

from dataclasses import dataclass

from streamsync.core.records import SourcePosition


@dataclass(frozen=True, slots=True, kw_only=True)
class LineTax:
    """One tax on one line."""

    tax_code: str
    jurisdiction: str | None = None
    rate: str | None = None
    inclusive: bool
    base_minor: int | None = None
    amount_minor: int


@dataclass(frozen=True, slots=True, kw_only=True)
class InvoiceLine:
    """One line of a billing document, tax and discount already taken out of amount_minor."""

    line_no: int
    line_id: str
    direction: str
    amount_minor: int
    discount_minor: int
    taxes: tuple[LineTax, ...] = ()
    service_from_ms: int | None = None
    service_to_ms: int | None = None
    product: str | None = None
    price: str | None = None
    subscription: str | None = None
    proration: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class Invoice:
    """An invoice as it was finalised."""

    number: str | None = None
    direction: str
    total_minor: int
    tax_minor: int
    collection: str
    lines: tuple[InvoiceLine, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Payment:
    """A payment that settles a document."""

    amount_minor: int
    from_balance_minor: int
    out_of_band: bool
    processor: str
    gateway_reference: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Refund:
    """Money given back for a charge."""

    refund_id: str | None = None
    charge: str
    amount_minor: int | None = None
    cumulative_minor: int


@dataclass(frozen=True, slots=True, kw_only=True)
class CreditNoteLine:
    """One line of a credit note."""

    invoice_line_id: str | None = None
    amount_minor: int


@dataclass(frozen=True, slots=True, kw_only=True)
class CreditNote:
    """A credit note on an invoice."""

    credit_note_id: str
    settlement: str
    net_minor: int
    tax_minor: int
    total_minor: int
    lines: tuple[CreditNoteLine, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class CustomerProfile:
    """What the billing system says of a customer; no personal data."""

    country: str | None = None
    currency: str | None = None
    tax_exempt: str | None = None
    deleted: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class SubscriptionState:
    """State of a subscription after an event."""

    status: str
    change: str
    price: str | None = None
    quantity: int | None = None
    period_from_ms: int | None = None
    period_to_ms: int | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Fact:
    """One thing that happened to one document, customer or subscription. Identity: fact_id within
    the account.
    """

    fact_id: str
    kind: str
    document: str | None = None
    document_kind: str | None = None
    subscription: str | None = None
    currency: str | None = None
    occurred_at_ms: int
    invoice: Invoice | None = None
    payment: Payment | None = None
    refund: Refund | None = None
    credit_note: CreditNote | None = None
    customer: CustomerProfile | None = None
    subscription_state: SubscriptionState | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class BillingEvent:
    """Canonical form of one source record. Exactly one per source record reaches the ledger log,
    also when it has no effect or is refused, so that every record is counted once. Key:
    account|subscription or account|document.
    """

    tenant: str
    source: str
    account: str
    source_event_id: str
    source_event_type: str
    api_version: str | None = None
    content_hash: str
    occurred_at_ms: int
    correlation_id: str
    outcome: str
    reason: str | None = None
    detail: str | None = None
    facts: tuple[Fact, ...] = ()
    position: SourcePosition
