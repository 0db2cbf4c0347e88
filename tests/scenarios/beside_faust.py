"""Lanes are guests in Faust: agents, tables, routes, timers, CLI and sensors go on beside them."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path
from typing import Any

from confluent_kafka import Producer
from confluent_kafka.admin import AdminClient
from confluent_kafka.cimpl import NewTopic

from streamsync.embedded.server import free_port
from streamsync.engine.partitioner import account_partition
from tests.engine_run import READY_S, Run, Worker, wait_until
from tests.engine_toy import expected

ROOT = Path(__file__).parents[2]


class FaustWorker(Worker):
    """Started by Faust's own command."""

    def command(self) -> list[str]:
        return [sys.executable, "-m", "faust", "-A", "tests.engine_beside", "worker", "-l", "info"]

    def environment(self) -> dict[str, str]:
        return {**super().environment(), **settings(self)}


def settings(worker: Worker) -> dict[str, str]:
    return {
        "PYTHONPATH": str(ROOT),
        "BESIDE_PREFIX": worker.prefix,
        "BESIDE_SERVERS": worker.broker,
        "BESIDE_DATA_DIR": str(worker.data_dir),
        "BESIDE_WEB_PORT": str(worker.web_port),
    }


def faust_command(worker: Worker, *arguments: str) -> str:
    told = subprocess.run(
        [sys.executable, "-m", "faust", "-A", "tests.engine_beside", *arguments],
        env={**os.environ, **settings(worker)}, capture_output=True, text=True, check=True,
        timeout=60,
    )  # fmt: skip
    return told.stdout


def page(worker: Worker, path: str) -> Any:
    status, body = worker.get(path)
    assert status == 200, f"{path}: {status} {body}\n{worker.log()[-2_000:]}"
    return body


def work_beside_lanes(broker: str, folder: Path) -> None:
    with Run(broker, "engine-beside", folder) as run:
        admin = AdminClient({"bootstrap.servers": broker})
        asks = f"{run.prefix}.asks"
        admin.create_topics([NewTopic(asks, run.partitions, 1)])[asks].result(30)
        workers = [
            run.add(FaustWorker(run.prefix, broker, folder / name, free_port(), run.partitions))
            for name in ("one", "two")
        ]
        run.feed(500)
        wait_until(
            lambda: all(w.active() for w in workers)
            and len(workers[0].active() | workers[1].active()) == 9,
            READY_S, lambda: "".join(w.log()[-2_000:] for w in workers),
        )  # fmt: skip
        run.wait_settled(explain=lambda: "".join(w.log()[-2_000:] for w in workers))
        totals = expected(
            (key or b"", value or b"") for *_, key, value in run.read(f"{run.prefix}.numbers")
        )
        accounts = [account for account in totals if account.startswith("account")]

        owners = set()
        for account in accounts:
            answers = [page(worker, f"/beside/{account}") for worker in workers]
            assert [answer["total"] for answer in answers] == [totals[account]] * 2
            assert answers[0]["by"] == answers[1]["by"], "two workers call it their own"
            owners.add(answers[0]["by"])
        assert owners == {worker.url for worker in workers}

        wait_until(
            lambda: sum(page(w, "/seen").get("rows", 0) for w in workers) == len(accounts),
            READY_S, lambda: str([page(w, "/seen") for w in workers]),
        )  # fmt: skip
        producer = Producer({"bootstrap.servers": broker, "log_level": 0})
        for account in accounts:
            partition = account_partition(account.encode(), run.partitions)
            producer.produce(asks, b"1", account.encode(), partition=partition)
            producer.produce(f"{run.prefix}.stock", b"1", account.encode(), partition=partition)
        assert producer.flush(30) == 0
        wait_until(
            lambda: all("refused" in page(w, "/seen") for w in workers),
            READY_S, lambda: str([page(w, "/seen") for w in workers]),
        )  # fmt: skip
        for worker in workers:
            seen = page(worker, "/seen")
            account, total = seen["asked"]
            assert total == totals[account]
            assert "lane 'ledger' are written by its step alone" in seen["refused"]
            assert seen["timer"] > 0
            assert seen["messages"] > 0
            assert "messages_received" in worker.text("/faust-metrics")
            assert "streamsync_lane_records_total" in worker.text("/metrics")
        stock = f"{run.prefix}.stock-counts"
        wait_until(lambda: len(run.read(stock)) >= len(accounts), READY_S, lambda: "no counts")

        tables = faust_command(workers[0], "tables")
        assert all(name in tables for name in ("ledger", "sequence-numbers", "stock"))
        assert "Rows of lane ledger" in tables
        assert "ask" in faust_command(workers[0], "agents")
        for worker in workers:
            assert worker.stop() == 0, worker.log()[-3_000:]
        run.check()
