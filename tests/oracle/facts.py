"""Raw Stripe bodies to business facts.

The problem: the same fact arrives in several bodies, twice, out of order or malformed.
How: every body is read in the order it was accepted; each is either classed at once
(ignored, unknown, duplicate, rejected) or tells facts, and the first telling of a fact
stands. Signed integers of minor units are used everywhere: a credit line is negative.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from datetime import datetime

from .links import Links
from .payload import (
    Obj,
    RejectedError,
    objects,
    parsed,
    reference,
    text,
    transition,
    whole,
    whole_or,
)
from .shapes import is_newer, older

IGNORED_PREFIXES = (
    "product.", "price.", "plan.", "coupon.", "payment_method.", "setup_intent.", "quote.",
    "tax_rate.", "payment_intent.", "checkout.session.", "invoiceitem.",
)  # fmt: skip
# May touch the books, not handled yet: without a customer such a record waits for its account.
MONEY_PREFIXES = ("charge.", "refund.", "payout.", "transfer.", "credit_note.", "topup.")
IGNORED_TYPES = ("invoice.created", "invoice.updated", "invoice.upcoming")
NO_FACT_TYPES = (
    "customer.created", "customer.updated", "customer.deleted", "invoice.payment_failed",
    "invoice.overdue", "invoice_payment.paid",
)  # fmt: skip
NO_FACT_PREFIX = "customer.subscription."
FACT_TYPES = (
    "invoice.finalized", "invoice.paid", "invoice.payment_succeeded", "invoice.voided",
    "invoice.marked_uncollectible", "charge.refunded", "credit_note.created",
    "credit_note.voided", "charge.succeeded", "charge.refund.updated", "refund.failed",
    "charge.dispute.created", "charge.dispute.funds_withdrawn",
    "charge.dispute.funds_reinstated", "charge.dispute.closed", "payout.paid", "payout.failed",
)  # fmt: skip
DEAD_REFUNDS = ("failed", "canceled")

ISSUED = "invoice_issued"
PAID = "payment_applied"
VOIDED = "invoice_voided"
UNCOLLECTIBLE = "invoice_uncollectible"
CREDITED = "credit_note_issued"
REFUNDED = "refunded"
RELEASED = "revenue_released"
NOTE_VOIDED = "credit_note_voided"
REFUND_FAILED = "refund_failed"
CHARGED = "charge_succeeded"
FEE = "charge_fee"
LEFT = "settlement_left"
ARRIVED = "settlement_arrived"
OPENED = "dispute_opened"
WITHDRAWN = "dispute_funds_withdrawn"
REINSTATED = "dispute_funds_reinstated"
DISPUTE_CLOSED = "dispute_closed"
PAID_OUT = "payout_paid"
PAYOUT_FAILED = "payout_failed"
RECOVERED = "invoice_recovered"
USED = "usage_recorded"
CLEARED = "unbilled_cleared"

DISPUTES = {
    "charge.dispute.created": OPENED,
    "charge.dispute.funds_withdrawn": WITHDRAWN,
    "charge.dispute.funds_reinstated": REINSTATED,
    "charge.dispute.closed": DISPUTE_CLOSED,
}


@dataclass(frozen=True)
class Fact:
    """What every fact has. `at` is the business time in epoch seconds."""

    purpose: str
    fact_id: str
    at: int
    customer: str | None
    currency: str
    invoice: str | None


@dataclass(frozen=True)
class Line:
    """One invoice line; `net` and `taxes` are signed, times are epoch seconds."""

    number: int
    line_id: str
    net: int
    taxes: tuple[int, ...]
    start: int | None
    end: int | None
    # The usage document that the line bills.
    contract: str | None = None


@dataclass(frozen=True)
class Issue(Fact):
    """A finalised invoice."""

    total: int
    lines: tuple[Line, ...]
    automatic: bool = True


@dataclass(frozen=True)
class Payment(Fact):
    """What settled an invoice. `whole`: the invoice as its payload holds it."""

    charged: int
    from_balance: int
    out_of_band: bool
    whole: Issue | None = None


@dataclass(frozen=True)
class Closing(Fact):
    """An invoice that was voided or given up (the purpose says which)."""


@dataclass(frozen=True)
class Note(Fact):
    """A credit note; `shares` are (invoice line id, net) when its lines name invoice lines."""

    total: int
    tax: int
    before_payment: bool
    refund: str | None
    shares: tuple[tuple[str, int], ...]
    reason: str | None = None


@dataclass(frozen=True)
class Refund(Fact):
    """Money given back on a charge."""

    charge: str
    amount: int
    movement: "Movement | None" = None


@dataclass(frozen=True)
class NoteVoided(Fact):
    """A credit note that was taken back."""

    note: str


@dataclass(frozen=True)
class RefundFailed(Fact):
    """A refund that did not arrive. `movement`: how it came back, where that is told."""

    refund: str
    charge: str
    movement: "Movement | None" = None


@dataclass(frozen=True)
class Movement:
    """A balance transaction: signed amounts in the currency of settlement."""

    amount: int
    fee: int
    currency: str
    at: int


@dataclass(frozen=True)
class Charge(Fact):
    """Money taken from a card; `application_fee` when it is another account's."""

    amount: int
    application_fee: int | None
    movement: Movement | None


