"""What the first record of a document, a tenant or a tick may not decide for all that follow."""

from __future__ import annotations

from typing import Any

import pytest
from msgspec.structs import replace

from streamsync.core.records import PeriodStatus, PostingConfirmation, Tick
from streamsync.governance import load_company, reference_data
from tests.ledger_driver import ACME, Books, ms, rejects
from tests.stripe_payloads import FEB_15, JAN_15, charge, event, invoice, line, refund
from topology import topics
from topology.offline import accepts

NOON = 43_200
DAY = 86_400


def issued(number: int = 1, **changes: Any) -> dict[str, Any]:
    times = {"finalized_at": JAN_15 + NOON, "paid_at": None}
    item = line(
        id=f"il_{number}",
        period={"start": JAN_15 + NOON, "end": FEB_15 + NOON},
        currency=changes.get("currency", "usd"),
    )
    body = invoice(item, id=f"in_{number}", status_transitions=times, **changes)
    return event("invoice.finalized", body, id=f"evt_issued_{number}")


def voided(at: int) -> dict[str, Any]:
    times = {"finalized_at": JAN_15 + NOON, "paid_at": None, "voided_at": at}
    return event("invoice.voided", invoice(status_transitions=times), id="evt_void")


def closed(period: str, **changes: Any) -> PeriodStatus:
    status = PeriodStatus(
        tenant="acme",
        entity="acme-us",
        ledger="main",
        period=period,
        status="closed",
        version=1,
        changed_by="close",
    )
    return replace(status, **changes)


def subscription_rows(books: Books) -> dict[str, dict[str, int]]:
    from topology.rows import SUBSCRIPTION  # noqa: PLC0415

    found = {}
    for partition in range(books.driver.partitions("ledger")):
        for key, row in books.driver.shard("ledger", partition).scan(SUBSCRIPTION):
            found[key.rsplit("|", 1)[1]] = {k: v for k, v in row.sums.items() if v}
    return {name: sums for name, sums in found.items() if sums}


def play_refunded(refund_first: bool) -> Books:
    books = Books()
    books.customer("cus_1")
    given = event("charge.refunded", charge(refund("re_1", 500, FEB_15)), id="evt_refund")
    for payload in (given, issued()) if refund_first else (issued(), given):
        books.webhook(payload)
        books.run()
    return books


def test_a_refund_that_comes_before_its_invoice_counts_for_the_same_subscription() -> None:
    in_order, refund_first = play_refunded(False), play_refunded(True)
    assert set(subscription_rows(in_order)) == {"sub_1"}
    assert subscription_rows(refund_first) == subscription_rows(in_order)
    assert {made.subscription for made in refund_first.commands()} == {"sub_1"}


@pytest.mark.parametrize("listed", ["the newest first", "the oldest first", "the first one failed"])
def test_a_refund_repeated_among_others_is_no_other_refund(listed: str) -> None:
    first, second = refund("re_1", 500, FEB_15), refund("re_2", 700, FEB_15)
    if listed == "the first one failed":
        # Stripe takes what never left out of the charge's sum.
        third = refund("re_3", 300, FEB_15)
        failed = first | {"status": "failed"}
        later = charge(third, second, failed, amount_refunded=1_000)
        told = [charge(first), charge(second, first), later]
    else:
        both = (second, first) if listed == "the newest first" else (first, second)
        told = [charge(first), charge(*both)]
    books = Books()
    books.customer("cus_1")
    books.webhook(issued())
    for number, body in enumerate(told):
        books.webhook(event("charge.refunded", body, id=f"evt_refund_{number}"))
    books.run()
    assert books.counts() == {"posted": len(told) + 1}
    assert books.open_codes() == []


def test_a_fact_in_another_currency_that_comes_first_does_not_name_the_documents_currency() -> None:
    books = Books()
    books.customer("cus_1")
    books.webhook(event("invoice.paid", invoice(currency="eur"), id="evt_eur"))
    books.webhook(issued())
    books.run()
    books.tick("2026-01-20T12:00:00")
    books.run()
    assert [(made.purpose, made.txn_currency) for made in books.commands()] == [
        ("invoice_issued", "USD")
    ]
    assert "currency_differs" in books.open_codes()
    assert books.totals("acme-us").billing_agrees


def test_a_booked_document_goes_on_when_its_customer_is_deleted() -> None:
    books = Books()
    books.customer("cus_1")
    books.webhook(issued())
    books.run()
    gone = replace(books.customer_record("cus_1", version=2), deleted=True)
    books.feed(topics.CUSTOMERS, gone.account, gone)
    books.tick("2026-02-01T12:00:00")
    books.run()
    # Its deferred revenue is still earned; a new document of nobody waits.
    assert books.balances()["acme-us", "revenue"] == -1700
    assert books.open_codes() == []
    books.webhook(issued(2))
    books.run()
    assert books.open_codes() == ["customer_not_found"]


