"""read_event is total: any bytes, and any damage to a good payload, give exactly one event."""

from __future__ import annotations

import copy
import json
from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st

from streamsync.core.facts import BillingEvent
from tests import stripe_payloads as p

_NOTE_LINE = p.line(-500, id="il_3", tax_amounts=[p.tax(-50)])
GOOD = [
    p.event("invoice.finalized", p.invoice(p.line(), _NOTE_LINE, total=2550)),
    p.event("invoice.paid", p.invoice()),
    p.event("invoice.payment_failed", p.invoice()),
    p.event("invoice.voided", p.invoice()),
    p.event("charge.refunded", p.charge(p.refund("re_2", 5, 9), p.refund("re_1", 5, 8))),
    p.event("credit_note.created", p.credit_note()),
    p.event(
        "customer.updated", {"id": "cus_1", "object": "customer", "address": {"country": "US"}}
    ),
    p.event(
        "customer.subscription.updated",
        {"id": "sub_1", "customer": "cus_1", "status": "active", "items": {"data": []}},
    ),
    p.event("charge.dispute.created", {"id": "dp_1", "charge": "ch_1"}),
]
OUTCOMES = {"facts", "no_entry", "ignored", "unknown", "waiting", "rejected"}

scalars = st.one_of(
    st.none(),
    st.booleans(),
    st.integers(-(10**25), 10**25),
    st.floats(),
    st.text(max_size=20),
    st.sampled_from(["", "usd", "|", "/", "%", "\x00", "9" * 400, -1, 0, 2**63, 10**15, 1e300]),
)
values = st.recursive(
    scalars,
    lambda inner: (
        st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=8), inner, max_size=3)
    ),
    max_leaves=6,
)


def paths(value: Any, here: tuple[Any, ...] = ()) -> list[tuple[Any, ...]]:
    found = [here] if here else []
    items: Any = ()
    if isinstance(value, dict):
        items = value.items()
    elif isinstance(value, list):
        items = enumerate(value)
    for key, child in items:
        found += paths(child, (*here, key))
    return found


def check(event: BillingEvent) -> None:
    assert isinstance(event, BillingEvent)
    assert event.outcome in OUTCOMES
    assert (event.reason is None) == (event.outcome == "facts")
    assert bool(event.facts) <= (event.outcome in ("facts", "no_entry"))
    assert event.account.startswith("acme/stripe/") and "|" not in event.account
    repr(event).encode()  # everything in it can be stored as UTF-8
    for fact in event.facts:
        if fact.invoice:
            assert fact.invoice.total_minor >= 0 and fact.invoice.tax_minor >= 0
            signed = 0
            for line in fact.invoice.lines:
                assert line.amount_minor >= 0
                gross = line.amount_minor + sum(tax.amount_minor for tax in line.taxes)
                signed += -gross if line.direction == "credit" else gross
            assert abs(signed) == fact.invoice.total_minor
        if fact.credit_note:
            assert (
                fact.credit_note.net_minor + fact.credit_note.tax_minor
                == fact.credit_note.total_minor
            )


@settings(max_examples=1500, deadline=None)
@given(st.data())
def test_any_damage_to_a_good_payload_gives_exactly_one_event(data: st.DataObject) -> None:
    payload = copy.deepcopy(data.draw(st.sampled_from(GOOD)))
    for _ in range(data.draw(st.integers(1, 3))):
        *parents, last = data.draw(st.sampled_from(paths(payload)))
        target: Any = payload
        try:
            for step in parents:
                target = target[step]
            if data.draw(st.booleans()):
                target[last] = data.draw(values)
            elif isinstance(target, dict):
                target.pop(last, None)
            else:
                target.insert(0, target[last])
        except (KeyError, IndexError, TypeError):
            continue
        if not paths(payload):
            break
    check(p.read(payload))


@settings(max_examples=500, deadline=None)
@given(st.binary(max_size=200))
def test_any_bytes_give_exactly_one_event(body: bytes) -> None:
    check(p.read_bytes(body))


@settings(max_examples=500, deadline=None)
@given(st.sampled_from(GOOD), st.data())
def test_any_cut_or_flipped_byte_gives_exactly_one_event(
    payload: dict[str, Any], data: st.DataObject
) -> None:
    body = bytearray(json.dumps(payload).encode())
    at = data.draw(st.integers(0, len(body) - 1))
    if data.draw(st.booleans()):
        body[at] = data.draw(st.integers(0, 255))
    else:
        del body[at:]
    check(p.read_bytes(bytes(body)))


@settings(max_examples=300, deadline=None)
@given(st.sampled_from(GOOD), st.integers(0, 2**31), st.text(max_size=10))
def test_facts_do_not_depend_on_the_event_that_told_them(
    payload: dict[str, Any], created: int, event_id: str
) -> None:
    if payload["type"].startswith("customer.") or payload["type"] == "invoice.payment_failed":
        return  # states, dated and identified by their event
    if payload["type"] == "invoice.voided":
        return  # this one has no time of its own in the sample and falls back to the event's
    other = payload | {"created": created, "id": event_id or "evt_2", "livemode": True}
    assert p.read(payload).facts == p.read(other).facts
