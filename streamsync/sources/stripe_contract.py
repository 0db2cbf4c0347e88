"""Facts of customers and subscriptions: state that books nothing but that entries depend on.

Problem: a customer or subscription changes many times, and Stripe numbers no versions. How: each
state is a fact of its own, identified by the object and the content of the event that told it, so
that a repeat is the same fact and a change never contradicts an earlier one.
"""

from __future__ import annotations

from collections.abc import Mapping

from streamsync.core.facts import CustomerProfile, Fact, SubscriptionState
from streamsync.sources.refusal import Refusal
from streamsync.sources.stripe_currency import optional_currency
from streamsync.sources.stripe_invoice import country_of
from streamsync.sources.stripe_payload import CustomerObject, SubscriptionObject, read_piece


def read_customer(value: object, created_ms: int, change: str, digest: str) -> Fact:
    """customer.created, updated, deleted; country, currency and tax status only."""
    customer = read_piece(CustomerObject, value)
    currency = optional_currency(customer.currency, "data.object.currency")
    return Fact(
        fact_id=f"customer_changed:{customer.id}:{digest}",
        kind="customer_changed",
        currency=currency,
        occurred_at_ms=created_ms,
        customer=CustomerProfile(
            country=country_of(customer.address),
            currency=currency,
            tax_exempt=customer.tax_exempt,
            deleted=change == "deleted",
        ),
    )


def read_subscription(
    value: object, previous: Mapping[str, object], created_ms: int, change: str, digest: str
) -> Fact:
    """customer.subscription.*: what changed, and status, price, quantity and period after it."""
    subscription = read_piece(SubscriptionObject, value)
    start, end = subscription.current_period_start, subscription.current_period_end
    if start is not None and end is not None and end < start:
        detail = f"data.object.current_period_end: {end}, before its start at {start}"
        raise Refusal("period_end_before_start", detail)
    items = subscription.items.data if subscription.items else []
    first = items[0] if items else None
    priced = (first.price or first.plan) if first else None
    cancel = subscription.cancel_at
    if cancel is None and subscription.cancel_at_period_end:
        cancel = end
    return Fact(
        fact_id=f"subscription_changed:{subscription.id}:{digest}",
        kind="subscription_changed",
        subscription=subscription.id,
        currency=optional_currency(subscription.currency, "data.object.currency"),
        occurred_at_ms=created_ms,
        subscription_state=SubscriptionState(
            status=subscription.status,
            change=_change(change, subscription, previous),
            price=priced.id if priced else None,
            quantity=first.quantity if first else None,
            period_from_ms=None if start is None else start * 1000,
            period_to_ms=None if end is None else end * 1000,
            cancel_at_ms=None if cancel is None else cancel * 1000,
        ),
    )


def _change(change: str, subscription: SubscriptionObject, previous: Mapping[str, object]) -> str:
    """What happened: by the event's type or, where it says only "updated", by what was before."""
    if change != "updated":
        return {"deleted": "cancelled"}.get(change, change)
    if previous.get("cancel_at_period_end") is False and subscription.cancel_at_period_end:
        return "cancel_scheduled"
    if "pause_collection" in previous:
        return "resumed" if previous["pause_collection"] else "paused"
    if "current_period_start" in previous:
        return "renewed"
    if "items" in previous and _same_items(subscription, previous["items"]):
        # In the newer shape the period stands on the items.
        return "renewed"
    return "changed" if previous.keys() & {"items", "plan", "quantity"} else "amended"


def _same_items(subscription: SubscriptionObject, before: object) -> bool:
    """Whether the items sold the same before, in the same quantity."""
    data = before.get("data") if isinstance(before, dict) else None
    now = subscription.items.data if subscription.items else []
    if not isinstance(data, list) or len(data) != len(now):
        return False
    return all(
        isinstance(old, dict)
        and _price_of(old) == (item.price.id if item.price else None)
        and old.get("quantity") == item.quantity
        for old, item in zip(data, now, strict=True)
    )


def _price_of(item: Mapping[str, object]) -> object:
    price = item.get("price")
    return price.get("id") if isinstance(price, dict) else price
