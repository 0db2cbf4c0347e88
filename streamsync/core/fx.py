"""Foreign exchange: what an entry in another currency is worth in the entity's books.

Problem: converted lines rarely add up, a receivable must end at exactly nothing in both
currencies, and only what really changed hands at another rate is a gain or a loss. How: a document
is valued at the rate of its issue; after each entry its balance in a role is worth that rate times
the balance, so every movement follows and ends at 0. Money is worth the rate of its own day, and
the difference is the gain or loss. Open items are revalued at each month's closing rate. The rules
to the cent stand in docs/currency.md.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from datetime import date, timedelta
from typing import Final, Protocol

from msgspec import Struct, field

from streamsync.core.books import Entry
from streamsync.core.calendar import month_end, period_of
from streamsync.core.company import CurrencyRules
from streamsync.core.money import round_half_up_div
from streamsync.core.rate import Rate, convert, identity_rate
from streamsync.core.template import EntryLine

REVALUED, REVERSED = "fx_revalued", "fx_revaluation_reversed"
_DAY = timedelta(days=1)


_ISSUES: Final = frozenset(
    {"invoice_issued", "payment_recognised", "intercompany_sale", "intercompany_purchase"}
)
"""Purposes that begin a document and give it its rate."""


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
    # By currency and role: a fee or a settlement may be in another than the document's.
    roles: defaultdict[tuple[str, str], _Role] = field(default_factory=lambda: defaultdict(_Role))
    made: Valuation = field(default_factory=Valuation)
    # By fact: what its converted money was worth when it left.
    converted: dict[str, int] = field(default_factory=dict)

    def value(self, entry: Entry) -> None:
        """Value one entry, or note that it waits; the document's balances move all the same."""
        own = document = self._document_rate(entry)
        money = any(
            line.role in (*self.rules.spot_roles, *self.rules.parked_roles) for line in entry.lines
        )
        waits: NoRate | None = None
        if document is None or (money and entry.purpose not in _ISSUES):
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
                value, released = self._line(entry.currency, line, own, document)
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

    def _document_rate(self, entry: Entry) -> Rate | None:
        """The rate of the document, for what is in its currency."""
        rate = self.document_rate
        return rate if rate is not None and rate.base == entry.currency else None

    def _converted(self, entry: Entry, line: EntryLine, own: Rate) -> int:
        """Signed worth of converted money: what arrives has cost what left."""
        left = self.converted.pop(entry.fact_id, None)
        if left is not None:
            return -left
        self.converted[entry.fact_id] = value = convert(_signed(line, line.amount_minor), own)
        return value

    def _line(
        self, currency: str, line: EntryLine, own: Rate, document: Rate | None
    ) -> tuple[int, int]:
        """Signed worth of a line, and what it takes back of earlier revaluations."""
        amount = line.amount_minor if line.side == "debit" else -line.amount_minor
        role = self.roles[currency, line.role]
        before = role.balance
        role.balance += amount
        if line.role in self.rules.parked_roles:
            value = _parked(before, role.worth, amount, own)
        elif document is None or line.role in self.rules.spot_roles:
            value = convert(amount, own)
        else:
            value = convert(role.balance, document) - role.worth
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
        document = self._document_rate(entry)
        other_rate = document is not None and own.rate_id != document.rate_id
        moved = not roles.isdisjoint((*self.rules.parked_roles, self.rules.conversion_role))
        realised = not roles.isdisjoint(self.rules.spot_roles) and (other_rate or moved)
        at = None if realised else self._absorbs(entry, lines, values, over)
        if at is None:
            lines.append(_line(self.rules.gain_loss_role, -over))
            values.append(-over)
            return
        values[at] -= over
        self.roles[entry.currency, lines[at].role].worth -= over

    def _absorbs(
        self, entry: Entry, lines: Sequence[EntryLine], values: Sequence[int], over: int
    ) -> int | None:
        """The largest line that need not end at nothing, if it stays on its side."""
        anywhere = self._document_rate(entry) is None
        open_lines = [
            at
            for at, line in enumerate(lines)
            if line.role not in self._fixed
            and (anywhere or self.roles[entry.currency, line.role].balance)
            and abs(values[at]) > abs(over)
        ]
        return max(open_lines, key=lambda at: (abs(values[at]), -at), default=None)

    @property
    def _fixed(self) -> tuple[str, ...]:
        """Roles that no rounding may be put on."""
        rules = self.rules
        return (*rules.revalued_roles, *rules.spot_roles, *rules.parked_roles)

    def _move_unvalued(self, entry: Entry) -> None:
        document = self._document_rate(entry)
        for line in entry.lines:
            amount = line.amount_minor if line.side == "debit" else -line.amount_minor
            role = self.roles[entry.currency, line.role]
            role.balance += amount
            if document is not None and line.role not in (
                *self.rules.spot_roles,
                *self.rules.parked_roles,
            ):
                role.worth = convert(role.balance, document)

    def is_open(self, currency: str) -> bool:
        """Whether any revalued role has a balance in the document's currency."""
        return any(self.roles[currency, role].balance for role in self.rules.revalued_roles)

    def close_month(self, issue: Entry | None, month: date, today: date) -> date:
        """Revalue what is open at a month end that is over, or note the next one that will be.

        What is known to happen later changes nothing of it. Answers the month end after it.
        """
        if issue is None or self.rules.revaluation == "never":
            return month_end(month + _DAY)
        if month >= today:
            if self.made.next_revaluation is None and self.is_open(issue.currency):
                self.made.next_revaluation = month
        else:
            for name in self.rules.revalued_roles:
                if self.roles[issue.currency, name].balance:
                    self._revalue(issue, name, month, today)
        return month_end(month + _DAY)

    def _revalue(self, issue: Entry, name: str, month: date, today: date) -> None:
        role = self.roles[issue.currency, name]
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
