"""The same events in the shape that Stripe's API has from 2025-03-31.basil on.

Problem: both shapes must make the same books. How: the events of a life, which are told in the
earlier shape, are told anew: what basil moved is moved, what it removed is removed, and where it
needs an event more to say the same (which payment paid which invoice) that event is added.
Source: Stripe's changelog of 2025-03-31 (invoice parents, taxes, payments; charges without invoice;
credit notes with several refunds).
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import replace
from typing import Any

from .life import Event

VERSION = "2025-03-31.basil"


def basil(events: Sequence[Event]) -> list[Event]:
    """All events in the later shape, in the order of their times."""
    return [told for event in events for told in _told(event)]


def _told(event: Event) -> Iterator[Event]:
    if "streamsync" in event.body:
        yield event
        return
    body = event.body | {"api_version": VERSION}
    payload = dict(body["data"]["object"])
    kind = str(body["type"])
    if kind.startswith("invoice."):
        body["data"] = {"object": _invoice(payload)}
    elif kind.startswith("credit_note."):
        body["data"] = {"object": _note(payload)}
    elif kind.startswith("charge.") and payload.get("object") == "charge":
        body["data"] = {"object": _charge(payload)}
    yield replace(event, body=body)
    if kind == "charge.succeeded" and payload.get("invoice"):
        yield _payment(event, payload)


def _invoice(old: dict[str, Any]) -> dict[str, Any]:
    gone = ("subscription", "charge", "tax", "paid", "payment_intent", "total_tax_amounts")
    new = {name: value for name, value in old.items() if name not in gone}
    details = {"subscription": old["subscription"], "metadata": {}}
    new["parent"] = {
        "type": "subscription_details",
        "subscription_details": details,
        "quote_details": None,
    }
    new["lines"] = old["lines"] | {"data": [_line(one) for one in old["lines"]["data"]]}
    new["total_taxes"] = [one for line in new["lines"]["data"] for one in line["taxes"]]
    return new


def _line(old: dict[str, Any]) -> dict[str, Any]:
    gone = ("subscription", "price", "proration", "tax_amounts", "tax_rates", "plan")
    new = {name: value for name, value in old.items() if name not in gone}
    new["taxes"] = _taxes(old["tax_amounts"])
    new["parent"] = {
        "type": "subscription_item_details",
        "invoice_item_details": None,
        "subscription_item_details": {
            "subscription": old["subscription"],
            "subscription_item": "si_1",
            "proration": old["proration"],
            "invoice_item": None,
        },
    }
    details = {"price": old["price"]["id"], "product": old["price"]["product"]}
    new["pricing"] = {"type": "price_details", "price_details": details}
    return new


def _taxes(old: Sequence[dict[str, Any]]) -> list[dict[str, Any]]:
    return [
        {
            "amount": one["amount"],
            "tax_behavior": "inclusive" if one["inclusive"] else "exclusive",
            "tax_rate_details": {"tax_rate": one["tax_rate"]},
            "taxability_reason": "standard_rated",
            "taxable_amount": None,
            "type": "tax_rate_details",
        }
        for one in old
    ]


def _note(old: dict[str, Any]) -> dict[str, Any]:
    gone = ("refund", "tax_amounts")
    new = {name: value for name, value in old.items() if name not in gone}
    refund = old["refund"]
    refunds = [{"amount_refunded": old["total"], "refund": refund}] if refund else []
    return new | {"refunds": refunds, "total_taxes": _taxes(old["tax_amounts"])}


def _charge(old: dict[str, Any]) -> dict[str, Any]:
    new = {name: value for name, value in old.items() if name != "invoice"}
    # Only what an invoice asked for has a payment intent here: a direct charge has none.
    return new | {"payment_intent": f"pi_{old['id']}" if old["invoice"] else None}


def _payment(event: Event, charge: dict[str, Any]) -> Event:
    """Which payment paid the invoice: basil's charges don't say."""
    payment = {
        "id": f"inpay_{charge['id']}",
        "object": "invoice_payment",
        "invoice": charge["invoice"],
        "amount_paid": charge["amount"],
        "amount_requested": charge["amount"],
        "currency": charge["currency"],
        "created": event.at,
        "is_default": True,
        "payment": {"type": "payment_intent", "payment_intent": f"pi_{charge['id']}"},
        "status": "paid",
        "status_transitions": {"paid_at": event.at, "canceled_at": None},
    }
    body = event.body | {
        "id": f"{event.body['id']}p",
        "api_version": VERSION,
        "type": "invoice_payment.paid",
        "data": {"object": payment},
    }
    return Event(event.at, body, f"{payment['id']} {charge['amount']} of {charge['invoice']}")
