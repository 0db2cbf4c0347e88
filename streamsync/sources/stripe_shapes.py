"""Stripe's two API shapes: the one of 2025-03-31 and later is brought back to the older one.

Problem: from `2025-03-31.basil` on an invoice names its subscription under `parent`, a line its
price under `pricing` and its taxes under `taxes`, a credit note its refunds in a list, a
subscription its period on its items. How: one function per object writes the same content in the
older shape; readers know only that one, so both shapes make identical facts.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

NEW_SHAPE_FROM = "2025-03-31"


def is_new_shape(api_version: str | None) -> bool:
    """Whether a version has the newer shape; versions begin with their date."""
    return api_version is not None and api_version[:10] >= NEW_SHAPE_FROM


def older(body: Mapping[str, object]) -> dict[str, object]:
    """The object in the older shape; objects that did not change stay as they are."""
    change = _CHANGED.get(str(body.get("object")))
    return change(dict(body)) if change is not None else dict(body)


def _part(value: object, *path: str) -> Any:
    """What stands under a path, None where anything on it is missing or no object."""
    for name in path:
        value = value.get(name) if isinstance(value, dict) else None
    return value


def _taxes(taxes: object) -> object:
    if not isinstance(taxes, list):
        return taxes
    return [_tax(tax) if isinstance(tax, dict) else tax for tax in taxes]


def _tax(tax: dict[str, object]) -> dict[str, object]:
    rate = _part(tax, "tax_rate_details", "tax_rate")
    return {
        "amount": tax.get("amount"),
        "inclusive": tax.get("tax_behavior") == "inclusive",
        "tax_rate": rate or tax.get("type") or "unnamed",
        "taxable_amount": tax.get("taxable_amount"),
    }


def _each(listed: object, change: Any) -> object:
    data = _part(listed, "data")
    if not isinstance(listed, dict) or not isinstance(data, list):
        return listed
    return {**listed, "data": [change(one) if isinstance(one, dict) else one for one in data]}


def _line(line: dict[str, object]) -> dict[str, object]:
    parent = _part(line, "parent")
    details = _part(parent, "subscription_item_details") or _part(parent, "invoice_item_details")
    price = _part(line, "pricing", "price_details")
    changed = dict(line)
    if "taxes" in line:
        changed["tax_amounts"] = _taxes(line["taxes"])
    if isinstance(details, dict):
        changed["subscription"] = details.get("subscription")
        changed["proration"] = details.get("proration")
    if isinstance(price, dict):
        named = price.get("price")
        name = named.get("id") if isinstance(named, dict) else named
        changed["price"] = {"id": name, "product": price.get("product")} if name else None
    return changed


def _invoice(invoice: dict[str, object]) -> dict[str, object]:
    invoice["subscription"] = _part(invoice, "parent", "subscription_details", "subscription")
    invoice["lines"] = _each(invoice.get("lines"), _line)
    if "total_taxes" in invoice and "tax" not in invoice:
        taxes = invoice["total_taxes"]
        amounts = [_part(tax, "amount") for tax in taxes] if isinstance(taxes, list) else []
        invoice["tax"] = sum(one for one in amounts if type(one) is int) if amounts else None
    payment = next(iter(_part(invoice, "payments", "data") or ()), None)
    for name in ("charge", "payment_intent"):
        invoice.setdefault(name, _part(payment, "payment", name))
    if invoice.get("status") == "paid" and "paid_out_of_band" not in invoice:
        # Nothing was charged for what was due: it was received past the processor.
        due = invoice.get("amount_due")
        charged = invoice.get("amount_paid") or invoice.get("charge")
        invoice["paid_out_of_band"] = type(due) is int and due > 0 and not charged
    return invoice


def _credit_note(note: dict[str, object]) -> dict[str, object]:
    if "total_taxes" in note:
        note["tax_amounts"] = _taxes(note["total_taxes"])
    note["lines"] = _each(note.get("lines"), _line)
    return note


def _subscription(subscription: dict[str, object]) -> dict[str, object]:
    first = next(iter(_part(subscription, "items", "data") or ()), None)
    for name in ("current_period_start", "current_period_end"):
        subscription.setdefault(name, _part(first, name))
    return subscription


_CHANGED = {"invoice": _invoice, "credit_note": _credit_note, "subscription": _subscription}
