"""Control totals and the books of an entity.

Problem: totals are only worth comparing when both sides were taken at the same point, and an
entity's documents are spread over all partitions. How: each partition keeps absolute control totals
as it goes and contributes them at each cut; the entity's book, an account of its own, keeps
contributions per cut and compares only when every partition has reported that cut.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence

from streamsync.core.calendar import local_date
from streamsync.core.closing import (
    Moved,
    add_moved,
    add_totals,
    billing_agrees,
    control_amount,
    erp_agrees,
)
from streamsync.core.receivables import add_ageing, age
from streamsync.core.records import (
    CommandTax,
    Contribution,
    ControlTotal,
    PostingCommand,
    PostingLine,
    RoleTotal,
    SummaryMember,
    TaxTotal,
    Totals,
)
from topology import topics
from topology.enrich import Placed
from topology.rows import (
    BOOK,
    CONTRIBUTION,
    OPEN,
    ROLE_TOTAL,
    TAX_TOTAL,
    TOTAL,
    DocumentRow,
    row_key,
)
from topology.turn import Turn

_BOOKS = "book/"


def add_billing(turn: Turn, placed: Placed, before: DocumentRow, after: Mapping[str, int]) -> None:
    """Replace a document's figures (`period|currency|purpose`) in the entity's billing totals."""
    for name in sorted(before.billing.keys() | after.keys()):
        change = after.get(name, 0) - before.billing.get(name, 0)
        if change:
            period, currency, purpose = name.split("|", 2)
            where = (placed.tenant, placed.entity.id, period, currency, purpose)
            _add(turn, *where, billing_minor=change)


def keep_open(turn: Turn, placed: Placed, before: DocumentRow, open_minor: int, since: str) -> None:
    """Replace a document's open receivable (debit less credit) by the day it is open since."""
    for day, change in ((before.open_since, -before.open_minor), (since, open_minor)):
        if change:
            key = row_key(placed.tenant, placed.entity.id, before.currency, day)
            amount = (turn.shard.get(OPEN, key) or 0) + change
            if amount:
                turn.shard.put(OPEN, key, amount)
            else:
                turn.shard.delete(OPEN, key)


def _open_by_day(turn: Turn, prefix: str) -> Iterator[tuple[str, str, int]]:
    for key, amount in turn.shard.scan(OPEN, prefix):
        _, _, currency, day = key.split("|")
        yield currency, day, amount


def add_command(turn: Turn, command: PostingCommand) -> None:
    """Count a command: its control figure in its natural period, its debits where it posts."""
    _count_command(turn, command, 1)


def withdraw_command(turn: Turn, command: PostingCommand) -> None:
    """A command that the ERP refused is wanted no more: it counts no more."""
    _count_command(turn, command, -1)


def add_member(turn: Turn, member: SummaryMember, before: Sequence[PostingLine]) -> None:
    """Count a summary's member in its natural period; its debits are those of the summary."""
    moved = control_amount(member.purpose, member.lines) - control_amount(member.purpose, before)
    where = (member.tenant, member.entity, member.natural_period, member.txn_currency)
    _add(turn, *where, member.purpose, commands_minor=moved)


def add_posted(turn: Turn, command: PostingCommand) -> None:
    """Count what a summary posts; its members have counted their control figures."""
    _count_posted(turn, command, 1)


def withdraw_posted(turn: Turn, command: PostingCommand) -> None:
    """A summary that the ERP refused is posted elsewhere: there it counts."""
    _count_posted(turn, command, -1)


def _count_command(turn: Turn, command: PostingCommand, times: int) -> None:
    moved = times * control_amount(command.purpose, command.lines)
    _add(turn, *_where(command, command.original_period), commands_minor=moved)
    _count_posted(turn, command, times)


def _count_posted(turn: Turn, command: PostingCommand, times: int) -> None:
    where = _where(command, command.period)
    debit = times * command.totals.debit_minor
    _add(turn, *where, commands_debit_minor=debit, commands_count=times)
    for line in command.lines:
        key = row_key(*where[:-1], line.role, command.purpose)
        known, change = turn.shard.get(ROLE_TOTAL, key), _moved(command, line, times)
        turn.shard.put(ROLE_TOTAL, key, change if known is None else add_moved(known, change))
        if line.tax is not None:
            _count_tax(turn, where, _taxed(line.tax, change))


def _count_tax(turn: Turn, where: tuple[str, ...], change: TaxTotal) -> None:
    of_tax = (change.role, change.jurisdiction or "", change.tax_code or "")
    key = row_key(*where[:-1], *of_tax)
    known = turn.shard.get(TAX_TOTAL, key)
    turn.shard.put(TAX_TOTAL, key, change if known is None else add_moved(known, change))


def add_confirmed(turn: Turn, command: PostingCommand, erp_debit_minor: int) -> None:
    """Count what the ERP says it holds for a command."""
    where = _where(command, command.period)
    _add(turn, *where, erp_debit_minor=erp_debit_minor, confirmed_count=1)


def add_difference(turn: Turn, command: PostingCommand, difference_minor: int) -> None:
    """A mismatch opened (its signed difference) or was resolved (the inverse)."""
    if difference_minor:
        where = _where(command, command.period)
        _add(turn, *where, open_difference_minor=difference_minor)


