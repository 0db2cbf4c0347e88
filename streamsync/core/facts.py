"""Billing facts: what a billing system told, in one canonical shape for every source.

Problem: each source words the same fact differently. How: `sources` translate payloads into these
immutable values (one class per Avro record in `avro/`, same name and fields); everything after
knows only them. Amounts are integer minor units, times epoch milliseconds.
"""

from __future__ import annotations

from msgspec import Struct

from streamsync.core.records import SourcePosition


class LineTax(Struct, frozen=True, kw_only=True, array_like=True):
    """One tax on one line."""

    tax_code: str
    jurisdiction: str | None = None
    rate: str | None = None
    inclusive: bool
    base_minor: int | None = None
    amount_minor: int


class InvoiceLine(Struct, frozen=True, kw_only=True, array_like=True):
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
    bundle: str | None = None
    standalone_minor: int | None = None
    contract: str | None = None
    segment: str | None = None


class Invoice(Struct, frozen=True, kw_only=True, array_like=True):
    """An invoice as it was finalised, or as it stood when it was paid."""

    number: str | None = None
    direction: str
    total_minor: int
    tax_minor: int
    amount_due_minor: int | None = None
    collection: str
    due_at_ms: int | None = None
    starting_balance_minor: int | None = None
    ending_balance_minor: int | None = None
    lines: tuple[InvoiceLine, ...] = ()


class BalanceFee(Struct, frozen=True, kw_only=True, array_like=True):
    """One fee inside a balance transaction."""

    kind: str
    direction: str
    amount_minor: int


class BalanceTransaction(Struct, frozen=True, kw_only=True, array_like=True):
    """How one movement changed the processor's balance, in the currency of settlement."""

    balance_transaction_id: str
    kind: str
    direction: str
    amount_minor: int
    fee_minor: int
    fee_direction: str
    net_minor: int
    net_direction: str
    currency: str
    exchange_rate: str | None = None
    fees: tuple[BalanceFee, ...] = ()


class Charge(Struct, frozen=True, kw_only=True, array_like=True):
    """Money that a processor took from a customer's means of payment."""

    charge: str
    processor: str
    payment_intent: str | None = None
    amount_minor: int
    destination: bool
    application_fee_minor: int | None = None
    balance: BalanceTransaction | None = None


class Payment(Struct, frozen=True, kw_only=True, array_like=True):
    """Money that settles a document, or part of it. `amount_minor` is cumulative for the whole
    document unless `part` is true.
    """

    amount_minor: int
    from_balance_minor: int
    overpaid_minor: int = 0
    out_of_band: bool
    part: bool = False
    processor: str
    gateway_reference: str | None = None
    payment_intent: str | None = None
    collection: str | None = None
    charge: Charge | None = None


class Refund(Struct, frozen=True, kw_only=True, array_like=True):
    """Money given back for a charge, or that came back because a refund failed."""

    refund_id: str | None = None
    charge: str
    payment_intent: str | None = None
    amount_minor: int | None = None
    cumulative_minor: int | None = None
    status: str | None = None
    balance: BalanceTransaction | None = None


class Dispute(Struct, frozen=True, kw_only=True, array_like=True):
    """A customer's objection to a charge. `movements`: the withdrawals, the returns or, for the
    other kinds, all of them; empty when the payload holds none.
    """

    dispute_id: str
    charge: str
    payment_intent: str | None = None
    amount_minor: int
    status: str
    outcome: str | None = None
    reason: str | None = None
    movements: tuple[BalanceTransaction, ...] = ()


class Payout(Struct, frozen=True, kw_only=True, array_like=True):
    """Money moved between the processor's balance and a bank account."""

    payout_id: str
    processor: str
    direction: str
    amount_minor: int
    arrival_at_ms: int | None = None
    failure_code: str | None = None
    balance: BalanceTransaction | None = None


class Collection(Struct, frozen=True, kw_only=True, array_like=True):
    """Where the collection of a document stands after an event."""

    attempts: int | None = None
    next_attempt_at_ms: int | None = None
    due_at_ms: int | None = None
    remaining_minor: int | None = None
    overdue: bool


class CreditNoteLine(Struct, frozen=True, kw_only=True, array_like=True):
    """One line of a credit note."""

    invoice_line_id: str | None = None
    amount_minor: int


