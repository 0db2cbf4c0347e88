"""The facts of one document, as the books read them: each once, in one order.

Problem: facts come in any order, more than once, and some tell only sums of what others tell one by
one. How: they are put in the order of business time, whatever order they came in, and a refund that
tells only a cumulative figure gets the difference as its amount.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Final

from streamsync.core.facts import Fact


def refund_amounts(facts: Sequence[Fact]) -> Mapping[str, int]:
    """The amount of each refund by fact id.

    A payload that lists no refunds tells only a cumulative figure: its amount is the difference to
    the highest lower figure known for the charge; listed refunds up to the same figure explain it.
    """
    refunds = {
        fact.fact_id: fact.refund
        for fact in facts
        if fact.kind == "refunded" and fact.refund is not None
    }
    amounts: dict[str, int] = {}
    for fact_id, refund in refunds.items():
        if refund.amount_minor is not None:
            amounts[fact_id] = refund.amount_minor
            continue
        cumulative = refund.cumulative_minor or 0
        known = [
            other.cumulative_minor
            for other in refunds.values()
            if other.charge == refund.charge
            and other.cumulative_minor is not None
            and (
                other.cumulative_minor < cumulative
                or other.cumulative_minor == cumulative
                and other.amount_minor is not None
            )
        ]
        amounts[fact_id] = cumulative - max(known, default=0)
    return amounts


def in_order(facts: Sequence[Fact]) -> list[Fact]:
    """Each fact once, by business time, what takes back last, then fact id.

    The order that they came in does not count.
    """
    known: dict[str, Fact] = {}
    for fact in facts:
        other = known.setdefault(fact.fact_id, fact)
        # Two tellings of one fact that differ never reach the books; still one of them must win.
        if other != fact and repr(fact) < repr(other):
            known[fact.fact_id] = fact
    return sorted(
        known.values(), key=lambda fact: (fact.occurred_at_ms, fact.kind in _AFTER, fact.fact_id)
    )


_AFTER: Final = frozenset(
    {"payment_unapplied", "credit_note_voided", "refund_failed", "payout_failed"}
)
"""Kinds that take another fact back: they come after it also within the same moment."""
