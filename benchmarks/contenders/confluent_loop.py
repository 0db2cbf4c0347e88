"""Workload W as a loop by hand on confluent-kafka: transactions, RocksDB, a changelog.

What a good programmer writes for one program on one machine: no worker group, no recovery, no
views. It is the floor in Python: an engine can at best come close.
"""

from __future__ import annotations

import time
from typing import Any

from confluent_kafka import Consumer, Producer, TopicPartition
from rocksdict import Options, Rdict, WriteBatch

from benchmarks.contenders.told import Meter, Told, told
from benchmarks.workload import FRESH, PARTITIONS, STATE, State, decode_event, encode_posting, post

COMMIT_S = 1.0


class Loop:
    """Consume, post, produce; everything commits once a second."""

    def __init__(self, options: Told) -> None:
        self._options = options
        self._changelog = f"{options.output}-changelog"
        self._databases: dict[int, Any] = {}
        self._cache: dict[int, dict[bytes, State]] = {}
        self._dirty: dict[int, set[bytes]] = {}
        self._offsets: dict[int, int] = {}
        self._consumer = Consumer(
            {
                "bootstrap.servers": options.bootstrap_servers,
                "group.id": options.run,
                "auto.offset.reset": "earliest",
                "enable.auto.commit": False,
                "isolation.level": "read_committed",
                "queued.min.messages": 100_000,
                "fetch.message.max.bytes": 4 << 20,
                "fetch.wait.max.ms": 50,
            }
        )
        self._producer = Producer(
            {
                "bootstrap.servers": options.bootstrap_servers,
                "transactional.id": options.run,
                "compression.type": "lz4",
                "linger.ms": 20,
                "batch.size": 1 << 18,
                "queue.buffering.max.messages": 500_000,
                "partitioner": "murmur2_random",
            }
        )

    def run(self) -> None:
        """Process all events, then return with everything committed."""
        options, meter = self._options, Meter(self._options.warm, self._options.total)
        self._producer.init_transactions(30)
        self._producer.begin_transaction()
        self._consumer.subscribe([options.source], on_assign=self._open)
        committed_at = time.monotonic()
        while not meter.done:
            messages = self._consumer.consume(1_000, 0.2)
            for message in messages:
                self._process(message)
            meter.add(len(messages))
            self._producer.poll(0)
            if time.monotonic() - committed_at > COMMIT_S:
                self._commit()
                committed_at = time.monotonic()
        self._commit()
        self._producer.abort_transaction(10)
        self._consumer.close()

    def _open(self, _consumer: Consumer, assigned: list[TopicPartition]) -> None:
        for place in assigned:
            options = Options(raw_mode=True)
            options.create_if_missing(True)
            path = self._options.work_dir / f"{place.partition}.db"
            self._databases[place.partition] = Rdict(str(path), options=options)
            self._cache[place.partition] = {}
            self._dirty[place.partition] = set()

    def _process(self, message: Any) -> None:
        if message.error():
            raise RuntimeError(str(message.error()))
        partition, key = message.partition(), message.key()
        cache = self._cache[partition]
        state = cache.get(key)
        if state is None:
            stored = self._databases[partition].get(key)
            state = STATE.unpack(stored) if stored else FRESH
        cache[key], posting = post(state, decode_event(message.value()))
        self._dirty[partition].add(key)
        self._producer.produce(self._options.output, encode_posting(posting), key)
        self._offsets[partition] = message.offset() + 1

    def _commit(self) -> None:
        if not self._offsets:
            return
        rows = {
            partition: [(key, STATE.pack(*self._cache[partition][key])) for key in dirty]
            for partition, dirty in self._dirty.items()
        }
        for partition, changed in rows.items():
            for key, value in changed:
                self._producer.produce(self._changelog, value, key, partition)
        places = [
            TopicPartition(self._options.source, partition, offset)
            for partition, offset in self._offsets.items()
        ]
        metadata = self._consumer.consumer_group_metadata()
        self._producer.send_offsets_to_transaction(places, metadata, 30)
        self._producer.commit_transaction(30)
        for partition, changed in rows.items():
            batch = WriteBatch(raw_mode=True)
            for key, value in changed:
                batch.put(key, value)
            self._databases[partition].write(batch)
            self._dirty[partition].clear()
        self._offsets.clear()
        self._producer.begin_transaction()


if __name__ == "__main__":
    assert PARTITIONS
    Loop(told()).run()
