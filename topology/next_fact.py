"""Book the next fact of a document by itself, where the facts before it cannot matter.

Problem: a step must not grow with history, and `account.book` reads all facts and postings of a
document. How: a document with many facts keeps where it stands (`core.standing`) in its row; its
next fact, or its next release, is booked from there, and reads and writes the rows of that alone.
Whatever is not as simple goes to `account.book`, which comes to the same rows and commands: booking
a fact alone is never the only way to its books, only a shorter one.
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import date

import msgspec
from msgspec.structs import replace

from streamsync.core.calendar import local_date
from streamsync.core.facts import BillingEvent, Fact
from streamsync.core.journal import Books, Standing, book_next
from topology import account, post
from topology.enrich import Missing, Placed, place
from topology.rows import DOCUMENT, FACT, DocumentRow, FactRow, row_key
from topology.turn import Turn

_RELEASED = "|revenue_released"


def book_event(turn: Turn, event: BillingEvent, document: str) -> None:
    """Book a document that has new facts of this event."""
    facts = [fact for fact in event.facts if fact.document == document]
    if len(facts) != 1 or not _book_alone(turn, event.account, document, facts[0]):
        account.book(turn, event.account, document)


def release_due(turn: Turn, name: str, document: str) -> None:
    """A release of this document's revenue is due: its due row is gone, book it again."""
    key = row_key(name, document)
    row = turn.shard.get(DOCUMENT, key)
    if row is None:
        return
    turn.shard.put(DOCUMENT, key, msgspec.structs.replace(row, next_release_ms=None))
    if not _book_alone(turn, name, document, None):
        account.book(turn, name, document)


def _book_alone(turn: Turn, name: str, document: str, fact: Fact | None) -> bool:
    """Book one fact, or only what is due by now, from where the document stands."""
    row = turn.shard.get(DOCUMENT, row_key(name, document))
    standing = row.standing if row is not None else None
    if row is None or standing is None:
        return False
    if fact is not None and fact.subscription is not None and row.subscription is None:
        return False
    placed = place(turn, name, document, row, ())
    if isinstance(placed, Missing) or placed.company.version != row.standing_rules:
        return False
    zone = placed.entity.time_zone
    today = local_date(turn.clock.time_ms, zone)
    books = book_next(standing, fact, placed.policy_at, zone, today)
    if books is None:
        return False
    issue = standing.document.fact
    told = [fact_id for fact_id in (issue.fact_id, fact.fact_id if fact else None) if fact_id]
    stored = [turn.shard.get(FACT, row_key(name, document, fact_id)) for fact_id in told]
    return _keep(turn, placed, row, books, standing, today, [one for one in stored if one])


def _keep(
    turn: Turn,
    placed: Placed,
    row: DocumentRow,
    books: Books,
    before: Standing,
    today: date,
    stored: list[FactRow],
) -> bool:
    """Send and write down what is new; false when something waits after all."""
    issue, new = stored[0], stored[1:]
    zone = placed.entity.time_zone
    released = book_next(before, None, placed.policy_at, zone, today)
    entries = (*books.entries, *(released.entries if released else ()))
    sent = post.send_differences(
        turn, placed, row, books.entries, stored, post.known_of(turn, placed, entries)
    )
    if sent.held or sent.aside or books.standing is None:
        return False
    facts = [one.fact for one in new]
    known = {issue.fact.fact_id: (issue.outcome, issue.reason, "")}
    statuses = known | account.statuses_of(facts, books)
    figures = account.billing_by_period(facts, books, statuses, zone)
    billing = _add({key: n for key, n in row.billing.items() if _RELEASED not in key}, figures)
    releases = [entry for entry in books.entries if entry.purpose == "revenue_released"]
    sums = account.sums_of(billing, replace(books, entries=tuple(releases)), books.standing.moved)
    owed = row.open_minor + account.receivable_moved(books.entries)
    still_open = (owed, before.document.on.isoformat()) if owed else (0, "")
    account.keep_document(
        turn, placed, row, billing, sums, still_open, books.next_release, books.standing
    )
    account.settle(turn, placed.account, placed.document, new, statuses, {})
    return True


def _add(billing: Mapping[str, int], more: Mapping[str, int]) -> dict[str, int]:
    names = sorted(billing.keys() | more.keys())
    summed = {name: billing.get(name, 0) + more.get(name, 0) for name in names}
    return {name: amount for name, amount in summed.items() if amount}
