"""What others write in transactions is read whole or not at all; clocks that jump do no harm."""

from __future__ import annotations

import time
from pathlib import Path

from confluent_kafka import Producer

from streamsync.embedded.server import free_port
from streamsync.engine.cluster import Cluster
from streamsync.engine.partitioner import account_partition
from tests.engine_run import Run, Worker, wait_until
from tests.engine_toy import CLOCK_JUMPS_S

PARTITIONS = 3
KEYS = [b"account-%d" % number for number in range(12)]


def begin(run: Run, name: str) -> Producer:
    """A transaction with twelve numbers that are on the broker, in every partition."""
    producer = Cluster(run.broker).transactional(f"{run.prefix}-{name}")
    producer.init_transactions(20)
    producer.begin_transaction()
    for key in KEYS:
        partition = account_partition(key, PARTITIONS)
        producer.produce(f"{run.prefix}.numbers", b"7", key, partition=partition)
    assert producer.flush(20) == 0
    assert {account_partition(key, PARTITIONS) for key in KEYS} == set(range(PARTITIONS))
    return producer


def sums(run: Run) -> int:
    return len(run.read(f"{run.prefix}.sums"))


def test_records_of_one_transaction_are_seen_whole(broker: str, tmp_path: Path) -> None:
    with Run(broker, "engine-whole", tmp_path, PARTITIONS) as run:
        worker = run.worker("w")
        worker.wait_ready(2 * PARTITIONS + 1)
        run.produce("numbers", 0, b"account-0", [b"1"])
        wait_until(lambda: sums(run) == 1, 60, worker.log)

        lost = begin(run, "lost")
        time.sleep(2)
        assert sums(run) == 1  # open: nothing of it is there
        lost.abort_transaction(20)
        time.sleep(2)
        assert sums(run) == 1  # nor ever will be

        whole = begin(run, "whole")
        for partition in range(PARTITIONS):  # what stands behind it waits with it
            run.produce("numbers", partition, b"behind-%d" % partition, [b"1"])
        time.sleep(2)
        assert sums(run) == 1
        whole.commit_transaction(20)
        run.wait_settled(explain=lambda: worker.log()[-2_000:])
        assert worker.stop() == 0, worker.log()[-3_000:]
        assert run.check(worker.data_dir) == 1 + len(KEYS) + PARTITIONS


def test_a_wall_clock_that_jumps_changes_nothing(broker: str, tmp_path: Path) -> None:
    with Run(broker, "engine-jumps", tmp_path, PARTITIONS) as run:
        jumping = run.add(
            Worker(
                run.prefix, broker, tmp_path / f"{run.prefix}-jumping", free_port(),
                PARTITIONS,
                clock_jumps=True,
            )
        )  # fmt: skip
        jumping.wait_ready(2 * PARTITIONS + 1)
        for _ in range(2 * len(CLOCK_JUMPS_S)):
            run.feed(60)
            time.sleep(1)
        run.wait_settled(explain=lambda: jumping.log()[-2_000:])
        assert jumping.stop() == 0, jumping.log()[-3_000:]
        run.check(jumping.data_dir)
        # What it wrote under a clock of another year is there for the next one, and is the same.
        again = run.worker("again")
        again.wait_ready(2 * PARTITIONS + 1)
        run.feed(60)
        run.wait_settled(explain=lambda: again.log()[-2_000:])
        assert again.stop() == 0, again.log()[-3_000:]
        run.check(again.data_dir)
