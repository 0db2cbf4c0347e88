"""Hold confirmations against commands, and open or resolve mismatches.

Problem: an ERP that answers 200 may still have booked another amount, or nothing, or twice. How:
every confirmation is compared line by line with the revision in flight; a deadline on the shard's
time opens M01; only a terminal confirmation ends a revision. A confirmation that repeats a known
outcome changes nothing.
"""

from __future__ import annotations

import msgspec

from streamsync.core.matching import Mismatch, compare, erp_debit_minor
from streamsync.core.reasons import ErpError
from streamsync.core.records import PostingCommand, PostingConfirmation
from topology import account, close, report, summarise
from topology.rows import (
    DUE,
    EXCEPTION,
    POSTING,
    POSTING_DOCUMENT,
    Accepted,
    DueRow,
    InFlight,
    PostingRow,
    row_key,
)
from topology.turn import Turn

_POSTED = ("posted", "duplicate")
_TERMINAL = (*_POSTED, "rejected")


def receive_confirmation(turn: Turn, confirmation: PostingConfirmation) -> None:
    """Take what an ERP said of a command."""
    name, key = confirmation.account, confirmation.idempotency_key
    document = turn.shard.get(POSTING_DOCUMENT, row_key(name, key)) if name and key else None
    if name is None or key is None or document is None:
        _orphan(turn, confirmation)
        return
    where = row_key(name, document, key)
    row = turn.shard.get(POSTING, where)
    if row is None:
        _orphan(turn, confirmation)
        return
    flight = row.in_flight
    if flight is None or flight.command.revision != confirmation.revision:
        _late_or_double(turn, row, confirmation, document)
        return
    if confirmation.status not in _TERMINAL:
        return
    tolerance = _tolerance(turn, flight.command)
    for mismatch in compare(flight.command, confirmation, tolerance):
        _open(turn, flight.command, mismatch, tolerance)
    if flight.missing:
        _end_missing(turn, flight, confirmation)
    if confirmation.status in _POSTED:
        close.add_confirmed(turn, flight.command, erp_debit_minor(confirmation))
        after = msgspec.structs.replace(
            row, accepted=_accepted(flight, confirmation), in_flight=None
        )
    else:
        after = msgspec.structs.replace(
            row,
            in_flight=None,
            refused_hash=flight.command.content_hash,
            refused_command=flight.command,
            period_refused=_period_refused(confirmation),
        )
    turn.shard.put(POSTING, where, msgspec.structs.replace(after, blocked=False))
    turn.gauge("in_flight", -1)
    if after.period_refused and close.is_book(name):
        summarise.wait_for_period(turn, flight.command)
    elif row.blocked or after.period_refused:
        account.book(turn, name, document)


def _period_refused(confirmation: PostingConfirmation) -> bool:
    error = confirmation.error
    return error is not None and error.canonical_code == ErpError.PERIOD_CLOSED


def reach_deadline(turn: Turn, due: DueRow) -> None:
    """A confirmation is due now: open M01 if the revision is still in flight."""
    where = row_key(due.account, due.document, due.idempotency_key)
    row = turn.shard.get(POSTING, where)
    if row is None or row.in_flight is None or row.in_flight.missing:
        return
    command = row.in_flight.command
    if command.revision != due.revision:
        return
    if not command.created_at_ms and not due.started:
        _start_deadline(turn, due, command)
        return
    missing = Mismatch(
        "M01", command.totals.debit_minor, f"no confirmation by {command.deadline_at_ms}"
    )
    _open(turn, command, missing, 0)
    flight = msgspec.structs.replace(row.in_flight, missing=True)
    turn.shard.put(POSTING, where, msgspec.structs.replace(row, in_flight=flight))


def _start_deadline(turn: Turn, due: DueRow, command: PostingCommand) -> None:
    """The command is older than the first tick: its time allowed runs from that tick on."""
    until = turn.clock.time_ms + command.deadline_at_ms
    key = row_key(f"{until:015d}", due.account, due.document, due.idempotency_key)
    turn.shard.put(DUE, key, msgspec.structs.replace(due, started=True))


