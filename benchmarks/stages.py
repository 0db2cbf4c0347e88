"""`make bench-stages`: what each stage of the lane costs an event of workload W, without a broker.

Problem: a throughput says that an engine is slow, not where. How: every stage that an event
passes on its way through the lane is run alone on the same events, in one thread; what counts is
processor time, and the best of many rounds, so that a busy machine changes little. What librdkafka
and RocksDB do in threads of their own is not in it. The floor is what any engine in Python has to
pay here: records out of the client library and into it, and the business itself.
"""

from __future__ import annotations

import gc
import struct
import tempfile
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, cast

import rocksdict
from aiokafka.consumer.fetcher import PartitionRecords
from aiokafka.record.default_records import DefaultRecordBatchBuilder
from aiokafka.record.memory_records import MemoryRecords
from aiokafka.structs import TopicPartition
from confluent_kafka import Producer

from benchmarks.codecs import available, processing
from benchmarks.contenders.lane import no_dead_letters, step
from benchmarks.outcome import Options, machine, parse, run, save, say, show
from benchmarks.workload import FRESH, KEYS, PARTITIONS, State, encode_event, events
from streamsync.engine.app import GC_THRESHOLDS
from streamsync.engine.fetch import unpack
from streamsync.engine.lane import LaneSpec, Output, SourceRecord
from streamsync.engine.partitioner import KeyPartitions, account_partition
from streamsync.engine.producing import arguments_of, produce_all
from streamsync.engine.routes import Routes
from streamsync.engine.seat import RECORDS_MAX
from streamsync.engine.shard import LaneShard, MemoryRows
from streamsync.engine.work import PartitionWork

_RECORDS_PER_BATCH = 1_000
_LZ4 = 3
_NOWHERE = "127.0.0.1:1"
_KEYS = KeyPartitions(account_partition, PARTITIONS)


class _Topics:
    """All topics alike."""

    def partitions(self, _topic: str) -> int:
        return PARTITIONS

    def keys(self, _topic: str) -> KeyPartitions:
        return _KEYS


Costs = dict[str, float]
"""Microseconds an event, by stage."""


def fetched(records: Sequence[tuple[bytes, bytes]]) -> bytes:
    """Events as the broker sends them: batches, compressed."""
    data = b""
    for start in range(0, len(records), _RECORDS_PER_BATCH):
        builder = DefaultRecordBatchBuilder(2, _LZ4, 0, -1, -1, -1, 1 << 22)
        for number, (key, value) in enumerate(records[start : start + _RECORDS_PER_BATCH]):
            builder.append(number, start + number, key, value, [])
        batch = bytearray(builder.build())
        struct.pack_into(">q", batch, 0, start)
        data += bytes(batch)
    return data


def timed(call: Callable[[], Any]) -> tuple[float, Any]:
    """Processor seconds of a call in this thread, and its result."""
    began = time.thread_time()
    result = call()
    return time.thread_time() - began, result


def one_round(data: bytes, codec: str, database: Any, producer: Producer) -> tuple[Costs, int]:
    """All stages once over one transaction's events; costs in seconds, and the rows it changed."""
    answer = PartitionRecords(
        TopicPartition("events", 0), MemoryRecords(data), None, 0, None, None, True, 1
    )
    costs: Costs = {}
    costs["unpack"], records = timed(lambda: unpack(answer, 1 << 30))
    costs["business"], _ = timed(lambda: _business(records, codec))
    spec = LaneSpec("workload", "events", step("postings", codec), no_dead_letters)
    work = PartitionWork(spec, LaneShard(0, MemoryRows()), 0)
    costs["steps"], _ = timed(lambda: work.apply(records))
    costs["rows"], batch = timed(work.batch)
    costs["outputs"], _ = timed(lambda: _outputs(producer, batch.outputs))
    costs["changelog"], _ = timed(lambda: _changelog(producer, batch.rows))
    producer.purge()
    producer.poll(0)
    costs["store"], _ = timed(lambda: _store(database, batch.rows))
    return costs, len(batch.rows)


def _business(records: Sequence[SourceRecord], codec: str) -> None:
    process, states = processing(codec), cast(dict[str, State], {})
    for record in records:
        key = cast(bytes, record.key).decode()
        states[key], _ = process(states.get(key) or FRESH, cast(bytes, record.value))


def _outputs(producer: Producer, outputs: Sequence[tuple[Output, int]]) -> None:
    routes = Routes(_Topics())
    produce_all(producer, arguments_of(outputs, routes.of(outputs)))


def _changelog(producer: Producer, rows: Sequence[tuple[bytes, bytes | None]]) -> None:
    produce_all(
        producer, (("changelog", value, key, 0, None, None, 1, None) for key, value in rows)
    )


def _store(database: Any, rows: Sequence[tuple[bytes, bytes | None]]) -> None:
    batch = rocksdict.WriteBatch(raw_mode=True)
    for key, value in rows:
        batch.put(key, value)
    database.write(batch)


def costs_of(codec: str, rounds: int) -> tuple[Costs, float]:
    """The best of all rounds for each stage, in microseconds an event; rows changed per event."""
    drawn = [
        (key.encode(), encode_event(event))
        for key, event in events(RECORDS_MAX, KEYS // PARTITIONS)
    ]
    data, best, rows = fetched(drawn), cast(Costs, {}), 0
    options = rocksdict.Options(raw_mode=True)
    options.create_if_missing(True)
    producer = Producer({"bootstrap.servers": _NOWHERE, "log_level": 0})
    with tempfile.TemporaryDirectory(prefix="streamsync-bench-") as folder:
        database = rocksdict.Rdict(str(Path(folder) / "rows"), options=options)
        for _ in range(rounds):
            costs, rows = one_round(data, codec, database, producer)
            best = {stage: min(cost, best.get(stage, cost)) for stage, cost in costs.items()}
        database.close()
    return {stage: cost / len(drawn) * 1e6 for stage, cost in best.items()}, rows / len(drawn)


def _lines(costs: Costs) -> list[tuple[str, float | str]]:
    total = sum(cost for stage, cost in costs.items() if stage != "business")
    floor = costs["unpack"] + costs["business"] + costs["outputs"]
    around = costs["steps"] - costs["business"]
    return [
        ("fetched batches to records", costs["unpack"]),
        ("the business: decode, settle, encode", costs["business"]),
        ("steps around it: rows read and changed, outputs kept", around),
        ("changed rows to bytes", costs["rows"]),
        ("outputs placed and handed to librdkafka", costs["outputs"]),
        ("changelog rows handed to librdkafka", costs["changelog"]),
        ("rows to RocksDB", costs["store"]),
        ("sum", total),
        ("floor: records, business, outputs", floor),
    ]


def _run(options: Options) -> None:
    gc.set_threshold(*GC_THRESHOLDS)
    before, summary = machine(), []
    for codec in available():
        costs, rows = costs_of(codec, options.rounds)
        summary.append({"codec": codec, **costs, "rows_per_event": rows})
        show(
            f"One event of W, {codec} codec, best of {options.rounds} rounds, one thread",
            ("stage", "µs"),
            _lines(costs),
        )
        say(f"{rows:.2f} changed rows per event in a transaction of {RECORDS_MAX:,} events")
    save(options, "stages", summary, summary, before)


def main() -> None:
    """Run all stages."""
    run(_run, parse("stages", __doc__ or "", events=(0, 0), rounds=(25, 3)))


if __name__ == "__main__":
    main()
