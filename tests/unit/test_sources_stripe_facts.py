"""Stripe facts: figures worked out by hand from the documented meaning of each field."""

from __future__ import annotations

from typing import Any

import pytest

from streamsync.core.facts import BillingEvent, Fact
from streamsync.sources import record_key
from tests import stripe_payloads as p


def fact_of(payload: dict[str, Any]) -> Fact:
    event = p.read(payload)
    assert (event.outcome, event.reason) in {("facts", None)}, (event.reason, event.detail)
    assert len(event.facts) == 1
    return event.facts[0]


def issued(*lines: dict[str, Any], **changes: Any) -> Fact:
    return fact_of(p.event("invoice.finalized", p.invoice(*lines, **changes)))


def test_an_invoice_is_issued_at_its_own_time_with_its_own_figures() -> None:
    fact = issued()
    assert fact.fact_id == "invoice_issued:in_1"
    assert (fact.document, fact.subscription, fact.currency) == ("in_1", "sub_1", "USD")
    assert fact.occurred_at_ms == (p.JAN_15 + 1) * 1000
    assert fact.invoice is not None and fact.invoice.total_minor == 3100
    assert fact.invoice.collection == "automatic"
    (line,) = fact.invoice.lines
    assert (line.amount_minor, line.direction, line.product) == (3100, "charge", "prod_a")
    assert (line.service_from_ms, line.service_to_ms) == (p.JAN_15 * 1000, p.FEB_15 * 1000)
    assert fact.customer is not None and fact.customer.country == "US"


def test_a_missing_business_time_falls_back_to_the_time_of_the_event() -> None:
    assert issued(status_transitions=None).occurred_at_ms == (p.JAN_15 + 9) * 1000


def test_exclusive_tax_is_added_and_kept_apart() -> None:
    # P10: 31.00 + 10 % exclusive = 34.10.
    rate = {"id": "txr_1", "percentage": 10.0, "jurisdiction": "NY"}
    fact = issued(p.line(tax_amounts=[p.tax(310)], tax_rates=[rate]), total=3410, tax=310)
    assert fact.invoice is not None
    (line,) = fact.invoice.lines
    assert (line.amount_minor, fact.invoice.tax_minor, fact.invoice.total_minor) == (
        3100,
        310,
        3410,
    )
    (tax,) = line.taxes
    assert (tax.tax_code, tax.rate, tax.jurisdiction) == ("txr_1", "10", "NY")
    assert (tax.amount_minor, tax.inclusive) == (310, False)


def test_inclusive_tax_is_taken_out_of_the_line() -> None:
    # P29: 20.00 with 15 % inclusive holds 2.61 of tax.
    fact = issued(p.line(2000, tax_amounts=[p.tax(261, True)]), total=2000, tax=261)
    assert fact.invoice is not None
    assert fact.invoice.lines[0].amount_minor == 1739
    assert fact.invoice.tax_minor == 261


def test_a_discount_lowers_the_net_of_its_line() -> None:
    given = [{"amount": 600, "discount": "di_1"}, {"amount": 100, "discount": "di_2"}]
    fact = issued(p.line(3100, discount_amounts=given, tax_amounts=[p.tax(240)]), total=2640)
    assert fact.invoice is not None
    assert (fact.invoice.lines[0].amount_minor, fact.invoice.lines[0].discount_minor) == (2400, 700)


def test_a_negative_proration_is_a_credit_line_with_its_tax() -> None:
    unused = p.line(-6000, id="il_2", proration=True, tax_amounts=[p.tax(-600)])
    upgrade = p.line(8000, tax_amounts=[p.tax(800)])
    fact = issued(unused, upgrade, total=2200, tax=200)
    assert fact.invoice is not None
    credit, new = fact.invoice.lines
    assert (credit.direction, credit.amount_minor, credit.proration) == ("credit", 6000, True)
    assert (credit.taxes[0].amount_minor, new.taxes[0].amount_minor) == (600, 800)
    assert (fact.invoice.direction, fact.invoice.tax_minor) == ("charge", 200)


