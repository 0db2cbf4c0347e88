"""From the command topic into the outbox.

Problem: a command must be on disk here before Kafka hears that it was read, and a restart must
neither skip nor forget one. How: one adapter owns all partitions of its entity's topic and reads
from the position that its outbox holds; the group's offsets are only committed behind it. When the
outbox was lost, reading starts at the beginning, and what the group had committed counts as
perhaps sent: it is looked up in the ERP first.
"""

from __future__ import annotations

import asyncio
import hashlib
import logging
from collections.abc import Callable
from dataclasses import dataclass

from confluent_kafka import (
    OFFSET_BEGINNING,
    Consumer,
    IsolationLevel,
    KafkaError,
    KafkaException,
    TopicPartition,
)
from confluent_kafka.admin import AdminClient, OffsetSpec  # type: ignore[attr-defined]

from streamsync.contracts import ContractError
from streamsync.core.records import DeadLetter, PostingCommand, SourcePosition
from streamsync.erp.lane import Codec
from streamsync.erp.outbox import Outbox, Outgoing, Position

log = logging.getLogger(__name__)
_CONSUME_MAX = 500
_CONSUME_SECONDS = 0.2
_WAIT_SECONDS = 1.0
_BROKER_SECONDS = 10.0
_LAG_SECONDS = 3.0
# Above this many unanswered commands Kafka keeps the rest.
_OPEN_MAX = 10_000