class CreditNote(Struct, frozen=True, kw_only=True, array_like=True):
    """A credit note on an invoice."""

    credit_note_id: str
    settlement: str
    net_minor: int
    tax_minor: int
    total_minor: int
    refunds: tuple[str, ...] = ()
    lines: tuple[CreditNoteLine, ...] = ()
    reason: str | None = None


class ContractSegment(Struct, frozen=True, kw_only=True, array_like=True):
    """A performance obligation of a contract, or the part of one that a modification began."""

    segment_id: str
    price_minor: int
    variable_minor: int = 0
    constraint_minor: int | None = None
    standalone_minor: int | None = None
    service_from_ms: int
    service_to_ms: int
    product: str | None = None


class Contract(Struct, frozen=True, kw_only=True, array_like=True):
    """What was agreed when a contract was signed, or how it was modified."""

    segments: tuple[ContractSegment, ...] = ()
    treatment: str | None = None
    segment: str | None = None
    new_segment: str | None = None
    change_minor: int = 0
    variable_minor: int | None = None
    constraint_minor: int | None = None
    service_to_ms: int | None = None


class Usage(Struct, frozen=True, kw_only=True, array_like=True):
    """How much was used, on the day of the fact. The price is looked up in the company's prices."""

    meter: str
    quantity: str
    price: str
    period_from_ms: int
    period_to_ms: int
    product: str | None = None


class WalletMovement(Struct, frozen=True, kw_only=True, array_like=True):
    """A top-up or expiry of a prepaid wallet."""

    amount_minor: int | None = None
    settlement: str | None = None
    gateway_reference: str | None = None


class IntercompanySale(Struct, frozen=True, kw_only=True, array_like=True):
    """A sale between two entities of one company."""

    seller: str
    buyer: str
    amount_minor: int
    product: str | None = None


class AdjustedTax(Struct, frozen=True, kw_only=True, array_like=True):
    """By how much one tax of a document was too low, or too high."""

    tax_code: str
    jurisdiction: str | None = None
    rate: str | None = None
    base_minor: int | None = None
    amount_minor: int
    line_id: str | None = None


class TaxAdjustment(Struct, frozen=True, kw_only=True, array_like=True):
    """The tax of an issued invoice put right, without a change of its net."""

    direction: str
    settlement: str
    taxes: tuple[AdjustedTax, ...] = ()


class CustomerProfile(Struct, frozen=True, kw_only=True, array_like=True):
    """What the billing system says of a customer; no personal data."""

    country: str | None = None
    currency: str | None = None
    tax_exempt: str | None = None
    deleted: bool


class SubscriptionState(Struct, frozen=True, kw_only=True, array_like=True):
    """State of a subscription after an event."""

    status: str
    change: str
    price: str | None = None
    quantity: int | None = None
    period_from_ms: int | None = None
    period_to_ms: int | None = None
    cancel_at_ms: int | None = None


class Fact(Struct, frozen=True, kw_only=True, array_like=True):
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
    charge: Charge | None = None
    refund: Refund | None = None
    credit_note: CreditNote | None = None
    dispute: Dispute | None = None
    payout: Payout | None = None
    collection: Collection | None = None
    contract: Contract | None = None
    usage: Usage | None = None
    wallet: WalletMovement | None = None
    intercompany: IntercompanySale | None = None
    tax_adjustment: TaxAdjustment | None = None
    customer: CustomerProfile | None = None
    subscription_state: SubscriptionState | None = None


class ObjectName(Struct, frozen=True, kw_only=True, array_like=True):
    """An object of a billing system that an event ties to its account or document."""

    object: str
    document: str | None = None
    document_kind: str | None = None


class BillingEvent(Struct, frozen=True, kw_only=True, array_like=True):
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
    named_object: str | None = None
    links: tuple[ObjectName, ...] = ()
    position: SourcePosition


class ObjectLink(Struct, frozen=True, kw_only=True, array_like=True):
    """What an object belongs to, so that records that name only the object find their way. Key:
    tenant/source/object, parts escaped.
    """

    tenant: str
    source: str
    object: str
    account: str
    document: str | None = None
    document_kind: str | None = None
