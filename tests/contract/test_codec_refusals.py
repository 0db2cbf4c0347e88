"""Every kind of malformed bytes and of unfit records is refused, the same by both codecs."""

from __future__ import annotations

import random
import time
import tracemalloc
from typing import Any

import pytest
from msgspec import structs

from streamsync.contracts import ContractError, Contracts
from streamsync.core.facts import CustomerProfile
from streamsync.core.records import EchoLine, PostingError, RawWebhook, SourcePosition, Tick, Totals
from tests.codec_records import CODECS, contracts, number, random_record

# Untyped: the values are to be wrong.
replace: Any = structs.replace

TICK = Tick(number=7, time_ms=1, leader="w")
POSITION = SourcePosition(topic="t", partition=1, offset=2)
LINE = EchoLine(no=1, account="a", side="debit", amount_minor=5)
ERROR = PostingError(canonical_code="c", native_code=None, message="m", retryable=True)
TOTALS = Totals(tenant="t", entity="e", tick_number=1, time_ms=2, billing_agrees=True,
                erp_agrees=True)  # fmt: skip
TOTALS_HEAD = b"\x02t\x02e\x02\x04"

# Name: the record whose header is used, the body, and what the refusal says.
MALFORMED: dict[str, tuple[Any, bytes, str]] = {
    "nothing": (TICK, b"", "number: the record ends inside a number"),
    "cut in a number": (TICK, b"\x80", "number: the record ends inside a number"),
    "cut in a text": (TICK, b"\x0e\x02\x04w", "leader: a length of 2 where 1 bytes remain"),
    "trailing byte": (TICK, b"\x0e\x02\x02w\x00", "1 bytes follow a complete record"),
    "negative length": (TICK, b"\x0e\x02\x01", "leader: a length of -1"),
    "most negative length": (
        TICK, b"\x0e\x02" + number(-(2**63)), "leader: a length of -9223372036854775808"),
    "huge length": (
        TICK, b"\x0e\x02" + number(2**63 - 1) + b"w", "leader: a length of 9223372036854775807"),
    "length past the end by one": (TICK, b"\x0e\x02\x04w", "leader: a length of 2"),
    "a number of 65 bits": (
        TICK, b"\xff" * 9 + b"\x02" + b"\x02\x02w", "number: a number has more than 64 bits"),
    "a number without end": (TICK, b"\xff" * 40, "number: a number has more than 64 bits"),
    "a number of 11 bytes": (
        TICK, b"\x80" * 10 + b"\x01\x02\x02w", "number: a number has more than 64 bits"),
    "a padded number": (TICK, b"\x8e\x00\x02\x02w", "number: a number has needless bytes"),
    "a padded length": (TICK, b"\x0e\x02\x82\x00w", "leader: a number has needless bytes"),
    "text not UTF-8": (TICK, b"\x0e\x02\x04w\xff", r"leader: text that is not UTF-8 \(byte 9\)"),
    "half a character": (TICK, b"\x0e\x02\x06\xed\xa0\x80", "leader: text that is not UTF-8"),
    "overlong character": (TICK, b"\x0e\x02\x04\xc0\x80", "leader: text that is not UTF-8"),
    "an int of 33 bits": (
        POSITION, b"\x02t" + number(2**31) + b"\x04", "partition: a number of more than 32 bits"),
    "an int too low": (
        POSITION, b"\x02t" + number(-(2**31) - 1) + b"\x04", "partition: a number of more than 32"),
    "boolean of 2": (ERROR, b"\x02c\x00\x02m\x02", "retryable: neither true nor false"),
    "no boolean": (ERROR, b"\x02c\x00\x02m", "retryable: neither true nor false"),
    "branch too high": (ERROR, b"\x02c\x04\x02x\x02m\x01", "native_code: branch 2 of a union of 2"),
    "negative branch": (ERROR, b"\x02c\x01\x02m\x01", "native_code: branch -1"),
    "huge count": (
        TOTALS, TOTALS_HEAD + number(2**62), f"lines: a count of {2**62} where 0 bytes remain"),
    "most negative count": (
        TOTALS, TOTALS_HEAD + number(-(2**63)) + b"\x02" + b"\x00" * 9,
        f"lines: a count of {2**63}"),
    "count above the bytes": (
        TOTALS, TOTALS_HEAD + number(5) + b"\x00" * 4, "lines: a count of 5"),
    "items that end early": (
        TOTALS, TOTALS_HEAD + number(2) + b"\x00" * 12, r"lines\[1\].*: the record ends inside"),
    "no end of blocks": (
        TOTALS, TOTALS_HEAD + b"\x02" + b"\x00" * 10, "lines: the record ends"),
    "block size negative": (
        TOTALS, TOTALS_HEAD + b"\x01\x01" + b"\x00" * 14, "lines: a length of -1"),
    "block size beyond the end": (
        TOTALS, TOTALS_HEAD + b"\x01\x7e" + b"\x00" * 14, "lines: a length of 63"),
    "block ends later than it says": (
        TOTALS, TOTALS_HEAD + b"\x01\x02" + b"\x00" * 14, "lines: a block does not end where"),
    "block ends earlier than it says": (
        TOTALS, TOTALS_HEAD + b"\x01\x18" + b"\x00" * 14, "lines: a block does not end where"),
    "blocks in blocks": (
        TOTALS, TOTALS_HEAD + b"\x01\x14" * 8, r"lines\[0\]"),
}  # fmt: skip

