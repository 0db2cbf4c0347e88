"""What a log says about transactions, and when one counts as hanging; no broker."""

from __future__ import annotations

import threading
from collections.abc import Iterable, Mapping
from concurrent.futures import Future
from dataclasses import dataclass, field
from types import SimpleNamespace
from typing import Any

import pytest
from confluent_kafka import IsolationLevel, KafkaError, KafkaException

from streamsync.engine import evidence, recovery
from streamsync.engine.cluster import Cluster
from streamsync.engine.evidence import (
    HEADER,
    Fate,
    Origin,
    Place,
    Sighting,
    Sightings,
    find_open,
)
from streamsync.engine.hanging import last_marker
from streamsync.engine.recovery import RecoveryCancelled
from streamsync.engine.watch import STANDS_S, Hanging, Watch

COMMIT, ABORT = b"\0\0\0\1", b"\0\0\0\0"


@dataclass
class Batch:
    """A batch as aiokafka shows it."""

    producer_id: int
    origin: Origin | None = None
    end: bytes | None = None
    is_transactional: bool = True
    read: list[Any] = field(default_factory=list)

    @property
    def is_control_batch(self) -> bool:
        return self.end is not None

    def __iter__(self) -> Any:
        headers = [("other", b"x")]
        if self.origin is not None:
            headers.append((HEADER, self.origin.encode()))
        return iter([SimpleNamespace(key=self.end, headers=headers)])


def sightings(batches: Iterable[Batch]) -> list[Sighting]:
    taken = Sightings()
    for batch in batches:
        taken.take(batch)
    return taken.seen()


def test_each_transaction_has_the_fate_that_its_own_producer_wrote() -> None:
    first, second, third = (Origin("app-lane-changelog", 0, start) for start in (5, 9, 12))
    other = Origin("app-lane-changelog", 1, 700)
    assert sightings(
        [
            Batch(7, first),
            Batch(8, other),
            Batch(7),  # more records of the first
            Batch(7, end=COMMIT),
            Batch(7, second),
            Batch(9, is_transactional=False),
            Batch(7, end=ABORT),
            Batch(7, third),
        ]
    ) == [
        Sighting(first, Fate.COMMITTED),
        Sighting(second, Fate.ABORTED),
        Sighting(other, Fate.OPEN),
        Sighting(third, Fate.OPEN),
    ]


def test_a_transaction_that_began_before_what_was_read_is_not_guessed() -> None:
    assert sightings([Batch(7), Batch(7, end=COMMIT), Batch(8, end=ABORT)]) == []


def test_two_transactions_of_one_producer_without_an_end_between_count_as_the_first() -> None:
    """They share one end: the earlier decides."""
    first, second = Origin("c", 0, 1), Origin("c", 0, 2)
    assert sightings([Batch(7, first), Batch(7, second)]) == [Sighting(first, Fate.OPEN)]


class Broker:
    """Where readers are held, look by look."""

    def __init__(self) -> None:
        self.held: dict[Place, tuple[int, int]] = {}
        self.asked = 0
        self.looked: list[Mapping[Place, tuple[int, int]]] = []

    def find_open(self, _places: Iterable[Place]) -> Mapping[Place, tuple[int, int]]:
        self.asked += 1
        return self.held

    def look(self, places: Mapping[Place, tuple[int, int]]) -> dict[Place, list[Sighting]]:
        self.looked.append(dict(places))
        ended = Sighting(Origin("changelog", 2, 5), Fate.COMMITTED)
        return {place: [ended, Sighting(Origin("changelog", 3, 8), Fate.OPEN)] for place in places}


def test_only_what_stands_at_one_offset_for_long_hangs_and_is_told_once() -> None:
    broker, place = Broker(), ("out", 1)
    watch = Watch(broker.find_open, broker.look)
    broker.held = {place: (40, 50)}
    assert watch.hanging([place], 1, 0.0) == []
    broker.held = {place: (45, 60)}  # it moves: busy, not hanging
    assert watch.hanging([place], 2, STANDS_S) == []
    assert watch.hanging([place], 2, STANDS_S + 1) == []
    assert watch.hanging([place], 2, 2 * STANDS_S) == [Hanging(place, 45, ("changelog", 3))]
    assert watch.hanging([place], 2, 3 * STANDS_S) == []
    broker.held = {place: (70, 71)}
    assert watch.hanging([place], 3, 4 * STANDS_S) == []
    assert watch.hanging([place], 3, 5 * STANDS_S) == [Hanging(place, 70, ("changelog", 3))]
    assert broker.looked == [{place: (45, 60)}, {place: (70, 71)}]


