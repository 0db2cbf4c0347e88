"""The same events in the shape of API version 2025-03-31 and later.

Problem: a company moves its API version one day, and its books must not notice. How: each object
is written anew with its fields where the newer shape has them; a charge then names no invoice, and
`invoice_payment.paid` tells what paid it.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from streamsync.simulator.life import Told

API_VERSION = "2025-08-27.basil"
Object = dict[str, Any]


def newer(event: Told) -> Iterator[Told]:
    """One event, and the payment beside a paid invoice."""
    change = _CHANGES.get(str(event.body.get("object")))
    if change is None:
        yield event
        return
    yield Told(event.at, event.kind, change(event.body), API_VERSION)
    if event.kind == "invoice.paid" and event.body.get("charge"):
        yield Told(event.at, "invoice_payment.paid", _payment(event.body), API_VERSION)


def _intent(charge: str) -> str:
    return f"pi_{charge.removeprefix('ch_')}"


def _payment(invoice: Object) -> Object:
    return {
        "id": f"inpay_{invoice['id'][3:]}",
        "object": "invoice_payment",
        "amount_paid": invoice["amount_paid"],
        "amount_requested": invoice["amount_paid"],
        "currency": invoice["currency"],
        "invoice": invoice["id"],
        "payment": {"payment_intent": _intent(invoice["charge"]), "type": "payment_intent"},
        "status": "paid",
        "status_transitions": {"paid_at": invoice["status_transitions"]["paid_at"]},
    }


def _taxes(taxes: list[Object]) -> list[Object]:
    return [
        {
            "amount": tax["amount"],
            "tax_behavior": "inclusive" if tax["inclusive"] else "exclusive",
            "tax_rate_details": {"tax_rate": tax["tax_rate"]},
            "taxable_amount": tax.get("taxable_amount"),
            "type": "tax_rate_details",
        }
        for tax in taxes
    ]


def _without(item: Object, *names: str) -> Object:
    return {name: value for name, value in item.items() if name not in names}


def _line(line: Object) -> Object:
    gone = ("tax_amounts", "tax_rates", "price", "proration", "subscription", "type")
    details = {"proration": line["proration"], "subscription": line["subscription"]}
    kind = "subscription_item_details" if line["subscription"] else "invoice_item_details"
    price = {"price": line["price"]["id"], "product": line["price"]["product"]}
    return _without(line, *gone) | {
        "parent": {"type": kind, kind: details},
        "pricing": {"type": "price_details", "price_details": price},
        "taxes": _taxes(line["tax_amounts"]),
    }


def _invoice(invoice: Object) -> Object:
    gone = ("charge", "paid", "subscription", "tax")
    lines = invoice["lines"]
    parent = {"subscription_details": {"subscription": invoice["subscription"]}}
    taxes = [tax for line in lines["data"] for tax in line["tax_amounts"]]
    return _without(invoice, *gone) | {
        "lines": lines | {"data": [_line(line) for line in lines["data"]]},
        "parent": parent if invoice["subscription"] else None,
        "total_taxes": _taxes(taxes),
    }


def _charge(charge: Object) -> Object:
    moved = {"payment_intent": _intent(charge["id"])}
    return _without(charge, "invoice", "refunds") | moved


def _credit_note(note: Object) -> Object:
    refund = note["refund"]
    lines = [
        _without(line, "tax_amounts") | {"taxes": _taxes(line["tax_amounts"])}
        for line in note["lines"]["data"]
    ]
    return _without(note, "refund", "tax_amounts") | {
        "lines": note["lines"] | {"data": lines},
        "refunds": [{"refund": refund, "amount_refunded": note["total"]}] if refund else [],
        "total_taxes": _taxes(note["tax_amounts"]),
    }


def _subscription(subscription: Object) -> Object:
    period = {name: subscription[name] for name in ("current_period_start", "current_period_end")}
    items = subscription["items"]
    data = [item | period for item in items["data"]]
    return _without(subscription, *period) | {"items": items | {"data": data}}


_CHANGES = {
    "charge": _charge,
    "credit_note": _credit_note,
    "invoice": _invoice,
    "subscription": _subscription,
}
