"""Small companies: a few accounts' billing events out of a generated company's.

Problem: a whole generated company takes too long for thousands of runs. How: a handful are
generated once per process, and each run takes the events of a few of their accounts.
"""

from __future__ import annotations

import random
import re
from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache

from streamsync.core.company import Company
from streamsync.core.records import Customer
from streamsync.governance import load_company
from streamsync.simulator import SimulatedEvent, customers, simulate
from tests.ledger_driver import ACME

_DAYS = 45
_ACCOUNTS = 45
_ANY_ACCOUNT = re.compile(rb"(?:cus|in|ch|sub)_\d+x(\d{5})")
_NOISE = 2


@dataclass(frozen=True, slots=True)
class Life:
    """What happens, in order of its time, and who the customers are."""

    events: Sequence[SimulatedEvent]
    customers: Sequence[Customer]


@lru_cache(maxsize=1)
def acme() -> Company:
    """The rules of the example company."""
    return load_company(ACME)


@lru_cache(maxsize=16)
def _generated(company: int) -> tuple[dict[str, list[SimulatedEvent]], dict[str, Customer]]:
    by_account: dict[str, list[SimulatedEvent]] = {}
    for event in simulate(company + 1, days=_DAYS, accounts=_ACCOUNTS):
        found = _ANY_ACCOUNT.search(event.body)
        account = found.group(1).decode() if found else ""
        by_account.setdefault(account, []).append(event)
    known = {one.account[-5:]: one for one in customers(company + 1, accounts=_ACCOUNTS)}
    return by_account, known


def live(rng: random.Random, company: int, accounts: int) -> Life:
    """The life of a few accounts, and some events that concern none."""
    by_account, known = _generated(company)
    chosen = rng.sample(sorted(known), accounts)
    events = [event for account in chosen for event in by_account[account]]
    events += rng.sample(by_account[""], _NOISE)
    events.sort(key=lambda event: event.time_ms)
    return Life(events, [known[account] for account in chosen])
