"""The life of many two-line invoices, one kind of event after the other.

Problem: what a kind of event costs shows only when a run has no other kind in it. How: every
account has one invoice of two lines and a tax, and each kind is one event per account, in an order
in which each finds what it needs. Bodies are those of the simulated billing system.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from streamsync.simulator import payload
from streamsync.simulator.catalogue import PLANS, TAXES
from streamsync.simulator.scenario import Cast
from streamsync.simulator.stream import START, start_second

_DAY_S = 86_400
_PLAN, _EXTRA = PLANS[1], PLANS[0]
_BEGAN = start_second(START) + 14 * _DAY_S
_ENDS = _BEGAN + 31 * _DAY_S
TEN_DAYS_LATER_MS = (_BEGAN + 10 * _DAY_S) * 1_000

KINDS = (
    "invoice.finalized",
    "invoice.paid",
    "credit_note.created",
    "charge.refunded",
    "invoice.voided",
    "customer.updated",
    "invoice.updated",
)


@dataclass(frozen=True, slots=True)
class Account:
    """A customer and the bodies of its events, by kind."""

    customer: str
    bodies: Mapping[str, bytes]


def accounts(count: int) -> Sequence[Account]:
    """So many customers, each with one event of every kind."""
    return [
        Account(member.customer, dict(_bodies(member))) for member in map(_member, range(count))
    ]


def _member(index: int) -> Cast:
    return Cast(
        index=index,
        customer=f"cus_b{index:06d}",
        country="US",
        plan=_PLAN,
        tax=TAXES[0],
        discount_percent=0,
        on_terms=False,
        sign_up_second=0,
        feature=None,
        late_days=0,
    )


def _bodies(member: Cast) -> Iterator[tuple[str, bytes]]:
    name = f"in_{member.customer[4:]}"
    lines = [
        payload.line(
            member,
            f"il_{name}_{number}",
            plan,
            plan.amount,
            period=(_BEGAN, _ENDS),
            text="1 x plan",
        )
        for number, plan in enumerate((_PLAN, _EXTRA), start=1)
    ]
    open_ = payload.invoice(member, name, lines, _BEGAN, 0)
    paid = payload.changed(
        open_, _BEGAN + 60, "paid_at",
        amount_paid=open_["total"], charge=f"ch_{name}", paid=True, status="paid",
    )  # fmt: skip
    refund = payload.refund(paid, f"re_{name}", paid["total"] // 4, _BEGAN + 3 * _DAY_S)
    told = {
        "invoice.finalized": open_,
        "invoice.paid": paid,
        "credit_note.created": payload.credit_note(paid, f"cn_{name}", (1, 5), _BEGAN + 2 * _DAY_S),
        "charge.refunded": payload.charge(paid, [refund], _BEGAN + 3 * _DAY_S),
        "invoice.voided": payload.changed(open_, _BEGAN + 4 * _DAY_S, "voided_at", status="void"),
        "customer.updated": payload.customer(member, _BEGAN),
        "invoice.updated": paid,
    }
    for number, kind in enumerate(KINDS):
        yield kind, _body(kind, f"evt_{name}_{number}", told[kind], _BEGAN + number * _DAY_S)


def _body(kind: str, identity: str, body: Mapping[str, Any], at: int) -> bytes:
    event = {
        "id": identity,
        "object": "event",
        "api_version": payload.API_VERSION,
        "created": at,
        "data": {"object": body},
        "livemode": False,
        "pending_webhooks": 1,
        "request": {"id": None, "idempotency_key": None},
        "type": kind,
    }
    return json.dumps(event, indent=2).encode()
