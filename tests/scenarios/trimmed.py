"""Records are deleted before a worker has read them: it stops, and skips nothing."""

from __future__ import annotations

import signal
from pathlib import Path

from confluent_kafka import OFFSET_END, TopicPartition
from confluent_kafka.admin import AdminClient

from tests.engine_run import READY_S, Run, Worker, wait_until


def ends(worker: Worker, told: str) -> None:
    wait_until(lambda: worker.process.poll() is not None, READY_S, lambda: worker.log()[-3_000:])
    assert worker.process.returncode == 1
    assert told in worker.log()


def delete_before_it_reads(broker: str, folder: Path) -> None:
    with Run(broker, "engine-trimmed", folder) as run:
        run.feed(200, poison=1)
        worker = run.worker("w")
        worker.wait_ready(9)
        run.wait_settled(explain=lambda: worker.log()[-3_000:])
        worker.process.send_signal(signal.SIGSTOP)
        topic = f"{run.prefix}.numbers"
        run.feed(200)  # what the broker has sent already may still be read
        run.feed(200)
        all_of_it = [TopicPartition(topic, n, OFFSET_END) for n in range(run.partitions)]
        admin = AdminClient({"bootstrap.servers": broker})
        for deleted in admin.delete_records(all_of_it).values():
            deleted.result(30)
        run.feed(200)
        worker.process.send_signal(signal.SIGCONT)
        ends(worker, "and was given what stands at")
        ends(run.worker("w"), "records were deleted before they were read")
        # Of what stands behind the hole nothing was booked.
        origins = {origin for _, origin in run.found_sums()}
        left = {
            f"{topic}-{partition}-{offset}".encode() for partition, offset, *_ in run.read(topic)
        }
        assert left and not left & origins
