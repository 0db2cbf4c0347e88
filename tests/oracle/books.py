"""Facts to journals: whose they are, in which order they count, and what became of each.

The problem: the same facts in any order of arrival must end in the same books. How: documents are
replayed (document.py) with their facts in the order of business time; money that moves beside the
documents is booked fact by fact (processor.py). Each fact ends posted, no_entry,
waiting or rejected, and says what billing holds against it, whether or not it was posted.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import date

from . import facts as f
from .agreed import Agreed
from .changes import adjust, end, ungive
from .company import Company
from .currency import Valuation
from .document import Document
from .entry import Entry, Leg
from .parts import scaled
from .payload import RejectedError
from .processor import Processor
from .reading import Reader
from .schedule import local_day, period_of
from .settlement import at_cost, conversion, fact_of
from .usage import Metered
from .wallets import Wallets

__all__ = ["Books", "Entry", "Leg", "booked"]

Key = tuple[str, str]
# What takes another fact back comes after it, also at the same moment.
TAKES_BACK = f.NoteVoided | f.RefundFailed
# The fact of an entry that has a purpose of its own.
TOLD_AS = {f.FEE: f.CHARGED, f.RECOGNISED: f.PAID}


@dataclass(frozen=True)
class Bill:
    """What billing holds for one fact, by natural period."""

    entity: str
    period: str
    currency: str
    purpose: str
    amount: int


class Books:
    """All entries, bills and the outcome of every fact."""

    def __init__(
        self,
        reader: Reader,
        customers: Sequence[Mapping[str, object]],
        prefix: str,
        company: Company,
    ) -> None:
        """Replay every fact; releases are added for all rows, whatever the clock."""
        self.links = reader.links
        self.told = {key: self.linked(fact) for key, fact in reader.facts.items()}
        self.customers = {str(customer["account"]): customer for customer in customers}
        self.prefix = prefix
        self.company = company
        self.entries: list[Entry] = []
        self.bills: list[Bill] = []
        self.outcomes: dict[Key, str] = {}
        self.issued: list[tuple[f.Fact, Document]] = []
        self.notes_by_refund = self.settled_notes()
        documents = {key: self.issue(x) for key, x in self.told.items() if isinstance(x, f.Issue)}
        processor = Processor(self)
        for fact in sorted(self.told.values(), key=in_time):
            document = documents.get((f.ISSUED, fact.invoice or ""))
            if isinstance(fact, f.Payment):
                entity = self.entity_of(fact)
                if entity and fact.whole and self.is_recognised_by(fact, fact.whole, entity):
                    documents[f.ISSUED, fact.fact_id] = self.recognise(fact, fact.whole, entity)
                else:
                    self.pay(fact, document)
            elif isinstance(fact, f.Closing):
                self.close(fact, document)
            elif isinstance(fact, f.Note | f.Refund):
                self.reduce(fact, document)
            elif isinstance(fact, TAKES_BACK):
                self.take_back(fact, document)
            elif isinstance(fact, f.TaxAdjusted):
                adjust(self, fact, document)
            elif isinstance(fact, f.Ended):
                end(self, fact, [one for one in documents.values() if one])
            else:
                processor.book(fact)
        Metered(self).book()
        Agreed(self).book()
        Wallets(self).book()
        for document in documents.values():
            if document:
                self.release(document)

    def linked(self, fact: f.Fact) -> f.Fact:
        """A fact that names only its charge, with the charge's customer and document."""
        links = self.links
        if isinstance(fact, f.Dispute | f.RefundFailed):
            charge = fact.charge
            return replace(fact, customer=links.customer(charge), invoice=links.invoice(charge))
        if isinstance(fact, f.Charge | f.Refund):
            charge = fact.charge if isinstance(fact, f.Refund) else fact.fact_id
            return replace(fact, invoice=fact.invoice or links.invoice(charge))
        return fact

    def settled_notes(self) -> dict[str, f.Note]:
        """Refund's fact to the note that it settles: by its id, else, told without, by amount."""
        notes = [x for x in self.told.values() if isinstance(x, f.Note) and x.refund]
        settled = {str(note.refund): note for note in notes}
        unnamed = [x for x in self.told.values() if isinstance(x, f.Refund) and "@" in x.fact_id]
        for refund in unnamed:
            for note in notes:
                if (note.invoice, note.total) == (refund.invoice, refund.amount):
                    settled.setdefault(refund.fact_id, note)
        return settled

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

    def values(self, entity: str, currency: str) -> bool:
        """Whether an entity's books can hold a currency."""
        found = self.company.entities[entity]
        return currency == found.currency or found.currency_rules is not None

    def valued(self, today: date) -> list[Entry]:
        """What is booked by a day, with its worth in the currency of its entity."""
        documents: dict[tuple[str, str, str], list[Entry]] = {}
        for entry in booked(self.entries, today):
            key = (entry.entity, entry.invoice, entry.currency)
            documents.setdefault(key, []).append(entry)
        made: list[Entry] = []
        for (name, _, currency), entries in documents.items():
            entity = self.company.entities[name]
            rules = entity.currency_rules
            if currency == entity.currency or rules is None:
                made += [own_currency(entry) for entry in entries]
            else:
                rates = self.company.rates
                found = Valuation(rules, entity.currency, currency, rates, today).run(entries)
                self.without_rate(entries, found)
                made += found
        rules_of = {name: one.currency_rules for name, one in self.company.entities.items()}
        kept = at_cost(made, rules_of)
        self.without_rate(made, kept)
        return kept

    def without_rate(self, entries: Sequence[Entry], valued: Sequence[Entry]) -> None:
        """The facts of entries that no rate values wait."""
        kept = {(entry.purpose, entry.document) for entry in valued}
        for entry in entries:
            told = TOLD_AS.get(entry.purpose, entry.purpose)
            key = fact_of(entry) or (told, entry.document)
            if (entry.purpose, entry.document) not in kept and key in self.told:
                self.outcomes[key] = "waiting"

    def convert(
        self, fact: f.Fact, like: Entry, amount: int, *movements: f.Movement | None
    ) -> None:
        """Book what the processor converted of money that came in (below zero: went out)."""
        told = [one for one in movements if one is not None]
        for made in conversion(fact, like, amount, told):
            self.add(made)

    def day(self, fact: f.Fact, entity: str) -> date:
        """The accounting date of a fact."""
        return local_day(fact.at, self.company.entities[entity].zone)

    def entry(self, fact: f.Fact, entity: str) -> Entry:
        """An empty entry for a fact."""
        day = self.day(fact, entity)
        charge = fact.charge if isinstance(fact, f.Refund | f.Dispute) else fact.fact_id
        return Entry(fact.fact_id, day, entity, fact.currency, fact.purpose, fact.invoice or charge)

    def settle(self, fact: f.Fact, outcome: str) -> None:
        """Note the outcome of a fact."""
        self.outcomes[(fact.purpose, fact.fact_id)] = outcome

    def add(self, entry: Entry) -> bool:
        """Book an entry that is not empty."""
        if entry.legs and not entry.balanced():
            raise AssertionError(f"unbalanced: {entry}")
        if entry.legs:
            self.entries.append(entry)
        return bool(entry.legs)

    def post(self, fact: f.Fact, entry: Entry, billed: int) -> None:
        """Book an entry that is not empty, and what billing holds for it."""
        if not self.add(entry):
            return self.settle(fact, "no_entry")
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
        if entity is None or not self.values(entity, issue.currency):
            self.wait(issue, entity, issue.total)
            return None
        if self.at_payment(issue, issue, entity):
            self.settle(issue, "no_entry")
            return None
        document = Document(issue, self.company.entities[entity])
        entry = self.entry(issue, entity)
        document.issued(entry)
        self.post(issue, entry, issue.total)
        self.issued.append((issue, document))
        return document

    def at_payment(self, fact: f.Fact, issue: f.Issue, entity: str) -> bool:
        """Whether an invoice is booked when it is paid, by the policy of a fact's day."""
        policy = self.company.entities[entity].policy(self.day(fact, entity))
        name = "charged_automatically" if issue.automatic else "sent_on_terms"
        return policy.choice(name, "issue") == "payment"

    def is_recognised_by(self, payment: f.Payment, whole: f.Issue, entity: str) -> bool:
        """Whether a payment books its invoice: the issue's day says so, where that was told."""
        issue = self.told.get((f.ISSUED, payment.fact_id))
        if isinstance(issue, f.Issue):
            return self.at_payment(issue, issue, entity)
        return self.at_payment(payment, whole, entity)

    def recognise(self, payment: f.Payment, issue: f.Issue, entity: str) -> Document | None:
        """Book an invoice with its payment: the money, and what the lines earn from then on."""
        charged = 0 if payment.out_of_band else payment.charged
        paid = charged + payment.from_balance
        if not issue.total or (issue.total > 0 and not paid):
            self.settle(payment, "no_entry")
            return None
        policy = self.company.entities[entity].policy(self.day(payment, entity))
        counted = scaled(issue, paid, policy) if issue.total > 0 else issue
        document = Document(replace(counted, at=payment.at), self.company.entities[entity])
        document.owed -= paid
        document.charged = charged
        entry = replace(self.entry(payment, entity), purpose=f.RECOGNISED)
        entry.put("debit", "clearing", charged)
        entry.put("debit", "customer_credit", payment.from_balance)
        if issue.total < 0:
            entry.put("debit", "customer_credit", issue.total)
        document.earned(entry)
        self.post(payment, entry, paid)
        self.issued.append((payment, document))
        return document

    def pay(self, payment: f.Payment, document: Document | None) -> None:
        """Book a payment; it waits for no earlier event."""
        paid = payment.charged + payment.from_balance
        if document:
            document.charged = payment.charged
        if not payment.charged and not payment.from_balance:
            return self.settle(payment, "no_entry")
        entity = self.entity_of(payment)
        if entity is None or not self.values(entity, payment.currency):
            return self.wait(payment, entity, paid)
        entry = self.entry(payment, entity)
        if document:
            for recovery in document.recover(paid, entry.day):
                self.add(recovery)
            again = replace(entry, purpose=f.OVERDUE_PAID, legs=[])
            document.pay_overdue(paid, again)
            self.add(again)
            document.owed -= paid
        role = "cash_received_elsewhere" if payment.out_of_band else "clearing"
        entry.put("debit", role, payment.charged)
        entry.put("debit", "customer_credit", payment.from_balance)
        entry.put("credit", "receivable", paid)
        return self.post(payment, entry, paid)

    def close(self, fact: f.Closing, document: Document | None) -> None:
        """Book a void or a loss, where the policy says so already when an invoice is overdue."""
        entity = self.entity_of(fact)
        if entity is None or not self.values(entity, fact.currency):
            return self.wait(fact, entity, 0)
        entry = self.entry(fact, entity)
        policy = self.company.entities[entity].policy(entry.day)
        early = policy.choice("loss_at", "uncollectible") == "overdue"
        if fact.purpose == f.OVERDUE and not early:
            return self.settle(fact, "no_entry")
        if document is None:
            return self.without_document(fact, entity, 0)
        if early and fact.purpose != f.VOIDED:
            return self.post(fact, entry, document.overdue(entry))
        for undone in ungive(document, entry):
            self.add(undone)
        return self.post(fact, entry, document.close(fact, entry))

    def reduce(self, fact: f.Note | f.Refund, document: Document | None) -> None:
        """Book a credit note or a refund."""
        billed = fact.total if isinstance(fact, f.Note) else fact.amount
        if isinstance(fact, f.Note) and (fact.refund or not fact.total):
            return self.settle(fact, "no_entry")
        entity = self.entity_of(fact)
        if isinstance(fact, f.Refund) and self.links.is_open(fact.charge):
            entity = None
        if entity is None or not self.values(entity, fact.currency):
            return self.wait(fact, entity, billed)
        entry = self.entry(fact, entity)
        if isinstance(fact, f.Refund) and fact.invoice is None:
            entry.put("debit", "refunds_contra", fact.amount)
            entry.put("credit", "clearing", fact.amount)
            self.convert(fact, entry, -fact.amount, fact.movement)
            return self.post(fact, entry, fact.amount)
        if document is None:
            return self.without_document(fact, entity, billed)
        try:
            if isinstance(fact, f.Note):
                document.credit(fact, entry)
            else:
                document.refund(fact, self.notes_by_refund.get(fact.fact_id), entry)
        except RejectedError:
            return self.settle(fact, "rejected")
        if isinstance(fact, f.Refund):
            self.convert(fact, entry, -fact.amount, fact.movement)
        return self.post(fact, entry, billed)

    def without_document(self, fact: f.Fact, entity: str, billed: int) -> None:
        """What its invoice has not booked can't be taken from it, now or ever."""
        issue = self.told.get((f.ISSUED, fact.invoice or ""))
        if isinstance(issue, f.Issue) and self.at_payment(issue, issue, entity):
            return self.settle(fact, "no_entry")
        return self.wait(fact, entity, billed)

    def take_back(self, fact: TAKES_BACK, document: Document | None) -> None:
        """Book the exact inverse of a credit note or a refund."""
        refund = isinstance(fact, f.RefundFailed)
        if ((f.REFUNDED if refund else f.CREDITED), fact.fact_id) not in self.told:
            return self.settle(fact, "waiting")
        entity = self.entity_of(fact)
        if entity is None:
            return self.settle(fact, "waiting")
        if document is None:
            return self.without_document(fact, entity, 0)
        made = document.take_back(fact.fact_id, fact.purpose, self.day(fact, entity))
        if made is None or not self.add(made):
            return self.settle(fact, "no_entry")
        told = self.told[f.REFUNDED, fact.fact_id] if isinstance(fact, f.RefundFailed) else None
        if isinstance(told, f.Refund) and isinstance(fact, f.RefundFailed):
            gone = told.movement and replace(told.movement, amount=-told.movement.amount)
            self.convert(fact, made, told.amount, fact.movement or gone)
        return self.settle(fact, "posted")

    def release(self, document: Document) -> None:
        """Every row still standing, dated the last day of its month."""
        entity = self.entity_of(document.issue)
        if entity is None:
            return
        issue = document.issue
        for day, amount, discount in document.releases():
            name = issue.fact_id
            entry = Entry(name, day, entity, issue.currency, f.RELEASED, name)
            entry.put("debit", "deferred_revenue", amount)
            entry.put("credit", "revenue", amount)
            document.show(entry, f.RELEASED, (discount,))
            self.add(entry)


def own_currency(entry: Entry) -> Entry:
    """An entry in the entity's own currency: every line is worth its amount."""
    return replace(entry, legs=[replace(leg, functional=leg.amount) for leg in entry.legs])


def in_time(fact: f.Fact) -> tuple[int, bool, str]:
    """Business time, what takes back behind what it takes back, then the fact's identity."""
    kind = "refund" if fact.purpose == f.REFUNDED else fact.purpose
    return fact.at, isinstance(fact, TAKES_BACK), f"{kind}:{fact.fact_id}"


def booked(entries: Sequence[Entry], today: date) -> list[Entry]:
    """What the clock lets be booked: everything but releases that are not yet due."""
    late = (f.RELEASED, f.EARNED)
    return [entry for entry in entries if entry.purpose not in late or entry.day < today]
