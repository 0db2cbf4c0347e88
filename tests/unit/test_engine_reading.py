"""What a lane reads has no hole: each fetch goes on where the last one ended, or is read again."""

from __future__ import annotations

from contextlib import AbstractContextManager, nullcontext
from types import SimpleNamespace
from typing import Any

import pytest
from aiokafka.structs import TopicPartition

from streamsync.engine.fetch import Fetched
from streamsync.engine.lanes import Lanes
from streamsync.engine.pace import Pace
from streamsync.engine.recovery import PositionLost
from streamsync.engine.seat import Seat
from streamsync.engine.transport import LaneConsumerThread
from tests.unit.test_engine_commit import FakeHost, records, until

PLACE = TopicPartition("in", 0)


class OneSeat:
    """The lanes of a worker with one partition at work; seeks are answered at once."""

    def __init__(self) -> None:
        host: Any = FakeHost([])
        lanes: Any = Lanes.__new__(Lanes)
        self.host, self.lanes = host, lanes
        self.seat = Seat(host, 0, host.ground(), Pace())
        self.sought: list[int] = []
        self.stopped: list[BaseException] = []
        lane = SimpleNamespace(
            seats={0: self.seat}, seek=self.seek, spec=SimpleNamespace(name="echo", source="in")
        )
        lanes.by_source, lanes.by_changelog = {"in": lane}, {}
        lanes._background, lanes.group = set(), self

    async def seek(self, seat: Seat) -> None:
        self.sought.append(seat.resume_position)
        seat.fetch_floor, seat.just_sought, seat.read_to = 0, True, seat.resume_position

    async def stop_worker(self, error: BaseException) -> None:
        self.stopped.append(error)

    def fetched(self, what: Fetched) -> None:
        self.lanes.take({PLACE: what}, 1)


@pytest.fixture
async def one() -> OneSeat:
    found = OneSeat()
    await found.seek(found.seat)
    found.sought.clear()
    return found


async def test_records_that_leave_a_hole_are_not_taken_and_read_again(one: OneSeat) -> None:
    one.fetched(records(0, 3))
    await until(lambda: one.seat.committed_position == 3)
    one.fetched(records(5, 2))
    await until(lambda: one.sought == [3])
    one.fetched(records(3, 4))
    await until(lambda: one.seat.committed_position == 7)
    await one.seat.release(5)
    assert [batch.records for batch in one.host.committed_batches] == [3, 4]
    assert not one.stopped


@pytest.mark.parametrize("start", [9, 0], ids=["deleted", "recreated"])
async def test_a_position_that_the_topic_does_not_hold_stops_the_worker_and_nothing_is_skipped(
    one: OneSeat, start: int
) -> None:
    one.fetched(records(0, 3))
    await until(lambda: one.seat.committed_position == 3)
    for _ in range(3):  # the broker gives what it has, whatever is asked for
        one.fetched(records(start, 2))
        await until(lambda: bool(one.sought))
    await until(lambda: bool(one.stopped))
    await one.seat.release(5)
    assert one.seat.committed_position == 3
    (error,) = one.stopped
    assert isinstance(error, PositionLost)
    assert f"at offset 3, and was given what stands at {start}" in str(error)


async def test_lag_is_0_when_only_markers_of_transactions_are_left(one: OneSeat) -> None:
    found = records(0, 3)
    one.fetched(Fetched(0, 5, found.records))
    assert one.seat.done_to == 0, "nothing is committed yet"
    await until(lambda: one.seat.committed_position == 3)
    assert one.seat.done_to == 5
    one.fetched(Fetched(5, 6, []))
    assert (one.seat.done_to, one.seat.resume_position) == (6, 3)
    one.fetched(records(6, 1))
    assert one.seat.done_to == 3
    await until(lambda: one.seat.done_to == 7)
    await one.seat.release(5)


async def test_stock_topics_are_read_also_while_lanes_have_records(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    stock = TopicPartition("stock", 0)

    class BusyFetcher:
        _closed = False

        def __init__(self) -> None:
            self._subscriptions = self
            self.reassignment_in_progress = False

        def fetch_context(self) -> AbstractContextManager[None]:
            return nullcontext()

        async def fetched_records(self, wanted: set[Any], max_records: int | None) -> Any:
            assert wanted == {stock} and max_records == 10
            return {stock: ["record"]}

    monkeypatch.setattr(
        "streamsync.engine.transport.take_fetched", lambda *_: {PLACE: records(0, 1)}
    )
    thread: Any = LaneConsumerThread.__new__(LaneConsumerThread)
    thread.consumer = SimpleNamespace(flow_active=True)
    thread.app = SimpleNamespace(lanes=SimpleNamespace(by_source={"in"}))
    consumer = SimpleNamespace(_fetcher=BusyFetcher(), _closed=False)
    found = await thread._fetch_records(consumer, {PLACE, stock}, 1.0, 10)
    assert set(found) == {PLACE, stock}