@dataclass(frozen=True)
class Dispute(Fact):
    """A step of a dispute (the purpose says which)."""

    charge: str
    amount: int
    status: str
    movements: tuple[Movement, ...]


@dataclass(frozen=True)
class Payout(Fact):
    """Money on its way to the bank, or back."""

    amount: int
    movement: Movement | None


@dataclass(frozen=True)
class Usage(Fact):
    """Usage in arrears; `meter`: meter, price and billing period, which share tiers."""

    document: str
    quantity: str
    price: str
    period_from: int
    meter: tuple[str, str, int]


@dataclass(frozen=True)
class Record:
    """One body: classed at once (`klass`), or the keys of the facts it was first to tell."""

    klass: str | None
    fresh: tuple[tuple[str, str], ...] = ()


def taxes_of(obj: Obj) -> tuple[int, ...]:
    """The tax amounts of a line or a note, inclusive and exclusive."""
    return tuple(whole(tax, "amount") for tax in objects(obj, "tax_amounts"))


def net_of(line: Obj) -> int:
    """Amount less discounts and inclusive taxes; a negative line stays negative."""
    net = whole(line, "amount")
    for discount in objects(line, "discount_amounts"):
        net -= whole(discount, "amount")
    for tax in objects(line, "tax_amounts"):
        if tax.get("inclusive"):
            net -= whole(tax, "amount")
    return net


def invoice_line(number: int, line: Obj) -> Line:
    """One line as it stands on the invoice."""
    period = line.get("period")
    start = end = None
    if isinstance(period, dict):
        start, end = whole(period, "start"), whole(period, "end")
    metadata = line.get("metadata")
    contract = metadata.get("streamsync_contract") if isinstance(metadata, dict) else None
    return Line(number, text(line, "id"), net_of(line), taxes_of(line), start, end, contract)


def issue_of(invoice: Obj, created: int) -> Issue:
    """The issue of an invoice; its lines and taxes must make up its total."""
    lines = tuple(
        invoice_line(number, line) for number, line in enumerate(objects(invoice, "lines"), 1)
    )
    total = whole(invoice, "total")
    gross = sum(line.net + sum(line.taxes) for line in lines)
    if gross != total:
        raise RejectedError(f"document_total_mismatch {gross} {total}")
    return Issue(
        purpose=ISSUED,
        fact_id=text(invoice, "id"),
        at=transition(invoice, "finalized_at", created),
        customer=reference(invoice, "customer"),
        currency=text(invoice, "currency").upper(),
        invoice=text(invoice, "id"),
        total=total,
        lines=lines,
        automatic=invoice.get("collection_method", "charge_automatically") != "send_invoice",
    )


def payment_of(invoice: Obj, created: int) -> Payment:
    """The settlement of an invoice; the balance part is what the customer balance rose by.

    A negative invoice lowers that balance itself, which is its issue and not a payment.
    """
    from_balance = 0
    if whole(invoice, "total") >= 0 and invoice.get("ending_balance") is not None:
        from_balance = whole(invoice, "ending_balance") - whole_or(invoice, "starting_balance", 0)
    return Payment(
        purpose=PAID,
        fact_id=text(invoice, "id"),
        at=transition(invoice, "paid_at", created),
        customer=reference(invoice, "customer"),
        currency=text(invoice, "currency").upper(),
        invoice=text(invoice, "id"),
        charged=whole(invoice, "amount_paid"),
        from_balance=from_balance,
        out_of_band=bool(invoice.get("paid_out_of_band")),
        whole=issue_of(invoice, created) if objects(invoice, "lines") else None,
    )


