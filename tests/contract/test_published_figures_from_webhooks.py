"""Published figures, from Stripe-shaped webhooks to the offline journal.

P1 to P11: the worked examples of Stripe's revenue recognition documentation (subscriptions,
upgrades, cancellations, bad debt, voids, credit notes, taxes, customer balance), in USD. Service
periods begin and end at noon in New York, so that no day is shifted by a time zone.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from datetime import UTC, date, datetime
from typing import Any

from streamsync.core.records import Customer
from streamsync.governance import load_company
from tests.ledger_driver import ACME
from tests.stripe_payloads import credit_note, event, invoice, line, tax
from topology.offline import Journal, journal

NOON_UTC = 17  # noon in New York in winter


def at(month: int, day: int, year: int = 2026) -> int:
    return int(datetime(year, month, day, NOON_UTC, tzinfo=UTC).timestamp())


def item(number: int, amount: int, start: int, end: int, **changes: Any) -> dict[str, Any]:
    return line(id=f"il_{number}", amount=amount, period={"start": start, "end": end}, **changes)


def bill(*lines: dict[str, Any], on: int, total: int | None = None, **changes: Any) -> Any:
    times = {"finalized_at": on, "paid_at": on + 60}
    whole = sum(one["amount"] for one in lines) if total is None else total
    figures = {"total": whole, "amount_due": whole, "amount_paid": whole}
    return invoice(*lines, **(figures | {"status_transitions": times} | changes))


def issued(document: dict[str, Any], number: int = 1) -> dict[str, Any]:
    return event("invoice.finalized", document, id=f"evt_issued_{number}")


def run(events: Sequence[dict[str, Any]], through: date = date(2026, 12, 31)) -> Journal:
    customer = Customer(
        tenant="acme",
        account="acme/stripe/cus_1",
        party="P-1",
        country="US",
        version=1,
        deleted=False,
        published_by="crm",
    )
    payloads = [(f"event {place}", json.dumps(one).encode()) for place, one in enumerate(events)]
    made = journal(load_company(ACME), [customer], payloads, source="stripe", through=through)
    assert made.counts["posted"] == len(events), made.unposted
    return made


def by_month(made: Journal, role: str) -> dict[str, int]:
    """Credits minus debits of a role by month."""
    found: dict[str, int] = {}
    for command in made.commands:
        for one in command.lines:
            if one.role == role:
                sign = 1 if one.side == "credit" else -1
                found[command.period] = found.get(command.period, 0) + sign * one.amount_minor
    return {month: amount for month, amount in sorted(found.items()) if amount}


def test_p1_a_month_from_mid_january() -> None:
    made = run([issued(bill(item(1, 3100, at(1, 15), at(2, 15)), on=at(1, 15)))])
    assert by_month(made, "revenue") == {"2026-01": 1700, "2026-02": 1400}
    assert by_month(made, "deferred_revenue") == {"2026-01": 1400, "2026-02": -1400}


def test_p2_a_year_by_days() -> None:
    made = run([issued(bill(item(1, 36500, at(1, 1), at(1, 1, 2027)), on=at(1, 1)))])
    revenue = by_month(made, "revenue")
    assert [revenue[f"2026-0{month}"] for month in (1, 2, 3)] == [3100, 2800, 3100]
    deferred = by_month(made, "deferred_revenue")
    assert [deferred[f"2026-0{month}"] for month in (1, 2, 3)] == [33400, -2800, -3100]


def test_p3_an_upgrade_with_its_negative_proration_line() -> None:
    # 90 for April, upgraded to 120 on the 21st: 30 back and 40 more for the last ten days.
    first = bill(item(1, 9000, at(4, 1), at(5, 1)), on=at(4, 1))
    change = bill(
        item(2, -3000, at(4, 21), at(5, 1), proration=True),
        item(3, 4000, at(4, 21), at(5, 1), proration=True),
        on=at(4, 21),
        id="in_2",
    )
    made = run([issued(first), issued(change, 2)])
    assert by_month(made, "revenue") == {"2026-04": 10000}


def test_p4_cancelled_without_refund_keeps_its_schedule() -> None:
    made = run([issued(bill(item(1, 9000, at(1, 1), at(4, 1)), on=at(1, 1)))])
    assert by_month(made, "revenue") == {"2026-01": 3100, "2026-02": 2800, "2026-03": 3100}
    assert by_month(made, "deferred_revenue") == {
        "2026-01": 5900,
        "2026-02": -2800,
        "2026-03": -3100,
    }


def test_p5_a_line_without_period_is_revenue_at_once() -> None:
    lines = (item(1, 3100, at(1, 15), at(2, 15)), item(2, 500, at(1, 15), at(1, 15)))
    made = run([issued(bill(*lines, on=at(1, 15)))], through=date(2026, 1, 31))
    assert by_month(made, "revenue") == {"2026-01": 2200}
    assert by_month(made, "deferred_revenue") == {"2026-01": 1400}


def closed(kind: str, field: str) -> Journal:
    document = bill(item(1, 3100, at(1, 15), at(2, 15)), on=at(1, 15))
    times = {"finalized_at": at(1, 15), "paid_at": None, field: at(2, 1)}
    end = event(kind, document | {"status_transitions": times}, id="evt_end")
    return run([issued(document), end])


def test_p6_uncollectible() -> None:
    made = closed("invoice.marked_uncollectible", "marked_uncollectible_at")
    assert by_month(made, "receivable") == {"2026-01": -3100, "2026-02": 3100}
    assert by_month(made, "deferred_revenue") == {"2026-01": 1400, "2026-02": -1400}
    assert by_month(made, "bad_debt") == {"2026-02": -1700}


def test_p7_void() -> None:
    made = closed("invoice.voided", "voided_at")
    assert by_month(made, "receivable") == {"2026-01": -3100, "2026-02": 3100}
    assert by_month(made, "deferred_revenue") == {"2026-01": 1400, "2026-02": -1400}
    assert by_month(made, "voids_contra") == {"2026-02": -1700}


def note(amount: int, on: int) -> dict[str, Any]:
    body = credit_note(created=on, total=amount, tax_amounts=[])
    body["lines"]["data"][0] |= {"amount": amount, "tax_amounts": []}
    return event("credit_note.created", body, id="evt_note")


def test_p8_a_credit_note_after_a_month() -> None:
    document = bill(item(1, 9000, at(1, 1), at(4, 1)), on=at(1, 1))
    made = run([issued(document), note(4500, at(2, 1))])
    assert by_month(made, "receivable") == {"2026-01": -9000, "2026-02": 4500}
    assert by_month(made, "revenue") == {"2026-01": 3100, "2026-02": 1400, "2026-03": 1550}
    assert by_month(made, "deferred_revenue") == {
        "2026-01": 5900,
        "2026-02": -4350,
        "2026-03": -1550,
    }
    assert by_month(made, "credit_notes_contra") == {"2026-02": -1550}


def test_p9_a_credit_before_payment() -> None:
    document = bill(item(1, 12000, at(1, 1), at(4, 1)), on=at(1, 1))
    times = {"finalized_at": at(1, 1), "paid_at": at(2, 10)}
    paid = document | {"status_transitions": times, "amount_paid": 9000}
    made = run(
        [issued(document), note(3000, at(1, 1) + 60), event("invoice.paid", paid, id="evt_paid")]
    )
    assert by_month(made, "receivable") == {"2026-01": -9000, "2026-02": 9000}
    assert by_month(made, "revenue") == {"2026-01": 3100, "2026-02": 2800, "2026-03": 3100}
    assert by_month(made, "deferred_revenue") == {
        "2026-01": 5900,
        "2026-02": -2800,
        "2026-03": -3100,
    }


def test_p10_exclusive_tax_is_never_revenue() -> None:
    taxed = item(1, 3100, at(1, 15), at(2, 15), tax_amounts=[tax(310)])
    document = bill(taxed, on=at(1, 15), total=3410, tax=310)
    made = run([issued(document), event("invoice.paid", document, id="evt_paid")])
    assert sum(by_month(made, "revenue").values()) == 3100
    assert by_month(made, "tax_payable") == {"2026-01": 310}
    assert by_month(made, "clearing") == {"2026-01": -3410}
    assert by_month(made, "receivable") == {}


def test_p11_paid_partly_from_the_customers_balance() -> None:
    document = bill(
        item(1, 3100, at(1, 15), at(2, 15)),
        on=at(1, 15),
        starting_balance=-1100,
        ending_balance=0,
        amount_due=2000,
        amount_paid=2000,
    )
    made = run([issued(document), event("invoice.paid", document, id="evt_paid")])
    assert by_month(made, "clearing") == {"2026-01": -2000}
    assert by_month(made, "customer_credit") == {"2026-01": -1100}
    assert sum(by_month(made, "revenue").values()) == 3100
