"""Rules of a company folder, each broken once: the message names place, rule and remedy.

Each case edits a copy of examples/acme and states the whole message that an author reads.
"""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest
from ruamel.yaml import YAML

from streamsync.core.policy import JOURNAL_AMOUNTS
from streamsync.governance import checks
from tests.company_folder import ACME, ROOT, edit, errors_of, own_profile, with_places


@pytest.fixture
def acme(tmp_path: Path) -> Path:
    """A copy of the example company."""
    return Path(shutil.copytree(ACME, tmp_path / "acme"))


# The tables that messages list whole, sorted as an author sees them.
STRIPE = YAML(typ="safe").load((ROOT / "profiles" / "stripe.yaml").read_text(encoding="utf-8"))
PURPOSES = ", ".join(sorted(checks.PURPOSES))
ROLES = ", ".join(sorted(STRIPE["roles"]))
JOURNALS = ", ".join(sorted(JOURNAL_AMOUNTS))
# What currency rules post to is known beside the roles of profiles.
USED_ROLES = (*STRIPE["roles"], "payment_disputes")
POSTED_ROLES = ", ".join(sorted((*USED_ROLES, "fx_gain_loss", "fx_unrealised")))
ENTITIES = "acme-de, acme-jp, acme-kw, acme-us"
US_POLICY = "acme-us, profile: stripe, from: 2012-01-01}"
NEXT_US_POLICY = "\n  - {entity: acme-us, profile: stripe, from: 2021-01-01}"

