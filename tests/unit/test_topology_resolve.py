"""What names only another object finds its account in any order, and is counted all the time."""

from __future__ import annotations

from itertools import permutations
from typing import Any

import pytest

from tests import stripe_payloads as p
from tests.ledger_driver import Books
from topology import views

BASIL = "2025-03-31.basil"


def movement(amount: int, fee: int, **changes: Any) -> dict[str, Any]:
    """A balance transaction as Stripe expands it."""
    return {
        "id": "txn_1",
        "object": "balance_transaction",
        "amount": amount,
        "fee": fee,
        "net": amount - fee,
        "currency": "usd",
        "created": p.JAN_15 + 50,
        "exchange_rate": None,
        "fee_details": [{"amount": fee, "currency": "usd", "type": "stripe_fee"}],
        "type": "charge" if amount > 0 else "adjustment",
    } | changes


def charge(**changes: Any) -> dict[str, Any]:
    """A charge of 31.00 for in_1, with a fee of 1.20."""
    return (
        p.charge()
        | {
            "amount": 3100,
            "amount_captured": 3100,
            "captured": True,
            "created": p.JAN_15 + 2,
            "status": "succeeded",
            "invoice": "in_1",
            "payment_intent": "pi_1",
            "balance_transaction": movement(3100, 120),
        }
        | changes
    )


def dispute(status: str = "needs_response", *movements: dict[str, Any]) -> dict[str, Any]:
    """A dispute of the whole charge."""
    return {
        "id": "dp_1",
        "object": "dispute",
        "amount": 3100,
        "currency": "usd",
        "charge": "ch_1",
        "created": p.JAN_15 + 40,
        "balance_transactions": list(movements),
        "status": status,
        "reason": "fraudulent",
    }


def told(identity: str, kind: str, body: dict[str, Any], **changes: Any) -> dict[str, Any]:
    return p.event(kind, body, id=identity, **changes)


TAKEN = movement(-3100, 1500, id="txn_2", created=p.JAN_15 + 60)
LIFE = [
    told("evt_issue", "invoice.finalized", p.invoice()),
    told("evt_paid", "invoice.paid", p.invoice()),
    told("evt_charge", "charge.succeeded", charge()),
    told("evt_taken", "charge.dispute.funds_withdrawn", dispute("needs_response", TAKEN)),
    told("evt_lost", "charge.dispute.closed", dispute("lost", TAKEN)),
]
BALANCES = {
    ("acme-us", "clearing"): 3100 - 120 - 3100 - 1500,
    ("acme-us", "deferred_revenue"): -3100,
    ("acme-us", "dispute_fees"): 1500,
    ("acme-us", "dispute_losses"): 3100,
    ("acme-us", "processing_fees"): 120,
}


def played(events: list[dict[str, Any]], *, seed: int | None = None) -> Books:
    books = Books(seed=seed)
    books.customer("cus_1")
    for event in events:
        books.webhook(event)
    books.run()
    return books


@pytest.mark.parametrize("order", list(permutations(range(5)))[::12])
def test_a_dispute_is_booked_the_same_in_any_order(order: tuple[int, ...]) -> None:
    books = played([LIFE[at] for at in order])
    assert books.balances() == BALANCES
    assert books.counts() == {"posted": 5}
    assert books.open_codes() == []


def test_a_record_whose_object_is_unknown_waits_becomes_work_and_is_released_by_the_link() -> None:
    books = played([LIFE[3], LIFE[3]])
    assert books.counts() == {"waiting": 1, "duplicate": 1}
    # Its deadline of a day begins with the first tick.
    for time in ("2026-01-16T00:00", "2026-01-16T23:00"):
        assert books.open_codes() == []
        books.tick(time)
        books.run()
    assert books.open_codes() == []
    books.tick("2026-01-17T00:01")
    books.run()
    assert books.counts() == {"waiting": 1, "duplicate": 1}
    assert books.open_codes() == ["link_not_found"]
    (row,) = books.source_rows()
    assert row.reason == "link_not_found" and "names ch_1" in (row.detail or "")
    for event in LIFE:
        books.webhook(event)
    books.run()
    assert books.open_codes() == []
    assert books.balances() == BALANCES
    assert books.counts() == {"posted": 5, "duplicate": 2}


def new_shape_life() -> list[dict[str, Any]]:
    """The same sale as 2025-03-31 tells it."""
    item = p.line()
    line = {
        "id": item["id"],
        "amount": item["amount"],
        "currency": "usd",
        "discount_amounts": [],
        "period": item["period"],
        "taxes": [],
        "pricing": {"type": "price_details", "price_details": {"price": "price_m",
                                                               "product": "prod_a"}},
        "parent": {"type": "subscription_item_details",
                   "subscription_item_details": {"subscription": "sub_1", "proration": False}},
    }  # fmt: skip
    body = p.invoice() | {
        "lines": {"data": [line], "has_more": False},
        "parent": {"subscription_details": {"subscription": "sub_1"}},
        "status": "paid",
        "total_taxes": [],
    }
    for gone in ("subscription", "charge", "tax", "paid_out_of_band"):
        del body[gone]
    payment = {
        "id": "inpay_1",
        "object": "invoice_payment",
        "amount_paid": 3100,
        "currency": "usd",
        "invoice": "in_1",
        "payment": {"type": "payment_intent", "payment_intent": "pi_1"},
        "status": "paid",
        "status_transitions": {"paid_at": p.JAN_15 + 2},
    }
    taken = charge()
    del taken["invoice"]
    return [
        told("evt_issue", "invoice.finalized", body, api_version=BASIL),
        told("evt_paid", "invoice.paid", body, api_version=BASIL),
        told("evt_payment", "invoice_payment.paid", payment, api_version=BASIL),
        told("evt_charge", "charge.succeeded", taken, api_version=BASIL),
        told("evt_taken", "charge.dispute.funds_withdrawn", dispute("needs_response", TAKEN),
             api_version=BASIL),
        told("evt_lost", "charge.dispute.closed", dispute("lost", TAKEN), api_version=BASIL),
    ]  # fmt: skip


