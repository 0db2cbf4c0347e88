"""Resolve: find the account and document of records that name only another object.

Problem: a dispute names its charge, a refund its charge, an invoice payment its invoice, and from
2025-03-31 on a charge only its payment intent; the event that tells what that object belongs to may
come before or after. How: such records are keyed by the object that they name and held in its
shard; a link of that object, whenever it arrives, sends them on to their account. The ledger
counts a held record as waiting all the time: it is told when one is held, when its deadline passes
(then it becomes somebody's work), and when it moves to its own account. None is ever dropped.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Final

import msgspec
from msgspec.structs import replace

from streamsync.core.facts import BillingEvent, Fact, ObjectLink, ObjectName
from streamsync.core.records import Continuation, Tick
from streamsync.engine.lane import Output, Poison, Shard, SourceRecord, Step
from streamsync.engine.rows import RowType
from streamsync.sources import account_key, record_key
from topology import topics
from topology.rows import row_key
from topology.sequence import Codec, decode

LANE: Final = "resolve"
DEADLINE_MS: Final = 24 * 3_600_000
"""How long a link may be missing before the record becomes an exception, in topology time."""
NO_DEADLINE_MS: Final = 10**15 - 1
"""Held before the first tick: the deadline begins with that."""
OVERDUE_PER_STEP_MAX: Final = 200


class HeldRow(msgspec.Struct, frozen=True, array_like=True):
    """A record that waits for a link; `overdue`: its deadline has passed and was reported."""

    event: BillingEvent
    deadline_ms: int
    overdue: bool = False


LINK: Final = RowType("link", 1, ObjectLink)
HELD: Final = RowType("held", 1, HeldRow)
HELD_DUE: Final = RowType("heldue", 1, str)
TIME: Final = RowType("time", 1, int)


def step(codec: Codec) -> Step:
    """The resolve lane's step over one record of object-links."""

    def fold(shard: Shard, record: SourceRecord) -> Iterable[Output]:
        told = decode(codec, record)
        if isinstance(told, BillingEvent):
            return list(_take(codec, shard, told))
        if isinstance(told, ObjectLink):
            return list(_learn(codec, shard, told))
        if isinstance(told, Tick):
            before = shard.get(TIME, "")
            shard.put(TIME, "", max(told.time_ms, before or 0))
            if before is None:
                _start_deadlines(shard, told.time_ms)
            return list(_report_overdue(codec, shard))
        if isinstance(told, Continuation):
            return list(_report_overdue(codec, shard))
        raise Poison("record_unexpected", f"{type(told).__name__} does not belong on this topic")

    return fold


def outputs_of(codec: Codec, event: BillingEvent) -> Iterator[Output]:
    """Where a canonical event goes: to its account, or to the shard of the object that it names;
    and what it ties to its account, to the shards of those objects.
    """
    if event.named_object is not None:
        yield _to_links(codec, event, event.named_object, event)
        return
    yield _to_ledger(codec, replace(event, links=()) if event.links else event)
    for name in event.links:
        yield _to_links(codec, event, name.object, link_of(event, name))


def link_of(event: BillingEvent, name: ObjectName) -> ObjectLink:
    """What an event says of an object: it belongs to the event's account."""
    return ObjectLink(
        tenant=event.tenant,
        source=event.source,
        object=name.object,
        account=event.account,
        document=name.document,
        document_kind=name.document_kind,
    )


def _to_ledger(codec: Codec, event: BillingEvent) -> Output:
    return Output(topics.LEDGER_LOG, record_key(event).encode(), codec.encode(event))


def _to_links(codec: Codec, event: BillingEvent, name: str, record: object) -> Output:
    key = account_key(event.tenant, event.source, name)
    return Output(topics.OBJECT_LINKS, key.encode(), codec.encode(record))


def _take(codec: Codec, shard: Shard, event: BillingEvent) -> Iterator[Output]:
    """Send a record on when its object is known, else hold it."""
    key = row_key(event.tenant, event.source, event.named_object or "")
    link = shard.get(LINK, key)
    if link is not None:
        yield from outputs_of(codec, _resolved(event, link))
        return
    held = f"{key}|{row_key(event.source_event_id, event.content_hash[:24])}"
    if shard.get(HELD, held) is None:
        now = shard.get(TIME, "")
        deadline = NO_DEADLINE_MS if now is None else now + DEADLINE_MS
        shard.put(HELD, held, HeldRow(event, deadline))
        shard.put(HELD_DUE, _due_key(deadline, held), held)
    # A repeat is told as well: the ledger counts it as a duplicate.
    yield _to_ledger(codec, _notice(event, "held", "link_awaited"))


