"""Local databases that can't be trusted: rebuilt where the changelog can, refused where not."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
import rocksdict
from confluent_kafka.admin import AdminClient

from tests.engine_run import READY_S, Run, Worker, wait_until
from tests.engine_storm import fill, small_disk

OFFSET = b"__faust\0offset__"
TOPIC_ID = b"\0topic"


def database_path(worker: Worker, lane: str, partition: int) -> Path:
    return worker.data_dir / "v1" / "tables" / f"{lane}-{partition}.db"


@contextmanager
def database(worker: Worker, lane: str, partition: int) -> Iterator[Any]:
    path = database_path(worker, lane, partition)
    opened = rocksdict.Rdict(str(path), options=rocksdict.Options(raw_mode=True))
    yield opened
    opened.close()


def flip_a_byte(worker: Worker, lane: str, partition: int, files: str) -> None:
    """In the first block of each file, where the rows are."""
    found = list(database_path(worker, lane, partition).glob(files))
    assert found
    for path in found:
        data = bytearray(path.read_bytes())
        data[20] ^= 0xFF
        path.write_bytes(data)


@pytest.fixture
def stopped(broker: str, tmp_path: Path) -> Iterator[tuple[Run, Worker]]:
    """A run with some history, and its stopped worker."""
    with Run(broker, "engine-disk", tmp_path) as run:
        run.feed(400, poison=1)
        worker = run.worker("w")
        worker.wait_ready(9)
        run.wait_settled(explain=lambda: worker.log()[-2_000:])
        assert worker.stop() == 0
        yield run, worker


def ends(worker: Worker) -> None:
    wait_until(lambda: worker.process.poll() is not None, READY_S, lambda: worker.log()[-2_000:])
    assert worker.process.returncode == 1


def set_versions(run: Run, worker: Worker, version: bytes) -> None:
    """Rows as a release with another version of them would have written them."""
    for partition in range(run.partitions):
        with database(worker, "ledger", partition) as rows:
            for key in [key for key in rows.keys() if key.startswith(b"total|")]:
                rows[key] = version + rows[key][1:]


def test_a_database_that_does_not_fit_is_rebuilt_and_an_unknown_row_stops_the_worker(
    stopped: tuple[Run, Worker],
) -> None:
    run, worker = stopped
    with database(worker, "ledger", 0) as rows:
        rows[OFFSET] = b"1000000000"
    with database(worker, "ledger", 1) as rows:
        rows[TOPIC_ID] = b"of-another-cluster"
        rows[b"total|account-nobody"] = b"\x01\x05"
    with database(worker, "ledger", 2) as rows:
        rows.flush()
    flip_a_byte(worker, "ledger", 2, "*.sst")
    flip_a_byte(worker, "ledger", 3, "MANIFEST-*")
    again = run.worker("w")
    again.wait_ready(9)
    ends(second := run.worker("w"))
    assert f"Another worker runs on the data directory {again.data_dir}" in second.log()
    run.feed(100)
    run.wait_settled(explain=lambda: again.log()[-2_000:])
    assert again.stop() == 0
    run.check(again.data_dir)
    assert again.log().count("doesn't fit topic") == 2
    for partition in (2, 3):
        path = database_path(again, "ledger", partition)
        assert f"The database {path} is damaged and is rebuilt" in again.log()

    set_versions(run, worker, b"\x09")
    before = len(run.read(f"{run.prefix}.sums"))
    newer = run.worker("w")
    run.feed(20)
    ends(newer)
    assert "has version 9, this program reads 1" in newer.log()
    assert len(run.read(f"{run.prefix}.sums")) == before
    set_versions(run, worker, b"\x01")

    # A source that was deleted and created again can't be what the rows came from.
    admin = AdminClient({"bootstrap.servers": run.broker})
    for future in admin.delete_topics([f"{run.prefix}.numbers"]).values():
        future.result(30)
    ends(lost := run.worker("w"))
    assert "records were deleted before they were read, or the topic was recreated" in lost.log()


def test_a_full_disk_costs_time_and_nothing_else(broker: str, tmp_path: Path) -> None:
    with Run(broker, "engine-full", tmp_path) as run:
        folder = tmp_path / f"{run.prefix}-w"
        with small_disk(folder) as mounted:
            if not mounted:
                pytest.skip("a small file system can only be mounted by root")
            run.feed(300)
            worker = run.worker("w")
            worker.wait_ready(9)
            ballast = fill(folder)
            run.feed(3_000)
            wait_until(
                lambda: "can't be used now: IO error: No space left" in worker.log(),
                READY_S, lambda: worker.log()[-2_000:], worker.process,
            )  # fmt: skip
            wait_until(lambda: len(worker.active()) < 9, READY_S, lambda: worker.log()[-2_000:])
            ballast.unlink()
            run.wait_settled(explain=lambda: worker.log()[-2_000:])
            worker.wait_ready(9)
            assert worker.stop() == 0
            run.check(worker.data_dir)
