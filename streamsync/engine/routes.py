"""Where a lane's outputs go: topic and key to a partition, and what its first record carries.

Problem: hundreds of thousands of outputs a second need their partition. Murmur2 in Python costs
as much as the rest of the way, a cache for calls half of that. How: one dictionary from key to
partition for each number of partitions, which fills itself and is emptied when it is full, and
one object for each partition, so that what a transaction touches is a set of few objects.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Protocol

from streamsync.engine.evidence import Place
from streamsync.engine.lane import Output
from streamsync.engine.partitioner import KeyPartitions

Headers = list[tuple[str, str | bytes | None]]


class Way:
    """The way to one partition; compared by identity."""

    __slots__ = ("headers", "place")

    def __init__(self, topic: str, partition: int) -> None:
        self.place: Place = (topic, partition)
        self.headers: Headers | None = None
        """For the next record only."""


class _Ways:
    """The ways to one topic."""

    __slots__ = ("by_partition", "keys")

    def __init__(self, topic: str, keys: KeyPartitions, count: int) -> None:
        self.keys = keys
        self.by_partition = [Way(topic, partition) for partition in range(count)]


class Topics(Protocol):
    """What is known of topics."""

    def partitions(self, topic: str) -> int: ...

    def keys(self, topic: str) -> KeyPartitions: ...


class Routes(dict[str, _Ways]):
    """The ways of one lane's partition to all topics; used by one thread at a time."""

    def __init__(self, topics: Topics) -> None:
        super().__init__()
        self._topics = topics

    def __missing__(self, topic: str) -> _Ways:
        count = self._topics.partitions(topic)  # creates a topic that is new
        ways = self[topic] = _Ways(topic, self._topics.keys(topic), count)
        return ways

    def of(self, records: Iterable[tuple[Output, int]]) -> Sequence[Way]:
        """The way of each output, in their order."""
        return [
            (to := self[output.topic]).by_partition[
                to.keys[output.key] if output.partition is None else output.partition
            ]
            for output, _ in records
        ]