# Name: (file, text, replacement, the messages).
CASES: dict[str, tuple[str, str, str, list[str]]] = {
    "unknown role": (
        "accounts.yaml",
        "role: tax_payable",
        "role: tax_payble",
        [
            "accounts.yaml:@accounts.yaml|tax_payble@: "
            'unknown_role: No accounting profile has a role "tax_payble". Did '
            f'you mean "tax_payable"? Known: {POSTED_ROLES}.'
        ],
    ),
    "role without account": (
        "accounts.yaml",
        '  - {id: jp-bad-debt, role: bad_debt, entity: acme-jp, account: "61000"}\n',
        "",
        [
            'accounts.yaml:5:1: role_without_account: Role "bad_debt" of entity "acme-jp" has no '
            "account for every product: add {id: ..., role: bad_debt, entity: acme-jp, "
            "account: ...}."
        ],
    ),
    "role with an account for one product only": (
        "accounts.yaml",
        '  - {id: us-revenue, role: revenue, entity: acme-us, account: "4000"}\n',
        "",
        [
            'accounts.yaml:5:1: role_without_account: Role "revenue" of entity "acme-us" has no '
            "account for every product: add {id: ..., role: revenue, entity: acme-us, "
            "account: ...}."
        ],
    ),
    "account not in chart": (
        "accounts.yaml",
        'account: "1150"',
        'account: "1151"',
        [
            'accounts.yaml:@accounts.yaml|"1151"@: '
            'account_not_in_chart: Account "1151" is not in the chart of '
            '"acme-us". Did you mean "1150"? Add it to chart.yaml, or use one that is there.'
        ],
    ),
    "unknown entity in a rule": (
        "entity_rules.yaml",
        "country: JP, entity: acme-jp",
        "country: JP, entity: acme-jpp",
        [
            'entity_rules.yaml:10:43: unknown_entity: There is no entity "acme-jpp" in '
            f'entities.yaml. Did you mean "acme-jp"? Known: {ENTITIES}.'
        ],
    ),
    "unknown entity in a policy": (
        "policies.yaml",
        US_POLICY,
        f"{US_POLICY}\n  - {{entity: acme-uk, profile: stripe, from: 2012-01-01}}",
        [
            'policies.yaml:7:14: unknown_entity: There is no entity "acme-uk" in entities.yaml. '
            f'Did you mean "acme-us"? Known: {ENTITIES}.'
        ],
    ),
    "unknown currency": (
        "entities.yaml",
        "functional_currency: JPY",
        "functional_currency: jpy",
        [
            'entities.yaml:17:26: unknown_currency: There is no currency "jpy". Did you mean '
            '"JPY"? Use a code of ISO 4217 in capitals.'
        ],
    ),
    "unknown currency in a rule": (
        "entity_rules.yaml",
        "currency: JPY",
        "currency: YEN",
        [
            'entity_rules.yaml:15:34: unknown_currency: There is no currency "YEN". Use a code of '
            "ISO 4217 in capitals."
        ],
    ),
    "unknown time zone": (
        "entities.yaml",
        "America/New_York",
        "America/NewYork",
        [
            'entities.yaml:10:16: unknown_time_zone: There is no time zone "America/NewYork". Did '
            'you mean "America/New_York"? Use an IANA name such as Europe/Berlin.'
        ],
    ),
    "policy dates with a gap": (
        "policies.yaml",
        US_POLICY,
        f"{US_POLICY.rstrip('}')}, through: 2020-12-30}}{NEXT_US_POLICY}",
        [
            'policies.yaml:7:46: policy_gap: Entity "acme-us" has no policy between 2020-12-30 and '
            '2021-01-01: set "through" on line 6 to 2020-12-31.'
        ],
    ),
    "policy dates that overlap": (
        "policies.yaml",
        US_POLICY,
        f"{US_POLICY.rstrip('}')}, through: 2021-01-01}}{NEXT_US_POLICY}",
        [
            'policies.yaml:7:46: policy_overlap: Entity "acme-us" has two policies on 2021-01-01: '
            'the one on line 6 runs through 2021-01-01. Set its "through" to 2020-12-31.'
        ],
    ),
    "two policies without an end": (
        "policies.yaml",
        US_POLICY,
        US_POLICY + NEXT_US_POLICY,
        [
            'policies.yaml:7:46: policy_overlap: Entity "acme-us" has two policies on 2021-01-01: '
            'the one on line 6 runs without an end. Set its "through" to 2020-12-31.'
        ],
    ),
    "policy that starts after the rules": (
        "policies.yaml",
        US_POLICY,
        US_POLICY.replace("2012", "2013"),
        [
            'policies.yaml:6:46: policy_gap: Entity "acme-us" has no policy from 2012-01-01, when '
            "these rules start, to the day before 2013-01-01: start it earlier."
        ],
    ),
    "policy that ends with none after it": (
        "policies.yaml",
        US_POLICY,
        f"{US_POLICY.rstrip('}')}, through: 2020-12-31}}",
        [
            'policies.yaml:6:67: policy_gap: Entity "acme-us" has no policy after 2020-12-31: '
            'leave "through" out of the last one, or add the one that follows.'
        ],
    ),
    "entity without a policy": (
        "policies.yaml",
        f"  - {{entity: {US_POLICY}\n",
        "",
        [
            'policies.yaml:5:1: policy_gap: Entity "acme-us" has no policy: add {entity: acme-us, '
            "profile: ..., from: ...}."
        ],
    ),
    "policy before its profile": (
        "policies.yaml",
        US_POLICY,
        US_POLICY.replace("2012", "2009"),
        [
            'policies.yaml:6:46: policy_before_profile: Profile "stripe" is effective from '
            "2010-01-01: start no earlier."
        ],
    ),
    "unknown profile": (
        "policies.yaml",
        "acme-us, profile: stripe",
        "acme-us, profile: strip",
        [
            'policies.yaml:6:32: unknown_profile: There is no accounting profile "strip". Did you '
            'mean "stripe"? Known: chargebee, lago, netsuite_style, payment_triggered, stripe; add '
            "others as profiles/<name>.yaml."
        ],
    ),
    "missing owner": (
        "company.yaml",
        "  thresholds: Revenue accounting\n",
        "",
        [
            "company.yaml:@company.yaml|owners:@: "
            'missing_owner: "thresholds" has no owner: add "thresholds: <team>" '
            "here."
        ],
    ),
    "rule after a catch-all": (
        "entity_rules.yaml",
        "  # Then what it is billed in.\n",
        "  - {id: rest, entity: acme-us}\n",
        [
            f'entity_rules.yaml:{line}:5: unreachable_rule: Rule "{rule}" can never decide: rule '
            '"rest" on line 14 before it matches everything. Move it up, or remove it.'
            for line, rule in (
                (15, "currency-jpy"),
                (16, "currency-usd"),
                (17, "currency-eur"),
                (18, "currency-kwd"),
            )
        ],
    ),
    "rule after a wider one": (
        "accounts.yaml",
        "  - {id: jp-receivable,",
        "  - {id: us-revenue-late, role: revenue, entity: acme-us, product: p, account: '4010'}\n"
        "  - {id: jp-receivable,",
        [
            "accounts.yaml:@accounts.yaml|{id: us-revenue-late@: unreachable_rule: Rule "
            '"us-revenue-late" can never decide: rule "us-revenue" on line '
            "#accounts.yaml|{id: us-revenue,# before it matches whatever it matches. Move it "
            "up, or remove "
            "it."
        ],
    ),
    "id used twice": (
        "accounts.yaml",
        "id: us-bad-debt",
        "id: us-voids",
        [
            'accounts.yaml:18:10: duplicate_id: "us-voids" is already used on line 17: choose '
            "another id."
        ],
    ),
    "unknown purpose": (
        "thresholds.yaml",
        "- refunded",
        "- refund",
        [
            'thresholds.yaml:24:5: unknown_purpose: "refund" is no purpose of a posting. Did you '
            f'mean "refunded"? Known: {PURPOSES}.'
        ],
    ),
    "chart without an entity": (
        "chart.yaml",
        "  acme-jp:",
        "  acme-jpn:",
        [
            'chart.yaml:3:1: missing_key: Entity "acme-jp" has no accounts: add "acme-jp:" here.',
            "chart.yaml:@chart.yaml|acme-jpn@: "
            'unknown_entity: There is no entity "acme-jpn" in entities.yaml. Did '
            f'you mean "acme-jp"? Known: {ENTITIES}.',
        ],
    ),
    "unknown source": (
        "entity_rules.yaml",
        "{id: country-jp, country: JP",
        "{id: country-jp, source: strip, country: JP",
        [
            'entity_rules.yaml:10:30: unknown_source: "strip" is not among the sources of '
            'company.yaml. Did you mean "stripe"? Known: stripe.'
        ],
    ),
    "customer of no billing account": (
        "customers.yaml",
        "customers: []",
        "customers:\n  - {account: cus_2, party: P, version: 1}",
        [
            'customers.yaml:14:15: wrong_value: "cus_2" is not written acme/<source>/<customer '
            'id>; "/" and "|" inside an id are written %2F and %7C.'
        ],
    ),
}


