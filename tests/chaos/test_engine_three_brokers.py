"""A cluster of three brokers of which one dies at a time: leaders move, lanes go on.

Each round kills a broker, and a worker now and then; everything is read back and recomputed.
"""

from __future__ import annotations

import os
import time
from pathlib import Path

import pytest

from tests.engine_run import Run
from tests.engine_storm import PARTITIONS, Storm
from tests.three_brokers import three_brokers

ROUNDS = int(os.environ.get("ENGINE_ROUNDS", "0"))


@pytest.mark.skipif(not ROUNDS, reason="part of make test-deep (ENGINE_ROUNDS)")
def test_with_one_broker_of_three_killed_at_a_time_nothing_is_lost_or_doubled(
    tmp_path: Path,
) -> None:
    seed = int(os.environ.get("ENGINE_SEED", time.time_ns() % 1_000_000))
    with three_brokers(tmp_path / "cluster") as cluster:
        run = Run(cluster.bootstrap_servers, "three", tmp_path, PARTITIONS, seed)
        run.stock = False
        with run:
            storm = Storm(run, cluster.servers, seed, disks=False)
            storm.start()
            others = ["killed", "asked to end", "stopped beyond its session"]
            for number in range(ROUNDS):
                storm.round(["broker killed", others[number % len(others)], "broker killed"])
            storm.stop()
            assert storm.happened["broker killed"] == 2 * ROUNDS
            print(dict(storm.happened))
