"""The life of one account: sign-up, renewals, and what its feature brings.

Problem: events of one account must fit together as a billing system's do: balances carry over, a
refund repeats the charge, a credit note lowers what is due. How: `Life` keeps the few things that
carry over and tells each event with the object as it was at that moment.
"""

from __future__ import annotations

from calendar import monthrange
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any

from streamsync.simulator import payload, processor, usage
from streamsync.simulator.catalogue import UNITED_STATES, Plan, neighbour
from streamsync.simulator.payload import Object
from streamsync.simulator.scenario import Cast, account_random

DAY_S = 86_400
_PAYS_AFTER_S = 70
_TERMS_DAYS = 14
_BILLS_USAGE_AFTER_S = 1800


@dataclass(frozen=True, slots=True)
class Told:
    """One event of an account, at `at` seconds since 1970."""

    at: int
    kind: str
    body: Object
    version: str = payload.API_VERSION


def months_later(second: int, months: int) -> int:
    """The same day and time some months later; a shorter month ends earlier."""
    then = datetime.fromtimestamp(second, UTC)
    year, month = divmod(then.year * 12 + then.month - 1 + months, 12)
    day = min(then.day, monthrange(year, month + 1)[1])
    return int(then.replace(year=year, month=month + 1, day=day).timestamp())


@dataclass(slots=True)
class Life:
    """One account while its events are told."""

    member: Cast
    start: int
    seed: int
    told: list[Told] = field(default_factory=list)
    plan: Plan = field(init=False)
    anchor: int = field(init=False)
    balance: int = 0
    invoices: int = 0
    ends_at: int | None = None
    # Whether what it uses beside its plan is told and billed.
    metered: bool = False

    def __post_init__(self) -> None:
        self.plan = self.member.plan
        self.anchor = self.start + self.member.sign_up_second

    def tell(self, at: int, kind: str, body: Object) -> None:
        """Note an event."""
        self.told.append(Told(at, kind, body))

    def identity(self, prefix: str) -> str:
        """An id of this account's own."""
        return f"{prefix}_{self.member.customer[4:]}x{len(self.told):04d}"

    def period(self, cycle: int) -> tuple[int, int]:
        """Start and end of a billing cycle."""
        step = 12 if self.member.plan.annual else 1
        return (
            months_later(self.anchor, cycle * step),
            months_later(self.anchor, (cycle + 1) * step),
        )

    def subscribe(self, at: int, kind: str, status: str, period: tuple[int, int]) -> None:
        """Tell the subscription."""
        body = payload.subscription(self.member, self.plan, status, period)
        self.tell(at, f"customer.subscription.{kind}", body)

    def line(self, amount: int, period: tuple[int, int], text: str, plan: Plan) -> Object:
        """A line of the subscription."""
        self.invoices += 1
        identity = f"il_{self.member.customer[4:]}x{self.invoices:04d}"
        item = payload.line(self.member, identity, plan, amount, period=period, text=text)
        return item | {"subscription": f"sub_{self.member.customer[4:]}"}

    def issue(self, at: int, lines: list[Object]) -> Object:
        """Draft and finalise an invoice; the customer's balance is used or filled."""
        self.invoices += 1
        identity = f"in_{self.member.customer[4:]}x{self.invoices:04d}"
        document = payload.invoice(self.member, identity, lines, at, self.balance)
        draft = {"status": "draft", "ending_balance": None}
        self.tell(at - 1, "invoice.created", document | draft)
        self.tell(at, "invoice.finalized", document)
        self.balance = document["ending_balance"]
        return document

    def pay(
        self, document: Object, at: int, *, past_processor: bool = False, attempt: int = 1
    ) -> Object:
        """Settle what is due; the fact is told twice, except out of band."""
        due = document["amount_due"]
        out_of_band = past_processor or self.member.wires
        charged = due > 0 and not out_of_band
        paid = payload.changed(
            document,
            at,
            "paid_at",
            amount_paid=due,
            amount_remaining=0,
            attempt_count=attempt,
            attempted=True,
            charge=f"ch_{document['id'][3:]}" if charged else None,
            paid=True,
            paid_out_of_band=out_of_band,
            status="paid",
        )
        if charged:
            intent = {"id": f"pi_{document['id'][3:]}", "object": "payment_intent"}
            intent |= {"amount": due, "customer": self.member.customer, "status": "succeeded"}
            self.tell(at, "payment_intent.succeeded", intent)
            charge = payload.charge(paid, [], at)
            self.tell(at, "charge.succeeded", processor.taken(charge, at))
        self.tell(at, "invoice.paid", paid)
        if not out_of_band:
            self.tell(at, "invoice.payment_succeeded", paid)
        return paid

    def bill(self, at: int, lines: list[Object]) -> Object:
        """Issue, and pay as the customer pays: at once by card, or within the terms."""
        document = self.issue(at, lines)
        if self.member.on_terms:
            return self.pay(document, at + _TERMS_DAYS * DAY_S)
        return self.pay(document, at + _PAYS_AFTER_S)

    def give_back(self, document: Object, amounts: list[int], at: int) -> list[Object]:
        """Tell a charge with its refunds; the last one is new."""
        refunds = [
            payload.refund(document, f"re_{document['id'][3:]}x{number}", amount, when)
            for number, (amount, when) in enumerate(
                zip(amounts, self._times(amounts, at), strict=True)
            )
        ]
        self.tell(at, "charge.refunded", payload.charge(document, refunds, document["created"]))
        return refunds

    def _times(self, amounts: list[int], at: int) -> list[int]:
        # Earlier refunds keep their own time when a later event repeats them.
        step = 12 * DAY_S
        return [at - step * (len(amounts) - 1 - number) for number in range(len(amounts))]


