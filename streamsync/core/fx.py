"""Foreign exchange: what an entry in another currency is worth in the entity's books.

Problem: converted lines rarely add up, a receivable must end at exactly nothing in both
currencies, and only what really changed hands at another rate is a gain or a loss. How: a document
is valued at the rate of its issue; after each entry its balance in a role is worth that rate times
the balance, so every movement follows and ends at 0. Money is worth the rate of its own day, and
the difference is the gain or loss. Open items are revalued at each month's closing rate. The rules
to the cent stand in docs/currency.md.
"""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Sequence
from datetime import date, timedelta
from functools import lru_cache
from typing import Final, Protocol

from msgspec import Struct, field

from streamsync.core.books import Entry
from streamsync.core.calendar import month_end, period_of
from streamsync.core.company import CurrencyRules
from streamsync.core.money import exponent, round_half_up_div
from streamsync.core.records import ForeignExchange
from streamsync.core.template import EntryLine

REVALUED, REVERSED = "fx_revalued", "fx_revaluation_reversed"
RATE_TYPES = ("spot", "closing")
_DECIMAL = re.compile(r"(\d{1,12})(?:\.(\d{1,12}))?")
_DAY = timedelta(days=1)


_ISSUES: Final = frozenset({"invoice_issued", "intercompany_sale", "intercompany_purchase"})
"""Purposes that begin a document and give it its rate."""


class Rate(Struct, frozen=True, kw_only=True):
    """One unit of `base` is `rate` (a decimal string) units of `quote` on an ISO date."""

    rate_type: str
    base: str
    quote: str
    date: str
    rate: str
    source: str
    version: int

    @property
    def rate_id(self) -> str:
        """Names this rate for ever, in this version."""
        return f"{self.rate_type}:{self.base}/{self.quote}:{self.date}:{self.version}"

    def record(self) -> ForeignExchange:
        """As a posting command tells it."""
        return ForeignExchange(
            rate=self.rate,
            rate_type=self.rate_type,
            date=self.date,
            source=self.source,
            rate_id=self.rate_id,
        )


def frozen_rate(told: ForeignExchange, base: str, quote: str) -> Rate:
    """The rate that an accepted command was valued at."""
    return Rate(
        rate_type=told.rate_type,
        base=base,
        quote=quote,
        date=told.date,
        rate=told.rate,
        source=told.source,
        version=int(told.rate_id.rsplit(":", 1)[1]) if told.rate_id else 0,
    )


@lru_cache(maxsize=1024)
def identity_rate(currency: str, on: str) -> Rate:
    """Of a currency to itself."""
    return Rate(
        rate_type="identity",
        base=currency,
        quote=currency,
        date=on,
        rate="1",
        source="identity",
        version=0,
    )


def is_rate(text: str) -> bool:
    """A decimal number above zero, without sign or exponent."""
    return _DECIMAL.fullmatch(text) is not None and bool(text.strip("0."))


def convert(amount_minor: int, rate: Rate) -> int:
    """Minor units of the rate's base as minor units of its quote, a half away from zero."""
    found = _DECIMAL.fullmatch(rate.rate)
    if found is None:
        raise ValueError(f"{rate.rate} is no rate: write a decimal number such as 1.0825.")
    decimals = found.group(2) or ""
    numerator, denominator = int(found.group(1) + decimals), int(10 ** len(decimals))
    shift = exponent(rate.quote) - exponent(rate.base)
    if shift >= 0:
        numerator *= int(10**shift)
    else:
        denominator *= int(10**-shift)
    return round_half_up_div(amount_minor * numerator, denominator)


class NoRate(Struct, frozen=True):
    """What an entry waits for: a reason code, and the figures for a person."""

    reason: str
    detail: str


class Rates(Protocol):
    """Where rates come from: one that acceptance froze for this entry, else the latest known."""

    def rate(self, entry: Entry, rate_type: str) -> Rate | NoRate:
        """The rate of an entry's own day."""


class Valued(Struct, frozen=True):
    """An entry with its functional amounts, one per line; a line may be worth money in only one."""

    entry: Entry
    functional: tuple[int, ...]
    rate: Rate


class Valuation(Struct):
    """The valued entries of a document, and what waits for a rate: by fact, and by period.

    `next_revaluation`: the month end at which the open balance is revalued next.
    """

    valued: list[Valued] = field(default_factory=list)
    held: dict[str, NoRate] = field(default_factory=dict)
    not_revalued: dict[str, NoRate] = field(default_factory=dict)
    next_revaluation: date | None = None


class _Role(Struct):
    """A document's balance in a role (debit above zero): at historical worth, and revalued by."""

    balance: int = 0
    worth: int = 0
    unrealised: int = 0


