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
from typing import Final

from streamsync.core.money import is_currency
from streamsync.core.records import PostingCommand, PostingLine, PostingTotals

_NAMESPACE: Final = uuid.UUID("5d9b2a0e-7a55-5f0a-9a43-2f5f1b0e8c11")
_OPPOSITE: Final = {"debit": "credit", "credit": "debit"}

_Identity = tuple[str, tuple[tuple[str, str], ...], str | None, str | None]


def _digest(parts: Iterable[str]) -> str:
    digest = hashlib.sha256()
    for part in parts:
        # Lengths before the parts, so that no two lists of parts read alike.
        data = part.encode()
        digest.update(len(data).to_bytes(4, "big") + data)
    return digest.hexdigest()


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
    """SHA-256 of the accounting content: what each role, with its dimensions and tax, is moved by,
    in both currencies.

    Dates and accounts belong to a revision and do not count, nor do the order and number of lines.
    Nothing to book has one hash in every currency.
    """
    net = sorted(
        (
            *_sortable(_identity(line)),
            line.side,
            str(line.amount_minor),
            str(line.functional_minor),
        )
        for line in _net(lines)
    )
    return _digest((currency, *(part for parts in net for part in parts)) if net else ())


def command_id(key: str, revision: int, action: str) -> str:
    """UUIDv5 of key, revision and action."""
    return str(uuid.uuid5(_NAMESPACE, f"{key}:{revision}:{action}"))


def erp_key(key: str, revision: int, action: str) -> str:
    """The unique key that an ERP enforces: at most 40 characters, and a person can read it."""
    return f"{key}-{revision}{action[0]}"


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
    """Lines of an `adjust`: only what changes.

    What was accepted froze its account: a difference in the same role goes to that account, so that
    a new account mapping moves nothing that is already booked.
    """
    return net_lines((*invert(accepted), *new))


def net_lines(lines: Sequence[PostingLine]) -> tuple[PostingLine, ...]:
    """One line per role, dimensions and tax, numbered; the account is that of the first line."""
    return _numbered(_net(lines))


def _identity(line: PostingLine) -> _Identity:
    tax = line.tax
    return (
        line.role,
        tuple(sorted(line.dimensions.items())),
        tax.tax_code if tax else None,
        tax.jurisdiction if tax else None,
    )


def _sortable(identity: _Identity) -> tuple[str, ...]:
    role, dimensions, tax_code, jurisdiction = identity
    flat = [text for pair in dimensions for text in pair]
    return (role, str(len(flat)), *flat, tax_code or "", jurisdiction or "")


def _net(lines: Sequence[PostingLine]) -> list[PostingLine]:
    sums: dict[_Identity, tuple[PostingLine, int, int]] = {}
    for line in lines:
        identity = _identity(line)
        first, amount, functional = sums.get(identity, (line, 0, 0))
        sign = 1 if line.side == "debit" else -1
        amount += sign * line.amount_minor
        functional += sign * line.functional_minor
        sums[identity] = (first, amount, functional)
    net: list[PostingLine] = []
    for first, amount, functional in sums.values():
        if amount * functional >= 0:
            net.append(_sided(first, amount, functional))
        else:
            # The rate changed so much that the two currencies move in opposite directions.
            net += [_sided(first, amount, 0), _sided(first, 0, functional)]
    return [line for line in net if line.amount_minor or line.functional_minor]


def _sided(line: PostingLine, amount: int, functional: int) -> PostingLine:
    return replace(
        line,
        side="debit" if amount > 0 or functional > 0 else "credit",
        amount_minor=abs(amount),
        functional_minor=abs(functional),
    )


def _numbered(lines: Iterable[PostingLine]) -> tuple[PostingLine, ...]:
    return tuple(replace(line, no=number) for number, line in enumerate(lines, start=1))


def check_command(command: PostingCommand) -> list[str]:
    """What is wrong with a command, as sentences; empty when it may be sent."""
    wrong: list[str] = []
    made = totals(command.lines)
    if made != command.totals:
        wrong.append(f"the totals say {_shown(command.totals)}, the lines {_shown(made)}")
    if made.debit_minor != made.credit_minor:
        wrong.append(
            f"unbalanced in {command.txn_currency}: debit {made.debit_minor}, "
            f"credit {made.credit_minor}"
        )
    if made.functional_debit_minor != made.functional_credit_minor:
        wrong.append(
            f"unbalanced in {command.functional_currency}: debit {made.functional_debit_minor}, "
            f"credit {made.functional_credit_minor}"
        )
    if not command.lines:
        wrong.append("no lines")
    for currency in (command.txn_currency, command.functional_currency):
        if not is_currency(currency):
            wrong.append(f'"{currency}" is not an ISO 4217 currency')
    if command.posting_date[:7] != command.period:
        wrong.append(f"posting date {command.posting_date} is not in period {command.period}")
    for line in command.lines:
        if line.amount_minor < 0 or line.functional_minor < 0:
            wrong.append(f"line {line.no}: amount below zero")
        if line.side not in _OPPOSITE:
            wrong.append(f'line {line.no}: side "{line.side}" is neither debit nor credit')
        if not line.account:
            wrong.append(f"line {line.no}: role {line.role} has no ERP account")
    return wrong


def _shown(sums: PostingTotals) -> str:
    return (
        f"{sums.count} lines, debit {sums.debit_minor} ({sums.functional_debit_minor}), "
        f"credit {sums.credit_minor} ({sums.functional_credit_minor})"
    )
