"""The books, totals and control figures from raw events, in one plain batch.

The problem: tests need figures that were not computed by the program under test. How:
read every body (reading.py), replay every document (books.py), add up the entries here, and
apply the simulated ERP's own list of injected faults to say what the ERP must hold.
"""

from collections.abc import Mapping, Sequence
from datetime import date

from . import facts as f
from .books import Books, Entry
from .company import Company, acme
from .reading import Record, read_all
from .schedule import period_of

CLASSES = (
    "inputs", "posted", "no_entry", "ignored", "waiting", "unknown", "rejected", "duplicate",
)  # fmt: skip
WORST_FIRST = ("rejected", "waiting", "posted", "no_entry")
MISMATCHES = ("M01", "M02", "M04", "M11")

Group = tuple[str, str, str, str]
Rows = list[dict[str, object]]


def journal(
    bodies: Sequence[bytes],
    customers: Sequence[Mapping[str, object]],
    *,
    today: date,
    tenant: str = "acme",
    source: str = "stripe",
    company: Company | None = None,
) -> list[dict[str, object]]:
    """Every entry booked by the day, by date, document and purpose."""
    books = Books(read_all(bodies), customers, f"{tenant}/{source}", company or acme())
    entries = books.valued(today)
    entries.sort(key=lambda entry: (entry.day, entry.document, entry.purpose))
    return [
        {
            "document": entry.document,
            "invoice": entry.invoice,
            "date": entry.day.isoformat(),
            "period": period_of(entry.day),
            "entity": entry.entity,
            "currency": entry.currency,
            "purpose": entry.purpose,
            "lines": [
                {
                    "role": leg.role,
                    "side": leg.side,
                    "amount_minor": leg.amount,
                    "functional_minor": leg.functional,
                }
                for leg in entry.legs
            ],
        }
        for entry in entries
    ]


def recompute(
    bodies: Sequence[bytes],
    customers: Sequence[Mapping[str, object]],
    manifest: Sequence[Mapping[str, object]],
    *,
    today: date,
    tenant: str = "acme",
    source: str = "stripe",
    company: Company | None = None,
) -> dict[str, object]:
    """Classes, control totals, deferred balances, mismatches and the trial balance."""
    reader = read_all(bodies)
    books = Books(reader, customers, f"{tenant}/{source}", company or acme())
    entries = books.valued(today)
    return {
        "events": event_classes(reader.records, books),
        "totals": totals(books, entries, manifest),
        "deferred": deferred(entries),
        "mismatches": mismatches(manifest),
        "trial_balance": trial_balance(entries),
    }


def event_classes(records: Sequence[Record], books: Books) -> dict[str, int]:
    """How many records are in each class; each record is in exactly one."""
    counts = dict.fromkeys(CLASSES, 0)
    for record in records:
        counts["inputs"] += 1
        outcomes = [books.outcomes[key] for key in record.fresh]
        by_fact = next((name for name in WORST_FIRST if name in outcomes), "no_entry")
        counts[record.klass or by_fact] += 1
    return counts


# The table "Control figures" of docs/accounting.md.
CONTROL = {
    f.ISSUED: ("debit", ["receivable", "customer_credit"]),
    f.PAID: ("credit", ["receivable"]),
    f.REFUNDED: ("credit", ["clearing"]),
    f.CHARGED: ("debit", ["clearing"]),
    f.FEE: ("credit", ["clearing"]),
    f.LEFT: ("credit", ["clearing"]),
    f.ARRIVED: ("debit", ["clearing"]),
    f.WITHDRAWN: ("credit", ["clearing"]),
    f.REINSTATED: ("debit", ["clearing"]),
    f.DISPUTE_CLOSED: ("credit", ["disputes_receivable"]),
    f.PAID_OUT: ("debit", ["bank"]),
    f.PAYOUT_FAILED: ("credit", ["bank"]),
    f.RELEASED: ("debit", ["deferred_revenue"]),
    f.USED: ("credit", ["revenue"]),
    f.CLEARED: ("credit", ["unbilled_receivable"]),
    f.RECOGNISED: ("debit", ["clearing", "customer_credit"]),
}
# Purposes whose figure the document tells itself.
TOLD = (f.ISSUED, f.PAID, f.REFUNDED)


def command_amount(entry: Entry) -> int:
    """The movement of the roles that stand for the billing document."""
    side, roles = CONTROL.get(entry.purpose, ("credit", ["receivable", "customer_credit"]))
    return entry.moved(side, roles)


