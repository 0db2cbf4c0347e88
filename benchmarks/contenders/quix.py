"""Workload W on Quix Streams, exactly-once, with its RocksDB state and changelog.

Runs in an environment of its own: its requirements are not the project's.
"""

from __future__ import annotations

from typing import Any

from quixstreams import Application
from quixstreams.models import TopicConfig
from quixstreams.models.serializers import Deserializer, Serializer

from benchmarks.contenders.told import Meter, told
from benchmarks.workload import FRESH, PARTITIONS, decode_event, encode_posting, post


class _Events(Deserializer):  # type: ignore[misc]
    def __call__(self, value: bytes, ctx: Any) -> Any:
        return decode_event(value)


class _Postings(Serializer):  # type: ignore[misc]
    def __call__(self, value: Any, ctx: Any) -> bytes:
        return encode_posting(value)


def main() -> None:
    """Process all events, then return with everything committed."""
    options = told()
    meter = Meter(options.warm, options.total)
    app = Application(
        broker_address=options.bootstrap_servers,
        consumer_group=options.run,
        auto_offset_reset="earliest",
        state_dir=str(options.work_dir),
        processing_guarantee="exactly-once",
        commit_interval=1.0,
        loglevel="WARNING",
        consumer_extra_config={
            "fetch.wait.max.ms": 50,
            "queued.min.messages": 100_000,
            "fetch.message.max.bytes": 4 << 20,
        },
        producer_extra_config={
            "compression.type": "lz4",
            "linger.ms": 20,
            "batch.size": 1 << 18,
            "queue.buffering.max.messages": 500_000,
        },
    )
    source = app.topic(options.source, key_deserializer="bytes", value_deserializer=_Events())
    output = app.topic(
        options.output,
        key_serializer="bytes",
        value_serializer=_Postings(),
        config=TopicConfig(num_partitions=PARTITIONS, replication_factor=1),
    )

    def process(event: Any, state: Any) -> Any:
        balance, posting = post(tuple(state.get("balance") or FRESH), event)
        state.set("balance", balance)
        meter.add(1)
        return posting

    frame = app.dataframe(source).apply(process, stateful=True).to_topic(output)
    app.run(frame, count=options.total, timeout=60)


if __name__ == "__main__":
    main()
