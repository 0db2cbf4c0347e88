"""Records around the books: raw input, master data, time, commands, confirmations, outcomes.

Problem: business code must not see wire formats. How: one frozen struct per Avro record in
`avro/` (same name, same fields; a test compares them); `contracts` turns one into the other. The
billing facts stand in `facts.py`.
Amounts are integer minor units, times epoch milliseconds, dates ISO strings.
"""

from __future__ import annotations

from collections.abc import Mapping

from msgspec import Struct, field


class SourcePosition(Struct, frozen=True, kw_only=True, array_like=True):
    """Where a record stands in a topic: enough to read it again."""

    topic: str
    partition: int
    offset: int


class RawWebhook(Struct, frozen=True, kw_only=True, array_like=True):
    """A verified webhook exactly as the billing system sent it. Key: the billing account where the
    payload names it, else the source's event id.
    """

    tenant: str
    source: str
    source_kind: str
    body: bytes
    content_type: str
    content_hash: str
    signing_key_id: str | None = None
    received_at_ms: int


class Customer(Struct, frozen=True, kw_only=True, array_like=True):
    """Master data of a customer of one billing account, from the CRM or MDM. Key: account."""

    tenant: str
    account: str
    party: str
    entity: str | None = None
    country: str | None = None
    segment: str | None = None
    version: int
    deleted: bool
    published_by: str


class ReferenceData(Struct, frozen=True, kw_only=True, array_like=True):
    """One item of rules or reference data, in the one order of the control topic."""

    tenant: str
    kind: str
    id: str
    version: int
    active_from_tick: int
    effective_from: str
    payload: str
    content_hash: str
    published_by: str
    approved_by: str | None = None


class Tick(Struct, frozen=True, kw_only=True, array_like=True):
    """The clock of the topology: time is input."""

    number: int
    time_ms: int
    leader: str


class PeriodStatus(Struct, frozen=True, kw_only=True, array_like=True):
    """Status of an accounting period, from the ERP or the close workflow."""

    tenant: str
    entity: str
    ledger: str
    period: str
    status: str
    version: int
    changed_by: str
    approved_by: str | None = None
    reason: str | None = None


class CommandTax(Struct, frozen=True, kw_only=True, array_like=True):
    """Tax attributes of a posting line."""

    tax_code: str | None = None
    jurisdiction: str | None = None
    rate: str | None = None
    base_minor: int | None = None
    inclusive: bool


class PostingLine(Struct, frozen=True, kw_only=True, array_like=True):
    """One line of a posting command."""

    no: int
    role: str
    account: str
    side: str
    amount_minor: int
    functional_minor: int
    tax: CommandTax | None = None
    dimensions: Mapping[str, str] = field(default_factory=dict)
    customer: str | None = None
    document_ref: str | None = None
    service_from: str | None = None
    service_to: str | None = None
    counterparty_entity: str | None = None


class ForeignExchange(Struct, frozen=True, kw_only=True, array_like=True):
    """Rate used for the functional amounts."""

    rate: str
    rate_type: str
    date: str
    source: str
    rate_id: str


class MappingVersion(Struct, frozen=True, kw_only=True, array_like=True):
    """Which rules produced the command."""

    ruleset: str
    version: int
    rule_ids: tuple[str, ...] = ()


class PolicyVersion(Struct, frozen=True, kw_only=True, array_like=True):
    """Which accounting policy produced the command."""

    id: str
    version: str


class PostingTotals(Struct, frozen=True, kw_only=True, array_like=True):
    """Totals of a command or an ERP document."""

    debit_minor: int
    credit_minor: int
    count: int
    functional_debit_minor: int
    functional_credit_minor: int


class PostingCommand(Struct, frozen=True, kw_only=True, array_like=True):
    """Instruction to an ERP to post one balanced document. Key: account."""

    schema_version: int
    command_id: str
    correlation_id: str
    causation_event_id: str
    tenant: str
    account: str
    document: str
    subscription: str | None = None
    fact_id: str
    purpose: str
    idempotency_key: str
    revision: int
    content_hash: str
    erp_key: str
    action: str
    corrects_command_id: str | None = None
    entity: str
    ledger: str
    target_erp: str
    journal_type: str
    document_date: str
    posting_date: str
    period: str
    original_period: str
    period_basis: str
    txn_currency: str
    functional_currency: str
    fx: ForeignExchange
    lines: tuple[PostingLine, ...] = ()
    totals: PostingTotals
    mapping: MappingVersion
    policy: PolicyVersion
    sla_class: str
    deadline_at_ms: int
    created_at_ms: int
    gateway_reference: str | None = None
    producer: SourcePosition


class EchoLine(Struct, frozen=True, kw_only=True, array_like=True):
    """A line as the ERP holds it."""

    no: int
    account: str
    side: str
    amount_minor: int


class PostingError(Struct, frozen=True, kw_only=True, array_like=True):
    """Why an ERP refused or did not answer."""

    canonical_code: str
    native_code: str | None = None
    message: str
    retryable: bool


