"""One issued invoice, and what is left of it as facts reduce it or give it back.

The problem: what a void, a credit note, a refund or a late payment books depends on all that
happened before. How: the facts of an invoice are applied one by one in the order of their times;
each returns the legs that it books, and what has to be remembered to take it back exactly.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import date
from fractions import Fraction

from . import facts as f
from .company import Entity
from .entry import Entry
from .parts import tax_in
from .payload import RejectedError
from .schedule import LineState, Service, in_proportion, local_day, round_half_up


@dataclass(frozen=True)
class Taken:
    """What one fact took: (released, unreleased) by line number, and tax."""

    lines: Mapping[int, tuple[int, int]]
    tax: int
    entry: Entry

    @property
    def gross(self) -> int:
        """All of it."""
        return self.tax + sum(sum(parts) for parts in self.lines.values())


GOES = {"refund": "clearing", "credit": "customer_credit", "release": "revenue"}


class Document:
    """An issued invoice and what is left of it."""

    def __init__(self, issue: f.Issue, entity: Entity) -> None:
        """Everything is left."""
        self.issue = issue
        self.entity = entity
        self.day = local_day(issue.at, entity.zone)
        self.counter = "customer_credit" if issue.total < 0 else "receivable"
        self.tax = sum(sum(line.taxes) for line in issue.lines)
        self.tax_left = self.tax
        self.gross = issue.total
        self.told = [list(zip(line.taxes, line.inside, strict=True)) for line in issue.lines]
        self.lines = {
            line.number: LineState(line.net, service)
            for line, service in zip(issue.lines, services(issue, entity), strict=True)
        }
        self.numbers = {line.line_id: line.number for line in issue.lines}
        self.owed = issue.total
        self.charged: int | None = None
        self.refunded = 0
        self.refunded_tax = 0
        self.losses: list[Taken] = []
        self.given: list[tuple[str, int, int]] = []
        self.lost_overdue = 0
        self.taken: dict[str, Taken] = {}

    def taxes(self) -> list[int]:
        """Each tax as it was invoiced, or added since; what was taken back since, as one."""
        told = [tax for line in self.told for tax, _ in line]
        return [*told, self.tax - sum(told)]

    def left(self) -> int:
        """What is left, with its tax."""
        return self.tax_left + sum(state.left() for state in self.lines.values())

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

    def issued(self, entry: Entry) -> None:
        """Its issue."""
        entry.put("debit", self.counter, self.issue.total)
        self.earned(entry)

    def earned(self, entry: Entry) -> None:
        """The credit side, in the order of the journal: revenue later, revenue now, and tax."""
        for role in ("deferred_revenue", "revenue"):
            for line in self.issue.lines:
                # What bills a contract is deferred until that earns it.
                later = self.lines[line.number].service is not None or line.contract is not None
                if later == (role == "deferred_revenue"):
                    entry.put("credit", role, line.net)
        for line in self.issue.lines:
            for tax in line.taxes:
                entry.put("credit", "tax_payable", tax)
        shown = [line.discount_on(self.lines[line.number].at_once) for line in self.issue.lines]
        self.show(entry, entry.purpose, shown)

    def show(self, entry: Entry, journal: str, discounts: Sequence[int]) -> None:
        """Discounts beside revenue at list price, where the policy of the entry's day says so."""
        negative = entry.purpose != f.RELEASED and self.issue.total < 0
        name = "invoice_issued_negative" if negative and not entry.purpose == f.ENDED else journal
        day = self.day if entry.purpose == f.RELEASED else entry.day
        role = self.entity.policy(day).role(name, "discount", "")
        for side, one in (("debit", role), ("credit", "revenue")):
            for discount in discounts if role else ():
                entry.put(side, one, discount)

    def take(
        self,
        entry: Entry,
        contra: str,
        *,
        shares: Mapping[int, int],
        tax: int,
        treatment: str,
        named: bool = False,
    ) -> Taken:
        """Take net by line and tax, and book the debit side."""
        lines = {}
        everything = {number: state.left() for number, state in self.lines.items()}
        whole = not named and treatment != "point_in_time" and tax == self.tax_left
        if whole and sum(shares.values()) == sum(everything.values()) > 0:
            lines = {number: state.cancel(entry.day) for number, state in self.lines.items()}
        else:
            for number in sorted(shares):
                if shares[number]:
                    lines[number] = self.lines[number].reduce(shares[number], entry.day, treatment)
        for place, role in enumerate((contra, "deferred_revenue")):
            for parts in lines.values():
                entry.put("debit", role, parts[place])
        entry.put("debit", "tax_payable", tax)
        self.tax_left -= tax
        return Taken(lines, tax, entry)

    def give(self, taken: Taken, day: date) -> None:
        """What was taken comes back: released parts at once, the others to the schedule."""
        for number, (released, unreleased) in taken.lines.items():
            self.lines[number].give(released, unreleased, day)
        self.tax_left += taken.tax

    def adjust(self, fact: f.TaxAdjusted, entry: Entry) -> None:
        """More or less tax; what the company bears leaves the document as it was charged."""
        bearer = {
            "receivable": "receivable",
            "customer_balance": "customer_credit",
            "company": "tax_adjustments",
        }[fact.settlement]
        if bearer != "tax_adjustments":
            if self.tax_left + fact.amount < 0:
                raise RejectedError("credit_exceeds_document")
            if fact.amount > 0:
                self.add_tax(fact.amount)
            self.tax += fact.amount
            self.tax_left += fact.amount
            self.gross += fact.amount
            self.owed += fact.amount if bearer == "receivable" else 0
        entry.put("debit", bearer, fact.amount)
        entry.put("credit", "tax_payable", fact.amount)

    def add_tax(self, amount: int) -> None:
        """On the first charge line that has one beside its price, else on the first charge line."""
        charges = [
            taxes for line, taxes in zip(self.issue.lines, self.told, strict=True) if line.net >= 0
        ]
        for taxes in charges:
            for place, (tax, inside) in enumerate(taxes):
                if not inside:
                    taxes[place] = (tax + amount, inside)
                    return
        charges[0].append((amount, False))

    def close(self, fact: f.Closing, entry: Entry) -> int:
        """A void or a loss of what is owed; the gross that it cleared."""
        ended = {number for _, number, _ in self.given}
        left = self.left()
        if self.owed <= 0:
            return 0
        policy = self.entity.policy(entry.day)
        lost = fact.purpose == f.UNCOLLECTIBLE
        contra = policy.role(fact.purpose, "released", "bad_debt" if lost else "voids_contra")
        lost_tax = policy.role(fact.purpose, "tax", "bad_debt" if lost else "tax_payable")
        stands = lost and policy.choice("uncollectible", "schedule_stops") == "schedule_stands"
        if self.owed >= left:
            lines = {
                number: state.cancel(entry.day, stands=stands and number not in ended)
                for number, state in self.lines.items()
            }
            tax = self.tax_left
        else:
            tax = round_half_up(Fraction(self.tax_left * self.owed, left))
            shares = in_proportion(self.owed - tax, self.reducible())
            lines = {
                number: self.lines[number].reduce(share, entry.day)
                for number, share in shares.items()
            }
        for released, unreleased in lines.values():
            entry.put("debit", "deferred_revenue", unreleased)
            entry.put("debit", contra, released)
        taken = Taken(lines, tax, entry)
        entry.put("debit", lost_tax, tax)
        entry.put("credit", self.counter, taken.gross)
        self.tax_left -= tax
        self.owed -= taken.gross
        if fact.purpose == f.UNCOLLECTIBLE:
            self.losses.append(taken)
        return taken.gross

    def serves(self, subscription: str, at: int) -> bool:
        """Whether it was issued no later than a moment, and bills a subscription beyond it."""
        ends = [one.end for one in self.issue.lines if one.subscription == subscription and one.end]
        return bool(ends) and self.issue.at <= at < max(ends)

    def end(self, subscription: str, entry: Entry) -> None:
        """A subscription ends: what was served is earned; the policy says where the rest goes."""
        choice = self.entity.policy(entry.day).choice("termination", "schedule_stands")
        if choice == "schedule_stands":
            return
        ended = [
            line
            for line in self.issue.lines
            if line.subscription == subscription and line.contract is None
        ]
        before = [(line, self.lines[line.number].dated_before(entry.day)) for line in ended]
        lines = [
            self.lines[line.number].end(entry.day, release=choice == "release") for line in ended
        ]
        goes = GOES[choice]
        if choice != "release":
            self.given += [
                (goes, one.number, rest) for one, (_, rest) in zip(ended, lines, strict=True)
            ]
        entry.put("debit", "deferred_revenue", sum(earned + rest for earned, rest in lines))
        for earned, _ in lines:
            entry.put("credit", "revenue", earned)
        for _, rest in lines:
            entry.put("credit", goes, rest)
        shown = [
            line.discount_on(released + earned + (rest if choice == "release" else 0))
            - line.discount_on(released)
            for (line, released), (earned, rest) in zip(before, lines, strict=True)
        ]
        self.show(entry, f"service_stopped_{choice}", shown)

    def releases(self) -> list[tuple[date, int, int]]:
        """Every row still standing, with the discount on it."""
        found = []
        for line in self.issue.lines:
            earned = 0
            for day, amount in sorted(self.lines[line.number].rows.items()):
                shown = line.discount_on(earned + amount) - line.discount_on(earned)
                found.append((day, amount, shown))
                earned += amount
        return found

    def overdue(self, entry: Entry) -> int:
        """What is owed is lost while it is overdue; revenue goes on."""
        amount = max(self.owed, 0)
        role = self.entity.policy(entry.day).role(f.OVERDUE, "amount", "bad_debt")
        entry.put("debit", role, amount)
        entry.put("credit", "receivable", amount)
        self.owed -= amount
        self.lost_overdue += amount
        return amount

    def pay_overdue(self, paid: int, entry: Entry) -> None:
        """A payment takes that loss back as far as it reaches."""
        amount = min(paid, self.lost_overdue)
        entry.put("debit", "receivable", amount)
        entry.put("credit", "bad_debt", amount)
        self.owed += amount
        self.lost_overdue -= amount

    def recover(self, paid: int, day: date) -> list[Entry]:
        """A payment after a loss takes the loss back first (losses paid in part: not here)."""
        found = []
        while self.losses and paid >= self.losses[0].gross:
            loss = self.losses.pop(0)
            self.give(loss, day)
            self.owed += loss.gross
            paid -= loss.gross
            found.append(loss.entry.inverse(day, f.RECOVERED))
        return found

    def credit(self, note: f.Note, entry: Entry) -> None:
        """A credit note that is settled by no refund."""
        if not 0 <= note.tax <= max(self.tax_left, 0):
            raise RejectedError("credit_exceeds_document")
        policy = self.entity.policy(entry.day)
        journal = (
            "credit_note_receivable" if note.before_payment else "credit_note_customer_balance"
        )
        contra = policy.role(journal, "released", "credit_notes_contra")
        treatment = policy.treatment("credit_note", note.reason)
        shares = self.shares(note.total - note.tax, note.shares)
        named = bool(note.shares)
        taken = self.take(
            entry, contra, shares=shares, tax=note.tax, treatment=treatment, named=named
        )
        entry.put("credit", "receivable" if note.before_payment else "customer_credit", note.total)
        self.taken[note.fact_id] = taken
        if note.before_payment:
            self.owed -= note.total

    def refund(self, refund: f.Refund, note: f.Note | None, entry: Entry) -> None:
        """A refund, with the split of its credit note when it has one."""
        policy = self.entity.policy(entry.day)
        if self.charged is not None and self.refunded + refund.amount > self.charged:
            raise RejectedError("refund_exceeds_payment")
        if note is not None:
            tax = round_half_up(Fraction(note.tax * refund.amount, note.total or 1))
            if tax > self.tax_left:
                raise RejectedError("credit_exceeds_document")
            told = note.shares if refund.amount == note.total else ()
            shares = self.shares(refund.amount - tax, told)
            contra = policy.role("refunded_by_note", "released", "credit_notes_contra")
            treatment = policy.treatment("refund", note.reason)
            named = bool(told)
            taken = self.take(
                entry, contra, shares=shares, tax=tax, treatment=treatment, named=named
            )
        elif self.gross > 0:
            cumulative = self.refunded + refund.amount
            tax = tax_in(self.taxes(), Fraction(cumulative, self.gross), policy)
            lowest = max(refund.amount - sum(one.left() for one in self.lines.values()), 0)
            tax = min(max(tax - self.refunded_tax, lowest), self.tax_left, refund.amount)
            shares = self.shares(refund.amount - tax, ())
            contra = policy.role("refunded", "released", "refunds_contra")
            treatment = policy.treatment("refund")
            taken = self.take(entry, contra, shares=shares, tax=tax, treatment=treatment)
        else:
            raise RejectedError("credit_exceeds_document")
        self.refunded += refund.amount
        self.refunded_tax += tax
        self.taken[refund.fact_id] = taken
        entry.put("credit", "clearing", refund.amount)

    def take_back(self, name: str, purpose: str, day: date) -> Entry | None:
        """The exact inverse of a credit note or a refund; nothing when that booked nothing."""
        taken = self.taken.pop(name, None)
        if taken is None:
            return None
        self.give(taken, day)
        if any(leg.role == "receivable" for leg in taken.entry.legs):
            self.owed += taken.gross
        if purpose == f.REFUND_FAILED:
            self.refunded -= taken.gross
            self.refunded_tax -= taken.tax
        return taken.entry.inverse(day, purpose)


def services(issue: f.Issue, entity: Entity) -> list[Service | None]:
    """The service period of each line, or None when it is revenue at once."""
    day = local_day(issue.at, entity.zone)
    policy = entity.policy(day)
    found = [service_of(line, entity, day) for line in issue.lines]
    longest = max((days_of(service) for service in found if service), default=0)
    months = max(round_half_up(Fraction(longest, 30)), 1)
    return [
        service and replace(service, way=policy.way, document_day=day, months=months)
        for service in found
    ]


def service_of(line: f.Line, entity: Entity, issued: date) -> Service | None:
    """The service period as told, if it is long enough and not over."""
    if line.start is None or line.end is None or line.end <= line.start or line.contract:
        return None
    service = Service(line.start, line.end, entity.zone)
    over = local_day(line.end, entity.zone) <= issued
    at_once = days_of(service) <= entity.policy(issued).immediate_up_to_days
    return None if over or at_once else service


def days_of(service: Service) -> int:
    """Days of service, the first counted and the last not."""
    start, end = local_day(service.start, service.zone), local_day(service.end, service.zone)
    return (end - start).days