def test_what_stands_is_told_after_a_look_that_nobody_answered() -> None:
    broker, place, answers = Broker(), ("out", 1), [False, True]

    def look(places: Mapping[Place, tuple[int, int]]) -> dict[Place, list[Sighting]]:
        if not answers.pop(0):
            raise TimeoutError
        return broker.look(places)

    watch = Watch(broker.find_open, look)
    broker.held = {place: (45, 60)}
    assert watch.hanging([place], 1, 0.0) == []
    with pytest.raises(TimeoutError):
        watch.hanging([place], 1, STANDS_S)
    assert watch.hanging([place], 1, 2 * STANDS_S) == [Hanging(place, 45, ("changelog", 3))]


def test_without_commits_nobody_is_asked() -> None:
    broker, place = Broker(), ("out", 1)
    watch = Watch(broker.find_open, broker.look)
    for _ in range(3):
        watch.hanging([place], 7, 0.0)
    assert broker.asked == 1
    watch.hanging([place], 8, 0.0)
    broker.held = {place: (1, 2)}
    watch.hanging([place], 9, 0.0)
    watch.hanging([place], 9, 0.0)  # not clean: looked again, commits or not
    assert broker.asked == 4


class Admin:
    """Knows the ends of some partitions, and of others only after a while."""

    def __init__(self, late: int) -> None:
        self.asked, self.late = 0, late

    def list_offsets(self, places: Any, isolation_level: Any, **_: Any) -> Any:
        self.asked += 1
        return {place: self._answer(place, isolation_level) for place in places}

    def _answer(self, place: Any, isolation: Any) -> Future[Any]:
        future: Future[Any] = Future()
        known = place.topic == "out" or self.asked > self.late
        if known:
            held = isolation is IsolationLevel.READ_COMMITTED
            future.set_result(SimpleNamespace(offset=5 if held else 9))
        else:
            future.set_exception(KafkaException(KafkaError(KafkaError.UNKNOWN_TOPIC_OR_PART)))
        return future


@pytest.mark.parametrize(("late", "found"), [(3, {"out", "other"}), (99, {"out"})])
def test_a_topic_counts_as_deleted_only_when_the_broker_goes_on_not_knowing_it(
    monkeypatch: pytest.MonkeyPatch, late: int, found: set[str]
) -> None:
    monkeypatch.setattr(evidence, "UNKNOWN_PAUSE_S", 0)
    admin, cluster = Admin(late), Cluster("127.0.0.1:1")
    monkeypatch.setattr(cluster, "admin", lambda: admin)
    places = [("out", 0), ("other", 0)]
    assert find_open(cluster, places) == {(topic, 0): (5, 9) for topic in found}
    asked = admin.asked
    find_open(cluster, places)
    assert admin.asked == asked + 2  # what is known to be gone is not waited for again


def test_a_search_for_a_marker_ends_when_the_partition_is_taken_away() -> None:
    """While a broker is away no end of the log is ever told."""
    closed: list[bool] = []
    consumer = SimpleNamespace(
        assign=lambda _: None, consume=lambda *_: [], close=lambda: closed.append(True)
    )
    cluster: Any = SimpleNamespace(consumer=lambda *_, **__: consumer)
    checks = iter([False, False, True])

    def check() -> None:
        if next(checks):
            raise RecoveryCancelled

    with pytest.raises(RecoveryCancelled):
        last_marker(cluster, ("changelog", 0), 5, check)
    assert closed == [True]


def test_a_producer_that_can_not_be_made_yet_is_made_later(monkeypatch: pytest.MonkeyPatch) -> None:
    """Its partition would never be handed out otherwise."""
    made: Any = SimpleNamespace(init_transactions=lambda _: None, poll=lambda _: 0)
    answers: list[Any] = [KafkaException(KafkaError(KafkaError._CRIT_SYS_RESOURCE)), made]

    def transactional(_id: str) -> Any:
        answer = answers.pop(0)
        if isinstance(answer, Exception):
            raise answer
        return answer

    monkeypatch.setattr(recovery, "_wait", lambda *_: None)
    changelog: Any = SimpleNamespace(lane="lane", topic="app-lane-changelog")
    plan = recovery.RecoveryPlan("app", "in", changelog, [0], lambda: None)
    cluster: Any = SimpleNamespace(transactional=transactional)
    assert recovery._fence(plan, 0, cluster, threading.Event()) is made
