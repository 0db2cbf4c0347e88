"""Turn desired entries into posting commands: the difference to what the ERP has or is being told.

Problem: a command that is sent twice posts twice, and one that changes under way posts wrong. How:
each entry has one key for ever; a key has at most one revision in flight, and what acceptance froze
(period, account, date, ERP) is never changed: a change is `correct` (inverse and new lines, one
document) while that period is open, else `adjust` (the delta, in the earliest open period). Content
that an ERP refused for good is not sent again by itself.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, replace
from datetime import date

import msgspec

from streamsync.core import posting
from streamsync.core.calendar import local_date, period_of
from streamsync.core.company import Entity
from streamsync.core.fx import Valued
from streamsync.core.journal import Entry
from streamsync.core.records import (
    ForeignExchange,
    MappingVersion,
    PolicyVersion,
    PostingCommand,
    PostingLine,
)
from topology import close, periods, report, topics
from topology.enrich import Missing, Placed, account_rules_used, posting_lines, value
from topology.rows import (
    DUE,
    POSTING,
    POSTING_DOCUMENT,
    Accepted,
    DocumentRow,
    DueRow,
    FactRow,
    InFlight,
    PostingRow,
    row_key,
)
from topology.turn import Turn

_HOUR_MS = 3_600_000
SCHEMA_VERSION = 1


@dataclass(frozen=True, slots=True)
class Target:
    """What the ERP should hold for one key; no lines: nothing any more."""

    fact_id: str
    purpose: str
    date: str
    natural_period: str
    currency: str
    lines: tuple[PostingLine, ...]
    content_hash: str
    gateway_reference: str | None
    fx: ForeignExchange


@dataclass(frozen=True, slots=True)
class Sent:
    """What waits: facts by id; and, by a name of its own, what stops no fact: a revaluation, a
    posting whose period is closed. And the month end of the next revaluation.
    """

    held: dict[str, Missing]
    aside: dict[str, Missing]
    next_revaluation: date | None


def send_differences(
    turn: Turn,
    placed: Placed,
    row: DocumentRow,
    entries: Sequence[Entry],
    stored: Sequence[FactRow],
    only: Sequence[Entry] | None = None,
) -> Sent:
    """Send what differs; answers what waits for something.

    `only`: of what was sent before, look at these entries and those; None: at all of the document.
    """
    key_of = _remembered(placed)
    prefix = row_key(placed.account, placed.document, "")
    found: Iterable[tuple[str, PostingRow | None]]
    if only is None:
        found = ((key.rsplit("|", 1)[1], one) for key, one in turn.shard.scan(POSTING, prefix))
    else:
        keys = dict.fromkeys(map(key_of, (*entries, *only)))
        found = ((key, turn.shard.get(POSTING, prefix + key)) for key in keys)
    before = {key: known for key, known in found if known is not None}
    made = value(turn, placed, entries, key_of, before)
    held = {fact_id: Missing(why.reason, why.detail) for fact_id, why in made.held.items()}
    aside = {
        f"revaluation:{period}": Missing(why.reason, why.detail)
        for period, why in made.not_revalued.items()
    }
    valued = {key_of(one.entry): one for one in made.valued}
    targets: dict[str, Target | None] = {key_of(entry): None for entry in entries}
    for key, one in valued.items():
        lines = posting_lines(placed, one)
        if isinstance(lines, Missing):
            held[one.entry.fact_id] = lines
            targets[key] = None
        else:
            targets[key] = _target(one, lines)
    facts = {fact.fact.fact_id: fact for fact in stored}
    for key in sorted(targets.keys() | before.keys()):
        target = targets[key] if key in targets else _gone(before[key])
        if target is None:
            continue
        known = before.get(key) or PostingRow(target.fact_id, target.purpose)
        stuck = _advance(turn, placed, row, key, known, target, facts[target.fact_id])
        if stuck is not None and known.period_refused:
            aside[f"posting:{target.purpose}:{target.natural_period}:{key[:8]}"] = stuck
        elif stuck is not None:
            held[target.fact_id] = stuck
    return Sent(held, aside, made.next_revaluation)


def _remembered(placed: Placed) -> Callable[[Entry], str]:
    """`_key_of`, which hashes each entry once."""
    known: dict[tuple[str, str, str, str], str] = {}

    def key_of(entry: Entry) -> str:
        identity = entry.fact_id, entry.purpose, entry.part, entry.natural_period
        key = known.get(identity)
        if key is None:
            key = known[identity] = _key_of(placed, entry)
        return key

    return key_of


def _key_of(placed: Placed, entry: Entry) -> str:
    """The key of an entry, the same for ever."""
    return posting.idempotency_key(
        tenant=placed.tenant,
        source=placed.source,
        fact_id=entry.fact_id,
        purpose=entry.purpose,
        part=entry.part,
        natural_period=entry.natural_period,
        entity=placed.entity.id,
        ledger=placed.entity.ledger,
    )


def _target(valued: Valued, lines: tuple[PostingLine, ...]) -> Target:
    entry = valued.entry
    return Target(
        entry.fact_id,
        entry.purpose,
        entry.date.isoformat(),
        entry.natural_period,
        entry.currency,
        lines,
        posting.content_hash(lines, entry.currency),
        entry.gateway_reference,
        valued.rate.record(),
    )


def _gone(row: PostingRow) -> Target | None:
    """The books ask for nothing under this key any more."""
    held, accepted = row.in_flight, row.accepted
    if held is not None:
        told = held.command
        date, period, currency = told.document_date, told.original_period, told.txn_currency
        fx = told.fx
    elif accepted is not None:
        date, period, currency = (
            accepted.posting_date,
            accepted.original_period,
            accepted.currency,
        )
        fx = accepted.fx
    elif row.refused_command is not None:
        refused = row.refused_command
        date, period, currency = (
            refused.document_date,
            refused.original_period,
            refused.txn_currency,
        )
        fx = refused.fx
    else:
        return None
    nothing = posting.NOTHING
    return Target(row.fact_id, row.purpose, date, period, currency, (), nothing, None, fx)


def _advance(
    turn: Turn,
    placed: Placed,
    document: DocumentRow,
    key: str,
    row: PostingRow,
    target: Target,
    fact: FactRow,
) -> Missing | None:
    """Send the next revision of a key, if the books differ and none is in flight.

    Answers why it cannot be sent, when no period takes it.
    """
    where = row_key(placed.account, placed.document, key)
    if row.in_flight is not None:
        blocked = row.in_flight.target_hash != target.content_hash
        if blocked != row.blocked:
            turn.shard.put(POSTING, where, msgspec.structs.replace(row, blocked=blocked))
        return None
    where_to = _place(turn, placed, row.accepted, target)
    refused = row.refused_command
    if refused is not None and (
        target.content_hash != row.refused_hash
        or (row.period_refused and where_to is not None and where_to.period != refused.period)
    ):
        row = _withdraw(turn, where, row, refused)
    held = row.accepted.content_hash if row.accepted else posting.NOTHING
    if target.content_hash == held:
        return None
    if target.content_hash == row.refused_hash:
        return _closed(row.refused_command) if row.period_refused else None
    if where_to is None:
        return Missing("period_not_open", f"no period from {target.natural_period} on takes it")
    command = _command(turn, placed, document, key, row, target, fact, where_to)
    wrong = posting.check_command(command)
    if wrong:
        _report_invalid(turn, command, wrong)
        return None
    flight = InFlight(command, target.content_hash, target.lines)
    after = msgspec.structs.replace(
        row, revision=command.revision, in_flight=flight, refused_hash=None, blocked=False
    )
    turn.shard.put(POSTING, where, after)
    turn.shard.put(POSTING_DOCUMENT, row_key(placed.account, key), placed.document)
    due = DueRow("deadline", placed.account, placed.document, key, command.revision)
    turn.shard.put(
        DUE,
        row_key(f"{command.deadline_at_ms:015d}", placed.account, placed.document, key),
        due,
    )
    topic = topics.posting_commands(command.target_erp, command.entity)
    turn.emit(topic, placed.account, command)
    turn.gauge("in_flight", 1)
    close.add_command(turn, command)
    return None


def _closed(refused: PostingCommand | None) -> Missing:
    period = refused.period if refused is not None else "its period"
    detail = f"the ERP says that {period} is closed, no status of it has come: close or reopen it"
    return Missing("period_not_open", detail)


def _place(
    turn: Turn, placed: Placed, accepted: Accepted | None, target: Target
) -> periods.Place | None:
    """What was accepted is changed in its own period while that is open."""
    entity = _entity_for(placed, accepted)
    natural = (target.natural_period, target.date)
    if accepted is not None:
        natural = (accepted.period, accepted.posting_date)
    policy = placed.policy_at(target.date)
    latest = policy is not None and policy.choices.late_event == "latest_open_period"
    today = local_date(turn.clock.time_ms, entity.time_zone)
    not_before = period_of(today) if latest else ""
    book = (entity.id, entity.ledger)
    return periods.place(turn, placed.company, book, target.purpose, natural, not_before)


def _withdraw(turn: Turn, where: str, row: PostingRow, refused: PostingCommand) -> PostingRow:
    """The books no longer ask for what the ERP refused: it counts no more, and M02 is over."""
    detail = "withdrawn: the books ask for something else now"
    if report.resolved(turn, report.of_command(refused, "M02"), detail=detail):
        close.add_difference(turn, refused, -refused.totals.debit_minor)
    close.withdraw_command(turn, refused)
    after = msgspec.structs.replace(
        row, refused_hash=None, refused_command=None, period_refused=False
    )
    turn.shard.put(POSTING, where, after)
    return after


def _command(
    turn: Turn,
    placed: Placed,
    document: DocumentRow,
    key: str,
    row: PostingRow,
    target: Target,
    fact: FactRow,
    where_to: periods.Place,
) -> PostingCommand:
    entity, accepted = _entity_for(placed, row.accepted), row.accepted
    revision = row.revision + 1
    basis = where_to.basis
    action, lines = _action(accepted, target, where_to.period)
    if basis == "rolled" and target.purpose == "revenue_released":
        basis = "catch_up"
    sla_class = (
        "close_sensitive" if target.purpose in placed.company.close_sensitive else "informational"
    )
    now = turn.clock.time_ms
    policy = placed.policy_at(target.date)
    return PostingCommand(
        schema_version=SCHEMA_VERSION,
        command_id=posting.command_id(key, revision, action),
        correlation_id=fact.correlation_id,
        causation_event_id=fact.source_event_id,
        tenant=placed.tenant,
        account=placed.account,
        document=placed.document,
        subscription=document.subscription,
        fact_id=target.fact_id,
        purpose=target.purpose,
        idempotency_key=key,
        revision=revision,
        content_hash=target.content_hash,
        erp_key=posting.erp_key(key, revision, action),
        action=action,
        corrects_command_id=accepted.command_id if action != "post" and accepted else None,
        entity=entity.id,
        ledger=entity.ledger,
        target_erp=entity.target_erp,
        journal_type="general",
        document_date=target.date,
        posting_date=where_to.posting_date,
        period=where_to.period,
        original_period=target.natural_period,
        period_basis=basis,
        txn_currency=target.currency,
        functional_currency=entity.functional_currency,
        fx=target.fx,
        lines=lines,
        totals=posting.totals(lines),
        mapping=MappingVersion(
            ruleset=placed.company.ruleset,
            version=placed.company.version,
            rule_ids=tuple(account_rules_used(placed, lines, target.currency)),
        ),
        policy=PolicyVersion(
            id=policy.id if policy else "none", version=policy.version if policy else "0"
        ),
        sla_class=sla_class,
        deadline_at_ms=now + _deadline_ms(placed, sla_class),
        created_at_ms=now,
        gateway_reference=target.gateway_reference,
        producer=turn.position,
    )


def _action(
    accepted: Accepted | None, target: Target, period: str
) -> tuple[str, tuple[PostingLine, ...]]:
    """What is asked of the ERP: post anew, correct in an open period, adjust a closed one."""
    if accepted is None or not accepted.lines:
        return "post", target.lines
    if period == accepted.period:
        return "correct", posting.inverse_and_new(accepted.lines, target.lines)
    return "adjust", posting.delta(accepted.lines, target.lines)


def _entity_for(placed: Placed, accepted: Accepted | None) -> Entity:
    """The entity as the ERP knows it: acceptance froze ledger and ERP of what is corrected."""
    if accepted is None or not accepted.lines:
        return placed.entity
    return replace(
        placed.entity,
        id=accepted.entity,
        ledger=accepted.ledger,
        target_erp=accepted.target_erp,
    )


def _deadline_ms(placed: Placed, sla_class: str) -> int:
    for deadline in placed.company.deadlines:
        if deadline.sla_class == sla_class:
            return deadline.hours * _HOUR_MS
    return 24 * _HOUR_MS


def _report_invalid(turn: Turn, command: PostingCommand, wrong: Sequence[str]) -> None:
    subject = report.of_command(command, "posting_invalid")
    report.opened(turn, subject, rule="posting validation", detail="; ".join(wrong))
