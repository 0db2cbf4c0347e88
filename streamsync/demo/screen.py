"""The closing screen: the report for a person.

Problem: one screen must answer what came in, what became of it, what is wrong and whether it all
agrees. How: a few tables over the report's plain data; amounts in the units of their currency,
never as bare minor units, and never cut short. Nothing is computed here but a difference of two
columns.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Literal

from rich.console import Console, Group, RenderableType
from rich.table import Table
from rich.text import Text

from streamsync.core.money import format_minor
from streamsync.core.reasons import REASONS
from streamsync.demo.checks import CLASSES

Json = dict[str, Any]
_MEANINGS = {
    "posted": "booked",
    "no_entry": "understood, and books nothing",
    "ignored": "of a type that cannot touch the books",
    "waiting": "needs something that is not known yet",
    "unknown": "of a type that is not handled yet",
    "rejected": "refused, with a reason",
    "duplicate": "told before",
}
_FAULT_OF = {"M01": "late_unanswered", "M02": "reject", "M04": "alter", "M11": "late_answered"}


def show(console: Console, report: Json) -> None:
    """Print the closing screen."""
    console.print(screen(report))


def screen(report: Json) -> RenderableType:
    """The whole screen."""
    parts: list[RenderableType] = [
        _events(report),
        _commands(report),
        _mismatches(report),
        _billing(report),
        _erp(report),
    ]
    if "trace" in report:
        parts.append(_trace(report["trace"]))
    parts.append(_checks(report["checks"]))
    return Group(*parts)


def _table(title: str, *columns: str, right: int = 1) -> Table:
    table = Table(title=title, title_justify="left", title_style="bold", pad_edge=False)
    for at, column in enumerate(columns):
        # A narrow terminal folds a figure; cut short, it would be a wrong one.
        side: Literal["left", "right"] = "right" if at >= right else "left"
        table.add_column(column, justify=side, overflow="fold")
    return table


def _events(report: Json) -> Table:
    events = report["events"]
    table = _table("Events in, and what became of them", "class", "events", "meaning", right=1)
    table.columns[2].justify = "left"
    reasons = ", ".join(f"{code} {count}" for code, count in report["reasons"].items())
    for name in CLASSES:
        table.add_row(name, str(events[name]), _MEANINGS[name])
    table.add_section()
    counted = sum(events[name] for name in CLASSES)
    table.add_row("sum", str(counted), f"{report['accepted']} accepted by the ingress")
    table.caption = f"waiting or refused because: {reasons}" if reasons else None
    table.caption_justify = "left"
    return table


def _commands(report: Json) -> Text:
    commands = report["commands"]
    told = ", ".join(f"{status} {n}" for status, n in commands["confirmations"].items())
    return Text(
        f"\nCommands sent {commands['sent']}; confirmations: {told}; "
        f"{commands['found_by_lookup']} found by look-up; "
        f"{commands['unanswered']} kept back by the ERP.\n"
    )


def _mismatches(report: Json) -> Table:
    table = _table(
        "Mismatches, beside what the simulated ERP says it did",
        "code", "meaning", "open", "resolved", "open difference", "ERP's manifest",
        right=2,
    )  # fmt: skip
    rows = {row["code"]: row for row in report["exceptions"]}
    for code in sorted(rows.keys() | _FAULT_OF.keys()):
        row = rows.get(code, {"open": 0, "resolved": 0, "open_minor": {}})
        kind = _FAULT_OF.get(code)
        reason = REASONS.get(code)
        table.add_row(
            code,
            reason.sentence if reason is not None else "",
            str(row["open"]),
            str(row["resolved"]),
            _amounts(row["open_minor"]),
            f"{report['manifest'][kind]} {kind}" if kind else "0",
        )
    unanswered = report["manifest"]["no_answer"]
    table.add_row("none", "booked, never answered, found by look-up", "0", "", "",
                  f"{unanswered} no_answer")  # fmt: skip
    return table


def _billing(report: Json) -> Table:
    table = _table(
        "Billing = commands, per entity and period; deferred revenue at its end",
        "entity", "period", "currency", "billing", "commands", "deferred revenue",
        right=3,
    )  # fmt: skip
    moved = {_where(row): row["balance_minor"] for row in report["deferred"]}
    # A period that moves no deferred revenue ends with what the one before it ended with.
    balances: dict[tuple[str, str], int] = {}
    for row in report["periods"]:
        of = row["entity"], row["currency"]
        balances[of] = moved.get(_where(row), balances.get(of, 0))
        figures = (row["billing_minor"], row["commands_minor"], balances[of])
        table.add_row(*_where(row), *(format_minor(figure, row["currency"]) for figure in figures))
    return table


def _erp(report: Json) -> Table:
    table = _table(
        "Commands - ERP = open mismatches, in debits, per entity and period",
        "entity", "period", "currency", "commands", "ERP", "difference", "open mismatches",
        right=3,
    )  # fmt: skip
    for row in report["periods"]:
        commands, erp = row["commands_debit_minor"], row["erp_debit_minor"]
        figures = (commands, erp, commands - erp, row["open_difference_minor"])
        table.add_row(*_where(row), *(format_minor(figure, row["currency"]) for figure in figures))
    return table


def _where(row: Json) -> tuple[str, str, str]:
    return row["entity"], row["period"], row["currency"]


def _trace(told: Json) -> Group:
    steps = {step["step"]: step["found"] for step in told["steps"]}
    table = Table(
        title="One mismatch, from webhook to ERP document",
        title_justify="left",
        title_style="bold",
        show_header=False,
        pad_edge=False,
    )
    table.add_column("step")
    table.add_column("found", overflow="fold")
    for step, line in _TRACE_LINES.items():
        found = steps[step]
        table.add_row(step.replace("_", " "), Text(line(found) if found else "none"))
    return Group(table, *(Text(f"  {url}") for url in told["urls"]))


def _webhook(found: Json) -> str:
    where = f"{found['topic']}[{found['partition']}] at {found['offset']}"
    return f"event {found['event_id']} in {where}"


def _fact(found: Json) -> str:
    return f"{found['kind']} of {found['document']}, account {found['account']} ({found['entity']})"


def _entry(found: Json) -> str:
    currency = found["currency"]
    lines = "; ".join(
        f"{line['side']} {line['role']} ({line['account']}) "
        f"{format_minor(line['amount_minor'], currency)}"
        for line in found["lines"]
    )
    return f"{found['purpose']} of {found['date']} in {currency}: {lines}"


def _command(found: Json) -> str:
    return (
        f"{found['command_id']} (revision {found['revision']}, {_money(found)}), "
        f"by {found['ruleset']} and {found['policy']}"
    )


def _confirmation(found: Json) -> str:
    if found["debit_minor"] is None:
        return " ".join(filter(None, (found["status"], found["error"])))
    return f"{found['status']} as {found['erp_document_number']} with {_money(found)}"


def _erp_document(found: Json) -> str:
    return f"{found['number']} in the ERP's journal: {_money(found)}"


def _mismatch(found: Json) -> str:
    difference = format_minor(found["difference_minor"], found["currency"])
    return f"{found['code']}, {difference} {found['currency']}, for {found['owner']}"


_TRACE_LINES = {
    "webhook": _webhook,
    "fact": _fact,
    "entry": _entry,
    "command": _command,
    "confirmation": _confirmation,
    "erp_document": _erp_document,
    "mismatch": _mismatch,
}


def _checks(checks: Sequence[Json]) -> Group:
    lines = []
    for check in checks:
        mark, style = ("holds ", "green") if check["holds"] else ("FAILS ", "bold red")
        lines.append(Text.assemble((mark, style), check["line"]))
        lines += [Text(f"        {difference}") for difference in check["differences"]]
    return Group(Text(""), *lines)


def _money(found: Json) -> str:
    return f"{format_minor(found['debit_minor'], found['currency'])} {found['currency']}"


def _amounts(by_currency: Mapping[str, int]) -> str:
    return ", ".join(
        f"{format_minor(amount, currency)} {currency}"
        for currency, amount in sorted(by_currency.items())
    )
