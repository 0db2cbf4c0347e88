"""Records that are none, on every topic that a lane reads: each has one outcome, and nothing stops.

The bytes are made by hand after the description of Confluent's framing (a zero byte, four bytes
of schema id, Avro), not by the codec.
"""

from __future__ import annotations

import json
import random

import pytest

from streamsync.contracts import RegistryUnavailable
from streamsync.core.records import DeadLetter, SourcePosition
from streamsync.engine.lane import RECORD_BYTES_MAX
from streamsync.ingress.settings import IngressLimits
from tests.ledger_driver import Books
from tests.stripe_payloads import event, invoice, line
from topology import topics

LANES = {
    topics.BILLING_WEBHOOKS: "webhooks",
    topics.CUSTOMERS: "customers",
    topics.CONTROL: "control",
    topics.POSTING_CONFIRMATIONS: "confirmations",
    topics.OBJECT_LINKS: "resolve",
    topics.LEDGER_LOG: "ledger",
}
UNKNOWN_ID = b"\0\x7f\xff\xff\xff\x0e\x0e"
LONG_AGO_MS = 946_684_800_000  # 2000-01-01, before any retention
FINALIZED = "invoice.finalized"


def known_id(books: Books) -> bytes:
    """The header of a schema that every reader knows."""
    return books.contracts.encode(books.customer_record("cus_1"))[:5]


def bad(books: Books, name: str) -> tuple[bytes | None, str]:
    """A value, and the reason that it must get."""
    if name == "null":
        return None, "value_missing"
    if name == "unknown id":
        return UNKNOWN_ID, "schema_unknown"
    if name == "known id, other bytes":
        return known_id(books) + b"\xff" * 40, "record_malformed"
    if name == "cut off":
        return books.contracts.encode(books.customer_record("cus_1"))[:-1], "record_malformed"
    if name == "empty":
        return b"", "not_framed"
    return b"{}", "not_framed"


@pytest.mark.parametrize("topic", LANES)
@pytest.mark.parametrize(
    "name", ["null", "unknown id", "known id, other bytes", "cut off", "empty", "json"]
)
@pytest.mark.parametrize("key", [None, b"acme/stripe/cus_1"], ids=["no key", "a key"])
def test_it_is_a_dead_letter_with_its_reason_and_the_next_record_is_booked(
    topic: str, name: str, key: bytes | None
) -> None:
    books = Books()
    value, reason = bad(books, name)
    sent = books.driver.produce(topic, key, value, 0, LONG_AGO_MS)
    books.customer("cus_1")
    books.webhook(event(FINALIZED, invoice(), id="evt_good"))
    books.run()
    (letter,) = books.dead_letters()
    assert (letter.lane, letter.reason, letter.key, letter.value) == (
        LANES[topic], reason, key, value,
    )  # fmt: skip
    place = letter.position
    assert (place.topic, place.partition, place.offset) == (topic, 0, sent.offset)
    counted = {"rejected": 1} if topic == topics.BILLING_WEBHOOKS else {}
    assert books.counts() == {"posted": 1} | counted


def test_whatever_an_input_holds_its_dead_letter_can_be_written() -> None:
    sizes = {spec.name: int(spec.config["max.message.bytes"]) for spec in topics.declared(4)}
    inputs = (
        topics.BILLING_WEBHOOKS, topics.CUSTOMERS, topics.CONTROL, topics.POSTING_CONFIRMATIONS,
    )  # fmt: skip
    assert IngressLimits().body_max_bytes < max(sizes[name] for name in inputs)
    assert max(sizes[name] for name in inputs) * 2 < RECORD_BYTES_MAX < sizes[topics.DEAD_LETTERS]


@pytest.mark.parametrize("topic", LANES)
def test_a_record_of_another_topic_is_a_dead_letter(topic: str) -> None:
    books = Books()
    place = SourcePosition(topic="t", partition=0, offset=0)
    letter = DeadLetter(
        lane="webhooks", position=place, key=None, value=None, reason="r", detail=""
    )
    books.driver.produce(topic, b"k", books.contracts.encode(letter), 0)
    books.run()
    assert [letter.reason for letter in books.dead_letters()] == ["record_unexpected"]


def test_records_without_a_key_find_their_account_wherever_they_stand() -> None:
    """Their writer may be another program: the key only says where they wait."""
    keyed, keyless = Books(), Books()
    for books in (keyed, keyless):
        books.customer("cus_1")
        books.webhook(event(FINALIZED, invoice(), id="evt_1"))
    for topic in (topics.CUSTOMERS, topics.BILLING_WEBHOOKS):
        for log in keyless.driver._topics.logs[topic]:
            moved, log.records, log.end = log.records, [], 0
            for record in moved:
                keyless.driver.produce(topic, None, record.value, 3, LONG_AGO_MS)
    for books in (keyed, keyless):
        books.run()
    assert keyless.counts() == keyed.counts() == {"posted": 1}
    assert keyless.balances() == keyed.balances()


def test_a_webhook_of_900_kb_is_booked_and_a_bad_one_is_kept_whole() -> None:
    books = Books()
    books.customer("cus_1")
    noise = random.Random(1).randbytes(450_000).hex()
    books.webhook(event(FINALIZED, invoice(metadata={"note": noise}), id="evt_large"))
    wrong = event(FINALIZED, invoice(id="in_2", total=1, metadata={"note": noise}), id="evt_bad")
    books.webhook(wrong)
    books.run()
    assert books.counts() == {"posted": 1, "rejected": 1}
    (letter,) = books.dead_letters()
    assert json.loads(books.contracts.decode(letter.value).body) == wrong
    assert 900_000 < len(letter.value) < 1_000_000


def test_a_record_from_before_any_retention_is_booked_and_its_outputs_are_kept() -> None:
    books = Books()
    books.customer("cus_1")
    raw = json.dumps(event(FINALIZED, invoice(line()), id="evt_old")).encode()
    books.webhook(raw)
    (sent,) = books.driver.outputs(topics.BILLING_WEBHOOKS)
    log = books.driver._topics.logs[topics.BILLING_WEBHOOKS][sent.partition]
    log.records.clear()
    books.driver.produce(topics.BILLING_WEBHOOKS, sent.key, sent.value, sent.partition, LONG_AGO_MS)
    books.run()
    assert books.counts() == {"posted": 1}
    (command,) = [name for name in books.driver.topics() if name.startswith("posting-commands.")]
    written = [command, topics.LEDGER_LOG]
    assert {record.timestamp_ms for name in written for record in books.driver.outputs(name)} >= {
        LONG_AGO_MS
    }
    # Outputs carry its time: a topic that forgets by time would forget them at once.
    for name in (*written, topics.DEAD_LETTERS, topics.EXCEPTIONS, topics.OBJECT_LINKS):
        assert books.driver.topology.topic(name).config["retention.ms"] == "-1"


def test_a_registry_that_is_away_stops_the_lane_and_makes_no_dead_letter(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """An unknown id may be a later release's: only the registry knows, and it does not answer."""
    books = Books()

    def away(_schema_id: int) -> None:
        raise RegistryUnavailable("nobody answers")

    monkeypatch.setattr(books.contracts._registry, "schema", away)
    sent = books.driver.produce(topics.CUSTOMERS, b"k", UNKNOWN_ID, 0)
    with pytest.raises(RegistryUnavailable):
        books.driver.run()
    assert books.dead_letters() == []
    assert books.driver.position("customers", 0) == sent.offset
