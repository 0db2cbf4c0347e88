"""Journals for the independent checkers, and the balances that they must find in them.

The balances come from the oracle (tests/oracle), which shares no code with the program: a checker
that accepts them agrees with two implementations at once.
"""

from __future__ import annotations

import random
from collections.abc import Mapping, Sequence
from datetime import date
from decimal import Decimal
from functools import lru_cache

from streamsync.core.by_name import by_name
from streamsync.core.money import exponent
from streamsync.core.records import Customer
from streamsync.governance import load_company, load_rates
from streamsync.simulator import customers, simulate
from tests.ledger_driver import ACME
from tests.lifecycles import ALL_MARKETS, Life, draw_life
from tests.lifecycles.companies import company, customer, published
from tests.oracle import naive
from topology.offline import Journal, journal

SEED = 4
OWN_CURRENCY = {"acme-us": "USD", "acme-jp": "JPY", "acme-de": "EUR", "acme-kw": "KWD"}
THROUGH = date(2026, 6, 30)
AFTER = date(2026, 7, 1)
SIMULATED = "the simulated company"
CASES = (SIMULATED, *(f"lives by the policies of company {number}" for number in (3, 9, 18)))
"""Sixty days of billing in four entities; and lives with everything that the oracle knows."""

Where = tuple[str, str, str]
"""Entity, role and currency."""


@lru_cache(maxsize=len(CASES))
def made(case: str = SIMULATED) -> Journal:
    """The journal, released to the end of June."""
    if case == SIMULATED:
        bodies = [one.body for one in simulate(SEED, metered=True)]
        known, rules, told = customers(SEED), load_company(ACME), load_rates(ACME)
    else:
        life, number = _life(case)
        bodies, rules = life.bodies, company(number)[0]
        known = [customer(one) for one in life.customers]
        told = published()
    payloads = [(f"event {place}", body) for place, body in enumerate(bodies)]
    return journal(rules, known, payloads, source="stripe", through=THROUGH, rates=told)


@lru_cache(maxsize=len(CASES))
def balances(case: str = SIMULATED) -> dict[str, dict[Where, Decimal]]:
    """Month to the oracle's balance of each place at that month's end."""
    if case == SIMULATED:
        bodies = [one.body for one in simulate(SEED, metered=True)]
        return _running(naive.journal(bodies, _told(customers(SEED)), today=AFTER))
    life, number = _life(case)
    read = company(number)[1]
    return _running(naive.journal(life.bodies, life.customers, today=AFTER, company=read))


def _life(case: str) -> tuple[Life, int]:
    number = int(case.rsplit(" ", 1)[1])
    draw = random.Random(number)
    life = draw_life(draw.randrange, subscriptions=40, markets=ALL_MARKETS, processor=True)
    return life, number


def _told(known: Sequence[Customer]) -> list[dict[str, object]]:
    return [by_name(one) for one in known]


def _running(entries: Sequence[Mapping[str, object]]) -> dict[str, dict[Where, Decimal]]:
    running: dict[Where, Decimal] = {}
    found = {}
    for entry in sorted(entries, key=lambda one: str(one["period"])):
        currency = str(entry["currency"])
        lines = entry["lines"]
        assert isinstance(lines, list)
        for line in lines:
            # In the entity's own currency a line is what it is worth; an exchange difference is
            # an amount of that currency only.
            entity = str(entry["entity"])
            own = not line["amount_minor"] or currency == OWN_CURRENCY[entity]
            unit = OWN_CURRENCY[entity] if own else currency
            where = (entity, str(line["role"]), unit)
            minor = int(line["functional_minor"] if own else line["amount_minor"])
            amount = Decimal(minor).scaleb(-exponent(unit))
            sign = 1 if line["side"] == "debit" else -1
            running[where] = running.get(where, Decimal(0)) + sign * amount
        found[str(entry["period"])] = dict(running)
    return found
