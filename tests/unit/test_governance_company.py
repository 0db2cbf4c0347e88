"""A company folder compiled, carried as JSON, compared and planned."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest
from msgspec.structs import replace

from streamsync.core.closing import control_amount
from streamsync.core.company import Choices, Company, TemplateLine
from streamsync.core.records import Customer, ReferenceData
from streamsync.core.schedule import Method
from streamsync.governance import (
    Change,
    PayloadError,
    content_hash,
    diff,
    from_payload,
    load_company,
    load_customers,
    reference_data,
    to_payload,
)
from streamsync.governance.checks import PURPOSES
from streamsync.governance.plan import make_plan

ROOT = Path(__file__).parents[2]
ACME = ROOT / "examples" / "acme"


@pytest.fixture(scope="module")
def acme() -> Company:
    """The example company."""
    return load_company(ACME)


def published(company: Company) -> ReferenceData:
    """The company as somebody has published it."""
    return reference_data(company, 0, "ana", "ben")


def test_example_company_books_dollars_and_yen(acme: Company) -> None:
    entities = {entity.id: entity for entity in acme.entities}
    assert entities["acme-us"].functional_currency == "USD"
    assert entities["acme-us"].time_zone == "America/New_York"
    assert entities["acme-jp"].functional_currency == "JPY"
    assert entities["acme-jp"].time_zone == "Asia/Tokyo"
    assert (acme.tenant, acme.customer_owner, acme.version) == ("acme", "crm", 1)


def test_entity_rules_keep_their_order(acme: Company) -> None:
    asked = [
        (rule.customer_entity, rule.country, rule.currency, rule.entity)
        for rule in acme.entity_rules
    ]
    assert asked == [
        ("acme-us", None, None, "acme-us"),
        ("acme-jp", None, None, "acme-jp"),
        (None, "JP", None, "acme-jp"),
        (None, "US", None, "acme-us"),
        (None, "DE", None, "acme-de"),
        (None, "KW", None, "acme-kw"),
        (None, None, "JPY", "acme-jp"),
        (None, None, "USD", "acme-us"),
        (None, None, "EUR", "acme-de"),
        (None, None, "KWD", "acme-kw"),
    ]


# The journals of the `stripe` profile as docs/accounting.md and the domain's table state them.
STRIPE_JOURNALS = {
    "invoice_issued": "Dr receivable gross, Cr deferred_revenue deferred, Cr revenue immediate, "
    "Cr tax_payable tax",
    "invoice_issued_negative": "Dr customer_credit gross, Cr deferred_revenue deferred, "
    "Cr revenue immediate, Cr tax_payable tax",
    "payment_applied": "Dr clearing charged, Dr customer_credit from_balance, Cr receivable total",
    "payment_out_of_band": "Dr cash_received_elsewhere charged, Dr customer_credit from_balance, "
    "Cr receivable total",
    "payment_recognised": "Dr clearing charged, Dr customer_credit from_balance, "
    "Cr deferred_revenue deferred, Cr revenue immediate, Cr tax_payable tax",
    "invoice_voided": "Dr deferred_revenue unreleased, Dr voids_contra released, "
    "Dr tax_payable tax, Cr receivable gross",
    "invoice_uncollectible": "Dr deferred_revenue unreleased, Dr bad_debt released, "
    "Dr bad_debt tax, Cr receivable gross",
    "credit_note_receivable": "Dr credit_notes_contra released, Dr deferred_revenue unreleased, "
    "Dr tax_payable tax, Cr receivable total",
    "credit_note_customer_balance": "Dr credit_notes_contra released, "
    "Dr deferred_revenue unreleased, Dr tax_payable tax, Cr customer_credit total",
    "refunded": "Dr refunds_contra released, Dr deferred_revenue unreleased, Dr tax_payable tax, "
    "Cr clearing total",
    "revenue_released": "Dr deferred_revenue amount, Cr revenue amount",
    "refunded_by_note": "Dr credit_notes_contra released, Dr deferred_revenue unreleased, Dr "
    "tax_payable tax, Cr clearing total",
    "written_off": "Dr deferred_revenue unreleased, Dr bad_debt released, Dr bad_debt tax, "
    "Cr receivable gross",
    "payment_overpaid": "Dr clearing amount, Cr customer_credit amount",
    "payment_unapplied": "Dr receivable amount, Cr unapplied_cash amount",
    "cash_received": "Dr clearing amount, Cr unapplied_cash amount",
    "cash_applied": "Dr unapplied_cash amount, Cr clearing amount",
    "charge_succeeded": "Dr clearing amount, Cr revenue amount",
    "application_fee_earned": "Dr clearing amount, Cr application_fee_revenue amount",
    "charge_fee": "Dr processing_fees amount, Cr clearing amount",
    "settlement_left": "Dr clearing_conversion amount, Cr clearing amount",
    "settlement_arrived": "Dr clearing amount, Cr clearing_conversion amount",
    "dispute_funds_withdrawn": "Dr disputes_receivable amount, Dr dispute_fees fee, "
    "Cr clearing total",
    "dispute_funds_reinstated": "Dr clearing total, Cr disputes_receivable amount, "
    "Cr dispute_fees fee",
    "dispute_fee": "Dr dispute_fees amount, Cr clearing amount",
    "dispute_lost": "Dr dispute_losses amount, Cr disputes_receivable amount",
    "payout_paid": "Dr bank amount, Dr processing_fees fee, Cr clearing total",
    "service_stopped_refund": "Dr deferred_revenue deferred, Cr revenue earned, Cr clearing rest",
    "service_stopped_credit": "Dr deferred_revenue deferred, Cr revenue earned, "
    "Cr customer_credit rest",
    "service_stopped_release": "Dr deferred_revenue deferred, Cr revenue earned, Cr revenue rest",
    "invoice_overdue": "Dr bad_debt amount, Cr receivable amount",
    "overdue_paid": "Dr receivable amount, Cr bad_debt amount",
    "tax_adjusted_receivable": "Dr receivable tax, Cr tax_payable tax",
    "tax_adjusted_customer_balance": "Dr customer_credit tax, Cr tax_payable tax",
    "tax_adjusted_company": "Dr tax_adjustments tax, Cr tax_payable tax",
    "revenue_earned": "Dr deferred_revenue deferred, Dr unbilled_receivable unbilled, "
    "Cr revenue amount",
    "unbilled_cleared": "Dr deferred_revenue amount, Cr unbilled_receivable amount",
    "wallet_topped_up_processor": "Dr clearing amount, Cr customer_credit amount",
    "wallet_topped_up_elsewhere": "Dr cash_received_elsewhere amount, Cr customer_credit amount",
    "wallet_topped_up_on_account": "Dr receivable amount, Cr customer_credit amount",
    "wallet_used": "Dr customer_credit amount, Cr revenue amount",
    "wallet_expired": "Dr customer_credit amount, Cr breakage_revenue amount",
    "intercompany_sale": "Dr receivable_intercompany amount, Cr revenue_intercompany amount",
    "intercompany_purchase": "Dr cost_intercompany amount, Cr payable_intercompany amount",
}


def test_stripe_profile_books_what_the_accounting_page_says(acme: Company) -> None:
    policy = next(one.policy for one in acme.policies if one.entity == "acme-us")
    assert (policy.id, policy.schedule) == ("stripe", Method("day", "last_absorbs"))
    assert policy.choices == Choices()
    sides = {"debit": "Dr", "credit": "Cr"}
    told = {
        kind: ", ".join(f"{sides[line.side]} {line.role} {line.amount}" for line in lines)
        for kind, lines in policy.journals.items()
    }
    assert told == STRIPE_JOURNALS


def test_account_numbers_keep_their_zeros(tmp_path: Path) -> None:
    folder = Path(shutil.copytree(ACME, tmp_path / "acme"))
    for file in ("chart.yaml", "accounts.yaml"):
        text = (folder / file).read_text(encoding="utf-8")
        (folder / file).write_text(text.replace('"1100"', "0100"), encoding="utf-8")
    rules = {rule.rule_id: rule.account for rule in load_company(folder).account_rules}
    assert rules["us-receivable"] == "0100"


def test_every_purpose_of_the_thresholds_has_control_figures() -> None:
    assert [control_amount(purpose, ()) for purpose in PURPOSES] == [0] * len(PURPOSES)


def test_payload_round_trip_is_exact(acme: Company) -> None:
    payload = to_payload(acme)
    assert from_payload(payload) == acme
    assert to_payload(from_payload(payload)) == payload


def test_payload_is_canonical_json(acme: Company) -> None:
    payload = to_payload(acme)
    assert payload == json.dumps(
        json.loads(payload), sort_keys=True, separators=(",", ":"), ensure_ascii=False
    )


def test_hash_depends_on_values_only(acme: Company) -> None:
    shuffled = replace(acme, owners=dict(reversed(list(acme.owners.items()))))
    assert content_hash(to_payload(shuffled)) == content_hash(to_payload(acme))
    other = replace(acme, customer_owner="billing")
    assert content_hash(to_payload(other)) != content_hash(to_payload(acme))


def test_payload_that_is_no_company_is_refused() -> None:
    with pytest.raises(PayloadError, match="not a compiled company"):
        from_payload('{"tenant": "acme"}')


def test_reference_data_names_version_and_people(acme: Company) -> None:
    item = reference_data(acme, 7, "ana", "ben")
    assert (item.kind, item.id, item.version) == ("company", "acme-rules", 1)
    assert (item.active_from_tick, item.effective_from) == (7, "2012-01-01")
    assert (item.published_by, item.approved_by) == ("ana", "ben")
    assert item.content_hash == content_hash(item.payload)


@pytest.mark.parametrize("approver", ["ana", "Ana", " ana "])
def test_nobody_approves_their_own_change(acme: Company, approver: str) -> None:
    with pytest.raises(ValueError, match="another person"):
        reference_data(acme, 0, "ana", approver)


def test_same_company_has_no_difference(acme: Company) -> None:
    assert diff(acme, from_payload(to_payload(acme))) == []


def test_difference_names_each_value(acme: Company) -> None:
    us, *others = acme.entities
    rest = (
        "country-jp, country-us, country-de, country-kw, "
        "currency-jpy, currency-usd, currency-eur, currency-kwd"
    )
    moved = (acme.entity_rules[1], acme.entity_rules[0], *acme.entity_rules[2:])
    new = replace(
        acme,
        version=2,
        entities=(replace(us, time_zone="America/Chicago"), *others),
        entity_rules=moved,
        account_rules=acme.account_rules[1:],
    )
    changes = {change.path: (change.before, change.after) for change in diff(acme, new)}
    assert changes.pop("account_rules.order") != (None, None)
    assert changes == {
        "version": ("1", "2"),
        "entities.acme-us.time_zone": ("America/New_York", "America/Chicago"),
        "entity_rules.order": (
            f"crm-says-us, crm-says-jp, {rest}",
            f"crm-says-jp, crm-says-us, {rest}",
        ),
        "account_rules.us-revenue-business.rule_id": ("us-revenue-business", None),
        "account_rules.us-revenue-business.role": ("revenue", None),
        "account_rules.us-revenue-business.entity": ("acme-us", None),
        "account_rules.us-revenue-business.product": ("prod_business", None),
        "account_rules.us-revenue-business.account": ("4010", None),
    }


def test_changed_template_is_shown_as_a_whole(acme: Company) -> None:
    first, *others = acme.policies
    lines = [*first.policy.journals["invoice_uncollectible"]]
    lines[2] = TemplateLine(side="debit", role="tax_payable", amount="tax")
    journals = {**first.policy.journals, "invoice_uncollectible": tuple(lines)}
    policy = replace(first.policy, journals=journals)
    [change] = diff(acme, replace(acme, policies=(replace(first, policy=policy), *others)))
    assert change == Change(
        "policies.acme-de@2012-01-01.policy.journals.invoice_uncollectible",
        "debit deferred_revenue unreleased; debit bad_debt released; debit bad_debt tax; "
        "credit receivable gross",
        "debit deferred_revenue unreleased; debit bad_debt released; debit tax_payable tax; "
        "credit receivable gross",
    )


def test_first_company_is_all_new(acme: Company) -> None:
    changes = diff(None, acme)
    assert all(change.before is None for change in changes)
    assert Change("entities.acme-jp.functional_currency", None, "JPY") in changes


def test_published_company_again_is_nothing_to_do(acme: Company) -> None:
    assert make_plan(published(acme), acme, {}, ()).is_empty


def test_change_under_a_version_in_use_is_refused_and_the_next_is_named(acme: Company) -> None:
    in_force = published(replace(acme, version=4))
    plan = make_plan(in_force, replace(acme, customer_owner="billing", version=4), {}, ())
    assert [refusal.message for refusal in plan.refusals] == [
        "version 4 is not higher than the published version 4 (by ana): set version to 5."
    ]
    lower = make_plan(in_force, replace(acme, version=3), {}, ())
    assert "set version to 5" in lower.refusals[0].message


def test_change_under_a_higher_version_goes_out(acme: Company) -> None:
    plan = make_plan(published(acme), replace(acme, version=2, customer_owner="billing"), {}, ())
    assert plan.company_changed
    assert not plan.refusals
    assert {change.path for change in plan.changes} == {"version", "customer_owner"}


def customer(version: int, **changed: str) -> Customer:
    """A CRM record."""
    return Customer(
        tenant="acme",
        account="acme/stripe/cus_1",
        party=changed.get("party", "P-1"),
        entity=changed.get("entity"),
        version=version,
        deleted=False,
        published_by=changed.get("published_by", "ana"),
    )


def test_only_newer_customers_go_out(acme: Company) -> None:
    in_force = published(acme)
    known = {"acme/stripe/cus_1": customer(2)}
    assert make_plan(in_force, acme, known, [customer(2, published_by="cy")]).is_empty
    fresh = make_plan(in_force, acme, known, [customer(3, entity="acme-jp")])
    assert fresh.customers == (customer(3, entity="acme-jp"),)
    assert fresh.changes == (
        Change(
            "customers.acme/stripe/cus_1",
            "party P-1, version 2",
            "party P-1, entity acme-jp, version 3",
        ),
    )
    refused = make_plan(in_force, acme, known, [customer(2, party="P-2")])
    assert [refusal.message for refusal in refused.refusals] == [
        "acme/stripe/cus_1: version 2 is not higher than the published version 2: set version to 3."
    ]


def test_customers_of_the_folder_become_records(tmp_path: Path) -> None:
    folder = Path(shutil.copytree(ACME, tmp_path / "acme"))
    (folder / "customers.yaml").write_text(
        "customers:\n"
        "  - {account: acme/stripe/cus_1, party: P-1, country: NO, segment: smb, version: 3}\n",
        encoding="utf-8",
    )
    assert load_customers(folder, "crm-export") == (
        Customer(
            tenant="acme",
            account="acme/stripe/cus_1",
            party="P-1",
            country="NO",
            segment="smb",
            version=3,
            deleted=False,
            published_by="crm-export",
        ),
    )
