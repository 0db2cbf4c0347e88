"""Warm copies: read with their age, promoted with little left to read; never a wrong answer."""

from __future__ import annotations

import re
import signal
import time
from pathlib import Path
from typing import Any

from streamsync.engine.partitioner import account_partition
from tests.engine_run import READY_S, Run, Worker, wait_until
from tests.engine_toy import expected


def totals(run: Run) -> dict[str, int]:
    return expected(
        (key or b"", value or b"") for *_, key, value in run.read(f"{run.prefix}.numbers")
    )


def standbys(worker: Worker) -> dict[tuple[str, int], int]:
    """Lane and partition of this worker's copies, with the offsets that they are behind."""
    _, body = worker.get("/v1/partitions")
    rows = body["partitions"] if isinstance(body, dict) else []
    return {
        (row["lane"], row["partition"]): row["changelog_lag"]
        for row in rows
        if row["owner"] == worker.url and row["state"] == "standby"
    }


def recovered_rows(worker: Worker) -> int:
    told = re.findall(r"recovered \d+ partitions: (\d+) changelog rows", worker.log())
    return sum(int(rows) for rows in told)


def owned_accounts(run: Run, worker: Worker, wanted: dict[str, int]) -> list[str]:
    mine = {partition for lane, partition in worker.active() if lane == "ledger"}
    return [a for a in wanted if account_partition(a.encode(), run.partitions) in mine]


def logs(*workers: Worker) -> str:
    return "".join(worker.log()[-2_000:] for worker in workers)


def both_at_work(first: Worker, second: Worker) -> bool:
    actives = first.active(), second.active()
    return all(actives) and len(actives[0] | actives[1]) == 9 and not actives[0] & actives[1]


def read_and_promote(broker: str, folder: Path) -> None:
    with Run(broker, "engine-standby", folder) as run:
        first = run.worker("first")
        first.wait_ready(9)
        second = run.worker("second")
        run.feed(1_000, poison=1)
        wait_until(lambda: both_at_work(first, second), READY_S, lambda: logs(first, second))
        run.wait_settled(explain=lambda: logs(first, second))
        wait_until(
            lambda: set(standbys(second)) == first.active()
            and set(standbys(first)) == second.active()
            and not any(standbys(second).values()),
            READY_S, lambda: f"{standbys(second)} of {first.active()}",
        )  # fmt: skip
        assert second.get("/v1/health/recovered")[0] == 200
        wanted = totals(run)
        theirs = owned_accounts(run, first, wanted)
        assert theirs
        read_before = recovered_rows(second)
        first.process.send_signal(signal.SIGKILL)
        first.process.wait()

        # Nobody owns them yet: no answer, or on demand an old one that says so.
        status, body = second.get(f"/v1/totals/{theirs[0]}")
        assert status == 503, body
        status, body = second.get(f"/v1/totals/{theirs[0]}?stale=true")
        assert status == 200
        assert body.pop("stale") is True
        assert body.pop("position") > 0
        assert body.pop("lag") <= 2, "what is behind is a transaction's end"
        assert body == {"account": theirs[0], "total": wanted[theirs[0]]}
        status, body = second.get("/v1/totals?stale=true")
        assert status == 200
        assert body["stale"] is True
        assert {account: body[account] for account in wanted} == wanted

        run.feed(200)
        wait_until(lambda: len(second.active()) == 9, READY_S, lambda: logs(second))
        run.wait_settled(explain=lambda: logs(second))
        assert second.get(f"/v1/totals/{theirs[0]}")[0] == 200
        assert second.get("/v1/health/ready")[0] == 200
        read = recovered_rows(second) - read_before
        changelog = len(run.read(f"{run.prefix}-ledger-changelog"))
        assert read < changelog / 2, f"promotion read {read} of {changelog} rows"
        assert second.stop() == 0, logs(second)
        run.check(second.data_dir)


def sleep_and_answer(broker: str, folder: Path) -> None:
    with Run(broker, "engine-asleep", folder) as run:
        sleeper, other = run.worker("sleeper"), run.worker("other")
        wait_until(lambda: both_at_work(sleeper, other), READY_S, lambda: logs(sleeper, other))
        run.feed(400)
        run.wait_settled(explain=lambda: logs(sleeper, other))
        theirs = owned_accounts(run, sleeper, totals(run))
        account = theirs[0]
        assert sleeper.get(f"/v1/totals/{account}")[0] == 200
        sleeper.process.send_signal(signal.SIGSTOP)
        wait_until(lambda: len(other.active()) == 9, READY_S, lambda: logs(other))
        run.feed(400)
        run.wait_settled(explain=lambda: logs(other))
        wanted = totals(run)[account]
        sleeper.process.send_signal(signal.SIGCONT)
        answers: list[tuple[int, Any]] = []
        end = time.monotonic() + READY_S
        while (200, wanted) not in answers and time.monotonic() < end:
            status, body = sleeper.get(f"/v1/totals/{account}")
            answers.append((status, body["total"] if status == 200 else None))
        assert answers[-1] == (200, wanted), logs(sleeper)
        assert {status for status, total in answers if total != wanted} <= {503, 0}, answers
