"""The oracle against published figures.

The problem: an oracle is only worth something when it is right by itself. How: cases with
figures published by others (dollars there, cents here), built from small Stripe-shaped
payloads, and properties that hold for any input.
"""

import itertools
import json
import random
from collections.abc import Sequence
from datetime import UTC, date, datetime
from pathlib import Path
from typing import Any
from zoneinfo import ZoneInfo

import pytest

from tests.oracle.naive import journal, recompute
from tests.oracle.schedule import Service, Way

CUSTOMERS: list[dict[str, object]] = [
    {"account": "acme/stripe/cus_us", "party": "p1", "entity": "acme-us", "country": None},
    {"account": "acme/stripe/cus_jp", "party": "p2", "entity": None, "country": "JP"},
    {"account": "acme/stripe/cus_any", "party": "p3", "entity": None, "country": None},
]
TODAY = date(2023, 1, 1)
SAMPLES = Path(__file__).resolve().parents[3] / "shared" / "data" / "stripe"
SERIAL = itertools.count(1)
Obj = dict[str, Any]


def at(month: int, day: int, hour: int = 17) -> int:
    """Epoch seconds in 2022; at 17:00 UTC New York has the same day."""
    return int(datetime(2022, month, day, hour, tzinfo=UTC).timestamp())


def event(kind: str, obj: Obj, created: int, **changes: object) -> bytes:
    """One webhook body."""
    body: Obj = {
        "id": f"evt_{next(SERIAL)}",
        "object": "event",
        "api_version": "2020-08-27",
        "created": created,
        "pending_webhooks": 1,
        "type": kind,
        "data": {"object": obj},
    }
    return json.dumps(body | changes).encode()


def line(amount: int, start: int | None = None, end: int | None = None, **more: object) -> Obj:
    """One invoice line, with a period when start and end are given."""
    start = at(1, 15) if start is None else start
    period = {"start": start, "end": start if end is None else end}
    return {"id": f"il_{next(SERIAL)}", "amount": amount, "period": period} | more


def tax(amount: int, *, inclusive: bool = False) -> list[Obj]:
    """The tax amounts of a line."""
    return [{"amount": amount, "inclusive": inclusive, "tax_rate": "txr_1"}]


def invoice(lines: Sequence[Obj], finalized: int, **more: object) -> Obj:
    """An invoice whose total is that of its lines."""
    total = sum(
        item["amount"]
        + sum(t["amount"] for t in item.get("tax_amounts", []) if not t["inclusive"])
        - sum(d["amount"] for d in item.get("discount_amounts", []))
        for item in lines
    )
    made: Obj = {
        "id": f"in_{next(SERIAL)}",
        "object": "invoice",
        "customer": "cus_us",
        "currency": "usd",
        "total": total,
        "amount_paid": 0,
        "starting_balance": 0,
        "ending_balance": 0,
        "lines": {"object": "list", "data": list(lines)},
        "status_transitions": {"finalized_at": finalized},
    }
    return made | more


def finalized(doc: Obj) -> bytes:
    """The event of its issue."""
    return event("invoice.finalized", doc, doc["status_transitions"]["finalized_at"] + 3)


def paid(doc: Obj, when: int, amount: int, kind: str = "invoice.paid", **more: object) -> bytes:
    """The event of its payment."""
    changed = doc | {"amount_paid": amount, "status_transitions": {"paid_at": when}} | more
    return event(kind, changed, when + 3)


def closed(doc: Obj, when: int, kind: str) -> bytes:
    """The event of its void or giving up (without the field: the event's time counts)."""
    return event(f"invoice.{kind}", doc, when)


def note(doc: Obj, when: int, total: int, kind: str, **more: object) -> bytes:
    """A credit note on it."""
    made: Obj = {
        "id": f"cn_{next(SERIAL)}",
        "customer": doc["customer"],
        "currency": doc["currency"],
        "invoice": doc["id"],
        "created": when,
        "total": total,
        "tax_amounts": [],
        "type": kind,
        "refund": None,
    }
    return event("credit_note.created", made | more, when)


