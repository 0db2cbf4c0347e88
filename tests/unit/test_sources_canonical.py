"""Canonical events: read strictly, signed like every webhook; every booked kind has a way in."""

from __future__ import annotations

import copy
import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from streamsync.core.facts import BillingEvent, Contract, Usage, WalletMovement
from streamsync.core.journal import BOOKING
from streamsync.core.reasons import REASONS
from streamsync.core.records import RawWebhook, SourcePosition
from streamsync.sources import SOURCES, kind_of
from streamsync.sources.canonical import KINDS
from streamsync.sources.signature import SignatureRefused, SigningSecret

CANONICAL = SOURCES["canonical"]
USAGE: dict[str, Any] = {
    "streamsync": "1",
    "id": "evt_1",
    "kind": "usage_recorded",
    "source": "stripe",
    "account": "cus_1",
    "document": "usage/api",
    "currency": "USD",
    "occurred_at": "2026-01-03T12:00:00+01:00",
    "usage": {
        "meter": "api",
        "quantity": "200.5",
        "price": "api-calls",
        "period_from": "2026-01-01T00:00:00Z",
        "period_to": "2026-02-01T00:00:00Z",
    },
}
INVOICE: dict[str, Any] = {
    "streamsync": "1",
    "id": "evt_2",
    "kind": "invoice_issued",
    "account": "cus_1",
    "document": "in_1",
    "currency": "USD",
    "occurred_at": "2026-01-03T12:00:00Z",
    "invoice": {
        "direction": "charge",
        "total_minor": 120,
        "tax_minor": 20,
        "collection": "on_terms",
        "lines": [
            {
                "line_no": 1,
                "line_id": "l1",
                "direction": "charge",
                "amount_minor": 100,
                "discount_minor": 0,
                "taxes": [{"tax_code": "vat", "inclusive": False, "amount_minor": 20}],
                "service_from": "2026-01-01T00:00:00Z",
                "service_to": "2026-02-01T00:00:00Z",
                "proration": False,
                "contract": "ct_1",
                "segment": "plan",
            }
        ],
    },
}


def read(event: object) -> BillingEvent:
    body = event if isinstance(event, bytes) else json.dumps(event).encode()
    raw = RawWebhook(
        tenant="acme",
        source="own",
        source_kind="canonical",
        body=body,
        content_type="application/json",
        content_hash="x",
        received_at_ms=7,
    )
    return CANONICAL.read_event(raw, SourcePosition(topic="t", partition=0, offset=1))


def changed(event: dict[str, Any], path: str, value: object) -> dict[str, Any]:
    """A copy of an event with one value set, or left out where the value is `...`."""
    after = copy.deepcopy(event)
    at: Any = after
    *steps, last = (int(step) if step.isdigit() else step for step in path.split("."))
    for step in steps:
        at = at[step]
    if value is ...:
        del at[last]
    else:
        at[last] = value
    return after


def test_usage_becomes_a_fact_in_the_account_of_its_billing_system() -> None:
    event = read(USAGE)
    assert (event.account, event.source, event.outcome) == ("acme/stripe/cus_1", "own", "facts")
    (fact,) = event.facts
    assert (fact.fact_id, fact.document_kind) == ("usage_recorded:evt_1", "usage")
    assert fact.occurred_at_ms == 1_767_438_000_000
    assert fact.usage == Usage(
        meter="api",
        quantity="200.5",
        price="api-calls",
        period_from_ms=1_767_225_600_000,
        period_to_ms=1_769_904_000_000,
    )


def test_an_invoice_has_the_identity_of_its_document_whatever_event_tells_it() -> None:
    event = read(INVOICE)
    (fact,) = event.facts
    assert (event.account, fact.fact_id) == ("acme/own/cus_1", "invoice_issued:in_1")
    assert fact.invoice is not None
    (line,) = fact.invoice.lines
    assert (line.contract, line.segment, line.taxes[0].amount_minor) == ("ct_1", "plan", 20)
    assert read(changed(INVOICE, "id", "evt_3")).facts == event.facts
    told = read(changed(INVOICE, "fact_id", "mine")).facts[0]
    assert told.fact_id == "mine"


def test_layout_and_order_of_keys_do_not_change_an_event() -> None:
    other = json.dumps(dict(reversed(USAGE.items())), indent=3).encode()
    assert read(other) == read(USAGE)