class PostingConfirmation(Struct, frozen=True, kw_only=True, array_like=True):
    """What became of a command in the ERP. Key: account of the command."""

    schema_version: int
    confirmation_id: str
    tenant: str
    account: str | None = None
    idempotency_key: str | None = None
    command_id: str | None = None
    revision: int | None = None
    erp: str
    entity: str
    status: str
    erp_document_id: str | None = None
    erp_document_number: str | None = None
    fiscal_year: str | None = None
    period: str | None = None
    posting_date: str | None = None
    currency: str | None = None
    totals: PostingTotals | None = None
    lines_echo: tuple[EchoLine, ...] = ()
    erp_added_lines: tuple[EchoLine, ...] = ()
    error: PostingError | None = None
    erp_posted_at_ms: int | None = None
    observed_at_ms: int
    attempt: int
    correlation_id: str | None = None
    found_by_lookup: bool
    raw_ref: str | None = None


class ExceptionRecord(Struct, frozen=True, kw_only=True, array_like=True):
    """A mismatch, rejection or waiting entry, each time its state changes. Key: account."""

    exception_id: str
    tenant: str
    account: str
    code: str
    state: str
    resolution: str | None = None
    entity: str | None = None
    period: str | None = None
    currency: str | None = None
    document: str | None = None
    idempotency_key: str | None = None
    revision: int | None = None
    difference_minor: int
    tolerance_minor: int
    rule: str
    detail: str
    owner: str
    opened_at_ms: int
    changed_at_ms: int
    correlation_id: str | None = None
    position: SourcePosition


class DeadLetter(Struct, frozen=True, kw_only=True, array_like=True):
    """A record that could not be processed, with all it takes to put it back."""

    lane: str
    position: SourcePosition
    key: bytes | None = None
    value: bytes | None = None
    reason: str
    detail: str


class ControlTotal(Struct, frozen=True, kw_only=True, array_like=True):
    """Control figures of one entity, period, currency and purpose."""

    period: str
    currency: str
    purpose: str
    billing_minor: int
    commands_minor: int
    commands_debit_minor: int
    erp_debit_minor: int
    open_difference_minor: int
    commands_count: int
    confirmed_count: int


class RoleTotal(Struct, frozen=True, kw_only=True, array_like=True):
    """Movement of an account role of an entity, posting period and currency, by purpose."""

    period: str
    currency: str
    role: str
    purpose: str
    debit_minor: int
    credit_minor: int
    functional_debit_minor: int
    functional_credit_minor: int


class TaxTotal(Struct, frozen=True, kw_only=True, array_like=True):
    """Movement of a tax on an account role of an entity, posting period and currency."""

    period: str
    currency: str
    role: str
    jurisdiction: str | None = None
    tax_code: str | None = None
    debit_minor: int
    credit_minor: int
    functional_debit_minor: int
    functional_credit_minor: int


class AgeingBucket(Struct, frozen=True, kw_only=True, array_like=True):
    """Open receivables of an entity by their age at a cut."""

    currency: str
    bucket: str
    debit_minor: int
    credit_minor: int


class Contribution(Struct, frozen=True, kw_only=True, array_like=True):
    """Absolute control totals of one partition for one entity at one cut; internal record of the
    ledger log. Key: book/<tenant>/<entity>|contribution.
    """

    tenant: str
    entity: str
    tick_number: int
    time_ms: int
    partition: int
    partitions: int
    totals: tuple[ControlTotal, ...] = ()
    roles: tuple[RoleTotal, ...] = ()
    ageing: tuple[AgeingBucket, ...] = ()
    taxes: tuple[TaxTotal, ...] = ()


class SummaryMember(Struct, frozen=True, kw_only=True, array_like=True):
    """An entry that posts in summary journals, absolute, by key and revision; internal record."""

    tenant: str
    entity: str
    ledger: str
    bucket: str
    account: str
    document: str
    fact_id: str
    purpose: str
    idempotency_key: str
    revision: int
    natural_period: str
    document_date: str
    txn_currency: str
    functional_currency: str
    fx: ForeignExchange
    lines: tuple[PostingLine, ...] = ()
    mapping: MappingVersion
    policy: PolicyVersion
    correlation_id: str
    source_event_id: str


class Continuation(Struct, frozen=True, kw_only=True, array_like=True):
    """Long work that goes on in the next step; internal record of the ledger log."""

    partition: int
    sequence: int


class Totals(Struct, frozen=True, kw_only=True, array_like=True):
    """Books of one entity at one cut, when all partitions have reported it. Key: entity."""

    tenant: str
    entity: str
    tick_number: int
    time_ms: int
    lines: tuple[ControlTotal, ...] = ()
    roles: tuple[RoleTotal, ...] = ()
    ageing: tuple[AgeingBucket, ...] = ()
    taxes: tuple[TaxTotal, ...] = ()
    billing_agrees: bool
    erp_agrees: bool
