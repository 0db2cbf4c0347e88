"""Stripe payloads that carry a marker wherever the API documents something personal."""

from __future__ import annotations

from typing import Any

from tests import stripe_payloads as p

MARK = "Xq7Personal"
_ADDRESS = {
    "line1": f"{MARK} Street 1", "line2": MARK, "city": MARK, "postal_code": MARK, "state": MARK,
    "country": "US",
}  # fmt: skip
_SHIPPING = {"address": _ADDRESS, "name": MARK, "phone": MARK, "carrier": MARK}
_BILLING = {"address": _ADDRESS, "email": f"{MARK}@example.com", "name": MARK, "phone": MARK}
_FREE = {"description": MARK, "metadata": {MARK: MARK, "name": MARK}}
_INVOICE = _FREE | {
    "account_name": MARK, "customer_name": MARK, "customer_email": f"{MARK}@example.com",
    "customer_phone": MARK, "customer_address": _ADDRESS, "customer_shipping": _SHIPPING,
    "customer_tax_ids": [{"type": "eu_vat", "value": MARK}], "footer": MARK,
    "custom_fields": [{"name": MARK, "value": MARK}], "statement_descriptor": MARK,
    "hosted_invoice_url": f"https://example.com/{MARK}", "receipt_number": MARK,
}  # fmt: skip
_CHARGE = _FREE | {
    "billing_details": _BILLING, "receipt_email": f"{MARK}@example.com", "shipping": _SHIPPING,
    "payment_method_details": {"card": {"name": MARK, "last4": "4242"}},
    "receipt_url": f"https://example.com/{MARK}", "fraud_details": {"user_report": MARK},
}  # fmt: skip
_CUSTOMER = _FREE | {
    "object": "customer", "address": _ADDRESS, "email": f"{MARK}@example.com", "name": MARK,
    "phone": MARK, "shipping": _SHIPPING, "preferred_locales": [MARK],
}  # fmt: skip


def payloads() -> list[dict[str, Any]]:
    """Every kind of event that has a reader, then one of each class that has none."""
    item = p.line() | _FREE
    bill = p.invoice(item, **_INVOICE)
    note = p.credit_note(memo=MARK, pdf=f"https://example.com/{MARK}", **_FREE)
    note["lines"]["data"][0]["description"] = MARK
    given = p.refund("re_1", 500, p.FEB_15) | _FREE | {"receipt_number": MARK}
    subscription = {
        "id": "sub_1", "object": "subscription", "customer": "cus_1", "status": "active",
        "currency": "usd", "items": {"data": [{"price": {"id": "price_m", "nickname": MARK}}]},
    } | _FREE  # fmt: skip
    expanded = p.invoice(item, **_INVOICE) | {"id": "in_2", "customer": {"id": "cus_1"} | _CUSTOMER}
    dispute = {
        "id": "dp_1", "object": "dispute", "charge": "ch_nobody_told", "amount": 500,
        "currency": "usd", "status": "needs_response", "created": p.FEB_15,
        "evidence": {"customer_name": MARK, "customer_email_address": f"{MARK}@example.com"},
    }  # fmt: skip
    bodies: list[tuple[str, dict[str, Any]]] = [
        ("customer.created", {"id": "cus_1"} | _CUSTOMER),
        ("customer.updated", {"id": "cus_1", "currency": MARK} | _CUSTOMER),
        ("customer.subscription.created", subscription),
        ("invoice.finalized", bill),
        ("invoice.finalized", expanded),
        ("invoice.paid", bill),
        ("invoice.payment_failed", bill),
        ("credit_note.created", note),
        ("charge.refunded", p.charge(given, **_CHARGE)),
        ("charge.succeeded", p.charge(**_CHARGE)),
        ("charge.dispute.created", dispute),
        ("payment_method.attached", {"id": "pm_1", "billing_details": _BILLING}),
        (f"{MARK}, a type", {"id": "x_1"} | _CUSTOMER),
        # Refused, each at another place, with something personal where a figure should be.
        ("invoice.finalized", bill | {"id": "in_3", "total": MARK}),
        ("invoice.finalized", bill | {"id": "in_4", "total": 1}),
        ("invoice.finalized", bill | {"id": "in_5", "currency": MARK}),
        ("invoice.voided", bill | {"id": {"name": MARK}}),
        ("charge.refunded", p.charge(given | {"created": MARK}, **_CHARGE)),
        # The same fact with other figures: both sides are quoted.
        ("invoice.finalized", p.invoice(item | {"amount": 900}, **_INVOICE | {"total": 900})),
    ]
    return [p.event(kind, body, id=f"evt_{number}") for number, (kind, body) in enumerate(bodies)]
