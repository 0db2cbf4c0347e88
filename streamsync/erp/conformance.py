"""What every ERP adapter must pass before a command may be trusted to it.

Problem: an adapter that mostly works books twice on the day the network breaks. How: each case
drives the `ErpClient` against a running ERP and raises `NotConforming` with the broken rule.
A test runs all `CASES` for each ERP; where an ERP can't be made to misbehave (it has no `key` of a
kind), the case raises `CannotProvoke`, for the test to skip it in sight.
"""

from __future__ import annotations

import asyncio
import hashlib
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from typing import Literal

from msgspec.structs import replace

from streamsync.core.records import (
    EchoLine,
    ForeignExchange,
    MappingVersion,
    PolicyVersion,
    PostingCommand,
    PostingLine,
    PostingTotals,
    SourcePosition,
)
from streamsync.erp.protocol import (
    MESSAGE_CHARS_MAX,
    Duplicate,
    ErpClient,
    NotFound,
    Parked,
    PeriodChanged,
    Posted,
    PostOutcome,
    Rejected,
    Unknown,
)

KeyKind = Literal["plain", "no_answer", "reject", "alter", "late"]


class NotConforming(AssertionError):
    """The adapter breaks a rule."""


class CannotProvoke(Exception):
    """This ERP can't be made to behave as the case needs."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Subject:
    """An adapter with its running ERP. `key` gives a fresh key of a kind, or none.

    `posting_date` lies in a period that the case may close and open.
    """

    client: ErpClient
    entity: str
    ledger: str
    currency: str
    debit_account: str
    credit_account: str
    posting_date: str
    key: Callable[[KeyKind], str | None]

    def fresh_key(self, kind: KeyKind) -> str:
        """A key of a kind, or `CannotProvoke`."""
        key = self.key(kind)
        if key is None:
            raise CannotProvoke(kind)
        return key

    def command(self, key: str, amount_minor: int = 12_345) -> PostingCommand:
        """A balanced command of two lines."""
        lines = tuple(
            PostingLine(
                no=no,
                role=side,
                account=account,
                side=side,
                amount_minor=amount_minor,
                functional_minor=amount_minor,
            )
            for no, side, account in (
                (1, "debit", self.debit_account),
                (2, "credit", self.credit_account),
            )
        )
        return _command(self, key, lines)


def _command(subject: Subject, key: str, lines: tuple[PostingLine, ...]) -> PostingCommand:
    digest = hashlib.sha256(key.encode()).hexdigest()
    debit = sum(line.amount_minor for line in lines if line.side == "debit")
    credit = sum(line.amount_minor for line in lines if line.side == "credit")
    return PostingCommand(
        schema_version=1,
        command_id=f"command-{digest[:32]}",
        correlation_id=f"correlation-{digest[:32]}",
        causation_event_id="conformance",
        tenant="conformance",
        account=f"conformance/none/{digest[:8]}",
        document=digest[:8],
        fact_id=digest[:8],
        purpose="conformance",
        idempotency_key=digest[:32],
        revision=1,
        content_hash=digest,
        erp_key=key,
        action="post",
        entity=subject.entity,
        ledger=subject.ledger,
        target_erp="conformance",
        journal_type="GENERAL",
        document_date=subject.posting_date,
        posting_date=subject.posting_date,
        period=subject.posting_date[:7],
        original_period=subject.posting_date[:7],
        period_basis="natural",
        txn_currency=subject.currency,
        functional_currency=subject.currency,
        fx=ForeignExchange(
            rate="1",
            rate_type="none",
            date=subject.posting_date,
            source="conformance",
            rate_id="none",
        ),
        lines=lines,
        totals=PostingTotals(
            debit_minor=debit,
            credit_minor=credit,
            count=len(lines),
            functional_debit_minor=debit,
            functional_credit_minor=credit,
        ),
        mapping=MappingVersion(ruleset="conformance", version=1),
        policy=PolicyVersion(id="conformance", version="1"),
        sla_class="informational",
        # Far away, so that a late answer stays out while the case looks.
        deadline_at_ms=10**13,
        created_at_ms=0,
        producer=SourcePosition(topic="conformance", partition=0, offset=0),
    )


def _demand(holds: bool, rule: str, seen: object) -> None:
    if not holds:
        raise NotConforming(f"{rule}; seen: {seen!r}")


async def _post(subject: Subject, command: PostingCommand) -> PostOutcome:
    outcomes = await subject.client.post_batch([command])
    _demand(len(outcomes) == 1, "one outcome per command", outcomes)
    return outcomes[0]


def _echo(command: PostingCommand) -> tuple[EchoLine, ...]:
    return tuple(
        EchoLine(no=x.no, account=x.account, side=x.side, amount_minor=x.amount_minor)
        for x in command.lines
    )


async def _refused(subject: Subject, command: PostingCommand, code: str) -> None:
    outcome = await _post(subject, command)
    _demand(
        isinstance(outcome, Rejected) and outcome.canonical_code == code,
        f"refused for good with {code}",
        outcome,
    )
    if isinstance(outcome, Rejected):
        _demand(bool(outcome.native_code), "the ERP's own code is kept", outcome)
        _demand(len(outcome.message) <= MESSAGE_CHARS_MAX, "the message is short", outcome)
    found = await subject.client.look_up(command.entity, command.erp_key)
    _demand(isinstance(found, NotFound), "nothing is booked by a refusal", found)


async def posts_and_echoes_what_it_booked(subject: Subject) -> None:
    """The answer holds the document: number, period, currency, totals, lines, whose it is."""
    command = subject.command(subject.fresh_key("plain"))
    outcome = await _post(subject, command)
    _demand(isinstance(outcome, Posted), "a good command is posted", outcome)
    if isinstance(outcome, Posted):
        document = outcome.document
        _demand(document.lines == _echo(command), "the lines are echoed", document)
        _demand(document.totals == command.totals, "the totals are echoed", document)
        _demand(bool(document.number), "a booked document has a number", document)
        _demand(document.period == command.period, "booked in the period asked for", document)
        _demand(document.currency == command.txn_currency, "booked in the currency", document)
        named = (document.idempotency_key, document.revision)
        _demand(named == (command.idempotency_key, 1), "the document says whose it is", document)


async def the_same_key_again_is_a_duplicate_with_the_first_document(subject: Subject) -> None:
    """Sending twice books once, even with another amount."""
    key = subject.fresh_key("plain")
    first = await _post(subject, subject.command(key))
    again = await _post(subject, subject.command(key, amount_minor=999))
    _demand(isinstance(first, Posted), "a good command is posted", first)
    _demand(isinstance(again, Duplicate), "the same key again is a duplicate", again)
    if isinstance(first, Posted) and isinstance(again, Duplicate):
        _demand(again.document == first.document, "the first document comes back", again)


async def two_posts_of_one_key_at_once_book_once(subject: Subject) -> None:
    """A race of two senders ends in one document."""
    command = subject.command(subject.fresh_key("plain"))
    outcomes = await asyncio.gather(*(_post(subject, command) for _ in range(8)))
    numbers = {o.document.number for o in outcomes if isinstance(o, Posted | Duplicate)}
    _demand(len(numbers) == 1, "one document per key", outcomes)
    _demand(sum(isinstance(o, Posted) for o in outcomes) == 1, "posted once", outcomes)


async def a_batch_has_one_outcome_per_command(subject: Subject) -> None:
    """One bad command in a batch harms no other."""
    commands = [subject.command(subject.fresh_key("plain")) for _ in range(3)]
    commands[1] = _unbalanced(subject)
    outcomes = await subject.client.post_batch(commands)
    kinds = [type(outcome) for outcome in outcomes]
    _demand(kinds == [Posted, Rejected, Posted], "one outcome each, in their order", outcomes)


async def a_lost_answer_is_unknown_and_the_look_up_finds_the_document(subject: Subject) -> None:
    """What was booked without an answer is found by its key and not booked again."""
    command = subject.command(subject.fresh_key("no_answer"))
    outcome = await _post(subject, command)
    _demand(isinstance(outcome, Unknown), "a lost answer is an unknown outcome", outcome)
    found = await subject.client.look_up(command.entity, command.erp_key)
    _demand(isinstance(found, Posted), "the look-up finds what was booked", found)
    if isinstance(found, Posted):
        _demand(found.document.lines == _echo(command), "as it was sent", found)


async def a_look_up_of_an_unknown_key_finds_nothing(subject: Subject) -> None:
    """`NotFound` is an answer, not a failure."""
    found = await subject.client.look_up(subject.entity, subject.fresh_key("plain"))
    _demand(isinstance(found, NotFound), "an unknown key is not found", found)


async def a_business_rejection_has_a_canonical_code(subject: Subject) -> None:
    """The ERP's refusal is told in the contract's words and books nothing."""
    await _refused(subject, subject.command(subject.fresh_key("reject")), "ACCOUNT_INVALID")


async def an_altered_document_is_echoed_as_booked(subject: Subject) -> None:
    """The echo is what the ERP holds, not what was asked for."""
    command = subject.command(subject.fresh_key("alter"))
    outcome = await _post(subject, command)
    found = await subject.client.look_up(command.entity, command.erp_key)
    _demand(outcome == found, "answer and look-up tell the same document", (outcome, found))
    if isinstance(outcome, Posted):
        _demand(outcome.document.lines != _echo(command), "the echo is the ERP's", outcome)


async def a_document_in_processing_is_parked(subject: Subject) -> None:
    """Taken but not booked is neither success nor failure."""
    command = subject.command(subject.fresh_key("late"))
    _demand(isinstance(await _post(subject, command), Parked), "parked", command.erp_key)
    found = await subject.client.look_up(command.entity, command.erp_key)
    _demand(isinstance(found, Parked), "parked for a look-up, too", found)
    again = await _post(subject, command)
    _demand(isinstance(again, Parked), "and for the same key again", again)


def _unbalanced(subject: Subject) -> PostingCommand:
    command = subject.command(subject.fresh_key("plain"))
    return _with_line(command, 1, amount_minor=12_344, functional_minor=12_344)


def _with_line(command: PostingCommand, at: int, **changes: object) -> PostingCommand:
    lines: Sequence[PostingLine] = command.lines
    changed = replace(lines[at], **changes)
    return replace(command, lines=(*lines[:at], changed, *lines[at + 1 :]))


async def an_unbalanced_entry_is_refused(subject: Subject) -> None:
    """Debit and credit differ by one minor unit."""
    await _refused(subject, _unbalanced(subject), "UNBALANCED")


async def an_unknown_account_is_refused(subject: Subject) -> None:
    """An account that the chart doesn't have."""
    command = subject.command(subject.fresh_key("plain"))
    await _refused(subject, _with_line(command, 0, account="no-such-account"), "ACCOUNT_INVALID")