def refunded(doc: Obj | None, refunds: Sequence[tuple[str, int, int]], **more: object) -> bytes:
    """A charge with its refunds so far: (id, time, amount)."""
    charge: Obj = {
        "id": f"ch_{doc['id']}" if doc else "ch_1",
        "customer": "cus_us",
        "currency": "usd",
        "invoice": doc["id"] if doc else None,
        "amount_refunded": sum(amount for _, _, amount in refunds),
        "refunds": {
            "data": [
                {"id": name, "created": when, "amount": amount, "status": "succeeded"}
                for name, when, amount in refunds
            ]
        },
    }
    return event("charge.refunded", charge | more, refunds[-1][1] if refunds else at(3, 1))


def moves(bodies: Sequence[bytes], role: str, today: date = TODAY) -> dict[str, int]:
    """Debit less credit of a role by period, zero sums left out."""
    sums: dict[str, int] = {}
    for entry in journal(bodies, CUSTOMERS, today=today):
        lines = entry["lines"]
        assert isinstance(lines, list)
        for leg in lines:
            if leg["role"] == role:
                amount = leg["amount_minor"] if leg["side"] == "debit" else -leg["amount_minor"]
                period = str(entry["period"])
                sums[period] = sums.get(period, 0) + amount
    return {period: amount for period, amount in sums.items() if amount}


def earned(bodies: Sequence[bytes], role: str, today: date = TODAY) -> list[int]:
    """Credit less debit of a role, by period in order."""
    return [-amount for _, amount in sorted(moves(bodies, role, today).items())]


def result(bodies: Sequence[bytes], manifest: Sequence[Obj] = (), today: date = TODAY) -> Any:  # noqa: ANN401
    """Everything; the trial balance must be zero by entity."""
    found = recompute(bodies, CUSTOMERS, manifest, today=today)
    balance: Any = found["trial_balance"]
    for entity in ("acme-us", "acme-jp"):
        rows = [row for row in balance if row["entity"] == entity]
        assert sum(row["debit_minor"] - row["credit_minor"] for row in rows) == 0
    return found


def classes(bodies: Sequence[bytes]) -> dict[str, int]:
    """The classes that are not empty, without the inputs."""
    events = result(bodies)["events"]
    assert events["inputs"] == sum(events.values()) - events["inputs"] == len(bodies)
    return {name: count for name, count in events.items() if count and name != "inputs"}


def monthly() -> Obj:
    """P1: 31 a month from 15 January."""
    return invoice([line(3100, at(1, 15), at(2, 15))], at(1, 15))


def quarterly() -> Obj:
    """90 for January to March."""
    return invoice([line(9000, at(1, 1), at(4, 1))], at(1, 1))


def test_p1_monthly() -> None:
    """Revenue 17 and 14; deferred +14, -14."""
    bodies = [finalized(monthly())]
    assert earned(bodies, "revenue") == [1700, 1400]
    assert earned(bodies, "deferred_revenue") == [1400, -1400]
    assert [row["balance_minor"] for row in result(bodies)["deferred"]] == [1400, 0]


def test_p2_annual() -> None:
    """31, 28, 31, …; deferred +334, -28, -31, …."""
    year_end = int(datetime(2023, 1, 1, 17, tzinfo=UTC).timestamp())
    bodies = [finalized(invoice([line(36500, at(1, 1), year_end)], at(1, 1)))]
    assert earned(bodies, "revenue")[:3] == [3100, 2800, 3100]
    assert earned(bodies, "deferred_revenue")[:3] == [33400, -2800, -3100]
    assert sum(earned(bodies, "revenue")) == 36500


def test_p3_upgrade() -> None:
    """A credit line and a charge line for the rest of April: 60 + 40."""
    first = invoice([line(9000, at(4, 1), at(5, 1))], at(4, 1))
    rest = (at(4, 21), at(5, 1))
    second = invoice([line(-3000, *rest, proration=True), line(4000, *rest)], at(4, 21))
    bodies = [finalized(first), finalized(second)]
    assert moves(bodies, "revenue") == {"2022-04": -10000}
    issued, released = result(bodies)["totals"]
    assert (issued["billing_minor"], issued["commands_debit_minor"]) == (10000, 9000 + 1000 + 3000)
    assert (released["billing_minor"], released["commands_debit_minor"]) == (10000, 16000)


