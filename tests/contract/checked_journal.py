"""One journal for the independent checkers, and the balances that they must find in it.

The balances come from the oracle (tests/oracle), which shares no code with the program: a checker
that accepts them agrees with two implementations at once.
"""

from __future__ import annotations

from datetime import date
from decimal import Decimal
from functools import lru_cache

import msgspec

from streamsync.core.money import exponent
from streamsync.governance import load_company, load_rates
from streamsync.simulator import customers, simulate
from tests.ledger_driver import ACME
from tests.oracle import naive
from topology.offline import Journal, journal

SEED = 4
OWN_CURRENCY = {"acme-us": "USD", "acme-jp": "JPY", "acme-de": "EUR", "acme-kw": "KWD"}
THROUGH = date(2026, 6, 30)


@lru_cache(maxsize=1)
def made() -> Journal:
    """Sixty days of billing in four entities, some in dollars, released to the end of June."""
    payloads = [
        (f"event {place}", one.body) for place, one in enumerate(simulate(SEED, metered=True))
    ]
    return journal(
        load_company(ACME),
        customers(SEED),
        payloads,
        source="stripe",
        through=THROUGH,
        rates=load_rates(ACME),
    )


@lru_cache(maxsize=1)
def balances() -> dict[str, dict[tuple[str, str, str], Decimal]]:
    """Month to the oracle's balance of each (entity, role, currency) at that month's end."""
    entries = naive.journal(
        [one.body for one in simulate(SEED, metered=True)],
        [msgspec.to_builtins(one) for one in customers(SEED)],
        today=date(2026, 7, 1),
    )
    running: dict[tuple[str, str, str], Decimal] = {}
    found = {}
    for entry in entries:
        currency = str(entry["currency"])
        lines = entry["lines"]
        assert isinstance(lines, list)
        for line in lines:
            # An exchange difference is an amount of the entity's own currency only.
            entity, own = str(entry["entity"]), not line["amount_minor"]
            unit = OWN_CURRENCY[entity] if own else currency
            where = (entity, str(line["role"]), unit)
            minor = int(line["functional_minor"] if own else line["amount_minor"])
            amount = Decimal(minor).scaleb(-exponent(unit))
            sign = 1 if line["side"] == "debit" else -1
            running[where] = running.get(where, Decimal(0)) + sign * amount
        found[str(entry["period"])] = dict(running)
    return found
