"""Which formats the state has, where every worker sees it: mixed releases fit, or don't start.

Problem: during a rolling upgrade two releases share one state. A worker that meets rows which it
can't read stops at the first one, but by then it owns the partition; and a layout that changed
without a new version would be read wrongly without a sound. So the formats are written down in a
compacted topic: per lane its source, its partitions, and of each row type the newest version and
the layout of that version. A worker reads it before it joins the group and refuses to start when
it can't read the state; what it will write itself it adds first. Workers that are running look
again at every rebalance, which the new one has just caused, and stop rather than take over rows
that they can't read.

So a release with a new row version may join when it reads the old one; the workers of the release
before it stop then, and start again when they are upgraded. A release without new row versions
runs beside its predecessor.
"""

from __future__ import annotations

import hashlib
import logging
import time
from collections.abc import Iterable, Mapping
from importlib.metadata import version
from typing import Any

import msgspec
from confluent_kafka import Consumer, KafkaError, KafkaException, TopicPartition

from streamsync.engine.cluster import ADMIN_TIMEOUT_S, Cluster
from streamsync.engine.lane import LaneSpec, TopicSpec, Topology

log = logging.getLogger(__name__)

CONFIG = {"cleanup.policy": "compact"}
_CHANGELOG_VERSION = 1
"""Of marker rows and changelogs; changed by hand when older workers can't read them."""
_POLL_S = 0.2
_PATIENCE_S = 60.0
_PAUSE_S = 0.5


class FormatError(Exception):
    """This worker and the state don't fit; it doesn't start, or stops before it takes over."""


class RowFormat(msgspec.Struct, frozen=True):
    """The newest version of a row type that may be in the state."""

    version: int
    layout: str


class LaneFormat(msgspec.Struct, frozen=True):
    """What a lane's state is made of."""

    changelog: int
    source: str
    partitions: int
    rows: dict[str, RowFormat]
    release: str
    """Of the program that wrote this down; for people."""


def topic_of(topology: Topology) -> TopicSpec:
    """The topic that holds the formats of an application."""
    return TopicSpec(f"{topology.app_id}-formats", 1, CONFIG)


def formats_of(topology: Topology) -> dict[str, LaneFormat]:
    """What this program writes."""
    return {
        lane.name: LaneFormat(
            changelog=_CHANGELOG_VERSION,
            source=lane.source,
            partitions=topology.topic(lane.source).partitions,
            rows={row.tag: RowFormat(row.version, layout(row.cls)) for row in lane.rows},
            release=version("streamsync"),
        )
        for lane in topology.lanes
    }


def layout(kind: Any) -> str:
    """A fingerprint of how values of a type are written: equal bytes mean equal fingerprints."""
    told = repr(_shape(msgspec.inspect.type_info(kind), ()))
    return hashlib.sha256(told.encode()).hexdigest()[:16]


def _shape(node: Any, inside: tuple[Any, ...]) -> Any:
    """The parts of a type that show in its bytes: no names of classes, no defaults."""
    cls = getattr(node, "cls", None)
    if cls in inside:
        return inside.index(cls)  # a type that holds itself
    if isinstance(node, msgspec.inspect.EnumType):
        return ("enum", sorted(str(member.value) for member in node.cls))
    inside = (*inside, cls) if cls is not None else inside
    shown: list[Any] = [type(node).__name__]
    for field in msgspec.structs.fields(node):
        value = getattr(node, field.name)
        if field.name == "fields":
            shown.append([(one.encode_name, _shape(one.type, inside)) for one in value])
        elif isinstance(value, msgspec.inspect.Type):
            shown.append((field.name, _shape(value, inside)))
        elif isinstance(value, tuple):
            parts = [
                _shape(one, inside) if isinstance(one, msgspec.inspect.Type) else one
                for one in value
            ]
            shown.append((field.name, parts))
        elif field.name in {"array_like", "tag", "tag_field"}:
            shown.append((field.name, value))
    return shown


def fit(topology: Topology, recorded: Mapping[str, LaneFormat]) -> dict[str, LaneFormat]:
    """What must be written down for this program to take part; nothing when all of it is.

    Raises `FormatError` when it can't read what is in the state.
    """
    news = {}
    for lane in topology.lanes:
        ours = formats_of(topology)[lane.name]
        theirs = recorded.get(lane.name)
        if theirs is None:
            news[lane.name] = ours
            continue
        _check(topology.app_id, lane, ours, theirs)
        # A row that a later release writes keeps its version: this program only reads it.
        newer = {
            tag: row
            for tag, row in ours.rows.items()
            if tag not in theirs.rows or theirs.rows[tag].version <= row.version
        }
        rows = {**theirs.rows, **newer}
        if rows != theirs.rows:
            news[lane.name] = msgspec.structs.replace(ours, rows=rows)
    return news


