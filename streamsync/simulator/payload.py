"""Stripe objects as webhooks carry them, in the shape of API version 2020-08-27.

Problem: the reader of webhooks must be tried on what a billing system sends, also on the parts it
must not keep (names, e-mails). How: plain dictionaries with the documented fields; all sums are
made here from the lines, in integers.
"""

from __future__ import annotations

from typing import Any

from streamsync.simulator.catalogue import GERMANY, JAPAN, KUWAIT, Plan
from streamsync.simulator.scenario import Cast

API_VERSION = "2020-08-27"
Object = dict[str, Any]
_STREETS = {
    JAPAN: ("1-2-3 Chiyoda", "Tokyo", "100-0001"),
    GERMANY: ("Hauptstrasse 1", "Berlin", "10115"),
    KUWAIT: ("Block 1, Street 2", "Kuwait City", "13001"),
}


def address(country: str) -> Object:
    """A billing address; books read only its country."""
    line1, city, code = _STREETS.get(country, ("500 Main Street", "Albany", "12207"))
    return {"line1": line1, "city": city, "postal_code": code, "country": country}


def customer(member: Cast, created: int) -> Object:
    """A customer."""
    return {
        "id": member.customer,
        "object": "customer",
        "address": address(member.country),
        "balance": 0,
        "created": created,
        "currency": member.plan.currency,
        "delinquent": False,
        "email": f"billing{member.index}@example.com",
        "livemode": False,
        "metadata": {},
        "name": f"Customer {member.index}",
        "tax_exempt": "none",
    }


def price(plan: Plan) -> Object:
    """A price of the catalogue."""
    return {
        "id": plan.price,
        "object": "price",
        "active": True,
        "currency": plan.currency,
        "product": plan.product,
        "recurring": {"interval": "year" if plan.annual else "month", "interval_count": 1},
        "type": "recurring",
        "unit_amount": plan.amount,
        "unit_amount_decimal": str(plan.amount),
    }


def subscription(member: Cast, plan: Plan, status: str, period: tuple[int, int]) -> Object:
    """A subscription with one item."""
    name = f"sub_{member.customer[4:]}"
    return {
        "id": name,
        "object": "subscription",
        "collection_method": "send_invoice" if member.on_terms else "charge_automatically",
        "created": period[0],
        "current_period_start": period[0],
        "current_period_end": period[1],
        "customer": member.customer,
        "items": {
            "object": "list",
            "data": [{"id": f"si_{name}", "price": price(plan), "quantity": 1}],
            "has_more": False,
            "total_count": 1,
        },
        "livemode": False,
        "metadata": {},
        "status": status,
    }


def line(
    member: Cast, identity: str, plan: Plan, amount: int, *, period: tuple[int, int], text: str
) -> Object:
    """An invoice line with the member's discount and tax."""
    discount = 0 if amount < 0 else amount * member.discount_percent // 100
    tax = member.tax
    taxes = (
        []
        if tax is None
        else [
            {
                "amount": tax.of(amount - discount),
                "inclusive": tax.inclusive,
                "tax_rate": tax.rate,
            }
        ]
    )
    rates = (
        []
        if tax is None
        else [
            {
                "id": tax.rate,
                "object": "tax_rate",
                "inclusive": tax.inclusive,
                "jurisdiction": tax.jurisdiction,
                # The API sends a JSON number here; nothing is computed from it.
                "percentage": tax.milli_percent / 1000,
            }
        ]
    )
    return {
        "id": identity,
        "object": "line_item",
        "amount": amount,
        "currency": member.plan.currency,
        "description": text,
        "discount_amounts": [{"amount": discount, "discount": "di_welcome"}] if discount else [],
        "period": {"start": period[0], "end": period[1]},
        "price": price(plan),
        "proration": False,
        "quantity": 1,
        "subscription": None,
        "tax_amounts": taxes,
        "tax_rates": rates,
        "type": "subscription",
    }


def _added_tax(item: Object) -> int:
    return sum(tax["amount"] for tax in item["tax_amounts"] if not tax["inclusive"])


def gross(item: Object) -> int:
    """What a line adds to the total."""
    discounts: int = sum(part["amount"] for part in item["discount_amounts"])
    amount: int = item["amount"]
    return amount - discounts + _added_tax(item)


