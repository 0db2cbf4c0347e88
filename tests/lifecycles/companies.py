"""Companies that differ in their policies: each basis and rounding, and a change of policy.

Problem: a rule that holds for one policy only is not proven. How: the example company's folder is
copied, with one profile per basis and rounding, and each entity books by two of them in turn.
"""

from __future__ import annotations

import dataclasses
import itertools
import re
import shutil
import tempfile
from collections.abc import Mapping
from datetime import date, timedelta
from functools import lru_cache
from pathlib import Path

from msgspec.structs import replace
from ruamel.yaml import YAML

from streamsync.core import rate
from streamsync.core.company import Company
from streamsync.core.records import Customer, ReferenceData
from streamsync.governance import load_company
from streamsync.governance.rates import rates_item
from tests.company_folder import ACME, ROOT
from tests.oracle import company as oracle
from tests.oracle.currency import Rate, Rates

BASES = ("day", "even_month", "even_month_prorated", "millisecond")
ROUNDINGS = ("last_absorbs", "largest_remainder", "cumulative_round")
STARTS = ("document_date", "later_of_both", "month_start", "next_month_start", "mid_month")
SHIPPED = ("stripe", "payment_triggered", "lago", "chargebee", "netsuite_style")
TREATMENTS = ("prospective", "retrospective", "point_in_time")
REVALUED = ("revaluation: never", "revaluation: next_period", "revaluation: settlement")
STOPS = ("refund", "credit", "release", "schedule_stands")
Words = Mapping[str, Mapping[str, object]]
"""What a profile says beside what it extends."""
DISCOUNTS = "discounts"
SHOWN = ({"debit": DISCOUNTS, "amount": "discount"}, {"credit": "revenue", "amount": "discount"})
WITH_DISCOUNT = (
    "invoice_issued",
    "invoice_issued_negative",
    "payment_recognised",
    "revenue_released",
    "service_stopped_refund",
    "service_stopped_credit",
    "service_stopped_release",
)


def _listed() -> dict[str, object]:
    """The journals of `stripe` with discounts shown beside revenue at list price."""
    stripe = YAML(typ="safe").load(ROOT / "profiles" / "stripe.yaml")["journals"]
    return {name: [*stripe[name], *SHOWN] for name in WITH_DISCOUNT}


@lru_cache(maxsize=1)
def _profiles() -> dict[str, Words]:
    """Every basis with every rounding; every start, release and treatment of credits."""
    found: dict[str, Words] = {name: {} for name in SHIPPED}
    for basis, rounding in itertools.product(BASES, ROUNDINGS):
        found[f"{basis}_{rounding}"] = {"schedule": {"basis": basis, "rounding": rounding}}
    for place, start in enumerate(STARTS):
        words = {"start": start, "basis": BASES[place % 4], "rounding": ROUNDINGS[place % 3]}
        found[f"from_{start}"] = {"schedule": words}
    for place, treatment in enumerate(TREATMENTS):
        choices = {"credit_note": treatment, "refund": TREATMENTS[(place + 1) % 3]}
        found[treatment] = {"choices": choices, "schedule": {"basis": BASES[place]}}
        daily = {"first_release": "daily", "rounding": ROUNDINGS[place]}
        found[f"daily_{place}"] = {"schedule": daily}
        ends = {"first_release": "month_end", "basis": BASES[place], "rounding": ROUNDINGS[place]}
        found[f"month_end_{place}"] = {"schedule": ends, "choices": {"refund": treatment}}
        later = {"first_release": "one_month_after_start", "rounding": ROUNDINGS[place]}
        later |= {"start": ("document_date", "service_start", "month_start")[place]}
        found[f"a_month_after_{place}"] = {"schedule": later | {"immediate_up_to_days": place * 16}}
    for place, name in enumerate(found):
        if name not in SHIPPED:
            ends = {"termination": STOPS[place % len(STOPS)]}
            ends["tax_rounding"] = ("document", "line")[place % 2]
            found[name] = {**found[name], "choices": {**found[name].get("choices", {}), **ends}}
        if name not in SHIPPED and place % 3 == 0:
            found[name] = {**found[name], "journals": _listed(), "roles": {DISCOUNTS: "Given"}}
    return found


PROFILES = tuple(_profiles())
CHANGE = "2026-02-01"
FIRST_RATE = date(2025, 12, 25)
RATES = 25


@lru_cache(maxsize=1)
def _folder() -> Path:
    """The example company with every profile, gone when the process ends."""
    folder = Path(_temporary().name) / "company"
    shutil.copytree(ACME, folder)
    (folder / "profiles").mkdir(exist_ok=True)
    stripe = YAML(typ="safe").load(ROOT / "profiles" / "stripe.yaml")
    for name, words in _profiles().items():
        told = stripe | {"profile": name}
        for part, said in words.items():
            told[part] = dict(stripe[part]) | dict(said)
        if name not in SHIPPED:
            with (folder / "profiles" / f"{name}.yaml").open("w", encoding="utf-8") as file:
                YAML(typ="safe").dump(told, file)
    return folder


