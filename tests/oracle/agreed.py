"""Contracts (docs/contracts.md): what each segment earns, and that against what was billed of it.

The problem: a contract is earned by its terms and not by its invoices, and its terms change. How:
a segment has a price, slices and rows; each fact of the contract makes new ones, by the kind of
change; at the end the rows of one obligation and what invoices billed of it are walked by days.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import date, timedelta
from fractions import Fraction
from typing import Any

from . import facts as f
from .company import Entity
from .document import GOES
from .entry import Entry
from .payload import RejectedError
from .schedule import (
    Row,
    Service,
    in_proportion,
    local_day,
    midnight,
    part_of_cut,
    round_half_up,
    spread_over,
)


@dataclass(frozen=True)
class Segment:
    """`root`: the obligation that it belongs to. `counted`: what of its price is variable.

    `slices`: of its schedule, which runs from `first` through `last`. `start`, `end`: of its
    service, the end not served.
    """

    root: str
    price: int
    counted: int
    start: date
    end: date
    slices: tuple[Row, ...]
    first: date
    last: date
    rows: dict[date, int]

    def before(self, day: date) -> dict[date, int]:
        """The rows dated before a day."""
        return {dated: amount for dated, amount in self.rows.items() if dated < day}

    def earned_part(self, day: date) -> int:
        """What of the row that the day cuts was served."""
        return part_of_cut(self.slices, self.rows, self.first, self.last, day)


class Agreement:
    """One contract: its segments by name, in the order in which they began."""

    def __init__(self, entity: Entity, signed: date) -> None:
        """Nothing is agreed yet; the policy of the day of signing says how it is spread."""
        self.entity = entity
        self.policy = entity.policy(signed)
        self.segments: dict[str, Segment] = {}

    def sign(self, terms: Sequence[f.SegmentTerms], on: date) -> None:
        """Segments begin; their fixed prices are shared by what each would cost alone."""
        prices = {place: one.price for place, one in enumerate(terms)}
        if any(one.standalone is not None for one in terms):
            weights = {place: one.standalone or 0 for place, one in enumerate(terms)}
            prices = in_proportion(sum(prices.values()), weights)
        for place, one in enumerate(terms):
            counted = one.variable if one.constraint is None else min(one.variable, one.constraint)
            start, end = (local_day(at, self.entity.zone) for at in (one.start, one.end))
            moments = (one.start, one.end)
            price = prices[place] + counted
            self.segments[one.name] = self.begin(one.name, price, counted, start, end, on, moments)

    def begin(  # noqa: PLR0917
        self,
        root: str,
        price: int,
        counted: int,
        start: date,
        end: date,
        on: date,
        moments: tuple[int, int] | None = None,
    ) -> Segment:
        """A segment with its schedule; `on`: the document's day for conventions that go by it."""
        way = self.policy.way
        zone = self.entity.zone
        begins, ends = moments or (midnight(start, zone), midnight(end, zone))
        months = max(round_half_up(Fraction((end - start).days, 30)), 1)
        service = Service(begins, ends, zone, way, on, months)
        first = local_day(service.begin(), zone)
        last = local_day(service.over(), zone) - timedelta(days=1)
        if way.start in ("document_date", "later_of_both") and end <= on:
            slices, first, last = [Row(on, Fraction(1))], on, on - timedelta(days=1)
        elif (end - start).days <= self.policy.immediate_up_to_days:
            slices, first, last = [Row(start, Fraction(1))], start, end - timedelta(days=1)
        else:
            slices = service.rows()
        rows = spread_over(slices, price, way.rounding)
        return Segment(root, price, counted, start, end, tuple(slices), first, last, rows)

    def modify(self, fact: f.Modified, on: date) -> None:
        """A modification, by its treatment."""
        if fact.treatment == "separate":
            return self.sign(fact.segments, on)
        name = fact.segment or ""
        segment = self.segments.get(name)
        if segment is None:
            raise RejectedError("segment_unknown")
        end = segment.end if fact.end is None else local_day(fact.end, self.entity.zone)
        if fact.treatment == "prospective":
            return self.continue_as(name, fact, max(on, segment.start), end)
        change, counted = fact.change, segment.counted
        if fact.treatment == "estimate":
            told = fact.variable or 0
            now = told if fact.constraint is None else min(told, fact.constraint)
            change, counted = now - segment.counted, now
        self.segments[name] = self.catch_up(segment, segment.price + change, counted, end, on)
        return None

    def continue_as(self, name: str, fact: f.Modified, on: date, end: date) -> None:
        """The segment closes; what it has not earned goes on, with the change, as another one."""
        segment = self.segments[name]
        closed = stopped(segment, on, None)
        rest = segment.price - sum(closed.values()) + fact.change
        if rest < 0:
            raise RejectedError("change_exceeds_contract")
        self.segments[name] = replace(segment, price=sum(closed.values()), counted=0, rows=closed)
        opened = self.begin(segment.root, rest, segment.counted, on, end, on)
        self.segments[fact.new_segment or f"{name}~{fact.fact_id}"] = opened

    def catch_up(self, segment: Segment, price: int, counted: int, end: date, on: date) -> Segment:
        """As if the new price had been agreed from the first day."""
        if price < 0:
            raise RejectedError("change_exceeds_contract")
        made = segment
        if end != segment.end:
            root, start = segment.root, segment.start
            made = self.begin(root, price, counted, start, end, start)
        whole = sum(row.weight for row in made.slices)
        before = sum((row.weight for row in made.slices if row.day < on), Fraction(0))
        earned = round_half_up(price * before / whole)
        rows = segment.before(on)
        caught_up = earned - sum(rows.values())
        later = [row for row in made.slices if row.day >= on]
        rest = spread_over(later, price - earned, self.policy.way.rounding) if later else {}
        for day, amount in rest.items():
            rows[day] = rows.get(day, 0) + amount
        rows[on] = rows.get(on, 0) + caught_up
        return replace(made, price=price, counted=counted, rows=rows)

    def end(self, on: date) -> None:
        """Every segment stops: what was served of the row that the day cuts is dated the day."""
        for name, segment in self.segments.items():
            rows = stopped(segment, on, on)
            self.segments[name] = replace(segment, price=sum(rows.values()), rows=rows)

    def root_of(self, name: str | None) -> str:
        """The obligation that a line bills."""
        roots = {segment.root for segment in self.segments.values()}
        if name is None and len(roots) == 1:
            return roots.pop()
        found = self.segments.get(name or "")
        return found.root if found else name or ""


