"""Compare what an ERP says it booked with what it was told to book.

Problem: an accepted posting may differ in amount, account, currency, period or entity, and totals
may agree while lines do not. How: line by line against the echo; each difference is a mismatch code
with a signed amount (commands minus ERP, sum of debits).
"""

from __future__ import annotations

from dataclasses import dataclass

from streamsync.core.records import PostingCommand, PostingConfirmation


@dataclass(frozen=True, slots=True)
class Mismatch:
    """One disagreement: code M01 to M20, signed difference in minor units, figures in words."""

    code: str
    difference_minor: int
    detail: str


def compare(
    command: PostingCommand, confirmation: PostingConfirmation, tolerance_minor: int
) -> tuple[Mismatch, ...]:
    """All mismatches of a terminal confirmation."""
    if confirmation.status == "rejected":
        error = confirmation.error
        why = f"{error.canonical_code}: {error.message}" if error else "no reason given"
        return (Mismatch("M02", command.totals.debit_minor, f"rejected, {why}"),)
    found = [
        Mismatch(code, 0, f"{name}: command {wanted}, ERP {told}")
        for code, name, wanted, told in (
            ("M05", "currency", command.txn_currency, confirmation.currency),
            ("M06", "period", command.period, confirmation.period),
            ("M09", "entity", command.entity, confirmation.entity),
        )
        if told is not None and told != wanted
    ]
    found += _lines(command, confirmation, tolerance_minor)
    if confirmation.erp_added_lines:
        added = sum(
            line.amount_minor for line in confirmation.erp_added_lines if line.side == "debit"
        )
        found.append(
            Mismatch("M15", 0, f"{len(confirmation.erp_added_lines)} lines added, debits {added}")
        )
    return tuple(found)


def _lines(
    command: PostingCommand, confirmation: PostingConfirmation, tolerance_minor: int
) -> list[Mismatch]:
    told = {line.no: line for line in confirmation.lines_echo}
    amounts, accounts = [], []
    for line in command.lines:
        echo = told.pop(line.no, None)
        if echo is None:
            amounts.append(f"line {line.no}: {line.side} {line.amount_minor} not in the ERP")
            continue
        if echo.account != line.account:
            accounts.append(f"line {line.no}: command {line.account}, ERP {echo.account}")
        if echo.side != line.side or abs(echo.amount_minor - line.amount_minor) > tolerance_minor:
            amounts.append(
                f"line {line.no}: command {line.side} {line.amount_minor}, "
                f"ERP {echo.side} {echo.amount_minor}"
            )
    amounts += [f"line {line.no}: only in the ERP" for line in told.values()]
    found = []
    booked = confirmation.totals.debit_minor if confirmation.totals else 0
    difference = command.totals.debit_minor - booked
    if not amounts and abs(difference) > tolerance_minor:
        amounts.append(f"debits: command {command.totals.debit_minor}, ERP {booked}")
    if amounts:
        found.append(Mismatch("M04", difference, "; ".join(amounts)))
    if accounts:
        found.append(Mismatch("M07", 0, "; ".join(accounts)))
    return found
