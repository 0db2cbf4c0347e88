"""The path of an event through the ledger, in memory: classes, waiting, revisions, mismatches."""

from __future__ import annotations

from typing import Any

import pytest
from msgspec.structs import replace

from streamsync.core.records import PeriodStatus, PostingCommand, PostingConfirmation
from tests.ledger_driver import Books, alters, rejects
from tests.stripe_payloads import FEB_15, JAN_15, charge, credit_note, event, invoice, line, refund
from topology.offline import accepts

FINALIZED, PAID = "invoice.finalized", "invoice.paid"
JAN_16 = JAN_15 + 86_400 + 43_200


NOON = 43_200  # the same day in New York and in London


def month() -> dict[str, Any]:
    """31.00 for 31 days from 15 January."""
    return line(period={"start": JAN_15 + NOON, "end": FEB_15 + NOON})


def issued() -> dict[str, Any]:
    times = {"finalized_at": JAN_15 + NOON, "paid_at": None}
    return event(FINALIZED, invoice(month(), status_transitions=times), id="evt_issued")


def paid() -> dict[str, Any]:
    return event(PAID, invoice(), id="evt_paid")


def voided(at: int) -> dict[str, Any]:
    times = {"finalized_at": JAN_15 + NOON, "paid_at": None, "voided_at": at}
    return event("invoice.voided", invoice(month(), status_transitions=times), id="evt_void")


@pytest.fixture
def books() -> Books:
    return Books()


def test_a_signed_invoice_becomes_one_balanced_command(books: Books) -> None:
    books.customer("cus_1")
    books.webhook(issued())
    books.run()
    (command,) = books.commands()
    assert (command.entity, command.purpose, command.action) == (
        "acme-us",
        "invoice_issued",
        "post",
    )
    assert [(x.role, x.account, x.side, x.amount_minor) for x in command.lines] == [
        ("receivable", "1100", "debit", 3100),
        ("deferred_revenue", "2400", "credit", 3100),
    ]
    assert books.counts() == {"posted": 1}


def test_two_tellings_of_one_payment_post_once(books: Books) -> None:
    books.customer("cus_1")
    books.webhook(paid())
    books.webhook(event("invoice.payment_succeeded", invoice(), id="evt_other"))
    books.webhook(paid())
    books.run()
    assert [command.purpose for command in books.commands()] == ["payment_applied"]
    assert books.counts() == {"posted": 1, "duplicate": 2}


def test_a_fact_told_with_other_figures_is_refused_and_the_first_stands(books: Books) -> None:
    books.customer("cus_1")
    books.webhook(issued())
    books.webhook(event(FINALIZED, invoice(line(amount=9900), total=9900), id="evt_liar"))
    books.run()
    assert [command.totals.debit_minor for command in books.commands()] == [3100]
    assert books.counts() == {"posted": 1, "rejected": 1}
    assert books.open_codes() == ["fact_conflict"]


def test_an_entry_waits_for_its_customer_and_is_released_by_the_arrival(books: Books) -> None:
    books.webhook(issued())
    books.run()
    assert books.commands() == []
    assert books.counts() == {"waiting": 1}
    assert books.open_codes() == ["customer_not_found"]
    books.customer("cus_1")
    books.run()
    assert len(books.commands()) == 1
    assert {k: v for k, v in books.counts().items() if v} == {"posted": 1}
    assert books.open_codes() == []


def test_a_document_without_a_matching_entity_rule_waits_and_has_no_default(books: Books) -> None:
    books.customer("cus_1", country="BR")
    real = invoice(line(currency="brl"), currency="brl", customer_address={"country": "BR"})
    books.webhook(event(FINALIZED, real, id="evt_e"))
    books.run()
    assert books.commands() == []
    assert books.open_codes() == ["entity_unmapped"]


def test_an_entry_in_a_currency_without_rate_waits(books: Books) -> None:
    books.customer("cus_1", country="US")
    euro = invoice(line(currency="eur"), currency="eur")
    books.webhook(event(FINALIZED, euro, id="evt_e"))
    books.run()
    assert books.commands() == []
    assert books.open_codes() == ["fx_rate_not_found"]


def test_a_void_before_its_invoice_waits_and_then_clears_the_receivable(books: Books) -> None:
    books.customer("cus_1")
    books.webhook(voided(JAN_16))
    books.run()
    assert books.open_codes() == ["invoice_not_issued"]
    books.webhook(issued())
    books.run()
    assert books.balances() == {}
    assert books.open_codes() == []


