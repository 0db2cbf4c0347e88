"""Workload W on the engine of this project: one lane, exactly-once.

Events are counted when their transaction is committed and their rows are in RocksDB. A group of
several workers is started by `group`, which adds up what its workers print.
"""

from __future__ import annotations

import cProfile
import os
from collections.abc import Iterable
from typing import Any, cast

from benchmarks.codecs import processing
from benchmarks.contenders.told import Meter, mark_active, tell_count, told
from benchmarks.workload import FRESH, PARTITIONS, State
from streamsync.embedded.server import free_port
from streamsync.engine.app import LaneApp, build_app, run_worker
from streamsync.engine.lane import (
    LaneSpec,
    Output,
    Poison,
    Shard,
    SourceRecord,
    Step,
    TopicSpec,
    Topology,
)
from streamsync.engine.partitioner import account_partition
from streamsync.engine.rows import RowType
from streamsync.engine.seat import SeatState

BALANCE: RowType[State] = RowType("balance", 1, tuple[int, int, int, int])


def step(output: str, codec: str) -> Step:
    """W as a step of a lane."""
    process = processing(codec)

    def run(shard: Shard, record: SourceRecord) -> Iterable[Output]:
        if record.key is None or record.value is None:
            raise Poison("record_empty")
        key = record.key.decode()
        state, posting = process(shard.get(BALANCE, key) or FRESH, record.value)
        shard.put(BALANCE, key, state)
        return (Output(output, record.key, posting),)

    return run


def no_dead_letters(_record: SourceRecord, poison: Poison) -> Iterable[Output]:
    """W has no bad records; one would make the run worthless."""
    raise poison


def _active(app: LaneApp) -> int:
    seats = list(app.lanes.by_name["workload"].seats.values())
    return sum(1 for seat in seats if seat.state is SeatState.ACTIVE)


def _warm(app: LaneApp) -> int:
    followed = list(app.lanes.standbys.followed.values())
    return sum(1 for one in followed if one.lag == 0)


def main() -> None:
    """Run until a signal."""
    options = told()
    count = Meter(options.warm, options.total).add if options.workers == 1 else tell_count
    topology = Topology(
        app_id=options.run,
        lanes=(
            LaneSpec(
                "workload",
                options.source,
                step(options.output, options.codec),
                no_dead_letters,
                on_commit=lambda records, _outputs: count(records),
            ),
        ),
        topics=(TopicSpec(options.source, PARTITIONS), TopicSpec(options.output, PARTITIONS)),
        partitioner=account_partition,
    )
    app = build_app(
        topology,
        bootstrap_servers=options.bootstrap_servers,
        data_dir=options.work_dir,
        web_port=free_port(),
        standby_replicas=options.standbys,
    )
    mark_active(lambda: _active(app))
    mark_active(lambda: min(_active(app), _warm(app)), "kept")
    profile = os.environ.get("BENCHMARK_PROFILE")
    if profile is not None:
        _profile(app, profile)
    run_worker(app, loglevel="WARN")


def _profile(app: LaneApp, path: str) -> None:
    """Profile this thread from now on, until the worker ends; the process ends right after."""
    profiler = cProfile.Profile()

    async def write(*_: Any, **__: Any) -> None:
        profiler.disable()
        profiler.dump_stats(path)

    app.on_before_shutdown.connect(cast(Any, write))
    profiler.enable()


if __name__ == "__main__":
    main()