def test_p4_cancelled_without_refund() -> None:
    """The schedule stands: 31, 28, 31; deferred +59, -28, -31."""
    gone = event("customer.subscription.deleted", {"id": "sub_1"}, at(1, 31))
    bodies = [finalized(quarterly()), gone]
    assert earned(bodies, "revenue") == [3100, 2800, 3100]
    assert earned(bodies, "deferred_revenue") == [5900, -2800, -3100]
    assert classes(bodies) == {"posted": 1, "no_entry": 1}


def test_p5_line_without_period() -> None:
    """Revenue 22 in January, deferred 14."""
    bodies = [finalized(invoice([line(3100, at(1, 15), at(2, 15)), line(500)], at(1, 15)))]
    assert earned(bodies, "revenue") == [2200, 1400]
    assert earned(bodies, "deferred_revenue") == [1400, -1400]


@pytest.mark.parametrize(
    ("kind", "contra"), [("marked_uncollectible", "bad_debt"), ("voided", "voids_contra")]
)
def test_p6_p7_given_up(kind: str, contra: str) -> None:
    """Receivable +31, -31; deferred +14, -14; the contra +17; no February revenue."""
    doc = monthly()
    bodies = [finalized(doc), closed(doc, at(2, 1), kind)]
    assert moves(bodies, "receivable") == {"2022-01": 3100, "2022-02": -3100}
    assert earned(bodies, "deferred_revenue") == [1400, -1400]
    assert moves(bodies, contra) == {"2022-02": 1700}
    assert earned(bodies, "revenue") == [1700]


def test_p8_credit_note() -> None:
    """Revenue 31, 14, 15.50; deferred +59, -43.50, -15.50; contra 15.50."""
    doc = quarterly()
    bodies = [finalized(doc), note(doc, at(2, 1), 4500, "pre_payment")]
    assert moves(bodies, "receivable") == {"2022-01": 9000, "2022-02": -4500}
    assert earned(bodies, "revenue") == [3100, 1400, 1550]
    assert earned(bodies, "deferred_revenue") == [5900, -4350, -1550]
    assert moves(bodies, "credit_notes_contra") == {"2022-02": 1550}


def test_p9_pre_payment_credit() -> None:
    """120 less 30 at once, paid in February: as if 90 had been billed."""
    doc = invoice([line(12000, at(1, 1), at(4, 1))], at(1, 1))
    bodies = [
        finalized(doc),
        note(doc, at(1, 2), 3000, "pre_payment"),
        paid(doc, at(2, 3), 9000),
    ]
    assert moves(bodies, "receivable") == {"2022-01": 9000, "2022-02": -9000}
    assert earned(bodies, "revenue") == [3100, 2800, 3100]
    assert earned(bodies, "deferred_revenue") == [5900, -2800, -3100]


def test_p10_exclusive_tax() -> None:
    """Revenue 31, cash 34.10, tax 3.10."""
    doc = invoice([line(3100, at(1, 1), at(2, 1), tax_amounts=tax(310))], at(1, 1))
    bodies = [finalized(doc), paid(doc, at(1, 2), 3410)]
    assert earned(bodies, "revenue") == [3100]
    assert earned(bodies, "tax_payable") == [310]
    assert moves(bodies, "clearing") == {"2022-01": 3410}


def test_p11_customer_balance() -> None:
    """Cash 20, revenue 31, customer balance -11."""
    doc = invoice([line(3100, at(1, 1), at(2, 1))], at(1, 1), starting_balance=-1100)
    bodies = [finalized(doc), paid(doc, at(1, 2), 2000)]
    assert moves(bodies, "clearing") == {"2022-01": 2000}
    assert moves(bodies, "customer_credit") == {"2022-01": 1100}
    assert moves(bodies, "receivable") == {}
    payment = result(bodies)["totals"][1]
    assert (payment["purpose"], payment["billing_minor"]) == ("payment_applied", 3100)


def test_inclusive_tax_and_discount() -> None:
    """Net is the amount less discounts and inclusive tax."""
    made = line(2000, tax_amounts=tax(248, inclusive=True), discount_amounts=[{"amount": 100}])
    bodies = [finalized(invoice([made], at(1, 15)))]
    assert earned(bodies, "revenue") == [1652]
    assert earned(bodies, "tax_payable") == [248]


