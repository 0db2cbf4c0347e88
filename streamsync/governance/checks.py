"""What must hold across the files of a company folder.

Problem: each file may be well formed and the company still unable to book: a role without an
account, a rule that no document can reach, a day without a policy. How: a visible list of checks,
each of which reports to the file where the author has to act, and stays silent where a broken file
leaves it nothing to compare with.
"""

from __future__ import annotations

import zoneinfo
from collections.abc import Iterable

from streamsync.core import money
from streamsync.core.reasons import Owner
from streamsync.governance.currency_checks import check_currency, check_rates
from streamsync.governance.folder import REQUIRED, Folder
from streamsync.governance.policy_checks import check_policies, check_profiles
from streamsync.governance.price_checks import check_prices
from streamsync.governance.problems import listed, nearest
from streamsync.governance.reading import Placed
from streamsync.governance.role_checks import every_role_has_an_account, known_roles
from streamsync.governance.shapes import AccountItem, CompanyFile, EntityRuleItem
from streamsync.governance.yaml_source import Location, YamlFile

# Who works on exceptions (every reason names one of them), and who approves changes of each file.
OWNERS = (
    *map(str, Owner),
    *(name for name in REQUIRED if name != "company"),
    "customers",
    "currency",
    "prices",
)

PURPOSES = (
    "invoice_issued",
    "payment_applied",
    "payment_overpaid",
    "payment_unapplied",
    "cash_received",
    "cash_applied",
    "invoice_voided",
    "invoice_uncollectible",
    "written_off",
    "invoice_recovered",
    "credit_note_issued",
    "credit_note_voided",
    "charge_succeeded",
    "charge_fee",
    "settlement_left",
    "settlement_arrived",
    "refunded",
    "refund_failed",
    "dispute_funds_withdrawn",
    "dispute_funds_reinstated",
    "dispute_fee",
    "dispute_closed",
    "payout_paid",
    "payout_failed",
    "revenue_released",
    "fx_revalued",
    "fx_revaluation_reversed",
    "payment_recognised",
    "revenue_earned",
    "unbilled_cleared",
    "usage_recorded",
    "invoice_overdue",
    "overdue_paid",
    "tax_adjusted",
    "service_terminated",
    "contract_terminated",
    "wallet_topped_up",
    "wallet_expired",
    "intercompany_sale",
    "intercompany_purchase",
    "intercompany_sale_cancelled",
    "intercompany_purchase_cancelled",
)


def check_folder(folder: Folder) -> None:
    """Run every check; what is wrong is reported to the files of the folder."""
    for check in (
        _ids_are_unique,
        _owners_are_named,
        _entities_exist_in_the_world,
        _chart_fits_entities,
        _account_rules_fit,
        _entity_rules_fit,
        _thresholds_fit,
        _customers_fit,
        _dimensions_fit,
        _tax_codes_fit,
        _summaries_fit,
        check_currency,
        check_rates,
        check_profiles,
        check_policies,
        check_prices,
        every_role_has_an_account,
    ):
        check(folder)


def _ids_are_unique(folder: Folder) -> None:
    for file, sections in (
        ("entities", folder.entities.items),
        ("accounts", folder.accounts.items),
        ("entity_rules", folder.entity_rules.items),
    ):
        _unique(folder.files[file], "id", ((placed.item.id, placed.at) for placed in sections))
    if "customers" in folder.files:
        accounts = ((placed.item.account, placed.at) for placed in folder.customers.items)
        _unique(folder.files["customers"], "account", accounts)


def _unique(file: YamlFile, key: str, values: Iterable[tuple[str, Location]]) -> None:
    first: dict[str, Location] = {}
    for value, at in values:
        if value in first:
            line = file.line((*first[value], key))
            text = f'"{value}" is already used on line {line}: choose another {key}.'
            file.report((*at, key), "duplicate_id", text)
        else:
            first[value] = at


def _owners_are_named(folder: Folder) -> None:
    company, file = folder.company, folder.files["company"]
    if company is None:
        return
    for name in OWNERS:
        if name not in company.owners:
            text = f'"{name}" has no owner: add "{name}: <team>" here.'
            file.report(("owners",), "missing_owner", text, key=True)
    for name in company.owners.keys() - set(OWNERS):
        text = f'"{name}" is nothing that has an owner.{nearest(name, OWNERS)}'
        file.report(("owners", name), "unknown_key", f"{text} Known: {listed(OWNERS)}.", key=True)


