"""The broker as the engine uses it: producers, consumers, topics.

Problem: aiokafka, through which Faust talks, makes an asyncio object per record and has no
per-partition transactions at this rate. Lanes therefore write, and recover, by librdkafka. All
its settings stand here, with the reason for each that is not the default.
"""

from __future__ import annotations

import logging
import threading
import time
import weakref
from collections.abc import Iterable, Mapping
from typing import Any

from confluent_kafka import Consumer, KafkaError, KafkaException, Producer, TopicCollection
from confluent_kafka.admin import AdminClient
from confluent_kafka.cimpl import NewTopic
from tenacity import Retrying, retry_if_exception_type, stop_after_attempt, wait_fixed

from streamsync.brokers import Brokers
from streamsync.engine.lane import RECORD_BYTES_MAX, TopicSpec, Topology
from streamsync.engine.partitioner import KeyPartitions

log = logging.getLogger(__name__)

# An open transaction holds back every reader of the partitions that it touches: less than ten
# seconds, with the second or more after which the broker notices.
TRANSACTION_TIMEOUT_MS = 7_000
ADMIN_TIMEOUT_S = 15.0
# A broker that has just come back doesn't know all topics yet.
UNKNOWN_LOOKS = 6
UNKNOWN_PAUSE_S = 1.0
_QUIET_S = 10.0


class _Quiet(logging.Filter):
    """Lets one line of a kind through every ten seconds.

    While no broker answers, each of dozens of clients reports each attempt.
    """

    def __init__(self) -> None:
        super().__init__()
        self._last: dict[str, float] = {}

    def filter(self, record: logging.LogRecord) -> bool:
        kind = str(record.args[0]) if isinstance(record.args, tuple) and record.args else ""
        now = time.monotonic()
        if now - self._last.get(kind, -_QUIET_S) < _QUIET_S:
            return False
        self._last[kind] = now
        return True


def _client_log() -> logging.Logger:
    client_log = logging.getLogger(f"{__name__}.librdkafka")
    if not client_log.filters:
        client_log.addFilter(_Quiet())
    return client_log


class TopicError(Exception):
    """A topic is not what the topology says, or not what it was; the worker doesn't run."""


class TopicGone(TopicError):
    """The broker doesn't know a topic that was there."""


class LaneProducer(Producer):
    """A producer that remembers whether it lost a connection.

    librdkafka goes on by itself afterwards. Whoever writes transactions must not: the broker
    may have lost the end of the last one (`hanging`).
    """

    connection_lost = False

    def __init__(self, settings: dict[str, Any], logger: logging.Logger) -> None:
        # A callback that held the producer would keep it, and its threads, until the garbage
        # collector comes by.
        this = weakref.ref(self)

        def lost(error: KafkaError) -> None:
            # Called within poll() and flush(); in place of librdkafka's own line in the log.
            producer = this()
            if producer is not None:
                producer.connection_lost = True
            logger.info("%s %s", error.name(), error.str())

        super().__init__({**settings, "error_cb": lost}, logger=logger)


class Cluster:
    """Makes clients of one broker cluster."""

    def __init__(self, brokers: Brokers | str, settings: Mapping[str, str] | None = None) -> None:
        self.deleted: set[tuple[str, int]] = set()
        """Partitions that are known to be gone for good."""
        self.brokers = Brokers.of(brokers)
        self._base: dict[str, Any] = {
            **self.brokers.librdkafka(),
            "retry.backoff.ms": 10,  # concurrent transactions are retried at this pace
            "retry.backoff.max.ms": 1_000,
            "reconnect.backoff.max.ms": 2_000,
            "socket.keepalive.enable": True,
            **(settings or {}),
        }

    def producer(self) -> Producer:
        """An idempotent producer."""
        return Producer(self._producer_settings(), logger=_client_log())

    def transactional(self, transactional_id: str) -> LaneProducer:
        """A producer of transactions, not yet initialised."""
        settings = {
            **self._producer_settings(),
            "transactional.id": transactional_id,
            # Every transaction ends with a flush, which doesn't linger: this only keeps a large one
            # from leaving in small requests while it is produced.
            "linger.ms": 50,
            "transaction.timeout.ms": TRANSACTION_TIMEOUT_MS,
        }
        return LaneProducer(settings, logger=_client_log())

    def _producer_settings(self) -> dict[str, Any]:
        return {
            **self._base,
            "enable.idempotence": True,
            "compression.type": "lz4",
            "linger.ms": 5,
            "batch.size": 1 << 18,
            "message.max.bytes": RECORD_BYTES_MAX,
            # A full queue makes the commit wait, so a transaction costs no more memory than this.
            "queue.buffering.max.messages": 500_000,
            "queue.buffering.max.kbytes": 64 << 10,
            "message.timeout.ms": TRANSACTION_TIMEOUT_MS,
        }

    def consumer(
        self, group_id: str, *, isolation: str = "read_committed", wait_ms: int = 10
    ) -> Consumer:
        """A consumer for assigned partitions that tells where each of them ends.

        `wait_ms` is how long the broker holds a fetch that finds nothing.
        """
        settings = {
            **self._base,
            "group.id": group_id,
            "enable.auto.commit": False,
            "enable.auto.offset.store": False,
            "isolation.level": isolation,
            "enable.partition.eof": True,
            "auto.offset.reset": "error",
            # What is read ahead of its use: memory must not grow with the state.
            "queued.min.messages": 20_000,
            "queued.max.messages.kbytes": 16 << 10,
            "fetch.message.max.bytes": 1 << 20,
            "fetch.max.bytes": 8 << 20,
            # Full for a moment, it would rest for a second: a third of the speed of recovery.
            "fetch.queue.backoff.ms": 10,
            "fetch.wait.max.ms": wait_ms,
        }
        return Consumer(settings, logger=_client_log())

    def admin(self) -> AdminClient:
        """A client that asks about topics and offsets, for one question.

        One that is kept goes on with the leader epochs that it heard of first, and is refused for
        ever when a broker came back meanwhile (librdkafka 2.16, `FENCED_LEADER_EPOCH`).
        """
        # Its short life makes librdkafka report unread events of its own, at log level 6.
        return AdminClient({**self._base, "log_level": 4})