def test_a_negative_total_is_a_credit_document() -> None:
    fact = issued(p.line(-6000, tax_amounts=[p.tax(-600)]), p.line(1000, id="il_2"), total=-5600)
    assert fact.invoice is not None
    assert fact.invoice.direction == "credit"
    assert (fact.invoice.total_minor, fact.invoice.tax_minor) == (5600, 600)


def test_the_two_events_of_one_payment_tell_one_fact() -> None:
    paid = fact_of(p.event("invoice.paid", p.invoice()))
    told_again = fact_of(p.event("invoice.payment_succeeded", p.invoice(), id="evt_2", created=1))
    assert paid == told_again
    assert paid.fact_id == "payment_applied:in_1"
    assert paid.occurred_at_ms == (p.JAN_15 + 2) * 1000
    assert paid.payment is not None
    assert (paid.payment.amount_minor, paid.payment.gateway_reference) == (3100, "ch_1")


def test_a_part_paid_from_the_balance_is_told_apart() -> None:
    # P11: 31.00 with 11.00 of credit: 20.00 is charged.
    body = p.invoice(amount_due=2000, amount_paid=2000, starting_balance=-1100, ending_balance=0)
    payment = fact_of(p.event("invoice.paid", body)).payment
    assert payment is not None
    assert (payment.amount_minor, payment.from_balance_minor) == (2000, 1100)


@pytest.mark.parametrize("told", [0, 3100])
def test_a_payment_out_of_band_is_what_was_due(told: int) -> None:
    body = p.invoice(paid_out_of_band=True, charge=None, amount_paid=told)
    payment = fact_of(p.event("invoice.paid", body)).payment
    assert payment is not None
    assert (payment.amount_minor, payment.out_of_band) == (3100, True)


def test_paying_a_negative_total_moves_nothing() -> None:
    body = p.invoice(
        total=-500, amount_due=0, amount_paid=0, starting_balance=0, ending_balance=-500
    )
    payment = fact_of(p.event("invoice.paid", body)).payment
    assert payment is not None
    assert (payment.amount_minor, payment.from_balance_minor) == (0, 0)


def test_a_payment_needs_no_lines() -> None:
    truncated = {"data": [], "has_more": True}
    assert p.read(p.event("invoice.paid", p.invoice(lines=truncated))).outcome == "facts"


def test_each_failed_attempt_is_a_fact_that_books_nothing() -> None:
    first = p.read(p.event("invoice.payment_failed", p.invoice()))
    second = p.read(p.event("invoice.payment_failed", p.invoice(attempt_count=2)))
    assert (first.outcome, first.reason) == ("no_entry", "payment_failed")
    assert [e.facts[0].fact_id for e in (first, second)] == [
        "payment_failed:in_1:1",
        "payment_failed:in_1:2",
    ]


@pytest.mark.parametrize(
    ("kind", "field", "fact_id"),
    [
        ("invoice.voided", "voided_at", "invoice_voided:in_1"),
        (
            "invoice.marked_uncollectible",
            "marked_uncollectible_at",
            "invoice_uncollectible:in_1",
        ),
    ],
)
def test_void_and_uncollectible_are_dated_by_their_own_field(
    kind: str, field: str, fact_id: str
) -> None:
    fact = fact_of(p.event(kind, p.invoice(status_transitions={field: p.JAN_15 + 50})))
    assert (fact.fact_id, fact.occurred_at_ms) == (fact_id, (p.JAN_15 + 50) * 1000)


