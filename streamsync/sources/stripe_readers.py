"""Which reader takes which Stripe event type.

Problem: readers need different parts of an event, and the table from type to reader should be seen
at a glance. How: one payload value with every part, and one table.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Final

from streamsync.core.facts import Fact
from streamsync.sources import (
    stripe_charge,
    stripe_contract,
    stripe_dispute,
    stripe_invoice,
    stripe_settlement,
)
from streamsync.sources.stripe_charge import Read


@dataclass(frozen=True, slots=True)
class Payload:
    """The parts of an event that readers use; `body` is the object in the older shape."""

    body: Mapping[str, object]
    previous: Mapping[str, object]
    created_ms: int
    new_shape: bool
    digest: str


Reader = Callable[[Payload], Read]


def _of(read: Callable[[object, int], Fact]) -> Reader:
    return lambda payload: Read((read(payload.body, payload.created_ms),))


def _whole(read: Callable[[object, int], Read]) -> Reader:
    return lambda payload: read(payload.body, payload.created_ms)


def _charge(payload: Payload) -> Read:
    return stripe_charge.read_charge(payload.body, payload.created_ms, new_shape=payload.new_shape)


def _refunds(payload: Payload) -> Read:
    return stripe_settlement.read_refunds(
        payload.body, payload.created_ms, new_shape=payload.new_shape
    )


def _invoice(read: Callable[[object, int], Fact]) -> Reader:
    """Facts of an invoice tie its id, and the charge that paid it, to its account."""

    def reader(payload: Payload) -> Read:
        fact = read(payload.body, payload.created_ms)
        return Read((fact,), links=stripe_invoice.links_of(fact, new_shape=payload.new_shape))

    return reader


def _invoice_updated(payload: Payload) -> Read:
    # The newer shape tells each part by invoice_payment.paid.
    if payload.new_shape:
        return Read(())
    part = stripe_invoice.read_part_paid(payload.body, payload.previous, payload.created_ms)
    return Read(() if part is None else (part,))


def _dispute(change: str) -> Reader:
    return lambda payload: stripe_dispute.read_dispute(payload.body, payload.created_ms, change)


def _payout(change: str) -> Reader:
    return lambda payload: stripe_dispute.read_payout(payload.body, payload.created_ms, change)


def _subscription(change: str) -> Reader:
    def reader(payload: Payload) -> Read:
        fact = stripe_contract.read_subscription(
            payload.body, payload.previous, payload.created_ms, change, payload.digest
        )
        return Read((fact,))

    return reader


def _customer(change: str) -> Reader:
    def reader(payload: Payload) -> Read:
        return Read(
            (
                stripe_contract.read_customer(
                    payload.body, payload.created_ms, change, payload.digest
                ),
            )
        )

    return reader


_READERS: Final[Mapping[str, Reader]] = {
    "invoice.finalized": _invoice(stripe_invoice.read_issued),
    "invoice.paid": _invoice(stripe_invoice.read_paid),
    "invoice.payment_succeeded": _invoice(stripe_invoice.read_paid),
    "invoice.payment_failed": _of(stripe_invoice.read_failed),
    "invoice.voided": _of(stripe_invoice.read_voided),
    "invoice.marked_uncollectible": _of(stripe_invoice.read_uncollectible),
    "invoice.overdue": _of(stripe_invoice.read_overdue),
    "invoice.updated": _invoice_updated,
    "invoice_payment.paid": _whole(stripe_charge.read_invoice_payment),
    "charge.succeeded": _charge,
    "charge.captured": _charge,
    "charge.updated": _charge,
    "charge.refunded": _refunds,
    "charge.refund.updated": _whole(stripe_charge.read_refund),
    "refund.created": _whole(stripe_charge.read_refund),
    "refund.updated": _whole(stripe_charge.read_refund),
    "refund.failed": _whole(stripe_charge.read_refund),
    "charge.dispute.created": _dispute("created"),
    "charge.dispute.funds_withdrawn": _dispute("funds_withdrawn"),
    "charge.dispute.funds_reinstated": _dispute("funds_reinstated"),
    "charge.dispute.closed": _dispute("closed"),
    "credit_note.created": _of(stripe_settlement.read_credit_note),
    "credit_note.voided": _of(stripe_settlement.read_note_voided),
    "payout.paid": _payout("paid"),
    "payout.failed": _payout("failed"),
    "customer_cash_balance_transaction.created": _whole(stripe_charge.read_cash),
    "customer.created": _customer("created"),
    "customer.updated": _customer("updated"),
    "customer.deleted": _customer("deleted"),
    "customer.subscription.created": _subscription("created"),
    "customer.subscription.updated": _subscription("updated"),
    "customer.subscription.deleted": _subscription("deleted"),
    "customer.subscription.paused": _subscription("paused"),
    "customer.subscription.resumed": _subscription("resumed"),
}

HANDLED: Final = frozenset(_READERS)


def read_payload(event_type: str, payload: Payload) -> Read:
    """The facts of a handled type; `Refusal` for what is wrong with it."""
    return _READERS[event_type](payload)


_NOTHING: Final[Mapping[str, tuple[str, str, str]]] = {
    "charge.refunded": ("no_entry", "amount_zero", "data.object.amount_refunded: 0"),
    "invoice.updated": ("ignored", "type_cannot_touch_books", "data.object: no payment in it"),
    "customer_cash_balance_transaction.created": (
        "unknown",
        "type_not_handled",
        "data.object.type: neither funded, applied_to_payment nor unapplied_from_payment",
    ),
}


def nothing_read(event_type: str) -> tuple[str, str, str]:
    """outcome, reason and detail of a handled type that told no fact."""
    told = _NOTHING.get(event_type)
    return told or ("no_entry", "charge_not_captured", "data.object.captured: no money taken yet")
