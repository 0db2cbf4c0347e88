"""Print a journal: a table for people, JSON lines for machines, two formats for a second opinion.

Problem: the same entries must read well and be checked by independent programs, hledger and
beancount. How: one pure function per format over posting commands. Accounts are
`entity:role:account`, every account and commodity is declared and every month's end has its
balances asserted, so that strict checks mean something. A line in a foreign currency carries its
functional value as its total price (`@@`), so that those programs balance the functional amounts.
"""

from __future__ import annotations

import json
import re
from calendar import monthrange
from collections.abc import Callable, Iterable, Iterator, Sequence
from datetime import date, timedelta
from itertools import groupby

from rich.table import Table

from streamsync.core.money import exponent, format_minor
from streamsync.core.records import PostingCommand, PostingLine

# Where beancount's reports show a role; one that is not named here stands under Equity.
BEANCOUNT_ROOTS = {
    "bank": "Assets",
    "cash_received_elsewhere": "Assets",
    "clearing": "Assets",
    "disputes_receivable": "Assets",
    "receivable": "Assets",
    "receivable_intercompany": "Assets",
    "unbilled_receivable": "Assets",
    "customer_credit": "Liabilities",
    "deferred_revenue": "Liabilities",
    "payable_intercompany": "Liabilities",
    "tax_payable": "Liabilities",
    "unapplied_cash": "Liabilities",
    "application_fee_revenue": "Income",
    "breakage_revenue": "Income",
    "credit_notes_contra": "Income",
    "fx_gain_loss": "Income",
    "fx_unrealised": "Income",
    "refunds_contra": "Income",
    "revenue": "Income",
    "revenue_intercompany": "Income",
    "voids_contra": "Income",
    # With beancount's own conversions: in its currencies the role never ends at nothing.
    "clearing_conversion": "Equity",
    "bad_debt": "Expenses",
    "cost_intercompany": "Expenses",
    "dispute_fees": "Expenses",
    "dispute_losses": "Expenses",
    "payment_disputes": "Expenses",
    "processing_fees": "Expenses",
    "tax_adjustments": "Expenses",
}

Balances = dict[tuple[str, str], int]
"""(account, currency) to debit minus credit in minor units."""


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
    """An hledger journal, ordered by date, that passes its strict checks.

    The balance of every account is asserted at each month's end, so that a later edit is noticed.
    """
    for currency in _currencies(commands):
        digits = exponent(currency)
        sample = "1000." + "0" * digits if digits else "1000."
        yield f"commodity {currency} {sample}"
    for name in sorted({_account(command, line) for command, line in _lines(commands)}):
        yield f"account {name}"
    balances: Balances = {}
    for period, made in _by_month(commands):
        for command in made:
            yield ""
            head = f"{command.posting_date} ({command.document}) {command.purpose}"
            yield f"{head}  ; {_note(command)}"
            for line in command.lines:
                currency, amount, price = _amounts(command, line)
                _add(balances, _account(command, line), currency, amount)
                cost = f" @@ {_prefixed(price[0], price[1])}" if price else ""
                yield f"    {_account(command, line)}  {_prefixed(currency, amount)}{cost}"
        yield ""
        yield f"{_last_day(period)} balances at the end of {period}"
        for (name, currency), amount in sorted(balances.items()):
            yield f"    {name}  {_prefixed(currency, 0)} = {_prefixed(currency, amount)}"