def invoice(member: Cast, identity: str, lines: list[Object], at: int, balance: int) -> Object:
    """An invoice as it is finalised, with the customer's balance (negative: credit) applied."""
    total = sum(gross(item) for item in lines)
    taxes = [tax["amount"] for item in lines for tax in item["tax_amounts"]]
    used = min(total, max(0, -balance)) if total > 0 else 0
    return {
        "id": identity,
        "object": "invoice",
        "amount_due": max(0, total) - used,
        "amount_paid": 0,
        "amount_remaining": max(0, total) - used,
        "attempt_count": 0,
        "attempted": False,
        "charge": None,
        "collection_method": "send_invoice" if member.on_terms else "charge_automatically",
        "created": at,
        "currency": member.plan.currency,
        "customer": member.customer,
        "customer_address": address(member.country),
        "customer_email": f"billing{member.index}@example.com",
        "customer_name": f"Customer {member.index}",
        "customer_tax_exempt": "none",
        "ending_balance": balance + (total if total < 0 else used),
        "lines": {"object": "list", "data": lines, "has_more": False, "total_count": len(lines)},
        "livemode": False,
        "metadata": {},
        "number": f"{member.index:05d}-{identity[-4:]}",
        "paid": False,
        "paid_out_of_band": False,
        "post_payment_credit_notes_amount": 0,
        "pre_payment_credit_notes_amount": 0,
        "starting_balance": balance,
        "status": "open",
        "status_transitions": {
            "finalized_at": at,
            "marked_uncollectible_at": None,
            "paid_at": None,
            "voided_at": None,
        },
        "subscription": lines[0]["subscription"],
        "subtotal": sum(item["amount"] for item in lines),
        "tax": sum(taxes) if taxes else None,
        "total": total,
    }


def changed(document: Object, at: int, transition: str, **fields: Any) -> Object:
    """The invoice later: with new fields and the time of the transition."""
    times = document["status_transitions"] | {transition: at}
    return document | fields | {"status_transitions": times}


def charge(document: Object, refunds: list[Object], at: int) -> Object:
    """The charge that paid an invoice, with its refunds, newest first."""
    return {
        "id": document["charge"],
        "object": "charge",
        "amount": document["amount_paid"],
        "amount_refunded": sum(refund["amount"] for refund in refunds),
        "billing_details": {"address": document["customer_address"], "name": "Card Holder"},
        "captured": True,
        "created": at,
        "currency": document["currency"],
        "customer": document["customer"],
        "invoice": document["id"],
        "livemode": False,
        "paid": True,
        "refunded": False,
        "refunds": {
            "object": "list",
            "data": list(reversed(refunds)),
            "has_more": False,
            "total_count": len(refunds),
        },
        "status": "succeeded",
    }


def refund(document: Object, identity: str, amount: int, at: int) -> Object:
    """A refund of the charge that paid an invoice."""
    return {
        "id": identity,
        "object": "refund",
        "amount": amount,
        "charge": document["charge"],
        "created": at,
        "currency": document["currency"],
        "status": "succeeded",
    }


def credit_note(document: Object, identity: str, share: tuple[int, int], at: int) -> Object:
    """A note over a share (numerator, denominator) of the first line of an invoice."""
    item = document["lines"]["data"][0]
    numerator, denominator = share
    amount = item["amount"] * numerator // denominator
    taxes = [
        {**tax, "amount": tax["amount"] * numerator // denominator} for tax in item["tax_amounts"]
    ]
    note_line = {
        "id": f"cnli_{identity}",
        "object": "credit_note_line_item",
        "amount": amount,
        "discount_amount": 0,
        "discount_amounts": [],
        "invoice_line_item": item["id"],
        "quantity": 1,
        "tax_amounts": taxes,
        "type": "invoice_line_item",
    }
    total = amount + sum(tax["amount"] for tax in taxes)
    return {
        "id": identity,
        "object": "credit_note",
        "amount": total,
        "created": at,
        "currency": document["currency"],
        "customer": document["customer"],
        "customer_balance_transaction": None,
        "discount_amounts": [],
        "invoice": document["id"],
        "lines": {"object": "list", "data": [note_line], "has_more": False, "total_count": 1},
        "livemode": False,
        "out_of_band_amount": None,
        "refund": None,
        "status": "issued",
        "subtotal": amount,
        "tax_amounts": taxes,
        "total": total,
        "type": "pre_payment",
    }
