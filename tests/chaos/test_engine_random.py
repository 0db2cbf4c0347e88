"""Faults drawn from a seed on three workers and a broker, round after round, each checked.

Three rounds of one schedule in `make test`, 25 of a new one each time in `make test-deep`. The
workers have no stock Faust table: Faust ends a worker whose stock table finds the disk full, and
here a lane is to come through that.
"""

from __future__ import annotations

import os
import time
from contextlib import ExitStack
from pathlib import Path

from streamsync.embedded.platform import EmbeddedPlatform
from tests.engine_run import Run
from tests.engine_storm import PARTITIONS, Storm, small_disk

ROUNDS = int(os.environ.get("ENGINE_ROUNDS", "3"))
FAULTS_EACH = 2


def test_no_order_of_faults_loses_or_doubles_anything(tmp_path: Path) -> None:
    new = time.time_ns() % 1_000_000 if "ENGINE_ROUNDS" in os.environ else 804_662
    seed = int(os.environ.get("ENGINE_SEED", new))
    with ExitStack() as stack:
        platform = stack.enter_context(EmbeddedPlatform(tmp_path / "platform", registry_port=None))
        run = Run(platform.bootstrap_servers, "storm", tmp_path, PARTITIONS, seed)
        run.stock = False
        stack.enter_context(run)
        folders = [tmp_path / f"{run.prefix}-w{number}" for number in range(3)]
        disks = [stack.enter_context(small_disk(folder)) for folder in folders]
        storm = Storm(run, [platform.kafka], seed, disks=all(disks))
        storm.start()
        for faults in storm.deal(ROUNDS, FAULTS_EACH):
            storm.round(faults)
        storm.stop()
        assert storm.happened.total() == ROUNDS * FAULTS_EACH
        print(dict(storm.happened))
