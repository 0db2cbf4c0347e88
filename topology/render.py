"""Print a journal: a table for people, JSON lines for machines, hledger for a second opinion.

Problem: the same entries must read well and be checked by an independent program. How: one pure
function per format over posting commands. hledger's accounts are `entity:role:account`, with every
account and commodity declared, so that its strict checks accept the file.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Sequence

from rich.table import Table

from streamsync.core.money import exponent, format_minor
from streamsync.core.records import PostingCommand, PostingLine


def as_dict(command: PostingCommand) -> dict[str, object]:
    """One journal entry as the documented JSON object."""
    return {
        "event_id": command.causation_event_id,
        "document": command.document,
        "date": command.posting_date,
        "period": command.period,
        "entity": command.entity,
        "currency": command.txn_currency,
        "purpose": command.purpose,
        "action": command.action,
        "lines": [
            {
                "role": line.role,
                "account": line.account,
                "side": line.side,
                "amount_minor": line.amount_minor,
                "functional_minor": line.functional_minor,
            }
            for line in command.lines
        ],
    }


def jsonl(commands: Iterable[PostingCommand]) -> Iterator[str]:
    """One JSON object per entry."""
    for command in commands:
        yield json.dumps(as_dict(command), separators=(",", ":"))


def hledger(commands: Sequence[PostingCommand]) -> Iterator[str]:
    """An hledger journal, ordered by date, that passes its strict checks."""
    currencies = sorted({command.txn_currency for command in commands})
    for currency in currencies:
        digits = exponent(currency)
        sample = "1000." + "0" * digits if digits else "1000."
        yield f"commodity {currency} {sample}"
    names = sorted({_account(command, line) for command in commands for line in command.lines})
    for name in names:
        yield f"account {name}"
    for command in commands:
        yield ""
        yield f"{command.posting_date} ({command.document}) {command.purpose}  ; {_note(command)}"
        for line in command.lines:
            sign = "" if line.side == "debit" else "-"
            amount = format_minor(line.amount_minor, command.txn_currency)
            yield f"    {_account(command, line)}  {command.txn_currency} {sign}{amount}"


def _account(command: PostingCommand, line: PostingLine) -> str:
    return f"{command.entity}:{line.role}:{line.account}"


def _note(command: PostingCommand) -> str:
    return f"event:{command.causation_event_id}, action:{command.action}"


def table(commands: Iterable[PostingCommand]) -> Table:
    """A table with one row per line, debits and credits in columns of their own."""
    shown = Table(title="Journal", title_justify="left")
    for name in ("Date", "Entity", "Document", "Purpose", "Account", "Role"):
        shown.add_column(name)
    for name in ("Debit", "Credit"):
        shown.add_column(name, justify="right")
    for command in commands:
        for number, line in enumerate(command.lines):
            head = (
                (command.posting_date, command.entity, command.document, _purpose(command))
                if number == 0
                else ("", "", "", "")
            )
            amount = f"{format_minor(line.amount_minor, command.txn_currency)} "
            amount += command.txn_currency
            sides = (amount, "") if line.side == "debit" else ("", amount)
            shown.add_row(*head, line.account, line.role, *sides)
        shown.add_section()
    return shown


def _purpose(command: PostingCommand) -> str:
    return command.purpose if command.action == "post" else f"{command.purpose} ({command.action})"