def _sign_up(life: Life) -> None:
    at = life.anchor
    life.tell(at - 120, "customer.created", payload.customer(life.member, at - 120))
    method = {"id": f"pm_{life.member.customer[4:]}", "object": "payment_method"}
    life.tell(at - 60, "payment_method.attached", method | {"customer": life.member.customer})
    setup = {"id": f"seti_{life.member.customer[4:]}", "object": "setup_intent"}
    life.tell(at - 30, "setup_intent.succeeded", setup | {"customer": life.member.customer})
    life.subscribe(at, "created", "active", life.period(0))
    session = {"id": f"cs_{life.member.customer[4:]}", "object": "checkout.session"}
    life.tell(at + 1, "checkout.session.completed", session | {"customer": life.member.customer})


def _first_lines(life: Life) -> list[Object]:
    return [life.line(life.plan.amount, life.period(0), "first period", life.plan)]


def _plan_change(life: Life, first: Object, step: int) -> Object:
    """Unused time of the old plan back, the rest of the period on the new plan."""
    start, end = life.period(0)
    at = start + (9 + life.member.index % 7) * DAY_S
    old, life.plan = life.plan, neighbour(life.plan, step)
    life.subscribe(at, "updated", "active", (start, end))
    rest = (at, end)
    unused = -(old.amount * (end - at) // (end - start))
    remaining = life.plan.amount * (end - at) // (end - start)
    lines = [
        life.line(unused, rest, "unused time", old) | {"proration": True},
        life.line(remaining, rest, "remaining time", life.plan) | {"proration": True},
    ]
    return life.bill(at, lines)


def _upgrade(life: Life, first: Object) -> None:
    _plan_change(life, first, 1)


def _downgrade(life: Life, first: Object) -> None:
    _plan_change(life, first, -1)


def _refund_full(life: Life, first: Object) -> None:
    at = life.anchor + 9 * DAY_S
    life.give_back(first, [first["amount_paid"]], at)
    life.ends_at = at


def _refund_partial(life: Life, first: Object) -> None:
    third, tenth = first["amount_paid"] // 3, first["amount_paid"] // 10
    at = life.anchor + 6 * DAY_S
    life.give_back(first, [third], at)
    # Across a month end, so that the second split differs from the first.
    life.give_back(first, [third, tenth], at + 12 * DAY_S)


def _credit_note_to_balance(life: Life, first: Object) -> None:
    at = life.anchor + 7 * DAY_S
    note = payload.credit_note(first, life.identity("cn"), (1, 3), at)
    settled = {"type": "post_payment", "customer_balance_transaction": life.identity("cbtxn")}
    life.tell(at, "credit_note.created", note | settled)
    life.balance -= note["total"]


def _credit_note_with_refund(life: Life, first: Object) -> None:
    at = life.anchor + 8 * DAY_S
    note = payload.credit_note(first, life.identity("cn"), (1, 2), at)
    refunds = life.give_back(first, [note["total"]], at)
    settled = {"type": "post_payment", "refund": refunds[0]["id"]}
    life.tell(at, "credit_note.created", note | settled)


def _cancelled(life: Life, first: Object) -> None:
    life.ends_at = life.anchor + 20 * DAY_S


def _one_off(life: Life, first: Object) -> None:
    at = life.anchor + 5 * DAY_S
    item = life.line(life.plan.amount // 2, (at, at), "set-up", life.plan)
    life.bill(at, [item | {"subscription": None, "type": "invoiceitem"}])


def _disputed(life: Life, first: Object) -> None:
    """Opened and withdrawn; lost in the United States, won and given back elsewhere."""
    at = life.anchor + 15 * DAY_S
    opened = processor.dispute(life.identity("dp"), first, at)
    life.tell(at, "charge.dispute.created", opened)
    taken = processor.withdrawn(opened, at + 60)
    life.tell(at + 60, "charge.dispute.funds_withdrawn", taken)
    end = at + 18 * DAY_S
    if life.member.country == UNITED_STATES:
        life.tell(end, "charge.dispute.closed", taken | {"status": "lost"})
        return
    back = processor.reinstated(taken, end)
    life.tell(end, "charge.dispute.funds_reinstated", back | {"status": "won"})
    life.tell(end + 1, "charge.dispute.closed", back | {"status": "won"})


def _total_wrong(life: Life, first: Object) -> None:
    """A document whose lines do not add up: refused, and never paid."""
    at = life.anchor + 11 * DAY_S
    item = life.line(life.plan.amount, (at, at), "add-on", life.plan)
    document = payload.invoice(life.member, life.identity("in"), [item], at, life.balance)
    life.tell(at, "invoice.finalized", document | {"total": document["total"] + 1})


def _void(life: Life, first: Object) -> None:
    at = months_later(life.anchor, 1) + 3 * DAY_S
    life.tell(at, "invoice.voided", payload.changed(first, at, "voided_at", status="void"))
    life.ends_at = at


def _uncollectible(life: Life, first: Object) -> None:
    at = months_later(life.anchor, 1) - DAY_S
    body = payload.changed(first, at, "marked_uncollectible_at", status="uncollectible")
    life.tell(at, "invoice.marked_uncollectible", body)
    life.ends_at = at


def _credit_note_before_payment(life: Life, first: Object) -> None:
    at = life.anchor + 5 * DAY_S
    note = payload.credit_note(first, life.identity("cn"), (1, 4), at)
    life.tell(at, "credit_note.created", note)
    lower: dict[str, Any] = {
        "amount_due": first["amount_due"] - note["total"],
        "pre_payment_credit_notes_amount": note["total"],
    }
    life.pay(first | lower, at + 15 * DAY_S)


def _out_of_band(life: Life, first: Object) -> None:
    life.pay(first, life.anchor + 12 * DAY_S, past_processor=True)


def _ordinary(life: Life, first: Object) -> None:
    """Nothing befalls most customers."""


_AFTER_PAYMENT: dict[str, Callable[[Life, Object], None]] = {
    "upgrade": _upgrade,
    "downgrade": _downgrade,
    "refund_full": _refund_full,
    "refund_partial": _refund_partial,
    "credit_note_to_balance": _credit_note_to_balance,
    "credit_note_with_refund": _credit_note_with_refund,
    "cancelled": _cancelled,
    "one_off": _one_off,
    "disputed": _disputed,
    "total_wrong": _total_wrong,
}
_INSTEAD_OF_PAYMENT: dict[str, Callable[[Life, Object], None]] = {
    "void": _void,
    "uncollectible": _uncollectible,
    "credit_note_before_payment": _credit_note_before_payment,
    "out_of_band": _out_of_band,
}


def _use(life: Life, cycle: int) -> None:
    """Record the usage of a cycle, and bill it when the cycle is over."""
    period, calls = life.period(cycle), 0
    for at, more, event in usage.recorded(life.member, life.seed, cycle, period):
        calls += more
        life.told.append(Told(at, "usage_recorded", event, usage.CANONICAL))
    item = life.line(usage.cost(calls), period, "API calls", life.plan)
    names = {"streamsync_contract": usage.document(life.member, cycle)}
    life.bill(period[1] + _BILLS_USAGE_AFTER_S, [item | {"metadata": names}])


def _renew(life: Life, cycle: int) -> None:
    period = life.period(cycle)
    at = period[0]
    life.subscribe(at, "updated", "active", period)
    lines = [life.line(life.plan.amount, period, "next period", life.plan)]
    if life.member.feature != "failing_payment":
        life.bill(at, lines)
        return
    document = life.issue(at, lines)
    for attempt in (1, 2):
        failed = document | {"attempt_count": attempt, "attempted": True}
        life.tell(at + (3 * attempt - 2) * DAY_S, "invoice.payment_failed", failed)
    life.pay(document, at + 7 * DAY_S, attempt=3)


def live(member: Cast, start: int, seed: int, days: int, *, metered: bool = False) -> list[Told]:
    """All events of one account within the simulated days; `metered`: also those of its usage."""
    life = Life(member, start, seed, metered=metered and usage.is_metered(member))
    end = start + days * DAY_S
    _sign_up(life)
    feature = member.feature or ""
    instead = _INSTEAD_OF_PAYMENT.get(feature)
    if instead is not None:
        instead(life, life.issue(life.anchor + 2, _first_lines(life)))
    else:
        first = life.bill(life.anchor + 2, _first_lines(life))
        _AFTER_PAYMENT.get(feature, _ordinary)(life, first)
    cycle = 1
    while life.period(cycle)[0] < min(end, life.ends_at or end):
        if life.metered:
            _use(life, cycle - 1)
        _renew(life, cycle)
        cycle += 1
    if life.metered:
        _use(life, cycle - 1)
    if life.ends_at is not None:
        life.subscribe(life.ends_at + 1, "deleted", "canceled", life.period(cycle - 1))
    if account_random(seed, -member.index).randrange(4) == 0:
        at = life.anchor + 4 * DAY_S
        life.tell(at, "customer.updated", payload.customer(member, at) | {"delinquent": False})
    return [event for event in life.told if event.at < end]
