"""Compare what an ERP says it booked with what it was told to book.

Problem: an accepted posting may differ in amount, account, currency, period or entity, and totals
may agree while lines do not. How: line by line against the echo; each disagreement is a mismatch
with a signed difference (command minus ERP, sum of debits), and the differences of one confirmation
add up to the command's debits less what the ERP booked.
"""

from __future__ import annotations

from msgspec import Struct

from streamsync.core.records import EchoLine, PostingCommand, PostingConfirmation, PostingLine

POSTED = ("posted", "duplicate")


class Mismatch(Struct, frozen=True):
    """One disagreement: code M01 to M20, signed difference in minor units, figures in words."""

    code: str
    difference_minor: int
    detail: str


def erp_debit_minor(confirmation: PostingConfirmation) -> int:
    """Sum of debits that the ERP booked: as it totals them, else from its lines; rejected: none."""
    if confirmation.status not in POSTED:
        return 0
    if confirmation.totals is not None:
        return confirmation.totals.debit_minor
    return _debits((*confirmation.lines_echo, *confirmation.erp_added_lines))


def compare(
    command: PostingCommand, confirmation: PostingConfirmation, tolerance_minor: int
) -> tuple[Mismatch, ...]:
    """All mismatches of a confirmation; one that is not terminal has none."""
    if confirmation.status == "rejected":
        error = confirmation.error
        why = f"{error.canonical_code}: {error.message}" if error else "no reason given"
        return (Mismatch("M02", command.totals.debit_minor, f"rejected, {why}"),)
    if confirmation.status not in POSTED:
        return ()
    numbers = {line.no for line in command.lines}
    added = [
        *confirmation.erp_added_lines,
        *(line for line in confirmation.lines_echo if line.no not in numbers),
    ]
    found = [
        *_amounts(command, confirmation, _debits(added), tolerance_minor),
        *_told_otherwise(command, confirmation),
    ]
    if added:
        shown = "; ".join(f"{line.account} {line.side} {line.amount_minor}" for line in added)
        found.append(Mismatch("M15", -_debits(added), f"added by the ERP: {shown}"))
    return tuple(sorted(found, key=lambda mismatch: mismatch.code))


def _debits(lines: tuple[EchoLine, ...] | list[EchoLine]) -> int:
    return sum(line.amount_minor for line in lines if line.side == "debit")


def _told_otherwise(command: PostingCommand, confirmation: PostingConfirmation) -> list[Mismatch]:
    """M05 currency, M06 period, M07 account, M09 entity; what the ERP does not tell is no proof."""
    found = [
        Mismatch(code, 0, f"{name}: command {wanted}, ERP {told}")
        for code, name, wanted, told in (
            ("M05", "currency", command.txn_currency, confirmation.currency),
            ("M06", "period", command.period, confirmation.period),
            ("M09", "entity", command.entity, confirmation.entity),
        )
        if told is not None and told != wanted
    ]
    echoed = {line.no: line for line in confirmation.lines_echo}
    accounts = [
        f"line {line.no}: command {line.account}, ERP {echoed[line.no].account}"
        for line in command.lines
        if line.no in echoed and echoed[line.no].account != line.account
    ]
    if accounts:
        found.append(Mismatch("M07", 0, "; ".join(accounts)))
    return found


def _amounts(
    command: PostingCommand,
    confirmation: PostingConfirmation,
    added_minor: int,
    tolerance_minor: int,
) -> list[Mismatch]:
    """M04: the total of debits without added lines, and every line that the ERP echoes."""
    wanted = command.totals.debit_minor
    booked = erp_debit_minor(confirmation) - added_minor
    if confirmation.totals is None and not confirmation.lines_echo:
        return [Mismatch("M04", wanted - booked, "the ERP does not tell what it booked")]
    differing = []
    if abs(wanted - booked) > tolerance_minor:
        differing.append(f"debits: command {wanted}, ERP {booked}")
    echoed = {line.no: line for line in confirmation.lines_echo}
    if echoed:
        differing += [
            _line_difference(line, echoed.get(line.no))
            for line in command.lines
            if _line_differs(line, echoed.get(line.no), tolerance_minor)
        ]
    return [Mismatch("M04", wanted - booked, "; ".join(differing))] if differing else []


def _line_differs(line: PostingLine, echo: EchoLine | None, tolerance_minor: int) -> bool:
    if echo is None or echo.side != line.side:
        return True
    return abs(echo.amount_minor - line.amount_minor) > tolerance_minor


def _line_difference(line: PostingLine, echo: EchoLine | None) -> str:
    told = f"{echo.side} {echo.amount_minor}" if echo else "no such line"
    return f"line {line.no}: command {line.side} {line.amount_minor}, ERP {told}"
