"""All accounts' events as one stream of webhook deliveries.

Problem: a billing system delivers late, twice, out of order, and among much that is no business of
the books. How: events are merged by time and given ids; a few invoices are delivered after their
payment, a few deliveries are repeated byte for byte, and catalogue noise and one event of a type
that nobody knows are mixed in.
"""

from __future__ import annotations

import json
import random
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import UTC, date, datetime

from streamsync.simulator import payload, processor, usage
from streamsync.simulator.catalogue import PLANS
from streamsync.simulator.life import DAY_S, Told, live
from streamsync.simulator.newer import newer as in_newer_shape
from streamsync.simulator.scenario import cast

START = date(2026, 1, 1)
_DELAYED = 8
_DELAY_S = 1500
_REPEATED = 6
_REPEAT_AFTER_S = 3600


@dataclass(frozen=True, slots=True)
class SimulatedEvent:
    """One delivery: the simulated day (0-based), its time, and the exact body."""

    day: int
    time_ms: int
    body: bytes


def start_second(start: date) -> int:
    """Midnight UTC of a day."""
    return int(datetime(start.year, start.month, start.day, tzinfo=UTC).timestamp())


def _noise(start: int, days: int) -> Iterator[Told]:
    for number, product in enumerate(sorted({plan.product for plan in PLANS})):
        body = {"id": product, "object": "product", "active": True, "name": product[5:]}
        yield Told(start + 10 + number, "product.created", body)
    for number, plan in enumerate(PLANS):
        yield Told(start + 20 + number, "price.created", payload.price(plan))
    for day in range(3, days, 9):
        plan = PLANS[day % len(PLANS)]
        yield Told(start + day * DAY_S + 300, "price.updated", payload.price(plan))
    unknown = {"id": "gal_1", "object": "gift_allowance", "amount": 500, "currency": "usd"}
    yield Told(start + DAY_S // 2, "gift_allowance.granted", unknown)
    # Of a charge from before the books began: it waits for a charge that nobody tells.
    before = {"charge": "ch_before", "amount_paid": 4200, "currency": "usd"}
    at = start + 2 * DAY_S
    yield Told(at, "charge.dispute.created", processor.dispute("dp_before", before, at))


def _body(event: Told, identity: str) -> bytes:
    if event.version == usage.CANONICAL:
        told = {"streamsync": "1", "id": identity, **event.body}
        return json.dumps(told, separators=(",", ":")).encode()
    envelope = {
        "id": identity,
        "object": "event",
        "api_version": event.version,
        "created": event.at,
        "data": {"object": event.body},
        "livemode": False,
        "pending_webhooks": 1,
        "request": {"id": None, "idempotency_key": None},
        "type": event.kind,
    }
    return json.dumps(envelope, separators=(",", ":")).encode()


def _within_day(second: int, delay: int, start: int) -> int:
    day_end = second - (second - start) % DAY_S + DAY_S - 1
    return min(second + delay, day_end)


def simulate(
    seed: int,
    days: int = 60,
    accounts: int = 100,
    start: date = START,
    *,
    newer: Callable[[int], bool] = lambda _: False,
    metered: bool = False,
) -> Iterator[SimulatedEvent]:
    """All deliveries in order of time. With 60 days, every feature is complete.

    `newer`: which accounts, by their number, are told in the shape of API version 2025-03-31 and
    later, with the events that it has beside. `metered`: some accounts also use an API, which their
    own meter tells as canonical events.
    """
    first = start_second(start)
    lives = [
        (member, live(member, first, seed, days, metered=metered))
        for member in cast(seed, accounts)
    ]
    told = [
        shaped
        for member, life in lives
        for event in life
        for shaped in (in_newer_shape(event) if newer(member.index) else (event,))
    ]
    moves = [(event.at, event.kind, event.body) for _, life in lives for event in life]
    moves.sort(key=lambda move: move[0])
    told.extend(_noise(first, days))
    told.extend(Told(*payout) for payout in processor.payouts(moves, first, days))
    told.sort(key=lambda event: event.at)
    bodies = [_body(event, f"evt_{seed}x{number:06d}") for number, event in enumerate(told)]
    rng = random.Random(f"{seed}/deliveries")  # noqa: S311 - repeatable, not secret
    deliveries = [(event.at + 2, at) for at, event in enumerate(told)]
    issued = [at for at, event in enumerate(told) if event.kind == "invoice.finalized"]
    for at in rng.sample(issued, min(_DELAYED, len(issued))):
        deliveries[at] = (_within_day(told[at].at + 2, _DELAY_S, first), at)
    for at in _repeated(rng, told):
        deliveries.append((_within_day(told[at].at + 2, _REPEAT_AFTER_S, first), at))
    for second, at in sorted(deliveries):
        yield SimulatedEvent((second - first) // DAY_S, second * 1000, bodies[at])


def _repeated(rng: random.Random, told: list[Told]) -> list[int]:
    """One event of each of several kinds is delivered twice."""
    kinds = ("invoice.finalized", "invoice.paid", "customer.created", "price.created")
    chosen = [rng.choice([at for at, e in enumerate(told) if e.kind == kind]) for kind in kinds]
    others = [at for at in range(len(told)) if at not in chosen]
    return chosen + rng.sample(others, _REPEATED - len(chosen))
