"""The rows of a ledger shard: what is remembered, one row per fact, with aggregate rows beside.

Problem: no row may grow with its history, and rows outlive programs. How: facts, postings and
exceptions have a row each under their document's prefix; sums are kept in rows of their own;
every row type has a version. Keys are `part|part|...`; parts are escaped, so `|` is never inside.
"""

from __future__ import annotations

from typing import Final

import msgspec

from streamsync.core.company import Company, RestatementJob
from streamsync.core.facts import CustomerProfile, Fact, SubscriptionState
from streamsync.core.journal import Standing
from streamsync.core.position import Billed
from streamsync.core.rate import Rate
from streamsync.core.records import (
    Contribution,
    ControlTotal,
    Customer,
    ExceptionRecord,
    ForeignExchange,
    PeriodStatus,
    PostingCommand,
    PostingLine,
    RoleTotal,
    SourcePosition,
    SummaryMember,
    TaxTotal,
    Totals,
)
from streamsync.engine.rows import RowType


class AccountRow(msgspec.Struct, frozen=True, array_like=True):
    """Master data of a billing account, by owner."""

    crm: Customer | None = None
    profile: CustomerProfile | None = None
    profile_at_ms: int = -1


class SubscriptionRow(msgspec.Struct, frozen=True, array_like=True):
    """Last known state of a subscription; `sums`: currency|measure to minor units."""

    state: SubscriptionState | None = None
    state_at_ms: int = -1
    sums: dict[str, int] = {}


class CollectionRow(msgspec.Struct, frozen=True, array_like=True):
    """Where the collection of a document stands: the latest word of billing, by business time.

    `owed_minor`: what its facts leave to pay, by the documents' own figures.
    """

    currency: str
    owed_minor: int = 0
    attempts: int = 0
    next_attempt_at_ms: int | None = None
    due_at_ms: int | None = None
    overdue: bool = False


class DocumentRow(msgspec.Struct, frozen=True, array_like=True):
    """What was decided once for a document, and its absolute contributions to sums elsewhere.

    `billing`: period|currency|purpose to minor units. `sums`: measure to minor units. `standing`:
    from where a later fact can be booked alone, by the company's rules of version `standing_rules`.
    """

    kind: str
    currency: str
    subscription: str | None
    entity: str | None = None
    entity_rule: str | None = None
    next_release_ms: int | None = None
    billing: dict[str, int] = {}
    sums: dict[str, int] = {}
    standing: Standing | None = None
    standing_rules: int = 0
    open_minor: int = 0
    open_since: str = ""


class FactRow(msgspec.Struct, frozen=True, array_like=True):
    """A stored fact, the source record that told it first, and what became of it."""

    fact: Fact
    source_key: str
    source_event_id: str
    correlation_id: str
    position: SourcePosition
    outcome: str = "waiting"
    reason: str | None = None


class SourceRow(msgspec.Struct, frozen=True, array_like=True):
    """One source record, its class, and the facts it told (as `document|fact_id`)."""

    event_type: str
    event_id: str
    outcome: str
    position: SourcePosition
    correlation_id: str
    reason: str | None = None
    detail: str | None = None
    facts: tuple[str, ...] = ()


class Accepted(msgspec.Struct, frozen=True, array_like=True):
    """What the ERP holds for a posting after its accepted revisions, and where: frozen choices."""

    revision: int
    command_id: str
    content_hash: str
    entity: str
    ledger: str
    target_erp: str
    currency: str
    original_period: str
    period: str
    posting_date: str
    lines: tuple[PostingLine, ...]
    fx: ForeignExchange
    erp_document: str | None = None


class InFlight(msgspec.Struct, frozen=True, array_like=True):
    """The one revision under way.

    `target_lines`: what the books will hold once it is accepted, where that is not the command's
    own lines (an adjustment tells the difference only).
    """

    command: PostingCommand
    target_lines: tuple[PostingLine, ...] | None = None
    missing: bool = False


class PostingRow(msgspec.Struct, frozen=True, array_like=True):
    """One idempotency key: its revisions, never more than one in flight.

    `refused_hash`: content a terminal rejection ended; it is not sent again by itself.
    `blocked`: the desired content changed while a revision was in flight. `period_refused`: it was
    refused because its period is closed; it is sent again as soon as that period is not its place.
    `summarised`: it posts as a member of the book's summaries, which are told to the ERP instead.
    `rules_version`: version of the rules whose policy made what was sent last.
    """

    fact_id: str
    purpose: str
    revision: int = 0
    accepted: Accepted | None = None
    in_flight: InFlight | None = None
    refused_hash: str | None = None
    refused_command: PostingCommand | None = None
    blocked: bool = False
    period_refused: bool = False
    rules_version: int = 0
    summarised: bool = False


