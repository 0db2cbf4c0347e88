"""Facts to journals, one billing document at a time.

The problem: what a void, a credit note or a refund books depends on everything that
happened to its invoice before. How: each invoice is replayed from its issue, its reducing
facts sorted by business time; each fact ends posted, no_entry, waiting or rejected, and
says what billing holds against it, whether or not it was posted.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import date
from fractions import Fraction

from . import facts as f
from .company import Company, Entity
from .payload import RejectedError
from .schedule import LineState, Service, in_proportion, local_day, period_of, round_half_up

OTHER_SIDE = {"debit": "credit", "credit": "debit"}

Key = tuple[str, str]


@dataclass(frozen=True)
class Leg:
    """One line of a journal; the amount is never negative."""

    role: str
    side: str
    amount: int


@dataclass
class Entry:
    """One journal entry."""

    document: str
    day: date
    entity: str
    currency: str
    purpose: str
    invoice: str
    legs: list[Leg] = field(default_factory=list)

    def put(self, side: str, role: str, amount: int) -> None:
        """Add a line; a negative amount goes to the other side, zero is no line."""
        if amount:
            self.legs.append(Leg(role, side if amount > 0 else OTHER_SIDE[side], abs(amount)))

    def moved(self, side: str, roles: Sequence[str]) -> int:
        """What the entry moves on the roles, counted positive on the side."""
        return sum(
            leg.amount if leg.side == side else -leg.amount
            for leg in self.legs
            if leg.role in roles
        )

    def balanced(self) -> bool:
        """Debit equals credit."""
        every_role = [leg.role for leg in self.legs]
        return self.moved("debit", sorted(set(every_role))) == 0


@dataclass(frozen=True)
class Bill:
    """What billing holds for one fact, by natural period."""

    entity: str
    period: str
    currency: str
    purpose: str
    amount: int


class Document:
    """An issued invoice and what is left of it."""

    def __init__(self, issue: f.Issue, entity: Entity) -> None:
        """Everything is left."""
        self.issue = issue
        self.counter = "customer_credit" if issue.total < 0 else "receivable"
        self.tax = sum(sum(line.taxes) for line in issue.lines)
        self.tax_left = self.tax
        self.lines = {
            line.number: LineState(line.net, service_of(line, entity, issue.at))
            for line in issue.lines
        }
        self.numbers = {line.line_id: line.number for line in issue.lines}
        self.refunded = 0
        self.refunded_tax = 0
        self.given_up = False

    def reducible(self) -> dict[int, int]:
        """The charge lines that have something left, and how much."""
        return {
            number: state.left()
            for number, state in self.lines.items()
            if state.net > 0 and state.left() > 0
        }

    def shares(self, net: int, named: Sequence[tuple[str, int]]) -> dict[int, int]:
        """The net of a reduction by line number; more than what is left is rejected."""
        left = self.reducible()
        if not named:
            if net < 0 or net > sum(left.values()):
                raise RejectedError("credit_exceeds_document")
            return in_proportion(net, left) if net else {}
        shares: dict[int, int] = {}
        for line_id, share in named:
            number = self.numbers.get(line_id, 0)
            shares[number] = shares.get(number, 0) + share
        for number, share in shares.items():
            if share < 0 or share > left.get(number, 0):
                raise RejectedError("credit_exceeds_document")
        return shares


class Books:
    """All entries, bills and the outcome of every fact."""

    def __init__(
        self,
        told: Mapping[Key, f.Fact],
        customers: Sequence[Mapping[str, object]],
        prefix: str,
        company: Company,
    ) -> None:
        """Replay every fact; releases are added for all rows, whatever the clock."""
        self.told = told
        self.customers = {str(customer["account"]): customer for customer in customers}
        self.prefix = prefix
        self.company = company
        self.entries: list[Entry] = []
        self.bills: list[Bill] = []
        self.outcomes: dict[Key, str] = {}
        self.notes_by_refund = {
            fact.refund: fact for fact in told.values() if isinstance(fact, f.Note) and fact.refund
        }
        documents = {key: self.issue(x) for key, x in told.items() if isinstance(x, f.Issue)}
        for fact in told.values():
            if isinstance(fact, f.Payment):
                self.pay(fact)
        reductions = [x for x in told.values() if isinstance(x, f.Closing | f.Note | f.Refund)]
        for fact in sorted(reductions, key=lambda x: (x.at, x.fact_id, x.purpose)):
            self.reduce(fact, documents.get((f.ISSUED, fact.invoice or "")))
        for document in documents.values():
            if document:
                self.release(document)

    def entity_of(self, fact: f.Fact) -> str | None:
        """The legal entity of a fact; None when its customer or its entity is unknown."""
        customer_id = fact.customer
        issue = self.told.get((f.ISSUED, fact.invoice or ""))
        if customer_id is None and issue is not None:
            customer_id = issue.customer
        customer = self.customers.get(f"{self.prefix}/{customer_id}")
        if customer is None:
            return None
        return self.company.entity_of(customer, fact.currency)

    def functional(self, entity: str) -> str:
        """The currency that an entity keeps its books in."""
        return self.company.entities[entity].currency

    def day(self, fact: f.Fact, entity: str) -> date:
        """The accounting date of a fact."""
        return local_day(fact.at, self.company.entities[entity].zone)

    def entry(self, fact: f.Fact, entity: str) -> Entry:
        """An empty entry for a fact."""
        day = self.day(fact, entity)
        invoice = fact.invoice or (fact.charge if isinstance(fact, f.Refund) else fact.fact_id)
        return Entry(fact.fact_id, day, entity, fact.currency, fact.purpose, invoice)

    def settle(self, fact: f.Fact, outcome: str) -> None:
        """Note the outcome of a fact."""
        self.outcomes[(fact.purpose, fact.fact_id)] = outcome

    def post(self, fact: f.Fact, entry: Entry, billed: int) -> None:
        """Book an entry that is not empty, and what billing holds for it."""
        if not entry.legs:
            return self.settle(fact, "no_entry")
        if not entry.balanced():
            raise AssertionError(f"unbalanced: {entry}")
        self.entries.append(entry)
        self.bill(fact, entry.entity, billed)
        return self.settle(fact, "posted")

    def wait(self, fact: f.Fact, entity: str | None, billed: int) -> None:
        """Leave a fact waiting; billing holds it as soon as its entity is known."""
        if entity:
            self.bill(fact, entity, billed)
        self.settle(fact, "waiting")

    def bill(self, fact: f.Fact, entity: str, amount: int) -> None:
        """Note what billing holds for a fact."""
        period = period_of(self.day(fact, entity))
        self.bills.append(Bill(entity, period, fact.currency, fact.purpose, amount))

    def issue(self, issue: f.Issue) -> Document | None:
        """Book the issue of an invoice; None while it waits."""
        if not any(line.net or any(line.taxes) for line in issue.lines):
            self.settle(issue, "no_entry")
            anyone = min(self.company.entities)
            return Document(issue, self.company.entities[self.entity_of(issue) or anyone])
        entity = self.entity_of(issue)
        if entity is None or self.functional(entity) != issue.currency:
            self.wait(issue, entity, issue.total)
            return None
        document = Document(issue, self.company.entities[entity])
        entry = self.entry(issue, entity)
        entry.put("debit", document.counter, issue.total)
        for line in issue.lines:
            deferred = document.lines[line.number].service is not None
            entry.put("credit", "deferred_revenue" if deferred else "revenue", line.net)
            for tax in line.taxes:
                entry.put("credit", "tax_payable", tax)
        self.post(issue, entry, issue.total)
        return document

    def pay(self, payment: f.Payment) -> None:
        """Book a payment; it waits for no earlier event."""
        paid = payment.charged + payment.from_balance
        if not payment.charged and not payment.from_balance:
            return self.settle(payment, "no_entry")
        entity = self.entity_of(payment)
        if entity is None or self.functional(entity) != payment.currency:
            return self.wait(payment, entity, paid)
        entry = self.entry(payment, entity)
        role = "cash_received_elsewhere" if payment.out_of_band else "clearing"
        entry.put("debit", role, payment.charged)
        entry.put("debit", "customer_credit", payment.from_balance)
        entry.put("credit", "receivable", paid)
        return self.post(payment, entry, paid)

    def reduce(self, fact: f.Closing | f.Note | f.Refund, document: Document | None) -> None:
        """Book a void, a giving up, a credit note or a refund."""
        billed = 0
        if isinstance(fact, f.Note):
            billed = fact.total
        elif isinstance(fact, f.Refund):
            billed = fact.amount
        if isinstance(fact, f.Note) and (fact.refund or not fact.total):
            return self.settle(fact, "no_entry")
        entity = self.entity_of(fact)
        if entity is None or self.functional(entity) != fact.currency:
            return self.wait(fact, entity, billed)
        entry = self.entry(fact, entity)
        if isinstance(fact, f.Refund) and fact.invoice is None:
            entry.put("debit", "refunds_contra", fact.amount)
            entry.put("credit", "clearing", fact.amount)
            return self.post(fact, entry, fact.amount)
        if document is None:
            return self.wait(fact, entity, billed)
        try:
            if isinstance(fact, f.Closing):
                billed = self.close(fact, document, entry)
            elif isinstance(fact, f.Note):
                self.credit(fact, document, entry)
            else:
                self.refund(fact, document, entry)
        except RejectedError:
            return self.settle(fact, "rejected")
        return self.post(fact, entry, billed)

    def close(self, fact: f.Closing, document: Document, entry: Entry) -> int:
        """Clear what is left, line by line; the gross that was cleared."""
        if document.given_up:
            return 0
        document.given_up = True
        contra = "voids_contra" if fact.purpose == f.VOIDED else "bad_debt"
        gross = document.tax_left
        for state in document.lines.values():
            released, unreleased = state.cancel(entry.day)
            entry.put("debit", "deferred_revenue", unreleased)
            entry.put("debit", contra, released)
            gross += released + unreleased
        tax_role = "tax_payable" if fact.purpose == f.VOIDED else contra
        entry.put("debit", tax_role, document.tax_left)
        entry.put("credit", document.counter, gross)
        document.tax_left = 0
        return gross

    def credit(self, note: f.Note, document: Document, entry: Entry) -> None:
        """A credit note that is settled by no refund."""
        if not 0 <= note.tax <= max(document.tax_left, 0):
            raise RejectedError("credit_exceeds_document")
        net = note.total - note.tax
        take(document, entry, "credit_notes_contra", net=net, tax=note.tax, named=note.shares)
        role = "receivable" if note.before_payment else "customer_credit"
        entry.put("credit", role, note.total)

    def refund(self, refund: f.Refund, document: Document, entry: Entry) -> None:
        """A refund, with the split of its credit note when it has one."""
        note = self.notes_by_refund.get(refund.fact_id)
        shares: tuple[tuple[str, int], ...] = ()
        contra = "refunds_contra"
        if note is not None:
            contra = "credit_notes_contra"
            tax = round_half_up(Fraction(note.tax * refund.amount, note.total or 1))
            shares = note.shares if refund.amount == note.total else ()
        elif document.issue.total > 0:
            cumulative = document.refunded + refund.amount
            tax = round_half_up(Fraction(document.tax * cumulative, document.issue.total))
            tax -= document.refunded_tax
        else:
            raise RejectedError("credit_exceeds_document")
        take(document, entry, contra, net=refund.amount - tax, tax=tax, named=shares)
        document.refunded += refund.amount
        document.refunded_tax += tax
        entry.put("credit", "clearing", refund.amount)

    def release(self, document: Document) -> None:
        """Every row still standing, dated the last day of its month."""
        entity = self.entity_of(document.issue)
        if entity is None:
            return
        issue = document.issue
        for state in document.lines.values():
            for day, amount in sorted(state.rows.items()):
                name = issue.fact_id
                entry = Entry(name, day, entity, issue.currency, f.RELEASED, name)
                entry.put("debit", "deferred_revenue", amount)
                entry.put("credit", "revenue", amount)
                if entry.legs:
                    self.entries.append(entry)


def take(
    document: Document,
    entry: Entry,
    contra_role: str,
    *,
    net: int,
    tax: int,
    named: Sequence[tuple[str, int]],
) -> None:
    """Take net and tax from a document and book the debit side; nothing changes on rejection."""
    shares = document.shares(net, named)
    if document.given_up:
        raise RejectedError("credit_exceeds_document")
    for number in sorted(shares):
        if shares[number]:
            contra, deferred = document.lines[number].reduce(shares[number], entry.day)
            entry.put("debit", contra_role, contra)
            entry.put("debit", "deferred_revenue", deferred)
    entry.put("debit", "tax_payable", tax)
    document.tax_left -= tax


def service_of(line: f.Line, entity: Entity, issued_at: int) -> Service | None:
    """The service period of a line, or None when it is revenue at once."""
    if line.start is None or line.end is None or line.end <= line.start:
        return None
    start, end = local_day(line.start, entity.zone), local_day(line.end, entity.zone)
    issued = local_day(issued_at, entity.zone)
    if start == end or end <= issued:
        return None
    policy = entity.policy(issued)
    return Service(line.start, line.end, entity.zone, policy.basis, policy.rounding)


def booked(entries: Sequence[Entry], today: date) -> list[Entry]:
    """What the clock lets be booked: everything but releases that are not yet due."""
    return [entry for entry in entries if entry.purpose != f.RELEASED or entry.day < today]
