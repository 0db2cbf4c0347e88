"""Usage of a life: told day by day as canonical events, billed later by a line that names it.

Problem: usage is earned before or after it is billed, in any order of arrival. How: a document
holds one price's usage of a calendar month; an invoice of any amount may bill it, more than once.
"""

from __future__ import annotations

from datetime import UTC, datetime
from typing import TYPE_CHECKING

from .own import moment, tell
from .processor import Move

if TYPE_CHECKING:
    from .biller import Biller

# What examples/acme/prices.yaml prices.
PRICES = {"usd": ("api-calls", "storage-gb"), "jpy": ("api-calls",)}
QUANTITIES = ("120", "9990.5", "0", "35000")
BILLED = (3100, 1, 36_500)


def moves(biller: Biller) -> list[Move]:
    """What may be used or billed next."""
    if biller.market.currency not in PRICES:
        return []
    return [use, bill] if biller.used else [use]


def use(biller: Biller) -> None:
    """Usage of a day."""
    price = biller.pick(PRICES[biller.market.currency])
    first, after = month_of(biller.clock)
    document = f"usage/{price}/{biller.customer}/{first[:7]}"
    biller.used[document] = int(datetime.fromisoformat(first).timestamp())
    quantity = biller.pick(QUANTITIES)
    used = {
        "meter": price,
        "quantity": quantity,
        "price": price,
        "product": "prod_a",
        "period_from": first,
        "period_to": after,
    }
    text = f"{quantity} of {document}"
    tell(biller, "use", "usage_recorded", document, {"usage": used}, text)


def bill(biller: Biller) -> None:
    """An invoice of one line for the usage of a document."""
    document = biller.pick(sorted(biller.used))
    made = biller.plain_line(
        biller.pick(BILLED), biller.clock, start=min(biller.used[document], biller.clock)
    )
    made["metadata"] = {"streamsync_contract": document}
    biller.issue([made])
    biller.bills[-1].metered = True


def month_of(seconds: int) -> tuple[str, str]:
    """The first moments of a moment's month and of the next, RFC 3339."""
    first = datetime.fromtimestamp(seconds, UTC).replace(day=1, hour=0, minute=0, second=0)
    after = first.replace(year=first.year + first.month // 12, month=first.month % 12 + 1)
    return moment(first), moment(after)