def test_every_refund_of_a_charge_is_its_own_fact_and_never_changes() -> None:
    first = p.refund("re_1", 1000, p.JAN_15 + 10)
    second = p.refund("re_2", 500, p.JAN_15 + 20)
    alone = p.read(p.event("charge.refunded", p.charge(first)))
    both = p.read(p.event("charge.refunded", p.charge(second, first), id="evt_2"))
    assert alone.facts[0] == both.facts[0]
    assert [f.fact_id for f in both.facts] == ["refunded:re_1", "refunded:re_2"]
    refunds = [f.refund for f in both.facts if f.refund]
    assert [(r.amount_minor, r.cumulative_minor) for r in refunds] == [(1000, 1000), (500, 1500)]
    assert both.facts[1].document == "in_1"
    assert both.facts[1].occurred_at_ms == (p.JAN_15 + 20) * 1000


def test_refunds_made_in_one_second_keep_their_order() -> None:
    first, second = p.refund("re_b", 1000, 5), p.refund("re_a", 500, 5)
    alone = p.read(p.event("charge.refunded", p.charge(first)))
    both = p.read(p.event("charge.refunded", p.charge(second, first)))
    assert alone.facts[0] == both.facts[0]


def test_a_failed_refund_gave_nothing_back() -> None:
    failed = p.refund("re_2", 500, p.JAN_15 + 20, status="failed")
    body = p.charge(failed, p.refund("re_1", 1000, p.JAN_15 + 10), amount_refunded=1000)
    event = p.read(p.event("charge.refunded", body))
    assert [f.fact_id for f in event.facts] == ["refunded:re_1"]


def test_without_a_list_the_cumulative_figure_is_the_identity() -> None:
    body = p.charge(amount_refunded=700, refunds=None, invoice=None)
    fact = fact_of(p.event("charge.refunded", body, api_version="2022-11-15"))
    assert (fact.fact_id, fact.document, fact.document_kind) == (
        "refunded:ch_1:700",
        "ch_1",
        "charge",
    )
    assert fact.refund is not None
    assert (fact.refund.refund_id, fact.refund.amount_minor) == (None, None)
    assert fact.refund.cumulative_minor == 700


@pytest.mark.parametrize(
    ("changes", "settlement"),
    [
        ({}, "receivable"),
        ({"type": "post_payment", "customer_balance_transaction": "cbtxn_1"}, "customer_balance"),
        ({"type": "post_payment", "refund": "re_1"}, "refund"),
        ({"type": "post_payment", "out_of_band_amount": 1100}, "out_of_band"),
    ],
)
def test_the_settlement_comes_from_the_note_itself(
    changes: dict[str, Any], settlement: str
) -> None:
    fact = fact_of(p.event("credit_note.created", p.credit_note(**changes)))
    note = fact.credit_note
    assert note is not None and note.settlement == settlement
    assert (note.net_minor, note.tax_minor, note.total_minor) == (1000, 100, 1100)
    assert (note.lines[0].invoice_line_id, note.lines[0].amount_minor) == ("il_1", 1000)
    assert (fact.fact_id, fact.document) == ("credit_note_issued:cn_1", "in_1")
    assert fact.occurred_at_ms == (p.JAN_15 + 100) * 1000


def test_a_note_line_is_net_of_its_discount_and_inclusive_tax() -> None:
    # 12.00 before discount, 1.00 off, 1.00 of the rest is inclusive tax: net 10.00.
    inside = [p.tax(100, inclusive=True)]
    line = {"amount": 1200, "discount_amount": 100, "tax_amounts": inside}
    lines = {"data": [line], "has_more": False}
    body = p.credit_note(lines=lines, tax_amounts=inside, total=1100)
    note = fact_of(p.event("credit_note.created", body)).credit_note
    assert note is not None
    assert (note.lines[0].amount_minor, note.net_minor, note.tax_minor) == (1000, 1000, 100)
    parts = {"data": [line | {"discount_amounts": [{"amount": 60}, {"amount": 40}]}]}
    same = fact_of(p.event("credit_note.created", body | {"lines": parts})).credit_note
    assert same == note


