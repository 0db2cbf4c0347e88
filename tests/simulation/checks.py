"""What must hold when a run has come to rest: the engine's promises.

Problem: a wrong engine may still add up. How: every lane's visible source records are folded anew
without an engine (`fold`); rows and outputs must be the same bytes, each output exactly once, and a
worker with an empty disk must find the same rows in the changelog. The books are `books_checks`.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable

from streamsync.engine.lane import SourceRecord
from tests.simulation import probe
from tests.simulation.fold import Folded, fold
from tests.simulation.world import World

Written = tuple[int, bytes | None, bytes | None, int]
"""Partition, key, value and timestamp."""


class Broken(AssertionError):
    """A property that must hold does not; the message names it."""


def expect(holds: bool, what: str) -> None:
    """Raise with the broken property."""
    if not holds:
        raise Broken(what)


def check_engine(world: World) -> int:
    """Raise `Broken` at the first broken promise; gives the number of records compared."""
    _lag_is_zero(world)
    folded = _fold_all(world)
    _rows_equal(world, folded)
    compared = _outputs_equal(world, folded)
    _probe_sums(world)
    world.driver.restart(wipe=True)
    _rows_equal(world, folded)
    expect(world.driver.run() == 0, "a worker with an empty disk does something again")
    return compared


def _seats(world: World) -> Iterable[tuple[str, int]]:
    for lane in world.driver.topology.lanes:
        for partition in range(world.driver.partitions(lane.name)):
            yield lane.name, partition


def _lag_is_zero(world: World) -> None:
    driver = world.driver
    for lane, partition in _seats(world):
        records = driver.outputs(driver.topology.lane(lane).source, partition)
        end = records[-1].offset + 1 if records else 0
        position = driver.position(lane, partition)
        expect(position == end, f"lag: {lane} {partition} is at {position} of {end}")


def _fold_all(world: World) -> dict[tuple[str, int], Folded]:
    driver = world.driver
    return {
        (name, partition): fold(
            driver.topology.lane(name),
            partition,
            driver.outputs(driver.topology.lane(name).source, partition),
        )
        for name, partition in _seats(world)
    }


def _rows_equal(world: World, folded: dict[tuple[str, int], Folded]) -> None:
    for (lane, partition), made in folded.items():
        stored = world.driver.stored_rows(lane, partition)
        wanted = made.shard.encoded()
        if stored != wanted:
            differ = sorted(
                key for key in stored.keys() | wanted.keys() if stored.get(key) != wanted.get(key)
            )
            expect(False, f"rows of {lane} {partition} differ from the fold at {differ[:3]}")


def _outputs_equal(world: World, folded: dict[tuple[str, int], Folded]) -> int:
    """Every output exactly once; a loop-back at least once, and more only byte for byte."""
    driver = world.driver
    wanted: dict[str, Counter[Written]] = {}
    looped: dict[str, Counter[Written]] = {}
    for made in folded.values():
        for counts, outputs in ((wanted, made.outputs), (looped, made.loop_backs)):
            for output, timestamp_ms in outputs:
                partition = output.partition
                if partition is None:
                    partition = driver.partition_of(output.topic, output.key)
                written = (partition, output.key, output.value, timestamp_ms)
                counts.setdefault(output.topic, Counter())[written] += 1
    for topic, records in world.fed.items():
        wanted.setdefault(topic, Counter()).update(map(_written, records))
    compared = 0
    for topic in driver.topics():
        found = Counter(map(_written, driver.outputs(topic)))
        compared += found.total()
        once, at_least = wanted.get(topic, Counter()), looped.get(topic, Counter())
        missing = (once + at_least) - found
        expect(not missing, f"{missing.total()} records are missing in {topic}: {_shown(missing)}")
        more = found - (once + at_least)
        doubled = Counter({one: count for one, count in more.items() if one not in at_least})
        expect(not doubled, f"{doubled.total()} too many in {topic}: {_shown(doubled)}")
        expect(not more or world.disturbed, f"loop-backs repeated without a fault in {topic}")
    return compared


def _written(record: SourceRecord) -> Written:
    return record.partition, record.key, record.value, record.timestamp_ms


def _shown(records: Counter[Written]) -> str:
    return str([(one[0], one[1]) for one in list(records)[:3]])


def _probe_sums(world: World) -> None:
    found: dict[str, int] = {}
    for partition in range(world.driver.partitions(probe.LANE)):
        found |= dict(world.driver.shard(probe.LANE, partition).scan(probe.SUM))
    wanted = {key: total for key, total in world.script.sums.items() if key in found or total}
    expect(found == wanted, f"the probe's sums are {found}, not {wanted}")