@pytest.mark.parametrize("order", list(permutations(range(6)))[::60])
def test_both_api_shapes_book_the_same(order: tuple[int, ...]) -> None:
    life = new_shape_life()
    books = played([life[at] for at in order], seed=order[0])
    assert books.balances() == BALANCES
    assert books.counts() == {"posted": 5, "no_entry": 1}
    assert books.open_codes() == []
    facts = {fact.fact_id for event in life for fact in p.read(event).facts}
    older = {fact.fact_id for event in LIFE for fact in p.read(event).facts}
    assert facts - older == {"payment_applied:inpay_1"}


def test_a_new_charge_without_an_invoice_is_told_by_its_checkout() -> None:
    life = new_shape_life()
    session = {"id": "cs_1", "object": "checkout.session", "mode": "payment", "invoice": None,
               "customer": "cus_1", "payment_intent": "pi_1"}  # fmt: skip
    books = played([life[3]])
    assert books.counts() == {"waiting": 1}
    books.webhook(told("evt_session", "checkout.session.completed", session, api_version=BASIL))
    books.run()
    assert books.counts() == {"ignored": 1, "posted": 1}
    assert books.balances() == {
        ("acme-us", "clearing"): 2980,
        ("acme-us", "processing_fees"): 120,
        ("acme-us", "revenue"): -3100,
    }


def test_a_new_charge_whose_invoice_nothing_tells_becomes_work_and_is_released_by_it() -> None:
    life = new_shape_life()
    books = played([life[0], life[1], life[3]])
    for time in ("2026-01-16T00:00", "2026-01-17T00:01"):
        books.tick(time)
        books.run()
    assert books.counts() == {"posted": 2, "waiting": 1}
    assert books.open_codes() == ["link_not_found"]
    (row,) = [one for one in books.source_rows() if one.reason == "link_not_found"]
    assert "pi_1" in (row.detail or "")
    for event in (life[2], *life[4:]):
        books.webhook(event)
    books.run()
    assert books.open_codes() == []
    assert books.balances() == BALANCES


def test_a_payout_belongs_to_the_processor_and_finds_its_entity_by_currency() -> None:
    payout = {
        "id": "po_1",
        "object": "payout",
        "amount": 2980,
        "currency": "usd",
        "arrival_date": p.JAN_15,
        "status": "paid",
        "balance_transaction": "txn_9",
    }
    books = played([told("evt_po", "payout.paid", payout)])
    assert books.balances() == {("acme-us", "bank"): 2980, ("acme-us", "clearing"): -2980}
    books.webhook(told("evt_pf", "payout.failed", payout | {"failure_code": "account_closed"}))
    books.run()
    assert books.balances() == {}
    euros = payout | {"id": "po_2", "balance_transaction": movement(-2980, 0, currency="eur")}
    books.webhook(told("evt_po2", "payout.paid", euros))
    books.run()
    assert books.open_codes() == ["payout_currency_differs"]


def test_a_charge_told_with_its_fee_later_completes_the_one_without() -> None:
    bare = charge(balance_transaction="txn_1")
    books = played([LIFE[0], LIFE[1], told("evt_bare", "charge.succeeded", bare)])
    assert books.counts() == {"posted": 2, "no_entry": 1}
    books.webhook(told("evt_whole", "charge.updated", charge()))
    books.run()
    assert books.balances()["acme-us", "processing_fees"] == 120
    assert books.counts() == {"posted": 3, "no_entry": 1}
    books.webhook(told("evt_bare_again", "charge.updated", bare))
    books.run()
    assert books.counts() == {"posted": 3, "no_entry": 1, "duplicate": 1}


def test_the_state_of_collection_is_kept_until_the_invoice_is_paid() -> None:
    due = p.FEB_15
    issue = p.invoice(collection_method="send_invoice", due_date=due)
    failing = issue | {"attempt_count": 2, "next_payment_attempt": p.JAN_15 + 86400,
                       "amount_remaining": 3100}  # fmt: skip
    overdue = failing | {"attempt_count": 3, "next_payment_attempt": None}
    books = played(
        [
            told("evt_overdue", "invoice.overdue", overdue, created=p.FEB_15 + 9),
            told("evt_issue", "invoice.finalized", issue),
            told("evt_failed", "invoice.payment_failed", failing),
        ]
    )
    name = "acme/stripe/cus_1"
    shard = books.driver.shard_of("ledger", name.encode())
    told_of = views.document(shard, name, "in_1")
    assert told_of is not None
    assert told_of["collection"] == {
        "currency": "USD",
        "owed_minor": 3100,
        "attempts": 3,
        "next_attempt_at_ms": None,
        "due_at_ms": due * 1000,
        "overdue": True,
    }
    account = views.account(shard, name)
    assert account is not None and list(account["collection"]) == ["in_1"]
    books.webhook(LIFE[1])
    books.run()
    shard = books.driver.shard_of("ledger", name.encode())
    told_of = views.document(shard, name, "in_1")
    assert told_of is not None
    assert (told_of["collection"]["owed_minor"], told_of["collection"]["overdue"]) == (0, False)
    account = views.account(shard, name)
    assert account is not None and account["collection"] == {}