async def an_unknown_currency_is_refused(subject: Subject) -> None:
    """A code that is no currency."""
    command = subject.command(subject.fresh_key("plain"))
    await _refused(subject, replace(command, txn_currency="XTS"), "CURRENCY_INVALID")


async def a_closed_period_is_refused_until_it_is_opened(subject: Subject) -> None:
    """Closing takes effect at once, and opening again, too."""
    command = subject.command(subject.fresh_key("plain"))
    closed = await subject.client.set_period(subject.entity, command.period, "closed")
    _demand(isinstance(closed, PeriodChanged), "the period can be closed", closed)
    try:
        await _refused(subject, command, "PERIOD_CLOSED")
    finally:
        opened = await subject.client.set_period(subject.entity, command.period, "open")
    _demand(isinstance(opened, PeriodChanged), "the period can be opened", opened)
    outcome = await _post(subject, command)
    _demand(isinstance(outcome, Posted), "a refused key may be posted later", outcome)


Case = Callable[[Subject], Awaitable[None]]
CASES: tuple[Case, ...] = (
    posts_and_echoes_what_it_booked,
    the_same_key_again_is_a_duplicate_with_the_first_document,
    two_posts_of_one_key_at_once_book_once,
    a_batch_has_one_outcome_per_command,
    a_lost_answer_is_unknown_and_the_look_up_finds_the_document,
    a_look_up_of_an_unknown_key_finds_nothing,
    a_business_rejection_has_a_canonical_code,
    an_altered_document_is_echoed_as_booked,
    a_document_in_processing_is_parked,
    an_unbalanced_entry_is_refused,
    an_unknown_account_is_refused,
    an_unknown_currency_is_refused,
    a_closed_period_is_refused_until_it_is_opened,
)
