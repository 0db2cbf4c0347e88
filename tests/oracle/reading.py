"""Raw bodies to the facts that they are the first to tell.

The problem: the same fact arrives in several bodies, twice, out of order or malformed. How: every
body is read in the order it was accepted; each is either classed at once (ignored, unknown,
duplicate, rejected) or tells facts, and the first telling of a fact stands.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace

from .facts import REFUND_FAILED, Fact, Payment, Refund, RefundFailed
from .links import Links
from .own import OWN
from .payload import Obj, RejectedError, parsed, reference, text, whole
from .shapes import is_newer, older
from .telling import (
    DEAD_REFUNDS,
    DISPUTES,
    ONE_FACT,
    dispute_of,
    movement_of,
    refunds_of,
)

IGNORED_PREFIXES = (
    "product.", "price.", "plan.", "coupon.", "payment_method.", "setup_intent.", "quote.",
    "tax_rate.", "payment_intent.", "checkout.session.", "invoiceitem.",
)  # fmt: skip
# May touch the books, not handled yet: without a customer such a record waits for its account.
MONEY_PREFIXES = ("charge.", "refund.", "payout.", "transfer.", "credit_note.", "topup.")
IGNORED_TYPES = ("invoice.created", "invoice.updated", "invoice.upcoming")
NO_FACT_TYPES = (
    "customer.created", "customer.updated", "customer.deleted", "invoice.payment_failed",
    "invoice_payment.paid",
)  # fmt: skip
NO_FACT_PREFIX = "customer.subscription."
FACT_TYPES = (
    "invoice.finalized", "invoice.paid", "invoice.payment_succeeded", "invoice.voided",
    "invoice.marked_uncollectible", "charge.refunded", "credit_note.created",
    "credit_note.voided", "charge.succeeded", "charge.refund.updated", "refund.failed",
    "charge.dispute.created", "charge.dispute.funds_withdrawn",
    "charge.dispute.funds_reinstated", "charge.dispute.closed", "payout.paid", "payout.failed",
    "invoice.overdue", "customer.subscription.deleted",
)  # fmt: skip


@dataclass(frozen=True)
class Record:
    """One body: classed at once (`klass`), or the keys of the facts it was first to tell."""

    klass: str | None
    fresh: tuple[tuple[str, str], ...] = ()


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
            return self.first(OWN[text(event, "kind")](event))
        kind = text(event, "type")
        if kind in IGNORED_TYPES or kind.startswith(IGNORED_PREFIXES):
            return Record("ignored")
        no_fact = kind in NO_FACT_TYPES or (
            kind.startswith(NO_FACT_PREFIX) and kind not in FACT_TYPES
        )
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
