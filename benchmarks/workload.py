"""Workload W: billing events become postings, with a balance per subscription.

Problem: engines can only be compared on the same bytes, the same logic and the same state. How:
one generator, one pure function and one pair of schemas, used by every Python contender; the Java
contender repeats the function, and the digest of all outputs shows that it does so exactly.

An event has 13 fields and about 178 bytes; the state is four integers per key.
"""

from __future__ import annotations

import io
import random
import struct
import zlib
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import Any

import fastavro

KEYS = 50_000
PARTITIONS = 8
KINDS = ("INVOICE", "PAYMENT", "CREDIT_NOTE", "REFUND")

Json = dict[str, Any]
State = tuple[int, int, int, int]
"""Invoiced, paid, deferred, count."""
Settled = tuple[State, str, int, int, int]
"""State, journal, debit, credit, change of what is deferred."""
Process = Callable[[State, bytes], tuple[State, bytes]]

FRESH: State = (0, 0, 0, 0)
STATE = struct.Struct("<qqqq")

EVENT_SCHEMA: Json = {
    "type": "record",
    "name": "WorkloadEvent",
    "namespace": "streamsync.benchmarks",
    "fields": [
        {"name": "event_id", "type": "string"},
        {
            "name": "kind",
            "type": {
                "type": "enum",
                "name": "WorkloadKind",
                "symbols": list(KINDS),
            },
        },
        {"name": "subscription_id", "type": "string"},
        {"name": "customer_id", "type": "string"},
        {"name": "document_no", "type": "string"},
        {"name": "currency", "type": "string"},
        {"name": "amount_minor", "type": "long"},
        {"name": "tax_minor", "type": "long"},
        {"name": "period_start", "type": "long"},
        {"name": "period_end", "type": "long"},
        {"name": "event_time", "type": "long"},
        {"name": "plan", "type": "string"},
        {"name": "description", "type": ["null", "string"], "default": None},
    ],
}
POSTING_SCHEMA: Json = {
    "type": "record",
    "name": "WorkloadPosting",
    "namespace": "streamsync.benchmarks",
    "fields": [
        {"name": "command_id", "type": "string"},
        {"name": "subscription_id", "type": "string"},
        {"name": "customer_id", "type": "string"},
        {"name": "journal", "type": "string"},
        {"name": "currency", "type": "string"},
        {"name": "debit_minor", "type": "long"},
        {"name": "credit_minor", "type": "long"},
        {"name": "deferred_minor", "type": "long"},
        {"name": "posting_time", "type": "long"},
        {"name": "seq", "type": "long"},
    ],
}
_EVENT: Any = fastavro.parse_schema(EVENT_SCHEMA)
_POSTING: Any = fastavro.parse_schema(POSTING_SCHEMA)

_START_MS = 1_735_689_600_000
_MONTH_MS = 2_592_000_000
_KINDS = ("INVOICE",) * 10 + ("PAYMENT",) * 8 + ("CREDIT_NOTE", "REFUND")


def decode_event(data: bytes) -> Json:
    """An event by fastavro."""
    event: Any = fastavro.schemaless_reader(io.BytesIO(data), _EVENT, None)
    return event  # type: ignore[no-any-return]


def encode_event(event: Json) -> bytes:
    """An event's bytes by fastavro."""
    body = io.BytesIO()
    fastavro.schemaless_writer(body, _EVENT, event)
    return body.getvalue()


def encode_posting(posting: Json) -> bytes:
    """A posting's bytes by fastavro."""
    body = io.BytesIO()
    fastavro.schemaless_writer(body, _POSTING, posting)
    return body.getvalue()


def settle(state: State, kind: str, amount: int, tax: int) -> Settled:
    """The business: the balance after an event, and its posting's journal and amounts."""
    invoiced, paid, deferred, count = state
    if kind == "INVOICE":
        change = amount - tax
        after = (invoiced + amount, paid, deferred + change, count + 1)
        return after, "SALES", amount, 0, change
    if kind == "PAYMENT":
        change = -min(deferred, amount)
        after = (invoiced, paid + amount, deferred + change, count + 1)
        return after, "BANK", 0, amount, change
    if kind == "CREDIT_NOTE":
        change = -min(deferred, amount)
        after = (invoiced - amount, paid, deferred + change, count + 1)
        return after, "SALES", 0, amount, change
    return (invoiced, paid - amount, deferred, count + 1), "BANK", amount, 0, 0


def post(state: State, event: Json) -> tuple[State, Json]:
    """The balance after an event, and its posting, as dictionaries."""
    after, journal, debit, credit, change = settle(
        state, event["kind"], event["amount_minor"], event["tax_minor"]
    )
    return after, {
        "command_id": event["event_id"],
        "subscription_id": event["subscription_id"],
        "customer_id": event["customer_id"],
        "journal": journal,
        "currency": event["currency"],
        "debit_minor": debit,
        "credit_minor": credit,
        "deferred_minor": change,
        "posting_time": event["event_time"],
        "seq": after[3],
    }


def process(state: State, data: bytes) -> tuple[State, bytes]:
    """An event's bytes to its posting's, by fastavro."""
    after, posting = post(state, decode_event(data))
    return after, encode_posting(posting)


def events(count: int, keys: int = KEYS, seed: int = 7) -> Iterator[tuple[str, Json]]:
    """Keys and events, the same for the same seed; with `keys=count` every key once, in order."""
    draw = random.Random(seed)
    for number in range(count):
        subscription = number if keys == count else draw.randrange(keys)
        amount = draw.randrange(500, 500_000)
        key = f"sub_{subscription:010d}"
        yield (
            key,
            {
                "event_id": f"evt_{draw.getrandbits(64):016x}{number:08d}",
                "kind": _KINDS[draw.randrange(20)],
                "subscription_id": key,
                "customer_id": f"cus_{subscription // 3:010d}",
                "document_no": f"INV-2025-{number:09d}",
                "currency": "EUR",
                "amount_minor": amount,
                "tax_minor": amount * 19 // 119,
                "period_start": _START_MS,
                "period_end": _START_MS + _MONTH_MS,
                "event_time": _START_MS + number * 10,
                "plan": "plan_pro_monthly_v2",
                "description": f"Subscription pro monthly, period 2025-01, seat {number % 40}",
            },
        )


@dataclass
class Digest:
    """All outputs of a run, whatever their order: their number and the sum of their checksums."""

    count: int = 0
    checksum: int = 0

    def add(self, value: bytes) -> None:
        """One output more."""
        self.count += 1
        self.checksum += zlib.crc32(value)


@dataclass
class Fold:
    """The naive run of W in a dictionary: what every contender must have written."""

    digest: Digest = field(default_factory=Digest)
    _states: dict[str, State] = field(default_factory=dict)

    def add(self, key: str, event: Json) -> None:
        """Process one event."""
        self._states[key], posting = post(self._states.get(key, FRESH), event)
        self.digest.add(encode_posting(posting))
