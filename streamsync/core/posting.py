"""Identity, content and validity of postings.

Problem: whoever posts twice, or posts something unbalanced, has wrong books. How: the key of an
entry is a hash of what it is about and nothing that may change (no rule version, no counter); the
content hash says whether two revisions differ; a command is checked before any ERP sees it.
"""

from __future__ import annotations

import hashlib
import uuid
from collections.abc import Iterable, Iterator, Sequence
from functools import lru_cache
from itertools import chain
from typing import Final

from msgspec.structs import replace

from streamsync.core.money import is_currency
from streamsync.core.records import PostingCommand, PostingLine, PostingTotals

_NAMESPACE: Final = uuid.UUID("5d9b2a0e-7a55-5f0a-9a43-2f5f1b0e8c11")
_OPPOSITE: Final = {"debit": "credit", "credit": "debit"}

_Identity = tuple[str, ...]
"""Role, how many texts its dimensions (and another entity) are, these, tax code, jurisdiction."""


def _digest(parts: Iterable[str]) -> str:
    return hashlib.sha256(b"".join(map(_framed, parts))).hexdigest()


@lru_cache(maxsize=8192)  # roles, sides, products and periods come again in every entry
def _framed(part: str) -> bytes:
    """A part behind its length, so that no two lists of parts read alike."""
    data = part.encode()
    return len(data).to_bytes(4, "big") + data


NOTHING: Final = _digest(())
"""The content hash of nothing to book."""


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
    net = [
        (*identity, _side(amount, functional), str(abs(amount)), str(abs(functional)))
        for identity, _, amount, functional in _movements(lines)
    ]
    net.sort()
    return _digest([currency, *chain.from_iterable(net)]) if net else NOTHING


def command_id(key: str, revision: int, action: str) -> str:
    """UUIDv5 of key, revision and action."""
    return str(uuid.uuid5(_NAMESPACE, f"{key}:{revision}:{action}"))


def erp_key(key: str, revision: int, action: str) -> str:
    """The unique key that an ERP enforces: at most 40 characters, and a person can read it."""
    return f"{key}-{revision}{action[0]}"


def totals(lines: Sequence[PostingLine]) -> PostingTotals:
    """Sums of both sides in both currencies."""
    debit = credit = functional_debit = functional_credit = 0
    for line in lines:
        if line.side == "debit":
            debit += line.amount_minor
            functional_debit += line.functional_minor
        elif line.side == "credit":
            credit += line.amount_minor
            functional_credit += line.functional_minor
    return PostingTotals(
        debit_minor=debit,
        credit_minor=credit,
        count=len(lines),
        functional_debit_minor=functional_debit,
        functional_credit_minor=functional_credit,
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
    tax, dimensions = line.tax, line.dimensions
    flat = [*chain.from_iterable(sorted(dimensions.items()))]
    if line.counterparty_entity is not None:
        flat += ("counterparty_entity", line.counterparty_entity)
    return (
        line.role,
        str(len(flat)),
        *flat,
        (tax.tax_code or "") if tax is not None else "",
        (tax.jurisdiction or "") if tax is not None else "",
    )


def _net(lines: Sequence[PostingLine]) -> list[PostingLine]:
    return [
        replace(
            line,
            side=_side(amount, functional),
            amount_minor=abs(amount),
            functional_minor=abs(functional),
        )
        for _, line, amount, functional in _movements(lines)
    ]


def _side(amount: int, functional: int) -> str:
    return "debit" if amount > 0 or functional > 0 else "credit"


def _movements(
    lines: Sequence[PostingLine],
) -> Iterator[tuple[_Identity, PostingLine, int, int]]:
    """Identity, its first line, and by how much it moves in both currencies (debit above zero)."""
    sums: dict[_Identity, tuple[PostingLine, int, int]] = {}
    for line in lines:
        identity = _identity(line)
        first, amount, functional = sums.get(identity, (line, 0, 0))
        sign = 1 if line.side == "debit" else -1
        amount += sign * line.amount_minor
        functional += sign * line.functional_minor
        sums[identity] = (first, amount, functional)
    for identity, (first, amount, functional) in sums.items():
        if amount * functional < 0:
            # The rate changed so much that the two currencies move in opposite directions.
            yield identity, first, amount, 0
            yield identity, first, 0, functional
        elif amount or functional:
            yield identity, first, amount, functional


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