def test_customers_and_subscriptions_are_state_without_personal_data() -> None:
    body = {
        "id": "cus_1",
        "object": "customer",
        "name": "Jane Roe",
        "email": "jane@example.com",
        "address": {"country": "jp", "line1": "1-1 Chiyoda"},
        "currency": "jpy",
    }
    event = p.read(p.event("customer.updated", body))
    assert (event.outcome, event.reason) == ("no_entry", "customer_state_only")
    assert event.account == "acme/stripe/cus_1"
    profile = event.facts[0].customer
    assert profile is not None and (profile.country, profile.currency) == ("JP", "JPY")
    assert "Jane" not in repr(event) and "Chiyoda" not in repr(event)
    changed = p.read(p.event("customer.updated", body | {"currency": "usd"}))
    assert changed.facts[0].fact_id != event.facts[0].fact_id


def test_a_subscription_tells_status_price_and_period() -> None:
    body = {
        "id": "sub_1",
        "object": "subscription",
        "customer": "cus_1",
        "status": "active",
        "items": {"data": [{"price": {"id": "price_m"}, "quantity": 3}]},
        "current_period_start": p.JAN_15,
        "current_period_end": p.FEB_15,
    }
    event = p.read(p.event("customer.subscription.deleted", body))
    assert (event.outcome, event.account) == ("no_entry", "acme/stripe/cus_1")
    state = event.facts[0].subscription_state
    assert state is not None
    assert (state.status, state.change, state.price, state.quantity) == (
        "active",
        "cancelled",
        "price_m",
        3,
    )
    assert state.period_to_ms == p.FEB_15 * 1000


def test_record_keys_start_with_the_account_and_split_only_once() -> None:
    def key(event: BillingEvent) -> str:
        return record_key(event)

    assert key(p.read(p.event("invoice.finalized", p.invoice()))) == "acme/stripe/cus_1|sub_1"
    no_subscription = p.invoice(p.line(subscription=None), subscription=None)
    assert key(p.read(p.event("invoice.finalized", no_subscription))) == "acme/stripe/cus_1|in_1"
    assert key(p.read(p.event("product.created", {"id": "prod_1"}))) == "acme/stripe/prod_1|evt_1"
    odd = p.read(p.event("invoice.finalized", p.invoice(customer="a/b|c%", subscription="s|1")))
    assert key(odd) == "acme/stripe/a%2Fb%7Cc%25|s%7C1"


def test_a_repeat_has_the_same_hash_whatever_delivered_it() -> None:
    first = p.read(p.event("invoice.paid", p.invoice()))
    repeat = p.read(p.event("invoice.paid", p.invoice(), pending_webhooks=7, request=None))
    other = p.read(p.event("invoice.paid", p.invoice(amount_paid=3000)))
    assert first.content_hash == repeat.content_hash
    assert first.correlation_id == repeat.correlation_id
    assert other.content_hash != first.content_hash
    assert other.correlation_id != first.correlation_id


@pytest.mark.parametrize(
    ("currency", "expected"), [("isk", 31), ("ugx", 31), ("mga", 310_000), ("kwd", 3100)]
)
def test_amounts_in_stripes_own_units_become_iso_minor_units(currency: str, expected: int) -> None:
    # Stripe: ISK and UGX in hundredths, MGA in whole ariary, KWD in thousandths as ISO 4217.
    body = p.invoice(p.line(currency=currency), currency=currency)
    (fact,) = p.read(p.event("invoice.finalized", body)).facts
    assert fact.invoice is not None
    assert (fact.invoice.total_minor, fact.invoice.lines[0].amount_minor) == (expected, expected)
    (refund,) = p.read(
        p.event("charge.refunded", p.charge(p.refund("re_1", 3100, p.FEB_15), currency=currency))
    ).facts
    assert refund.refund is not None
    assert (refund.refund.amount_minor, refund.refund.cumulative_minor) == (expected, expected)
