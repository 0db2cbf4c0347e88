"""What the payment processor tells: charges with their fees, disputes, payouts.

The problem: this money moves beside the documents that it pays. How: each fact is booked by itself,
by what it says of its movements; a failed payout is the inverse of the payout.
"""

from dataclasses import replace
from typing import Any

from . import facts as f


class Processor:
    """Books the processor's facts into the books of all."""

    def __init__(self, books: Any) -> None:  # noqa: ANN401 (the books, which import this module)
        """Nothing is booked yet."""
        self.books = books

    def book(self, fact: f.Fact) -> None:
        """Book a fact of the processor's; another is none of it."""
        if isinstance(fact, f.Charge):
            self.books.settle(fact, self.charge(fact))
        elif isinstance(fact, f.Dispute):
            self.books.settle(fact, self.dispute(fact))
        elif isinstance(fact, f.Payout):
            self.books.settle(fact, self.payout(fact))

    def charge(self, charge: f.Charge) -> str:
        """Revenue of a charge that no invoice asked for, and the processor's fee."""
        entity = self.books.entity_of(charge)
        if entity is None or self.books.links.is_open(charge.fact_id):
            return "waiting"
        entry = self.books.entry(charge, entity)
        if charge.application_fee is not None:
            entry.put("debit", "clearing", charge.application_fee)
            entry.put("credit", "application_fee_revenue", charge.application_fee)
        elif charge.invoice is None:
            entry.put("debit", "clearing", charge.amount)
            entry.put("credit", "revenue", charge.amount)
        booked_any = self.books.add(entry)
        if charge.movement is not None:
            fee = replace(entry, currency=charge.movement.currency, purpose=f.FEE, legs=[])
            fee.put("debit", "processing_fees", charge.movement.fee)
            fee.put("credit", "clearing", charge.movement.fee)
            booked_any = self.books.add(fee) or booked_any
            taken = charge.amount if charge.application_fee is None else charge.application_fee
            self.books.convert(charge, entry, taken, charge.movement)
        return "posted" if booked_any else "no_entry"

    def dispute(self, dispute: f.Dispute) -> str:
        """Disputed funds are parked until the dispute is decided."""
        entity = self.books.entity_of(dispute)
        if entity is None:
            return "waiting"
        entry = self.books.entry(dispute, entity)
        policy = self.books.company.entities[entity].policy(entry.day)
        costs = policy.role("dispute_funds_withdrawn", "fee", "dispute_fees")
        losses = policy.role("dispute_lost", "amount", "dispute_losses")
        fees = replace(entry, legs=[])
        own = [one for one in dispute.movements if one.currency == dispute.currency]
        other = [one for one in dispute.movements if one.currency != dispute.currency]
        if dispute.purpose in (f.WITHDRAWN, f.REINSTATED):
            amount = sum(abs(one.amount) for one in own) if own else dispute.amount
            if dispute.purpose == f.REINSTATED:
                amount = -amount
            fee = sum(one.fee for one in own)
            entry.put("debit", "disputes_receivable", amount)
            entry.put("debit", costs, fee)
            entry.put("credit", "clearing", amount + fee)
            for one in other:
                fees = replace(fees, currency=one.currency)
                fees.put("debit", costs, one.fee)
                fees.put("credit", "clearing", one.fee)
            if not own:
                self.books.convert(dispute, entry, -amount, *other)
        elif dispute.purpose == f.DISPUTE_CLOSED and dispute.status == "lost":
            parked = -sum(one.amount for one in own) if own else dispute.amount
            entry.put("debit", losses, parked)
            entry.put("credit", "disputes_receivable", parked)
        booked_any = [self.books.add(entry), self.books.add(fees)]
        return "posted" if any(booked_any) else "no_entry"

    def payout(self, payout: f.Payout) -> str:
        """Money moves from the processor to the bank; a failure is the inverse."""
        entity = self.books.company.entity_of({}, payout.currency)
        paid = self.books.told.get((f.PAID_OUT, payout.fact_id))
        if entity is None:
            return "waiting"
        if not isinstance(paid, f.Payout):
            return "no_entry"
        if paid.movement is not None and paid.movement.currency != paid.currency:
            return "rejected"
        entry = self.books.entry(payout, entity)
        fee = paid.movement.fee if paid.movement is not None else 0
        sign = 1 if payout.purpose == f.PAID_OUT else -1
        entry.put("debit", "bank", sign * paid.amount)
        entry.put("debit", "processing_fees", sign * fee)
        entry.put("credit", "clearing", sign * (paid.amount + fee))
        return "posted" if self.books.add(entry) else "no_entry"