class BillRow(msgspec.Struct, frozen=True, array_like=True):
    """What one invoice billed of one contract or usage document, by fact and segment."""

    bills: tuple[Billed, ...]


class EndRow(msgspec.Struct, frozen=True, array_like=True):
    """The cancellations of a subscription, one for each time that was told: in all but name one."""

    ends: tuple[FactRow, ...]


class DueRow(msgspec.Struct, frozen=True, array_like=True):
    """Work that falls due: `release` of a document's revenue, or a confirmation `deadline`.

    `started`: the command was made before the first tick, and its time began with that tick.
    """

    kind: str
    account: str
    document: str
    idempotency_key: str = ""
    revision: int = 0
    started: bool = False


class WaitRow(msgspec.Struct, frozen=True, array_like=True):
    """A document that has something waiting: fact id to reason."""

    account: str
    document: str
    reasons: dict[str, str]
    deadline_ms: int = 0


class RateMonth(msgspec.Struct, frozen=True, array_like=True):
    """The rates of a currency pair, of one type, in one month: ISO date to rate."""

    days: dict[str, Rate]


class RestatementRow(msgspec.Struct, frozen=True, array_like=True):
    """A restatement job in this shard: the last document seen, how many were seen and rebooked."""

    job: RestatementJob
    cursor: str = ""
    seen: int = 0
    moved: int = 0
    done: bool = False
    changed_at_ms: int = 0


class MemberRow(msgspec.Struct, frozen=True, array_like=True):
    """The latest revision of a summary's member, and the summary that its change went into."""

    member: SummaryMember
    summary: str


class SummaryRow(msgspec.Struct, frozen=True, array_like=True):
    """The summary that is open for a purpose, currency and day or period.

    `number`: of the open one; earlier ones are posted. `members`: changes since the last.
    """

    number: int
    latest: SummaryMember
    members: int = 0
    rule_ids: tuple[str, ...] = ()


class ClockRow(msgspec.Struct, frozen=True, array_like=True):
    """The shard's time is its highest tick; `cuts`: ticks whose due work is not all done.

    `continuation`: number of the last continuation asked for. `sweep`: where the walk over
    waiting documents stands; None when none is under way.
    """

    number: int = -1
    time_ms: int = 0
    cuts: tuple[tuple[int, int], ...] = ()
    continuation: int = 0
    sweep: str | None = None


ACCOUNT: Final = RowType("acct", 1, AccountRow)
COLLECTION: Final = RowType("coll", 1, CollectionRow)
SUBSCRIPTION: Final = RowType("sub", 1, SubscriptionRow)
DOCUMENT: Final = RowType("doc", 1, DocumentRow)
FACT: Final = RowType("fact", 1, FactRow)
SOURCE: Final = RowType("src", 1, SourceRow)
POSTING: Final = RowType("post", 1, PostingRow)
POSTING_DOCUMENT: Final = RowType("postdoc", 1, str)
BILL: Final = RowType("bill", 1, BillRow)
END: Final = RowType("end", 1, EndRow)
SERVED: Final = RowType("served", 1, str)
DUE: Final = RowType("due", 1, DueRow)
WAIT: Final = RowType("wait", 1, WaitRow)
CLOCK: Final = RowType("clock", 1, ClockRow)
COUNT: Final = RowType("count", 1, int)
GAUGE: Final = RowType("gauge", 1, int)
COMPANY: Final = RowType("company", 1, Company)
STAGED_COMPANY: Final = RowType("staged", 1, Company)
OPEN: Final = RowType("open", 1, int)
MEMBER: Final = RowType("member", 1, MemberRow)
MEMBERSHIP: Final = RowType("memberof", 1, int)
SUMMARY: Final = RowType("summary", 1, SummaryRow)
SUMMARY_LINE: Final = RowType("sumline", 1, PostingLine)
RULES: Final = RowType("rules", 1, Company)
RESTATEMENT: Final = RowType("restate", 1, RestatementRow)
RATES: Final = RowType("rates", 1, RateMonth)
PERIOD: Final = RowType("period", 1, PeriodStatus)
TOTAL: Final = RowType("total", 1, ControlTotal)
ROLE_TOTAL: Final = RowType("role", 1, RoleTotal)
TAX_TOTAL: Final = RowType("tax", 1, TaxTotal)
CONTRIBUTION: Final = RowType("contrib", 1, Contribution)
BOOK: Final = RowType("book", 1, Totals)
EXCEPTION: Final = RowType("exc", 1, ExceptionRecord)


def row_key(*parts: str) -> str:
    """Parts joined by `|`, escaped so that a part never reads as two."""
    key = "|".join(parts)
    if "%" not in key and key.count("|") == len(parts) - 1:
        return key
    return "|".join([part.replace("%", "%25").replace("|", "%7C") for part in parts])
