"""A worker answers as an owner only while the group can't have replaced it."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from types import SimpleNamespace
from typing import Any

import pytest

from streamsync.engine.lane import Shard
from streamsync.engine.membership import Membership
from streamsync.engine.reading import LocalRows, Unavailable
from streamsync.engine.seat import SeatState
from streamsync.engine.shard import MemoryRows


def test_a_confirmation_counts_from_the_question_and_for_one_session() -> None:
    now = 100.0
    membership = Membership(lambda: now)
    membership.session_timeout_s = 10.0
    assert not membership.is_confirmed()
    assert membership.is_due()
    asked_at = membership.now()
    now = 107.0  # the answer came late; the group's clock began when it was asked
    membership.confirm(asked_at)
    assert membership.is_confirmed()
    assert membership.is_due()
    now = 110.5
    assert not membership.is_confirmed()


def test_an_answer_that_was_overtaken_takes_nothing_back() -> None:
    now = 0.0
    membership = Membership(lambda: now)
    membership.session_timeout_s = 10.0
    early = membership.now()
    now = 5.0
    membership.confirm(membership.now())
    membership.confirm(early)
    now = 14.0
    assert membership.is_confirmed()


@pytest.mark.parametrize("loses", ["partition", "membership", "nothing"])
async def test_a_read_that_ends_after_the_partition_was_given_up_answers_nothing(
    loses: str,
) -> None:
    membership = Membership(lambda: 0.0)
    membership.session_timeout_s = 10.0
    membership.confirm(0.0)
    seat = SimpleNamespace(state=SeatState.ACTIVE)
    runtime = SimpleNamespace(
        seats={3: seat},
        spec=SimpleNamespace(name="lane"),
        store=SimpleNamespace(snapshot=lambda _partition: MemoryRows()),
    )

    def read(_shard: Shard) -> str:
        if loses == "partition":
            seat.state = SeatState.RECOVERING
        elif loses == "membership":
            membership.session_timeout_s = 0.0
        return "found"

    with ThreadPoolExecutor(1) as pool:
        lanes: Any = SimpleNamespace(by_name={"lane": runtime}, membership=membership, pool=pool)
        answer = LocalRows(lanes).fresh("lane", 3, read)
        if loses == "nothing":
            assert (await answer).found == "found"
        else:
            with pytest.raises(Unavailable):
                await answer