def test_revenue_is_released_on_ticks_at_the_end_of_the_entitys_month(books: Books) -> None:
    # 31.00 over 31 days from 15 January: Stripe's published example, 17 and 14 (P1).
    books.customer("cus_1")
    books.webhook(issued())
    books.tick("2026-02-01T04:59:00")  # still 31 January in New York
    books.run()
    assert ("acme-us", "revenue") not in books.balances()
    books.tick("2026-02-01T05:00:00")
    books.run()
    assert books.balances()["acme-us", "revenue"] == -1700
    books.tick("2026-03-01T12:00:00")
    books.run()
    assert books.balances()["acme-us", "revenue"] == -3100
    assert ("acme-us", "deferred_revenue") not in books.balances()


def test_a_gap_in_the_ticks_is_refused(books: Books) -> None:
    books.tick("2026-01-01T00:00:00")
    books.run()
    books.ticks = 5
    books.tick("2026-01-02T00:00:00")
    books.run()
    assert {letter.reason for letter in books.dead_letters()} == {"tick_gap"}


def test_a_late_void_takes_back_what_was_released_meanwhile(books: Books) -> None:
    books.customer("cus_1")
    books.webhook(issued())
    books.tick("2026-02-01T12:00:00")
    books.run()
    assert books.balances()["acme-us", "revenue"] == -1700
    books.webhook(voided(JAN_16))
    books.run()
    assert books.balances() == {}
    correction = books.commands()[-1]
    assert {c.action for c in books.commands()} == {"post", "correct"}, correction
    corrects = [c for c in books.commands() if c.action == "correct"]
    assert [(c.revision, c.purpose) for c in corrects] == [(2, "revenue_released")]


def test_a_change_of_something_in_a_closed_period_is_adjusted_in_the_open_one(books: Books) -> None:
    books.customer("cus_1")
    books.webhook(issued())
    books.tick("2026-02-01T12:00:00")
    books.run()
    closed = PeriodStatus(
        tenant="acme",
        entity="acme-us",
        ledger="main",
        period="2026-01",
        status="closed",
        version=1,
        changed_by="close",
    )
    books.publish(closed)
    books.run()
    january = [c for c in books.commands() if c.period == "2026-01"]
    books.webhook(voided(JAN_16))
    books.run()
    assert [c for c in books.commands() if c.period == "2026-01"] == january
    late = [c for c in books.commands() if c.original_period != c.period]
    assert {(c.purpose, c.action, c.period, c.original_period) for c in late} == {
        ("invoice_voided", "post", "2026-02", "2026-01"),
        ("revenue_released", "adjust", "2026-02", "2026-01"),
    }
    assert books.balances() == {}


def test_one_revision_is_in_flight_and_the_next_waits_for_its_outcome(books: Books) -> None:
    books.customer("cus_1")
    books.webhook(issued())
    books.tick("2026-02-01T12:00:00")
    silent: list[PostingCommand] = []

    def silence(command: PostingCommand) -> None:
        silent.append(command)

    books.run(silence)
    books.webhook(voided(JAN_16))
    books.run(silence)
    released = [c for c in books.commands() if c.purpose == "revenue_released"]
    assert [c.revision for c in released] == [1]
    for command in silent:
        books.confirm(accepts(command, "doc"))
    books.run()
    released = [c for c in books.commands() if c.purpose == "revenue_released"]
    assert [(c.revision, c.action) for c in released] == [(1, "post"), (2, "correct")]


def test_a_rejection_opens_m02_and_is_not_sent_again(books: Books) -> None:
    books.customer("cus_1")
    books.webhook(issued())
    books.run(rejects)
    books.webhook(issued() | {"id": "evt_again"})
    books.tick("2026-01-20T00:00:00")
    books.run()
    assert len(books.commands()) == 1
    (m02,) = [one for one in books.exceptions().values() if one.code == "M02"]
    assert (m02.state, m02.difference_minor, m02.owner) == ("detected", 3100, "finance")


