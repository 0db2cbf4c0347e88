"""The simulated billing system: repeatable, complete for any seed, and true to itself."""

from __future__ import annotations

import json
from collections import Counter, defaultdict
from typing import Any

import pytest

from streamsync.simulator import SimulatedEvent, arrivals, customers, simulate
from streamsync.simulator.scenario import ACCOUNTS_MIN, FEATURES, cast
from tests import stripe_payloads as p

SEEDS = (1, 7, 20260101)


def told(events: list[SimulatedEvent]) -> list[dict[str, Any]]:
    return [json.loads(event.body) for event in events]


def of_kind(payloads: list[dict[str, Any]], kind: str) -> list[dict[str, Any]]:
    return [payload["data"]["object"] for payload in payloads if payload["type"] == kind]


def test_the_same_seed_gives_the_same_bytes_and_another_seed_others() -> None:
    assert list(simulate(7)) == list(simulate(7))
    assert [e.body for e in simulate(7)] != [e.body for e in simulate(8)]


@pytest.mark.parametrize("seed", SEEDS)
def test_the_size_and_the_order_of_the_stream(seed: int) -> None:
    events = list(simulate(seed))
    assert 1500 <= len(events) <= 3000
    assert [e.time_ms for e in events] == sorted(e.time_ms for e in events)
    first = 1767225600_000  # 2026-01-01T00:00:00Z
    for event in events:
        assert event.day == (event.time_ms - first) // 86_400_000
        assert 0 <= event.day < 60
        assert json.loads(event.body)["created"] * 1000 < event.time_ms


@pytest.mark.parametrize("seed", SEEDS)
def test_every_feature_occurs_in_both_countries_for_any_seed(seed: int) -> None:
    payloads = told(list(simulate(seed)))
    members = cast(seed, 100)
    for country in ("US", "JP"):
        assert {m.feature for m in members if m.country == country} >= set(FEATURES)
    for currency in ("usd", "jpy"):
        issued = [i for i in of_kind(payloads, "invoice.finalized") if i["currency"] == currency]
        lines = [line for i in issued for line in i["lines"]["data"]]
        assert any(line["proration"] and line["amount"] < 0 for line in lines)
        assert any(i["total"] < 0 for i in issued)
        assert any(i["tax"] and i["total"] > 0 for i in issued)
        paid = [i for i in of_kind(payloads, "invoice.paid") if i["currency"] == currency]
        assert any(i["starting_balance"] < 0 < i["amount_paid"] for i in paid)
        assert any(i["paid_out_of_band"] for i in paid)
        assert any(i["attempt_count"] == 3 for i in paid)
        notes = [n for n in of_kind(payloads, "credit_note.created") if n["currency"] == currency]
        assert {n["type"] for n in notes} == {"pre_payment", "post_payment"}
        refunded = [c for c in of_kind(payloads, "charge.refunded") if c["currency"] == currency]
        assert any(c["amount_refunded"] == c["amount"] for c in refunded)
        assert any(len(c["refunds"]["data"]) == 2 for c in refunded)
        for kind in ("voided", "marked_uncollectible", "payment_failed"):
            assert any(i["currency"] == currency for i in of_kind(payloads, f"invoice.{kind}")), (
                kind
            )
    kinds = Counter(payload["type"] for payload in payloads)
    assert kinds["gift_allowance.granted"] == 1
    # One won, one lost, one of a charge that nobody tells.
    assert kinds["charge.dispute.created"] == 3
    assert kinds["product.created"] and kinds["price.updated"]


@pytest.mark.parametrize("seed", SEEDS)
def test_some_deliveries_are_repeated_and_some_overtaken(seed: int) -> None:
    events = list(simulate(seed))
    bodies = Counter(event.body for event in events)
    assert sum(count - 1 for count in bodies.values()) == 6
    seen: set[str] = set()
    overtaken = 0
    for payload in told(events):
        identity = payload["data"]["object"]["id"]
        if payload["type"] == "invoice.finalized":
            overtaken += identity in seen
        elif payload["type"] == "invoice.paid":
            seen.add(identity)
    assert overtaken >= 3


