"""kill -9 of a real worker after each numbered commit step, with its disk kept and wiped.

The scenarios of a round run side by side, since most of their time is the group waiting for the
dead member's session to end.
"""

from __future__ import annotations

import shutil
import time
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import pytest

from streamsync.engine.commit import CommitStep
from tests.engine_run import READY_S, Run, side_by_side, wait_until

SIDE_BY_SIDE = 8


@dataclass(frozen=True)
class Scenario:
    lane: str
    step: CommitStep
    wipe: bool
    after: int

    def __str__(self) -> str:
        return f"{self.lane}-{self.step.name}-{'wiped' if self.wipe else 'kept'}"


SCENARIOS = [
    *(
        Scenario("ledger", step, wipe, after=int(step) % 4)
        for step in CommitStep
        for wipe in (False, True)
    ),
    Scenario("sequence-numbers", CommitStep.FLUSH, wipe=False, after=2),
    Scenario("sequence-numbers", CommitStep.COMMIT, wipe=False, after=2),
    Scenario("sequence-numbers", CommitStep.COMMIT, wipe=True, after=2),
]


def play(scenario: Scenario, broker: str, folder: Path) -> None:
    with Run(broker, f"crash-{scenario}".lower(), folder) as run:
        run.feed(300, poison=1)
        doomed = run.worker("w", kill_at=f"{scenario.lane}:{scenario.step.name}:"
                            f"{scenario.after}")  # fmt: skip
        end = time.monotonic() + READY_S
        while doomed.process.poll() is None:
            assert time.monotonic() < end, f"it never got there:\n{doomed.log()[-3000:]}"
            run.feed(20)
            time.sleep(0.2)
        assert doomed.process.returncode == -9, doomed.log()[-3_000:]
        if scenario.wipe:
            shutil.rmtree(doomed.data_dir)
        worker = run.worker("w")
        run.feed(100, poison=1)
        wait_until(lambda: len(worker.active()) == 9, READY_S, lambda: worker.log()[-3_000:])
        run.wait_settled(explain=lambda: worker.log()[-3_000:])
        assert worker.stop() == 0, worker.log()[-3_000:]
        run.check(worker.data_dir)


@pytest.fixture(scope="module")
def outcomes(broker: str, tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    folder = tmp_path_factory.mktemp("crash")
    return side_by_side(
        {str(scenario): partial(play, scenario, broker, folder) for scenario in SCENARIOS},
        SIDE_BY_SIDE,
    )


@pytest.mark.parametrize("scenario", SCENARIOS, ids=str)
def test_killed_after_a_commit_step_the_books_are_as_if_nothing_happened(
    scenario: Scenario, outcomes: dict[str, str]
) -> None:
    assert outcomes[str(scenario)] == ""
