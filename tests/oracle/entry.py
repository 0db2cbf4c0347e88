"""One journal entry: legs with a side and an amount that is never negative."""

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from datetime import date

OTHER_SIDE = {"debit": "credit", "credit": "debit"}


@dataclass(frozen=True)
class Leg:
    """One line of a journal: in the document's currency, and in the entity's."""

    role: str
    side: str
    amount: int
    functional: int = 0


@dataclass
class Entry:
    """One journal entry. `document`: what told it; `invoice`: what it belongs to."""

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

    def inverse(self, day: date, purpose: str) -> "Entry":
        """The same lines on the other side, on another day."""
        turned = [Leg(leg.role, OTHER_SIDE[leg.side], leg.amount) for leg in self.legs]
        return replace(self, day=day, purpose=purpose, legs=turned)
