"""Which partition a key belongs to.

Problem: everything of one account must meet in one partition, whoever writes it: a Python lane,
a Java producer, Faust's table routing. Kafka's own default is murmur2 over the whole key; keys
here are `account|subscription`, so only the part before the first `|` is hashed. A plain Kafka
producer that writes keys without `|` therefore agrees without any setting.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import lru_cache

_MASK = 0xFFFFFFFF
_MULTIPLIER = 0x5BD1E995
_SEED = 0x9747B28C

KEYS_KEPT_MAX = 1 << 16

Partitioner = Callable[[bytes | None, int], int]


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


class KeyPartitions(dict[bytes | None, int]):
    """Keys and their partitions, of all topics with one number of partitions. Safe in threads."""

    def __init__(self, partitioner: Partitioner, count: int) -> None:
        super().__init__()
        self._partitioner = partitioner
        self._count = count

    def __missing__(self, key: bytes | None) -> int:
        if len(self) >= KEYS_KEPT_MAX:
            self.clear()
        partition = self[key] = self._partitioner(key, self._count)
        return partition
