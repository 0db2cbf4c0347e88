"""Summary journals: many entries of one purpose post as one, and each of them can still be found.

Problem: a month end releases thousands of small amounts, and an ERP takes tens of postings a
second. How: where the company says so, an account sends its entries to the entity's book as
members, absolute and by revision. The book adds up what they change, by account and dimension; at
the first complete cut after their day or period is over it freezes what has come and posts it as
one journal whose identity is that cut. What comes later, or changes, is in the next one: a posted
summary is never touched. Every member names its event, and the summary that it went into.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence

import msgspec
from msgspec.structs import replace

from streamsync.core import posting
from streamsync.core.calendar import local_date, period_end
from streamsync.core.company import Company, Entity, deadline_ms
from streamsync.core.records import (
    MappingVersion,
    PostingCommand,
    PostingLine,
    SummaryMember,
)
from topology import close, periods, report, topics, waiting
from topology.enrich import Missing
from topology.rows import (
    DUE,
    MEMBER,
    MEMBERSHIP,
    POSTING,
    POSTING_DOCUMENT,
    SUMMARY,
    SUMMARY_LINE,
    WAIT,
    DueRow,
    InFlight,
    MemberRow,
    PostingRow,
    SummaryRow,
    row_key,
)
from topology.turn import Turn, entity_of

GROUPS_PER_CUT_MAX = 200


def receive_member(turn: Turn, member: SummaryMember) -> None:
    """Take a member into the summary that is open for its day or period."""
    key = row_key(member.tenant, member.entity, member.idempotency_key)
    known = turn.shard.get(MEMBER, key)
    if known is not None and known.member.revision >= member.revision:
        return
    group = _group_key(member)
    summary = turn.shard.get(SUMMARY, group) or SummaryRow(1, member)
    document = _document(member, summary.number)
    before = known.member.lines if known is not None else ()
    for line in (*posting.invert(before), *member.lines):
        _add_line(turn, group, line)
    ids = set(summary.rule_ids) | set(member.mapping.rule_ids)
    after = msgspec.structs.replace(
        summary, latest=member, rule_ids=tuple(sorted(ids)), members=summary.members + 1
    )
    turn.shard.put(SUMMARY, group, after)
    turn.shard.put(MEMBER, key, MemberRow(member, document))
    book = close.book_account(member.tenant, member.entity)
    turn.shard.put(MEMBERSHIP, row_key(book, document, member.idempotency_key), member.revision)


def cut(turn: Turn, tenant: str, entity_id: str, tick_number: int, time_ms: int) -> None:
    """Freeze and post the summaries whose day or period is over; the rest waits for its own."""
    company = turn.company(tenant)
    entity = entity_of(company, entity_id) if company is not None else None
    if company is None or entity is None:
        return
    _repost_refused(turn, company, close.book_account(tenant, entity_id))
    today = local_date(time_ms, entity.time_zone).isoformat()
    done = 0
    for group, summary in list(turn.shard.scan(SUMMARY, row_key(tenant, entity_id, ""))):
        # A bucket is over when today is behind it: a day, or (a shorter text) a whole period.
        if summary.members and summary.latest.bucket < today[: len(summary.latest.bucket)]:
            _post(turn, company, entity, group, summary, tick_number)
            done += 1
        if done == GROUPS_PER_CUT_MAX:
            return


def wait_for_period(turn: Turn, refused: PostingCommand) -> None:
    """The ERP says that the period of a summary is closed: it waits until another takes it."""
    detail = f"the ERP says that {refused.period} is closed, no status of it has come"
    missing = {f"posting:{refused.purpose}": Missing("period_not_open", detail)}
    reasons = waiting.beside(turn, refused.account, refused.document, missing)
    waiting.keep(turn, refused.account, refused.document, reasons)


def _repost_refused(turn: Turn, company: Company, book: str) -> None:
    """Send what waits for a period to the one that takes it now: the same lines, a new revision."""
    for _, waits in list(turn.shard.scan(WAIT, row_key(book, ""), limit=GROUPS_PER_CUT_MAX)):
        for _, row in list(turn.shard.scan(POSTING, row_key(book, waits.document, ""))):
            refused = row.refused_command
            if refused is None or not row.period_refused:
                continue
            natural = (refused.original_period, refused.document_date)
            ledger = (refused.entity, refused.ledger)
            place = periods.place(turn, company, ledger, refused.purpose, natural)
            if place is None or place.period == refused.period:
                continue
            _withdraw(turn, refused)
            _send(turn, _moved(turn, refused, place))
            waiting.keep(turn, book, waits.document, waiting.beside(turn, book, waits.document, {}))


def _withdraw(turn: Turn, refused: PostingCommand) -> None:
    """Where it was refused it counts no more, and M02 is over."""
    told = report.of_command(refused, "M02")
    if report.resolved(turn, told, detail="withdrawn: it posts in another period"):
        close.add_difference(turn, refused, -refused.totals.debit_minor)
    close.withdraw_posted(turn, refused)


def _moved(turn: Turn, refused: PostingCommand, place: periods.Place) -> PostingCommand:
    key, revision, now = refused.idempotency_key, refused.revision + 1, turn.clock.time_ms
    return replace(
        refused,
        command_id=posting.command_id(key, revision, "post"),
        revision=revision,
        erp_key=posting.erp_key(key, revision, "post"),
        posting_date=place.posting_date,
        period=place.period,
        period_basis=_basis(refused.purpose, place),
        deadline_at_ms=now + refused.deadline_at_ms - refused.created_at_ms,
        created_at_ms=now,
        producer=turn.position,
    )


def _basis(purpose: str, place: periods.Place) -> str:
    if place.basis == "natural":
        return place.basis
    return "catch_up" if purpose == "revenue_released" else "rolled"


def _post(
    turn: Turn, company: Company, entity: Entity, group: str, summary: SummaryRow, tick: int
) -> None:
    member = summary.latest
    lines = _lines(turn, group)
    subject = _subject(member)
    if not lines:
        _freeze(turn, group, summary)
        return
    date = member.bucket if len(member.bucket) > 7 else period_end(member.bucket).isoformat()
    place = periods.place(
        turn, company, (member.entity, member.ledger), member.purpose, (date[:7], date)
    )
    if place is None:
        detail = f"{summary.members} members of {member.bucket} wait for an open period"
        report.opened(turn, subject, rule="summary", detail=detail)
        return
    report.resolved(turn, subject, detail="posted")
    command = _command(turn, company, entity, summary, lines, place, date, tick)
    wrong = posting.check_command(command)
    if wrong:
        told = report.of_command(command, "posting_invalid")
        report.opened(turn, told, rule="posting validation", detail="; ".join(wrong))
        return
    _send(turn, command)
    _freeze(turn, group, summary)


def _command(  # noqa: PLR0917 -- what a summary is made of
    turn: Turn,
    company: Company,
    entity: Entity,
    summary: SummaryRow,
    lines: tuple[PostingLine, ...],
    place: periods.Place,
    date: str,
    tick: int,
) -> PostingCommand:
    member = summary.latest
    fact_id = f"summary:{member.purpose}:{tick}"
    key = posting.idempotency_key(
        tenant=member.tenant,
        source="book",
        fact_id=fact_id,
        purpose=member.purpose,
        part=f"{member.bucket}:{member.txn_currency}",
        natural_period=date[:7],
        entity=member.entity,
        ledger=member.ledger,
    )
    sla_class = "close_sensitive" if member.purpose in company.close_sensitive else "informational"
    now = turn.clock.time_ms
    return PostingCommand(
        schema_version=1,
        command_id=posting.command_id(key, 1, "post"),
        correlation_id=key,
        causation_event_id=fact_id,
        tenant=member.tenant,
        account=close.book_account(member.tenant, member.entity),
        document=_document(member, summary.number),
        fact_id=fact_id,
        purpose=member.purpose,
        idempotency_key=key,
        revision=1,
        content_hash=posting.content_hash(lines, member.txn_currency),
        erp_key=posting.erp_key(key, 1, "post"),
        action="post",
        entity=member.entity,
        ledger=member.ledger,
        target_erp=entity.target_erp,
        journal_type="general",
        document_date=date,
        posting_date=place.posting_date,
        period=place.period,
        original_period=date[:7],
        period_basis=_basis(member.purpose, place),
        txn_currency=member.txn_currency,
        functional_currency=member.functional_currency,
        fx=member.fx,
        lines=lines,
        totals=posting.totals(lines),
        mapping=MappingVersion(
            ruleset=company.ruleset, version=company.version, rule_ids=summary.rule_ids
        ),
        policy=member.policy,
        sla_class=sla_class,
        deadline_at_ms=now + deadline_ms(company, sla_class),
        created_at_ms=now,
        producer=turn.position,
    )


def _send(turn: Turn, command: PostingCommand) -> None:
    key = command.idempotency_key
    flight = InFlight(command)
    row = PostingRow(command.fact_id, command.purpose, revision=command.revision, in_flight=flight)
    where = row_key(command.account, command.document, key)
    turn.shard.put(POSTING, where, row)
    turn.shard.put(POSTING_DOCUMENT, row_key(command.account, key), command.document)
    due = DueRow("deadline", command.account, command.document, key, command.revision)
    due_key = row_key(f"{command.deadline_at_ms:015d}", command.account, command.document, key)
    turn.shard.put(DUE, due_key, due)
    turn.emit(topics.posting_commands(command.target_erp, command.entity), command.account, command)
    turn.gauge("in_flight", 1)
    close.add_posted(turn, command)


def _freeze(turn: Turn, group: str, summary: SummaryRow) -> None:
    """The next member begins a supplementary summary."""
    for key, _ in list(turn.shard.scan(SUMMARY_LINE, group + "|")):
        turn.shard.delete(SUMMARY_LINE, key)
    after = msgspec.structs.replace(summary, number=summary.number + 1, members=0, rule_ids=())
    turn.shard.put(SUMMARY, group, after)


def _add_line(turn: Turn, group: str, line: PostingLine) -> None:
    """Sides stay apart, so that the sums of the summary are those of its members."""
    bare = replace(line, no=0, customer=None, document_ref=None, service_from=None, service_to=None)
    if bare.tax is not None:
        bare = replace(bare, tax=replace(bare.tax, base_minor=None, rate=None))
    key = row_key(*_parts(group), *_line_identity(bare))
    known = turn.shard.get(SUMMARY_LINE, key)
    if known is not None:
        bare = replace(
            known,
            amount_minor=known.amount_minor + line.amount_minor,
            functional_minor=known.functional_minor + line.functional_minor,
        )
    turn.shard.put(SUMMARY_LINE, key, bare)


def _lines(turn: Turn, group: str) -> tuple[PostingLine, ...]:
    found = [line for _, line in turn.shard.scan(SUMMARY_LINE, group + "|")]
    found = [line for line in found if line.amount_minor or line.functional_minor]
    return tuple(replace(line, no=number) for number, line in enumerate(found, start=1))


def _line_identity(line: PostingLine) -> Sequence[str]:
    tax = line.tax
    taxed = (tax.tax_code or "", tax.jurisdiction or "") if tax else ("", "")
    flat = [text for pair in sorted(line.dimensions.items()) for text in pair]
    return (line.side, line.role, line.account, *taxed, line.counterparty_entity or "", *flat)


def _group_key(member: SummaryMember) -> str:
    return row_key(
        member.tenant,
        member.entity,
        member.ledger,
        member.bucket,
        member.purpose,
        member.txn_currency,
    )


def _parts(key: str) -> Iterable[str]:
    return (part.replace("%7C", "|").replace("%25", "%") for part in key.split("|"))


def _document(member: SummaryMember, number: int) -> str:
    return f"summary:{member.purpose}:{member.bucket}:{member.txn_currency}:{number}"


def _subject(member: SummaryMember) -> report.Subject:
    return report.Subject(
        account=close.book_account(member.tenant, member.entity),
        code="period_not_open",
        subject=_group_key(member),
        entity=member.entity,
        period=member.bucket[:7],
        currency=member.txn_currency,
    )
