"""Ticks are numbered without gap or double, whoever leads."""

from __future__ import annotations

import time

from streamsync.engine.clock import Clock, ClockSpec, last_number
from streamsync.engine.cluster import Catalog, Cluster
from streamsync.engine.lane import Output, SourceRecord, TopicSpec, Topology
from streamsync.engine.partitioner import account_partition


def test_a_new_leader_goes_on_where_the_last_one_was_and_the_old_one_is_fenced(broker: str) -> None:
    app_id = f"engine-clock-{time.time_ns()}"
    topic = f"{app_id}.control"
    cluster = Cluster(broker)
    topology = Topology(app_id, (), (TopicSpec(topic, 1),), account_partition)
    Catalog(cluster, topology).declare(topology.topics)

    def number_of(record: SourceRecord) -> int | None:
        word, _, number = (record.value or b"").partition(b" ")
        return int(number) if word == b"tick" else None

    spec = ClockSpec(topic, 100, lambda number, _ms: Output(topic, None, b"tick %d" % number),
                     number_of)  # fmt: skip
    emitted: list[int] = []
    first, second = (Clock(spec, cluster, app_id, lambda: emitted.append(1)) for _ in range(2))
    for _ in range(3):
        first.emit_blocking()
    producer = cluster.producer()
    for _ in range(250):  # rules and reference data share the topic
        producer.produce(topic, b"rule", partition=0)
    assert producer.flush(20) == 0
    second.emit_blocking()
    first.emit_blocking()  # fenced: it gives up this tick,
    first.emit_blocking()  # and leads again, after what the other one wrote
    second.emit_blocking()
    assert last_number(spec, cluster, app_id) == 5
    assert len(emitted) == 5
