"""Money that the processor settles in another currency than it was paid in.

The problem: it leaves clearing in one currency and arrives in another, and only both together say
what the conversion cost. How: two entries by the word of docs/accounting.md; when each is valued by
itself, what arrived is made to cost what left, and the rest is a gain or loss (docs/currency.md).
"""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

from . import facts as f
from .currency import CONVERSION, functional_leg, signed_worth
from .entry import Entry


def conversion(
    fact: f.Fact, like: Entry, amount: int, movements: Sequence[f.Movement]
) -> list[Entry]:
    """The two entries; none when the money was settled in its own currency."""
    other = [one for one in movements if one.currency != like.currency]
    settled = sum(one.amount for one in other)
    if not amount or not settled:
        return []
    name = f"{fact.purpose}:{fact.fact_id}"
    left = replace(like, document=name, purpose=f.LEFT, legs=[])
    left.put("debit", CONVERSION, amount)
    left.put("credit", "clearing", amount)
    arrived = replace(left, currency=other[0].currency, purpose=f.ARRIVED, legs=[])
    arrived.put("debit", "clearing", settled)
    arrived.put("credit", CONVERSION, settled)
    return [left, arrived]


def fact_of(entry: Entry) -> tuple[str, str] | None:
    """Purpose and id of the fact that a conversion belongs to."""
    if entry.purpose not in (f.LEFT, f.ARRIVED):
        return None
    purpose, _, name = entry.document.partition(":")
    return purpose, name


def at_cost(entries: Sequence[Entry], rules: Mapping[str, Mapping[str, Any] | None]) -> list[Entry]:
    """What arrived is worth what left; where what left has no rate yet it waits and is left out."""
    cost = {
        entry.document: sum(signed_worth(leg) for leg in entry.legs if leg.role == CONVERSION)
        for entry in entries
        if entry.purpose == f.LEFT
    }
    made = []
    for entry in entries:
        if entry.purpose != f.ARRIVED:
            made.append(entry)
        elif entry.document in cost:
            made.append(_costing(entry, cost[entry.document], rules[entry.entity] or {}))
    return made


def _costing(entry: Entry, cost: int, rules: Mapping[str, Any]) -> Entry:
    """The entry with what left on its conversion line, and a gain or loss."""
    legs = [
        replace(leg, functional=abs(cost)) if leg.role == CONVERSION else leg for leg in entry.legs
    ]
    over = sum(signed_worth(leg) for leg in legs)
    if over:
        legs.append(functional_leg(str(rules["gain_loss_role"]), -over))
    return replace(entry, legs=legs)
