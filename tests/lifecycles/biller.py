"""A small billing system for one customer with one subscription: it makes only possible moves.

Problem: random payloads are mostly impossible ones, which prove nothing about possible ones. How:
the biller knows its open and paid invoices, what each still has to give back and the customer's
balance, and each move picks among what could happen next, in the shapes of Stripe's API.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, TypeVar

from tests.stripe_payloads import charge, credit_note, event, invoice, line, refund, tax

from . import agreement, meter, processor, taxman, wallet
from .bill import AMOUNTS, DAY, Bill, line_text, net_of
from .life import Choose, Event, Market
from .processor import Move

T = TypeVar("T")
BEGIN = 1_767_139_200  # 2025-12-31T00:00:00Z: still December in New York, soon January in Tokyo
DAYS_ON = (0, 1, 9, 17, 31, 44)
HOURS = (12, 0, 4, 5, 15, 23)
SERVICE_DAYS = (31, 0, 1, 14, 28, 90, 365)
SHARES = (2, 1, 3, 7)


class Biller:
    """The life of one subscription."""

    def __init__(
        self, choose: Choose, market: Market, number: int, *, processor: bool = False
    ) -> None:
        """Nothing has happened yet. `processor`: also fees and disputes are told, and usage."""
        self.processor = processor
        self.cash = 0
        self.agreements: list[agreement.Agreement] = []
        self.wallet = False
        self.used: dict[str, int] = {}
        """Usage documents, and when their period began."""
        self.choose = choose
        self.market = market
        self.number = number
        self.customer = f"cus_{number}"
        self.clock = BEGIN
        self.serial = 0
        self.balance = 0
        self.bills: list[Bill] = []
        self.events: list[Event] = []

    def move(self) -> None:
        """Time goes on, and one possible thing happens (the first: a new invoice)."""
        days = self.pick(DAYS_ON)
        self.clock += days * DAY
        self.clock += (self.pick(HOURS) - self.clock // 3600 % 24) % 24 * 3600
        possible: list[Move] = [Biller.bill, Biller.change, Biller.subscription]
        if self.unpaid():
            possible += [Biller.pay, Biller.fail, Biller.overdue]
        if self.open_plans():
            possible += [Biller.note_before_payment, Biller.void, Biller.give_up]
        if self.paid():
            possible += [Biller.refund, Biller.note_to_balance]
        if self.processor and self.choose(2):
            kinds = (processor, meter, taxman, agreement, wallet)
            possible = [move for kind in kinds for move in kind.moves(self)] or [Biller.bill]
        self.pick(possible)(self)

    def charged(self, charge_id: str, invoice_id: str | None, amount: int) -> None:
        """The processor took an amount from a card, and keeps its fee."""
        fee = amount * 29 // 1000 + 30 if self.market.currency != "jpy" else amount * 36 // 1000
        taken = self.movement("charge", amount, fee)
        self.cash += taken["net"]
        payload = charge(
            id=charge_id,
            customer=self.customer,
            invoice=invoice_id,
            currency=self.market.currency,
            amount=amount,
            amount_captured=amount,
            created=self.clock,
            captured=True,
            paid=True,
            status="succeeded",
            balance_transaction=taken,
        )
        self.tell("charge.succeeded", payload, f"{amount} with a fee of {fee}")

    @property
    def settled_in(self) -> str:
        """The currency of the processor's balance."""
        return self.market.settled[0] if self.market.settled else self.market.currency

    def movement(self, kind: str, amount: int, fee: int) -> dict[str, Any]:
        """A balance transaction of an amount in the customer's currency; the fee is settled."""
        if self.market.settled:
            amount = amount * self.market.settled[1] // 100
        return self.moved(kind, amount, fee)

    def moved(self, kind: str, amount: int, fee: int) -> dict[str, Any]:
        """A balance transaction, in the currency of settlement."""
        return {
            "id": f"txn_{self.name()}",
            "object": "balance_transaction",
            "type": kind,
            "amount": amount,
            "fee": fee,
            "net": amount - fee,
            "currency": self.settled_in,
            "created": self.clock,
            "exchange_rate": None,
            "fee_details": [{"amount": fee, "currency": self.settled_in, "type": "stripe_fee"}]
            if fee
            else [],
        }

    def settle(self) -> None:
        """Pay or void what is open."""
        for open_bill in self.unpaid():
            self.clock += DAY
            if self.choose(3):
                self.pay_bill(open_bill)
            else:
                self.close(open_bill, "voided")

    def bill(self) -> None:
        """An invoice of one to three lines, a discount or a tax on some; often paid soon."""
        lines = [self.invoice_line(self.pick(AMOUNTS)) for _ in range(1 + self.choose(3))]
        self.issue(lines)
        if self.bills[-1] in self.unpaid() and self.choose(2):
            self.clock += self.pick((60, DAY))
            self.pay_bill(self.bills[-1])
        if self.processor and self.choose(4) == 3:
            self.clock += self.pick((1, 8, 25)) * DAY
            self.subscription_is("deleted")

    def change(self) -> None:
        """A plan change: money back for the rest of the period, and the new plan for it."""
        end = self.clock + (1 + self.choose(40)) * DAY
        back = self.plain_line(-self.pick(AMOUNTS[2:]), end, proration=True)
        new = self.plain_line(self.pick(AMOUNTS), end, proration=True)
        self.issue([back, new])

    def subscription(self) -> None:
        """A subscription began, changed or ended: only an end may move the books."""
        self.subscription_is(self.pick(("created", "updated", "deleted")))

    def subscription_is(self, kind: str) -> None:
        """What is told of a subscription."""
        payload = {
            "id": f"sub_{self.number}",
            "object": "subscription",
            "customer": self.customer,
            "currency": self.market.currency,
            "status": "canceled" if kind == "deleted" else "active",
            "start_date": BEGIN,
            "current_period_start": self.clock,
            "current_period_end": self.clock + 30 * DAY,
            "items": {"object": "list", "data": []},
        }
        self.tell(f"customer.subscription.{kind}", payload, "")

    def pay(self) -> None:
        """An open invoice is paid."""
        self.pay_bill(self.pick(self.unpaid()))

    def fail(self) -> None:
        """A card is declined."""
        bill = self.pick(self.unpaid())
        attempts = bill.payload["attempt_count"] + 1
        bill.payload = bill.payload | {"attempt_count": attempts}
        self.tell("invoice.payment_failed", bill.payload, f"declined at attempt {attempts - 1}")

    def overdue(self) -> None:
        """The day by which an open invoice should have been paid is over."""
        bill = self.pick(self.unpaid())
        if bill.overdue:
            return self.subscription()
        bill.overdue = True
        self.tell("invoice.overdue", bill.payload, f"{bill.due} of {bill.payload['id']}")
        if self.choose(2):
            self.clock += self.pick((1, 20)) * DAY
            self.pay_bill(bill)
        return None

    def void(self) -> None:
        """An open invoice is voided."""
        self.close(self.pick(self.open_plans()), "voided")

    def give_up(self) -> None:
        """An open invoice is marked uncollectible; some are paid after all."""
        bill = self.pick(self.open_plans())
        self.close(bill, "marked_uncollectible")
        if self.choose(3) == 2:
            self.clock += self.pick((9, 40)) * DAY
            self.pay_bill(bill)

    def note_before_payment(self) -> None:
        """A credit note on an open invoice; one of the whole pays it."""
        bill = self.pick(self.open_plans())
        total = self.part(bill.due)
        self.note(bill, total, "pre_payment", None)
        if bill.due == 0:
            self.settled(bill, 0)

    def note_to_balance(self) -> None:
        """A credit note on a paid invoice, kept for the next one."""
        bill = self.pick(self.paid())
        total = self.part(bill.left)
        self.note(bill, total, "post_payment", None)
        self.balance -= total

    def note_with_refund(self) -> None:
        """A credit note that a refund settles, told before or after it."""
        bill = self.pick(self.paid())
        most = min(bill.left, bill.charged - bill.refunded)
        if most <= 0:
            return self.subscription()
        total = self.part(most)
        refund_id = f"re_{self.name()}"
        after = self.choose(2)
        if not after:
            self.note(bill, total, "post_payment", refund_id)
        self.give_back(bill, refund_id, total)
        bill.noted_refunds += total
        bill.refunds[-1]["noted"] = True
        if after:
            self.note(bill, total, "post_payment", refund_id)
        return None

    def refund(self) -> None:
        """Money goes back to the card."""
        bill = self.pick(self.paid())
        most = min(bill.left, bill.charged - bill.refunded)
        if most <= 0:
            return self.subscription()
        return self.give_back(bill, f"re_{self.name()}", self.part(most))

    # How it is told.

    def issue(self, lines: list[dict[str, Any]]) -> None:
        """Finalise an invoice of these lines."""
        nets = [net_of(each) for each in lines]
        taxes = [sum(each_tax["amount"] for each_tax in each["tax_amounts"]) for each in lines]
        total = sum(nets) + sum(taxes)
        starting = self.balance
        applied = min(-starting, total) if total > 0 and starting < 0 else 0
        self.balance += applied if total >= 0 else total
        payload = invoice(
            *lines,
            id=f"in_{self.name()}",
            customer=self.customer,
            subscription=f"sub_{self.number}",
            currency=self.market.currency,
            total=total,
            amount_due=max(total - applied, 0),
            amount_paid=0,
            starting_balance=starting,
            ending_balance=self.balance,
            charge=None,
            status_transitions={"finalized_at": self.clock, "paid_at": None},
        )
        bill = Bill(payload, total, nets, taxes, applied)
        self.bills.append(bill)
        told = ", ".join(line_text(each) for each in lines)
        self.tell("invoice.finalized", payload, f"total {total}: {told}")
        if bill.due <= 0:
            self.settled(bill, 0)

    def pay_bill(self, bill: Bill) -> None:
        """Charge what is due, or note that it came another way."""
        elsewhere = self.choose(4) == 3
        bill.charged = bill.due
        if self.processor and not elsewhere:
            self.charged(f"ch_{bill.payload['id']}", bill.payload["id"], bill.charged)
        self.settled(bill, bill.charged, elsewhere=elsewhere)

    def settled(self, bill: Bill, amount: int, *, elsewhere: bool = False) -> None:
        """Tell that an invoice is paid, under one of the two names or both."""
        bill.state = "elsewhere" if elsewhere else "paid"
        bill.payload = bill.payload | {
            "amount_paid": amount,
            "paid_out_of_band": elsewhere,
            "charge": f"ch_{bill.payload['id']}" if amount and not elsewhere else None,
            "status_transitions": bill.payload["status_transitions"] | {"paid_at": self.clock},
        }
        text = f"{amount} charged, {bill.from_balance} from the balance"
        text += ", elsewhere" if elsewhere else ""
        names = (["paid"], ["payment_succeeded"], ["paid", "payment_succeeded"])
        for name in self.pick(names):
            self.tell(f"invoice.{name}", bill.payload, text)

    def close(self, bill: Bill, kind: str) -> None:
        """Void an invoice, or give it up."""
        bill.state = kind
        times = bill.payload["status_transitions"] | {f"{kind}_at": self.clock}
        bill.payload = bill.payload | {"status_transitions": times}
        self.tell(f"invoice.{kind}", bill.payload, "")

    def note(self, bill: Bill, total: int, kind: str, refund_id: str | None) -> None:
        """A credit note with its tax in the invoice's ratio, so much as is left of it."""
        gross, whole_tax = bill.total, sum(bill.taxes)
        left = max(whole_tax - bill.noted_tax, 0)
        owed = min(total * max(whole_tax, 0) // gross, left) if gross > 0 else 0
        bill.noted += total
        bill.noted_tax += owed
        to_balance = kind == "post_payment" and refund_id is None
        payload = credit_note(
            id=f"cn_{self.name()}",
            customer=self.customer,
            invoice=bill.payload["id"],
            currency=self.market.currency,
            created=self.clock,
            type=kind,
            total=total,
            refund=refund_id,
            customer_balance_transaction=f"cbtxn_{self.name()}" if to_balance else None,
            tax_amounts=[tax(owed)] if owed else [],
        )
        payload["lines"]["data"] = []
        if refund_id is None and bill.state == "open" or to_balance:
            bill.notes.append(payload)
        text = f"of {total} ({owed} tax) on {bill.payload['id']}, {kind}"
        self.tell("credit_note.created", payload, text + (f", {refund_id}" if refund_id else ""))

    def give_back(self, bill: Bill, refund_id: str, amount: int) -> None:
        """A refund, told by its charge with all refunds so far."""
        moved = self.movement("refund", -amount, 0)
        self.cash += moved["net"]
        bill.refunds.append(refund(refund_id, amount, self.clock) | {"balance_transaction": moved})
        payload = charge(
            *reversed(bill.refunds),  # the newest first, as Stripe lists them
            id=f"ch_{bill.payload['id']}",
            customer=self.customer,
            invoice=bill.payload["id"],
            currency=self.market.currency,
            amount=bill.charged,
            amount_refunded=bill.refunded,
        )
        self.tell("charge.refunded", payload, f"{refund_id} of {amount} on {bill.payload['id']}")

    def tell(self, kind: str, payload: dict[str, Any], text: str) -> None:
        """One webhook."""
        name = str(payload["id"])
        made = event(kind, dict(payload), id=f"evt_{self.name()}", created=self.clock)
        self.events.append(Event(self.clock, made, f"{name} {text}".strip()))

    def invoice_line(self, amount: int) -> dict[str, Any]:
        """A line with or without a service period, discounted or taxed or not."""
        days = self.pick(SERVICE_DAYS)
        # A line may be billed before its service begins, after it began, or when it is over.
        start = self.clock + self.pick((0, -40, -3, 20)) * DAY
        made = self.plain_line(amount, start + days * DAY, start=start)
        if self.choose(4) == 3:
            made["discount_amounts"] = [{"amount": amount // 3, "discount": "di_1"}]
        percent = self.pick(self.market.tax_percent)
        base = net_of(made)
        if percent and base:
            inclusive = bool(self.choose(2))
            owed = base * percent // (100 + percent) if inclusive else base * percent // 100
            made["tax_amounts"] = [tax(owed, inclusive)]
        return made

    def plain_line(
        self, amount: int, end: int, *, start: int | None = None, proration: bool = False
    ) -> dict[str, Any]:
        """A line of the subscription."""
        return line(
            amount,
            id=f"il_{self.name()}",
            currency=self.market.currency,
            subscription=f"sub_{self.number}",
            period={"start": self.clock if start is None else start, "end": end},
            proration=proration,
        )

    def unpaid(self) -> list[Bill]:
        """Open invoices with something to pay."""
        return [bill for bill in self.bills if bill.state == "open" and bill.due > 0]

    def open_plans(self) -> list[Bill]:
        """Those of them that bill no usage."""
        return [bill for bill in self.unpaid() if not bill.metered]

    def paid(self) -> list[Bill]:
        """Paid invoices that can still give something back."""
        paid = [bill for bill in self.bills if bill.state == "paid" and not bill.metered]
        return [bill for bill in paid if bill.left > 0]

    def part(self, amount: int) -> int:
        """All of an amount, or a part of it that is not zero."""
        return max(amount // self.pick(SHARES), 1)

    def pick(self, options: Sequence[T]) -> T:
        """One of several; the first is the simplest."""
        return options[self.choose(len(options))]

    def name(self) -> str:
        """The next id: no two objects share one."""
        self.serial += 1
        return f"{self.number}_{self.serial}"
