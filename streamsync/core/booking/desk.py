"""The desk: where the entries of one document are collected while its facts are booked in order.

Problem: every family of facts books by templates of the policy of its own day, waits or is refused
by the same rules, and takes from the one document. How: a `Desk` holds the document as it stands
and what came out so far; booking functions take it and a fact, post through it, and raise `Stopped`
for a fact that waits or breaks a rule.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from datetime import date
from fractions import Fraction

from msgspec import Struct, field

from streamsync.core.books import Entry, NoEntry, Refused, Waiting
from streamsync.core.calendar import local_date, period_of
from streamsync.core.company import Policy, TemplateLine, UsagePrice
from streamsync.core.contract import Segment
from streamsync.core.document import Issued, Performed, Portion, Taken
from streamsync.core.facts import CreditNote, Fact
from streamsync.core.template import Amounts, EntryLine, fill

PolicyAt = Callable[[str], Policy | None]
"""The policy in force for the document's entity on an ISO date."""


class Stopped(Exception):
    """A fact waits (`refused` False) or is refused."""

    def __init__(self, reason: str, detail: str, *, refused: bool) -> None:
        super().__init__(f"{reason}: {detail}")
        self.reason = reason
        self.detail = detail
        self.refused = refused


def incomplete(fact: Fact) -> Stopped:
    """A fact that comes without what its kind needs."""
    return Stopped("fact_incomplete", f"{fact.kind} without its figures", refused=True)


class Reduction(Struct, frozen=True):
    """What a fact took from the document, so that it can be put back."""

    fact: Fact
    taken: Taken
    tax_minor: int = 0


class Earned(Struct, frozen=True):
    """What a fact earned of a segment on a day."""

    fact: Fact
    segment: str
    on: date
    amount_minor: int
    what: Performed
    part: str = ""


class Desk(Struct):
    """The document, its facts, and what they made so far."""

    policy_at: PolicyAt
    zone: str
    # Each fact once, by business time.
    facts: Sequence[Fact] = ()
    # By refund fact: its own amount, and the credit note that it settles.
    refund_amounts: Mapping[str, int] = field(default_factory=dict)
    refund_notes: Mapping[str, CreditNote] = field(default_factory=dict)
    entries: list[Entry] = field(default_factory=list)
    waiting: list[Waiting] = field(default_factory=list)
    no_entry: list[NoEntry] = field(default_factory=list)
    refused: list[Refused] = field(default_factory=list)
    # The document as it stands after the facts booked so far; None: its issue is not booked.
    document: Issued | None = None
    # Why facts that need the issue wait, when they do.
    not_issued: tuple[str, str] = ("invoice_not_issued", "the invoice's issue has not been seen")
    # By the id of the fact that took it.
    reductions: dict[str, Reduction] = field(default_factory=dict)
    # What a loss took and no payment has brought back; None: nothing was lost.
    loss: Reduction | None = None
    # What the customer owes for the document: issued, less payments, notes and losses.
    owed_minor: int = 0
    refunded_minor: int = 0
    refunded_tax_minor: int = 0
    # What an early end gave back of each line, in order, and where it went (the policy's choice).
    given_back: list[tuple[str, Portion]] = field(default_factory=list)
    # Whether its payment books what other documents book at their issue.
    by_payment: bool = False
    # What an overdue invoice was written off with, and is not paid since.
    lost_minor: int = 0
    # Prices of usage, and what was used so far, by meter, price and billing period.
    prices: Sequence[UsagePrice] = ()
    used: dict[tuple[str, str, int], Fraction] = field(default_factory=dict)
    # A contract: its segments and the fact that began it. A wallet: what is in it.
    segments: dict[str, Segment] = field(default_factory=dict)
    signed: Fact | None = None
    terminated: Fact | None = None
    wallet_minor: int = 0
    # What was earned of segments, billed or not: by segment, with the fact that says so.
    earned: list[Earned] = field(default_factory=list)

    def issued(self) -> Issued:
        """The document, or its facts wait for it."""
        if self.document is None:
            raise Stopped(*self.not_issued, refused=False)
        return self.document

    def day_of(self, fact: Fact) -> date:
        """The accounting date of a fact, in the entity's time zone."""
        return local_date(fact.occurred_at_ms, self.zone)

    def template_policy(self, on: date, journal: str) -> Policy:
        """The policy of a day, if it has such a journal."""
        policy = self.policy_of(on)
        if journal not in policy.journals:
            detail = f"policy {policy.id} {policy.version} has no journal {journal}"
            raise Stopped("policy_not_found", detail, refused=False)
        return policy

    def policy_of(self, on: date) -> Policy:
        """The policy of a day."""
        policy = self.policy_at(on.isoformat())
        if policy is None:
            detail = f"no accounting policy is in force on {on.isoformat()}"
            raise Stopped("policy_not_found", detail, refused=False)
        return policy

    def template(self, on: date, journal: str) -> tuple[TemplateLine, ...]:
        """The template of a journal in the policy of a day."""
        return self.template_policy(on, journal).journals[journal]

    def nothing(self, fact: Fact, reason: str) -> None:
        """The fact is understood and books nothing."""
        self.no_entry.append(NoEntry(fact.fact_id, reason))

    def stop(self, fact: Fact, why: Stopped) -> None:
        """The fact waits or is refused; the others go on."""
        if why.refused:
            self.refused.append(Refused(fact.fact_id, why.reason, why.detail))
            return
        self.waiting.append(Waiting(fact.fact_id, why.reason, why.detail))
        if fact.kind == "invoice_issued":
            self.not_issued = (why.reason, f"the invoice itself waits: {why.detail}")

    def post(  # noqa: PLR0913, PLR0917 -- the parts of an entry's identity
        self,
        fact: Fact,
        journal: str,
        amounts: Amounts,
        reference: str | None = None,
        purpose: str | None = None,
        currency: str | None = None,
    ) -> None:
        """One entry of a fact at its own date, unless all its amounts are zero.

        `purpose`: where a fact makes several entries; `currency`: where an entry has another one.
        """
        if not any(part.amount_minor for parts in amounts.values() for part in parts):
            self.nothing(fact, "amount_zero")
            return
        lines = fill(self.template(self.day_of(fact), journal), amounts)
        self.enter(fact, lines, reference, purpose=purpose, currency=currency)

    def enter(
        self,
        fact: Fact,
        lines: tuple[EntryLine, ...],
        reference: str | None = None,
        *,
        purpose: str | None = None,
        currency: str | None = None,
        on: date | None = None,
        part: str = "",
    ) -> None:
        """An entry of these lines, at the fact's own date unless another is told."""
        on = on or self.day_of(fact)
        entry = Entry(
            fact.fact_id,
            purpose or fact.kind,
            part,
            period_of(on),
            on,
            currency or fact.currency or "",
            lines,
            reference,
        )
        self.entries.append(entry)

    def entry_of(self, fact_id: str) -> Entry | None:
        """The first entry that a fact made, if it made one."""
        return next((entry for entry in self.entries if entry.fact_id == fact_id), None)


def taken_amounts(taken: Taken) -> Amounts:
    """What a reduction took, by the names that templates use."""
    return {"released": taken.released, "unreleased": taken.unreleased, "tax": taken.tax}
