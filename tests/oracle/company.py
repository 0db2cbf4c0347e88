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

ROOT = Path(__file__).resolve().parents[2]
ACME = ROOT / "examples" / "acme"


@dataclass(frozen=True)
class Policy:
    """A profile, and the first accounting date that an entity books by it."""

    first: date
    name: str
    profile: Mapping[str, Any]

    @property
    def basis(self) -> str:
        """How a line's net is spread over months."""
        return str(self.profile["schedule"]["basis"])

    @property
    def rounding(self) -> str:
        """Who gets the units that do not divide."""
        return str(self.profile["schedule"]["rounding"])


@dataclass(frozen=True)
class Entity:
    """A legal entity that keeps books."""

    name: str
    currency: str
    zone: ZoneInfo
    policies: tuple[Policy, ...]

    def policy(self, day: date) -> Policy:
        """The one in force."""
        return max((one for one in self.policies if one.first <= day), key=lambda one: one.first)


@dataclass(frozen=True)
class Company:
    """Entities by name, and the ordered rules that find a customer's."""

    entities: Mapping[str, Entity]
    rules: tuple[Mapping[str, Any], ...]

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
        own = folder / "profiles" / f"{row['profile']}.yaml"
        path = own if own.exists() else ROOT / "profiles" / f"{row['profile']}.yaml"
        policies.setdefault(row["entity"], []).append(
            Policy(row["from"], str(row["profile"]), _yaml(path))
        )
    return Company(
        entities={
            row["id"]: Entity(
                row["id"],
                row["functional_currency"],
                ZoneInfo(row["time_zone"]),
                tuple(policies.get(row["id"], ())),
            )
            for row in _yaml(folder / "entities.yaml")["entities"]
        },
        rules=tuple(_yaml(folder / "entity_rules.yaml")["entity_rules"]),
    )


@lru_cache(maxsize=1)
def acme() -> Company:
    """The example company."""
    return read(ACME)


def _yaml(path: Path) -> Any:  # noqa: ANN401  (whatever the file holds)
    return YAML(typ="safe").load(path)