def beancount(commands: Sequence[PostingCommand]) -> Iterator[str]:
    """A beancount ledger that `bean-check` accepts; balances are asserted at each month's end."""
    for currency in _currencies(commands):
        yield f'option "operating_currency" "{currency}"'
        # It turns a total price into one per unit, of 28 digits: what is lost there is no cent.
        yield f'option "inferred_tolerance_default" "{currency}:0.{"0" * 9}1"'
    opened = min((command.posting_date for command in commands), default="")
    for name in sorted({_bean_account(command, line) for command, line in _lines(commands)}):
        yield f"{opened} open {name}"
    balances: Balances = {}
    for period, made in _by_month(commands):
        for command in made:
            yield ""
            yield f'{command.posting_date} * "{_quoted(command.document)}" "{command.purpose}"'
            yield f'  event: "{_quoted(command.causation_event_id)}"'
            yield f'  action: "{command.action}"'
            for line in command.lines:
                currency, amount, price = _amounts(command, line)
                _add(balances, _bean_account(command, line), currency, amount)
                cost = f" @@ {format_minor(price[1], price[0])} {price[0]}" if price else ""
                shown = f"{format_minor(amount, currency)} {currency}"
                yield f"  {_bean_account(command, line)}  {shown}{cost}"
        yield ""
        # A balance holds at the beginning of its day; without "~ 0" a cent would be tolerated.
        after = _last_day(period) + timedelta(days=1)
        for (name, currency), amount in sorted(balances.items()):
            yield f"{after} balance {name}  {format_minor(amount, currency)} ~ 0 {currency}"


TEXTS: dict[str, Callable[[Sequence[PostingCommand]], Iterator[str]]] = {
    "jsonl": jsonl,
    "hledger": hledger,
    "beancount": beancount,
}


def _currencies(commands: Iterable[PostingCommand]) -> list[str]:
    told = {one for made in commands for one in (made.txn_currency, made.functional_currency)}
    return sorted(told)


def _lines(commands: Iterable[PostingCommand]) -> Iterator[tuple[PostingCommand, PostingLine]]:
    return ((command, line) for command in commands for line in command.lines)


def _by_month(
    commands: Iterable[PostingCommand],
) -> Iterator[tuple[str, list[PostingCommand]]]:
    """Commands in the order of their dates, by the month of the date."""
    ordered = sorted(commands, key=lambda made: made.posting_date)
    for month, made in groupby(ordered, key=lambda one: one.posting_date[:7]):
        yield month, list(made)


def _last_day(month: str) -> date:
    year, number = int(month[:4]), int(month[5:])
    return date(year, number, monthrange(year, number)[1])


def _amounts(command: PostingCommand, line: PostingLine) -> tuple[str, int, tuple[str, int] | None]:
    """Currency, signed amount (debit above zero) and, in a foreign currency, the booked value.

    A line that only the functional currency has (an exchange difference) stands in that; and in an
    entry of the entity's own currency what counts is what each line is worth.
    """
    sign = 1 if line.side == "debit" else -1
    if command.txn_currency == command.functional_currency or not line.amount_minor:
        return command.functional_currency, sign * line.functional_minor, None
    value = (command.functional_currency, line.functional_minor)
    return command.txn_currency, sign * line.amount_minor, value


def _add(balances: Balances, name: str, currency: str, amount: int) -> None:
    balances[name, currency] = balances.get((name, currency), 0) + amount


def _prefixed(currency: str, amount: int) -> str:
    return f"{currency} {format_minor(amount, currency)}"


def _account(command: PostingCommand, line: PostingLine) -> str:
    return f"{command.entity}:{line.role}:{line.account}"


def _bean_account(command: PostingCommand, line: PostingLine) -> str:
    """Under one of beancount's five roots; parts begin with a capital and hold no underscore."""
    parts = (command.entity, line.role, line.account)
    named = (re.sub(r"[^A-Za-z0-9]+", "-", part).strip("-") for part in parts)
    root = BEANCOUNT_ROOTS.get(line.role, "Equity")
    return ":".join((root, *(part[:1].upper() + part[1:] for part in named)))


def _quoted(text: str) -> str:
    return text.replace("\\", "\\\\").replace('"', '\\"')


def _note(command: PostingCommand) -> str:
    return f"event:{command.causation_event_id}, action:{command.action}"


def table(commands: Iterable[PostingCommand]) -> Table:
    """A table with one row per line, debits and credits in columns of their own."""
    shown = Table(title="Journal", title_justify="left")
    # In a narrow terminal names go on in the next line; a date or an amount is never cut.
    shown.add_column("Date", no_wrap=True, min_width=10)
    for name in ("Entity", "Document", "Purpose", "Account", "Role"):
        shown.add_column(name, overflow="fold")
    for name in ("Debit", "Credit"):
        shown.add_column(name, justify="right", overflow="fold")
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
