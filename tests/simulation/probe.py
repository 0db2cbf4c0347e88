"""A lane that does on purpose what the books' lanes do seldom: poison after changes, long chains.

Problem: the topology raises Poison before it changes anything, and its loop-backs are few, so it
would not notice that the undo of a step is broken. How: a lane beside it adds numbers, poisons
itself in the middle of a step, and counts down by loop-backs.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace

from streamsync.engine.lane import (
    LaneSpec,
    Output,
    Poison,
    Shard,
    SourceRecord,
    TopicSpec,
    Topology,
)
from streamsync.engine.rows import RowType

LANE, TOPIC, OUT, DEAD = "probe", "probe", "probe-out", "probe-dead"
SUM = RowType("sum", 1, int)
SEEN = RowType("seen", 1, bool)


def add(number: int) -> bytes:
    """Add a number to the key's sum."""
    return b"add:%d" % number


def poison(number: int) -> bytes:
    """Spoil the key's rows, then fail for good."""
    return b"poison:%d" % number


def chain(identity: int, length: int) -> bytes:
    """Add one, `length` times, each time by a loop-back; a repeat is recognised by its place."""
    return b"chain:%d:%d" % (identity, length)


def step(shard: Shard, record: SourceRecord) -> Iterable[Output]:
    """Do what the value says."""
    assert record.key is not None and record.value is not None
    name = record.key.decode()
    kind, *numbers = record.value.decode().split(":")
    before = shard.get(SUM, name) or 0
    if kind == "poison":
        shard.put(SUM, name, before + 1_000_000)
        shard.put(SEEN, f"{name}|spoiled", True)
        for key, _ in list(shard.scan(SEEN, f"{name}|", limit=2)):
            shard.delete(SEEN, key)
        raise Poison("probe", record.value.decode())
    if kind == "chain":
        place = f"{name}|{numbers[0]}|{numbers[1]}"
        if shard.get(SEEN, place):
            return
        shard.put(SEEN, place, True)
        if int(numbers[1]) > 1:
            yield Output(TOPIC, record.key, chain(int(numbers[0]), int(numbers[1]) - 1))
    total = before + (int(numbers[0]) if kind == "add" else 1)
    shard.put(SUM, name, total)
    yield Output(OUT, record.key, b"%d" % total)


def _dead(record: SourceRecord, told: Poison) -> Iterable[Output]:
    yield Output(DEAD, record.key, told.detail.encode())


def with_probe(topology: Topology, partitions: int) -> Topology:
    """The topology with the probe's lane and topics."""
    return replace(
        topology,
        lanes=(*topology.lanes, LaneSpec(LANE, TOPIC, step, _dead)),
        topics=(*topology.topics, *(TopicSpec(name, partitions) for name in (TOPIC, OUT, DEAD))),
    )
