"""Identity, content and validity of postings.

Problem: whoever posts twice, or posts something unbalanced, has wrong books. How: the key of an
entry is a hash of what it is about and nothing that may change (no rule version, no counter); the
content hash says whether two revisions differ; a command is checked before any ERP sees it.
"""

from __future__ import annotations

import hashlib
import uuid
from collections.abc import Iterable, Sequence
from dataclasses import replace

from streamsync.core.money import is_currency
from streamsync.core.records import PostingCommand, PostingLine, PostingTotals

_NAMESPACE = uuid.UUID("5d9b2a0e-7a55-5f0a-9a43-2f5f1b0e8c11")
_OPPOSITE = {"debit": "credit", "credit": "debit"}


def _digest(parts: Iterable[str]) -> str:
    # Lengths before the parts, so that no two lists of parts read alike.
    text = "".join(f"{len(part)}:{part}" for part in parts)
    return hashlib.sha256(text.encode()).hexdigest()


def idempotency_key(
    *,
    tenant: str,
    source: str,
    fact_id: str,
    purpose: str,
    part: str,
    natural_period: str,
    entity: str,
    ledger: str,
) -> str:
    """32 hex characters, the same for ever for the same entry."""
    return _digest((tenant, source, fact_id, purpose, part, natural_period, entity, ledger))[:32]


def content_hash(lines: Sequence[PostingLine], currency: str) -> str:
    """Accounting content: roles, sides, amounts and dimensions; accounts and dates are frozen by
    acceptance and do not count. Nothing to book has one hash in every currency.
    """
    if not lines:
        return _digest(())
    parts = [currency]
    for line in lines:
        dimensions = ",".join(f"{name}={line.dimensions[name]}" for name in sorted(line.dimensions))
        tax = line.tax.tax_code or "" if line.tax else ""
        parts += [
            line.role,
            line.side,
            str(line.amount_minor),
            str(line.functional_minor),
            dimensions,
            tax,
        ]
    return _digest(parts)


def command_id(key: str, revision: int, action: str) -> str:
    """UUIDv5 of key, revision and action."""
    return str(uuid.uuid5(_NAMESPACE, f"{key}:{revision}:{action}"))


def erp_key(key: str, revision: int, action: str) -> str:
    """The unique key an ERP enforces: at most 40 characters."""
    return f"{key}-{revision}-{action}"


def totals(lines: Sequence[PostingLine]) -> PostingTotals:
    """Sums of both sides in both currencies."""
    sums = {
        side: (
            sum(line.amount_minor for line in lines if line.side == side),
            sum(line.functional_minor for line in lines if line.side == side),
        )
        for side in _OPPOSITE
    }
    return PostingTotals(
        debit_minor=sums["debit"][0],
        credit_minor=sums["credit"][0],
        count=len(lines),
        functional_debit_minor=sums["debit"][1],
        functional_credit_minor=sums["credit"][1],
    )


def invert(lines: Sequence[PostingLine]) -> tuple[PostingLine, ...]:
    """The same lines on the other side."""
    return tuple(replace(line, side=_OPPOSITE[line.side]) for line in lines)


def inverse_and_new(
    accepted: Sequence[PostingLine], new: Sequence[PostingLine]
) -> tuple[PostingLine, ...]:
    """Lines of a `correct`: take back what is booked, book what should be."""
    return _numbered((*invert(accepted), *new))


def delta(accepted: Sequence[PostingLine], new: Sequence[PostingLine]) -> tuple[PostingLine, ...]:
    """Lines of an `adjust`: only what changes, netted by role, account, dimensions and tax."""
    sums: dict[tuple[object, ...], tuple[PostingLine, int, int]] = {}
    for line in (*invert(accepted), *new):
        where = (
            line.role,
            line.account,
            tuple(sorted(line.dimensions.items())),
            line.tax.tax_code if line.tax else None,
        )
        first, amount, functional = sums.get(where, (line, 0, 0))
        sign = 1 if line.side == "debit" else -1
        sums[where] = (
            first,
            amount + sign * line.amount_minor,
            functional + sign * line.functional_minor,
        )
    return _numbered(
        replace(
            line,
            side="debit" if amount > 0 or (amount == 0 and functional > 0) else "credit",
            amount_minor=abs(amount),
            functional_minor=abs(functional),
        )
        for line, amount, functional in sums.values()
        if amount or functional
    )


def _numbered(lines: Iterable[PostingLine]) -> tuple[PostingLine, ...]:
    return tuple(replace(line, no=number) for number, line in enumerate(lines, start=1))


def check_command(command: PostingCommand) -> list[str]:
    """What is wrong with a command, as sentences; empty when it may be sent."""
    wrong = []
    made = totals(command.lines)
    if made != command.totals:
        wrong.append(f"totals say {command.totals.debit_minor} debit, lines {made.debit_minor}")
    if made.debit_minor != made.credit_minor:
        wrong.append(f"unbalanced: debit {made.debit_minor}, credit {made.credit_minor}")
    if made.functional_debit_minor != made.functional_credit_minor:
        wrong.append(
            f"unbalanced in {command.functional_currency}: debit {made.functional_debit_minor}, "
            f"credit {made.functional_credit_minor}"
        )
    if not command.lines:
        wrong.append("no lines")
    for currency in (command.txn_currency, command.functional_currency):
        if not is_currency(currency):
            wrong.append(f"{currency!r} is not an ISO 4217 currency")
    if command.posting_date[:7] != command.period:
        wrong.append(f"posting date {command.posting_date} is not in period {command.period}")
    for line in command.lines:
        if line.amount_minor < 0 or line.functional_minor < 0:
            wrong.append(f"line {line.no}: amount below zero")
        if line.side not in _OPPOSITE:
            wrong.append(f"line {line.no}: side {line.side!r} is neither debit nor credit")
        if not line.account:
            wrong.append(f"line {line.no}: no ERP account")
    return wrong
