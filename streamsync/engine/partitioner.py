"""Which partition a key belongs to.

Problem: everything of one account must meet in one partition, whoever writes it: a Python lane,
a Java producer, Faust's table routing. Kafka's own default is murmur2 over the whole key; keys
here are `account|subscription`, so only the part before the first `|` is hashed. A plain Kafka
producer that writes keys without `|` therefore agrees without any setting.
"""

from __future__ import annotations

from functools import lru_cache

_MASK = 0xFFFFFFFF
_MULTIPLIER = 0x5BD1E995
_SEED = 0x9747B28C


def murmur2(data: bytes) -> int:
    """Kafka's 32-bit murmur2, unsigned."""
    length = len(data)
    value = _SEED ^ length
    whole = length & ~3
    for at in range(0, whole, 4):
        word = int.from_bytes(data[at : at + 4], "little") * _MULTIPLIER & _MASK
        word = (word ^ word >> 24) * _MULTIPLIER & _MASK
        value = (value * _MULTIPLIER & _MASK) ^ word
    if whole < length:
        value = (value ^ int.from_bytes(data[whole:], "little")) * _MULTIPLIER & _MASK
    value = (value ^ value >> 13) * _MULTIPLIER & _MASK
    return value ^ value >> 15


# Python computes murmur2 twenty times slower than it looks a key up again.
@lru_cache(maxsize=1 << 16)
def account_partition(key: bytes | None, partitions: int) -> int:
    """The partition of a key; a record without a key goes to partition 0, always the same."""
    if key is None:
        return 0
    return (murmur2(key.split(b"|", 1)[0]) & 0x7FFFFFFF) % partitions