def closing_of(invoice: Obj, created: int, purpose: str) -> Closing:
    """The void or the giving up of an invoice."""
    field = "voided_at" if purpose == VOIDED else "marked_uncollectible_at"
    return Closing(
        purpose=purpose,
        fact_id=text(invoice, "id"),
        at=transition(invoice, field, created),
        customer=reference(invoice, "customer"),
        currency=text(invoice, "currency").upper(),
        invoice=text(invoice, "id"),
    )


def note_net(line: Obj) -> int:
    """The net of one credit note line; the discount comes as a list or as one figure."""
    net = net_of(line)
    if line.get("discount_amounts") is None and line.get("discount_amount") is not None:
        net -= whole(line, "discount_amount")
    return net


def note_of(note: Obj, created: int) -> Note:
    """A credit note; what it says about lines counts when every line names an invoice line."""
    total = whole(note, "total" if note.get("total") is not None else "amount")
    lines = objects(note, "lines")
    if note.get("tax_amounts") is not None:
        tax = sum(taxes_of(note))
    else:
        tax = sum(sum(taxes_of(line)) for line in lines)
    shares: tuple[tuple[str, int], ...] = ()
    if lines and all(reference(line, "invoice_line_item") for line in lines):
        shares = tuple((str(reference(x, "invoice_line_item")), note_net(x)) for x in lines)
        net = sum(share for _, share in shares)
        if net + tax != total:
            raise RejectedError(f"document_total_mismatch {net + tax} {total}")
    kind = text(note, "type")
    if kind not in ("pre_payment", "post_payment"):
        raise RejectedError(f"credit_note_type {kind}")
    return Note(
        purpose=CREDITED,
        fact_id=text(note, "id"),
        at=whole_or(note, "created", created),
        customer=reference(note, "customer"),
        currency=text(note, "currency").upper(),
        invoice=reference(note, "invoice"),
        total=total,
        tax=tax,
        before_payment=kind == "pre_payment",
        refund=reference(note, "refund"),
        shares=shares,
        reason=str(note["reason"]) if note.get("reason") else None,
    )


def refunds_of(charge: Obj, created: int, known: int) -> list[Refund]:
    """The refunds of a charge by id; unlisted ones are the growth of the cumulative figure."""
    charge_id = text(charge, "id")

    def refund(fact_id: str, at: int, amount: int, moved: Movement | None = None) -> Refund:
        return Refund(
            purpose=REFUNDED,
            fact_id=fact_id,
            at=at,
            customer=reference(charge, "customer"),
            currency=text(charge, "currency").upper(),
            invoice=reference(charge, "invoice"),
            charge=charge_id,
            amount=amount,
            movement=moved,
        )

    listed = objects(charge, "refunds")
    if listed:
        return [
            refund(
                text(item, "id"),
                whole_or(item, "created", created),
                whole(item, "amount"),
                movement_of(item.get("balance_transaction")),
            )
            for item in listed
            if item.get("status") not in DEAD_REFUNDS
        ]
    cumulative = whole(charge, "amount_refunded")
    grown = cumulative - known
    return [refund(f"{charge_id}@{cumulative}", created, grown)] if grown > 0 else []


def movement_of(obj: Obj | str | None) -> Movement | None:
    """A balance transaction that the payload holds whole."""
    if not isinstance(obj, dict):
        return None
    return Movement(
        whole(obj, "amount"),
        whole_or(obj, "fee", 0),
        text(obj, "currency").upper(),
        whole_or(obj, "created", 0),
    )


