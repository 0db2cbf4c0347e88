"""A prepaid wallet of a life: topped up, used by the day, and expired in part or whole.

Problem: what a wallet can't pay waits, alone, until a top-up of an earlier time comes. How: moves
ask for more than is there now and then; the order of arrival is the test's.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from .life import MARKETS
from .meter import PRICES, month_of
from .own import tell
from .processor import Move

if TYPE_CHECKING:
    from .biller import Biller

TOP_UPS = (10_000, 500, 100_000)
SETTLEMENTS = ("processor", "elsewhere", "on_account")
QUANTITIES = ("100", "0", "250.5", "20000")
EXPIRED = (None, 100, 5_000)


def moves(biller: Biller) -> list[Move]:
    """What may happen to a wallet, where usage has a price and no exchange rate is needed."""
    if biller.market not in MARKETS or biller.market.currency not in PRICES:
        return []
    return [top_up, use, expire] if biller.wallet else [top_up]


def top_up(biller: Biller) -> None:
    """Money goes in."""
    biller.wallet = True
    told = {"amount_minor": biller.pick(TOP_UPS), "settlement": biller.pick(SETTLEMENTS)}
    tell_move(biller, "wallet_topped_up", {"wallet": told})
    if biller.choose(2):
        use(biller)


def use(biller: Biller) -> None:
    """Usage of a day is taken from it."""
    price = biller.pick(PRICES[biller.market.currency])
    first, after = month_of(biller.clock)
    told = {
        "meter": price,
        "quantity": biller.pick(QUANTITIES),
        "price": price,
        "product": "prod_a",
        "period_from": first,
        "period_to": after,
    }
    tell_move(biller, "usage_recorded", {"usage": told, "document_kind": "wallet"})


def expire(biller: Biller) -> None:
    """An amount expires, or all that is left."""
    amount = biller.pick(EXPIRED)
    tell_move(
        biller, "wallet_expired", {"wallet": {} if amount is None else {"amount_minor": amount}}
    )


def tell_move(biller: Biller, kind: str, more: dict[str, Any]) -> None:
    """An event of the customer's one wallet."""
    tell(biller, "wal", kind, f"wallet_{biller.customer}", more, f"{kind}: {more}")
