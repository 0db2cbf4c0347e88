"""Small Stripe-shaped payloads for tests, written from the API's documented fields."""

from __future__ import annotations

import json
from typing import Any

from streamsync.core.facts import BillingEvent
from streamsync.core.records import RawWebhook, SourcePosition
from streamsync.sources import SOURCES

POSITION = SourcePosition(topic="billing-webhooks", partition=3, offset=7)
JAN_15 = 1768435200  # 2026-01-15T00:00:00Z
FEB_15 = 1771113600  # 2026-02-15T00:00:00Z


def event(kind: str, body: dict[str, Any], **changes: Any) -> dict[str, Any]:
    return {
        "id": "evt_1",
        "object": "event",
        "api_version": "2020-08-27",
        "created": JAN_15 + 9,
        "type": kind,
        "livemode": False,
        "pending_webhooks": 1,
        "request": {"id": "req_1", "idempotency_key": None},
        "data": {"object": body},
    } | changes


def line(amount: int = 3100, **changes: Any) -> dict[str, Any]:
    return {
        "id": "il_1",
        "object": "line_item",
        "amount": amount,
        "currency": "usd",
        "discount_amounts": [],
        "period": {"start": JAN_15, "end": FEB_15},
        "price": {"id": "price_m", "object": "price", "product": "prod_a"},
        "proration": False,
        "subscription": "sub_1",
        "tax_amounts": [],
        "tax_rates": [],
    } | changes


def tax(amount: int, inclusive: bool = False, rate: str = "txr_1") -> dict[str, Any]:
    return {"amount": amount, "inclusive": inclusive, "tax_rate": rate}


def invoice(*lines: dict[str, Any], **changes: Any) -> dict[str, Any]:
    """An invoice whose totals fit one plain line of 31.00 unless changed."""
    return {
        "id": "in_1",
        "object": "invoice",
        "customer": "cus_1",
        "customer_address": {"country": "US", "line1": "1 Main St"},
        "customer_tax_exempt": "none",
        "currency": "usd",
        "number": "A-1",
        "subscription": "sub_1",
        "collection_method": "charge_automatically",
        "total": 3100,
        "tax": None,
        "amount_due": 3100,
        "amount_paid": 3100,
        "starting_balance": 0,
        "ending_balance": 0,
        "paid_out_of_band": False,
        "charge": "ch_1",
        "attempt_count": 1,
        "status_transitions": {"finalized_at": JAN_15 + 1, "paid_at": JAN_15 + 2},
        "lines": {"object": "list", "data": list(lines or (line(),)), "has_more": False},
    } | changes


def charge(*refunds: dict[str, Any], **changes: Any) -> dict[str, Any]:
    return {
        "id": "ch_1",
        "object": "charge",
        "customer": "cus_1",
        "invoice": "in_1",
        "currency": "usd",
        "amount": 3100,
        "amount_refunded": sum(item["amount"] for item in refunds),
        "refunds": {"object": "list", "data": list(refunds), "has_more": False},
    } | changes


def refund(refund_id: str, amount: int, created: int, status: str = "succeeded") -> dict[str, Any]:
    return {
        "id": refund_id,
        "object": "refund",
        "amount": amount,
        "created": created,
        "status": status,
    }


def credit_note(**changes: Any) -> dict[str, Any]:
    return {
        "id": "cn_1",
        "object": "credit_note",
        "customer": "cus_1",
        "invoice": "in_1",
        "currency": "usd",
        "created": JAN_15 + 100,
        "type": "pre_payment",
        "total": 1100,
        "refund": None,
        "customer_balance_transaction": None,
        "out_of_band_amount": None,
        "tax_amounts": [{"amount": 100, "inclusive": False, "tax_rate": "txr_1"}],
        "lines": {
            "object": "list",
            "has_more": False,
            "data": [
                {
                    "id": "cnli_1",
                    "amount": 1000,
                    "discount_amount": 0,
                    "discount_amounts": [],
                    "invoice_line_item": "il_1",
                    "tax_amounts": [{"amount": 100, "inclusive": False, "tax_rate": "txr_1"}],
                }
            ],
        },
    } | changes


def raw(body: bytes) -> RawWebhook:
    return RawWebhook(
        tenant="acme",
        source="stripe",
        source_kind="stripe",
        body=body,
        content_type="application/json",
        content_hash="",
        received_at_ms=1,
    )


def read_bytes(body: bytes) -> BillingEvent:
    return SOURCES["stripe"].read_event(raw(body), POSITION)


def read(payload: object) -> BillingEvent:
    return read_bytes(json.dumps(payload).encode())
