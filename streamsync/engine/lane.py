"""What a topology is written in.

Problem: business steps must run unchanged in memory, on Kafka and after a crash, and give the
same bytes each time. So a step is a function of the shard's rows and one record, and nothing
else: no clock, no randomness, no client of any server.

A *lane* reads exactly one topic. Per partition of that topic it has one *shard* (typed rows)
and one position, so `rows and outputs = fold(step, records)`. An output to the lane's own
source topic is a *loop-back*: it leaves before the transaction by a plain idempotent producer,
may therefore appear twice after a crash, and must be harmless then.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Protocol, TypeVar

import msgspec

if TYPE_CHECKING:
    from streamsync.engine.rows import RowType

T = TypeVar("T")

RECORD_BYTES_MAX = 8 << 20
"""What a lane may write as one record, key and value; a larger one stops the worker."""
TOPIC_BYTES_MAX = str(RECORD_BYTES_MAX + (64 << 10))
"""`max.message.bytes` of topics that lanes write to: one record, and the head of its batch."""


# Hundreds of thousands are made a second: Structs, and without a place in the garbage collector's
# lists, since they hold nothing that could point back.
class SourceRecord(msgspec.Struct, frozen=True, gc=False):
    """One record of a topic, as bytes."""

    topic: str
    partition: int
    offset: int
    timestamp_ms: int
    key: bytes | None
    value: bytes | None


class Output(msgspec.Struct, frozen=True, gc=False):
    """One record that a step wants written; `partition=None` leaves it to the partitioner.

    On the wire it carries the timestamp of the record that caused it, so that a re-run after a
    crash writes identical bytes.
    """

    topic: str
    key: bytes | None
    value: bytes | None
    partition: int | None = None


class Shard(Protocol):
    """The rows of one partition of one lane."""

    @property
    def partition(self) -> int: ...

    def get(self, row: RowType[T], key: str) -> T | None: ...

    def put(self, row: RowType[T], key: str, value: T) -> None:
        """Values are immutable; to change one, put another."""

    def delete(self, row: RowType[T], key: str) -> None: ...

    def scan(
        self,
        row: RowType[T],
        prefix: str = "",
        after: str | None = None,
        limit: int | None = None,
    ) -> Iterator[tuple[str, T]]:
        """Rows whose key begins with `prefix`, in bytewise key order, uncommitted ones included.

        `after` starts behind that key. What was already yielded may be put or deleted.
        """


class Poison(Exception):
    """A step can't process this record, and never will: dead-letter it and go on."""

    def __init__(self, reason: str, detail: str = "") -> None:
        super().__init__(f"{reason}: {detail}" if detail else reason)
        self.reason = reason
        self.detail = detail


Step = Callable[[Shard, SourceRecord], Iterable[Output]]
DeadLetter = Callable[[SourceRecord, Poison], Iterable[Output]]
CommitObserver = Callable[[int, int], None]


@dataclass(frozen=True)
class LaneSpec:
    """A named step over one source topic.

    `rows` are the row types that its steps keep: workers of different releases compare them
    before they share a state.
    `on_commit` is told, after a commit, how many records and outputs it held: for counters only,
    since after a crash between commit and call it is not called again.
    """

    name: str
    source: str
    step: Step
    dead_letter: DeadLetter
    on_commit: CommitObserver | None = None
    rows: Sequence[RowType[Any]] = ()


@dataclass(frozen=True)
class TopicSpec:
    """A topic that must exist, with its partitions and broker configuration."""

    name: str
    partitions: int
    config: Mapping[str, str] = field(default_factory=dict)


def no_other_topics(_name: str) -> TopicSpec | None:
    """For topologies that write only to declared topics."""
    return None


class TopologyError(Exception):
    """The topology contradicts itself; the message says where and what to do."""


@dataclass(frozen=True)
class Topology:
    """All lanes and topics of one application.

    `topic_for` gives the specification of a topic that is first met at run time; it is created
    before the first record is written to it.
    """

    app_id: str
    lanes: tuple[LaneSpec, ...]
    topics: tuple[TopicSpec, ...]
    partitioner: Callable[[bytes | None, int], int]
    topic_for: Callable[[str], TopicSpec | None] = no_other_topics

    def __post_init__(self) -> None:
        topics = [topic.name for topic in self.topics]
        names = [lane.name for lane in self.lanes]
        sources = [lane.source for lane in self.lanes]
        for what, values in (("topic", topics), ("lane", names), ("source topic", sources)):
            for value in values:
                if values.count(value) > 1:
                    raise TopologyError(f"The {what} {value!r} appears twice in {self.app_id!r}.")
        for lane in self.lanes:
            if lane.source not in topics:
                raise TopologyError(
                    f"Lane {lane.name!r} reads topic {lane.source!r}, which is not declared: "
                    "add it to the topology's topics."
                )

    def lane(self, name: str) -> LaneSpec:
        for lane in self.lanes:
            if lane.name == name:
                return lane
        raise TopologyError(f"There is no lane {name!r} in {self.app_id!r}.")

    def topic(self, name: str) -> TopicSpec:
        """The specification of a declared topic, or of one met at run time."""
        for topic in self.topics:
            if topic.name == name:
                return topic
        found = self.topic_for(name)
        if found is None:
            raise TopologyError(
                f"A step wrote to topic {name!r}, which {self.app_id!r} neither declares nor "
                "allows: add it to the topology's topics, or let topic_for return it."
            )
        return found
