"""The lines of the closing screen that must hold.

Problem: "all of that holds" must be said line by line, and a line that does not must say where.
How: each function compares figures of different origin (what the ingress took, what the ledger
counted, what stands in the topics, what the ERP says of itself) and lists what differs; no
differences, it holds.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

from streamsync.demo.evidence import Evidence, Json

_SHOWN_MAX = 3
# What each injected fault must have become.
_CODE_OF = {"reject": "M02", "alter": "M04"}
CLASSES = ("posted", "no_entry", "ignored", "waiting", "unknown", "rejected", "duplicate")


def checks(evidence: Evidence, report: Json) -> list[Json]:
    """Every line, in the order of the screen."""
    lines: Sequence[tuple[str, Callable[[Evidence, Json], list[str]]]] = (
        ("every webhook that the ingress accepted is in exactly one class", _events),
        ("every command is answered, but those that the ERP keeps back", _answers),
        ("mismatches are the injected faults, no more and no fewer", _faults),
        ("what was booked without an answer was found by looking it up", _found),
        ("billing = commands, per entity, period and purpose", _billing),
        ("commands - ERP = the signed open differences", _differences),
        ("the ERP's own trial balance says the same", _erp),
    )
    told = []
    for line, differences in lines:
        found = differences(evidence, report)
        told.append({"line": line, "holds": not found, "differences": _short(found)})
    return told


def _short(found: list[str]) -> list[str]:
    if len(found) <= _SHOWN_MAX:
        return found
    return [*found[:_SHOWN_MAX], f"and {len(found) - _SHOWN_MAX} more"]


def _events(evidence: Evidence, report: Json) -> list[str]:
    events = report["events"]
    stored = len(evidence.webhooks)
    figures = {
        "stored in the topic": stored,
        "counted by the ledger": events["inputs"],
        "sum of the classes": sum(events[name] for name in CLASSES),
    }
    told = len(set(figures.values())) == 1
    if told and evidence.accepted <= stored <= evidence.accepted + evidence.repeated:
        return []
    figures["accepted by the ingress"] = evidence.accepted
    return [", ".join(f"{name} {figure}" for name, figure in figures.items())]


def _answers(evidence: Evidence, _: Json) -> list[str]:
    answered = {
        (one.idempotency_key, one.revision)
        for one in evidence.confirmations
        if one.status in ("posted", "duplicate", "rejected")
    }
    kept_back = {
        (row["idempotency_key"], row["revision"])
        for row in evidence.manifest
        if row["kind"] == "late" and row["answered_at_ms"] is None
    }
    sent = {(one.idempotency_key, one.revision) for one in evidence.commands}
    counted = sum(line["commands_count"] for book in evidence.books.values()
                  for line in book["lines"])  # fmt: skip
    wrong = [f"{key} revision {number}: no answer" for key, number in sent - answered - kept_back]
    wrong += [f"{key} revision {number}: answered, never sent" for key, number in answered - sent]
    if counted != len(evidence.commands):
        wrong.append(f"{len(evidence.commands)} commands in the topics, {counted} in the books")
    return sorted(wrong)


def _faults(evidence: Evidence, report: Json) -> list[str]:
    wanted: set[tuple[str, str]] = set()
    for row in evidence.manifest:
        code = _CODE_OF.get(row["kind"])
        if row["kind"] == "late":
            code = "M01" if row["answered_at_ms"] is None else "M11"
        if code is not None:
            wanted.add((code, row["idempotency_key"]))
    mismatches = {row["code"] for row in report["exceptions"]}
    found = {
        (one["code"], str(one["idempotency_key"]))
        for one in evidence.exceptions
        if one["state"] == "detected" and one["code"] in mismatches
    }
    missing = [f"{code} of {key} is missing" for code, key in sorted(wanted - found)]
    return missing + [f"{code} of {key} has no fault" for code, key in sorted(found - wanted)]


def _found(evidence: Evidence, _: Json) -> list[str]:
    looked_up = {
        one.idempotency_key
        for one in evidence.confirmations
        if one.found_by_lookup and one.status in ("posted", "duplicate")
    }
    silent = {row["idempotency_key"] for row in evidence.manifest if row["kind"] == "no_answer"}
    return [f"{key} was not looked up" for key in sorted(silent - looked_up)]


def _billing(_: Evidence, report: Json) -> list[str]:
    return [
        f"{_where(line)}: billing {line['billing_minor']}, commands {line['commands_minor']}"
        for line in report["totals"]
        if line["billing_minor"] != line["commands_minor"]
    ]


def _differences(evidence: Evidence, report: Json) -> list[str]:
    purposes = {command.idempotency_key: command.purpose for command in evidence.commands}
    opened: dict[tuple[str, str, str, str], int] = {}
    for one in evidence.exceptions:
        if one["state"] == "detected" and one["difference_minor"]:
            purpose = purposes.get(one["idempotency_key"], "none")
            where = (one["entity"], one["period"], one["currency"], purpose)
            opened[where] = opened.get(where, 0) + one["difference_minor"]
    wrong = []
    for line in report["totals"]:
        where = (line["entity"], line["period"], line["currency"], line["purpose"])
        between = line["commands_debit_minor"] - line["erp_debit_minor"]
        told = {line["open_difference_minor"], opened.pop(where, 0)}
        if told != {between}:
            wrong.append(f"{_where(line)}: commands - ERP {between}, open differences {told}")
    return wrong + [f"{'/'.join(where)}: a difference without a command" for where in opened]


def _erp(evidence: Evidence, report: Json) -> list[str]:
    books: dict[tuple[str, str], int] = {}
    for line in report["totals"]:
        where = (line["entity"], line["period"])
        books[where] = books.get(where, 0) + line["erp_debit_minor"]
    wrong = []
    for where, rows in sorted(evidence.trial_balances.items()):
        debit = sum(row["debit_minor"] for row in rows)
        credit = sum(row["credit_minor"] for row in rows)
        if not debit == credit == books.get(where, 0):
            wrong.append(
                f"{'/'.join(where)}: the ERP has debit {debit} and credit {credit}, "
                f"streamsync says {books.get(where, 0)}"
            )
    return wrong


def _where(line: Json) -> str:
    return f"{line['entity']}/{line['period']}/{line['currency']}/{line['purpose']}"