@pytest.mark.parametrize("case", CASES)
def test_broken_rule_is_named_with_its_place_and_remedy(acme: Path, case: str) -> None:
    file, old, new, messages = CASES[case]
    edit(acme, file, old, new)
    assert errors_of(acme) == [with_places(acme, message) for message in messages]


ADVICE = "Correct the template: debits must equal credits for every possible fact."
PROFILE_CASES: dict[str, tuple[str, str, list[str]]] = {
    "unbalanced": (
        "    - {credit: tax_payable, amount: tax}\n",
        "",
        [
            "profiles/own.yaml:@profiles/own.yaml|invoice_issued:@: "
            "unbalanced_template: invoice_issued does not balance (gross = "
            f'deferred + immediate + tax): "tax" is debited once and credited never. {ADVICE}'
        ],
    ),
    "unknown amount": (
        "{debit: receivable, amount: gross}",
        "{debit: receivable, amount: grosss}",
        [
            "profiles/own.yaml:@profiles/own.yaml|invoice_issued:@: "
            'unbalanced_template: invoice_issued has no amount "grosss": '
            f"use one of gross, deferred, immediate, tax, discount. {ADVICE}"
        ],
    ),
    "unknown role": (
        "{debit: receivable, amount: gross}",
        "{debit: receivables, amount: gross}",
        [
            "profiles/own.yaml:@profiles/own.yaml|receivables, amount@: "
            'unknown_role: "receivables" is no role of this profile. Did '
            f'you mean "receivable"? Known: {ROLES}.'
        ],
    ),
    "no side": (
        "{debit: receivable, amount: gross}",
        "{amount: gross}",
        [
            "profiles/own.yaml:@profiles/own.yaml|{amount: gross}@: "
            "wrong_value: Give either debit or credit, with the role as "
            "value."
        ],
    ),
    "misspelt journal": (
        "  refunded:",
        "  refundet:",
        [
            "profiles/own.yaml:@profiles/own.yaml|journals:@: "
            'missing_key: There is no journal "refunded": add it.',
            "profiles/own.yaml:@profiles/own.yaml|refundet:@: "
            'unknown_key: "refundet" is no kind of journal. Did you mean '
            f'"refunded"? Known: {JOURNALS}.',
        ],
    ),
    "unknown basis": (
        "basis: day",
        "basis: even_months",
        [
            "profiles/own.yaml:@profiles/own.yaml|even_months\n@: "
            'wrong_value: "even_months" is no basis of a schedule. Did '
            'you mean "even_month"? Known: day, even_month, even_month_prorated, millisecond.'
        ],
    ),
    "unknown rounding": (
        "rounding: last_absorbs",
        "rounding: first_absorbs",
        [
            "profiles/own.yaml:@profiles/own.yaml|first_absorbs@: "
            'wrong_value: "first_absorbs" is no rounding of a schedule. '
            'Did you mean "last_absorbs"? '
            "Known: cumulative_round, largest_remainder, last_absorbs."
        ],
    ),
    "other name than its file": (
        "profile: own",
        "profile: owner",
        [
            "profiles/own.yaml:@profiles/own.yaml|owner\n@: "
            'wrong_value: "owner" is not the name of the file: write "own".'
        ],
    ),
}


