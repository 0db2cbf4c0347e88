"""The toy topology on a real broker gives what the driver and a dictionary give."""

from __future__ import annotations

from pathlib import Path

from streamsync.engine.driver import Driver
from streamsync.engine.rows import RowType
from tests.engine_run import READY_S, Run, Worker, wait_until
from tests.engine_toy import expected, toy

TOTAL = RowType("total", 1, int)


def lags(worker: Worker) -> set[int | None]:
    """Of every partition at work, the ledger's among them, whose log is written in transactions."""
    _, body = worker.get("/v1/partitions")
    return {row["lag"] for row in body["partitions"] if row["state"] == "active"}


def test_lanes_on_kafka_give_what_the_driver_gives_and_go_on_after_a_restart(
    broker: str, tmp_path: Path
) -> None:
    with Run(broker, "engine-worker", tmp_path) as run:
        run.feed(1_500, poison=3)
        run.order(7)
        worker = run.worker("a")
        statuses: set[int] = set()

        def answered() -> bool:
            statuses.add(worker.get("/v1/totals/account-1")[0])
            return 200 in statuses

        wait_until(answered, READY_S, worker.log)
        assert statuses <= {0, 503, 404, 200}, "0: not listening yet; 404: no row yet"
        assert 503 in statuses, "rows were shown, or missed, before they were recovered"
        worker.wait_ready(9)
        run.feed(500)
        run.wait_settled(explain=lambda: worker.log()[-3_000:])
        wait_until(lambda: lags(worker) == {0}, 20, lambda: str(worker.get("/v1/partitions")))
        assert worker.stop() == 0, worker.log()[-3_000:]
        run.check(worker.data_dir)

        again = run.worker("a")
        run.feed(300, poison=1)
        again.wait_ready(9)
        run.wait_settled(explain=lambda: again.log()[-3_000:])
        assert again.stop() == 0
        run.check(again.data_dir)

        driver = Driver(toy(run.prefix))
        for partition, _, key, value in run.read(f"{run.prefix}.numbers"):
            driver.produce(f"{run.prefix}.numbers", key, value, partition)
        driver.run()
        in_memory = {
            key: total
            for partition in range(4)
            for key, total in driver.shard("ledger", partition).scan(TOTAL)
        }
        numbers = [(k or b"", v or b"") for *_, k, v in run.read(f"{run.prefix}.numbers")]
        assert in_memory == expected(numbers)
