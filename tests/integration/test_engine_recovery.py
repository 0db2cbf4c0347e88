"""Recovery by itself: one by one, in bounded memory, resumed after a kill, nothing left out."""

from __future__ import annotations

import asyncio
import os
import random
import subprocess
import sys
import threading
import time
from pathlib import Path
from typing import Any

import pytest
from confluent_kafka import TopicPartition
from confluent_kafka.admin import AdminClient
from confluent_kafka.cimpl import NewPartitions, NewTopic

from streamsync.engine import changelog, recovery
from streamsync.engine.changelog import RowDamaged
from streamsync.engine.cluster import TopicError
from streamsync.engine.commit import commit
from streamsync.engine.lane import Output
from streamsync.engine.producing import OutputTooLarge
from streamsync.engine.seat import Ground
from streamsync.engine.store import Stored
from streamsync.engine.work import Batch
from tests import engine_lane
from tests.engine_lane import OneLane, Row

MANY = 90_000


def rows(first: int, count: int, word: bytes = b"value") -> list[Row]:
    return [(b"row|%07d" % n, word + b"%d" % n) for n in range(first, first + count)]


@pytest.fixture
def lane(broker: str, tmp_path: Path) -> OneLane:
    return OneLane(broker, f"engine-recovery-{time.time_ns()}", tmp_path / "here")


def test_a_recovery_killed_on_its_way_goes_on_where_it_was(
    lane: OneLane, broker: str, tmp_path: Path
) -> None:
    for first in range(0, MANY, 3_000):
        lane.write(0, rows(first, 3_000))
    lane.write(1, rows(0, 10))
    folder = tmp_path / "killed"
    command = [
        sys.executable, engine_lane.__file__, f"--broker={broker}", f"--app-id={lane.app_id}",
        f"--folder={folder}", "--writes=2",
    ]  # fmt: skip
    root = str(Path(engine_lane.__file__).parent.parent)
    environment = {**os.environ, "PYTHONPATH": root}
    killed = subprocess.run(command, env=environment, capture_output=True, check=False, timeout=120)
    assert killed.returncode == -9, killed.stderr.decode()[-2_000:]

    again = OneLane(broker, lane.app_id, folder)
    before = len(again.rows(0)) + len(again.rows(1))
    assert before > 0, "nothing had been written when it was killed"
    found = again.recover()
    read = sum(one.changelog_rows for one in found.values())
    assert read < MANY, f"it read all {read} rows again"
    assert again.rows(0) == dict(rows(0, MANY))
    assert again.rows(1) == dict(rows(0, 10))