def _entities_exist_in_the_world(folder: Folder) -> None:
    file = folder.files["entities"]
    zones = zoneinfo.available_timezones()
    if folder.entities.complete and not folder.entities.items:
        file.report(("entities",), "missing_key", "There is no entity: add one.")
    for placed in folder.entities.items:
        _currency(file, (*placed.at, "functional_currency"), placed.item.functional_currency)
        zone = placed.item.time_zone
        if zone not in zones:
            text = f'There is no time zone "{zone}".{nearest(zone, zones)}'
            advice = "Use an IANA name such as Europe/Berlin."
            file.report((*placed.at, "time_zone"), "unknown_time_zone", f"{text} {advice}")


def _currency(file: YamlFile, at: Location, currency: str | None, *, key: bool = False) -> None:
    if currency is not None and not money.is_currency(currency):
        capitals = currency.upper()
        meant = f' Did you mean "{capitals}"?' if money.is_currency(capitals) else ""
        text = f'There is no currency "{currency}".{meant}'
        advice = "Use a code of ISO 4217 in capitals."
        file.report(at, "unknown_currency", f"{text} {advice}", key=key)


def _entity(
    folder: Folder, file: YamlFile, at: Location, entity: str | None, *, key: bool = False
) -> None:
    known = folder.entity_ids()
    if entity is not None and known is not None and entity not in known:
        text = f'There is no entity "{entity}" in entities.yaml.{nearest(entity, known)}'
        file.report(at, "unknown_entity", f"{text} Known: {listed(known)}.", key=key)


def _chart_fits_entities(folder: Folder) -> None:
    file, chart = folder.files["chart"], folder.chart
    if chart is None:
        return
    for entity in chart.chart:
        _entity(folder, file, ("chart", entity), entity, key=True)
    for placed in folder.entities.items:
        if placed.item.id not in chart.chart:
            text = f'Entity "{placed.item.id}" has no accounts: add "{placed.item.id}:" here.'
            file.report(("chart",), "missing_key", text, key=True)


def _account_rules_fit(folder: Folder) -> None:
    file = folder.files["accounts"]
    roles = known_roles(folder)
    for placed in folder.accounts.items:
        item, at = placed.item, placed.at
        _entity(folder, file, (*at, "entity"), item.entity)
        _currency(file, (*at, "currency"), item.currency)
        if roles and item.role not in roles:
            text = f'No accounting profile has a role "{item.role}".{nearest(item.role, roles)}'
            file.report((*at, "role"), "unknown_role", f"{text} Known: {listed(roles)}.")
        _account_exists(folder, file, placed)
    by_role: dict[str, list[tuple[Location, str, dict[str, str]]]] = {}
    for placed in folder.accounts.items:
        rules = by_role.setdefault(placed.item.role, [])
        conditions = _conditions(placed.item, {"id", "role", "account"})
        rules.append((placed.at, placed.item.id, conditions))
    for rules in by_role.values():
        _all_reachable(file, rules)


def _account_exists(folder: Folder, file: YamlFile, placed: Placed[AccountItem]) -> None:
    """The account must be in the chart of the rule's entity, or of all when it names none."""
    chart = folder.chart.chart if folder.chart is not None else {}
    item = placed.item
    for entity in [item.entity] if item.entity is not None else sorted(chart):
        accounts = chart.get(entity)
        if accounts is not None and item.account not in accounts:
            text = f'Account "{item.account}" is not in the chart of "{entity}".'
            advice = "Add it to chart.yaml, or use one that is there."
            near = nearest(item.account, accounts)
            file.report((*placed.at, "account"), "account_not_in_chart", f"{text}{near} {advice}")


def _entity_rules_fit(folder: Folder) -> None:
    file = folder.files["entity_rules"]
    for placed in folder.entity_rules.items:
        item, at = placed.item, placed.at
        _entity(folder, file, (*at, "entity"), item.entity)
        _entity(folder, file, (*at, "customer_entity"), item.customer_entity)
        _currency(file, (*at, "currency"), item.currency)
        _source(folder.company, file, (*at, "source"), item.source)
    rules = [
        (placed.at, placed.item.id, _conditions(placed.item, {"id", "entity"}))
        for placed in folder.entity_rules.items
    ]
    _all_reachable(file, rules)


