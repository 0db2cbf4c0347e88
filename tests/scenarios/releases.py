"""Two releases on one state: the later one joins, the earlier one stops and doesn't start again."""

from __future__ import annotations

from pathlib import Path

from tests.engine_run import READY_S, Run, Worker, wait_until

REFUSAL = "may hold rows 'total' of version 2; this worker reads 1"


def ends_with_a_sentence(worker: Worker) -> None:
    wait_until(lambda: worker.process.poll() is not None, READY_S, lambda: worker.log()[-3_000:])
    assert worker.process.returncode == 1
    assert REFUSAL in worker.log()


def upgrade(broker: str, folder: Path) -> None:
    with Run(broker, "engine-releases", folder) as run:
        old = run.worker("old")
        run.feed(300, poison=1)
        old.wait_ready(9)
        run.wait_settled(explain=lambda: old.log()[-2_000:])
        new = run.worker("new", row_version=2)
        ends_with_a_sentence(old)
        run.feed(300)
        wait_until(lambda: len(new.active()) == 9, READY_S, lambda: new.log()[-3_000:])
        run.wait_settled(explain=lambda: new.log()[-3_000:])
        before = new.log().count("Joined group")
        ends_with_a_sentence(run.worker("old"))
        assert new.log().count("Joined group") == before, "it joined the group before it refused"
        assert len(new.active()) == 9
        assert new.stop() == 0, new.log()[-3_000:]
        run.check(new.data_dir)