def test_a_refused_posting_that_the_books_no_longer_want_is_withdrawn(books: Books) -> None:
    books.customer("cus_1")
    books.webhook(issued())
    books.tick("2026-02-01T12:00:00")

    def answer(command: PostingCommand) -> PostingConfirmation:
        release = command.purpose == "revenue_released"
        return rejects(command) if release else accepts(command, f"doc-{command.command_id}")

    books.run(answer)
    assert books.open_codes() == ["M02"]
    books.webhook(voided(JAN_16))
    books.run()
    books.tick("2026-02-02T12:00:00")
    books.run()
    assert books.open_codes() == []
    totals = books.totals("acme-us")
    assert totals.billing_agrees and totals.erp_agrees
    released = [one for one in totals.lines if one.purpose == "revenue_released"]
    assert [(one.commands_minor, one.open_difference_minor) for one in released] == [(0, 0)]


def test_another_amount_opens_m04_with_the_signed_difference(books: Books) -> None:
    books.customer("cus_1")
    books.webhook(issued())
    books.tick("2026-01-16T12:00:00")
    books.run(lambda command: alters(command, 7))
    books.tick("2026-01-17T12:00:00")
    books.run()
    (m04,) = [one for one in books.exceptions().values() if one.code == "M04"]
    assert (m04.state, m04.difference_minor) == ("detected", -7)
    (line_,) = books.totals("acme-us").lines
    assert (line_.commands_debit_minor, line_.erp_debit_minor) == (3100, 3107)
    assert line_.open_difference_minor == -7
    assert books.totals("acme-us").erp_agrees


def test_silence_opens_m01_at_the_deadline_and_a_late_answer_turns_it_into_m11(
    books: Books,
) -> None:
    books.customer("cus_1")
    books.tick("2026-01-16T00:00:00")
    books.webhook(issued())
    books.run(lambda _: None)
    books.tick("2026-01-25T00:00:00")
    books.run()
    assert books.open_codes() == ["M01"]
    assert books.totals("acme-us").lines[0].open_difference_minor == 3100
    books.confirm(accepts(books.commands()[0], "doc-late"))
    books.run()
    books.tick("2026-01-26T00:00:00")
    books.run()
    assert books.open_codes() == ["M11"]
    line_ = books.totals("acme-us").lines[0]
    assert (line_.open_difference_minor, line_.erp_debit_minor) == (0, 3100)


def test_a_second_document_for_one_key_is_m03_and_an_unknown_key_is_m10(books: Books) -> None:
    books.customer("cus_1")
    books.webhook(issued())
    books.run()
    (command,) = books.commands()
    books.confirm(accepts(command, "another-document"))
    stranger = accepts(command, "stranger")
    books.confirm(replace(stranger, idempotency_key="0" * 32))
    books.run()
    assert books.open_codes() == ["M03", "M10"]


def test_totals_agree_over_a_life_with_credit_note_and_refund(books: Books) -> None:
    books.customer("cus_1")
    books.webhook(issued())
    books.webhook(paid())
    note = credit_note(created=FEB_15 - 86_400)
    note |= {"total": 1000, "tax_amounts": []}
    note["lines"]["data"][0] |= {"tax_amounts": []}
    note |= {"type": "post_payment", "customer_balance_transaction": "cbtxn_1"}
    books.webhook(event("credit_note.created", note, id="evt_note"))
    books.webhook(event("charge.refunded", charge(refund("re_1", 500, FEB_15)), id="evt_refund"))
    for day in ("2026-02-01", "2026-03-01", "2026-04-01"):
        books.tick(f"{day}T12:00:00")
    books.run()
    books.tick("2026-04-02T12:00:00")
    books.run()
    totals = books.totals("acme-us")
    assert totals.billing_agrees and totals.erp_agrees
    balances = books.balances()
    assert ("acme-us", "receivable") not in balances
    assert ("acme-us", "deferred_revenue") not in balances
    assert balances["acme-us", "customer_credit"] == -1000
    assert balances["acme-us", "clearing"] == 2600
    assert sum(balances.values()) == 0


def test_a_webhook_record_that_is_no_contract_is_a_dead_letter_and_counted(books: Books) -> None:
    books.driver.produce("billing-webhooks", b"x", b"garbage")
    books.driver.produce("ledger-log", b"x|y", b"\x00\x00\x00\x00\x01poison")
    books.customer("cus_1")
    books.webhook(issued())
    books.run()
    assert sorted(letter.reason for letter in books.dead_letters()) == [
        "not_framed",
        "record_malformed",
    ]
    assert books.counts() == {"posted": 1, "rejected": 1}