class Catalog:
    """Which topics exist, with how many partitions; creates those that don't."""

    def __init__(self, cluster: Cluster, topology: Topology) -> None:
        self._cluster = cluster
        self._topology = topology
        self._lock = threading.Lock()
        self._partitions: dict[str, int] = {}
        self._ids: dict[str, str] = {}
        self._keys: dict[int, KeyPartitions] = {}

    def declare(self, topics: Iterable[TopicSpec], *, attempts: int = 20) -> None:
        """Make sure that topics exist as specified; blocks.

        Raises `TopicError` when one has another number of partitions, or no broker answers.
        """
        wanted = {topic.name: topic for topic in topics if topic.name not in self._partitions}
        if not wanted:
            return
        with self._lock:
            for attempt in range(attempts):
                try:
                    self._create(wanted)
                    self._check(wanted)
                    return
                except (KafkaException, TimeoutError) as error:
                    why = error.args[0] if error.args else "no answer in time"
                    log.warning("Topics can't be declared yet: %s", why)
                    time.sleep(min(0.2 * 2**attempt, 3.0))
        raise TopicError(
            f"The broker at {self._cluster.brokers} did not accept the topics "
            f"{', '.join(sorted(wanted))}: see the warnings above, and check that it runs."
        )

    def partitions(self, topic: str) -> int:
        """The number of partitions; a topic met for the first time is created first."""
        count = self._partitions.get(topic)
        if count is None:
            self.declare([self._topology.topic(topic)])
            count = self._partitions[topic]
        return count

    def keys(self, topic: str) -> KeyPartitions:
        """Keys and their partitions, shared by all topics with as many."""
        count = self.partitions(topic)
        with self._lock:
            return self._keys.setdefault(count, KeyPartitions(self._topology.partitioner, count))

    def topic_id(self, topic: str) -> str:
        """The id that the broker gave a topic; a deleted and recreated one has another."""
        return self._ids[topic]

    def look_again(self) -> None:
        """Raise `TopicError` when a topic has other partitions than it had, or is gone; blocks.

        Kafka lets an operator add some, or delete a topic, at any time. One that the broker doesn't
        know is asked for a few times, since one that has just come back doesn't know all yet.
        """
        with self._lock:
            wanted = {name: TopicSpec(name, n) for name, n in self._partitions.items()}
            for attempt in Retrying(
                stop=stop_after_attempt(UNKNOWN_LOOKS),
                wait=wait_fixed(UNKNOWN_PAUSE_S),
                retry=retry_if_exception_type(TopicGone),
                reraise=True,
            ):
                with attempt:
                    self._check(wanted)

    def _create(self, wanted: Mapping[str, TopicSpec]) -> None:
        admin = self._cluster.admin()
        existing = admin.list_topics(timeout=ADMIN_TIMEOUT_S).topics
        missing = [
            NewTopic(spec.name, spec.partitions, -1, config=dict(spec.config))
            for spec in wanted.values()
            if spec.name not in existing
        ]
        if not missing:
            return
        for name, future in admin.create_topics(missing, operation_timeout=10).items():
            try:
                future.result(ADMIN_TIMEOUT_S)
                log.info("Created topic %s.", name)
            except KafkaException as error:
                if error.args[0].code() != KafkaError.TOPIC_ALREADY_EXISTS:
                    raise

    def _check(self, wanted: Mapping[str, TopicSpec]) -> None:
        admin = self._cluster.admin()
        found = admin.describe_topics(TopicCollection(list(wanted)))
        for name, future in found.items():
            try:
                description = future.result(ADMIN_TIMEOUT_S)
            except KafkaException as error:
                if error.args[0].code() == KafkaError.UNKNOWN_TOPIC_OR_PART and name in self._ids:
                    raise TopicGone(_gone(name, "was deleted")) from error
                raise
            if self._ids.get(name, str(description.topic_id)) != str(description.topic_id):
                raise TopicError(_gone(name, "was deleted and created anew"))
            count = len(description.partitions)
            if count != wanted[name].partitions:
                raise TopicError(
                    f"Topic {name!r} has {count} partitions, the topology says "
                    f"{wanted[name].partitions}: set the partitions to what exists, or use "
                    "another topic prefix; changing it would tear accounts apart."
                )
            self._partitions[name] = count
            self._ids[name] = str(description.topic_id)


def _gone(name: str, how: str) -> str:
    return (
        f"Topic {name!r} {how} while this worker ran, so it stops; what it had committed is in the "
        "other topics. Restore the topic, if what was in it is still needed; then start the worker "
        "again: it creates the topics that it needs, and refuses to skip records of a source."
    )
