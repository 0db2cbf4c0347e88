"""Sales between a company's own entities: a side in the books of each.

Problem: what one entity sells to another is revenue in one book and cost in the other; each book
must balance alone, and the two must cancel out when they are put together. How: a source tells one
sale as two facts (`sale` and `purchase`), each on a document of its own in its own entity; both
have the sale's amount, and every line names the other entity. A cancelled sale takes both sides
back exactly.
"""

from __future__ import annotations

from typing import Final

from streamsync.core.booking.desk import Desk, Stopped, incomplete
from streamsync.core.document import Performed, Portion
from streamsync.core.facts import Fact
from streamsync.core.template import inverse

BEGINNINGS: Final = frozenset({"intercompany_sale", "intercompany_purchase"})
"""The kinds that a document of each side begins with."""

DOCUMENT: Final = "intercompany"
"""Kind of the documents of both sides."""

_CANCELLED: Final = "_cancelled"


def sides(fact: Fact) -> tuple[str, str] | None:
    """The entity whose side a fact is, and the other; None for facts that have no sides."""
    sale = fact.intercompany
    if sale is None:
        return None
    sells = fact.kind.startswith("intercompany_sale")
    return (sale.seller, sale.buyer) if sells else (sale.buyer, sale.seller)


def book_side(desk: Desk, fact: Fact) -> None:
    """intercompany_sale, intercompany_purchase: the amount against what the other entity owes."""
    sale, between = fact.intercompany, sides(fact)
    if sale is None or between is None:
        raise incomplete(fact)
    what = Performed(sale.product, counterparty=between[1])
    desk.post(fact, fact.kind, {"amount": (Portion(sale.amount_minor, what),)})


def book_cancelled(desk: Desk, fact: Fact) -> None:
    """The inverse of what the side booked; it waits until that is seen."""
    kind = fact.kind.removesuffix(_CANCELLED)
    if not any(told.kind == kind for told in desk.facts):
        detail = f"{kind} of document {fact.document} has not been seen"
        raise Stopped("sale_not_seen", detail, refused=False)
    entry = next((entry for entry in desk.entries if entry.purpose == kind), None)
    if entry is None:
        desk.nothing(fact, "nothing_booked")
    else:
        desk.enter(fact, inverse(entry.lines))
