"""Stripe payloads that may not become facts: each outcome, reason, place and figure."""

from __future__ import annotations

import json
from typing import Any

import pytest

from streamsync.contracts import Contracts
from tests import stripe_payloads as p


def outcome(payload: object) -> tuple[str, str | None, str]:
    event = p.read(payload)
    if event.outcome != "no_entry":
        assert event.facts == ()
    return event.outcome, event.reason, event.detail or ""


def finalized(*lines: dict[str, Any], **changes: Any) -> dict[str, Any]:
    return p.event("invoice.finalized", p.invoice(*lines, **changes))


def without(body: dict[str, Any], name: str) -> dict[str, Any]:
    return {key: value for key, value in body.items() if key != name}


REJECTED: list[tuple[str, dict[str, Any], str, str]] = [
    (
        "no total",
        p.event("invoice.finalized", without(p.invoice(), "total")),
        "amount_missing",
        "data.object.total:",
    ),
    ("null total", finalized(total=None), "amount_missing", "data.object.total:"),
    ("text", finalized(total="3100"), "amount_not_integer", "data.object.total:"),
    ("fraction", finalized(total=3100.5), "amount_not_integer", "data.object.total:"),
    ("boolean", finalized(total=True), "amount_not_integer", "data.object.total:"),
    ("whole float", finalized(total=3100.0), "amount_not_integer", "data.object.total:"),
    (
        "line amount",
        finalized(p.line(), p.line() | {"id": "il_2", "amount": "x"}),
        "amount_not_integer",
        "data.object.lines.data[1].amount:",
    ),
    (
        "no line amount",
        finalized(without(p.line(), "amount")),
        "amount_missing",
        "data.object.lines.data[0].amount:",
    ),
    ("huge", finalized(total=10**16), "amount_out_of_range", "data.object.total:"),
    (
        "lines too low",
        finalized(total=3199),
        "document_total_mismatch",
        "data.object.total: 3199, the lines add up to 3100, difference 99",
    ),
    (
        "tax field",
        finalized(p.line(tax_amounts=[p.tax(310)]), total=3410, tax=300),
        "document_tax_mismatch",
        "data.object.tax: 300, the lines' taxes add up to 310, difference -10",
    ),
    (
        "negative tax",
        finalized(p.line(tax_amounts=[p.tax(-310)]), total=2790),
        "tax_negative",
        "data.object.lines.data[0].tax_amounts[0].amount: -310",
    ),
    (
        "positive tax on a credit",
        finalized(p.line(-100, tax_amounts=[p.tax(10)]), total=-90),
        "tax_negative",
        "data.object.lines.data[0].tax_amounts[0].amount: 10",
    ),
    ("currency", finalized(currency="zzz"), "currency_unknown", "data.object.currency: ZZZ"),
    (
        "currency text",
        finalized(currency="my dollars"),
        "currency_unknown",
        "data.object.currency: the text",
    ),
    (
        "currency scale",
        finalized(p.line(3150, currency="isk"), currency="isk", total=3150),
        "amount_not_integer",
        "invoice_issued: 3150 with 2 decimals is no whole minor unit of ISK.",
    ),
    (
        "line currency",
        finalized(p.line(currency="eur")),
        "currency_differs",
        "data.object.lines.data[0].currency:",
    ),
    (
        "period",
        finalized(p.line(period={"start": p.FEB_15, "end": p.JAN_15})),
        "period_end_before_start",
        f"data.object.lines.data[0].period: ends at {p.JAN_15}, before its start at {p.FEB_15}",
    ),
    (
        "discount",
        finalized(p.line(100, discount_amounts=[{"amount": 150}]), total=-50),
        "discount_exceeds_line",
        "data.object.lines.data[0]: discount 150",
    ),
    (
        "line twice",
        finalized(p.line(), p.line(), total=6200),
        "line_repeated",
        "data.object.lines.data[1].id:",
    ),
    ("lines", finalized(lines=[1]), "field_type_wrong", "data.object.lines:"),
    (
        "no lines",
        p.event("invoice.finalized", without(p.invoice(), "lines")),
        "field_missing",
        "data.object.lines:",
    ),
    (
        "time",
        finalized(status_transitions={"finalized_at": "today"}),
        "field_type_wrong",
        "data.object.status_transitions.finalized_at:",
    ),
    (
        "paid",
        p.event("invoice.paid", p.invoice(amount_paid=None)),
        "amount_missing",
        "data.object.amount_paid:",
    ),
    (
        "paid below zero",
        p.event("invoice.paid", p.invoice(amount_paid=-1)),
        "amount_negative",
        "data.object.amount_paid: -1",
    ),
    (
        "balance",
        p.event("invoice.paid", p.invoice(starting_balance=None)),
        "amount_missing",
        "data.object.starting_balance:",
    ),
    (
        "refund sum",
        p.event("charge.refunded", p.charge(p.refund("re_1", 1000, 5), amount_refunded=900)),
        "refund_total_mismatch",
        "data.object.amount_refunded: 900, the refunds add up to 1000, difference -100",
    ),
    (
        "refund twice",
        p.event("charge.refunded", p.charge(p.refund("re_1", 10, 5), p.refund("re_1", 10, 5))),
        "line_repeated",
        "data.object.refunds.data[1].id:",
    ),
    (
        "refund amount",
        p.event("charge.refunded", p.charge(p.refund("re_1", -10, 5))),
        "amount_negative",
        "data.object.amount_refunded: -10",
    ),
    (
        "note mixed",
        p.event(
            "credit_note.created",
            p.credit_note(type="post_payment", refund="re_1", out_of_band_amount=400),
        ),
        "credit_note_settlement_mixed",
        "data.object: total 1100 settled in more than one way (out of band 400; a refund)",
    ),
    (
        "note in two parts",
        p.event(
            "credit_note.created",
            p.credit_note(pre_payment_amount=600, post_payment_amount=500, refund="re_1"),
        ),
        "credit_note_settlement_mixed",
        "data.object: total 1100 settled in more than one way (before payment 600, after ",
    ),
    (
        "note partly told",
        p.event("credit_note.created", p.credit_note(type="post_payment", out_of_band_amount=400)),
        "credit_note_settlement_mixed",
        "data.object: total 1100",
    ),
    (
        "note untold",
        p.event("credit_note.created", p.credit_note(type="post_payment")),
        "credit_note_settlement_missing",
        "data.object:",
    ),
    (
        "note type",
        p.event("credit_note.created", p.credit_note(type="other")),
        "field_type_wrong",
        "data.object.type:",
    ),
    (
        "note sum",
        p.event("credit_note.created", p.credit_note(total=1200)),
        "document_total_mismatch",
        "data.object.total: 1200, net 1000 and tax 100 add up to 1100, difference 100",
    ),
    (
        "note tax",
        p.event("credit_note.created", p.credit_note(tax_amounts=[p.tax(90)])),
        "document_tax_mismatch",
        "data.object.tax_amounts: 90, the lines' taxes add up to 100, difference -10",
    ),
    (
        "note without invoice",
        p.event("credit_note.created", p.credit_note(invoice=None)),
        "field_missing",
        "data.object.invoice:",
    ),
    ("no id", without(finalized(), "id"), "field_missing", "id:"),
    ("no type", without(finalized(), "type"), "field_missing", "type:"),
    ("created", finalized() | {"created": "now"}, "field_missing", "created:"),
    ("no object", finalized() | {"data": {}}, "field_missing", "data.object:"),
    ("long id", finalized() | {"id": "e" * 256}, "field_missing", "id:"),
]


