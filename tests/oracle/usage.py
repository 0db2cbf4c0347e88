"""Usage in arrears (docs/contracts.md, Usage; Billed against earned).

The problem: usage is earned on its day and billed later, and a record's price depends on what was
used before it in the same period. How: the records of a document are priced by the growth of the
period's price; what they earn and what invoice lines bill is walked through by days, billed first,
and the part that no invoice has billed yet is unbilled.
"""

from collections.abc import Mapping
from dataclasses import replace
from datetime import date
from decimal import Decimal
from fractions import Fraction
from typing import Any

from . import facts as f
from .currency import EXPONENTS
from .entry import Entry
from .schedule import local_day, round_half_up


class Metered:
    """The usage documents of all accounts."""

    def __init__(self, books: Any) -> None:  # noqa: ANN401 (the books, which import this module)
        """Nothing is booked yet."""
        self.books = books
        self.used: dict[str, list[f.Usage]] = {}
        self.billed: dict[str, list[tuple[f.Fact, int]]] = {}

    def book(self) -> None:
        """Every usage document, by its records and the lines that bill it."""
        for fact in self.books.told.values():
            if isinstance(fact, f.Usage) and not fact.wallet:
                self.used.setdefault(fact.document, []).append(fact)
        for fact, document in self.books.issued:
            for line in document.issue.lines:
                if line.contract:
                    self.billed.setdefault(line.contract, []).append((fact, line.net))
        for name, records in self.used.items():
            self.walk(sorted(records, key=lambda one: (one.at, one.fact_id)), name)

    def walk(self, records: list[f.Usage], document: str) -> None:
        """Position: billed less earned; below zero it is unbilled."""
        entity = self.books.entity_of(records[0])
        if entity is None:
            for record in records:
                self.books.settle(record, "waiting")
            return
        moves: list[tuple[date, int, int, f.Fact]] = []
        quantities: dict[tuple[str, str, int], Fraction] = {}
        costs: dict[str, int] = {}
        for at, record in enumerate(records):
            cost, quantities[record.meter] = cost_of(self.books, record, entity, quantities)
            moves.append((self.books.day(record, entity), 1, at, record))
            self.books.settle(record, "posted" if cost else "no_entry")
            costs[record.fact_id] = cost
        for at, (issue, _) in enumerate(self.billed.get(document, [])):
            moves.append((self.books.day(issue, entity), 0, at, issue))
        position = 0
        for _, earned, at, fact in sorted(moves, key=lambda move: move[:3]):
            if earned:
                cost = costs[fact.fact_id]
                unbilled = max(cost - position, 0) - max(-position, 0)
                position -= cost
                self.enter(fact, entity, f.USED, unbilled, cost)
            else:
                net = self.billed[document][at][1]
                cleared = max(-position, 0) - max(-(position + net), 0)
                position += net
                self.clear(fact, entity, cleared, document)

    def enter(self, fact: f.Fact, entity: str, purpose: str, unbilled: int, cost: int) -> None:
        """A day's usage: out of what was billed ahead, else unbilled."""
        entry = self.entry(fact, entity, purpose)
        entry.put("debit", "deferred_revenue", cost - unbilled)
        entry.put("debit", "unbilled_receivable", unbilled)
        entry.put("credit", "revenue", cost)
        self.books.add(entry)

    def clear(self, fact: f.Fact, entity: str, amount: int, document: str) -> None:
        """An invoice bills what was earned before: an entry of the usage document."""
        entry = replace(self.entry(fact, entity, f.CLEARED), invoice=document)
        entry.put("debit", "deferred_revenue", amount)
        entry.put("credit", "unbilled_receivable", amount)
        self.books.add(entry)

    def entry(self, fact: f.Fact, entity: str, purpose: str) -> Entry:
        """An empty entry of a fact for another purpose."""
        made: Entry = replace(self.books.entry(fact, entity), purpose=purpose, legs=[])
        return made


def cost_of(  # noqa: ANN401 (the books)
    books: Any, record: f.Usage, entity: str, used: Mapping[tuple[str, str, int], Fraction]
) -> tuple[int, Fraction]:
    """What a record adds to the price of its period, and all that is used with it."""
    before = used.get(record.meter, Fraction(0))
    after = before + Fraction(Decimal(record.quantity))
    price = priced(books, record, entity)
    cost = price_of(price, after, record.currency) - price_of(price, before, record.currency)
    return cost, after


def priced(books: Any, record: f.Usage, entity: str) -> Mapping[str, Any]:  # noqa: ANN401
    """The price in force on the first day of the billing period."""
    first = local_day(record.period_from, books.company.entities[entity].zone)
    fitting = [
        one
        for one in books.company.prices
        if one["id"] == record.price and one["currency"] == record.currency and one["from"] <= first
    ]
    found: Mapping[str, Any] = max(fitting, key=lambda one: one["from"])
    return found


def price_of(price: Mapping[str, Any], quantity: Fraction, currency: str) -> int:
    """What a quantity costs in minor units: exact by tiers, rounded once."""
    units = 10 ** EXPONENTS.get(currency, 2)
    return round_half_up(exact_price(price, quantity) * units) if quantity else 0


def exact_price(price: Mapping[str, Any], quantity: Fraction) -> Fraction:
    """By each tier its part (graduated), or all by the tier that the quantity reaches (volume)."""
    total, begin = Fraction(0), Fraction(0)
    for tier in price["tiers"]:
        unit = Fraction(Decimal(str(tier.get("unit_price", 0))))
        flat = Fraction(Decimal(str(tier.get("flat_price", 0))))
        end = Fraction(Decimal(str(tier["up_to"]))) if "up_to" in tier else quantity
        if price["model"] == "volume":
            if quantity <= end or tier is price["tiers"][-1]:
                return quantity * unit + flat
        elif quantity > begin:
            total += (min(quantity, end) - begin) * unit + flat
        begin = end
    return total
