"""Turn desired entries into posting commands: the difference to what the ERP has or is being told.

Problem: a command that is sent twice posts twice, and one that changes under way posts wrong. How:
each entry has one key for ever; a key has at most one revision in flight, and what acceptance froze
(period, account, date, ERP) is never changed: a change is `correct` (inverse and new lines, one
document) while that period is open, else `adjust` (the delta, in the earliest open period). Content
that an ERP refused for good is not sent again by itself.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from datetime import date

import msgspec
from msgspec import Struct

from streamsync.core import posting
from streamsync.core.calendar import local_date, period_of
from streamsync.core.company import deadline_ms
from streamsync.core.journal import Entry
from streamsync.core.records import (
    PostingCommand,
    PostingLine,
)
from topology import close, member, periods, report, topics
from topology.enrich import Missing, Placed, posting_lines, value
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
from topology.target import (
    Target,
    day_of,
    entity_for,
    gone,
    keys_of,
    mapping_of,
    policy_version,
    target_of,
)
from topology.turn import Turn

SCHEMA_VERSION = 1


class Sent(Struct, frozen=True):
    """What waits: facts by id; and, by a name of its own, what stops no fact: a revaluation, a
    posting whose period is closed. And the month end of the next revaluation.
    """

    held: dict[str, Missing]
    aside: dict[str, Missing]
    next_revaluation: date | None


def known_of(turn: Turn, placed: Placed, entries: Iterable[Entry]) -> dict[str, PostingRow]:
    """What was sent of these entries so far, by idempotency key."""
    prefix = row_key(placed.account, placed.document, "")
    keys = dict.fromkeys(map(keys_of(placed), entries))
    found = ((key, turn.shard.get(POSTING, prefix + key)) for key in keys)
    return {key: row for key, row in found if row is not None}


def known(turn: Turn, placed: Placed) -> dict[str, PostingRow]:
    """What was sent of a document so far, by idempotency key."""
    prefix = row_key(placed.account, placed.document, "")
    return {key.rsplit("|", 1)[1]: row for key, row in turn.shard.scan(POSTING, prefix)}


def send_differences(
    turn: Turn,
    placed: Placed,
    row: DocumentRow,
    entries: Sequence[Entry],
    stored: Sequence[FactRow],
    before: Mapping[str, PostingRow],
) -> Sent:
    """Send what differs from what was sent `before`; answers what waits for something."""
    key_of_entry = keys_of(placed)
    made = value(turn, placed, entries, key_of_entry, before)
    held = {fact_id: Missing(why.reason, why.detail) for fact_id, why in made.held.items()}
    aside = {
        f"revaluation:{period}": Missing(why.reason, why.detail)
        for period, why in made.not_revalued.items()
    }
    valued = {key_of_entry(one.entry): one for one in made.valued}
    targets: dict[str, Target | None] = {key_of_entry(entry): None for entry in entries}
    for name, one in valued.items():
        lines = posting_lines(placed, one)
        if isinstance(lines, Missing):
            held[one.entry.fact_id] = lines
            targets[name] = None
        else:
            targets[name] = target_of(one, lines)
    facts = {fact.fact.fact_id: fact for fact in stored}
    for name in sorted(targets.keys() | before.keys()):
        target = targets[name] if name in targets else gone(before[name])
        if target is None:
            continue
        sent = before.get(name) or PostingRow(target.fact_id, target.purpose)
        if member.is_summarised(placed, sent, target.purpose):
            member.advance(turn, placed, name, sent, target, facts[target.fact_id])
            continue
        stuck = _advance(turn, placed, row, name, sent, target, facts[target.fact_id])
        if stuck is not None and sent.period_refused:
            aside[f"posting:{target.purpose}:{target.natural_period}:{name[:8]}"] = stuck
        elif stuck is not None:
            held[target.fact_id] = stuck
    return Sent(held, aside, made.next_revaluation)


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
        blocked = row.in_flight.command.content_hash != target.content_hash
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
    own = command.lines is target.lines
    flight = InFlight(command, None if own else target.lines)
    after = msgspec.structs.replace(
        row,
        revision=command.revision,
        in_flight=flight,
        refused_hash=None,
        blocked=False,
        rules_version=placed.rules_at(day_of(placed, fact)).version,
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
    entity = entity_for(placed, accepted)
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
    entity, accepted = entity_for(placed, row.accepted), row.accepted
    revision = row.revision + 1
    basis = where_to.basis
    action, lines = _action(accepted, target, where_to.period)
    if basis == "rolled" and target.purpose == "revenue_released":
        basis = "catch_up"
    sla_class = (
        "close_sensitive" if target.purpose in placed.company.close_sensitive else "informational"
    )
    now = turn.clock.time_ms
    policy = placed.policy_at(day_of(placed, fact))
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
        mapping=mapping_of(placed, lines, target.currency),
        policy=policy_version(policy),
        sla_class=sla_class,
        deadline_at_ms=now + deadline_ms(placed.company, sla_class),
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


def _report_invalid(turn: Turn, command: PostingCommand, wrong: Sequence[str]) -> None:
    subject = report.of_command(command, "posting_invalid")
    report.opened(turn, subject, rule="posting validation", detail="; ".join(wrong))
