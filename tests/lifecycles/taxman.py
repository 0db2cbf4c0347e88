"""The tax of an invoice is put right: a canonical event, beside what the billing system tells.

Problem: later notes, refunds and voids must give back the tax that is right, whoever bears the
difference. How: an invoice of taxed charge lines gets a little more or less of its tax.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from .own import tell
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
    told = {
        "direction": "charge" if amount > 0 else "credit",
        "settlement": settlement,
        "taxes": [{"tax_code": "txr_1", "amount_minor": abs(amount)}],
    }
    text = f"tax of {document} {amount:+}, {settlement}"
    tell(biller, "tax", "tax_adjusted", document, {"tax_adjustment": told}, text)