def test_a_document_never_moves_to_another_entity() -> None:
    books = Books()
    books.customer("cus_1")
    books.webhook(issued())
    books.run()
    company = load_company(ACME)
    without = replace(
        company,
        version=2,
        entities=tuple(one for one in company.entities if one.id != "acme-us"),
    )
    books.publish(reference_data(without, 0, "test", None))
    books.run()
    books.webhook(voided(JAN_15 + DAY))
    books.run()
    assert {made.entity for made in books.commands()} == {"acme-us"}
    assert len(books.commands()) == 1
    # Both facts wait until the entity is back.
    assert books.open_codes() == ["entity_unmapped", "entity_unmapped"]
    books.publish(reference_data(replace(company, version=3), 0, "test", None))
    books.run()
    assert books.open_codes() == []
    assert books.balances() == {}


def test_what_was_accepted_is_corrected_in_the_erp_that_holds_it() -> None:
    books = Books()
    books.customer("cus_1")
    books.webhook(issued())
    books.tick("2026-02-01T12:00:00")
    books.run()
    company = load_company(ACME)
    moved = tuple(replace(one, target_erp="other") for one in company.entities)
    books.publish(reference_data(replace(company, version=2, entities=moved), 0, "test", None))
    books.run()
    books.webhook(voided(JAN_15 + DAY))
    books.run()
    told = {(made.purpose, made.action): made.target_erp for made in books.commands()}
    assert told["revenue_released", "correct"] == "sim"
    assert told["invoice_voided", "post"] == "other"


def test_the_inverse_of_what_rolled_into_another_period_counts_in_its_natural_one() -> None:
    books = Books()
    books.publish(closed("2026-01"))
    books.customer("cus_1")
    books.webhook(issued())
    books.tick("2026-02-01T12:00:00")
    books.run()
    rolled = [made for made in books.commands() if made.purpose == "revenue_released"]
    assert [(made.period, made.original_period) for made in rolled] == [("2026-02", "2026-01")]
    books.webhook(voided(JAN_15 + DAY))
    books.run()
    books.tick("2026-02-02T12:00:00")
    books.run()
    last = [made for made in books.commands() if made.purpose == "revenue_released"][-1]
    assert (last.action, last.period, last.original_period) == ("correct", "2026-02", "2026-01")
    totals = books.totals("acme-us")
    assert totals.billing_agrees, [one for one in totals.lines if one.purpose == last.purpose]


def test_of_two_staged_rules_for_one_tick_the_higher_version_counts() -> None:
    books = Books()
    company = load_company(ACME)
    for version in (3, 2):
        books.publish(reference_data(replace(company, version=version), 2, "test", None))
    for day in range(1, 5):
        books.tick(f"2026-01-0{day}T12:00:00")
    books.customer("cus_1")
    books.run()
    books.webhook(issued())
    books.run()
    assert [made.mapping.version for made in books.commands()] == [3]


def test_rules_under_another_tenants_name_are_a_dead_letter() -> None:
    books = Books()
    item = reference_data(replace(load_company(ACME), version=2), 0, "test", None)
    books.publish(replace(item, tenant="globex"))
    books.run()
    assert {letter.reason for letter in books.dead_letters()} == {"rules_malformed"}


def test_a_clock_that_is_set_back_holds_the_time_and_stops_nothing() -> None:
    books = Books()
    books.customer("cus_1")
    books.webhook(issued())
    books.tick("2026-01-20T12:00:00")
    books.tick("2026-01-20T11:59:00")
    books.tick("2026-02-01T12:00:00")
    books.run()
    assert books.dead_letters() == []
    assert books.balances()["acme-us", "revenue"] == -1700
    assert books.totals("acme-us").tick_number == 2
    times = {clock.time_ms for clock in books.clocks()}
    assert times == {ms("2026-02-01T12:00:00")}


def test_one_tick_that_comes_twice_counts_once() -> None:
    books = Books()
    for _ in range(2):
        books.publish(Tick(number=0, time_ms=ms("2026-01-20T12:00:00"), leader="a"))
    books.tick("2026-01-20T12:00:00")
    books.run()
    assert books.dead_letters() == []
    assert [clock.number for clock in books.clocks()] == [0, 0, 0, 0]


def test_an_orphan_belongs_to_the_tenant_whose_entity_it_names() -> None:
    books = Books()
    books.customer("cus_1")
    books.webhook(issued())
    books.run()
    (command,) = books.commands()
    orphan = replace(
        accepts(command, "stranger"),
        account=None,
        idempotency_key=None,
        command_id=None,
        revision=None,
        confirmation_id="orphan",
    )
    books.confirm(orphan)
    books.run()
    (m10,) = [one for one in books.exceptions().values() if one.code == "M10"]
    assert (m10.tenant, m10.account) == ("acme", "book/acme/acme-us")