def _accepted(flight: InFlight, confirmation: PostingConfirmation) -> Accepted:
    command = flight.command
    return Accepted(
        command.revision,
        command.command_id,
        command.content_hash,
        command.entity,
        command.ledger,
        command.target_erp,
        command.txn_currency,
        command.original_period,
        command.period,
        command.posting_date,
        command.lines if flight.target_lines is None else flight.target_lines,
        command.fx,
        confirmation.erp_document_number or confirmation.erp_document_id,
    )


def _end_missing(turn: Turn, flight: InFlight, confirmation: PostingConfirmation) -> None:
    """What was missing has arrived: clear M01 with its difference, and note that it was late."""
    command = flight.command
    cleared = report.resolved(
        turn, report.of_command(command, "M01"), detail=f"{confirmation.status} after the deadline"
    )
    if cleared:
        close.add_difference(turn, command, -command.totals.debit_minor)
        late = Mismatch("M11", 0, f"{confirmation.status} after the deadline; M01 cleared")
        _open(turn, command, late, 0)


def _late_or_double(
    turn: Turn, row: PostingRow, confirmation: PostingConfirmation, document: str
) -> None:
    """No such revision is in flight: a repeat, a contradiction, a second document, or unsent."""
    accepted = row.accepted
    if confirmation.revision is not None and confirmation.revision <= row.revision:
        known = _known_outcome(row, confirmation.revision)
        if known is not None and (confirmation.status in _POSTED) != (known in _POSTED):
            if confirmation.status in _TERMINAL:
                told = f"revision {confirmation.revision} was {known}, now {confirmation.status}"
                _open_for(turn, confirmation, document, "M14", told)
            return
        number = confirmation.erp_document_number or confirmation.erp_document_id
        second = (
            accepted is not None
            and confirmation.revision == accepted.revision
            and confirmation.status in _POSTED
            and number != accepted.erp_document
        )
        if second and accepted is not None:
            detail = f"documents {accepted.erp_document} and {number} for one key"
            _open_for(turn, confirmation, document, "M03", detail)
        return
    detail = f"revision {confirmation.revision} confirmed, {row.revision} is the last one sent"
    _open_for(turn, confirmation, document, "M14", detail)


def _known_outcome(row: PostingRow, revision: int) -> str | None:
    """What ended a revision, as far as it is still known."""
    if row.accepted is not None and row.accepted.revision == revision:
        return "posted"
    if row.refused_command is not None and row.refused_command.revision == revision:
        return "rejected"
    return None


def _orphan(turn: Turn, confirmation: PostingConfirmation) -> None:
    number = confirmation.erp_document_number or confirmation.erp_document_id or "unnamed"
    detail = f"{confirmation.erp} confirms document {number}, which no command asked for"
    _open_for(turn, confirmation, None, "M10", detail)


def _open_for(
    turn: Turn, confirmation: PostingConfirmation, document: str | None, code: str, detail: str
) -> None:
    owner = confirmation.account or close.book_account(confirmation.tenant, confirmation.entity)
    subject = report.Subject(
        account=owner,
        code=code,
        subject=confirmation.confirmation_id,
        entity=confirmation.entity,
        period=confirmation.period,
        currency=confirmation.currency,
        document=document,
        idempotency_key=confirmation.idempotency_key,
        revision=confirmation.revision,
        correlation_id=confirmation.correlation_id,
    )
    report.opened(turn, subject, rule="confirmation", detail=detail)


def _open(turn: Turn, command: PostingCommand, mismatch: Mismatch, tolerance_minor: int) -> None:
    subject = report.of_command(command, mismatch.code)
    known = turn.shard.get(EXCEPTION, report.key_of(subject))
    before = known.difference_minor if known is not None and known.state == "detected" else 0
    report.opened(
        turn,
        subject,
        rule="confirmation against command",
        detail=mismatch.detail,
        difference_minor=mismatch.difference_minor,
        tolerance_minor=tolerance_minor,
    )
    close.add_difference(turn, command, mismatch.difference_minor - before)


def _tolerance(turn: Turn, command: PostingCommand) -> int:
    company = turn.company(command.tenant)
    if company is None:
        return 0
    return company.tolerances_minor.get(command.purpose, 0)
