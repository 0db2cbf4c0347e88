"""Shapes of the Stripe objects that tell how money moved: charges, refunds, disputes, payouts.

Problem: Stripe names a balance transaction by its id, or, expanded, holds it whole with amounts in
the currency of settlement, signed by the view of the balance. How: strict models of the few fields
that are read, and one function that turns a movement's signs into directions.
"""

from __future__ import annotations

from decimal import Decimal
from typing import Annotated

from pydantic import BeforeValidator, Field

from streamsync.core.facts import BalanceFee, BalanceTransaction
from streamsync.core.money import STRIPE_EXPONENTS, iso_minor
from streamsync.sources.refusal import Refusal
from streamsync.sources.stripe_currency import currency_of
from streamsync.sources.stripe_payload import (
    Amount,
    Id,
    Piece,
    Seconds,
    Word,
)


def _only_expanded(value: object) -> object:
    """An object that is held whole; an id alone tells nothing of it."""
    return value if isinstance(value, dict) else None


def _decimal_of(value: object) -> object:
    return Decimal(value) if type(value) is int else value


Rate = Annotated[
    Decimal, BeforeValidator(_decimal_of), Field(gt=0, max_digits=30, decimal_places=20)
]


class FeeDetail(Piece):
    """One fee of a balance transaction."""

    amount: Amount
    type: Word


class Movement(Piece):
    """A balance transaction."""

    id: Id
    type: Word
    amount: Amount
    fee: Amount
    net: Amount
    currency: Word
    created: Seconds | None = None
    exchange_rate: Rate | None = None
    fee_details: list[FeeDetail] | None = None


Expanded = Annotated[Movement | None, BeforeValidator(_only_expanded)]


class TransferData(Piece):
    """Where the money of a destination charge goes."""

    destination: Id | None = None


class ChargeObject(Piece):
    """A charge; `invoice` is there in the older shape only."""

    id: Id
    amount: Amount
    amount_captured: Amount | None = None
    application_fee_amount: Amount | None = None
    balance_transaction: Expanded = None
    captured: bool | None = None
    created: Seconds | None = None
    currency: Word
    invoice: Id | None = None
    payment_intent: Id | None = None
    status: Word | None = None
    transfer_data: TransferData | None = None


class RefundItem(Piece):
    """One refund of a charge."""

    id: Id
    amount: Amount
    created: Seconds | None = None
    status: Word | None = None
    balance_transaction: Expanded = None


class RefundItems(Piece):
    """Embedded refunds, newest first."""

    data: list[RefundItem]
    has_more: bool | None = None


class RefundedCharge(ChargeObject):
    """A charge of which something was given back."""

    amount_refunded: Amount
    refunds: RefundItems | None = None


class RefundObject(Piece):
    """A refund that is told by itself."""

    id: Id
    amount: Amount
    balance_transaction: Expanded = None
    failure_balance_transaction: Expanded = None
    charge: Id | None = None
    created: Seconds | None = None
    currency: Word
    payment_intent: Id | None = None
    status: Word | None = None


class DisputeObject(Piece):
    """A dispute with the movements that it made."""

    id: Id
    amount: Amount
    balance_transactions: list[Movement] | None = None
    charge: Id
    created: Seconds | None = None
    currency: Word
    payment_intent: Id | None = None
    reason: Word | None = None
    status: Word


class PayoutObject(Piece):
    """A payout."""

    id: Id
    amount: Amount
    arrival_date: Seconds | None = None
    balance_transaction: Expanded = None
    failure_balance_transaction: Expanded = None
    currency: Word
    failure_code: Word | None = None


class PaidBy(Piece):
    """What an invoice was paid with."""

    charge: Id | None = None
    payment_intent: Id | None = None


class PaymentTimes(Piece):
    """Business times of an invoice payment."""

    paid_at: Seconds | None = None


class InvoicePaymentObject(Piece):
    """One payment of an invoice (2025-03-31 and later)."""

    id: Id
    amount_paid: Amount
    currency: Word
    invoice: Id
    payment: PaidBy
    status_transitions: PaymentTimes | None = None


class CashTransaction(Piece):
    """A movement of the money that a customer keeps with Stripe."""

    id: Id
    created: Seconds | None = None
    currency: Word
    net_amount: Amount
    type: Word
    applied_to_payment: PaidBy | None = None
    unapplied_from_payment: PaidBy | None = None


def not_below_zero(amount: int, place: str) -> int:
    """The amount, or a refusal that names its place."""
    if amount < 0:
        raise Refusal("amount_negative", f"{place}: {amount} is below zero")
    return amount


def movement_of(movement: Movement | None, place: str) -> BalanceTransaction | None:
    """The canonical movement, in ISO minor units of its own currency; None where there is none."""
    if movement is None:
        return None
    if movement.amount - movement.fee != movement.net:
        raise Refusal(
            "document_total_mismatch",
            f"{place}.net: {movement.net}, amount {movement.amount} less fee {movement.fee} is "
            f"{movement.amount - movement.fee}, difference "
            f"{movement.net - movement.amount + movement.fee}",
        )
    currency = currency_of(movement.currency, f"{place}.currency")

    def minor(amount: int) -> int:
        return iso_minor(abs(amount), currency, STRIPE_EXPONENTS)

    rate = movement.exchange_rate
    try:
        return BalanceTransaction(
            balance_transaction_id=movement.id,
            kind=movement.type,
            direction="in" if movement.amount >= 0 else "out",
            amount_minor=minor(movement.amount),
            fee_minor=minor(movement.fee),
            fee_direction="charged" if movement.fee >= 0 else "returned",
            net_minor=minor(movement.net),
            net_direction="in" if movement.net >= 0 else "out",
            currency=currency,
            exchange_rate=None if rate is None else format(rate, "f"),
            fees=tuple(
                BalanceFee(
                    kind=fee.type,
                    direction="charged" if fee.amount >= 0 else "returned",
                    amount_minor=minor(fee.amount),
                )
                for fee in movement.fee_details or []
            ),
        )
    except ValueError as error:
        raise Refusal("amount_not_integer", f"{place}: {error}") from error