@pytest.mark.parametrize(
    ("payload", "reason", "place"), [pytest.param(*case[1:], id=case[0]) for case in REJECTED]
)
def test_rejected_with_reason_place_and_figures(
    payload: dict[str, Any], reason: str, place: str
) -> None:
    found, why, detail = outcome(payload)
    assert (found, why) == ("rejected", reason), detail
    assert detail.startswith(place)


@pytest.mark.parametrize("body", [finalized(lines={"data": [p.line()], "has_more": True})])
def test_truncated_lines_wait(body: dict[str, Any]) -> None:
    assert outcome(body)[:2] == ("waiting", "lines_truncated")
    note = p.credit_note(lines={"data": [], "has_more": True})
    assert outcome(p.event("credit_note.created", note))[:2] == ("waiting", "lines_truncated")
    charge = p.charge(refunds={"data": [], "has_more": True})
    assert outcome(p.event("charge.refunded", charge))[:2] == ("waiting", "lines_truncated")


@pytest.mark.parametrize("version", [None, "2031-03-31.later", "2019-12-03", "x"])
def test_another_api_version_is_unknown_where_it_matters(version: str | None) -> None:
    payload = finalized() | {"api_version": version}
    assert outcome(payload)[:2] == ("unknown", "api_version_unknown")
    product = p.event("product.created", {"id": "prod_1"}, api_version=version)
    assert outcome(product)[:2] == ("ignored", "type_cannot_touch_books")


@pytest.mark.parametrize("version", ["2020-03-02", "2022-11-15", "2024-06-20"])
def test_neighbouring_versions_have_the_same_shape(version: str) -> None:
    assert p.read(finalized() | {"api_version": version}).outcome == "facts"


