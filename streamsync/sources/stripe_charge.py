"""Facts of charges: taken, refunded by a refund that is told alone, and money kept for later.

Problem: a charge is told when it succeeds, is captured and changes; a refund names only its charge;
from 2025-03-31 on a charge names no invoice. How: one fact per charge with figures that never
change, whichever event tells it; what names another object says which, and is held until that
object's document is known.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from streamsync.core.facts import Charge, Fact, ObjectName, Payment, Refund
from streamsync.sources.stripe_currency import currency_of
from streamsync.sources.stripe_money import (
    CashTransaction,
    ChargeObject,
    InvoicePaymentObject,
    RefundObject,
    movement_of,
    not_below_zero,
)
from streamsync.sources.stripe_payload import read_piece

_FAILED = frozenset({"failed", "canceled"})


@dataclass(frozen=True, slots=True)
class Read:
    """What a payload tells: facts, the object that it names in place of a document, and what it
    ties to its account.
    """

    facts: tuple[Fact, ...]
    names: str | None = None
    links: tuple[ObjectName, ...] = ()


def read_charge(value: object, created_ms: int, *, new_shape: bool) -> Read:
    """charge.succeeded, captured and updated: one and the same fact; none before the capture."""
    charge = read_piece(ChargeObject, value)
    taken = charge_of(charge)
    if charge.captured is False or charge.status not in (None, "succeeded"):
        return Read(())
    document = charge.invoice or charge.id
    fact = Fact(
        fact_id=f"charge_succeeded:{charge.id}",
        kind="charge_succeeded",
        document=document,
        document_kind="invoice" if charge.invoice else "charge",
        currency=currency_of(charge.currency, "data.object.currency"),
        occurred_at_ms=created_ms if charge.created is None else charge.created * 1000,
        charge=taken,
    )
    names = named_by(charge, new_shape=new_shape)
    return Read((fact,), names, links_of(charge, new_shape=new_shape))


def named_by(charge: ChargeObject, *, new_shape: bool) -> str | None:
    """In the newer shape a charge tells its invoice only through its payment intent."""
    return charge.payment_intent if new_shape and charge.invoice is None else None


def links_of(charge: ChargeObject, *, new_shape: bool) -> tuple[ObjectName, ...]:
    """What a charge is part of, for those that name only the charge or its payment intent.

    In the newer shape it does not know by itself: the link of its intent is what it waits for.
    """
    document = charge.invoice or charge.id
    kind = "invoice" if charge.invoice else "charge"
    link = ObjectName(object=charge.id, document=document, document_kind=kind)
    if charge.payment_intent is None or named_by(charge, new_shape=new_shape):
        return (link,)
    intent = ObjectName(object=charge.payment_intent, document=document, document_kind=kind)
    return (link, intent)


def charge_of(charge: ChargeObject) -> Charge:
    """The charge as it was captured."""
    captured = charge.amount if charge.amount_captured is None else charge.amount_captured
    destination = charge.transfer_data.destination if charge.transfer_data else None
    fee = charge.application_fee_amount
    return Charge(
        charge=charge.id,
        processor="stripe",
        payment_intent=charge.payment_intent,
        amount_minor=not_below_zero(captured, "data.object.amount_captured"),
        destination=destination is not None,
        application_fee_minor=None
        if fee is None
        else not_below_zero(fee, "data.object.application_fee_amount"),
        balance=movement_of(charge.balance_transaction, "data.object.balance_transaction"),
    )


def read_refund(value: object, created_ms: int) -> Read:
    """refund.* and charge.refund.updated: evidence, or the failure of a refund."""
    refund = read_piece(RefundObject, value)
    failed = refund.status in _FAILED
    charge = refund.charge or refund.payment_intent or refund.id
    created = created_ms if refund.created is None else refund.created * 1000
    place = "data.object.balance_transaction"
    movement = refund.failure_balance_transaction if failed else refund.balance_transaction
    fact = Fact(
        fact_id=f"{'refund_failed' if failed else 'refund_reported'}:{refund.id}",
        kind="refund_failed" if failed else "refund_reported",
        document=charge,
        document_kind="charge",
        currency=currency_of(refund.currency, "data.object.currency"),
        occurred_at_ms=created_ms if failed else created,
        refund=Refund(
            refund_id=refund.id,
            charge=charge,
            payment_intent=refund.payment_intent,
            amount_minor=not_below_zero(refund.amount, "data.object.amount"),
            status="failed" if failed else None,
            balance=movement_of(movement, place),
        ),
    )
    return Read((fact,), charge)


def read_invoice_payment(value: object, created_ms: int) -> Read:
    """invoice_payment.paid: one payment of an invoice, which it names in place of the customer."""
    paid = read_piece(InvoicePaymentObject, value)
    times = paid.status_transitions
    seconds = times.paid_at if times else None
    reference = paid.payment.charge or paid.payment.payment_intent
    fact = Fact(
        fact_id=f"payment_applied:{paid.id}",
        kind="payment_applied",
        document=paid.invoice,
        document_kind="invoice",
        currency=currency_of(paid.currency, "data.object.currency"),
        occurred_at_ms=created_ms if seconds is None else seconds * 1000,
        payment=Payment(
            amount_minor=not_below_zero(paid.amount_paid, "data.object.amount_paid"),
            from_balance_minor=0,
            out_of_band=reference is None,
            part=True,
            processor="stripe",
            gateway_reference=reference,
            payment_intent=paid.payment.payment_intent,
        ),
    )
    tied = (paid.payment.charge, paid.payment.payment_intent)
    links = tuple(
        ObjectName(object=name, document=paid.invoice, document_kind="invoice")
        for name in tied
        if name is not None
    )
    return Read((fact,), paid.invoice, links)


_CASH = {
    "funded": "cash_received",
    "applied_to_payment": "cash_applied",
    "unapplied_from_payment": "payment_unapplied",
}


def read_cash(value: object, created_ms: int) -> Read:
    """customer_cash_balance_transaction.created: received, used, or taken off a payment again."""
    cash = read_piece(CashTransaction, value)
    kind = _CASH.get(cash.type)
    if kind is None:
        return Read(())
    payment = cash.applied_to_payment or cash.unapplied_from_payment
    intent = payment.payment_intent if payment else None
    fact = Fact(
        fact_id=f"{kind}:{cash.id}",
        kind=kind,
        document=cash.id,
        document_kind="cash",
        currency=currency_of(cash.currency, "data.object.currency"),
        occurred_at_ms=created_ms if cash.created is None else cash.created * 1000,
        payment=Payment(
            amount_minor=abs(cash.net_amount),
            from_balance_minor=0,
            out_of_band=False,
            processor="stripe",
            gateway_reference=intent,
            payment_intent=intent,
        ),
    )
    return Read((fact,), intent if kind == "payment_unapplied" else None)


def read_session(body: object) -> Sequence[ObjectName]:
    """checkout.session.completed without an invoice: its payment belongs to no invoice."""
    if not isinstance(body, dict) or body.get("mode") != "payment" or body.get("invoice"):
        return ()
    intent = body.get("payment_intent")
    name = intent.get("id") if isinstance(intent, dict) else intent
    return (ObjectName(object=name),) if isinstance(name, str) and name else ()
