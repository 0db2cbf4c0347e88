"""Profiles that extend others, families of events, choices and usage prices of a company folder."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from streamsync.core.company import Choices, Policy, UsagePrice, UsageTier
from streamsync.core.schedule import Method
from streamsync.governance import load_company
from tests.company_folder import ACME, ROOT, edit, errors_of, with_places

OWN = """profile: own
version: "7"
effective_from: 2012-01-01
extends: lago
choices: {termination: credit}
roles: {doubtful_debt: Overdue}
journals:
  invoice_overdue:
    - {debit: doubtful_debt, amount: amount}
    - {credit: receivable, amount: amount}
"""
DOUBTFUL = '  - {id: doubtful, role: doubtful_debt, entity: acme-us, account: "6100"}\n'
SHIPPED = ("stripe", "payment_triggered", "lago", "chargebee", "netsuite_style")


@pytest.fixture
def acme(tmp_path: Path) -> Path:
    """A copy of the example company with a profile of its own, not in use."""
    folder = Path(shutil.copytree(ACME, tmp_path / "acme"))
    (folder / "profiles").mkdir(exist_ok=True)
    (folder / "profiles" / "own.yaml").write_text(OWN, encoding="utf-8")
    return folder


def use(folder: Path, item: str) -> None:
    """Replace the policy of acme-us."""
    edit(folder, "policies.yaml", "  - {entity: acme-us, profile: stripe, from: 2012-01-01}", item)


def policies(folder: Path, entity: str = "acme-us") -> list[tuple[str, Policy]]:
    return [
        (one.effective_from, one.policy)
        for one in load_company(folder).policies
        if one.entity == entity
    ]


@pytest.mark.parametrize("name", SHIPPED)
def test_every_shipped_profile_is_sound_for_the_example_company(name: str) -> None:
    company = load_company(ACME, name)
    assert {one.policy.id for one in company.policies} == {name}
    assert {one.policy.version for one in company.policies} == {policy_version(name)}


def policy_version(name: str) -> str:
    text = (ROOT / "profiles" / f"{name}.yaml").read_text(encoding="utf-8")
    return text.split('version: "', 1)[1].split('"', 1)[0]


def test_a_profile_has_from_its_bases_what_it_does_not_say(acme: Path) -> None:
    use(acme, "  - {entity: acme-us, profile: own, from: 2012-01-01}")
    edit(acme, "accounts.yaml", "accounts:\n", f"accounts:\n{DOUBTFUL}")
    ((_, policy),) = policies(acme)
    stripe = load_company(ACME).policies[0].policy
    assert (policy.id, policy.version) == ("own", "7")
    assert policy.schedule == Method("day", "cumulative_round", first_release="daily")
    assert policy.choices == Choices(
        loss_at="overdue", uncollectible="schedule_stands", termination="credit"
    )
    assert policy.journals["invoice_overdue"][0].role == "doubtful_debt"
    others = policy.journals.keys() - {"invoice_overdue"}
    assert all(policy.journals[kind] == stripe.journals[kind] for kind in others)


def test_a_family_of_events_is_booked_by_another_profile_from_its_day_on(acme: Path) -> None:
    use(
        acme,
        "  - {entity: acme-us, profile: stripe, from: 2012-01-01}\n"
        "  - {entity: acme-us, family: credits, profile: chargebee, from: 2026-01-01,"
        " through: 2026-06-30}\n"
        "  - {entity: acme-us, family: losses, profile: lago, from: 2026-03-01}",
    )
    found = policies(acme)
    assert [(day, policy.id) for day, policy in found] == [
        ("2012-01-01", "stripe"),
        ("2026-01-01", "stripe+credits:chargebee"),
        ("2026-03-01", "stripe+credits:chargebee+losses:lago"),
        ("2026-07-01", "stripe+losses:lago"),
    ]
    choices = [policy.choices for _, policy in found]
    assert [one.credit_note for one in choices] == (
        ["proportional", "prospective", "prospective", "proportional"]
    )
    assert [one.loss_at for one in choices] == (
        ["uncollectible", "uncollectible", "overdue", "overdue"]
    )
    assert choices[1].credit_note_by_reason["duplicate"] == "retrospective"
    # The schedule belongs to invoices; neither family changes it.
    assert {policy.schedule for _, policy in found} == {Method("day", "last_absorbs")}
    assert {one.late_event for one in choices} == {"earliest_open_period"}


CASES: dict[str, tuple[str, str, list[str]]] = {
    "base that is none": (
        "extends: lago",
        "extends: lagoo",
        [
            "profiles/own.yaml:@profiles/own.yaml|lagoo@: unknown_profile: There is no accounting "
            'profile "lagoo". Did you mean "lago"? Known: chargebee, lago, netsuite_style, own, '
            "payment_triggered, stripe; add others as profiles/<name>.yaml."
        ],
    ),
    "circle": (
        "extends: lago",
        "extends: own",
        [
            'profiles/own.yaml:@profiles/own.yaml|own\nchoices@: profile_circle: "own" extends '
            "this profile itself: one of them must stand by its own."
        ],
    ),
    "before its base": (
        "2012-01-01",
        "2009-12-31",
        [
            "profiles/own.yaml:@profiles/own.yaml|2009-12-31@: policy_before_profile: Profile "
            '"lago" is effective from 2010-01-01: start no earlier.'
        ],
    ),
    "choice that is none": (
        "termination: credit",
        "terminations: credit",
        [
            "profiles/own.yaml:@profiles/own.yaml|terminations@: unknown_key: "
            '"terminations" is no choice of a profile. Did you mean "termination"? Known: '
            "breakage, charged_automatically, credit_note, late_event, loss_at, refund, "
            "sent_on_terms, tax_rounding, termination, uncollectible."
        ],
    ),
    "value that is none": (
        "termination: credit",
        "termination: credits",
        [
            'profiles/own.yaml:@profiles/own.yaml|credits}@: wrong_value: "credits" is no value '
            'of "termination". Did you mean "credit"? Known: credit, refund, release, '
            "schedule_stands."
        ],
    ),
    "release that is none": (
        "choices:",
        "schedule: {first_release: dayly}\nchoices:",
        [
            'profiles/own.yaml:@profiles/own.yaml|dayly@: wrong_value: "dayly" is no release '
            'convention. Did you mean "daily"? Known: daily, month_end, one_month_after_start, '
            "service_time."
        ],
    ),
    "daily by months": (
        "choices:",
        "schedule: {basis: even_month}\nchoices:",
        [
            "profiles/own.yaml:@profiles/own.yaml|even_month@: wrong_value: A daily release needs "
            'basis day, here it is even_month: write "day".'
        ],
    ),
    "treatment that is none": (
        "choices:",
        "credit_note_by_reason: {duplicate: retro}\nchoices:",
        [
            'profiles/own.yaml:@profiles/own.yaml|retro}@: wrong_value: "retro" is no treatment. '
            "Known: point_in_time, proportional, prospective, retrospective."
        ],
    ),
    "journal of another role": (
        "debit: doubtful_debt",
        "debit: doubtful_dept",
        [
            "profiles/own.yaml:@profiles/own.yaml|doubtful_dept@: unknown_role: "
            '"doubtful_dept" is no role of this profile. Did you mean "doubtful_debt"? Known: '
        ],
    ),
}


@pytest.mark.parametrize("case", CASES)
def test_an_unsound_profile_is_named_with_its_place_and_remedy(acme: Path, case: str) -> None:
    old, new, messages = CASES[case]
    use(acme, "  - {entity: acme-us, profile: own, from: 2012-01-01}")
    edit(acme, "accounts.yaml", "accounts:\n", f"accounts:\n{DOUBTFUL}")
    edit(acme, "profiles/own.yaml", old, new)
    found = errors_of(acme)
    wanted = [with_places(acme, message) for message in messages]
    assert [text[: len(want)] for text, want in zip(found, wanted, strict=True)] == wanted


def test_two_profiles_of_one_family_on_one_day_are_named(acme: Path) -> None:
    use(
        acme,
        "  - {entity: acme-us, profile: stripe, from: 2012-01-01}\n"
        "  - {entity: acme-us, family: usage, profile: lago, from: 2026-01-01}\n"
        "  - {entity: acme-us, family: usage, profile: chargebee, from: 2026-02-01}",
    )
    assert errors_of(acme) == [
        with_places(
            acme,
            "policies.yaml:@policies.yaml|2026-02-01@: policy_overlap: Entity "
            '"acme-us" has two policies for usage on 2026-02-01: set "through" on line '
            "#policies.yaml|profile: lago# to 2026-01-31.",
        )
    ]


def test_a_family_that_is_none_is_named(acme: Path) -> None:
    use(
        acme,
        "  - {entity: acme-us, profile: stripe, from: 2012-01-01}\n"
        "  - {entity: acme-us, family: usages, profile: lago, from: 2026-01-01}",
    )
    assert errors_of(acme) == [
        with_places(
            acme,
            'policies.yaml:@policies.yaml|usages@: wrong_value: "usages" is no family of events. '
            'Did you mean "usage"? Known: contracts, credits, intercompany, invoices, losses, '
            "payments, usage.",
        )
    ]


def test_usage_prices_are_compiled_as_written() -> None:
    storage = next(one for one in load_company(ACME).usage_prices if one.id == "storage-gb")
    assert storage == UsagePrice(
        id="storage-gb",
        currency="USD",
        model="volume",
        effective_from="2012-01-01",
        tiers=(
            UsageTier(up_to="100", unit_price="0.25", flat_price="5"),
            UsageTier(unit_price="0.2", flat_price="5"),
        ),
    )


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        (
            '- {unit_price: "0.0015"}',
            '- {up_to: "200000", unit_price: "0.0015"}',
            'prices.yaml:@prices.yaml|"200000"@: tier_open: Nothing prices what exceeds 200000: '
            'leave "up_to" out of the last tier.',
        ),
        (
            '- {up_to: "10000", unit_price: "0.01"}',
            '- {unit_price: "0.01"}',
            'prices.yaml:@prices.yaml|{unit_price: "0.01"}@: tier_open: This tier has no "up_to", '
            "so none after it is reached: add one.",
        ),
        (
            'up_to: "100000"',
            'up_to: "9000"',
            'prices.yaml:@prices.yaml|"9000"@: wrong_value: "up_to" must be above 10000, the end '
            "of the tier before.",
        ),
        (
            'unit_price: "0.01"',
            'unit_price: "-0.01"',
            'prices.yaml:@prices.yaml|"-0.01"@: wrong_value: "-0.01" is no amount: write digits, '
            "with a point before decimals.",
        ),
        (
            "currency: JPY",
            "currency: USD",
            'prices.yaml:@prices.yaml|2012-01-01\n    tiers:\n      - {unit_price: "1.5"}@: '
            'duplicate_id: "api-calls" in USD from 2012-01-01 is already on line '
            '#prices.yaml|id: api-calls#: give another "from", or remove one.',
        ),
        (
            "currency: JPY",
            "currency: YEN",
            'prices.yaml:@prices.yaml|YEN@: unknown_currency: There is no currency "YEN": use a '
            "code of ISO 4217 in capitals.",
        ),
        (
            "model: volume",
            "model: volumes",
            'prices.yaml:@prices.yaml|volumes@: wrong_value: "volumes" is no model of a usage '
            'price. Did you mean "volume"? Known: graduated, volume.',
        ),
    ],
)
def test_an_unsound_price_is_named_with_its_place_and_remedy(
    acme: Path, old: str, new: str, message: str
) -> None:
    edit(acme, "prices.yaml", old, new)
    assert errors_of(acme) == [with_places(acme, message)]
