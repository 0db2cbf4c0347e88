"""A company as data: entities, account mapping, policies and thresholds, versioned.

Problem: accounting differs by company, and must be explainable years later. How: the company
folder is compiled (by `governance`) into one immutable `Company` value with a version; it reaches
the books through the control topic, and every command names the version and the rules used.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

from msgspec import Struct, field

from streamsync.core.schedule import Method


class Entity(Struct, frozen=True, kw_only=True):
    """A legal entity: `id`, its functional currency (ISO 4217), IANA time zone, ledger and ERP."""

    id: str
    name: str
    country: str
    functional_currency: str
    time_zone: str
    ledger: str
    target_erp: str


class EntityRule(Struct, frozen=True, kw_only=True):
    """First rule whose set conditions all hold decides the entity of a document."""

    rule_id: str
    entity: str
    source: str | None = None
    country: str | None = None
    currency: str | None = None
    product: str | None = None
    segment: str | None = None
    customer_entity: str | None = None


class AccountRule(Struct, frozen=True, kw_only=True):
    """First rule whose set conditions all hold maps an account role to an ERP account."""

    rule_id: str
    role: str
    account: str
    entity: str | None = None
    product: str | None = None
    currency: str | None = None


class RequiredDimensions(Struct, frozen=True, kw_only=True):
    """Every line on `account` of `entity` must carry these dimensions."""

    entity: str
    account: str
    dimensions: tuple[str, ...]


class TaxCode(Struct, frozen=True, kw_only=True):
    """A tax code of a billing system, and the jurisdiction that it is owed to."""

    code: str
    jurisdiction: str


class SummaryRule(Struct, frozen=True, kw_only=True):
    """Entries of `purpose` of `entity` post as one summary per `day` or `period`."""

    entity: str
    purpose: str
    by: str


CONVERSION_ROLE: Final = "clearing_conversion"


class CurrencyRules(Struct, frozen=True, kw_only=True):
    """How an entity values documents in other currencies than its own.

    `rate_lag_days`: the rate of that many days before the accounting date is used, or the latest
    before it, at most `rate_age_days_max` older. `spot_roles`: money, worth the rate of its own
    day; `parked_roles`: worth the rate it came at until it goes; all other roles are worth the rate
    of the document's issue. `revaluation` of `revalued_roles` at the closing rate: `never`, or
    taken back at the start of the `next_period` or with the `settlement`. `conversion_role`: by
    way of which money goes from one currency to another.
    """

    entity: str
    rate_lag_days: int
    rate_age_days_max: int
    spot_roles: tuple[str, ...]
    parked_roles: tuple[str, ...]
    gain_loss_role: str
    revaluation: str
    revalued_roles: tuple[str, ...]
    unrealised_role: str
    conversion_role: str = CONVERSION_ROLE


class TemplateLine(Struct, frozen=True, kw_only=True):
    """One line of a journal template: the named `amount` of the journal goes to `role` on `side`.

    A negative amount (a credit line of an invoice) goes to the other side.
    """

    side: str
    role: str
    amount: str


class Choices(Struct, frozen=True, kw_only=True):
    """Where accounting policies differ in what a fact does, beyond its journal.

    The values of each stand in `core.policy.CHOICES`; `credit_note_by_reason` overrides
    `credit_note` for the reason that a note gives.
    """

    charged_automatically: str = "issue"
    sent_on_terms: str = "issue"
    credit_note: str = "proportional"
    credit_note_by_reason: Mapping[str, str] = field(default_factory=dict)
    refund: str = "proportional"
    uncollectible: str = "schedule_stops"
    loss_at: str = "uncollectible"
    termination: str = "schedule_stands"
    tax_rounding: str = "document"
    late_event: str = "earliest_open_period"
    breakage: str = "on_expiry"


class Policy(Struct, frozen=True, kw_only=True):
    """An accounting policy profile: which journal each fact makes, and how revenue is released.

    `schedule`: how revenue is spread over time. `choices`: what else differs between policies.
    `journals`: journal kind to template (the kinds and their amounts stand in
    `core.policy.JOURNAL_AMOUNTS`).
    """

    id: str
    version: str
    schedule: Method
    choices: Choices = field(default_factory=Choices)
    journals: Mapping[str, tuple[TemplateLine, ...]]


class PolicyAssignment(Struct, frozen=True, kw_only=True):
    """From `effective_from` (ISO date) on, `entity` books by `policy`."""

    entity: str
    policy: Policy
    effective_from: str


class UsageTier(Struct, frozen=True, kw_only=True):
    """Quantities up to `up_to` (included; None: all further) cost `unit_price` each, and
    `flat_price` once. Exact decimals in the price's currency, as text.
    """

    up_to: str | None = None
    unit_price: str
    flat_price: str


class UsagePrice(Struct, frozen=True, kw_only=True):
    """What usage costs in billing periods that begin on `effective_from` (ISO date) or later.

    `model`: graduated (each tier prices its own part) or volume (one tier prices all). The last
    tier has no `up_to`.
    """

    id: str
    currency: str
    model: str
    tiers: tuple[UsageTier, ...]
    effective_from: str


class Deadline(Struct, frozen=True, kw_only=True):
    """How long a confirmation may take, by SLA class; a waiting entry, in class `waiting`."""

    sla_class: str
    hours: int


DEADLINE_HOURS: Final[Mapping[str, int]] = {
    "close_sensitive": 24,
    "informational": 24,
    "waiting": 168,
}
"""Where the rules say nothing, or have not come yet."""


class RestatementJob(Struct, frozen=True, kw_only=True):
    """Rebook documents by a version of the rules: accounting dates in scope (ISO, both included),
    one entity or all, and how many documents per tick and partition.
    """

    id: str
    rules_version: int
    date_from: str
    date_to: str
    budget: int
    entity: str | None = None


class Company(Struct, frozen=True, kw_only=True):
    """The compiled company folder. `customer_owner` is "crm" or "billing" (R16).

    `soft_close_takes`: purposes of postings that a soft-closed period still takes. `tax_codes`:
    when there are any, a tax with another code waits.
    """

    tenant: str
    ruleset: str
    version: int
    effective_from: str
    customer_owner: str
    entities: tuple[Entity, ...]
    entity_rules: tuple[EntityRule, ...]
    account_rules: tuple[AccountRule, ...]
    policies: tuple[PolicyAssignment, ...]
    deadlines: tuple[Deadline, ...]
    usage_prices: tuple[UsagePrice, ...] = ()
    close_sensitive: tuple[str, ...]
    soft_close_takes: tuple[str, ...] = ()
    tolerances_minor: Mapping[str, int] = field(default_factory=dict)
    owners: Mapping[str, str] = field(default_factory=dict)
    currency_rules: tuple[CurrencyRules, ...] = ()
    required_dimensions: tuple[RequiredDimensions, ...] = ()
    tax_codes: tuple[TaxCode, ...] = ()
    summaries: tuple[SummaryRule, ...] = ()


def deadline_ms(company: Company | None, sla_class: str) -> int:
    """How long a confirmation, or a waiting entry, may take."""
    told = company.deadlines if company is not None else ()
    hours = next((one.hours for one in told if one.sla_class == sla_class), None)
    return (DEADLINE_HOURS[sla_class] if hours is None else hours) * 3_600_000