def test_refunds_share_tax_and_schedule() -> None:
    """Two refunds: tax cumulative, the second told together with the first, told twice."""
    doc = invoice([line(9000, at(1, 1), at(4, 1), tax_amounts=tax(905))], at(1, 1))
    first, second = ("re_1", at(2, 1), 3333), ("re_2", at(3, 1), 6572)
    bodies = [
        refunded(doc, [first, second]),
        finalized(doc),
        paid(doc, at(1, 1), 9905),
        refunded(doc, [first]),
    ]
    assert classes(bodies) == {"posted": 3, "duplicate": 1}
    assert moves(bodies, "tax_payable") == {"2022-01": -905, "2022-02": 305, "2022-03": 600}
    assert moves(bodies, "clearing") == {"2022-01": 9905, "2022-02": -3333, "2022-03": -6572}
    assert sum(moves(bodies, "deferred_revenue").values()) == 0
    # 3028 net on 1 February, of which 31/90 was earned; the other 1985 lowers 5900 to 3915.
    assert moves(bodies, "refunds_contra")["2022-02"] == 1043
    assert moves(bodies, "revenue")["2022-02"] == -(3915 * 28 // 59)


def test_refund_settles_credit_note() -> None:
    """The note books nothing; the refund books the note's split, whichever comes first."""
    doc = quarterly()
    told = note(doc, at(2, 1), 4500, "post_payment", refund="re_9")
    gave = refunded(doc, [("re_9", at(2, 1), 4500)])
    for bodies in ([finalized(doc), told, gave], [gave, told, finalized(doc)]):
        assert classes(bodies) == {"posted": 2, "no_entry": 1}
        assert moves(bodies, "credit_notes_contra") == {"2022-02": 1550}
        assert moves(bodies, "clearing") == {"2022-02": -4500}


def test_credit_note_by_lines_and_too_much() -> None:
    """A note names its line; one for more than what is left is rejected."""
    doc = invoice([line(1000), line(3100, at(1, 15), at(2, 15))], at(1, 15))
    named = {"data": [{"amount": 1000, "invoice_line_item": doc["lines"]["data"][0]["id"]}]}
    bodies = [finalized(doc), note(doc, at(1, 16), 1000, "post_payment", lines=named)]
    assert moves(bodies, "credit_notes_contra") == {"2022-01": 1000}
    assert moves(bodies, "customer_credit") == {"2022-01": -1000}
    bodies.append(note(doc, at(1, 17), 3101, "post_payment"))
    assert classes(bodies) == {"posted": 2, "rejected": 1}


def test_negative_zero_and_out_of_band() -> None:
    """A negative invoice credits the customer; nothing to pay is no entry."""
    down = invoice([line(-5000, at(1, 15), at(2, 15))], at(1, 15), ending_balance=-5000)
    free = invoice([line(0)], at(1, 15))
    bank = invoice([line(700)], at(1, 15))
    bodies = [
        finalized(down),
        paid(down, at(1, 15), 0),
        finalized(free),
        paid(free, at(1, 15), 0),
        finalized(bank),
        paid(bank, at(1, 20), 700, paid_out_of_band=True),
    ]
    assert classes(bodies) == {"posted": 3, "no_entry": 3}
    assert moves(bodies, "customer_credit") == {"2022-01": -5000}
    assert moves(bodies, "cash_received_elsewhere") == {"2022-01": 700}
    totals = {
        (row["period"], row["purpose"]): row["billing_minor"] for row in result(bodies)["totals"]
    }
    assert totals[("2022-01", "invoice_issued")] == -4300
    assert totals[("2022-02", "revenue_released")] < 0


@pytest.mark.parametrize(
    ("basis", "rounding", "rows"),
    [
        ("day", "last_absorbs", [1600, 3100, 3100, 3000, 1200]),
        ("even_month", "last_absorbs", [3000, 3000, 3000, 3000]),
        ("even_month_prorated", "last_absorbs", [1550, 3066, 3066, 3068, 1250]),
        ("even_month_prorated", "largest_remainder", [1550, 3067, 3067, 3066, 1250]),
        ("even_month_prorated", "cumulative_round", [1550, 3067, 3066, 3067, 1250]),
        ("millisecond", "last_absorbs", [1550, 3100, 3100, 3000, 1250]),
    ],
)
def test_p12_every_basis_of_stripes_example(basis: str, rounding: str, rows: list[int]) -> None:
    """120 for noon of 15 June to noon of 13 October (P12, and docs/accounting.md)."""
    zone = ZoneInfo("America/New_York")
    noon = [int(datetime(2022, *day, 12, tzinfo=zone).timestamp()) for day in ((6, 15), (10, 13))]
    found = Service(noon[0], noon[1], zone, Way(basis, rounding)).spread(12000)
    assert [amount for _, amount in sorted(found.items())] == rows
    back = Service(noon[0], noon[1], zone, Way(basis, rounding)).spread(-12000)
    assert back == {month: -amount for month, amount in found.items()}


def test_yen_books_on_tokyo_days() -> None:
    """15:00 UTC on 31 January is already February in Tokyo; floors, the last month absorbs."""
    doc = invoice(
        [line(1000, at(1, 31, 15), at(4, 30, 15))],
        at(1, 31, 15),
        customer="cus_jp",
        currency="jpy",
    )
    bodies = [finalized(doc)]
    assert moves(bodies, "receivable") == {"2022-02": 1000}
    assert earned(bodies, "revenue") == [1000 * 28 // 89, 1000 * 31 // 89, 1000 - 314 - 348]
    assert {row["entity"] for row in result(bodies)["trial_balance"]} == {"acme-jp"}


def test_clock_holds_releases_back() -> None:
    """A release of the 31st is booked from the 1st on."""
    bodies = [finalized(monthly())]
    assert earned(bodies, "revenue", date(2022, 1, 31)) == []
    assert earned(bodies, "revenue", date(2022, 2, 1)) == [1700]


def test_classes() -> None:
    """One of each class, and what decides it."""
    doc = monthly()
    other = monthly()
    body = finalized(doc)
    conflict = doc | {"lines": {"data": [line(3200, at(1, 15), at(2, 15))]}, "total": 3200}
    bodies = [
        body,
        body,
        finalized(conflict),
        event("invoice.finalized", other | {"total": 1}, at(1, 15)),
        event("invoice.finalized", monthly() | {"customer": "cus_new"}, at(1, 15)),
        event("invoice.finalized", monthly() | {"customer": "cus_jp"}, at(1, 15)),
        event("invoice.rewritten", monthly(), at(1, 15)),
        closed(other, at(2, 1), "voided"),
        event("charge.succeeded", {"id": "ch_9", "amount": 100, "currency": "usd"}, at(1, 15)),
        event("price.created", {"id": "price_1"}, at(1, 15)),
        event("customer.updated", {"id": "cus_us"}, at(1, 15)),
        paid(doc, at(1, 16), 3100),
        paid(doc, at(1, 16), 3100, "invoice.payment_succeeded"),
        b"{not json",
        refunded(None, [("re_0", at(1, 20), 100)]),
    ]
    # Two customers and a charge's owner are unknown, one invoice has not been seen.
    expected = {"posted": 3, "duplicate": 2, "rejected": 3, "waiting": 4, "unknown": 1}
    assert classes(bodies) == expected | {"ignored": 1, "no_entry": 1}


def lifecycle() -> list[bytes]:
    """A month of mixed business, each fact told once."""
    bodies: list[bytes] = []
    for number in range(6):
        doc = invoice(
            [
                line(3101 + number, at(1, 15), at(4, 15), tax_amounts=tax(311)),
                line(-700, at(1, 15), at(2, 15), tax_amounts=tax(-71)),
                line(499),
            ],
            at(1, 15),
        )
        bodies.append(finalized(doc))
        if number < 4:
            bodies.append(paid(doc, at(1, 16), doc["total"]))
            bodies.append(note(doc, at(2, 10), 301, "post_payment", tax_amounts=tax(27)))
            bodies.append(refunded(doc, [(f"re_{doc['id']}", at(3, 10), 404 + number)]))
        else:
            bodies.append(note(doc, at(2, 10), 301, "pre_payment", tax_amounts=tax(27)))
            bodies.append(
                closed(doc, at(3, 1), "voided" if number == 4 else "marked_uncollectible")
            )
    return bodies


@pytest.mark.parametrize("seed", range(10))
def test_order_and_duplicates_change_nothing(seed: int) -> None:
    """Only the duplicate class (and the inputs) may differ."""
    bodies = lifecycle()
    before = result(bodies)
    assert before["events"]["posted"] == len(bodies)
    shuffler = random.Random(seed)
    again = bodies + shuffler.choices(bodies, k=9)
    shuffler.shuffle(again)
    after = result(again)
    assert after["events"]["duplicate"] == 9
    after["events"] |= {"duplicate": 0, "inputs": len(bodies)}
    assert after == before
    assert sum(moves(bodies, "deferred_revenue").values()) == 0
    assert sum(moves(bodies, "receivable").values()) == 0
    assert all(row["billing_minor"] == row["commands_minor"] for row in before["totals"])


def test_manifest() -> None:
    """Injected faults: what the ERP lacks, and which code each must raise."""
    group = {
        "entity": "acme-us",
        "period": "2022-01",
        "currency": "USD",
        "purpose": "invoice_issued",
        "command_debit_minor": 3100,
    }
    kinds: list[tuple[str, int, int | None]] = [
        ("reject", 0, 1),
        ("alter", 3000, 1),
        ("late", 3100, 5),
        ("late", 3100, None),
        ("no_answer", 3100, None),
    ]
    manifest = [
        {
            "idempotency_key": f"k{number}",
            "kind": kind,
            "booked_debit_minor": held,
            "answered_at_ms": when,
        }
        | group
        for number, (kind, held, when) in enumerate(kinds)
    ]
    found = result([finalized(monthly()) for _ in kinds], manifest)
    assert found["mismatches"] == {"M01": ["k3"], "M02": ["k0"], "M04": ["k1"], "M11": ["k2"]}
    issued = found["totals"][0]
    assert issued["commands_debit_minor"] == 5 * 3100
    assert issued["open_difference_minor"] == 3100 + 100 + 3100
    assert issued["erp_debit_minor"] == 15500 - 6300


@pytest.mark.skipif(not SAMPLES.is_dir(), reason="the sample payloads are not here")
def test_sample_payloads_are_all_classed() -> None:
    """Every sample is in exactly one class; one is rejected: a dispute without an id."""
    bodies = [path.read_bytes() for path in sorted(SAMPLES.glob("*.json"))]
    assert classes(bodies)["rejected"] == 1


def test_a_charge_of_the_newer_shape_waits_until_its_payment_intent_is_told_of() -> None:
    newer = {"api_version": "2025-03-31.basil"}
    taken = at(1, 20)
    charge: Obj = {
        "id": "ch_1", "object": "charge", "amount": 3100, "currency": "usd", "created": taken,
        "customer": "cus_us", "payment_intent": "pi_1",
    }  # fmt: skip
    back = charge | {"amount_refunded": 3100}
    payment: Obj = {
        "id": "inpay_1", "object": "invoice_payment", "invoice": "in_1",
        "payment": {"type": "payment_intent", "payment_intent": "pi_1"},
    }  # fmt: skip
    told = [
        event("charge.succeeded", charge, taken, **newer),
        event("charge.refunded", back, taken + 60, **newer),
    ]
    events = recompute(told, CUSTOMERS, [], today=TODAY)["events"]
    assert isinstance(events, dict)
    assert (events["waiting"], events["posted"]) == (2, 0)

    period = {"start": at(1, 15), "end": at(2, 15)}
    item = {"id": "il_1", "amount": 3100, "period": period}
    issued = finalized(invoice([item], at(1, 15), id="in_1"))
    told += [issued, event("invoice_payment.paid", payment, taken, **newer)]
    assert journal(told[:2], CUSTOMERS, today=TODAY) == []
    booked = [row["purpose"] for row in journal(told, CUSTOMERS, today=TODAY)]
    assert booked == ["invoice_issued", "refunded"]
    events = recompute(told, CUSTOMERS, [], today=TODAY)["events"]
    assert isinstance(events, dict)
    assert (events["waiting"], events["no_entry"], events["posted"]) == (0, 2, 2)
