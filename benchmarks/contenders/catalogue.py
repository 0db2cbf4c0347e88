"""Who takes part in `make bench-engine`, and how each is started.

Problem: a comparison is only as fair as the settings of its peers. How: they stand here and in the
programs beside this file, all in sight: the same batch sizes and compression, state in RocksDB with
a changelog, transactions wherever the peer has them. Kafka Streams runs twice, once as one would
start it and once with little memory; streamsync as one worker, which is one core, and as a group
of two.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path

from benchmarks import codecs, peers
from benchmarks.processes import RunFailed
from benchmarks.workload import EVENT_SCHEMA, POSTING_SCHEMA

KAFKA_STREAMS = "kafka-streams"
Command = list[str | Path]


@dataclass(frozen=True)
class Contender:
    """A program that runs W; it gets one in `share` of the events."""

    name: str
    label: str
    command: Callable[[], Command]
    """Builds what is missing at its first call."""
    arguments: Mapping[str, str] = field(default_factory=dict)
    share: int = 1
    ends: bool = False
    """It ends by itself when the last event is committed; others run until a signal."""


def contenders(only: Sequence[str]) -> list[Contender]:
    """All of them, or those named, in the order of a round."""
    known = [*_ours(), *_kafka_streams(), *_python_peers()]
    unknown = sorted(set(only) - {one.name for one in known})
    if unknown:
        names = ", ".join(one.name for one in known)
        raise RunFailed(f"There is no contender {', '.join(unknown)}; there are {names}.")
    return [one for one in known if not only or one.name in only]


def module(name: str, python: Path | None = None) -> Command:
    """How to run one of the programs beside this file."""
    return [python or sys.executable, "-m", f"benchmarks.contenders.{name}"]


def java(*settings: str) -> Command:
    """How to run the Kafka Streams program."""
    command, *rest = peers.kafka_streams_command()
    return [command, *settings, *rest, "streamsync.KafkaStreamsPeer"]


def schemas() -> dict[str, str]:
    """What the Kafka Streams program must be told of W."""
    return {
        "event-schema": json.dumps(EVENT_SCHEMA),
        "posting-schema": json.dumps(POSTING_SCHEMA),
    }


def _lane(codec: str, program: str = "lane") -> Command:
    if codec == codecs.COMPILED:
        codecs.built()
    return module(program)


def _ours() -> list[Contender]:
    fastest = codecs.available()[0]
    group = Contender(
        "lane-group",
        f"streamsync lane, two workers, {fastest} codec",
        partial(_lane, fastest, "group"),
        {"codec": fastest, "workers": "2"},
    )
    alone = [
        Contender(
            f"lane-{codec}",
            f"streamsync lane, {codec} codec",
            partial(_lane, codec),
            {"codec": codec},
        )
        for codec in codecs.available()
    ]
    return [group, *alone]


def _kafka_streams() -> list[Contender]:
    return [
        Contender(
            KAFKA_STREAMS,
            "Kafka Streams 4.3.1, 2 threads",
            java,
            {"threads": "2", **schemas()},
        ),
        Contender(
            "kafka-streams-small",
            "Kafka Streams 4.3.1, 1 thread, 256 MB heap",
            lambda: java("-Xmx256m"),
            {"threads": "1", **schemas()},
        ),
    ]


def _python_peers() -> list[Contender]:
    return [
        Contender(
            "confluent-loop",
            "hand loop on confluent-kafka, transactions",
            lambda: module("confluent_loop"),
            ends=True,
        ),
        Contender(
            "quix",
            "Quix Streams 3.28.1, exactly-once",
            lambda: module("quix", peers.quix_python()),
            share=8,
            ends=True,
        ),
        Contender(
            "plain-faust",
            "plain Faust 0.15.3, at-least-once",
            lambda: module("plain_faust"),
            share=50,
        ),
    ]