def test_a_partition_is_handed_out_while_another_can_not_be_fenced_yet(
    lane: OneLane, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its earlier owner's transaction may take ten seconds to end; nobody else waits for it."""
    first_is_out = threading.Event()
    fence = recovery._fence

    def slow(plan: Any, partition: int, *arguments: Any) -> Any:
        if partition == 1:
            assert first_is_out.wait(60), "partition 0 waits for its neighbour"
        return fence(plan, partition, *arguments)

    monkeypatch.setattr(recovery, "_fence", slow)
    lane.write(0, rows(0, 10))
    lane.write(1, rows(0, 10))
    order: list[int] = []

    def ready(partition: int, _recovered: recovery.Recovered) -> None:
        order.append(partition)
        first_is_out.set()

    lane.recover(ready=ready)
    assert order == [0, 1]


def test_rows_without_markers_between_them_are_written_in_parts_and_end_as_one_cut(
    lane: OneLane, monkeypatch: pytest.MonkeyPatch
) -> None:
    """So it is where compaction has been: of all marker rows the last one is left."""
    monkeypatch.setattr(changelog, "_MESSAGES_PER_POLL", 500)
    monkeypatch.setattr(changelog, "_ROWS_HELD", 900)
    monkeypatch.setattr(changelog, "_ROWS_UNMARKED_MAX", 900)
    seen: list[Stored] = []
    write_part = lane.store.write_part

    def watched(partition: int, *arguments: object) -> None:
        write_part(partition, *arguments)  # type: ignore[arg-type]
        seen.append(lane.store.stored(partition))

    monkeypatch.setattr(lane.store, "write_part", watched)
    lane.write(0, rows(0, 2_000), position=None)
    lane.write(0, [(b"row|0000007", None), *rows(2_000, 2_000)], position=0)
    found = lane.recover([0])
    assert found[0].marker.position == 0
    wanted = dict(rows(0, 4_000))
    del wanted[b"row|0000007"]
    assert lane.rows(0) == wanted
    assert len(seen) > 2
    assert {stored.marker for stored in seen} == {None}, "a part passed for a whole"
    assert lane.recover([0])[0].changelog_rows == 0


@pytest.mark.parametrize("broken", ["marker", "key", "cut"])
def test_what_no_worker_wrote_stops_recovery_with_a_sentence(lane: OneLane, broken: str) -> None:
    lane.write(0, rows(0, 5))
    if broken == "marker":
        lane.write(0, rows(5, 5), marker=b"\x02not a position")
    elif broken == "key":
        lane.write(0, [(b"", b"value")])
    else:
        lane.write(0, rows(5, 5), position=None)
    with pytest.raises(RowDamaged, match=rf"{lane.app_id}-lane-changelog' partition 0") as raised:
        lane.recover([0])
    assert "delete" in str(raised.value), "it must say what to do"


def test_a_database_that_missed_deletions_is_rebuilt(
    lane: OneLane, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    lane.write(0, rows(0, 5))
    lane.recover([0])
    lane.write(0, rows(5, 1))
    # Eight days later the broker may have forgotten which rows were deleted.
    later = time.time() + 8 * 24 * 3_600
    monkeypatch.setattr("streamsync.engine.changelog.time.time", lambda: later)
    assert lane.recover([0])[0].changelog_rows == 8
    assert "rows may have been deleted since without a trace" in caplog.text
    assert lane.rows(0) == dict(rows(0, 6))


@pytest.mark.parametrize("position", [4, 11])
def test_a_position_that_the_source_does_not_hold_stops_recovery_with_a_sentence(
    lane: OneLane, position: int
) -> None:
    keep_from(lane, 5, 10)
    lane.write(0, rows(0, 5), position=position)
    told = rf"is at offset {position} of partition 0 of '{lane.source}', which holds 5 to 10"
    with pytest.raises(recovery.PositionLost, match=told) as raised:
        lane.recover([0])
    assert "Restore the topic" in str(raised.value), "it must say what to do"


def test_without_rows_a_source_that_begins_later_is_read_from_there_and_said_aloud(
    lane: OneLane, caplog: pytest.LogCaptureFixture
) -> None:
    keep_from(lane, 5, 10)
    assert lane.recover([0])[0].marker.position == 5
    assert "at its first record, offset 5: what stood before was deleted" in caplog.text


def keep_from(lane: OneLane, low: int, end: int) -> None:
    """A source of which the first records were deleted."""
    producer = lane.lanes.cluster.producer()
    for _ in range(end):
        producer.produce(lane.source, b"v", partition=0)
    assert producer.flush(30) == 0
    place = TopicPartition(lane.source, 0, low)
    admin = lane.lanes.cluster.admin()
    admin.delete_records([place])[place].result(30)


def test_partitions_that_were_added_are_refused_at_the_start_and_at_a_rebalance(
    lane: OneLane, broker: str, tmp_path: Path
) -> None:
    """An account's records would go to another partition than its rows are in."""
    lane.lanes.catalog.look_again()
    admin = lane.lanes.cluster.admin()
    admin.create_partitions([NewPartitions(lane.source, 3)])[lane.source].result(30)
    told = f"Topic '{lane.source}' has 3 partitions, the topology says 2"
    with pytest.raises(TopicError, match=told):
        lane.lanes.catalog.look_again()
    with pytest.raises(TopicError, match=told):
        OneLane(broker, lane.app_id, tmp_path / "again")


@pytest.mark.parametrize("kind", ["row", "loop-back"])
def test_what_the_topic_finds_too_large_stops_the_commit_and_leaves_no_trace(
    broker: str, tmp_path: Path, kind: str
) -> None:
    """A topic that existed before, with a limit of its own."""
    app_id = f"engine-large-{time.time_ns()}"
    topic = f"{app_id}-lane-changelog" if kind == "row" else f"{app_id}.source"
    admin = AdminClient({"bootstrap.servers": broker})
    small = NewTopic(topic, 2, 1, config={"max.message.bytes": "10000"})
    admin.create_topics([small])[topic].result(30)
    lane = OneLane(broker, app_id, tmp_path / "here")
    noise = random.Random(1).randbytes(50_000)
    output = Output(lane.source, b"k", noise, 0)
    batch = Batch(
        lane=lane.runtime.spec, partition=0, records=1, position=1, poison=0, outputs=(),
        loop_backs=[(output, 1)] if kind == "loop-back" else (),
        rows=[(b"row|large", noise)] if kind == "row" else (),
    )  # fmt: skip

    async def ground() -> Ground:
        return lane.runtime._ground(0, lane.recover([0])[0])

    port = asyncio.run(ground()).port
    with pytest.raises(OutputTooLarge, match=rf"{topic}.*max\.message\.bytes"):
        commit(batch, port)
    port.close()
    assert lane.rows(0) == {}
    assert lane.recover([0])[0].marker.position == 0
