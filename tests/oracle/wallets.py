"""Prepaid wallets (docs/contracts.md, Wallets): topped up, used, expired.

The problem: a wallet can't hold less than nothing, and what it can't pay waits alone. How: its
facts are taken in the order of their times; one that asks for more than is there waits, and those
after it go on without it.
"""

from fractions import Fraction
from typing import Any

from . import facts as f
from .usage import cost_of

PAID_BY = {
    "processor": "clearing",
    "elsewhere": "cash_received_elsewhere",
    "on_account": "receivable",
}


class Wallets:
    """The wallets of all accounts."""

    def __init__(self, books: Any) -> None:  # noqa: ANN401 (the books, which import this module)
        """Nothing is booked yet."""
        self.books = books

    def book(self) -> None:
        """Every wallet, fact by fact."""
        told: dict[str, list[f.Fact]] = {}
        for fact in self.books.told.values():
            if isinstance(fact, f.TopUp | f.Expiry) or isinstance(fact, f.Usage) and fact.wallet:
                told.setdefault(fact.invoice or "", []).append(fact)
        for facts in told.values():
            entity = self.books.entity_of(facts[0])
            if entity is None:
                for fact in facts:
                    self.books.settle(fact, "waiting")
                continue
            facts.sort(key=lambda one: (one.at, f"{one.purpose}:{one.fact_id}"))
            held = 0
            quantities: dict[tuple[str, str, int], Fraction] = {}
            for fact in facts:
                held += self.play(fact, entity, held, quantities)

    def play(
        self,
        fact: f.Fact,
        entity: str,
        held: int,
        quantities: dict[tuple[str, str, int], Fraction],
    ) -> int:
        """One fact; answers by how much it changes what is held."""
        entry = self.books.entry(fact, entity)
        if isinstance(fact, f.TopUp):
            entry.put("debit", PAID_BY[fact.settlement], fact.amount)
            entry.put("credit", "customer_credit", fact.amount)
            self.settle(fact, entry)
            return fact.amount
        after: Fraction | None = None
        if isinstance(fact, f.Usage):
            amount, after = cost_of(self.books, fact, entity, quantities)
            role = "revenue"
        else:
            asked = fact.amount if isinstance(fact, f.Expiry) else None
            amount, role = held if asked is None else asked, "breakage_revenue"
        if amount > held:
            self.books.settle(fact, "waiting")
            return 0
        if isinstance(fact, f.Usage) and after is not None:
            quantities[fact.meter] = after
        policy = self.books.company.entities[entity].policy(entry.day)
        if role == "revenue" or policy.choice("breakage", "on_expiry") == "on_expiry":
            entry.put("debit", "customer_credit", amount)
            entry.put("credit", role, amount)
        self.settle(fact, entry)
        return -amount

    def settle(self, fact: f.Fact, entry: Any) -> None:  # noqa: ANN401 (an entry of the books)
        """Posted if the entry has lines."""
        self.books.settle(fact, "posted" if self.books.add(entry) else "no_entry")
