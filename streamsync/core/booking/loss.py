"""Bad debt of an invoice that is overdue, where the policy doesn't wait until it is given up.

Problem: some policies write an invoice off on the day it is overdue, and take the loss back when it
is paid after all. How: what is left of the receivable becomes bad debt, revenue goes on; each later
payment takes back as much of the loss as it pays, beside its own entry.
"""

from __future__ import annotations

from streamsync.core.booking.desk import Desk
from streamsync.core.document import Portion
from streamsync.core.facts import Fact
from streamsync.core.template import fill


def loses_at_overdue(desk: Desk, fact: Fact) -> bool:
    """Whether the policy of the fact's day loses an invoice when it is overdue."""
    return desk.policy_of(desk.day_of(fact)).choices.loss_at == "overdue"


def book_overdue(desk: Desk, fact: Fact) -> None:
    """invoice_overdue, and invoice_uncollectible under such a policy."""
    if not loses_at_overdue(desk, fact):
        desk.nothing(fact, "invoice_overdue")
        return
    desk.issued()
    amount = max(desk.owed_minor, 0)
    amounts = {"amount": (Portion(amount),)}
    desk.post(fact, "invoice_overdue", amounts, purpose="invoice_overdue")
    desk.owed_minor -= amount
    desk.lost_minor += amount


def take_back(desk: Desk, fact: Fact, applied: int) -> None:
    """A payment of what was lost: as much of the loss as it pays is none any more."""
    amount = min(applied, desk.lost_minor)
    if amount <= 0:
        return
    lines = fill(desk.template(desk.day_of(fact), "overdue_paid"), {"amount": (Portion(amount),)})
    desk.enter(fact, lines, purpose="overdue_paid")
    desk.owed_minor += amount
    desk.lost_minor -= amount
