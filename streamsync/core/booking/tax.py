"""Tax put right after the issue: adjustments of billing, and true-ups of what was really owed.

Problem: the tax of an invoice turns out too low or too high, and somebody has to bear it. How: the
fact says who (the receivable, the customer's balance or the company itself); what the customer
bears changes the document, so that later credits and voids give back the tax that is right.
"""

from __future__ import annotations

from typing import Final

from streamsync.core.adjustment import adjust, told_portions
from streamsync.core.booking.desk import Desk, Stopped, incomplete
from streamsync.core.facts import Fact

SETTLEMENTS: Final = ("receivable", "customer_balance", "company")
DIRECTIONS: Final = ("charge", "credit")


def book_adjustment(desk: Desk, fact: Fact) -> None:
    """tax_adjusted: more or less tax on an issued document."""
    told = fact.tax_adjustment
    if told is None:
        raise incomplete(fact)
    for name, value, known in (
        ("settlement", told.settlement, SETTLEMENTS),
        ("direction", told.direction, DIRECTIONS),
    ):
        if value not in known:
            detail = f"tax_adjustment.{name}: {value} is none of {', '.join(known)}"
            raise Stopped("tax_adjustment_unknown", detail, refused=True)
    document = desk.issued()
    if told.settlement == "company":
        # The customer's document stays as it was charged.
        desk.post(fact, "tax_adjusted_company", {"tax": told_portions(told)})
        return
    after, portions = adjust(document, told)
    desk.post(fact, f"tax_adjusted_{told.settlement}", {"tax": portions})
    desk.document = after
    if told.settlement == "receivable":
        desk.owed_minor += sum(portion.amount_minor for portion in portions)
