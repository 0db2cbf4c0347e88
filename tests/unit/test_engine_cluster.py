"""Clients of the broker, without one."""

from __future__ import annotations

import gc
import time
import weakref
from types import SimpleNamespace
from typing import Any

import pytest
from confluent_kafka import KafkaError, KafkaException

from streamsync.engine.cluster import Catalog, Cluster
from streamsync.engine.lane import TopicSpec, Topology
from streamsync.engine.partitioner import account_partition
from streamsync.engine.standby import Followed, Standbys


def test_a_producer_is_gone_as_soon_as_nobody_holds_it() -> None:
    """Its threads end then, and it can no longer add partitions to a transaction."""
    gc.disable()
    try:
        producer = Cluster("127.0.0.1:1").transactional("app-lane-0")
        alive = weakref.ref(producer)
        del producer
        assert alive() is None
    finally:
        gc.enable()


def test_a_standby_that_nobody_looked_at_yet_is_cold() -> None:
    def nobody(*_: Any, **__: Any) -> Any:
        raise KafkaException(KafkaError(KafkaError._ALL_BROKERS_DOWN))

    cluster: Any = SimpleNamespace(consumer=nobody)
    changelog: Any = None
    standbys = Standbys(cluster, "standby", lambda *_: None, lambda _: None)
    assert standbys.cold(within=10) == 0
    standbys.start({("changelog", 0): changelog, ("changelog", 1): changelog})
    assert standbys.cold(within=10) == 2
    standbys.followed = {
        ("changelog", 0): Followed(5, lag=10), ("changelog", 1): Followed(5, lag=11),
    }  # fmt: skip
    assert standbys.cold(within=10) == 1
    standbys.ask_to_stop()
    assert standbys.join() == {("changelog", 0), ("changelog", 1)}
    assert standbys.cold(within=10) == 0


def test_topics_are_declared_once_a_broker_answers_in_time(monkeypatch: pytest.MonkeyPatch) -> None:
    answers: list[Exception | None] = [TimeoutError(), KafkaException(KafkaError(-195)), None]

    def create(_catalog: Catalog, _wanted: object) -> None:
        if (answer := answers.pop(0)) is not None:
            raise answer

    monkeypatch.setattr(Catalog, "_create", create)
    monkeypatch.setattr(Catalog, "_check", lambda _catalog, _wanted: None)
    monkeypatch.setattr(time, "sleep", lambda _s: None)
    topology = Topology("app", (), (), account_partition)
    Catalog(Cluster("127.0.0.1:1"), topology).declare([TopicSpec("in", 1)])
    assert answers == []
