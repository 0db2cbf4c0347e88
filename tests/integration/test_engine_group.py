"""Two workers: partitions move, views are routed to their owner, stock Faust works beside lanes."""

from __future__ import annotations

from pathlib import Path

from confluent_kafka import Producer

from streamsync.engine.partitioner import account_partition
from tests.engine_run import READY_S, Run, Worker, wait_until
from tests.engine_toy import expected


def totals(run: Run) -> dict[str, int]:
    return expected(
        (key or b"", value or b"") for *_, key, value in run.read(f"{run.prefix}.numbers")
    )


def count_on_stock_topic(run: Run, keys: list[bytes]) -> None:
    producer = Producer({"bootstrap.servers": run.broker})
    for key in keys:
        partition = account_partition(key, run.partitions)
        producer.produce(f"{run.prefix}.stock", b"1", key, partition=partition)
    assert producer.flush(30) == 0


def stock_counts(run: Run) -> list[tuple[bytes | None, bytes | None]]:
    return [(key, value) for *_, key, value in run.read(f"{run.prefix}.stock-counts")]


def assert_views_answer_alike(run: Run, workers: list[Worker]) -> None:
    wanted = totals(run)
    for worker in workers:
        for account, total in wanted.items():
            status, body = worker.get(f"/v1/totals/{account}")
            assert (status, body) == (200, {"account": account, "total": total})
        assert worker.get("/v1/totals/nobody")[0] == 404
        status, body = worker.get("/v1/totals")
        assert status == 200
        assert {k: v for k, v in dict(body).items() if k != "order"} == wanted


def test_a_worker_joins_and_leaves_and_any_worker_answers_for_all(
    broker: str, tmp_path: Path
) -> None:
    with Run(broker, "engine-group", tmp_path) as run:
        first = run.worker("first")
        first.wait_ready(9)
        run.feed(500, poison=1)
        count_on_stock_topic(run, [b"a", b"b", b"a"])
        second = run.worker("second")
        run.feed(300)
        wait_until(
            lambda: bool(second.active()) and len(first.active() | second.active()) == 9
            and not first.active() & second.active(),
            READY_S, lambda: first.log()[-2_000:] + second.log()[-2_000:],
        )  # fmt: skip
        run.feed(300)
        run.wait_settled(explain=lambda: first.log()[-2_000:] + second.log()[-2_000:])
        assert_views_answer_alike(run, [first, second])
        _, body = first.get("/v1/partitions")
        owners = {row["owner"] for row in body["partitions"] if row["state"] == "active"}
        assert owners == {first.url, second.url}
        count_on_stock_topic(run, [b"a", b"b"])

        assert second.stop() == 0, second.log()[-3_000:]
        run.feed(200)
        wait_until(lambda: len(first.active()) == 9, READY_S, lambda: first.log()[-3_000:])
        run.wait_settled(explain=lambda: first.log()[-3_000:])
        assert_views_answer_alike(run, [first])
        wait_until(lambda: len(stock_counts(run)) >= 5, 20, lambda: str(stock_counts(run)))
        assert first.stop() == 0, first.log()[-3_000:]
        run.check(first.data_dir)
        assert stock_counts(run).count((b"a", b"3")) == 1
        assert stock_counts(run).count((b"b", b"2")) == 1