def contribute(turn: Turn, tenant: str, tick_number: int, time_ms: int) -> None:
    """Report this partition's absolute totals to every entity's book, empty or not."""
    company = turn.company(tenant)
    for entity in company.entities if company is not None else ():
        prefix = row_key(tenant, entity.id, "")
        contribution = Contribution(
            tenant=tenant,
            entity=entity.id,
            tick_number=tick_number,
            time_ms=time_ms,
            partition=turn.shard.partition,
            partitions=turn.partitions,
            totals=tuple(line for _, line in turn.shard.scan(TOTAL, prefix)),
            roles=tuple(line for _, line in turn.shard.scan(ROLE_TOTAL, prefix)),
            taxes=tuple(tax for _, tax in turn.shard.scan(TAX_TOTAL, prefix)),
            ageing=tuple(age(_open_by_day(turn, prefix), local_date(time_ms, entity.time_zone))),
        )
        turn.to_log(f"{book_account(tenant, entity.id)}|contribution", contribution)


def book_account(tenant: str, entity: str) -> str:
    """The reserved account that holds an entity's own facts."""
    return f"{_BOOKS}{tenant}/{entity}"


def is_book(account: str) -> bool:
    """Whether an account is an entity's book."""
    return account.startswith(_BOOKS)


def receive_contribution(turn: Turn, contribution: Contribution) -> bool:
    """Keep a partition's figures; when all have reported the cut, publish the entity's totals.

    True when they have.
    """
    book = row_key(contribution.tenant, contribution.entity)
    done = turn.shard.get(BOOK, book)
    if done is not None and done.tick_number >= contribution.tick_number:
        return False
    cut = row_key(book, f"{contribution.tick_number:015d}")
    turn.shard.put(CONTRIBUTION, row_key(cut, f"{contribution.partition:06d}"), contribution)
    reported = list(turn.shard.scan(CONTRIBUTION, row_key(cut, "")))
    if len(reported) < contribution.partitions:
        return False
    totals = _totals(contribution, [given for _, given in reported])
    turn.shard.put(BOOK, book, totals)
    turn.emit(topics.TOTALS, contribution.entity, totals)
    for key, given in list(turn.shard.scan(CONTRIBUTION, row_key(book, ""))):
        if given.tick_number <= contribution.tick_number:
            turn.shard.delete(CONTRIBUTION, key)
    return True


def _totals(cut: Contribution, reported: list[Contribution]) -> Totals:
    lines: dict[tuple[str, str, str], ControlTotal] = {}
    for given in reported:
        for line in given.totals:
            where = (line.period, line.currency, line.purpose)
            lines[where] = add_totals(lines[where], line) if where in lines else line
    summed = tuple(lines[where] for where in sorted(lines))
    return Totals(
        tenant=cut.tenant,
        entity=cut.entity,
        tick_number=cut.tick_number,
        time_ms=cut.time_ms,
        lines=summed,
        roles=_summed(reported, lambda given: given.roles, _of_role),
        taxes=_summed(reported, lambda given: given.taxes, _of_tax),
        ageing=add_ageing(bucket for given in reported for bucket in given.ageing),
        billing_agrees=all(billing_agrees(line) for line in summed),
        erp_agrees=all(erp_agrees(line) for line in summed),
    )


def _summed(
    reported: Iterable[Contribution],
    movements: Callable[[Contribution], Iterable[Moved]],
    place: Callable[[Moved], tuple[str, ...]],
) -> tuple[Moved, ...]:
    sums: dict[tuple[str, ...], Moved] = {}
    for given in reported:
        for one in movements(given):
            where = place(one)
            sums[where] = add_moved(sums[where], one) if where in sums else one
    return tuple(sums[where] for where in sorted(sums))


def _of_role(one: RoleTotal) -> tuple[str, ...]:
    return one.period, one.currency, one.role, one.purpose


def _of_tax(one: TaxTotal) -> tuple[str, ...]:
    return one.period, one.currency, one.role, one.jurisdiction or "", one.tax_code or ""


def _taxed(tax: CommandTax, moved: RoleTotal) -> TaxTotal:
    return TaxTotal(
        period=moved.period,
        currency=moved.currency,
        role=moved.role,
        jurisdiction=tax.jurisdiction,
        tax_code=tax.tax_code,
        debit_minor=moved.debit_minor,
        credit_minor=moved.credit_minor,
        functional_debit_minor=moved.functional_debit_minor,
        functional_credit_minor=moved.functional_credit_minor,
    )


def _moved(command: PostingCommand, line: PostingLine, times: int) -> RoleTotal:
    debit = line.side == "debit"
    amount, functional = times * line.amount_minor, times * line.functional_minor
    return RoleTotal(
        period=command.period,
        currency=command.txn_currency,
        role=line.role,
        purpose=command.purpose,
        debit_minor=amount if debit else 0,
        credit_minor=0 if debit else amount,
        functional_debit_minor=functional if debit else 0,
        functional_credit_minor=0 if debit else functional,
    )


def _where(command: PostingCommand, period: str) -> tuple[str, str, str, str, str]:
    return command.tenant, command.entity, period, command.txn_currency, command.purpose


def _add(
    turn: Turn,
    tenant: str,
    entity: str,
    period: str,
    currency: str,
    purpose: str,
    *,
    billing_minor: int = 0,
    commands_minor: int = 0,
    commands_debit_minor: int = 0,
    erp_debit_minor: int = 0,
    open_difference_minor: int = 0,
    commands_count: int = 0,
    confirmed_count: int = 0,
) -> None:
    key = row_key(tenant, entity, period, currency, purpose)
    known = turn.shard.get(TOTAL, key)
    change = ControlTotal(
        period=period,
        currency=currency,
        purpose=purpose,
        billing_minor=billing_minor,
        commands_minor=commands_minor,
        commands_debit_minor=commands_debit_minor,
        erp_debit_minor=erp_debit_minor,
        open_difference_minor=open_difference_minor,
        commands_count=commands_count,
        confirmed_count=confirmed_count,
    )
    turn.shard.put(TOTAL, key, change if known is None else add_totals(known, change))