def _source(company: CompanyFile | None, file: YamlFile, at: Location, source: str | None) -> None:
    if company is not None and source is not None and source not in company.sources:
        known = f"Known: {listed(company.sources)}."
        text = f'"{source}" is not among the sources of company.yaml.'
        near = nearest(source, company.sources)
        file.report(at, "unknown_source", f"{text}{near} {known}")


def _conditions(item: AccountItem | EntityRuleItem, but: set[str]) -> dict[str, str]:
    return {name: value for name, value in item.model_dump(exclude=but).items() if value}


def _all_reachable(file: YamlFile, rules: list[tuple[Location, str, dict[str, str]]]) -> None:
    """A rule is unreachable when one before it asks for nothing that it doesn't ask for as well."""
    for index, (at, name, conditions) in enumerate(rules):
        for earlier_at, earlier, asked in rules[:index]:
            if asked.items() <= conditions.items():
                matches = "everything" if not asked else "whatever it matches"
                text = (
                    f'Rule "{name}" can never decide: rule "{earlier}" on line '
                    f"{file.line(earlier_at)} before it matches {matches}. "
                    "Move it up, or remove it."
                )
                file.report(at, "unreachable_rule", text)
                break


def _thresholds_fit(folder: Folder) -> None:
    thresholds, file = folder.thresholds, folder.files["thresholds"]
    if thresholds is None:
        return
    places: list[tuple[Location, str, bool]] = [
        *(
            (("close_sensitive", index), name, False)
            for index, name in enumerate(thresholds.close_sensitive)
        ),
        *(
            (("soft_close_takes", index), name, False)
            for index, name in enumerate(thresholds.soft_close_takes)
        ),
        *((("tolerances_minor", name), name, True) for name in thresholds.tolerances_minor),
    ]
    for at, name, is_key in places:
        if name not in PURPOSES:
            text = f'"{name}" is no purpose of a posting.{nearest(name, PURPOSES)}'
            known = f"Known: {listed(PURPOSES)}."
            file.report(at, "unknown_purpose", f"{text} {known}", key=is_key)


def _dimensions_fit(folder: Folder) -> None:
    """Requirements are for accounts of the chart, each account once."""
    file = folder.files.get("dimensions")
    if file is None:
        return
    chart = folder.chart.chart if folder.chart is not None else {}
    for placed in folder.dimensions.items:
        item, at = placed.item, placed.at
        _entity(folder, file, (*at, "entity"), item.entity)
        accounts = chart.get(item.entity)
        if accounts is not None and item.account not in accounts:
            text = f'Account "{item.account}" is not in the chart of "{item.entity}".'
            near = nearest(item.account, accounts)
            file.report((*at, "account"), "account_not_in_chart", text + near)
    places = (
        (f"{placed.item.account} of {placed.item.entity}", placed.at)
        for placed in folder.dimensions.items
    )
    _unique(file, "account", places)


def _tax_codes_fit(folder: Folder) -> None:
    file = folder.files.get("tax_codes")
    if file is not None:
        _unique(file, "code", ((placed.item.code, placed.at) for placed in folder.tax_codes.items))


def _summaries_fit(folder: Folder) -> None:
    file = folder.files.get("summaries")
    if file is None:
        return
    for placed in folder.summaries.items:
        item, at = placed.item, placed.at
        _entity(folder, file, (*at, "entity"), item.entity)
        if item.purpose not in PURPOSES:
            text = f'"{item.purpose}" is no purpose of a posting.{nearest(item.purpose, PURPOSES)}'
            known = f"Known: {listed(PURPOSES)}."
            file.report((*at, "purpose"), "unknown_purpose", f"{text} {known}")
    places = (
        (f"{placed.item.purpose} of {placed.item.entity}", placed.at)
        for placed in folder.summaries.items
    )
    _unique(file, "purpose", places)


def _customers_fit(folder: Folder) -> None:
    company, file = folder.company, folder.files.get("customers")
    if file is None:
        return
    for placed in folder.customers.items:
        _entity(folder, file, (*placed.at, "entity"), placed.item.entity)
        parts = placed.item.account.split("/")
        if company is None:
            continue
        at = (*placed.at, "account")
        if len(parts) != 3 or parts[0] != company.tenant or not parts[2] or "|" in parts[2]:
            text = f'"{placed.item.account}" is not written {company.tenant}/<source>/<customer id>'
            advice = '; "/" and "|" inside an id are written %2F and %7C.'
            file.report(at, "wrong_value", text + advice)
        else:
            _source(company, file, at, parts[1])