def _check(app_id: str, lane: LaneSpec, ours: LaneFormat, theirs: LaneFormat) -> None:
    place = f"The state of lane {lane.name!r} of {app_id!r}, written by release {theirs.release},"
    if (ours.source, ours.partitions) != (theirs.source, theirs.partitions):
        raise FormatError(
            f"{place} comes from topic {theirs.source!r} with {theirs.partitions} partitions; "
            f"this worker reads {ours.source!r} with {ours.partitions}. Set them to what they "
            "were, or use another app id to start with a state of its own."
        )
    if ours.changelog != theirs.changelog:
        raise FormatError(
            f"{place} has changelog format {theirs.changelog}, this worker reads "
            f"{ours.changelog}: start the release that wrote it, or a later one."
        )
    readable = {row.tag: row.versions for row in lane.rows}
    for tag, row in theirs.rows.items():
        if row.version not in readable.get(tag, ()):
            known = ", ".join(map(str, sorted(readable.get(tag, ())))) or "none"
            raise FormatError(
                f"{place} may hold rows {tag!r} of version {row.version}; this worker reads "
                f"{known}: start the release that wrote it, or a later one."
            )
        mine = ours.rows[tag]
        if mine.version == row.version and mine.layout != row.layout:
            raise FormatError(
                f"{place} holds rows {tag!r} of version {row.version} in another layout than this "
                "worker's version of the same number: give the new layout a new version and a "
                "reader for the old one, or start the release that wrote the state."
            )


class Formats:
    """The recorded formats of one application; blocks."""

    def __init__(self, cluster: Cluster, topology: Topology) -> None:
        self._cluster = cluster
        self._topology = topology
        self._topic = topic_of(topology).name

    def take_part(self) -> None:
        """Check what is recorded and add what this program writes; before joining the group."""
        news = fit(self._topology, self._patiently_recorded())
        if not news:
            return
        taken: list[bool] = []
        producer = self._cluster.producer()
        for lane, told in news.items():
            producer.produce(
                self._topic, msgspec.json.encode(told), lane.encode(), partition=0,
                on_delivery=lambda error, _message: taken.append(error is None),
            )  # fmt: skip
        # What the client gave up is no longer in its queue either: only a yes counts.
        producer.flush(ADMIN_TIMEOUT_S)
        if taken != [True] * len(news):
            raise FormatError(
                f"The broker did not take the formats for topic {self._topic!r}: see its log, "
                "then start the worker again."
            )

    def look_again(self) -> None:
        """Raise `FormatError` when somebody has written down what this program can't read."""
        fit(self._topology, self._recorded())

    def _patiently_recorded(self) -> dict[str, LaneFormat]:
        """A topic that has just been created may have no leader yet."""
        end = time.monotonic() + _PATIENCE_S
        while True:
            try:
                return self._recorded()
            except KafkaException as error:
                if time.monotonic() > end:
                    raise FormatError(
                        f"Topic {self._topic!r} can't be read ({error.args[0]}): see that the "
                        "broker leads it, then start the worker again."
                    ) from error
                log.warning("The formats can't be read yet: %s", error.args[0])
                time.sleep(_PAUSE_S)

    def _recorded(self) -> dict[str, LaneFormat]:
        consumer: Consumer = self._cluster.consumer("unused")
        try:
            place = TopicPartition(self._topic, 0)
            low, _ = consumer.get_watermark_offsets(place, ADMIN_TIMEOUT_S)
            consumer.assign([TopicPartition(self._topic, 0, low)])
            recorded: dict[str, LaneFormat] = {}
            while True:
                if self._take(consumer.consume(100, _POLL_S), recorded):
                    return recorded
        finally:
            consumer.close()

    def _take(self, messages: Iterable[Any], recorded: dict[str, LaneFormat]) -> bool:
        """Take records; true at the end of the topic."""
        ended = False
        for message in messages:
            error = message.error()
            if error is None:
                recorded[message.key().decode()] = self._read(message.value())
            elif error.code() == KafkaError._PARTITION_EOF:  # noqa: SLF001
                ended = True
            elif not error.retriable():
                raise KafkaException(error)
        return ended

    def _read(self, value: bytes) -> LaneFormat:
        try:
            return msgspec.json.decode(value, type=LaneFormat)
        except msgspec.MsgspecError as error:
            raise FormatError(
                f"Topic {self._topic!r} can't be read ({error}): a later release wrote it; start "
                "that one."
            ) from error
