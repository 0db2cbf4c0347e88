"""What `apply` would publish: the difference to what is published, or why it must not.

Problem: a version names one set of rules for ever, because postings refer to it. How: a pure
comparison of the folder with the latest published company and customer records. A change under a
version that is in use is refused, and the refusal says which version to use.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from msgspec.structs import replace

from streamsync.core.company import Company
from streamsync.core.rate import Rate
from streamsync.core.records import Customer, ReferenceData
from streamsync.governance.diff import Change, diff
from streamsync.governance.payload import from_payload
from streamsync.governance.rates import rates_of


@dataclass(frozen=True, slots=True)
class Refusal:
    """A change that can't be published: of a file of the folder, `customer` its index there."""

    message: str
    customer: int | None = None
    file: str = "company.yaml"


@dataclass(frozen=True, slots=True)
class Plan:
    """`changes` to show; whether the rules and the rates go out, and which customers."""

    changes: tuple[Change, ...]
    company_changed: bool
    rates_changed: bool
    customers: tuple[Customer, ...]
    refusals: tuple[Refusal, ...]
    published_version: int | None

    @property
    def is_empty(self) -> bool:
        """True when all is published already."""
        return (
            not (self.company_changed or self.rates_changed)
            and not self.customers
            and not self.refusals
        )


def make_plan(
    published: ReferenceData | None,
    company: Company,
    published_customers: Mapping[str, Customer],
    customers: Sequence[Customer],
    published_rates: ReferenceData | None = None,
    rates: ReferenceData | None = None,
) -> Plan:
    """Compare a folder with what is published. `PayloadError` when that can't be read."""
    changes = diff(from_payload(published.payload) if published is not None else None, company)
    refusals = []
    if published is not None and changes and company.version <= published.version:
        refusals.append(
            Refusal(
                f"version {company.version} is not higher than the published version "
                f"{published.version} (by {published.published_by}): "
                f"set version to {published.version + 1}."
            )
        )
    company_changed = bool(changes)
    fresh = []
    for index, customer in enumerate(customers):
        known = published_customers.get(customer.account)
        if known is None or known.version < customer.version:
            before = _customer_text(known) if known is not None else None
            path = f"customers.{customer.account}"
            changes.append(Change(path, before, _customer_text(customer)))
            fresh.append(customer)
        elif replace(known, published_by=customer.published_by) != customer:
            text = (
                f"{customer.account}: version {customer.version} is not higher than the "
                f"published version {known.version}: set version to {known.version + 1}."
            )
            refusals.append(Refusal(text, index, "customers.yaml"))
    rates_changed = False
    if rates is not None and (
        published_rates is None or rates.content_hash != published_rates.content_hash
    ):
        if published_rates is None or rates.version > published_rates.version:
            rates_changed = True
            changes += _rate_changes(published_rates, rates)
        else:
            text = (
                f"the rates of version {rates.version} differ from the published version "
                f"{published_rates.version}: set version to {published_rates.version + 1}."
            )
            refusals.append(Refusal(text, None, "rates.yaml"))
    return Plan(
        changes=tuple(changes),
        company_changed=company_changed,
        rates_changed=rates_changed,
        customers=tuple(fresh),
        refusals=tuple(refusals),
        published_version=published.version if published is not None else None,
    )


def _rate_changes(published: ReferenceData | None, rates: ReferenceData) -> list[Change]:
    before = {_rate_path(rate): rate.rate for rate in rates_of(published)} if published else {}
    after = {_rate_path(rate): rate.rate for rate in rates_of(rates)}
    return [
        Change(path, before.get(path), after[path])
        for path in sorted(after)
        if before.get(path) != after[path]
    ]


def _rate_path(rate: Rate) -> str:
    return f"rates.{rate.rate_type}.{rate.base}/{rate.quote}@{rate.date}"


def _customer_text(customer: Customer) -> str:
    told = {
        "party": customer.party,
        "entity": customer.entity,
        "country": customer.country,
        "segment": customer.segment,
        "version": customer.version,
        "deleted": "yes" if customer.deleted else None,
    }
    return ", ".join(f"{name} {value}" for name, value in told.items() if value is not None)
