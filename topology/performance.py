"""Tell contracts what invoices billed of them, within their account.

Problem: an invoice bills what a contract or usage document earns, the two arrive in any order, and
either may change later. How: an invoice leaves one row per contract that its lines name, with the
absolute amounts by fact; a row that changes has its contract booked again. A fact that takes its
amount back stays with 0, so that what it had posted can be traced and undone.
"""

from __future__ import annotations

from collections.abc import Sequence

from msgspec.structs import replace

from streamsync.core.facts import Fact
from streamsync.core.position import Billed
from topology.rows import BILL, FACT, BillRow, DocumentRow, FactRow, row_key
from topology.turn import Turn

_KINDS = ("contract", "usage")


def bills_of(
    turn: Turn, account: str, document: str, row: DocumentRow
) -> list[tuple[FactRow, Billed]]:
    """What the invoices of the account billed of a contract or usage document, with their facts."""
    if row.kind not in _KINDS:
        return []
    found = []
    for _, told in turn.shard.scan(BILL, row_key(account, document, "")):
        for bill in told.bills:
            fact = turn.shard.get(FACT, row_key(account, bill.document, bill.fact_id))
            if fact is not None:
                found.append((fact, bill))
    return found


def tell_contracts(
    turn: Turn, account: str, document: str, facts: Sequence[Fact], billed: Sequence[Billed]
) -> list[str]:
    """Leave what a document bills; answers the contracts that must be booked again."""
    named = {
        line.contract: None
        for fact in facts
        if fact.kind == "invoice_issued" and fact.invoice is not None
        for line in fact.invoice.lines
        if line.contract is not None
    }
    changed = []
    for contract in named:
        key = row_key(account, contract, document)
        before = turn.shard.get(BILL, key) or BillRow(())
        now = tuple(bill for bill in billed if bill.contract == contract)
        places = {(bill.fact_id, bill.segment) for bill in now}
        gone = (bill for bill in before.bills if (bill.fact_id, bill.segment) not in places)
        after = BillRow((*now, *(replace(bill, amount_minor=0) for bill in gone)))
        if after != before:
            turn.shard.put(BILL, key, after)
            changed.append(contract)
    return changed
