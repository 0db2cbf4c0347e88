"""Workers are restarted one after the other, and one is killed, while a client reads."""

from __future__ import annotations

import signal
import threading
from pathlib import Path

from tests.engine_run import READY_S, Run, Worker, wait_until

ACCOUNTS = [f"account-{number}" for number in range(6)]


class Client:
    """Asks any worker for totals, one request after the other, and remembers what it was told."""

    def __init__(self, workers: list[Worker]) -> None:
        self.workers = workers
        self.answers = 0
        self.refusals = 0
        self.faults: list[str] = []
        self._known: dict[str, int] = {}
        self._ended = threading.Event()
        self._thread = threading.Thread(target=self._run)

    def __enter__(self) -> Client:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._ended.set()
        self._thread.join()

    def _run(self) -> None:
        while not self._ended.wait(0.02):
            for account in ACCOUNTS:
                for worker in list(self.workers):
                    self._ask(worker, account)

    def _ask(self, worker: Worker, account: str) -> None:
        status, body = worker.get(f"/v1/totals/{account}")
        if status in (0, 503):  # not there, or nobody owns the partition just now
            self.refusals += 1
            return
        told = body["total"] if status == 200 else 0
        self.answers += 1
        # Numbers are never negative: whoever tells less than before tells what was true once.
        known = self._known.get(account, 0)
        if status not in (200, 404) or told < known:
            self.faults.append(f"{status} {body} of {worker.url} after {known}")
        self._known[account] = max(known, told)


def restart_one_after_the_other(broker: str, folder: Path) -> None:
    with Run(broker, "engine-rolling", folder) as run:
        workers = [run.worker("a"), run.worker("b")]

        def recovered() -> bool:
            return all(worker.get("/v1/health/recovered")[0] == 200 for worker in workers) and (
                len(workers[0].active() | workers[1].active()) == 9
            )

        def told() -> str:
            return "".join(worker.log()[-2_500:] for worker in workers)

        wait_until(recovered, READY_S, told)
        with Client(workers) as client:
            for place, name in enumerate(("a", "b")):
                run.feed(400)
                assert workers[place].stop() == 0, told()
                run.feed(200)
                workers[place] = client.workers[place] = run.worker(name)
                wait_until(recovered, READY_S, told)
            run.feed(300, poison=1)
            workers[0].process.send_signal(signal.SIGKILL)
            wait_until(lambda: len(workers[1].active()) == 9, READY_S, told)
            run.feed(200)
            run.wait_settled(explain=told)
            answered = client.answers
            wait_until(lambda: client.answers > answered + len(ACCOUNTS), READY_S, told)
        assert client.faults == [], client.faults[:5]
        assert client.refusals > 0, "nothing was ever in the way"
        assert workers[1].stop() == 0, told()
        run.check(workers[1].data_dir)