@pytest.mark.parametrize(
    ("event", "path", "value", "reason", "detail"),
    [
        (USAGE, "usage.quantity", "-5", "quantity_negative", "usage.quantity: -5, at least 0 is"),
        (USAGE, "usage.quantity", 5, "field_type_wrong", "usage.quantity: a decimal number"),
        (USAGE, "usage.metre", "x", "field_unknown", "usage.metre: no such field"),
        (USAGE, "usage.meter", ..., "field_missing", "usage.meter: required"),
        (USAGE, "usage", ..., "field_missing", "usage: required for usage_recorded"),
        (USAGE, "document", ..., "field_missing", "document: required for usage_recorded"),
        (USAGE, "currency", ..., "field_missing", "currency: required for usage_recorded"),
        (USAGE, "currency", "usd", "currency_unknown", "currency: not in ISO 4217"),
        (USAGE, "occurred_at", "2026-01-03T12:00:00", "field_type_wrong", "occurred_at: a time"),
        (USAGE, "occurred_at", 1, "field_type_wrong", "occurred_at: a time with its offset"),
        (
            USAGE,
            "usage.period_to",
            "2025-01-01T00:00:00Z",
            "period_end_before_start",
            "usage.period_to: 1735689600000, before its start at 1767225600000",
        ),
        (
            INVOICE,
            "invoice.lines.0.service_to",
            "2025-01-01T00:00:00Z",
            "period_end_before_start",
            "invoice.lines[0].service_to: ",
        ),
        (
            INVOICE,
            "invoice.lines",
            [*INVOICE["invoice"]["lines"], *INVOICE["invoice"]["lines"]],
            "line_repeated",
            "invoice.lines[1].line_id: the same as of lines[0]",
        ),
        (
            INVOICE,
            "invoice.lines.0.taxes.0.amount_minor",
            -1,
            "amount_negative",
            "invoice.lines[0].taxes[0].amount_minor: -1, at least 0 is required",
        ),
        (
            INVOICE,
            "invoice.total_minor",
            "120",
            "amount_not_integer",
            "invoice.total_minor: an integer",
        ),
        (INVOICE, "invoice.total_minor", 10**18, "amount_out_of_range", "invoice.total_minor: "),
        (INVOICE, "invoice.total_minor", ..., "amount_missing", "invoice.total_minor: required"),
    ],
)
def test_what_is_wrong_is_named_with_its_place_and_figures(
    event: dict[str, Any], path: str, value: object, reason: str, detail: str
) -> None:
    found = read(changed(event, path, value))
    assert (found.outcome, found.reason) == ("rejected", reason)
    assert found.detail is not None
    assert found.detail.startswith(detail)
    assert not found.facts


def test_another_version_or_kind_is_kept_as_unknown() -> None:
    assert read(changed(USAGE, "streamsync", "2")).reason == "api_version_unknown"
    found = read(changed(USAGE, "kind", "usage_guessed"))
    assert (found.outcome, found.reason) == ("unknown", "type_unknown")


def test_every_kind_that_is_booked_has_a_way_in() -> None:
    # The other side of a sale between entities comes in with the sale.
    other_side = {kind for kind in BOOKING if kind.startswith("intercompany_purchase")}
    assert set(BOOKING) - other_side <= set(KINDS)


@pytest.mark.parametrize(
    ("kind", "part", "record"),
    [
        (
            "contract_modified",
            {"contract": {"treatment": "catch_up", "segment": "plan", "change_minor": -5}},
            Contract(treatment="catch_up", segment="plan", change_minor=-5),
        ),
        (
            "wallet_topped_up",
            {"wallet": {"amount_minor": 5, "settlement": "processor"}},
            WalletMovement(amount_minor=5, settlement="processor"),
        ),
    ],
)
def test_contracts_and_wallets_come_in_the_same_way(
    kind: str, part: dict[str, Any], record: object
) -> None:
    event = {name: value for name, value in USAGE.items() if name != "usage"}
    (fact,) = read(event | {"kind": kind} | part).facts
    assert record in (fact.contract, fact.wallet)
    assert fact.document_kind == kind.split("_", maxsplit=1)[0]


def test_only_the_holder_of_the_secret_gets_in() -> None:
    secret = SigningSecret("k", b"0123456789abcdef")
    body = json.dumps(USAGE).encode()
    headers = CANONICAL.sign(body, secret, 1_000_000)
    assert CANONICAL.verify(headers, body, [secret], 1_000_000) == "k"
    with pytest.raises(SignatureRefused):
        CANONICAL.verify(headers, body + b" ", [secret], 1_000_000)
    assert CANONICAL.account_hint(body) == "cus_1"
    assert CANONICAL.account_hint(b"{") is None


def test_a_canonical_event_says_so_itself() -> None:
    assert kind_of(json.dumps(USAGE).encode(), "stripe") == "canonical"
    assert kind_of(b'{"object": "event"}', "stripe") == "stripe"
    assert kind_of(b"nonsense", "stripe") == "stripe"


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=9),
    lambda inner: (
        st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=6), inner, max_size=3)
    ),
    max_leaves=5,
)
PATHS = [
    *USAGE,
    *(f"usage.{name}" for name in USAGE["usage"]),
    *(f"invoice.{name}" for name in INVOICE["invoice"]),
    *(f"invoice.lines.0.{name}" for name in INVOICE["invoice"]["lines"][0]),
]


@given(st.binary(max_size=60))
def test_any_bytes_give_exactly_one_event(body: bytes) -> None:
    event = read(body)
    assert event.outcome in ("rejected", "unknown")
    assert event.reason in REASONS


@given(st.sampled_from(PATHS), JSON)
def test_any_damage_gives_exactly_one_event(path: str, value: object) -> None:
    good = INVOICE if path.startswith("invoice") else USAGE
    event = read(changed(good, path, value))
    assert event.outcome in ("facts", "rejected", "unknown", "no_entry")
    assert event.reason is None or event.reason in REASONS
