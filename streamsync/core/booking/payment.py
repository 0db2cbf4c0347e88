"""Payments of a document: whole, in parts, too much, undone, and after it was given up.

Problem: one payment is told by several events, some with the sum and some with a part of it, and
booking both would take the receivable twice. How: the telling with the sum books what the parts
before it did not; a part that completes the document waits for it. A payment of a document that was
given up first brings back what was lost.
"""

from __future__ import annotations

from collections.abc import Sequence

from streamsync.core.booking.desk import Desk, Reduction, Stopped, incomplete, taken_amounts
from streamsync.core.booking.loss import take_back
from streamsync.core.document import Portion, signed_total
from streamsync.core.facts import Fact, Payment
from streamsync.core.figures import charged_amounts
from streamsync.core.restoration import less, restore, share_of
from streamsync.core.template import fill, inverse


def book_payment(desk: Desk, fact: Fact) -> None:
    """payment_applied: what was charged, and what came from the customer's balance."""
    payment = _figures(fact)
    charged = _charged(desk, fact, payment)
    if charged is None:
        desk.nothing(fact, "settled_by_payment")
        return
    over = payment.overpaid_minor
    applied = charged - over + payment.from_balance_minor
    _recover(desk, fact, applied)
    take_back(desk, fact, applied)
    desk.post(
        fact,
        "payment_out_of_band" if payment.out_of_band else "payment_applied",
        {
            "total": (Portion(applied),),
            "charged": (Portion(charged - over),),
            "from_balance": (Portion(payment.from_balance_minor),),
        },
        payment.gateway_reference,
    )
    if over:
        amounts = {"amount": (Portion(over),)}
        reference = payment.gateway_reference
        desk.post(fact, "payment_overpaid", amounts, reference, purpose="payment_overpaid")
    desk.owed_minor -= applied


def book_unapplied(desk: Desk, fact: Fact) -> None:
    """payment_unapplied: the customer owes again, and the money waits for another document."""
    payment = _figures(fact)
    amounts = {"amount": (Portion(payment.amount_minor),)}
    desk.post(fact, "payment_unapplied", amounts, payment.gateway_reference)
    desk.owed_minor += payment.amount_minor


def book_cash(desk: Desk, fact: Fact) -> None:
    """cash_received and cash_applied: money of a customer that no document has (or had) taken."""
    payment = _figures(fact)
    amounts = {"amount": (Portion(payment.amount_minor),)}
    desk.post(fact, fact.kind, amounts, payment.gateway_reference)


def charged_in_all(facts: Sequence[Fact]) -> int | None:
    """What the processor took for the document by all its payments; None: nothing was told."""
    paid = [fact.payment for fact in facts if fact.kind == "payment_applied" and fact.payment]
    taken = [fact.charge for fact in facts if fact.kind == "charge_succeeded" and fact.charge]
    told = [
        sum(payment.amount_minor for payment in paid if not payment.part),
        sum(payment.amount_minor for payment in paid if payment.part),
        sum(charge.amount_minor for charge in taken),
    ]
    return max(told) if paid or taken else None


def _figures(fact: Fact) -> Payment:
    if fact.payment is None:
        raise incomplete(fact)
    return fact.payment


def _charged(desk: Desk, fact: Fact, payment: Payment) -> int | None:
    """What this telling books of the charged money; None: another one books it."""
    charged = charged_amounts(desk.facts).get(fact.fact_id)
    paid = [one for one in desk.facts if one.kind == "payment_applied" and one.payment]
    if payment.part and all(one.payment and one.payment.part for one in paid):
        return _own_part(desk, fact, payment, paid)
    if charged is not None and charged < 0 <= payment.amount_minor:
        detail = (
            f"{payment.amount_minor} paid in all, its earlier parts add up to "
            f"{payment.amount_minor - charged}"
        )
        raise Stopped("payment_total_mismatch", detail, refused=True)
    return charged


def _own_part(desk: Desk, fact: Fact, payment: Payment, parts: Sequence[Fact]) -> int:
    """A part that leaves something to pay is booked; the last one waits for the sum."""
    left = _left_to_pay(desk)
    waiting = {one.fact_id for one in desk.waiting}
    before = [one for one in parts[: parts.index(fact)] if one.fact_id in waiting]
    told = payment.amount_minor + sum(one.payment.amount_minor for one in before if one.payment)
    if told < left:
        return payment.amount_minor
    detail = f"{told} of {left} paid by its last parts; the payment of the whole has not been seen"
    raise Stopped("payment_not_confirmed", detail, refused=False)


def _left_to_pay(desk: Desk) -> int:
    """What parts and credit notes before left to be charged; a loss does not change it."""
    document = desk.issued()
    lost = desk.lost_minor + (desk.loss.taken.total_minor if desk.loss is not None else 0)
    left = desk.owed_minor + lost
    issued = document.fact.invoice
    if issued is not None and issued.amount_due_minor is not None:
        # The rest is paid from the customer's balance, which the payment of the whole tells.
        left -= signed_total(issued) - issued.amount_due_minor
    return left


def _recover(desk: Desk, fact: Fact, applied: int) -> None:
    """A document that was given up is paid: as much of the loss is taken back."""
    loss, document = desk.loss, desk.document
    if loss is None or document is None or applied <= 0:
        return
    back = share_of(loss.taken, applied)
    policy = desk.template_policy(desk.day_of(loss.fact), loss.fact.kind)
    amounts = {"gross": (Portion(back.total_minor),), **taken_amounts(back)}
    lines = inverse(fill(policy.journals[loss.fact.kind], amounts))
    desk.enter(fact, lines, purpose="invoice_recovered")
    desk.document = restore(document, desk.day_of(fact), back)
    desk.owed_minor += back.total_minor
    left = less(loss.taken, back)
    desk.loss = Reduction(loss.fact, left) if left.total_minor else None
