"""Valid bytes, broken at random: both codecs answer alike, with a record or a ContractError.

The seed is printed and can be given: STREAMSYNC_FUZZ_SEED; STREAMSYNC_FUZZ_MUTATIONS makes the run
longer (`make test-deep` does, with the extension built under the address sanitizer).
"""

from __future__ import annotations

import importlib
import os
import random
from collections import Counter
from typing import Any

from streamsync.contracts import ContractError, Contracts
from tests.codec_records import CODECS, SCHEMAS, contracts, number, random_record, written

MUTATIONS = int(os.environ.get("STREAMSYNC_FUZZ_MUTATIONS", "24000"))
SEED = int(os.environ.get("STREAMSYNC_FUZZ_SEED", "20261123"))
NASTY = [
    *(number(n) for n in (-1, 0, 1, 2, 63, 64, 2**31, 2**31 - 1, -(2**31) - 1, 2**40)),
    *(number(n) for n in (2**62, 2**63 - 1, -(2**63), -(2**40))),
    b"\xff" * 9 + b"\x01", b"\xff" * 9 + b"\x02", b"\x80" * 11,
    b"\x80\x00", b"\xff\xff", b"\x01\x01",
]  # fmt: skip


def mutated(data: bytes, other: bytes, rng: random.Random) -> bytes:
    """The value with one to three breaks in its body."""
    body = bytearray(data[5:])
    for _ in range(rng.choice((1, 1, 1, 2, 3))):
        at = rng.randrange(len(body) + 1)
        kind = rng.randrange(7)
        if kind == 0 and at < len(body):
            body[at] ^= 1 << rng.randrange(8)
        elif kind == 1 and at < len(body):
            body[at] = rng.choice((0, 1, 2, 3, 0x7F, 0x80, 0xFF))
        elif kind == 2:
            body[at:at] = rng.choice(NASTY)
        elif kind == 3:
            nasty = rng.choice(NASTY)
            body[at : at + len(nasty)] = nasty
        elif kind == 4:
            del body[at : at + rng.randrange(1, 9)]
        elif kind == 5:
            del body[at:]
        else:
            start = rng.randrange(len(other))
            body[at:at] = other[start : start + rng.randrange(1, 30)]
    return data[:5] + bytes(body)


def outcome(codec: Contracts, data: bytes) -> Any:
    """The record, or the whole refusal."""
    try:
        return codec.decode(data)
    except ContractError as error:
        return (error.reason, str(error))


def test_broken_bytes_have_one_outcome_on_both_codecs() -> None:
    compiled, portable = (contracts(one) for one in CODECS)
    print(f"STREAMSYNC_FUZZ_SEED={SEED} STREAMSYNC_FUZZ_MUTATIONS={MUTATIONS}")
    print(importlib.import_module("streamsync.contracts.compiled").__file__)
    rng = random.Random(SEED)
    names = sorted(SCHEMAS)
    seen: Counter[str] = Counter()
    for number_of in range(MUTATIONS):
        if number_of % 8 == 0:
            name = names[number_of // 8 % len(names)]
            record = random_record(name, rng)
            data = compiled.encode(record)
            blocks = data[:5] + written(name, record, rng)
        broken = mutated(rng.choice((data, blocks)), data, rng)
        found, other = outcome(compiled, broken), outcome(portable, broken)
        assert found == other and repr(found) == repr(other), (name, broken.hex())
        if isinstance(found, tuple):
            assert found[0] == "record_malformed", broken.hex()
            # "refuses it" would mean that the walk, which tells the fault, found none.
            assert "the compiled codec refuses it" not in found[1], (name, broken.hex())
        else:
            again = compiled.encode(found)
            assert again == portable.encode(found) and compiled.decode(again) == found
        seen["refused" if isinstance(found, tuple) else "read"] += 1
    # Both must happen often, or the run has shown nothing.
    assert min(seen["refused"], seen["read"]) > MUTATIONS // 20, seen