@pytest.mark.parametrize("number", ["doc-7", None])
def test_a_booking_after_a_final_refusal_is_no_silent_repeat(number: str | None) -> None:
    books = Books()
    books.customer("cus_1")
    books.webhook(issued())
    books.run(rejects)
    (command,) = books.commands()
    books.confirm(rejects(command))
    books.run()
    assert books.open_codes() == ["M02"]
    told: PostingConfirmation = replace(
        accepts(command, "doc-7"), erp_document_number=number, confirmation_id="after-all"
    )
    books.confirm(told)
    books.run()
    assert books.open_codes() == ["M02", "M14"]
    (m14,) = [one for one in books.exceptions().values() if one.code == "M14"]
    assert "rejected" in m14.detail and "posted" in m14.detail


def test_two_tenants_with_an_entity_of_one_name_have_two_books() -> None:
    books = Books()
    other = replace(load_company(ACME), tenant="globex")
    books.publish(reference_data(other, 0, "test", None))
    books.publish(closed("2026-01", tenant="globex"))
    books.run()
    for tenant in ("acme", "globex"):
        record = replace(
            books.customer_record("cus_1"), tenant=tenant, account=f"{tenant}/stripe/cus_1"
        )
        books.feed(topics.CUSTOMERS, record.account, record)
        books.webhook(issued(), tenant=tenant)
    books.run()
    books.tick("2026-01-20T12:00:00")
    books.run()
    told = {(made.tenant, made.period) for made in books.commands()}
    # The other tenant closed its January, not this one's.
    assert told == {("acme", "2026-01"), ("globex", "2026-02")}
    for tenant in ("acme", "globex"):
        last = [book for book in books.read(topics.TOTALS) if book.tenant == tenant
                and book.entity == "acme-us"][-1]  # fmt: skip
        (billed,) = [one for one in last.lines if one.billing_minor]
        assert billed.billing_minor == 3100
        assert last.billing_agrees and last.erp_agrees


def test_a_customer_with_very_many_waiting_documents_is_released_in_bounded_steps() -> None:
    count = 350
    books = Books(partitions=1)
    for number in range(count):
        books.webhook(issued(number))
    books.run()
    assert books.counts() == {"waiting": count}
    before = len(books.driver.outputs(topics.LEDGER_LOG))
    books.customer("cus_1")
    # More than one step's worth, and somebody else's documents are left alone meanwhile.
    books.run()
    assert books.counts() == {"posted": count}
    records = books.read(topics.LEDGER_LOG)[before:]
    assert sum(type(record).__name__ == "Continuation" for record in records) >= 3


@pytest.mark.parametrize("refetched_last", [True, False])
def test_what_is_told_completely_while_it_waits_leaves_no_record_waiting(
    refetched_last: bool,
) -> None:
    books = Books()
    movement = {"amount": 3100, "currency": "usd", "fee": 120, "net": 2980, "type": "charge"}
    whole = {"id": "txn_1", "object": "balance_transaction", **movement}
    bare = event("charge.succeeded", charge(balance_transaction="txn_1"), id="evt_bare")
    full = event("charge.updated", charge(balance_transaction=whole), id="evt_full")
    for told in (bare, full) if refetched_last else (full, bare):
        books.webhook(told)
        books.run()
    assert books.counts() == {"duplicate": 1, "waiting": 1}
    books.customer("cus_1")
    books.run()
    assert books.counts() == {"duplicate": 1, "posted": 1}
    assert books.open_codes() == []


def test_an_earlier_refund_that_fails_makes_no_conflict_of_the_later_ones() -> None:
    books = Books()
    books.customer("cus_1")
    first, second, third = (
        refund(f"re_{number}", amount, JAN_15 + number * DAY)
        for number, amount in ((1, 1000), (2, 500), (4, 300))
    )
    failed = first | {"status": "failed"}
    alone = failed | {"charge": "ch_1", "currency": "usd"}
    for told in (
        event("invoice.finalized", invoice(), id="evt_issued"),
        event("invoice.paid", invoice(), id="evt_paid"),
        event("charge.refunded", charge(second, first), id="evt_2"),
        event("refund.failed", alone, id="evt_3", created=JAN_15 + 3 * DAY),
        # What is given back in all is now 5.00 and 3.00: the sum up to the second is another one.
        event("charge.refunded", charge(third, second, failed, amount_refunded=800), id="evt_4"),
    ):
        books.webhook(told)
        books.run()
    assert books.open_codes() == []
    assert books.counts() == {"posted": 5}
    assert books.balances()["acme-us", "clearing"] == 3100 - 500 - 300
