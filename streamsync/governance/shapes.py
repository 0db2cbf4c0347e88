"""The shape of each file of a company folder: which keys, which values.

Problem: a misspelt key that is silently ignored changes the books. How: pydantic models that forbid
unknown keys. `reading` applies them; what needs more than one value to judge stands in `checks`.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from datetime import date
from typing import Annotated, Literal

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, model_validator
from pydantic_core import PydanticCustomError

from streamsync.core.company import CONVERSION_ROLE, DEADLINE_HOURS
from streamsync.core.policy import FAMILIES
from streamsync.core.revenue import TREATMENTS
from streamsync.core.schedule import BASES, FIRST_RELEASES, ROUNDINGS, STARTS
from streamsync.core.usage import MODELS
from streamsync.governance.problems import listed, nearest

# Errors of this type carry their whole message.
SENTENCE = "streamsync_sentence"
# What is wrong was reported where the file was read.
REPORTED = "streamsync_reported"


def _broken(message: str) -> PydanticCustomError:
    return PydanticCustomError(SENTENCE, "{text}", {"text": message})


def _name(text: str) -> str:
    if re.fullmatch(r"[a-z0-9]([a-z0-9_-]{0,62}[a-z0-9])?", text) is None:
        raise _broken(f'"{text}" is not a name: use a-z, 0-9, "-" and "_", at most 64 of them.')
    return text


def _tenant(text: str) -> str:
    if text == "book":
        raise _broken('"book" is reserved for the accounts of entities: choose another name.')
    return _name(text)


def _iso_date(text: str) -> str:
    try:
        parsed = date.fromisoformat(text)
    except ValueError:
        parsed = None
    if parsed is None or parsed.isoformat() != text:
        raise _broken(f'"{text}" is not a date: write it as YYYY-MM-DD.')
    return text


def _country(text: str) -> str:
    if re.fullmatch(r"[A-Z]{2}", text) is None:
        raise _broken(f'"{text}" is not a country: use two capitals (ISO 3166).')
    return text


def _filled(text: str) -> str:
    if not text.strip():
        raise _broken("There is no value: write one.")
    return text


def _one_of(what: str, known: Iterable[str]) -> AfterValidator:
    """A name out of a closed table; the message offers the nearest and lists all."""
    names = tuple(known)

    def checked(text: str) -> str:
        if text not in names:
            raise _broken(f'"{text}" is no {what}.{nearest(text, names)} Known: {listed(names)}.')
        return text

    return AfterValidator(checked)


Name = Annotated[str, AfterValidator(_name)]
Tenant = Annotated[str, AfterValidator(_tenant)]
IsoDate = Annotated[str, AfterValidator(_iso_date)]
Country = Annotated[str, AfterValidator(_country)]
Text = Annotated[str, AfterValidator(_filled)]


class Shape(BaseModel):
    """Base of all shapes: no unknown key, no change after reading."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    @model_validator(mode="before")
    @classmethod
    def _no_value_is_null(cls, raw: object) -> object:
        # An optional condition that is null would widen its rule to everything.
        if isinstance(raw, dict) and None in raw.values():
            raise PydanticCustomError(REPORTED, "a value is null")
        return raw


class CompanyFile(Shape):
    """company.yaml."""

    tenant: Tenant
    ruleset: Name
    version: int = Field(ge=1)
    effective_from: IsoDate
    sources: list[Name] = Field(min_length=1)
    customer_owner: Literal["crm", "billing"]
    owners: dict[str, Text]


class EntityItem(Shape):
    """An item of entities.yaml."""

    id: Name
    name: Text
    country: Country
    functional_currency: Text
    time_zone: Text
    ledger: Name
    target_erp: Name


class ChartFile(Shape):
    """chart.yaml: entity to account to its name."""

    chart: dict[str, dict[str, Text]]


class AccountItem(Shape):
    """An item of accounts.yaml."""

    id: Name
    role: Text
    account: Text
    entity: Text | None = None
    product: Text | None = None
    currency: Text | None = None


class EntityRuleItem(Shape):
    """An item of entity_rules.yaml."""

    id: Name
    entity: Text
    source: Text | None = None
    country: Country | None = None
    currency: Text | None = None
    product: Text | None = None
    segment: Text | None = None
    customer_entity: Text | None = None


class PolicyItem(Shape):
    """An item of policies.yaml."""

    entity: Text
    profile: Text
    family: Annotated[str, _one_of("family of events", FAMILIES)] | None = None
    from_: IsoDate = Field(alias="from")
    through: IsoDate | None = None


