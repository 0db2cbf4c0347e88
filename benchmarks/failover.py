"""How long a partition is without an owner when a worker goes: with a standby and without.

Problem: what an operator fears is the time until somebody else works on a large state. How: rows of
a kilobyte are written into a lane's changelog as its commits would write them, so that a gigabyte
is there in seconds; two workers share them; one is killed, or asked to end; the time runs until the
other works on all partitions. Without standby the other's disk holds its own half alone.
"""

from __future__ import annotations

import os
import shutil
import signal
import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from confluent_kafka import Producer

from benchmarks import codecs
from benchmarks.broker import Broker
from benchmarks.contenders.catalogue import module
from benchmarks.outcome import say, show
from benchmarks.processes import Program
from benchmarks.workload import PARTITIONS
from streamsync.engine.lanes import CHANGELOG_CONFIG
from streamsync.engine.port import MARKER, Marker

RUN = "failover"
_WITHIN_S = 300.0
_ALL, _HALF = f"active {PARTITIONS}", f"active {PARTITIONS // 2}"
_KEPT = f"kept {PARTITIONS // 2}"  # half of them at work, warm copies of the others
_ROW_BYTES = 1_000
_ROWS_PER_COMMIT = 4_000
_WAYS = {"killed": signal.SIGKILL, "asked to end": signal.SIGTERM}


def measure(broker: Broker, folder: Path, state_mb: int) -> list[dict[str, Any]]:
    """Every way to go, with and without standby."""
    rows = _write_state(broker, state_mb)
    broker.create(f"{RUN}-source", f"{RUN}-output")
    found = []
    for standbys in (1, 0):
        for way, number in _WAYS.items():
            seconds = _fail_over(broker, folder, standbys, number)
            say(f"fail-over, {standbys} standby, {way}: {seconds:.1f} s")
            found.append({"standbys": standbys, "way": way, "rows": rows, "seconds": seconds})
    return found


def tell(found: Sequence[dict[str, Any]], state_mb: int) -> None:
    """The table."""
    show(
        f"A worker goes; until the other works on everything, {state_mb} MB of state "
        "(killed: 10 s of them until the group notices)",
        ("", "s, killed", "s, asked to end"),
        [
            (label, *(one["seconds"] for one in found if one["standbys"] == standbys))
            for standbys, label in ((1, "with a standby"), (0, "without"))
        ],
    )


def _write_state(broker: Broker, state_mb: int) -> int:
    """Rows in the lane's changelog, in transactions with their marker rows."""
    topic, rows = f"{RUN}-workload-changelog", state_mb * (1 << 20) // _ROW_BYTES
    say(f"Writing {state_mb} MB of rows to {topic}")
    broker.create(topic, config=CHANGELOG_CONFIG)
    producer = broker.producer(**{"transactional.id": RUN})
    producer.init_transactions(30)
    for first, partition in zip(range(0, rows, _ROWS_PER_COMMIT), _partitions(), strict=False):
        producer.begin_transaction()
        for number in range(first, min(rows, first + _ROWS_PER_COMMIT)):
            key = b"balance|%09d" % number
            _produce(producer, topic, partition, key, os.urandom(_ROW_BYTES))
        _produce(producer, topic, partition, MARKER, Marker(0).encode())
        producer.commit_transaction(60)
    return rows


def _partitions() -> Iterator[int]:
    while True:
        yield from range(PARTITIONS)


def _produce(producer: Producer, topic: str, partition: int, key: bytes, value: bytes) -> None:
    while True:
        try:
            producer.produce(topic, value, key, partition=partition)
            return
        except BufferError:
            producer.poll(0.05)


def _fail_over(broker: Broker, folder: Path, standbys: int, how: signal.Signals) -> float:
    stays = folder / f"{RUN}-stays"
    if not standbys:
        shutil.rmtree(stays, ignore_errors=True)
    programs: list[Program] = []
    try:
        goes = _worker(broker, folder, "goes", standbys)
        programs.append(goes)
        goes.wait_mark(_ALL, _WITHIN_S)
        other = _worker(broker, folder, "stays", standbys)
        programs.append(other)
        other.wait_mark(_KEPT if standbys else _HALF, _WITHIN_S)
        time.sleep(2)
        began = time.monotonic()
        goes.signal(how)
        return other.wait_mark(_ALL, _WITHIN_S).at_s - began
    finally:
        for program in programs:
            program.stop()


def _worker(broker: Broker, folder: Path, name: str, standbys: int) -> Program:
    work_dir = folder / f"{RUN}-{name}"
    work_dir.mkdir(exist_ok=True)
    told = {
        "bootstrap-servers": broker.bootstrap_servers, "source": f"{RUN}-source",
        "output": f"{RUN}-output", "warm": 1, "total": 1, "work-dir": work_dir, "run": RUN,
        "codec": codecs.available()[0], "standbys": standbys,
    }  # fmt: skip
    command = [*module("lane"), *(f"--{option}={value}" for option, value in told.items())]
    return Program(f"{RUN}-{name}", command, folder)