def debit_amount(entry: Entry) -> int:
    """The sum of the debit lines."""
    return sum(leg.amount for leg in entry.legs if leg.side == "debit")


def missing_in_erp(fault: Mapping[str, object]) -> int:
    """How much debit one injected fault keeps from the ERP."""
    command = number(fault, "command_debit_minor")
    if fault["kind"] == "reject":
        return command
    if fault["kind"] == "late" and fault.get("answered_at_ms") is None:
        return command
    if fault["kind"] == "alter":
        return command - number(fault, "booked_debit_minor")
    return 0


def number(fault: Mapping[str, object], key: str) -> int:
    """An integer of the manifest."""
    value = fault[key]
    if not isinstance(value, int):
        raise TypeError(f"{key} of the manifest is not an integer: {value!r}")
    return value


def totals(
    books: Books, entries: Sequence[Entry], manifest: Sequence[Mapping[str, object]]
) -> Rows:
    """Billing, commands and ERP by entity, period, currency and purpose."""
    billing: dict[Group, int] = {}
    commands: dict[Group, int] = {}
    debits: dict[Group, int] = {}
    missing: dict[Group, int] = {}
    for bill in books.bills:
        add(billing, (bill.entity, bill.period, bill.currency, bill.purpose), bill.amount)
    for entry in entries:
        group = (entry.entity, period_of(entry.day), entry.currency, entry.purpose)
        add(commands, group, command_amount(entry))
        add(debits, group, debit_amount(entry))
        if entry.purpose in CONTROL and entry.purpose not in TOLD:
            add(billing, group, command_amount(entry))
    for fault in manifest:
        currency = str(fault["currency"]).upper()
        group = (str(fault["entity"]), str(fault["period"]), currency, str(fault["purpose"]))
        if missing_in_erp(fault):
            add(missing, group, missing_in_erp(fault))
    return [
        {
            "entity": group[0],
            "period": group[1],
            "currency": group[2],
            "purpose": group[3],
            "billing_minor": billing.get(group, 0),
            "commands_minor": commands.get(group, 0),
            "commands_debit_minor": debits.get(group, 0),
            "erp_debit_minor": debits.get(group, 0) - missing.get(group, 0),
            "open_difference_minor": missing.get(group, 0),
        }
        for group in sorted({*billing, *commands, *missing})
    ]


def add(sums: dict[Group, int], group: Group, amount: int) -> None:
    """Add to one group."""
    sums[group] = sums.get(group, 0) + amount


def deferred(entries: Sequence[Entry]) -> Rows:
    """The balance of deferred revenue at the end of every month that moves it."""
    moves: dict[tuple[str, str, str], int] = {}
    for entry in entries:
        if any(leg.role == "deferred_revenue" for leg in entry.legs):
            key = (entry.entity, entry.currency, period_of(entry.day))
            moves[key] = moves.get(key, 0) + entry.moved("credit", ["deferred_revenue"])
    rows: Rows = []
    for entity, currency, period in sorted(moves):
        balance = sum(
            amount
            for (other_entity, other_currency, other_period), amount in moves.items()
            if (other_entity, other_currency) == (entity, currency) and other_period <= period
        )
        rows.append(
            {"entity": entity, "period": period, "currency": currency, "balance_minor": balance}
        )
    rows.sort(key=lambda row: (str(row["entity"]), str(row["period"]), str(row["currency"])))
    return rows


def mismatches(manifest: Sequence[Mapping[str, object]]) -> dict[str, list[str]]:
    """The mismatch codes that the injected faults must raise, by idempotency key."""
    keys: dict[str, list[str]] = {code: [] for code in MISMATCHES}
    for fault in manifest:
        key = str(fault["idempotency_key"])
        if fault["kind"] == "reject":
            keys["M02"].append(key)
        elif fault["kind"] == "alter":
            keys["M04"].append(key)
        elif fault["kind"] == "late":
            keys["M01" if fault.get("answered_at_ms") is None else "M11"].append(key)
    return {code: sorted(found) for code, found in keys.items()}


def trial_balance(entries: Sequence[Entry]) -> Rows:
    """Debit and credit by entity and role."""
    sums: dict[tuple[str, str], dict[str, int]] = {}
    for entry in entries:
        for leg in entry.legs:
            row = sums.setdefault((entry.entity, leg.role), {"debit": 0, "credit": 0})
            row[leg.side] += leg.amount
    return [
        {
            "entity": entity,
            "role": role,
            "debit_minor": sums[(entity, role)]["debit"],
            "credit_minor": sums[(entity, role)]["credit"],
        }
        for entity, role in sorted(sums)
    ]