def charge_of(charge: Obj, created: int) -> Charge:
    """A charge; a platform's destination charge is told by whom it goes to."""
    transfer = charge.get("transfer_data")
    elsewhere = charge.get("destination") or (isinstance(transfer, dict) and transfer)
    return Charge(
        purpose=CHARGED,
        fact_id=text(charge, "id"),
        at=whole_or(charge, "created", created),
        customer=reference(charge, "customer"),
        currency=text(charge, "currency").upper(),
        invoice=reference(charge, "invoice"),
        amount=whole_or(charge, "amount_captured", whole(charge, "amount")),
        application_fee=whole_or(charge, "application_fee_amount", 0) if elsewhere else None,
        movement=movement_of(charge.get("balance_transaction")),
    )


def dispute_of(dispute: Obj, created: int, purpose: str) -> Dispute:
    """A step of a dispute; funds move when the last of their movements does."""
    movements = tuple(
        found
        for found in (movement_of(one) for one in objects(dispute, "balance_transactions"))
        if found is not None
    )
    at = whole_or(dispute, "created", created) if purpose == OPENED else created
    if purpose in (WITHDRAWN, REINSTATED):
        out = purpose == WITHDRAWN
        movements = tuple(one for one in movements if (one.amount < 0) == out)
        at = max((one.at for one in movements), default=created)
    return Dispute(
        purpose=purpose,
        fact_id=text(dispute, "id"),
        at=at,
        customer=None,
        currency=text(dispute, "currency").upper(),
        invoice=None,
        charge=str(reference(dispute, "charge")),
        amount=whole(dispute, "amount"),
        status=text(dispute, "status"),
        movements=movements,
    )


def payout_of(payout: Obj, created: int, purpose: str) -> Payout:
    """A payout that arrived, or that failed."""
    paid = purpose == PAID_OUT
    return Payout(
        purpose=purpose,
        fact_id=text(payout, "id"),
        at=min(whole_or(payout, "arrival_date", created), created) if paid else created,
        customer=None,
        currency=text(payout, "currency").upper(),
        invoice=None,
        amount=whole(payout, "amount"),
        movement=movement_of(payout.get("balance_transaction")),
    )


def note_voided_of(note: Obj, created: int) -> NoteVoided:
    """A credit note taken back."""
    return NoteVoided(
        purpose=NOTE_VOIDED,
        fact_id=text(note, "id"),
        at=whole_or(note, "voided_at", created),
        customer=reference(note, "customer"),
        currency=text(note, "currency").upper(),
        invoice=reference(note, "invoice"),
        note=text(note, "id"),
    )


def usage_of(event: Obj) -> Usage:
    """A canonical event that records usage."""
    usage = event["usage"]
    begins = second_of(usage, "period_from")
    return Usage(
        purpose=USED,
        fact_id=text(event, "id"),
        at=second_of(event, "occurred_at"),
        customer=text(event, "account"),
        currency=text(event, "currency"),
        invoice=None,
        document=text(event, "document"),
        quantity=text(usage, "quantity"),
        price=text(usage, "price"),
        period_from=begins,
        meter=(text(usage, "meter"), text(usage, "price"), begins),
    )


def second_of(obj: Obj, key: str) -> int:
    """An RFC 3339 time in epoch seconds."""
    return int(datetime.fromisoformat(text(obj, key)).timestamp())


ONE_FACT: dict[str, Callable[[Obj, int], Fact]] = {
    "invoice.finalized": issue_of,
    "invoice.paid": payment_of,
    "invoice.payment_succeeded": payment_of,
    "invoice.voided": lambda obj, created: closing_of(obj, created, VOIDED),
    "invoice.marked_uncollectible": lambda obj, created: closing_of(obj, created, UNCOLLECTIBLE),
    "credit_note.created": note_of,
    "credit_note.voided": note_voided_of,
    "charge.succeeded": charge_of,
    "payout.paid": lambda obj, created: payout_of(obj, created, PAID_OUT),
    "payout.failed": lambda obj, created: payout_of(obj, created, PAYOUT_FAILED),
}


def names_customer(event: Obj) -> bool:
    """True when the event's object says whose it is."""
    data = event.get("data")
    obj = data.get("object") if isinstance(data, dict) else None
    return isinstance(obj, dict) and bool(obj.get("customer"))