def _accounts(profiles: set[str]) -> str:
    """accounts.yaml with the roles that these profiles know: those of others would be refused."""
    known = [YAML(typ="safe").load(ROOT / "profiles" / f"{one}.yaml") for one in SHIPPED]
    unknown = {role for one in known[1:] for role in one.get("roles", ())}
    for one in known:
        if one["profile"] in profiles | {"stripe"}:
            unknown -= set(one.get("roles", ()))
    rows = (ACME / "accounts.yaml").read_text(encoding="utf-8").splitlines(keepends=True)
    if any(DISCOUNTS in _profiles()[name].get("roles", ()) for name in profiles):
        like = [row for row in rows if "role: refunds_contra" in row]
        rows += [re.sub(r"id: \w+-refunds, role: \w+", _discounts, row) for row in like]
    return "".join(row for row in rows if not set(re.findall(r"\brole: (\w+)", row)) & unknown)


def _discounts(told: re.Match[str]) -> str:
    return f"id: {told[0].split()[1].split('-')[0]}-discounts, role: discounts"


@lru_cache(maxsize=1)
def _temporary() -> tempfile.TemporaryDirectory[str]:
    return tempfile.TemporaryDirectory(prefix="streamsync-companies-")


@lru_cache(maxsize=len(PROFILES))
def company(number: int) -> tuple[Company, oracle.Company]:
    """The same company for the program and for the oracle; 0 is the example as it is."""
    folder = _folder()
    # A rate holds long enough for one every fifteen days.
    text = (ACME / "currency.yaml").read_text(encoding="utf-8")
    text = text.replace("rate_age_days_max: 7", "rate_age_days_max: 20")
    ways = itertools.count(number)
    text = re.sub(r"revaluation: \w+", lambda _: REVALUED[next(ways) % len(REVALUED)], text)
    (folder / "currency.yaml").write_text(text, encoding="utf-8")
    rows, used = ["policies:"], set[str]()
    for place, entity in enumerate(sorted(oracle.acme().entities)):
        # One of the two is a profile that ships, the other any.
        pair = [SHIPPED[(number + place) % len(SHIPPED)], _any_profile(number, place)]
        first, then = (pair if (number + place) % 2 else pair[::-1]) if number else ("stripe",) * 2
        used |= {first, then}
        rows.append(
            f"  - {{entity: {entity}, profile: {first}, from: 2012-01-01, through: 2026-01-31}}"
        )
        rows.append(f"  - {{entity: {entity}, profile: {then}, from: {CHANGE}}}")
    (folder / "accounts.yaml").write_text(_accounts(used), encoding="utf-8")
    (folder / "policies.yaml").write_text("\n".join(rows) + "\n", encoding="utf-8")
    return _one_by_one(folder), dataclasses.replace(oracle.read(folder), rates=rates())


def _any_profile(number: int, place: int) -> str:
    return PROFILES[(number + 7 * place) % len(PROFILES)]


def _one_by_one(folder: Path) -> Company:
    """Every entry a posting of its own, so that documents can be compared."""
    rules = load_company(folder)
    return replace(rules, summaries=())


def customer(told: Mapping[str, object]) -> Customer:
    """A customer of a life, as the master data tells it."""
    return Customer(
        tenant="acme",
        account=str(told["account"]),
        party=str(told["party"]),
        country=str(told["country"]),
        version=1,
        deleted=False,
        published_by="crm",
    )


def published() -> ReferenceData:
    """The same rates as the treasury publishes them."""
    told = [
        rate.Rate(
            rate_type=one.kind,
            base=one.base,
            quote=one.quote,
            date=one.day.isoformat(),
            rate=one.rate,
            source="test",
            version=1,
        )
        for one in rates().published
    ]
    return rates_item("acme", told, version=1, published_by="treasury")


@lru_cache(maxsize=1)
def rates() -> Rates:
    """A spot rate every fifteenth day and a closing rate every month end, each another number."""
    found = []
    for place, (base, quote, start) in enumerate(
        (
            ("EUR", "USD", 11_731),
            ("USD", "JPY", 1_493_300),
            ("USD", "EUR", 8_525),
            ("USD", "KWD", 3_071),
        )
    ):
        for step in range(RATES):
            # Up and down, and never the same twice.
            number = start + (step * 37 % 101 - 50) * 7 + step + place
            day = FIRST_RATE + timedelta(days=15 * step)
            found.append(Rate("spot", base, quote, day, f"{number // 10_000}.{number % 10_000:04}"))
            month = FIRST_RATE.month + step // 2
            end = date(FIRST_RATE.year + month // 12, month % 12 + 1, 1) - timedelta(days=1)
            if step % 2 == 0:
                text = f"{number // 10_000}.{number % 10_000:04}5"
                found.append(Rate("closing", base, quote, end, text))
    return Rates(tuple(found))
