"""A life: the customers, and the events of several subscriptions in the order of their times.

Where each customer is decides its legal entity, its currency and the zone that its days end in.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

Choose = Callable[[int], int]
"""n to one of 0 .. n-1; 0 is the simplest choice."""


@dataclass(frozen=True, slots=True)
class Market:
    """Where a customer is and how it is billed. `tax_percent`: of its tax rates. `settled`: the
    currency that the processor converts its money into, and how many of a hundred it gives for one.
    """

    country: str
    currency: str
    tax_percent: tuple[int, ...]
    settled: tuple[str, int] | None = None


US = Market("US", "usd", (0, 8))
JP = Market("JP", "jpy", (0, 10))
US_IN_EUR = Market("US", "eur", (0, 19))
JP_IN_USD = Market("JP", "usd", (0, 10))
US_IN_EUR_SETTLED = Market("US", "eur", (0, 19), ("usd", 117))
JP_IN_USD_SETTLED = Market("JP", "usd", (0, 10), ("jpy", 149))
DE = Market("DE", "eur", (0, 19))
KW = Market("KW", "kwd", (0, 5))
DE_IN_USD = Market("DE", "usd", (0, 19))
KW_IN_USD = Market("KW", "usd", (0, 5))
KW_IN_USD_SETTLED = Market("KW", "usd", (0, 5), ("kwd", 307))
MARKETS = (US, JP, DE, KW)
ALL_MARKETS = (
    *MARKETS, US_IN_EUR, JP_IN_USD, DE_IN_USD, KW_IN_USD, US_IN_EUR_SETTLED, JP_IN_USD_SETTLED,
    KW_IN_USD_SETTLED,
)  # fmt: skip


@dataclass(frozen=True, slots=True)
class Event:
    """One webhook; `text` says in a line what it tells."""

    at: int
    body: dict[str, Any]
    text: str

    @property
    def raw(self) -> bytes:
        """The body as it is posted."""
        return json.dumps(self.body).encode()

    def __repr__(self) -> str:
        when = datetime.fromtimestamp(self.at, UTC).strftime("%Y-%m-%d %H:%M:%S")
        return f"{when} {self.body.get('type') or self.body['kind']} {self.text}"


@dataclass(frozen=True, slots=True)
class Life:
    """What happened, in order of its time, and who the customers are."""

    customers: Sequence[Mapping[str, object]]
    events: Sequence[Event]

    def __repr__(self) -> str:
        where = ", ".join(f"{one['account']} in {one['country']}" for one in self.customers)
        return "\n".join((f"\n{where}", *(f"  {event!r}" for event in self.events)))

    def _repr_pretty_(self, printer: Any, _cycle: bool) -> None:
        """How hypothesis prints a failing example: as a list of events, not of payloads."""
        printer.text(repr(self))

    @property
    def bodies(self) -> list[bytes]:
        """The raw bodies in the order of their times."""
        return [event.raw for event in self.events]


def draw_life(
    choose: Choose,
    *,
    subscriptions: int,
    settle: bool = False,
    markets: Sequence[Market] = MARKETS,
    moves_max: int = 6,
    processor: bool = False,
) -> Life:
    """The life of so many subscriptions, each of a customer of its own.

    `settle`: every life goes on until nothing is owed any more. `processor`: the payment
    processor's own events too (charges with fees, disputes, payouts).
    """
    from .biller import Biller  # noqa: PLC0415  (it makes the events that are defined here)

    customers, events = [], []
    for number in range(1, subscriptions + 1):
        market = markets[choose(len(markets))]
        biller = Biller(choose, market, number, processor=processor)
        for _ in range(1 + choose(moves_max)):
            biller.move()
        if settle:
            biller.settle()
        customers.append(
            {
                "account": f"acme/stripe/{biller.customer}",
                "party": f"P-{number}",
                "country": market.country,
                "entity": None,
            }
        )
        events += biller.events
    events.sort(key=lambda event: (event.at, event.body["id"]))
    return Life(customers, events)