class Reader:
    """Reads bodies in order and keeps every fact's first telling."""

    def __init__(self) -> None:
        """Nothing has been read."""
        self.facts: dict[tuple[str, str], Fact] = {}
        self.records: list[Record] = []
        self.contents: dict[str, list[Obj]] = {}
        self.links = Links()

    def read(self, body: bytes) -> None:
        """Take one body."""
        try:
            self.records.append(self.judge(body))
        except RejectedError:
            self.records.append(Record("rejected"))

    def judge(self, body: bytes) -> Record:
        """The class of one body, or the facts it is the first to tell."""
        event = parsed(body)
        content = {key: value for key, value in event.items() if key != "pending_webhooks"}
        earlier = self.contents.setdefault(text(event, "id"), [])
        if content in earlier:
            return Record("duplicate")
        earlier.append(content)
        if "streamsync" in event:
            return self.first(usage_of(event))
        kind = text(event, "type")
        if kind in IGNORED_TYPES or kind.startswith(IGNORED_PREFIXES):
            return Record("ignored")
        no_fact = kind in NO_FACT_TYPES or kind.startswith(NO_FACT_PREFIX)
        if kind.startswith(MONEY_PREFIXES) and kind not in FACT_TYPES:
            return Record("unknown" if names_customer(event) else "waiting")
        if not (no_fact or kind in FACT_TYPES):
            return Record("unknown")
        data = event.get("data")
        obj = data.get("object") if isinstance(data, dict) else None
        if not isinstance(obj, dict):
            raise RejectedError("no_object")
        created = whole(event, "created")
        newer = is_newer(event)
        obj = older(obj) if newer else obj
        self.links.remember(kind, obj, newer=newer)
        return Record("no_entry") if no_fact else self.tell(kind, obj, created)

    def first(self, fact: Fact) -> Record:
        """A record of one fact that nothing else tells."""
        self.facts[(fact.purpose, fact.fact_id)] = fact
        return Record(None, ((fact.purpose, fact.fact_id),))

    def tell(self, kind: str, obj: Obj, created: int) -> Record:
        """Compare the facts of one record with those already told."""
        told = self.facts_in(kind, obj, created)
        fresh = []
        for fact in told:
            first = self.facts.get((fact.purpose, fact.fact_id))
            if first is None:
                fresh.append(fact)
            elif figures(first) != figures(fact):
                raise RejectedError(f"fact_conflict {fact.purpose} {fact.fact_id}")
        if not fresh:
            nothing_told = not told and (kind != "charge.refunded" or self.known(obj) == 0)
            return Record("no_entry" if nothing_told else "duplicate")
        for fact in fresh:
            self.facts[(fact.purpose, fact.fact_id)] = fact
        return Record(None, tuple((fact.purpose, fact.fact_id) for fact in fresh))

    def known(self, charge: Obj) -> int:
        """What is known to be refunded of a charge so far."""
        return sum(
            fact.amount
            for fact in self.facts.values()
            if isinstance(fact, Refund) and fact.charge == charge.get("id")
        )

    def facts_in(self, kind: str, obj: Obj, created: int) -> list[Fact]:
        """The facts one handled event tells."""
        if kind == "charge.refunded":
            return list(refunds_of(obj, created, self.known(obj)))
        if kind in ("charge.refund.updated", "refund.failed"):
            return self.failed_refund(obj, created)
        if kind in DISPUTES:
            return [dispute_of(obj, created, DISPUTES[kind])]
        return [ONE_FACT[kind](obj, created)]

    def failed_refund(self, refund: Obj, created: int) -> list[Fact]:
        """A refund that failed or was cancelled; any other news of it tells nothing."""
        if refund.get("status") not in DEAD_REFUNDS:
            return []
        fact = RefundFailed(
            purpose=REFUND_FAILED,
            fact_id=text(refund, "id"),
            at=created,
            customer=None,
            currency=text(refund, "currency").upper(),
            invoice=None,
            refund=text(refund, "id"),
            charge=str(reference(refund, "charge")),
            movement=movement_of(refund.get("failure_balance_transaction")),
        )
        return [fact]


def figures(fact: Fact) -> Fact:
    """What must be equal when a fact is told again: all but the time and the customer."""
    same = replace(fact, at=0, customer=None)
    return replace(same, whole=None) if isinstance(same, Payment) else same


def read_all(bodies: Sequence[bytes]) -> Reader:
    """Read every body in the order of acceptance."""
    reader = Reader()
    for body in bodies:
        reader.read(body)
    return reader
