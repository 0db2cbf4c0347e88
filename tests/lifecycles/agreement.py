"""Contracts of a life: signed, billed now and then, changed in each way there is, and ended early.

Problem: what is earned and what is billed of a contract meet in any order, and each change of terms
has a rule of its own. How: a biller keeps what it has agreed, in its own currency, and changes what
is still served.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from .life import MARKETS
from .own import at, tell
from .processor import Move

if TYPE_CHECKING:
    from .biller import Biller

DAY = 86_400
# Enough for every row to be something before the year is over.
PRICES = (36_500, 120_000, 50_001)
DAYS = (365, 90, 31)
STARTS = (0, -40, 20)
CHANGES = (10_000, -999, 1)
TREATMENTS = ("prospective", "catch_up", "estimate", "separate")


@dataclass
class Agreement:
    """What was agreed; `segments` by name, with the end of each in epoch seconds."""

    document: str
    segments: dict[str, int] = field(default_factory=dict)
    ended: bool = False


def moves(biller: Biller) -> list[Move]:
    """What may be agreed, billed or changed next; only where no exchange rate is needed."""
    if biller.market not in MARKETS:
        return []
    return [sign, bill, modify, end] if running(biller) else [sign]


def running(biller: Biller) -> list[Agreement]:
    """Contracts that were not ended."""
    return [one for one in biller.agreements if not one.ended]


def sign(biller: Biller) -> None:
    """A contract of one segment or of two, which may share their price."""
    document = f"ct_{biller.name()}"
    made = Agreement(document)
    count = 1 + biller.choose(2)
    priced = count == 2 and biller.choose(2) == 1
    told = [segment(biller, made, f"plan_{number}", priced=priced) for number in range(count)]
    biller.agreements.append(made)
    tell_terms(biller, "contract_signed", document, {"segments": told})
    if biller.choose(3) == 2:
        # Billed at once, and soon over: what was billed ahead goes back, or stays.
        bill(biller)
        biller.clock += biller.pick((17, 3, 44)) * DAY
        end(biller)


def segment(biller: Biller, made: Agreement, name: str, *, priced: bool = False) -> dict[str, Any]:
    """A segment; some have a variable part, of which not all counts."""
    start = biller.clock + biller.pick(STARTS) * DAY
    over = start + biller.pick(DAYS) * DAY
    made.segments[name] = over
    told: dict[str, Any] = {
        "segment_id": name,
        "price_minor": biller.pick(PRICES),
        "service_from": at(start),
        "service_to": at(over),
    }
    if priced:
        told["standalone_minor"] = biller.pick((30_000, 70_001))
    if biller.choose(3) == 2:
        told |= {"variable_minor": 6_000, "constraint_minor": 2_400}
    return told


def bill(biller: Biller) -> None:
    """An invoice of one line for a segment, of any amount."""
    made = biller.pick(running(biller))
    line = biller.plain_line(biller.pick(PRICES), biller.clock, start=biller.clock)
    line["metadata"] = {
        "streamsync_contract": made.document,
        "streamsync_segment": biller.pick(sorted(made.segments)),
    }
    biller.issue([line])
    biller.bills[-1].metered = True


def modify(biller: Biller) -> None:
    """A change of a segment, or another one beside."""
    made = biller.pick(running(biller))
    name = biller.pick(sorted(made.segments))
    treatment = biller.pick(TREATMENTS)
    told: dict[str, Any] = {"treatment": treatment}
    if treatment == "separate":
        told["segments"] = [segment(biller, made, f"more_{biller.name()}")]
    elif treatment == "estimate":
        told |= {"segment": name, "variable_minor": biller.pick((0, 9_000))}
    else:
        told |= {"segment": name, "change_minor": biller.pick(CHANGES)}
    if treatment in ("prospective", "catch_up") and biller.choose(3) == 2:
        made.segments[name] = max(made.segments[name], biller.clock) + 60 * DAY
        told["service_to"] = at(made.segments[name])
    if treatment == "prospective":
        if made.segments[name] <= biller.clock + DAY:
            # Nothing of it is left to go on with.
            return
        told["new_segment"] = f"then_{biller.name()}"
        made.segments[told["new_segment"]] = made.segments.pop(name)
    tell_terms(biller, "contract_modified", made.document, told)


def end(biller: Biller) -> None:
    """A contract ends early."""
    made = biller.pick(running(biller))
    made.ended = True
    tell_terms(biller, "contract_terminated", made.document, None)


def tell_terms(biller: Biller, kind: str, document: str, terms: dict[str, Any] | None) -> None:
    """A contract's event, with its terms if it has any."""
    more = {} if terms is None else {"contract": terms}
    tell(biller, "agreed", kind, document, more, f"{document}: {terms}")
