"""The closing report: what came in, what became of it, and whether everything agrees.

Problem: a demo that only prints numbers proves nothing. How: pure functions over the evidence; each
figure is put beside one from another place, and each comparison is a line that holds or does not,
with the figures that differ. The report is plain data: printed, exported and compared by tests.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence

from streamsync.core.records import PostingCommand
from streamsync.demo.checks import CLASSES, checks
from streamsync.demo.evidence import Evidence, Json

VERSION = 1
_TOTALS = (
    "billing_minor",
    "commands_minor",
    "commands_debit_minor",
    "erp_debit_minor",
    "open_difference_minor",
)
_MISMATCHES = ("M01", "M02", "M04", "M11")


def make_report(evidence: Evidence) -> Json:
    """The report without its trace, which needs questions to what is still running."""
    report: Json = {
        "schema_version": VERSION,
        "today": evidence.today.isoformat(),
        "accepted": evidence.accepted,
        "stored": len(evidence.webhooks),
        "events": {name: evidence.counts[name] for name in ("inputs", *CLASSES)},
        "reasons": _reasons(evidence),
        "commands": _commands(evidence),
        "manifest": _manifest(evidence),
        "mismatches": open_keys(evidence.exceptions, _MISMATCHES),
        "exceptions": _by_code(evidence.exceptions),
        "totals": totals(evidence),
        "periods": _periods(totals(evidence)),
        "deferred": deferred(evidence),
        "trial_balance": trial_balance(evidence),
    }
    report["checks"] = checks(evidence, report)
    report["holds"] = all(check["holds"] for check in report["checks"])
    return report


def open_keys(exceptions: Sequence[Json], codes: Sequence[str]) -> dict[str, list[str]]:
    """Idempotency keys of open exceptions, by code."""
    return {
        code: sorted(
            str(one["idempotency_key"])
            for one in exceptions
            if one["code"] == code and one["state"] == "detected"
        )
        for code in codes
    }


def totals(evidence: Evidence) -> list[Json]:
    """Control totals by entity, period, currency and purpose."""
    rows = [
        {"entity": entity, **{name: line[name] for name in ("period", "currency", "purpose")}}
        | {name: line[name] for name in _TOTALS}
        for entity, book in evidence.books.items()
        for line in book["lines"]
    ]
    return sorted(
        rows, key=lambda row: (row["entity"], row["period"], row["currency"], row["purpose"])
    )


def deferred(evidence: Evidence) -> list[Json]:
    """Deferred revenue at the end of each month: credit minus debit up to then."""
    rows = []
    for entity, book in sorted(evidence.books.items()):
        rows += [
            {
                "entity": entity,
                "period": one["period"],
                "currency": one["currency"],
                "balance_minor": -one["closing_minor"],
            }
            for one in sorted(
                book["roll_forwards"], key=lambda one: (one["period"], one["currency"])
            )
            if one["role"] == "deferred_revenue"
        ]
    return rows


def trial_balance(evidence: Evidence) -> list[Json]:
    """Debit and credit by entity and account role, over all periods."""
    sums: dict[tuple[str, str], list[int]] = {}
    for entity, book in evidence.books.items():
        for role in book["roles"]:
            both = sums.setdefault((entity, role["role"]), [0, 0])
            both[0] += role["debit_minor"]
            both[1] += role["credit_minor"]
    return [
        {"entity": entity, "role": role, "debit_minor": debit, "credit_minor": credit}
        for (entity, role), (debit, credit) in sorted(sums.items())
    ]


def chosen_mismatch(exceptions: Sequence[Json], commands: Sequence[PostingCommand]) -> Json | None:
    """The open mismatch that is traced: the same one in every run.

    An altered amount tells most, and one of an invoice is easiest to follow.
    """
    purposes = {command.idempotency_key: command.purpose for command in commands}
    wanted = {code: rank for rank, code in enumerate(("M04", "M02", "M01", "M11"))}
    found = [one for one in exceptions if one["state"] == "detected" and one["code"] in wanted]
    return min(
        found,
        default=None,
        key=lambda one: (
            wanted[one["code"]],
            purposes.get(one["idempotency_key"]) != "invoice_issued",
            one["idempotency_key"],
        ),
    )


def _reasons(evidence: Evidence) -> dict[str, int]:
    """Open exceptions that are no mismatch: why records were refused or wait."""
    open_now = [one["code"] for one in evidence.exceptions if one["state"] == "detected"]
    return dict(sorted(Counter(code for code in open_now if not _is_mismatch(code)).items()))


def _commands(evidence: Evidence) -> Json:
    """Commands sent, and the confirmations by status, each told once."""
    told = {one.confirmation_id: one for one in evidence.confirmations}
    statuses = Counter(one.status for one in told.values())
    final = {(one.idempotency_key, one.revision) for one in told.values() if one.status != "parked"}
    return {
        "sent": len(evidence.commands),
        "by_action": dict(sorted(Counter(one.action for one in evidence.commands).items())),
        "confirmations": dict(sorted(statuses.items())),
        "found_by_lookup": sum(one.found_by_lookup for one in told.values()),
        "unanswered": sum(
            (one.idempotency_key, one.revision) not in final for one in evidence.commands
        ),
    }


def _manifest(evidence: Evidence) -> dict[str, int]:
    """Injected faults by kind, late ones by whether they were answered."""
    kinds = {"no_answer": 0, "reject": 0, "alter": 0, "late_answered": 0, "late_unanswered": 0}
    for row in evidence.manifest:
        kind = row["kind"]
        if kind == "late":
            kind = "late_unanswered" if row["answered_at_ms"] is None else "late_answered"
        kinds[kind] += 1
    return kinds


def _by_code(exceptions: Sequence[Json]) -> list[Json]:
    """Open and resolved mismatches by code, with the signed open difference by currency."""
    rows: dict[str, Json] = {}
    for one in exceptions:
        if not _is_mismatch(one["code"]):
            continue
        row = rows.setdefault(
            one["code"], {"code": one["code"], "open": 0, "resolved": 0, "open_minor": {}}
        )
        if one["state"] != "detected":
            row["resolved"] += 1
            continue
        row["open"] += 1
        if one["difference_minor"]:
            known = row["open_minor"].get(one["currency"], 0)
            row["open_minor"][one["currency"]] = known + one["difference_minor"]
    return [rows[code] for code in sorted(rows)]


def _periods(lines: Sequence[Json]) -> list[Json]:
    """The totals per entity, period and currency."""
    rows: dict[tuple[str, str, str], Json] = {}
    for line in lines:
        where = (line["entity"], line["period"], line["currency"])
        row = rows.setdefault(
            where,
            dict(zip(("entity", "period", "currency"), where, strict=True))
            | dict.fromkeys(_TOTALS, 0),
        )
        for name in _TOTALS:
            row[name] += line[name]
    return [rows[where] for where in sorted(rows)]


def _is_mismatch(code: str) -> bool:
    return len(code) == 3 and code.startswith("M") and code[1:].isdecimal()