class CurrencyItem(Shape):
    """An item of currency.yaml."""

    entity: Text
    rate_lag_days: int = Field(ge=0, le=31)
    rate_age_days_max: int = Field(ge=0, le=366)
    spot_roles: list[Text]
    parked_roles: list[Text] = []
    gain_loss_role: Text
    revaluation: Literal["never", "next_period", "settlement"]
    revalued_roles: list[Text]
    unrealised_role: Text
    conversion_role: Text = CONVERSION_ROLE


class DimensionItem(Shape):
    """An item of dimensions.yaml."""

    entity: Text
    account: Text
    requires: list[Literal["product"]] = Field(min_length=1)


class TaxCodeItem(Shape):
    """An item of tax_codes.yaml."""

    code: Text
    jurisdiction: Text


class SummaryItem(Shape):
    """An item of summaries.yaml."""

    entity: Text
    purpose: Text
    by: Literal["document", "day", "period"]


class RateItem(Shape):
    """An item of rates.yaml."""

    from_: Text = Field(alias="from")
    to: Text
    type: Literal["spot", "closing"]
    date: IsoDate
    rate: Text
    source: Text


class RatesFile(Shape):
    """rates.yaml."""

    version: int = Field(ge=1)
    rates: list[RateItem]


def _decimal(text: str) -> str:
    if re.fullmatch(r"[0-9]{1,15}(\.[0-9]{1,12})?", text) is None:
        raise _broken(f'"{text}" is no amount: write digits, with a point before decimals.')
    return text


Decimal = Annotated[str, AfterValidator(_decimal)]


class TierItem(Shape):
    """A tier of a usage price; the last one has no `up_to`."""

    up_to: Decimal | None = None
    unit_price: Decimal = "0"
    flat_price: Decimal = "0"


class PriceItem(Shape):
    """An item of prices.yaml."""

    id: Name
    currency: Text
    model: Annotated[str, _one_of("model of a usage price", MODELS)]
    from_: IsoDate = Field(alias="from")
    tiers: list[TierItem] = Field(min_length=1)


class DeadlineHours(Shape):
    """Hours to confirm, by SLA class; and until a waiting entry is somebody's work."""

    close_sensitive: int = Field(ge=1)
    informational: int = Field(ge=1)
    waiting: int = Field(ge=1, default=DEADLINE_HOURS["waiting"])


class ThresholdsFile(Shape):
    """thresholds.yaml."""

    tolerances_minor: dict[str, Annotated[int, Field(ge=0)]] = {}
    deadline_hours: DeadlineHours
    close_sensitive: list[str]
    soft_close_takes: list[str] = []


class CustomerItem(Shape):
    """An item of customers.yaml."""

    account: Text
    party: Text
    entity: Text | None = None
    country: Country | None = None
    segment: Text | None = None
    version: int = Field(ge=1)
    deleted: bool = False


class TemplateItem(Shape):
    """A line of a journal template: a side with its role, and the amount that goes there."""

    debit: Text | None = None
    credit: Text | None = None
    amount: Text

    @model_validator(mode="after")
    def _one_side(self) -> TemplateItem:
        if (self.debit is None) == (self.credit is None):
            raise _broken("Give either debit or credit, with the role as value.")
        return self

    @property
    def side(self) -> str:
        """`debit` or `credit`."""
        return "debit" if self.debit is not None else "credit"

    @property
    def role(self) -> str:
        """The role on that side."""
        return self.debit or self.credit or ""


class Schedule(Shape):
    """How revenue is released; what a profile leaves out it has from the one it extends."""

    basis: Annotated[str, _one_of("basis of a schedule", BASES)] | None = None
    rounding: Annotated[str, _one_of("rounding of a schedule", ROUNDINGS)] | None = None
    start: Annotated[str, _one_of("start convention", STARTS)] | None = None
    first_release: Annotated[str, _one_of("release convention", FIRST_RELEASES)] | None = None
    immediate_up_to_days: Annotated[int, Field(ge=0)] | None = None


class ProfileFile(Shape):
    """profiles/<profile>.yaml. `extends`: the profile that says what this one leaves out."""

    profile: Name
    version: Text
    effective_from: IsoDate
    extends: Name | None = None
    schedule: Schedule = Schedule()
    choices: dict[str, Text] = {}
    credit_note_by_reason: dict[str, Annotated[str, _one_of("treatment", TREATMENTS)]] = {}
    roles: dict[str, Text] = {}
    journals: dict[str, list[TemplateItem]] = {}
