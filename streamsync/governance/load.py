"""From a company folder to one immutable `Company`, or to all that is wrong with it.

Problem: half a rule set must never reach the books. How: read, check everything, and compile only
when no problem was found.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from msgspec.structs import replace

from streamsync.core.company import (
    AccountRule,
    Company,
    CurrencyRules,
    Deadline,
    Entity,
    EntityRule,
    RequiredDimensions,
    SummaryRule,
    TaxCode,
    UsagePrice,
    UsageTier,
)
from streamsync.core.records import Customer, ReferenceData
from streamsync.governance.checks import check_folder
from streamsync.governance.currency_checks import rate_of
from streamsync.governance.folder import Folder, read_folder
from streamsync.governance.problems import CompanyErrors, Problem, UnknownProfile
from streamsync.governance.profiles import in_force, merged, policy_of
from streamsync.governance.rates import rates_item
from streamsync.governance.reading import Placed, Section
from streamsync.governance.role_checks import every_role_has_an_account
from streamsync.governance.shapes import (
    AccountItem,
    CompanyFile,
    CurrencyItem,
    EntityItem,
    EntityRuleItem,
    PolicyItem,
    PriceItem,
    ThresholdsFile,
)

# A month end releases thousands of small amounts; what an ERP needs of them is the sum.
_BY_DEFAULT = "revenue_released"


@dataclass(frozen=True, slots=True)
class _Sound:
    """A folder without a problem, and the files that it must have had for that."""

    folder: Folder
    head: CompanyFile
    thresholds: ThresholdsFile


def load_company(directory: Path | str, policy: str | None = None) -> Company:
    """Compile a company folder; `CompanyErrors` lists everything that is wrong with it.

    `policy`: the accounting profile by which every entity books on every day, in place of what
    policies.yaml says; `UnknownProfile` if there is none of that name.
    """
    company = _compiled(_sound(directory, policy))
    if policy is None:
        return company
    # By this profile every day is a day of the company's own books.
    return replace(company, effective_from=min(one.effective_from for one in company.policies))


def load_customers(
    directory: Path | str, published_by: str = "streamsync apply"
) -> tuple[Customer, ...]:
    """The CRM records of the folder's customers.yaml, if it has one."""
    sound = _sound(directory)
    return tuple(
        Customer(
            tenant=sound.head.tenant,
            account=item.account,
            party=item.party,
            entity=item.entity,
            country=item.country,
            segment=item.segment,
            version=item.version,
            deleted=item.deleted,
            published_by=published_by,
        )
        for item in (placed.item for placed in sound.folder.customers.items)
    )


def load_rates(
    directory: Path | str, published_by: str = "streamsync apply", approved_by: str | None = None
) -> ReferenceData | None:
    """The folder's rates.yaml as an item of the control topic, if it has one."""
    sound = _sound(directory)
    file = sound.folder.rates
    if file is None:
        return None
    rates = [rate_of(item, file.version) for item in file.rates]
    return rates_item(
        sound.head.tenant,
        rates,
        version=file.version,
        published_by=published_by,
        approved_by=approved_by,
    )


def _sound(directory: Path | str, policy: str | None = None) -> _Sound:
    place = Path(directory)
    if not place.is_dir():
        text = "There is no such folder: name the folder that holds company.yaml."
        raise CompanyErrors([Problem(str(directory), 1, 1, "missing_file", text)])
    folder = read_folder(place, policy)
    if policy is not None and policy not in folder.profile_names:
        raise UnknownProfile(policy, folder.profile_names)
    check_folder(folder)
    if policy is not None:
        folder.policies = _everywhere(folder, policy)
        every_role_has_an_account(folder)
    problems = folder.problems()
    head, thresholds = folder.company, folder.thresholds
    if problems or head is None or thresholds is None:
        raise CompanyErrors(problems)
    return _Sound(folder, head, thresholds)


def _everywhere(folder: Folder, policy: str) -> Section[PolicyItem]:
    """Every entity books by one profile from the profile's first day on."""
    shape = folder.profiles[policy].shape
    if shape is None:
        return Section()
    item = {"profile": policy, "from": shape.effective_from}
    return Section(
        tuple(
            Placed(PolicyItem.model_validate({"entity": placed.item.id, **item}), ())
            for placed in folder.entities.items
        ),
        complete=True,
    )