def value_domestic(entries: Sequence[Entry], currency: str) -> Valuation:
    """Entries in the entity's own currency are worth themselves."""
    made = Valuation()
    for entry in entries:
        functional = tuple(line.amount_minor for line in entry.lines)
        made.valued.append(
            Valued(entry, functional, identity_rate(currency, entry.date.isoformat()))
        )
    return made


def value_foreign(
    entries: Sequence[Entry], rules: CurrencyRules, rates: Rates, today: date
) -> Valuation:
    """Functional amounts of all entries of one document in a foreign currency.

    `today`: month ends before it are revalued.
    """
    desk = _Desk(rules, rates)
    issue = next((entry for entry in entries if entry.purpose in _ISSUES), None)
    if issue is not None:
        found = rates.rate(issue, "spot")
        if isinstance(found, NoRate):
            why = NoRate(found.reason, f"the invoice itself waits: {found.detail}")
            held = {entry.fact_id: why for entry in entries}
            return Valuation(held=held | {issue.fact_id: found})
        desk.document_rate = found
    # Sorting keeps the order of facts, and puts releases behind what happened on the same day.
    ordered = sorted(entries, key=lambda entry: (entry is not issue, entry.date))
    month = month_end(issue.date) if issue is not None else None
    for entry in ordered:
        while month is not None and entry is not issue and month < entry.date:
            month = desk.close_month(issue, month, today)
        desk.value(entry)
    while month is not None and month < today:
        month = desk.close_month(issue, month, today)
    if month is not None:
        desk.close_month(issue, month, today)
    return desk.made


