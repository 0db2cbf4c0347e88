"""One lane without a worker: its changelog written by hand, its databases recovered in-process.

As a program it recovers and kills itself after a number of writes, as a crash would.
"""

from __future__ import annotations

import argparse
import os
import signal
import threading
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

from streamsync.engine.app import build_app
from streamsync.engine.lane import LaneSpec, Output, TopicSpec, Topology
from streamsync.engine.partitioner import account_partition
from streamsync.engine.port import MARKER, Marker
from streamsync.engine.progress import Progress
from streamsync.engine.recovery import Ready, Recovered, RecoveryPlan, recover
from streamsync.engine.store import LaneStore

LANE = "lane"
Row = tuple[bytes, bytes | None]


def nothing(*_: object) -> Iterable[Output]:
    return ()


class OneLane:
    """A lane's changelog on the broker and its databases in a folder."""

    def __init__(self, broker: str, app_id: str, folder: Path, partitions: int = 2) -> None:
        self.app_id, self.source, self.partitions = app_id, f"{app_id}.source", partitions
        topology = Topology(
            app_id, (LaneSpec(LANE, self.source, nothing, nothing),),
            (TopicSpec(self.source, partitions),), account_partition,
        )  # fmt: skip
        app = build_app(topology, bootstrap_servers=broker, data_dir=folder)
        app.finalize()
        folder.mkdir(parents=True, exist_ok=True)
        self.lanes = app.lanes
        self.lanes.declare_topics()
        self.runtime = app.lanes.by_name[LANE]

    @property
    def store(self) -> LaneStore:
        return self.runtime.store

    def write(
        self,
        partition: int,
        rows: Sequence[Row],
        marker: bytes | None = None,
        position: int | None = 0,
    ) -> None:
        """One committed transaction; without a marker row when `position` is `None`."""
        producer = self.lanes.cluster.transactional(f"{self.app_id}-by-hand-{partition}")
        producer.init_transactions(30)
        producer.begin_transaction()
        topic = self.runtime.changelog_topic
        for key, value in rows:
            producer.produce(topic, value, key, partition=partition)
            producer.poll(0)
        if position is not None:
            producer.produce(
                topic, marker or Marker(position).encode(), MARKER, partition=partition
            )
        producer.commit_transaction(30)

    def recover(
        self, partitions: Sequence[int] | None = None, ready: Ready | None = None
    ) -> Mapping[int, Recovered]:
        """Recover as a worker does; gives what was handed out, unless `ready` takes it."""
        found: dict[int, Recovered] = {}
        changelog = self.runtime.changelog
        wanted = range(self.partitions) if partitions is None else partitions
        look_again = self.lanes.catalog.look_again
        plan = RecoveryPlan(self.app_id, self.source, changelog, wanted, look_again)
        progress = Progress(LANE, lambda _partition, _left: None)
        recover(plan, self.lanes.cluster, threading.Event(), ready or found.__setitem__, progress)
        return found

    def rows(self, partition: int) -> dict[bytes, bytes]:
        """What the database holds, without the engine's own."""
        stored = self.store.rows(partition).seek(b"\x01")
        return {key: value for key, value in stored if not key.startswith(b"__faust")}


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--broker", required=True)
    parser.add_argument("--app-id", required=True)
    parser.add_argument("--folder", type=Path, required=True)
    parser.add_argument("--writes", type=int, required=True)
    options = parser.parse_args()
    lane = OneLane(options.broker, options.app_id, options.folder)
    write, left = LaneStore.write, options.writes

    def write_and_die(*arguments: Any) -> None:
        nonlocal left
        write(*arguments)
        left -= 1
        if not left:
            os.kill(os.getpid(), signal.SIGKILL)

    LaneStore.write = write_and_die  # type: ignore[method-assign,assignment]
    lane.recover()


if __name__ == "__main__":
    main()
