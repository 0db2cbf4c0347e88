"""What is personal in a payload stays in the kept raw record, and reaches nothing else."""

from __future__ import annotations

import json
import logging

import pytest

from tests.ledger_driver import Books, rejects
from tests.personal import MARK, payloads
from tests.stripe_payloads import event, invoice
from topology import topics

KEPT_RAW = {topics.BILLING_WEBHOOKS, topics.DEAD_LETTERS}


def play(books: Books) -> None:
    books.customer("cus_1")
    for payload in payloads():
        books.webhook(payload)
    # What waits: the end of an invoice whose issue was never told.
    books.webhook(event("invoice.voided", invoice(id="in_unseen"), id="evt_unseen"))
    # Not JSON at all, cut off in the middle of a name.
    books.webhook(json.dumps(payloads()[0]).encode()[:-40])
    books.run(rejects)
    for day in ("2026-02-01", "2026-03-01"):
        books.tick(f"{day}T12:00:00")
        books.run()


def test_no_topic_but_the_raw_ones_holds_what_is_personal(
    caplog: pytest.LogCaptureFixture, capfd: pytest.CaptureFixture[str]
) -> None:
    caplog.set_level(logging.DEBUG)
    books = Books()
    play(books)
    counts = books.counts()
    # The payloads really went every way.
    assert {"posted", "rejected", "waiting", "unknown", "ignored", "no_entry"} <= set(counts)
    assert sum(counts.values()) == len(payloads()) + 2
    assert books.commands() and books.exceptions() and books.dead_letters()
    holding = {
        name
        for name in books.driver.topics()
        for record in books.driver.outputs(name)
        if MARK.encode() in (record.key or b"") + (record.value or b"")
    }
    assert holding == KEPT_RAW
    assert MARK not in caplog.text
    assert MARK not in "".join(capfd.readouterr())


def test_what_a_dead_letter_says_beside_the_raw_value_is_not_personal() -> None:
    books = Books()
    play(books)
    assert books.dead_letters()
    for letter in books.dead_letters():
        assert MARK not in letter.detail + letter.reason