@pytest.mark.parametrize(
    ("kind", "body", "expected", "account"),
    [
        (
            "transfer.paid",
            {"id": "tr_1", "object": "transfer"},
            ("unknown", "type_not_handled"),
            "@processor",
        ),
        (
            "charge.succeeded",
            {"id": "ch_1", "object": "charge", "customer": "cus_1"},
            ("rejected", "amount_missing"),
            "cus_1",
        ),
        (
            "issuing_transaction.created",
            {"id": "ipi_1"},
            ("waiting", "account_not_named"),
            "ipi_1",
        ),
        ("invoice.something_new", p.invoice(), ("unknown", "type_not_handled"), "cus_1"),
        ("gift.opened", {"id": "gift_1"}, ("unknown", "type_unknown"), "gift_1"),
        (
            "payment_intent.succeeded",
            {"id": "pi_1", "customer": "cus_1"},
            ("ignored", "type_cannot_touch_books"),
            "cus_1",
        ),
        (
            "balance.available",
            {"object": "balance"},
            ("ignored", "type_cannot_touch_books"),
            "evt_1",
        ),
    ],
)
def test_types_without_facts(
    kind: str, body: dict[str, Any], expected: tuple[str, str], account: str
) -> None:
    event = p.read(p.event(kind, body))
    assert (event.outcome, event.reason) == expected
    assert event.account == f"acme/stripe/{account}"


@pytest.mark.parametrize(
    ("body", "reason"),
    [
        (b"", "payload_not_json"),
        (b"{", "payload_not_json"),
        (b"\xff\xfe", "payload_not_json"),
        (b'{"id":"a","id":"b"}', "payload_key_repeated"),
        (b'{"id":NaN}', "payload_number_invalid"),
        (b'{"id":-Infinity}', "payload_number_invalid"),
        (b'{"id":1e99999999999999999999}', "payload_number_invalid"),
        (b'{"id":' + b"9" * 5000 + b"}", "payload_number_invalid"),
        (b"[" * 100_000, "payload_too_deep"),
        (b"[" * 41 + b"]" * 41, "payload_too_deep"),
        (b'{"id":"\\ud800"}', "payload_not_json"),
        (b"[]", "field_type_wrong"),
        (b"null", "field_type_wrong"),
    ],
)
def test_unreadable_bytes_are_rejected_and_still_counted(body: bytes, reason: str) -> None:
    event = p.read_bytes(body)
    assert (event.outcome, event.reason) == ("rejected", reason)
    assert event.account.startswith("acme/stripe/") and event.source_event_id
    assert event == p.read_bytes(body)


def test_forty_levels_are_not_too_deep() -> None:
    nested: object = []
    for _ in range(39):
        nested = [nested]
    assert p.read(nested).reason == "field_type_wrong"


def test_details_quote_no_text_of_the_payload() -> None:
    secret = "Jane Roe 4242424242424242"
    payloads = [
        finalized(currency=secret),
        finalized(total=secret),
        finalized(lines=secret),
        finalized(customer_address={"country": secret}),
        p.event(secret, p.invoice()),
        p.event("credit_note.created", p.credit_note(type=secret)),
    ]
    for payload in payloads:
        event = p.read(json.loads(json.dumps(payload)))
        assert "Jane" not in (event.detail or "")


BIG = 10**15
LONG_SUMS = {
    # Each part is allowed, their sum is beyond 64 bits; the totals fit all the same.
    "discounts of a line": [
        p.line(-1, id="il_1", discount_amounts=[{"amount": BIG}] * 10_000),
        p.line(1, id="il_2", discount_amounts=[{"amount": -BIG}] * 10_000),
    ],
    "inclusive taxes of a line": [
        p.line(-1, id="il_1", tax_amounts=[p.tax(BIG, inclusive=True)] * 10_000),
        p.line(1, id="il_2", tax_amounts=[p.tax(-BIG, inclusive=True)] * 10_000),
    ],
    "lines of a document": [
        p.line(BIG if number % 2 else -BIG, id=f"il_{number}") for number in range(10_000)
    ],
}


@pytest.mark.parametrize("lines", LONG_SUMS.values(), ids=LONG_SUMS)
def test_sums_that_no_contract_field_can_hold_are_refused(lines: list[dict[str, Any]]) -> None:
    event = p.read(p.event("invoice.finalized", p.invoice(*lines, total=0)))
    assert (event.outcome, event.reason) == ("rejected", "amount_out_of_range")
    assert (event.detail or "").startswith("data.object.lines")
    # What was refused can be written to the log; a value out of range would stop the worker.
    assert Contracts.in_memory().encode(event)
