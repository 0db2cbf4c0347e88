"""The tax of an invoice is put right: a canonical event, beside what the billing system tells.

Problem: later notes, refunds and voids must give back the tax that is right, whoever bears the
difference. How: an invoice of taxed charge lines gets a little more or less of its tax.
"""

from __future__ import annotations

from datetime import UTC, datetime
from typing import TYPE_CHECKING

from .life import Event
from .meter import moment
from .processor import Move

if TYPE_CHECKING:
    from .bill import Bill
    from .biller import Biller

AMOUNTS = (25, -1, 1, -40)
SETTLEMENTS = ("receivable", "company", "customer_balance")


def moves(biller: Biller) -> list[Move]:
    """Whether there is an invoice whose tax may be put right."""
    return [adjust] if taxed(biller) else []


def taxed(biller: Biller) -> list[Bill]:
    """Invoices of taxed charge lines that were not voided or given up."""
    return [
        bill
        for bill in biller.bills
        if bill.state in ("open", "paid") and sum(bill.taxes) > 0 and min(bill.nets) >= 0
    ]


def adjust(biller: Biller) -> None:
    """A little more or less tax on one of them."""
    bill, amount = biller.pick(taxed(biller)), biller.pick(AMOUNTS)
    settlement = biller.pick(SETTLEMENTS)
    document = bill.payload["id"]
    body = {
        "streamsync": "1",
        "id": f"tax_{biller.name()}",
        "kind": "tax_adjusted",
        "source": "stripe",
        "account": biller.customer,
        "document": document,
        "currency": biller.market.currency.upper(),
        "occurred_at": moment(datetime.fromtimestamp(biller.clock, UTC)),
        "tax_adjustment": {
            "direction": "charge" if amount > 0 else "credit",
            "settlement": settlement,
            "taxes": [{"tax_code": "txr_1", "amount_minor": abs(amount)}],
        },
    }
    biller.events.append(Event(biller.clock, body, f"tax of {document} {amount:+}, {settlement}"))