def _compiled(sound: _Sound) -> Company:
    folder, head = sound.folder, sound.head
    policies = {
        name: policy_of(shape)
        for name in folder.profiles
        if (shape := merged(folder.profiles, name)) is not None
    }
    items: dict[str, list[PolicyItem]] = {}
    for placed in folder.policies.items:
        items.setdefault(placed.item.entity, []).append(placed.item)
    return Company(
        tenant=head.tenant,
        ruleset=head.ruleset,
        version=head.version,
        effective_from=head.effective_from,
        customer_owner=head.customer_owner,
        entities=tuple(_entity(placed.item) for placed in folder.entities.items),
        entity_rules=tuple(_entity_rule(placed.item) for placed in folder.entity_rules.items),
        account_rules=tuple(_account_rule(placed.item) for placed in folder.accounts.items),
        policies=tuple(
            assignment
            for entity in sorted(items)
            for assignment in in_force(entity, items[entity], policies)
        ),
        deadlines=_deadlines(sound.thresholds),
        usage_prices=tuple(_usage_price(placed.item) for placed in folder.prices.items),
        close_sensitive=tuple(sound.thresholds.close_sensitive),
        soft_close_takes=tuple(sound.thresholds.soft_close_takes),
        tolerances_minor=dict(sound.thresholds.tolerances_minor),
        owners=dict(head.owners),
        required_dimensions=tuple(
            RequiredDimensions(
                entity=placed.item.entity,
                account=placed.item.account,
                dimensions=tuple(placed.item.requires),
            )
            for placed in folder.dimensions.items
        ),
        tax_codes=tuple(
            TaxCode(code=placed.item.code, jurisdiction=placed.item.jurisdiction)
            for placed in folder.tax_codes.items
        ),
        summaries=_summaries(folder),
        currency_rules=tuple(_currency_rules(placed.item) for placed in folder.currency.items),
    )


def _summaries(folder: Folder) -> tuple[SummaryRule, ...]:
    """What posts in summaries: as told, and where nothing is told, releases by day."""
    by = {(placed.item.id, _BY_DEFAULT): "day" for placed in folder.entities.items}
    told = {
        (placed.item.entity, placed.item.purpose): placed.item.by
        for placed in folder.summaries.items
    }
    return tuple(
        SummaryRule(entity=entity, purpose=purpose, by=each)
        for (entity, purpose), each in sorted({**by, **told}.items())
        if each != "document"
    )


def _entity(item: EntityItem) -> Entity:
    return Entity(
        id=item.id,
        name=item.name,
        country=item.country,
        functional_currency=item.functional_currency,
        time_zone=item.time_zone,
        ledger=item.ledger,
        target_erp=item.target_erp,
    )


def _entity_rule(item: EntityRuleItem) -> EntityRule:
    return EntityRule(
        rule_id=item.id,
        entity=item.entity,
        source=item.source,
        country=item.country,
        currency=item.currency,
        product=item.product,
        segment=item.segment,
        customer_entity=item.customer_entity,
    )


def _account_rule(item: AccountItem) -> AccountRule:
    return AccountRule(
        rule_id=item.id,
        role=item.role,
        account=item.account,
        entity=item.entity,
        product=item.product,
        currency=item.currency,
    )


def _currency_rules(item: CurrencyItem) -> CurrencyRules:
    return CurrencyRules(
        entity=item.entity,
        rate_lag_days=item.rate_lag_days,
        rate_age_days_max=item.rate_age_days_max,
        spot_roles=tuple(item.spot_roles),
        parked_roles=tuple(item.parked_roles),
        gain_loss_role=item.gain_loss_role,
        revaluation=item.revaluation,
        revalued_roles=tuple(item.revalued_roles),
        unrealised_role=item.unrealised_role,
        conversion_role=item.conversion_role,
    )


def _usage_price(item: PriceItem) -> UsagePrice:
    return UsagePrice(
        id=item.id,
        currency=item.currency,
        model=item.model,
        tiers=tuple(
            UsageTier(up_to=tier.up_to, unit_price=tier.unit_price, flat_price=tier.flat_price)
            for tier in item.tiers
        ),
        effective_from=item.from_,
    )


def _deadlines(thresholds: ThresholdsFile) -> tuple[Deadline, ...]:
    hours = thresholds.deadline_hours
    return (
        Deadline(sla_class="close_sensitive", hours=hours.close_sensitive),
        Deadline(sla_class="informational", hours=hours.informational),
        Deadline(sla_class="waiting", hours=hours.waiting),
    )