@pytest.mark.parametrize("seed", SEEDS)
def test_every_class_of_outcome_occurs_and_only_planned_ones_are_refused(seed: int) -> None:
    events = [p.read_bytes(event.body) for event in simulate(seed)]
    outcomes = Counter(event.outcome for event in events)
    assert outcomes["rejected"] == 2  # the two documents that do not add up
    assert outcomes["waiting"] == 0
    # Each dispute names only its charge: opened, withdrawn, lost; opened, withdrawn, back, won.
    assert sum(event.named_object is not None for event in events) >= 7
    assert outcomes["unknown"] == 1
    assert {e.detail for e in events if e.outcome == "rejected"} and all(
        "difference 1" in (e.detail or "") for e in events if e.outcome == "rejected"
    )
    facts = defaultdict(set)
    for event in events:
        for fact in event.facts:
            facts[event.account, fact.fact_id].add(fact)
    assert all(len(versions) == 1 for versions in facts.values())


@pytest.mark.parametrize("seed", SEEDS)
def test_money_adds_up_over_the_life_of_every_invoice(seed: int) -> None:
    """Naively, from the payloads: what was issued is paid, credited, lost, or still open."""
    payloads = told(list(simulate(seed)))
    total = {i["id"]: i["total"] for i in of_kind(payloads, "invoice.finalized")}
    for invoice in of_kind(payloads, "invoice.paid"):
        balance = invoice["ending_balance"] - invoice["starting_balance"]
        settled = invoice["amount_paid"] + invoice["pre_payment_credit_notes_amount"]
        if invoice["total"] > 0:
            assert settled + balance == total[invoice["id"]]
        else:
            assert settled == 0 and balance == invoice["total"]
    for charge in of_kind(payloads, "charge.refunded"):
        assert 0 < charge["amount_refunded"] <= charge["amount"]


@pytest.mark.parametrize("seed", SEEDS)
def test_a_balance_carries_over_from_document_to_document(seed: int) -> None:
    """Kept here a second time: documents and notes settled to the balance move it, in order."""
    once = {payload["id"]: payload for payload in told(list(simulate(seed)))}
    payloads = sorted(once.values(), key=lambda payload: payload["created"])
    balances: dict[str, int] = defaultdict(int)
    carried = 0
    for payload in payloads:
        body = payload["data"]["object"]
        if payload["type"] == "invoice.finalized" and "add-on" not in json.dumps(body):
            assert body["starting_balance"] == balances[body["customer"]]
            carried += body["starting_balance"] != 0
            balances[body["customer"]] = body["ending_balance"]
        elif payload["type"] == "credit_note.created" and body["customer_balance_transaction"]:
            balances[body["customer"]] -= body["total"]
    assert carried >= 4  # a downgrade and a note in each country


def test_a_shorter_month_is_simulated_to_its_last_day() -> None:
    assert max(event.day for event in simulate(7, days=10)) == 9


def test_too_few_accounts_for_every_feature_are_refused() -> None:
    with pytest.raises(ValueError, match="too few"):
        list(simulate(1, accounts=ACCOUNTS_MIN - 1))
    assert list(simulate(1, accounts=ACCOUNTS_MIN))


@pytest.mark.parametrize("seed", SEEDS)
def test_the_crm_knows_every_account_and_a_few_of_them_late(seed: int) -> None:
    events = list(simulate(seed))
    first_told: dict[str, int] = {}
    for event in events:
        read = p.read_bytes(event.body)
        if read.source_event_type.startswith("customer."):
            first_told.setdefault(read.account, event.time_ms)
    known = customers(seed)
    assert {customer.account for customer in known} == set(first_told)
    assert len(known) == len({customer.account for customer in known}) == 100
    told_by_crm = arrivals(seed)
    assert {a.customer for a in told_by_crm} == set(known)
    for arrival in told_by_crm:
        late = arrival.time_ms > first_told[arrival.customer.account]
        assert late == arrival.late
    assert sum(arrival.late for arrival in told_by_crm) == 12
    assert {c.country for c in known} == {"US", "JP", "DE", "KW"}
