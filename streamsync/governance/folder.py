"""A company folder as read: every file in its shape, nothing compared yet.

Problem: checks across files need all files, whatever is wrong in one. How: each file is read by
itself; what could not be read is None or incomplete, and checks that would only repeat its errors
stay silent. Accounting profiles come from the company's own `profiles/`, else with streamsync.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from streamsync.governance.problems import Problem, listed, nearest
from streamsync.governance.profiles import Profile
from streamsync.governance.reading import Section, each, whole
from streamsync.governance.shapes import (
    AccountItem,
    ChartFile,
    CompanyFile,
    CurrencyItem,
    CustomerItem,
    DimensionItem,
    EntityItem,
    EntityRuleItem,
    PolicyItem,
    PriceItem,
    ProfileFile,
    RatesFile,
    SummaryItem,
    TaxCodeItem,
    ThresholdsFile,
)
from streamsync.governance.yaml_source import YamlFile, read_yaml

REQUIRED = ("company", "entities", "chart", "accounts", "entity_rules", "policies", "thresholds")
OPTIONAL = (
    "customers",
    "currency",
    "rates",
    "prices",
    "dimensions",
    "tax_codes",
    "summaries",
)


@dataclass(slots=True)
class Folder:
    """The files of a company, as far as they could be read."""

    files: dict[str, YamlFile]
    others: list[Problem]
    company: CompanyFile | None
    entities: Section[EntityItem]
    chart: ChartFile | None
    accounts: Section[AccountItem]
    entity_rules: Section[EntityRuleItem]
    policies: Section[PolicyItem]
    thresholds: ThresholdsFile | None
    customers: Section[CustomerItem]
    currency: Section[CurrencyItem]
    rates: RatesFile | None
    prices: Section[PriceItem]
    dimensions: Section[DimensionItem]
    tax_codes: Section[TaxCodeItem]
    summaries: Section[SummaryItem]
    profiles: dict[str, Profile]
    profile_names: tuple[str, ...]

    def problems(self) -> list[Problem]:
        """All problems reported so far, of all files."""
        found = list(self.others)
        for file in self.files.values():
            found += file.problems
        for profile in self.profiles.values():
            found += profile.file.problems
        return found

    def entity_ids(self) -> set[str] | None:
        """Ids of all entities; None while entities.yaml leaves that open."""
        ids = [placed.item.id for placed in self.entities.items]
        return set(ids) if self.entities.complete and len(ids) == len(set(ids)) else None


def read_folder(directory: Path, instead: str | None = None) -> Folder:
    """Read every file of a company folder, and the profiles it uses or would use `instead`."""
    names = [*REQUIRED, *(name for name in OPTIONAL if _file(directory, name).exists())]
    files = {name: read_yaml(_file(directory, name), f"{directory}/{name}.yaml") for name in names}
    policies = each(files["policies"], "policies", PolicyItem)
    places = _profile_places(directory)
    used = {placed.item.profile for placed in policies.items} | ({instead} if instead else set())
    customers, currency, rates, prices, dimensions, tax_codes, summaries = map(files.get, OPTIONAL)
    return Folder(
        files=files,
        others=_unexpected_files(directory),
        company=whole(files["company"], CompanyFile),
        entities=each(files["entities"], "entities", EntityItem),
        chart=whole(files["chart"], ChartFile),
        accounts=each(files["accounts"], "accounts", AccountItem),
        entity_rules=each(files["entity_rules"], "entity_rules", EntityRuleItem),
        policies=policies,
        thresholds=whole(files["thresholds"], ThresholdsFile),
        customers=each(customers, "customers", CustomerItem) if customers else Section((), True),
        currency=each(currency, "currency", CurrencyItem) if currency else Section((), True),
        rates=whole(rates, RatesFile) if rates else None,
        prices=each(prices, "prices", PriceItem) if prices else Section((), True),
        dimensions=(
            each(dimensions, "dimensions", DimensionItem) if dimensions else Section((), True)
        ),
        tax_codes=each(tax_codes, "tax_codes", TaxCodeItem) if tax_codes else Section((), True),
        summaries=each(summaries, "summaries", SummaryItem) if summaries else Section((), True),
        profiles=_read_profiles(used, places),
        profile_names=tuple(sorted(places)),
    )


def _file(directory: Path, name: str) -> Path:
    return directory / f"{name}.yaml"


def _unexpected_files(directory: Path) -> list[Problem]:
    """YAML files that nothing would read: a misspelt name must not go unnoticed."""
    expected = {f"{name}.yaml" for name in (*REQUIRED, *OPTIONAL)}
    found = sorted(path.name for path in directory.glob("*.y*ml") if path.name not in expected)
    advice = f"Rename or remove it. Known files: {listed(expected)}."
    return [
        Problem(
            f"{directory}/{name}",
            1,
            1,
            "unknown_file",
            f'"{name}" is no file of a company folder.{nearest(name, expected)} {advice}',
        )
        for name in found
    ]


def _profile_places(directory: Path) -> dict[str, tuple[Path, str]]:
    """Profile name to its file and how errors call it; the company's own come first."""
    own = {
        path.stem: (path, f"{directory}/profiles/{path.name}")
        for path in sorted((directory / "profiles").glob("*.yaml"))
    }
    shipped = {
        path.stem: (path, f"profiles/{path.name}")
        for path in sorted(shipped_profiles().glob("*.yaml"))
    }
    return shipped | own


def shipped_profiles() -> Path:
    """The folder of the profiles that come with streamsync.

    A checkout has them at its top and links to them from the package, so that a wheel holds them.
    """
    return Path(__file__).parents[1] / "profiles"


def _read_profiles(used: set[str], places: Mapping[str, tuple[Path, str]]) -> dict[str, Profile]:
    """The profiles in use and those they extend, by name."""
    found: dict[str, Profile] = {}
    wanted = used & places.keys()
    while wanted:
        found |= {name: _read_profile(name, *places[name]) for name in wanted}
        bases = {profile.shape.extends for profile in found.values() if profile.shape is not None}
        wanted = {name for name in bases if name is not None and name in places} - found.keys()
    return dict(sorted(found.items()))


def _read_profile(name: str, path: Path, shown: str) -> Profile:
    file = read_yaml(path, shown)
    shape = whole(file, ProfileFile)
    if shape is not None and shape.profile != name:
        text = f'"{shape.profile}" is not the name of the file: write "{name}".'
        file.report(("profile",), "wrong_value", text)
    return Profile(file, shape)