def stopped(segment: Segment, on: date, dated: date | None) -> dict[date, int]:
    """The rows of a segment that ends on a day; the part of the row it cuts keeps its date."""
    rows = segment.before(on)
    part = segment.earned_part(on)
    later = [day for day in segment.rows if day >= on]
    if part and (dated or later):
        at = dated or min(later)
        rows[at] = rows.get(at, 0) + part
    return rows


class Agreed:
    """The contracts of all accounts."""

    def __init__(self, books: Any) -> None:  # noqa: ANN401 (the books, which import this module)
        """Nothing is booked yet."""
        self.books = books

    def book(self) -> None:
        """Every contract, by its facts and the lines that bill it."""
        told: dict[str, list[f.Fact]] = {}
        for fact in self.books.told.values():
            if isinstance(fact, f.Signed | f.Modified | f.ContractEnded):
                told.setdefault(fact.invoice or "", []).append(fact)
        for name, facts in told.items():
            signed = next((one for one in facts if isinstance(one, f.Signed)), None)
            entity: str | None = self.books.entity_of(signed) if signed else None
            if signed is None or entity is None:
                for fact in facts:
                    self.books.settle(fact, "waiting")
            else:
                others = sorted(
                    (one for one in facts if one is not signed),
                    key=lambda one: (one.at, f"{one.purpose}:{one.fact_id}"),
                )
                self.play(name, entity, signed, others)

    def play(self, name: str, entity: str, signed: f.Signed, others: list[f.Fact]) -> None:
        """The facts in order, then the walk."""
        on = self.books.day(signed, entity)
        agreement = Agreement(self.books.company.entities[entity], on)
        agreement.sign(signed.segments, on)
        ended: f.Fact | None = None
        for fact in others:
            day = self.books.day(fact, entity)
            self.books.settle(fact, "no_entry")
            if isinstance(fact, f.Modified):
                try:
                    agreement.modify(fact, day)
                except RejectedError:
                    self.books.settle(fact, "rejected")
            elif agreement.entity.policy(day).choice("termination", "schedule_stands") in GOES:
                agreement.end(day)
                ended = fact
        roots = dict.fromkeys(segment.root for segment in agreement.segments.values())
        made = [self.walk(name, entity, signed, agreement, root, ended) for root in roots]
        self.books.settle(signed, "posted" if any(made) else "no_entry")

    def walk(  # noqa: PLR0917
        self,
        name: str,
        entity: str,
        signed: f.Signed,
        agreement: Agreement,
        root: str,
        ended: f.Fact | None,
    ) -> bool:
        """Position of an obligation: billed less earned; below zero it is unbilled."""
        moves: list[tuple[date, int, int, f.Fact]] = [
            (day, 1, amount, signed)
            for segment in agreement.segments.values()
            if segment.root == root
            for day, amount in segment.rows.items()
            if amount
        ]
        earns = bool(moves)
        for fact, document in self.books.issued:
            net = sum(
                line.net
                for line in document.issue.lines
                if line.contract == name and agreement.root_of(line.segment) == root
            )
            if net:
                moves.append((self.books.day(fact, entity), 0, net, fact))
        position = 0
        for day, earned, amount, fact in sorted(moves, key=lambda move: move[:3]):
            change = -amount if earned else amount
            unbilled = max(-(position + change), 0) - max(-position, 0)
            position += change
            entry = self.entry(fact, entity, name, f.EARNED if earned else f.CLEARED, day)
            entry.put("debit", "deferred_revenue", amount - unbilled if earned else -unbilled)
            entry.put("debit", "unbilled_receivable", unbilled)
            entry.put("credit", "revenue", amount if earned else 0)
            self.books.add(entry)
        if ended is not None and position > 0:
            day = self.books.day(ended, entity)
            choice = agreement.entity.policy(day).choice("termination", "schedule_stands")
            entry = self.entry(ended, entity, name, f.CONTRACT_ENDED, day)
            entry.put("debit", "deferred_revenue", position)
            entry.put("credit", GOES[choice], position)
            self.books.add(entry)
            self.books.settle(ended, "posted")
        return earns

    def entry(self, fact: f.Fact, entity: str, name: str, purpose: str, day: date) -> Entry:
        """An empty entry of the contract."""
        made: Entry = replace(
            self.books.entry(fact, entity), purpose=purpose, day=day, invoice=name, legs=[]
        )
        return made
