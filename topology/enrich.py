"""Join a document with master data: its customer, its legal entity, its ERP accounts.

Problem: an event may arrive before the customer, the rule or the account that it needs, and
guessing would post to the wrong books. How: every look-up answers with a value or with a `Missing`
reason; facts are stored all the same, entries wait under that reason and the arrival releases them.
The entity is decided once per document.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence

import msgspec
from msgspec import Struct, field
from msgspec.structs import replace

from streamsync.core.booking import intercompany
from streamsync.core.calendar import local_date
from streamsync.core.company import AccountRule, Company, Entity, EntityRule, Policy
from streamsync.core.facts import Fact
from streamsync.core.fx import NoRate, Valuation, Valued, value_domestic, value_foreign
from streamsync.core.journal import Entry
from streamsync.core.records import CommandTax, Customer, PostingLine
from streamsync.core.template import EntryLine
from streamsync.sources import is_processor
from topology.rates import DocumentRates
from topology.rows import ACCOUNT, AccountRow, DocumentRow, PostingRow, row_key
from topology.turn import Turn, entity_of


class Missing(Struct, frozen=True):
    """What an entry waits for: a reason code, and the place and remedy for a person."""

    reason: str
    detail: str


class Placed(Struct, frozen=True):
    """A document with everything that its entries need to know about where they belong."""

    tenant: str
    source: str
    account: str
    document: str
    company: Company
    entity: Entity
    entity_rule: str
    party: str | None
    # By accounting date: the rules that what was sent of that date was made by.
    booked_by: Mapping[str, Company] = field(default_factory=dict)
    # By accounting date: a document asks for few days, and for each of them often.
    _policies: dict[str, Policy | None] = field(default_factory=dict)

    def rules_at(self, date: str) -> Company:
        """The rules that an ISO date of this document is booked by: those it was booked by."""
        return self.booked_by.get(date, self.company)

    def policy_at(self, date: str) -> Policy | None:
        """The policy in force for the entity on an ISO date: the latest that has begun.

        There is none before the company's first day: such a document belongs to older books, and
        waits for somebody to decide.
        """
        if date not in self._policies:
            self._policies[date] = self._find_policy(date)
        return self._policies[date]

    def _find_policy(self, date: str) -> Policy | None:
        if date < self.company.effective_from:
            return None
        rules = self.rules_at(date)
        current = _policy_of(self.company, self.entity.id, date)
        if rules is self.company:
            return current
        booked = _policy_of(rules, self.entity.id, date)
        if booked is None or current is None:
            return booked or current
        # Kinds of journals that the earlier rules did not know yet.
        return replace(booked, journals={**current.journals, **booked.journals})


def _policy_of(company: Company, entity: str, date: str) -> Policy | None:
    begun = [
        assigned
        for assigned in company.policies
        if assigned.entity == entity and assigned.effective_from <= date
    ]
    return max(begun, key=lambda assigned: assigned.effective_from).policy if begun else None


def keep_customer(turn: Turn, customer: Customer) -> bool:
    """Take a CRM record; false when a version at least as high is known."""
    key = row_key(customer.account)
    known = turn.shard.get(ACCOUNT, key) or AccountRow()
    if known.crm is not None and known.crm.version >= customer.version:
        return False
    turn.shard.put(ACCOUNT, key, msgspec.structs.replace(known, crm=customer))
    return True


def place(
    turn: Turn, account: str, document: str, row: DocumentRow, facts: Sequence[Fact]
) -> Placed | Missing:
    """Find company, customer and entity of a document."""
    tenant, source, _ = account.split("/", 2)
    company = turn.company(tenant)
    if company is None:
        return Missing(
            "company_not_applied",
            f"tenant {tenant} has no rules in force: run `streamsync apply DIR`",
        )
    known = turn.shard.get(ACCOUNT, row_key(account)) or AccountRow()
    if row.entity is not None and row.entity_rule is not None:
        party = None if row.kind == intercompany.DOCUMENT else _party(account, known.crm)
        return _as_decided(account, document, company, party, row.entity, row.entity_rule)
    crm = known.crm if known.crm is not None and not known.crm.deleted else None
    if row.kind == intercompany.DOCUMENT:
        return _between_entities(account, document, company, facts)
    # Payouts and the like have no customer: source and currency tell the entity.
    lacks = None if is_processor(account) else _lacks_customer(company, known, crm)
    if lacks is not None:
        return Missing("customer_not_found", f"{lacks} account {account}")
    party = _party(account, crm)
    traits = _traits(source, known, row, facts)
    for rule in company.entity_rules:
        if _applies(rule, traits):
            entity = entity_of(company, rule.entity)
            if entity is not None:
                return Placed(
                    tenant, source, account, document, company, entity, rule.rule_id, party
                )
    shown = ", ".join(f"{name} {value}" for name, value in traits.items() if value)
    return Missing("entity_unmapped", f"no entity rule matches document {document} ({shown})")


def _lacks_customer(company: Company, known: AccountRow, crm: Customer | None) -> str | None:
    if company.customer_owner == "crm" and crm is None:
        return "no customer record for"
    if company.customer_owner == "billing" and known.profile is None and crm is None:
        return "the billing system has not told"
    return None


def _between_entities(
    account: str, document: str, company: Company, facts: Sequence[Fact]
) -> Placed | Missing:
    """A side of a sale between entities names its own; it has no customer."""
    tenant, source, _ = account.split("/", 2)
    own, other = next(filter(None, map(intercompany.sides, facts)), ("", ""))
    entity = entity_of(company, own)
    if entity is None or entity_of(company, other) is None:
        unknown = own if entity is None else other
        known = ", ".join(one.id for one in company.entities)
        detail = f"document {document}: entity {unknown} is none of the company's ({known})"
        return Missing("counterparty_unknown", detail)
    rule = intercompany.DOCUMENT
    return Placed(tenant, source, account, document, company, entity, rule, None)


def _party(account: str, crm: Customer | None) -> str | None:
    if is_processor(account):
        return None
    return crm.party if crm is not None else account


def _as_decided(
    account: str, document: str, company: Company, party: str | None, entity_id: str, rule: str
) -> Placed | Missing:
    """A document keeps its entity, also when its customer is deleted or the rules change."""
    entity = entity_of(company, entity_id)
    if entity is None:
        detail = f"document {document} is booked in entity {entity_id}, which the rules no longer "
        return Missing("entity_unmapped", detail + "have: add it again")
    tenant, source, _ = account.split("/", 2)
    return Placed(tenant, source, account, document, company, entity, rule, party)


def _traits(
    source: str, known: AccountRow, row: DocumentRow, facts: Sequence[Fact]
) -> dict[str, str | None]:
    """What entity rules may look at; the CRM's word goes before the billing system's."""
    snapshot = next((fact.customer for fact in facts if fact.customer is not None), None)
    told = (known.crm, known.profile, snapshot)
    country = next((one.country for one in told if one is not None and one.country), None)
    products = [
        line.product
        for fact in facts
        if fact.invoice
        for line in fact.invoice.lines
        if line.product
    ]
    return {
        "source": source,
        "country": country,
        "currency": row.currency,
        "product": products[0] if products else None,
        "segment": known.crm.segment if known.crm else None,
        "customer_entity": known.crm.entity if known.crm else None,
    }


def _applies(rule: EntityRule, traits: dict[str, str | None]) -> bool:
    for name, told in traits.items():
        wanted = getattr(rule, name)
        if wanted is not None and wanted != told:
            return False
    return True


def value(
    turn: Turn,
    placed: Placed,
    entries: Sequence[Entry],
    key_of: Callable[[Entry], str],
    postings: Mapping[str, PostingRow],
) -> Valuation:
    """The document's entries with their worth in the entity's own currency."""
    entity = placed.entity
    if all(entry.currency == entity.functional_currency for entry in entries):
        return value_domestic(entries, entity.functional_currency)
    rules = next(
        (one for one in placed.company.currency_rules if one.entity == entity.id),
        None,
    )
    if rules is None:
        foreign = entries[0].currency
        why = NoRate(
            "currency_rules_missing",
            f"{entity.id} books {entity.functional_currency}, the document is in {foreign}: "
            "name the entity in currency.yaml",
        )
        return Valuation(held={entry.fact_id: why for entry in entries})
    rates = DocumentRates(turn, placed.tenant, entity, rules, key_of, postings)
    return value_foreign(entries, rules, rates, local_date(turn.clock.time_ms, entity.time_zone))


def posting_lines(placed: Placed, valued: Valued) -> tuple[PostingLine, ...] | Missing:
    """The entry's lines with ERP accounts, dimensions and functional amounts."""
    entity, entry = placed.entity, valued.entry
    lines = []
    for number, line in enumerate(entry.lines, start=1):
        rule = _account_rule(placed.company, line.role, entity.id, line.product, entry.currency)
        if rule is None:
            return Missing(
                "account_unmapped",
                f"role {line.role} of {entity.id} in {entry.currency} has no ERP account",
            )
        tax = _tax_of(placed, line)
        if isinstance(tax, Missing):
            return tax
        dimensions = {"product": line.product} if line.product else {}
        lacks = _lacking(placed, rule.account, dimensions)
        if lacks:
            return Missing(
                "dimension_missing",
                f"role {line.role} on account {rule.account} of {entity.id} requires "
                f"{', '.join(lacks)}; the line of {line.amount_minor} {entry.currency} has "
                f"{', '.join(dimensions) or 'none'}",
            )
        lines.append(
            PostingLine(
                no=number,
                role=line.role,
                account=rule.account,
                side=line.side,
                amount_minor=line.amount_minor,
                functional_minor=valued.functional[number - 1],
                tax=tax,
                dimensions=dimensions,
                customer=placed.party,
                document_ref=placed.document,
                service_from=line.service_from,
                service_to=line.service_to,
                counterparty_entity=line.counterparty,
            )
        )
    return tuple(lines)