def _learn(codec: Codec, shard: Shard, told: ObjectLink) -> Iterator[Output]:
    """Keep what is told of an object, and send on what waited for it."""
    key = row_key(told.tenant, told.source, told.object)
    known = shard.get(LINK, key)
    link = told
    if known is not None:
        # The first word stands; a later one adds what is missing.
        link = replace(
            known,
            document=known.document or told.document,
            document_kind=known.document_kind or told.document_kind,
        )
    if link == known:
        return
    shard.put(LINK, key, link)
    for held, row in list(shard.scan(HELD, f"{key}|")):
        shard.delete(HELD, held)
        if not row.overdue:
            shard.delete(HELD_DUE, _due_key(row.deadline_ms, held))
        yield _to_ledger(codec, _notice(row.event, "moved", None))
        yield from outputs_of(codec, _resolved(row.event, link))


def _resolved(event: BillingEvent, link: ObjectLink) -> BillingEvent:
    """The event under its own account, if it names one, else its object's; and its document."""
    nowhere = account_key(event.tenant, event.source, event.named_object or "")
    return replace(
        event,
        account=link.account if event.account == nowhere else event.account,
        named_object=None,
        facts=tuple(_placed(fact, link) for fact in event.facts),
        links=tuple(_tied(name, link) for name in event.links),
    )


def _placed(fact: Fact, link: ObjectLink) -> Fact:
    if link.document is None:
        return fact
    return replace(fact, document=link.document, document_kind=link.document_kind)


def _tied(name: ObjectName, link: ObjectLink) -> ObjectName:
    if link.document is None:
        return name
    return replace(name, document=link.document, document_kind=link.document_kind)


def _due_key(deadline_ms: int, held: str) -> str:
    return row_key(f"{deadline_ms:015d}", held)


def _start_deadlines(shard: Shard, now_ms: int) -> None:
    """Time begins with the first tick: what is held already has its whole deadline before it."""
    deadline = now_ms + DEADLINE_MS
    for key, held in list(shard.scan(HELD_DUE, f"{NO_DEADLINE_MS:015d}")):
        row = shard.get(HELD, held)
        shard.delete(HELD_DUE, key)
        if row is not None:
            shard.put(HELD, held, msgspec.structs.replace(row, deadline_ms=deadline))
            shard.put(HELD_DUE, _due_key(deadline, held), held)


def _report_overdue(codec: Codec, shard: Shard) -> Iterator[Output]:
    """Report what is held past its deadline, in bounded steps; it stays held."""
    now = shard.get(TIME, "") or 0
    limit = row_key(f"{now:015d}") + "~"
    found = list(shard.scan(HELD_DUE, limit=OVERDUE_PER_STEP_MAX + 1))
    due = [(key, held) for key, held in found if key < limit]
    for key, held in due[:OVERDUE_PER_STEP_MAX]:
        shard.delete(HELD_DUE, key)
        row = shard.get(HELD, held)
        if row is not None:
            shard.put(HELD, held, msgspec.structs.replace(row, overdue=True))
            yield _to_ledger(codec, _notice(row.event, "overdue", "link_not_found"))
    if len(due) > OVERDUE_PER_STEP_MAX:
        again = codec.encode(Continuation(partition=shard.partition, sequence=0))
        name = f"continuation/{shard.partition}".encode()
        yield Output(topics.OBJECT_LINKS, name, again, shard.partition)


def _notice(event: BillingEvent, outcome: str, reason: str | None) -> BillingEvent:
    """Word to the ledger about a held record, under the account that it has until then."""
    told = f"{event.source_event_type} names {event.named_object}, which nothing has tied to an "
    return replace(
        event,
        outcome=outcome,
        reason=reason,
        detail=None if reason is None else f"{told}account and document yet",
        facts=(),
        links=(),
        named_object=None,
    )