# Name: a record with a value that has no room in its schema, and what the refusal says.
UNFIT: dict[str, tuple[Any, str]] = {
    "65 bits": (replace(TICK, number=2**63), "Tick: number: a number of more than 64"),
    "65 bits, negative": (replace(TICK, number=-(2**63) - 1), "more than 64 bits"),
    "a thousand bits": (replace(TICK, number=1 << 1000), "more than 64 bits"),
    "33 bits": (replace(POSITION, partition=2**31), "partition: .* than 32 bits"),
    "33 bits, negative": (replace(POSITION, partition=-(2**31) - 1), "32 bits"),
    "33 and 65 bits": (replace(POSITION, partition=2**64), "partition: .* 64 bits"),
    "true for a number": (replace(TICK, number=True), "number: bool where a whole"),
    "float for a number": (replace(TICK, number=1.0), "number: float where a whole"),
    "text for a number": (replace(TICK, number="1"), "number: str where a whole"),
    "number for a boolean": (replace(ERROR, retryable=1), "retryable: int where true"),
    "none for a text": (replace(TICK, leader=None), "leader: NoneType where a text"),
    "bytes for a text": (replace(TICK, leader=b"w"), "leader: bytes where a text"),
    "half a character": (replace(TICK, leader="\ud800"), "leader: half of a character"),
    "dict for an array": (replace(TOTALS, lines={}), "lines: dict where a tuple"),
    "another record": (
        replace(TOTALS, lines=(TICK,)), r"lines\[0\]: Tick where a ControlTotal"),
    "none in an array": (replace(TOTALS, roles=(None,)), r"roles\[0\]: NoneType"),
    "no record": (object(), "object has no schema"),
    "nothing": (None, "NoneType has no schema"),
}  # fmt: skip


@pytest.fixture(params=CODECS)
def codec(request: pytest.FixtureRequest) -> Contracts:
    """Contracts on each codec in turn."""
    return contracts(request.param)


@pytest.mark.parametrize("kind", MALFORMED)
def test_malformed_bytes_are_refused(codec: Contracts, kind: str) -> None:
    record, body, says = MALFORMED[kind]
    with pytest.raises(ContractError, match=says) as told:
        codec.decode(codec.encode(record)[:5] + body)
    assert told.value.reason == "record_malformed"
    assert str(told.value).startswith(f"not a {type(record).__name__}: ")


@pytest.mark.parametrize("kind", UNFIT)
def test_unfit_records_are_refused(codec: Contracts, kind: str) -> None:
    record, says = UNFIT[kind]
    with pytest.raises(ContractError, match=says) as told:
        codec.encode(record)
    assert told.value.reason == "record_unwritable"


def test_text_for_bytes_and_bytearray_for_bytes_are_refused(codec: Contracts) -> None:
    webhook = RawWebhook(
        tenant="t", source="s", source_kind="stripe", body=b"{}", content_type="c",
        content_hash="h", received_at_ms=1,
    )  # fmt: skip
    assert codec.decode(codec.encode(webhook)) == webhook
    for body in ("{}", bytearray(b"{}"), memoryview(b"{}")):
        with pytest.raises(ContractError, match="body: .* where bytes"):
            codec.encode(replace(webhook, body=body))


def test_map_keys_and_values_that_are_no_text_are_refused(codec: Contracts) -> None:
    line = random_record("PostingLine", random.Random(1))
    for dimensions in ({1: "a"}, {"a": 1}, {"\udfff": "a"}, {"a": "\udfff"}, (("a", "b"),), None):
        with pytest.raises(ContractError, match="PostingLine: dimensions"):
            codec.encode(replace(line, dimensions=dimensions))


def test_an_int_that_may_be_null_is_kept_in_32_bits(codec: Contracts) -> None:
    record = random_record("PostingConfirmation", random.Random(1))
    for revision in (2**31, True):
        with pytest.raises(ContractError, match="revision"):
            codec.encode(replace(record, revision=revision))


def test_a_refusal_repeats_no_value(codec: Contracts) -> None:
    secret = "jane.doe@example.org"  # noqa: S105
    record = CustomerProfile(country=secret, currency=None, tax_exempt=None, deleted=False)
    data = codec.encode(record)
    for cut in range(5, len(data)):
        with pytest.raises(ContractError) as told:
            codec.decode(data[:cut])
        assert "jane" not in str(told.value)
    with pytest.raises(ContractError) as told:
        codec.encode(replace(record, country=secret + "\ud800"))
    assert "jane" not in str(told.value)


def test_what_a_sender_claims_is_not_allocated(codec: Contracts) -> None:
    header = codec.encode(TOTALS)[:5]
    claims = [number(2**40), number(2**62), number(-(2**40)) + number(2**50), number(10**6)]
    tracemalloc.start()
    began = time.monotonic()
    try:
        for claim in claims:
            for body in (TOTALS_HEAD + claim, claim, b"\x02t" + claim):
                with pytest.raises(ContractError):
                    codec.decode(header + body)
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert peak < 1_000_000
    assert time.monotonic() - began < 2