@pytest.mark.parametrize("case", PROFILE_CASES)
def test_unsound_profile_is_named_with_its_place_and_remedy(acme: Path, case: str) -> None:
    old, new, messages = PROFILE_CASES[case]
    own_profile(acme, old, new)
    assert errors_of(acme) == [with_places(acme, message) for message in messages]


def test_all_errors_of_all_files_are_reported_at_once(acme: Path) -> None:
    edit(acme, "entities.yaml", "America/New_York", "Mars/One")
    edit(acme, "accounts.yaml", 'account: "1150"', 'account: "1151"')
    edit(acme, "company.yaml", "version: 1", "version: 0")
    edit(acme, "entity_rules.yaml", "country: JP,", "cuntry: JP,")
    edit(acme, "policies.yaml", "acme-jp, profile: stripe", "acme-jp, profile: logo")
    places = [message.split(": ")[0:2] for message in errors_of(acme)]
    assert places == [
        ["accounts.yaml:13:65", "account_not_in_chart"],
        ["company.yaml:8:10", "wrong_value"],
        ["entities.yaml:10:16", "unknown_time_zone"],
        ["entity_rules.yaml:10:22", "unknown_key"],
        ["policies.yaml:7:32", "unknown_profile"],
    ]


@pytest.mark.parametrize(
    ("file", "old", "new", "message"),
    [
        (
            "currency.yaml",
            "- clearing",
            "- cleering",
            'currency.yaml:12:9: unknown_role: No accounting profile has a role "cleering". Did '
            f'you mean "clearing"? Known: {", ".join(sorted(USED_ROLES))}.',
        ),
        (
            "currency.yaml",
            "entity: acme-jp",
            "entity: acme-us",
            'currency.yaml:28:13: duplicate_id: "acme-us" already has rules on line 5: keep one of '
            "the two.",
        ),
        (
            "currency.yaml",
            "gain_loss_role: fx_gain_loss",
            "gain_loss_role: fx_other",
            'accounts.yaml:5:1: role_without_account: Role "fx_other" of entity "acme-us" has no '
            "account for every product: add {id: ..., role: fx_other, entity: acme-us, account: "
            "...}.",
        ),
        (
            "rates.yaml",
            'rate: "1.1750"',
            'rate: "-1"',
            'rates.yaml:9:5: wrong_value: "-1" is no rate: write a decimal number above 0, such as '
            '"1.0825".',
        ),
        (
            "rates.yaml",
            "to: USD",
            "to: EUR",
            "rates.yaml:9:5: wrong_value: EUR to itself needs no rate: remove it.",
        ),
    ],
)
def test_broken_currency_rule_is_named(
    tmp_path: Path, file: str, old: str, new: str, message: str
) -> None:
    folder = Path(shutil.copytree(ACME, tmp_path / "acme"))
    edit(folder, file, old, new)
    assert errors_of(folder) == [message]
