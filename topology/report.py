"""Report what needs a person or a machine to act: mismatches, refusals, waiting entries.

Problem: a failure that is only logged is lost. How: each has a row and a record per change of state
on the `exceptions` topic, with an id derived from what it concerns, so a repeat is the same
exception, and one that comes back reopens.
"""

from __future__ import annotations

import hashlib

from msgspec import Struct
from msgspec.structs import replace

from streamsync.core.facts import BillingEvent
from streamsync.core.reasons import owner_of
from streamsync.core.records import ExceptionRecord, PostingCommand
from topology import topics
from topology.rows import EXCEPTION, row_key
from topology.turn import Turn


class Subject(Struct, frozen=True, kw_only=True):
    """What an exception is about. `subject` tells two of the same code on an account apart."""

    account: str
    code: str
    subject: str
    entity: str | None = None
    period: str | None = None
    currency: str | None = None
    document: str | None = None
    idempotency_key: str | None = None
    revision: int | None = None
    correlation_id: str | None = None


def of_command(command: PostingCommand, code: str) -> Subject:
    """An exception about one revision of a posting."""
    return Subject(
        account=command.account,
        code=code,
        subject=row_key(command.idempotency_key, str(command.revision)),
        entity=command.entity,
        period=command.period,
        currency=command.txn_currency,
        document=command.document,
        idempotency_key=command.idempotency_key,
        revision=command.revision,
        correlation_id=command.correlation_id,
    )


def opened(
    turn: Turn,
    subject: Subject,
    *,
    rule: str,
    detail: str,
    difference_minor: int = 0,
    tolerance_minor: int = 0,
) -> None:
    """Open an exception; one that is open with the same figures stays as it is."""
    key = key_of(subject)
    before = turn.shard.get(EXCEPTION, key)
    if (
        before is not None
        and before.state == "detected"
        and before.difference_minor == difference_minor
        and before.detail == detail
    ):
        return
    now = turn.clock.time_ms
    record = ExceptionRecord(
        exception_id=_id(subject),
        tenant=_tenant_of(subject.account),
        account=subject.account,
        code=subject.code,
        state="detected",
        entity=subject.entity,
        period=subject.period,
        currency=subject.currency,
        document=subject.document,
        idempotency_key=subject.idempotency_key,
        revision=subject.revision,
        difference_minor=difference_minor,
        tolerance_minor=tolerance_minor,
        rule=rule,
        detail=detail,
        owner=owner_of(subject.code),
        opened_at_ms=before.opened_at_ms if before is not None else now,
        changed_at_ms=now,
        correlation_id=subject.correlation_id,
        position=turn.position,
    )
    _write(turn, key, before, record)


def resolved(turn: Turn, subject: Subject, *, resolution: str = "auto", detail: str) -> bool:
    """Resolve an open exception; false when there was none open."""
    key = key_of(subject)
    before = turn.shard.get(EXCEPTION, key)
    if before is None or before.state != "detected":
        return False
    _write(
        turn,
        key,
        before,
        replace(
            before,
            state="resolved",
            resolution=resolution,
            detail=detail,
            changed_at_ms=turn.clock.time_ms,
            position=turn.position,
        ),
    )
    return True


def of_source(turn: Turn, event: BillingEvent, reason: str, detail: str) -> None:
    """A source record that was refused, or that waits because it names no account."""
    rule = f"{event.source}:{event.source_event_type}"
    record = row_key(event.source_event_id, event.content_hash[:24])
    subject = source_subject(event.account, record, reason, event.correlation_id)
    opened(turn, subject, rule=rule, detail=detail)


def source_subject(account: str, record: str, reason: str, correlation_id: str) -> Subject:
    """An exception about a source record; `record`: its event id and hash, as in its row's key."""
    return Subject(account=account, code=reason, subject=record, correlation_id=correlation_id)


def key_of(subject: Subject) -> str:
    """Row key of an exception, open or not."""
    return row_key(subject.account, _id(subject))


def _tenant_of(account: str) -> str:
    first, second, _ = account.split("/", 2)
    # An entity's book is an account too: book/<tenant>/<entity>.
    return second if first == "book" else first


def _id(subject: Subject) -> str:
    text = row_key(subject.account, subject.code, subject.subject)
    return hashlib.sha256(text.encode()).hexdigest()[:32]


def _write(turn: Turn, key: str, before: ExceptionRecord | None, record: ExceptionRecord) -> None:
    was_open = before is not None and before.state == "detected"
    change = (record.state == "detected") - was_open
    if change:
        turn.gauge(row_key("open", record.code), change)
    turn.shard.put(EXCEPTION, key, record)
    turn.emit(topics.EXCEPTIONS, record.account, record)
