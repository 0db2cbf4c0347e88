"""A sorted set of keys that may change while it is walked.

Problem: a scan must see uncommitted rows in key order while the step puts and deletes rows. A
plain sorted list costs a full move per insert once it holds a million keys, so the keys lie in
buckets of bounded size, each sorted, with the largest key of each bucket beside it.
"""

from __future__ import annotations

from bisect import bisect_left, insort
from collections.abc import Iterable

_BUCKET_MAX = 1_000


class KeyOrder:
    """A sorted set of strings; string order is the byte order of their UTF-8."""

    __slots__ = ("_buckets", "_largest")

    def __init__(self, keys: Iterable[str] = ()) -> None:
        ordered = sorted(keys)
        half = _BUCKET_MAX // 2  # room to grow before a bucket is split
        self._buckets: list[list[str]] = [
            ordered[at : at + half] for at in range(0, len(ordered), half)
        ]
        self._largest: list[str] = [bucket[-1] for bucket in self._buckets]

    def add(self, key: str) -> None:
        if not self._buckets:
            self._buckets.append([key])
            self._largest.append(key)
            return
        at = min(bisect_left(self._largest, key), len(self._buckets) - 1)
        bucket = self._buckets[at]
        place = bisect_left(bucket, key)
        if place < len(bucket) and bucket[place] == key:
            return
        insort(bucket, key)
        self._largest[at] = bucket[-1]
        if len(bucket) > _BUCKET_MAX:
            half = len(bucket) // 2
            self._buckets[at : at + 1] = [bucket[:half], bucket[half:]]
            self._largest[at : at + 1] = [bucket[half - 1], bucket[-1]]

    def discard(self, key: str) -> None:
        at = bisect_left(self._largest, key)
        if at == len(self._buckets):
            return
        bucket = self._buckets[at]
        place = bisect_left(bucket, key)
        if bucket[place] != key:
            return
        del bucket[place]
        if bucket:
            self._largest[at] = bucket[-1]
        else:
            del self._buckets[at], self._largest[at]

    def at_or_after(self, key: str) -> str | None:
        """The smallest key that is not smaller than `key`."""
        at = bisect_left(self._largest, key)
        if at == len(self._buckets):
            return None
        bucket = self._buckets[at]
        return bucket[bisect_left(bucket, key)]
