"""A worker whose broker goes away while it starts waits for it, as a running one does."""

from __future__ import annotations

import asyncio
import inspect
from typing import Any

import pytest
from aiokafka.errors import (
    KafkaConnectionError,
    KafkaError,
    NodeNotReadyError,
    RequestTimedOutError,
    TopicAuthorizationFailedError,
)
from faust.topics import Topic
from faust.transport.drivers import aiokafka as driver

from streamsync.engine import transport


class _Broker:
    """Answers the declaration of a topic with these errors, then takes it."""

    def __init__(self, *errors: KafkaError) -> None:
        self.left = list(errors)
        self.declared: list[str] = []

    async def create_topic(self, _producer: Any, topic: str, **_settings: Any) -> None:
        if self.left:
            raise self.left.pop(0)
        self.declared.append(topic)


def _declare(broker: _Broker, monkeypatch: pytest.MonkeyPatch) -> None:
    async def at_once(_seconds: float) -> None:
        return

    async def taken(producer: Any, topic: str, **settings: Any) -> None:
        await broker.create_topic(producer, topic, **settings)

    monkeypatch.setattr(driver.Producer, "create_topic", taken)
    monkeypatch.setattr(asyncio, "sleep", at_once)
    producer = object.__new__(transport.LaneProducer)
    monkeypatch.setattr(transport.LaneProducer, "should_stop", False)
    asyncio.run(producer.create_topic("leader", partitions=1, replication=1))


def test_a_topic_of_faust_is_declared_once_the_broker_is_back(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    broker = _Broker(NodeNotReadyError(), KafkaConnectionError(), RequestTimedOutError())
    _declare(broker, monkeypatch)
    assert broker.declared == ["leader"]


def test_what_no_wait_will_mend_ends_the_start(monkeypatch: pytest.MonkeyPatch) -> None:
    broker = _Broker(TopicAuthorizationFailedError())
    with pytest.raises(TopicAuthorizationFailedError):
        _declare(broker, monkeypatch)


def test_faust_declares_its_topics_through_the_producer() -> None:
    assert "producer.create_topic(" in inspect.getsource(Topic.declare), (
        "Faust declares topics elsewhere now: see LaneProducer in streamsync/engine/transport.py."
    )