def _tax_of(placed: Placed, line: EntryLine) -> CommandTax | None | Missing:
    """The line's tax with its jurisdiction, by the company's codes when it names any."""
    tax, codes = line.tax, placed.company.tax_codes
    if tax is None or not codes:
        return tax
    found = next((one for one in codes if one.code == tax.tax_code), None)
    if found is None:
        return Missing(
            "tax_code_unknown",
            f"tax code {tax.tax_code} of {line.amount_minor} is not in tax_codes.yaml",
        )
    return replace(tax, jurisdiction=found.jurisdiction)


def _lacking(placed: Placed, account: str, dimensions: Mapping[str, str]) -> list[str]:
    return [
        name
        for required in placed.company.required_dimensions
        if (required.entity, required.account) == (placed.entity.id, account)
        for name in required.dimensions
        if name not in dimensions
    ]


def account_rules_used(placed: Placed, lines: Sequence[PostingLine], currency: str) -> list[str]:
    """Ids of the rules behind these lines, for the audit trail."""
    used = {placed.entity_rule}
    for line in lines:
        product = line.dimensions.get("product")
        rule = _account_rule(placed.company, line.role, placed.entity.id, product, currency)
        if rule is not None:
            used.add(rule.rule_id)
    return sorted(used)


def _account_rule(
    company: Company, role: str, entity: str, product: str | None, currency: str
) -> AccountRule | None:
    for rule in company.account_rules:
        if (
            rule.role == role
            and rule.entity in (None, entity)
            and rule.product in (None, product)
            and rule.currency in (None, currency)
        ):
            return rule
    return None