class _Desk(Struct):
    """Where a document's entries are valued, in the order of their days."""

    rules: CurrencyRules
    rates: Rates
    document_rate: Rate | None = None
    roles: defaultdict[str, _Role] = field(default_factory=lambda: defaultdict(_Role))
    made: Valuation = field(default_factory=Valuation)
    # By fact: what its converted money was worth when it left.
    converted: dict[str, int] = field(default_factory=dict)

    def value(self, entry: Entry) -> None:
        """Value one entry, or note that it waits; the document's balances move all the same."""
        own = self.document_rate
        money = any(
            line.role in (*self.rules.spot_roles, *self.rules.parked_roles) for line in entry.lines
        )
        waits: NoRate | None = None
        if self.document_rate is None or (money and entry.purpose not in _ISSUES):
            found = self.rates.rate(entry, "spot")
            if isinstance(found, NoRate):
                waits = found
            else:
                own = found
        converts = any(line.role == self.rules.conversion_role for line in entry.lines)
        if converts and waits is None:
            # Without what left, what arrives would be all gain.
            waits = self.made.held.get(entry.fact_id)
        if waits is not None or own is None:
            self._move_unvalued(entry)
            self.made.held[entry.fact_id] = waits or NoRate("fx_rate_not_found", "no rate")
            return
        lines, values = list(entry.lines), []
        taken_back = 0
        for line in entry.lines:
            if line.role == self.rules.conversion_role:
                value, released = self._converted(entry, line, own), 0
            else:
                value, released = self._line(line, own)
            values.append(value)
            taken_back += released
        if taken_back:
            lines.append(_line(self.rules.unrealised_role, taken_back))
            values.append(taken_back)
        self._balance(entry, own, lines, values)
        functional = tuple(
            value if line.side == "debit" else -value
            for line, value in zip(lines, values, strict=True)
        )
        self.made.valued.append(Valued(_with_lines(entry, lines), functional, own))

    def _converted(self, entry: Entry, line: EntryLine, own: Rate) -> int:
        """Signed worth of converted money: what arrives has cost what left."""
        left = self.converted.pop(entry.fact_id, None)
        if left is not None:
            return -left
        self.converted[entry.fact_id] = value = convert(_signed(line, line.amount_minor), own)
        return value

    def _line(self, line: EntryLine, own: Rate) -> tuple[int, int]:
        """Signed worth of a line, and what it takes back of earlier revaluations."""
        amount = line.amount_minor if line.side == "debit" else -line.amount_minor
        role = self.roles[line.role]
        before = role.balance
        role.balance += amount
        if line.role in self.rules.parked_roles:
            value = _parked(before, role.worth, amount, own)
        elif self.document_rate is None or line.role in self.rules.spot_roles:
            value = convert(amount, own)
        else:
            value = convert(role.balance, self.document_rate) - role.worth
            # A rounding difference that was put here earlier must not turn a line around.
            value = max(value, 0) if amount > 0 else min(value, 0)
        role.worth += value
        left = role.unrealised
        if abs(role.balance) < abs(before):
            left = round_half_up_div(role.unrealised * role.balance, before)
        released, role.unrealised = role.unrealised - left, left
        return value - released, released

    def _balance(self, entry: Entry, own: Rate, lines: list[EntryLine], values: list[int]) -> None:
        """Make functional debits equal credits: a gain or loss, or the rounding of a conversion."""
        over = sum(values)
        if not over:
            return
        roles = {line.role for line in lines}
        other_rate = self.document_rate is not None and own.rate_id != self.document_rate.rate_id
        moved = not roles.isdisjoint((*self.rules.parked_roles, self.rules.conversion_role))
        realised = not roles.isdisjoint(self.rules.spot_roles) and (other_rate or moved)
        at = None if realised else self._absorbs(lines, values, over)
        if at is None:
            lines.append(_line(self.rules.gain_loss_role, -over))
            values.append(-over)
            return
        values[at] -= over
        self.roles[lines[at].role].worth -= over

    def _absorbs(self, lines: Sequence[EntryLine], values: Sequence[int], over: int) -> int | None:
        """The largest line that need not end at nothing, if it stays on its side."""
        open_lines = [
            at
            for at, line in enumerate(lines)
            if line.role not in self._fixed
            and (self.document_rate is None or self.roles[line.role].balance)
            and abs(values[at]) > abs(over)
        ]
        return max(open_lines, key=lambda at: (abs(values[at]), -at), default=None)

    @property
    def _fixed(self) -> tuple[str, ...]:
        """Roles that no rounding may be put on."""
        rules = self.rules
        return (*rules.revalued_roles, *rules.spot_roles, *rules.parked_roles)

    def _move_unvalued(self, entry: Entry) -> None:
        for line in entry.lines:
            amount = line.amount_minor if line.side == "debit" else -line.amount_minor
            role = self.roles[line.role]
            role.balance += amount
            if self.document_rate is not None and line.role not in (
                *self.rules.spot_roles,
                *self.rules.parked_roles,
            ):
                role.worth = convert(role.balance, self.document_rate)

    def is_open(self) -> bool:
        """Whether any revalued role has a balance."""
        return any(self.roles[role].balance for role in self.rules.revalued_roles)

    def close_month(self, issue: Entry | None, month: date, today: date) -> date:
        """Revalue what is open at a month end that is over, or note the next one that will be.

        What is known to happen later changes nothing of it. Answers the month end after it.
        """
        if issue is None or self.rules.revaluation == "never":
            return month_end(month + _DAY)
        if month >= today:
            if self.made.next_revaluation is None and self.is_open():
                self.made.next_revaluation = month
        else:
            for name in self.rules.revalued_roles:
                if self.roles[name].balance:
                    self._revalue(issue, name, month, today)
        return month_end(month + _DAY)

    def _revalue(self, issue: Entry, name: str, month: date, today: date) -> None:
        role = self.roles[name]
        bare = _entry(issue, REVALUED, name, month, ())
        rate = self.rates.rate(bare, "closing")
        if isinstance(rate, NoRate):
            self.made.not_revalued[period_of(month)] = rate
            return
        change = convert(role.balance, rate) - role.worth - role.unrealised
        if not change:
            return
        lines = (_line(name, change), _line(self.rules.unrealised_role, -change))
        functional = (abs(change), abs(change))
        self.made.valued.append(
            Valued(_entry(issue, REVALUED, name, month, lines), functional, rate)
        )
        if self.rules.revaluation == "settlement":
            role.unrealised += change
            return
        back = tuple(_line(line.role, -_signed(line, abs(change))) for line in lines)
        if month + _DAY <= today:
            entry = _entry(issue, REVERSED, name, month + _DAY, back)
            self.made.valued.append(Valued(entry, functional, rate))


def _parked(before: int, worth: int, amount: int, own: Rate) -> int:
    """What grows is worth its own day's rate; what shrinks takes its share of what was parked."""
    shrinks = before != 0 and (before > 0) != (amount > 0)
    if not shrinks:
        return convert(amount, own)
    if abs(amount) <= abs(before):
        return round_half_up_div(worth * amount, before)
    return -worth + convert(before + amount, own)


def _signed(line: EntryLine, amount: int) -> int:
    return amount if line.side == "debit" else -amount


def _line(role: str, functional: int) -> EntryLine:
    """A line that moves nothing in the document's own currency."""
    return EntryLine(role, "debit" if functional > 0 else "credit", 0)


def _entry(issue: Entry, purpose: str, part: str, on: date, lines: tuple[EntryLine, ...]) -> Entry:
    return Entry(issue.fact_id, purpose, part, period_of(on), on, issue.currency, lines)


def _with_lines(entry: Entry, lines: Sequence[EntryLine]) -> Entry:
    if len(lines) == len(entry.lines):
        return entry
    return Entry(
        entry.fact_id,
        entry.purpose,
        entry.part,
        entry.natural_period,
        entry.date,
        entry.currency,
        tuple(lines),
        entry.gateway_reference,
    )
