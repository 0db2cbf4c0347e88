"""A company folder as an accountant reads it: entities, whose customer is whose, which policy when.

The problem: which books a fact belongs to, and by which policy, is the company's data. How: the
YAML files are read as they stand; nothing is checked, since the program's own tests do that.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import date
from functools import lru_cache
from pathlib import Path
from typing import Any
from zoneinfo import ZoneInfo

from ruamel.yaml import YAML

from .currency import Rate, Rates
from .schedule import Way

ROOT = Path(__file__).resolve().parents[2]
ACME = ROOT / "examples" / "acme"


@dataclass(frozen=True)
class Policy:
    """A profile, and the first accounting date that an entity books by it."""

    first: date
    name: str
    profile: Mapping[str, Any]

    @property
    def way(self) -> Way:
        """How lines are released."""
        told = self.profile["schedule"]
        return Way(
            str(told["basis"]),
            str(told["rounding"]),
            str(told.get("start", "service_start")),
            str(told.get("first_release", "service_time")),
        )

    @property
    def immediate_up_to_days(self) -> int:
        """A line with at most so many days of service is revenue at once."""
        return int(self.profile["schedule"].get("immediate_up_to_days", 0))

    def role(self, journal: str, amount: str, fallback: str) -> str:
        """The role that a journal debits with one of its amounts."""
        for line in self.profile.get("journals", {}).get(journal, ()):
            if line["amount"] == amount and "debit" in line:
                return str(line["debit"])
        return fallback

    def treatment(self, kind: str, reason: str | None = None) -> str:
        """How a credit note or a refund divides between revenue and what is deferred."""
        by_reason = self.profile.get("credit_note_by_reason", {})
        if reason in by_reason:
            return str(by_reason[reason])
        return self.choice(kind, "proportional")

    def choice(self, name: str, default: str) -> str:
        """What the policy chose."""
        return str(self.profile.get("choices", {}).get(name, default))


@dataclass(frozen=True)
class Entity:
    """A legal entity that keeps books."""

    name: str
    currency: str
    zone: ZoneInfo
    policies: tuple[Policy, ...]
    currency_rules: Mapping[str, Any] | None = None

    def policy(self, day: date) -> Policy:
        """The one in force."""
        return max((one for one in self.policies if one.first <= day), key=lambda one: one.first)


@dataclass(frozen=True)
class Company:
    """Entities by name, and the ordered rules that find a customer's."""

    entities: Mapping[str, Entity]
    rules: tuple[Mapping[str, Any], ...]
    rates: Rates = Rates()
    prices: tuple[Mapping[str, Any], ...] = ()

    def entity_of(self, customer: Mapping[str, object], currency: str) -> str | None:
        """The first rule whose conditions all hold decides."""
        facts = {
            "customer_entity": customer.get("entity"),
            "country": customer.get("country"),
            "currency": currency,
        }
        for rule in self.rules:
            wanted = {key: value for key, value in rule.items() if key not in ("id", "entity")}
            if all(facts.get(key) == value for key, value in wanted.items()):
                return str(rule["entity"])
        return None


def read(folder: Path) -> Company:
    """The company of a folder; profiles are looked for in it first."""
    policies: dict[str, list[Policy]] = {}
    for row in _yaml(folder / "policies.yaml")["policies"]:
        found = Policy(row["from"], str(row["profile"]), _profile(folder, str(row["profile"])))
        policies.setdefault(row["entity"], []).append(found)
    path = folder / "currency.yaml"
    rows = _yaml(path)["currency"] if path.exists() else []
    valued = {row["entity"]: row for row in rows}
    return Company(
        entities={
            row["id"]: Entity(
                row["id"],
                row["functional_currency"],
                ZoneInfo(row["time_zone"]),
                tuple(policies.get(row["id"], ())),
                valued.get(row["id"]),
            )
            for row in _yaml(folder / "entities.yaml")["entities"]
        },
        rules=tuple(_yaml(folder / "entity_rules.yaml")["entity_rules"]),
        rates=_rates(folder),
        prices=_prices(folder),
    )


@lru_cache(maxsize=1)
def acme() -> Company:
    """The example company."""
    return read(ACME)


def _profile(folder: Path, name: str) -> Mapping[str, Any]:
    """A profile on top of what it extends: schedule, choices and reasons key by key."""
    own = folder / "profiles" / f"{name}.yaml"
    told = _yaml(own if own.exists() else ROOT / "profiles" / f"{name}.yaml")
    if "extends" not in told:
        return dict(told)
    base = _profile(folder, str(told["extends"]))
    merged = dict(base) | dict(told)
    for part in ("schedule", "choices", "credit_note_by_reason", "journals"):
        merged[part] = dict(base.get(part, {})) | dict(told.get(part, {}))
    return merged


def _rates(folder: Path) -> Rates:
    """The rates of a folder."""
    path = folder / "rates.yaml"
    rows = _yaml(path)["rates"] if path.exists() else []
    return Rates(
        tuple(
            Rate(row["type"], row["from"], row["to"], row["date"], str(row["rate"])) for row in rows
        )
    )


def _prices(folder: Path) -> tuple[Mapping[str, Any], ...]:
    """What usage costs."""
    path = folder / "prices.yaml"
    return tuple(_yaml(path)["prices"]) if path.exists() else ()


def _yaml(path: Path) -> Any:  # noqa: ANN401  (whatever the file holds)
    return YAML(typ="safe").load(path)