class IntakeError(Exception):
    """The topic can't be read on from where the outbox stands; the text says what to do."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Source:
    """What is read, and where refused records go."""

    topic: str
    erp: str
    entity: str
    dead_letters_topic: str


class Intake:
    """Reads one command topic."""

    def __init__(self, source: Source, servers: dict[str, str], outbox: Outbox, codec: Codec):
        self._source = source
        self._outbox = outbox
        self._codec = codec
        self._group = f"adapter.{source.erp}.{source.entity}"
        self._consumer = Consumer(
            {
                **servers,
                "group.id": self._group,
                "isolation.level": "read_committed",
                "enable.auto.commit": False,
                # A position that the topic no longer has means lost commands: stop, don't skip.
                "auto.offset.reset": "error",
                "enable.partition.eof": True,
                "allow.auto.create.topics": False,
                # The end of an empty partition is told at once, and a stop doesn't wait long.
                "fetch.wait.max.ms": 100,
            }
        )
        self._admin = AdminClient({**servers})
        self._reached: dict[int, int] = {}
        self._perhaps_sent_below: dict[int, int] = {}

    async def run(self, stop: asyncio.Event, wake: Callable[[], None]) -> None:
        """Read until stopped."""
        try:
            if await self._assign(stop):
                while not stop.is_set():
                    if self._outbox.open_count(self._source.entity) >= _OPEN_MAX:
                        await asyncio.sleep(_CONSUME_SECONDS)
                    elif await self._take():
                        wake()
        finally:
            await asyncio.to_thread(self._consumer.close)

    async def lag(self) -> int | None:
        """Committed records not yet in the outbox; none while the broker doesn't answer."""
        if not self._reached:
            return None
        try:
            return await asyncio.to_thread(self._lag)
        except KafkaException:
            return None

    def _lag(self) -> int:
        topic, reached = self._source.topic, dict(self._reached)
        latest = OffsetSpec.latest()  # type: ignore[no-untyped-call]
        places = {TopicPartition(topic, partition): latest for partition in reached}
        # By a connection of its own: on the consumer's it would wait behind each long poll.
        asked = self._admin.list_offsets(
            places,
            isolation_level=IsolationLevel.READ_COMMITTED,
            request_timeout=_LAG_SECONDS,
        )
        ends = {place.partition: answer.result().offset for place, answer in asked.items()}
        return sum(max(0, ends[partition] - offset) for partition, offset in reached.items())

    # Where to start.

    async def _assign(self, stop: asyncio.Event) -> bool:
        while not stop.is_set():
            try:
                found = await asyncio.to_thread(self._find_places)
            except KafkaException as error:
                log.warning("topic %s: the broker does not answer: %s", self._source.topic, error)
                found = None
            if found is not None:
                self._begin(found)
                return True
            await asyncio.sleep(_WAIT_SECONDS)
        return False

    def _find_places(self) -> dict[int, int] | None:
        """What the group has committed, by partition; none while there is no such topic."""
        topic = self._source.topic
        description = self._consumer.list_topics(topic, timeout=_BROKER_SECONDS).topics.get(topic)
        if description is None or description.error is not None or not description.partitions:
            # The topic appears with the entity's first command.
            return None
        places = [TopicPartition(topic, partition) for partition in description.partitions]
        committed = self._consumer.committed(places, timeout=_BROKER_SECONDS)
        return {place.partition: max(place.offset, 0) for place in committed}

    def _begin(self, committed: dict[int, int]) -> None:
        topic = self._source.topic
        known = self._outbox.positions(topic)
        with self._outbox.transaction():
            for partition in set(committed) - set(known):
                self._outbox.begin(topic, partition, OFFSET_BEGINNING, committed[partition])
        if any(committed[partition] > 0 for partition in set(committed) - set(known)):
            log.warning(
                "group %s has read %s before, but this outbox has not: those commands are looked "
                "up in the ERP before they are sent",
                self._group,
                topic,
            )
        places = self._outbox.positions(topic)
        self._perhaps_sent_below = self._outbox.perhaps_sent_below(topic)
        self._reached = {partition: max(offset, 0) for partition, offset in places.items()}
        self._consumer.assign([TopicPartition(topic, *place) for place in places.items()])

    # Reading.

    async def _take(self) -> bool:
        messages = await asyncio.to_thread(self._consumer.consume, _CONSUME_MAX, _CONSUME_SECONDS)
        if not messages:
            return False
        reached: dict[int, int] = {}
        stored = 0
        with self._outbox.transaction():
            for message in messages:
                error = message.error()
                partition, offset = message.partition(), message.offset()
                if error is None and partition is not None and offset is not None:
                    self._store(message.value(), message.key(), partition, offset)
                    reached[partition] = offset + 1
                    stored += 1
                elif error is not None and error.code() == KafkaError._PARTITION_EOF:  # noqa: SLF001
                    # The end lies behind the transaction's own markers.
                    if partition is not None and offset is not None:
                        reached[partition] = offset
                elif error is not None:
                    self._judge(error)
            for partition, next_offset in reached.items():
                self._outbox.advance(self._source.topic, partition, next_offset)
        self._reached.update(reached)
        if stored:
            await self._commit(reached)
        return stored > 0

    def _judge(self, error: KafkaError) -> None:
        lost_place = (KafkaError.OFFSET_OUT_OF_RANGE, KafkaError._AUTO_OFFSET_RESET)  # noqa: SLF001
        if error.code() in lost_place:
            raise IntakeError(
                f"topic {self._source.topic} no longer has the position of this outbox: it was "
                "made anew, or trimmed before it was read. If no command is missing, move the "
                "outbox file away and start again; every command is then looked up in the ERP first"
            )
        if error.fatal():
            raise KafkaException(error)
        log.warning("topic %s: %s", self._source.topic, error.str())

    def _store(
        self, value: bytes | None, key: bytes | str | None, partition: int, offset: int
    ) -> None:
        at = Position(self._source.topic, partition, offset)
        plain_key = key.encode() if isinstance(key, str) else key
        try:
            command = self._codec.decode(value or b"")
        except ContractError as error:
            self._refuse(at, plain_key, value, error.reason, str(error))
            return
        if not isinstance(command, PostingCommand):
            self._refuse(at, plain_key, value, "record_is_no_command", type(command).__name__)
        elif command.entity != self._source.entity or command.target_erp != self._source.erp:
            detail = f"it is for {command.target_erp}.{command.entity}"
            self._refuse(at, plain_key, value, "command_in_wrong_topic", detail)
        else:
            perhaps_sent = offset < self._perhaps_sent_below.get(partition, 0)
            if not self._outbox.receive(command, value or b"", at, perhaps_sent):
                detail = f"erp_key {command.erp_key} was used with other content before"
                self._refuse(at, plain_key, value, "erp_key_reused_with_other_content", detail)

    def _refuse(
        self, at: Position, key: bytes | None, value: bytes | None, reason: str, detail: str
    ) -> None:
        """One bad record never stops the topic: it is told with its place."""
        place = f"{at.topic}/{at.partition}/{at.offset}"
        log.error("dead letter %s: %s: %s", place, reason, detail)
        letter = DeadLetter(
            lane=self._group,
            position=SourcePosition(topic=at.topic, partition=at.partition, offset=at.offset),
            key=key,
            value=value,
            reason=reason,
            detail=detail,
        )
        self._outbox.tell(
            Outgoing(
                id=hashlib.sha256(place.encode()).hexdigest(),
                topic=self._source.dead_letters_topic,
                key=key,
                value=self._codec.encode(letter),
                ends=False,
            )
        )

    async def _commit(self, reached: dict[int, int]) -> None:
        places = [
            TopicPartition(self._source.topic, partition, offset)
            for partition, offset in reached.items()
        ]
        try:
            await asyncio.to_thread(self._consumer.commit, offsets=places, asynchronous=False)
        except KafkaException as error:
            # The outbox knows the position; the group's offset is for the operator's eyes.
            log.warning("group %s: offsets not committed: %s", self._group, error)
