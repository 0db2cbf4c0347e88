"""What entries in a foreign currency are worth in the entity's own (docs/currency.md).

The problem: the parts of a document are converted at different times and must still end at zero,
and debits must equal credits in the functional currency too. How: the entries of one document are
valued one by one in the order of their dates, with the balance of each role in both currencies at
hand; what is over is an exchange gain or loss, or the rounding of a conversion.
"""

from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import date, timedelta
from decimal import Decimal
from fractions import Fraction
from typing import Any

from . import facts as f
from .entry import Entry, Leg
from .schedule import month_end, round_half_up

# Where ISO 4217 has other than two decimals, as far as tests need it.
EXPONENTS = {"JPY": 0, "KRW": 0, "BHD": 3, "JOD": 3, "KWD": 3, "OMR": 3, "TND": 3}


CONVERSION = "clearing_conversion"


@dataclass(frozen=True)
class Rate:
    """One unit of `base` is `rate` units of `quote`."""

    kind: str
    base: str
    quote: str
    day: date
    rate: str


@dataclass(frozen=True)
class Rates:
    """Published rates."""

    published: Sequence[Rate] = ()

    def find(self, kind: str, currency: str, own: str, day: date, age_max: int) -> Fraction | None:
        """The latest rate dated on or before a day, if it is not too old."""
        dated = [
            one
            for one in self.published
            if (one.kind, one.base, one.quote) == (kind, currency, own) and one.day <= day
        ]
        latest = max(dated, key=lambda one: one.day, default=None)
        if latest is None or (day - latest.day).days > age_max:
            return None
        return Fraction(Decimal(latest.rate)) * scale(currency, own)


def scale(currency: str, own: str) -> Fraction:
    """Minor units of one currency to those of another at a rate of one."""
    return Fraction(10) ** (EXPONENTS.get(own, 2) - EXPONENTS.get(currency, 2))


@dataclass
class Balance:
    """Of one role of a document: in its currency, in the entity's, and what is unrealised."""

    amount: int = 0
    worth: int = 0
    unrealised: int = 0


