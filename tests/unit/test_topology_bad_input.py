"""Payloads that may not be booked: each has a class, a reason and a place, and is kept whole."""

from __future__ import annotations

import json
from typing import Any

import pytest

from tests.ledger_driver import Books
from tests.stripe_payloads import event, invoice, line

FINALIZED = "invoice.finalized"


def of(*lines: dict[str, Any], **changes: Any) -> dict[str, Any]:
    return event(FINALIZED, invoice(*lines, **changes), id="evt_bad")


def without_total() -> dict[str, Any]:
    payload = of()
    del payload["data"]["object"]["total"]
    return payload


# What is sent, the class and reason that it must get, and the place that a person must be told.
REJECTED: dict[str, tuple[dict[str, Any], str, str]] = {
    "missing amount": (without_total(), "amount_missing", "data.object.total"),
    "amount with a fraction": (of(total=31.5), "amount_not_integer", "data.object.total"),
    "amount as text": (of(total="3100"), "amount_not_integer", "data.object.total"),
    "lines that do not add up": (of(total=3101), "document_total_mismatch", "difference 1"),
    "unknown currency": (of(line(currency="usx"), currency="usx"), "currency_unknown", "USX"),
}
KEPT: dict[str, tuple[dict[str, Any], str, str]] = {
    "unknown API version": (of() | {"api_version": "2031-01-01"}, "unknown", "api_version_unknown"),
    "unknown type": (event("invoice.teleported", invoice(), id="e"), "unknown", "type_not_handled"),
}


@pytest.mark.parametrize("name", REJECTED)
def test_refused_with_reason_and_place_kept_whole_and_nothing_else_stops(name: str) -> None:
    payload, reason, place = REJECTED[name]
    books = Books()
    books.customer("cus_1")
    books.webhook(payload)
    books.webhook(event(FINALIZED, invoice(id="in_good"), id="evt_good"))
    books.run()
    assert books.counts() == {"rejected": 1, "posted": 1}
    (letter,) = books.dead_letters()
    assert letter.reason == reason
    assert place in letter.detail
    # The record as it was: it can be put back where it came from.
    (kept,) = [
        record
        for record in books.driver.outputs(letter.position.topic)
        if (record.partition, record.offset) == (letter.position.partition, letter.position.offset)
    ]
    assert (letter.key, letter.value) == (kept.key, kept.value)
    assert json.loads(books.contracts.decode(letter.value).body) == payload
    (told,) = [one for one in books.exceptions().values() if one.code == reason]
    assert books.open_codes() == [reason]
    assert told.owner and place in told.detail


@pytest.mark.parametrize("name", KEPT)
def test_what_is_not_handled_yet_is_counted_and_visible(name: str) -> None:
    payload, outcome, reason = KEPT[name]
    books = Books()
    books.customer("cus_1")
    books.webhook(payload)
    books.run()
    assert books.counts() == {outcome: 1}
    (row,) = books.source_rows()
    assert (row.outcome, row.reason, row.event_id) == (outcome, reason, payload["id"])
    assert row.position.topic == "billing-webhooks"


def test_a_corrected_event_takes_the_place_of_the_refused_one() -> None:
    books = Books()
    books.customer("cus_1")
    books.webhook(of(total=3101))
    books.webhook(of())
    books.run()
    assert books.counts() == {"rejected": 1, "posted": 1}
    assert len(books.commands()) == 1
