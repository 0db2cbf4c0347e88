"""What the payment processor may tell of a life: payouts, disputes, failed refunds, lone charges.

Problem: this money moves beside the invoices, and only what the processor holds can go on. How:
each move is a function of the biller, and `moves` names those that are possible next.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

from .bill import AMOUNTS, DAY

if TYPE_CHECKING:
    from .biller import Biller

Move = Callable[["Biller"], None]


def moves(biller: Biller) -> list[Move]:
    """What the processor may tell next, beside what the billing system does."""
    found: list[Move] = []
    if biller.cash > 0:
        found.append(payout)
    if any(bill.charged and bill.state == "paid" for bill in biller.bills):
        found.append(dispute)
    if any(bill.state == "marked_uncollectible" and bill.due > 0 for bill in biller.bills):
        found.append(recover)
    if biller.paid():
        found.append(lambda one: one.note_with_refund())
    if any(bill.refunds for bill in biller.bills):
        found.append(refund_fails)
    if any(bill.notes for bill in biller.bills):
        found.append(void_note)
    return found or [lone_charge]


def lone_charge(biller: Biller) -> None:
    """A charge that no invoice asked for."""
    biller.charged(f"ch_{biller.name()}", None, biller.pick(AMOUNTS[2:]))


def payout(biller: Biller) -> None:
    """What the processor holds goes to the bank; sometimes it comes back."""
    amount = biller.part(biller.cash)
    biller.cash -= amount
    payload = {
        "id": f"po_{biller.name()}",
        "object": "payout",
        "amount": amount,
        "currency": biller.settled_in,
        "arrival_date": biller.clock + DAY,
        "created": biller.clock,
        "status": "paid",
        "method": "standard",
        "type": "bank_account",
        "balance_transaction": biller.moved("payout", -amount, 0),
    }
    biller.tell("payout.paid", payload, f"of {amount}")
    if biller.choose(4) == 3:
        biller.clock += 3 * DAY
        biller.cash += amount
        failed = payload | {"status": "failed", "failure_code": "account_closed"}
        biller.tell("payout.failed", failed, f"of {amount}")


def dispute(biller: Biller) -> None:
    """A customer objects to a charge: funds are withdrawn, and it is won or lost."""
    bills = [bill for bill in biller.bills if bill.charged and bill.state == "paid"]
    bill = biller.pick(bills)
    if bill.disputed:
        return biller.subscription()
    bill.disputed = f"dp_{biller.name()}"
    amount = biller.part(bill.charged)
    fee = biller.pick((1500, 0))
    taken = biller.movement("adjustment", -amount, fee)
    won = biller.choose(2)
    payload = {
        "id": bill.disputed,
        "object": "dispute",
        "amount": amount,
        "currency": biller.market.currency,
        "charge": f"ch_{bill.payload['id']}",
        "payment_intent": None,
        "created": biller.clock,
        "reason": "general",
        "status": "needs_response",
        "balance_transactions": [],
    }
    biller.tell("charge.dispute.created", payload, f"of {amount} on {bill.payload['id']}")
    payload = payload | {"balance_transactions": [taken]}
    biller.tell("charge.dispute.funds_withdrawn", payload, f"{amount} and a fee of {fee}")
    biller.cash += taken["net"]
    if biller.choose(3) == 2:
        return None
    biller.clock += biller.pick((1, 30)) * DAY
    status = "won" if won else "lost"
    if won:
        back = biller.movement("adjustment", amount, 0)
        payload = payload | {"balance_transactions": [taken, back]}
        biller.tell("charge.dispute.funds_reinstated", payload | {"status": "won"}, f"{amount}")
        biller.cash += back["net"]
    return biller.tell("charge.dispute.closed", payload | {"status": status}, status)


def recover(biller: Biller) -> None:
    """An invoice that was given up is paid after all."""
    lost = [one for one in biller.bills if one.state == "marked_uncollectible" and one.due > 0]
    biller.pay_bill(biller.pick(lost))


def refund_fails(biller: Biller) -> None:
    """The last refund of a bill did not arrive."""
    bill = biller.pick([one for one in biller.bills if one.refunds])
    last = bill.refunds[-1]
    if last["status"] == "failed" or last.get("noted"):
        return biller.subscription()
    bill.refunds[-1] = last | {"status": "failed"}
    back = biller.movement("refund_failure", last["amount"], 0)
    biller.cash += back["net"]
    if biller.market.settled and biller.choose(2):
        back = back | {"amount": back["amount"] + 1, "net": back["net"] + 1}
        last = last | {"failure_balance_transaction": back}
    payload = last | {
        "charge": f"ch_{bill.payload['id']}",
        "currency": biller.market.currency,
        "status": "failed",
        "failure_reason": "expired_or_canceled_card",
    }
    return biller.tell("charge.refund.updated", payload, f"failed on {bill.payload['id']}")


def void_note(biller: Biller) -> None:
    """A credit note is taken back."""
    bill = biller.pick([one for one in biller.bills if one.notes])
    note = bill.notes.pop()
    before = note["type"] == "pre_payment"
    if before and bill.state != "open":
        return biller.subscription()
    bill.noted -= note["total"]
    bill.noted_tax -= sum(one["amount"] for one in note["tax_amounts"])
    if not before:
        biller.balance += note["total"]
    voided = note | {"status": "void", "voided_at": biller.clock}
    return biller.tell("credit_note.voided", voided, f"on {note['invoice']}")