@dataclass
class Valuation:
    """One document's entries, valued in order."""

    rules: Mapping[str, Any]
    own: str
    currency: str
    rates: Rates
    today: date
    made: list[Entry] = field(default_factory=list)
    balances: dict[str, Balance] = field(default_factory=lambda: defaultdict(Balance))

    def spot(self, day: date) -> Fraction | None:
        """The rate of events of a day."""
        lagged = day - timedelta(days=int(self.rules["rate_lag_days"]))
        age = int(self.rules["rate_age_days_max"])
        return self.rates.find("spot", self.currency, self.own, lagged, age)

    def run(self, entries: Sequence[Entry]) -> list[Entry]:
        """All entries with their worth; those without a rate are left out, they wait."""
        issue = next((one for one in entries if one.purpose in (f.ISSUED, f.RECOGNISED)), None)
        document = self.spot(issue.day) if issue else None
        if issue is not None and document is None:
            return []
        ordered = sorted(
            entries, key=lambda one: (one is not issue, one.day, one.purpose == f.RELEASED)
        )
        month = month_end(issue.day if issue else self.today)
        for entry in ordered:
            while month < entry.day and entry is not issue:
                self.revalue(month, entry)
                month = month_end(month + timedelta(days=1))
            own = self.spot(entry.day) if self.needs_rate(entry, document) else document
            if own is not None:
                self.value(entry, own, document)
        while issue and month < self.today:
            self.revalue(month, issue)
            month = month_end(month + timedelta(days=1))
        return self.made

    def needs_rate(self, entry: Entry, document: Fraction | None) -> bool:
        """Only money has a rate of its own; the rest is worth what the document's rate says."""
        own = (*self.rules["spot_roles"], *self.rules.get("parked_roles", ()))
        return document is None or any(leg.role in own for leg in entry.legs)

    def value(self, entry: Entry, own: Fraction, document: Fraction | None) -> None:
        """The worth of each line, and what is over."""
        legs: list[Leg] = []
        taken_back = 0
        for leg in entry.legs:
            signed = leg.amount if leg.side == "debit" else -leg.amount
            worth, back = self.worth(leg.role, signed, own, document)
            taken_back += back
            legs.append(replace(leg, functional=worth if leg.side == "debit" else -worth))
        if taken_back:
            legs.append(functional_leg(self.rules["unrealised_role"], taken_back))
        over = sum(signed_worth(leg) for leg in legs)
        if over:
            roles = {leg.role for leg in legs}
            parked = roles & set(self.rules.get("parked_roles", ()))
            money = roles & set(self.rules["spot_roles"])
            gained = bool(money) and (bool(parked) or own != document)
            legs = self.balance(legs, over, gained=gained, anywhere=document is None)
        self.made.append(replace(entry, legs=legs))

    def worth(
        self, role: str, signed: int, own: Fraction, document: Fraction | None
    ) -> tuple[int, int]:
        """The signed worth of a line, and what of the unrealised it takes back."""
        held = self.balances[role]
        before = held.amount
        held.amount += signed
        if role in self.rules.get("parked_roles", ()):
            grows = abs(held.amount) > abs(before) or not before
            worth = (
                round_half_up(own * signed)
                if grows
                else round_half_up(Fraction(held.worth * signed, before))
            )
        elif document is None or role in (*self.rules["spot_roles"], CONVERSION):
            worth = round_half_up(own * signed)
        else:
            worth = round_half_up(document * held.amount) - held.worth
        held.worth += worth
        if not held.unrealised or abs(held.amount) >= abs(before):
            return worth, 0
        remaining = round_half_up(Fraction(held.unrealised * held.amount, before))
        back = held.unrealised - remaining
        held.unrealised = remaining
        return worth - back, back

    def balance(self, legs: list[Leg], over: int, *, gained: bool, anywhere: bool) -> list[Leg]:
        """Debits equal credits again: a gain or loss, or a rounding taken off the largest line."""
        parked = self.rules.get("parked_roles", ())
        apart = (*self.rules["spot_roles"], *parked, *self.rules["revalued_roles"])
        able = [
            leg
            for leg in legs
            if leg.role not in apart and (anywhere or self.balances[leg.role].amount)
        ]
        largest = max(able, key=lambda leg: leg.functional, default=None)
        if gained or largest is None or largest.functional <= abs(over):
            return [*legs, functional_leg(self.rules["gain_loss_role"], -over)]
        place = next(at for at, leg in enumerate(legs) if leg is largest)
        sign = 1 if largest.side == "debit" else -1
        changed = replace(largest, functional=largest.functional - sign * over)
        self.balances[largest.role].worth -= over
        return [*legs[:place], changed, *legs[place + 1 :]]

    def revalue(self, month: date, like: Entry) -> None:
        """Open balances at the closing rate of a month's end."""
        if self.rules["revaluation"] == "never":
            return
        age = int(self.rules["rate_age_days_max"])
        rate = self.rates.find("closing", self.currency, self.own, month, age)
        for role in self.rules["revalued_roles"]:
            held = self.balances[role]
            if not held.amount or rate is None:
                continue
            moved = round_half_up(rate * held.amount) - held.worth - held.unrealised
            if not moved:
                continue
            legs = [
                functional_leg(role, moved),
                functional_leg(self.rules["unrealised_role"], -moved),
            ]
            entry = replace(like, day=month, purpose="fx_revalued", legs=legs)
            self.made.append(entry)
            if self.rules["revaluation"] == "settlement":
                held.unrealised += moved
            else:
                back = [replace(leg, side="debit" if leg.side == "credit" else "credit")
                        for leg in legs]  # fmt: skip
                after = month + timedelta(days=1)
                self.made.append(
                    replace(entry, day=after, purpose="fx_revaluation_reversed", legs=back)
                )


def functional_leg(role: str, signed: int) -> Leg:
    """A line that only the functional currency has."""
    return Leg(role, "debit" if signed > 0 else "credit", 0, abs(signed))


def signed_worth(leg: Leg) -> int:
    """Debits above zero."""
    return leg.functional if leg.side == "debit" else -leg.functional
