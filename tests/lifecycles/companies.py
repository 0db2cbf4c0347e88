"""Companies that differ in their policies: each basis and rounding, and a change of policy.

Problem: a rule that holds for one policy only is not proven. How: the example company's folder is
copied, with one profile per basis and rounding, and each entity books by two of them in turn.
"""

from __future__ import annotations

import shutil
import tempfile
from functools import lru_cache
from itertools import product
from pathlib import Path

from streamsync.core.company import Company
from streamsync.governance import load_company
from tests.company_folder import ACME, ROOT
from tests.oracle import company as oracle

BASES = ("day", "even_month", "even_month_prorated", "millisecond")
ROUNDINGS = ("last_absorbs", "largest_remainder", "cumulative_round")
PROFILES = tuple(f"{basis}_{rounding}" for basis, rounding in product(BASES, ROUNDINGS))
CHANGE = "2026-02-01"


@lru_cache(maxsize=1)
def _folder() -> Path:
    """The example company with every profile, gone when the process ends."""
    folder = Path(_temporary().name) / "company"
    shutil.copytree(ACME, folder)
    (folder / "profiles").mkdir(exist_ok=True)
    text = (ROOT / "profiles" / "stripe.yaml").read_text(encoding="utf-8")
    for basis, rounding in product(BASES, ROUNDINGS):
        own = text.replace("profile: stripe", f"profile: {basis}_{rounding}")
        own = own.replace("basis: day", f"basis: {basis}")
        own = own.replace("rounding: last_absorbs", f"rounding: {rounding}")
        (folder / "profiles" / f"{basis}_{rounding}.yaml").write_text(own, encoding="utf-8")
    return folder


@lru_cache(maxsize=1)
def _temporary() -> tempfile.TemporaryDirectory[str]:
    return tempfile.TemporaryDirectory(prefix="streamsync-companies-")


@lru_cache(maxsize=len(PROFILES))
def company(number: int) -> tuple[Company, oracle.Company]:
    """The same company for the program and for the oracle; 0 is the example as it is."""
    if number == 0:
        return load_company(ACME), oracle.acme()
    folder = _folder()
    rows = ["policies:"]
    for place, entity in enumerate(sorted(oracle.acme().entities)):
        first = PROFILES[(number + 5 * place) % len(PROFILES)]
        then = PROFILES[(number + 7 * place + 1) % len(PROFILES)]
        rows.append(
            f"  - {{entity: {entity}, profile: {first}, from: 2012-01-01, through: 2026-01-31}}"
        )
        rows.append(f"  - {{entity: {entity}, profile: {then}, from: {CHANGE}}}")
    (folder / "policies.yaml").write_text("\n".join(rows) + "\n", encoding="utf-8")
    return load_company(folder), oracle.read(folder)
