"""Two hundred seeds end in the right books, and every planted bug is found."""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Iterator

import pytest

from tests.simulation import campaign, planted
from tests.simulation.faults import CRASH_POINTS

SEEDS = int(os.environ.get("SIMULATION_SEEDS", "200"))
_CHUNK = 50
_PLANTED_WITHIN = 200


@pytest.fixture(scope="module")
def happened() -> Iterator[Counter[str]]:
    """What all chunks together injected."""
    yield Counter()


@pytest.mark.timeout(3600)
@pytest.mark.parametrize("first", range(0, SEEDS, _CHUNK))
def test_after_any_faults_every_output_is_there_once_and_the_books_are_right(
    first: int, happened: Counter[str]
) -> None:
    seeds = range(first, min(first + _CHUNK, SEEDS))
    summary = campaign.run(
        seeds, jobs=campaign.cores(), progress=campaign.progress_line(len(seeds))
    )
    happened.update(summary.happened)
    assert not summary.failures, "\n".join(summary.failures)
    assert summary.runs == len(seeds)
    assert summary.sound, "nothing was injected or nothing was compared"


def test_the_seeds_crashed_every_lane_after_every_commit_step(happened: Counter[str]) -> None:
    if not happened:
        pytest.skip("no seeds were run")
    missed = [
        f"{step.name} in {lane}"
        for step, lane in CRASH_POINTS
        if not happened[f"crash after {step.name} in {lane}"]
    ]
    assert not missed
    for kind in ("disk kept", "disk wiped", "zombie", "handed over", "taken over"):
        assert happened[kind]
    for kind in ("Aborted", "Unsettled", "Fenced"):
        assert happened[kind]


def test_a_seed_gives_the_same_run_each_time() -> None:
    first, again = campaign.run_seed(3), campaign.run_seed(3)
    assert first.digest == again.digest != ""
    assert first.happened == again.happened


@pytest.mark.parametrize("name", sorted(planted.BUGS))
def test_planted_bug_is_caught(name: str) -> None:
    summary = campaign.run(range(_PLANTED_WITHIN), bug=name, until_failure=True)
    assert summary.failures, f"{name} was not found in {summary.runs} seeds"
    assert f"--plant {name}" in summary.failures[0]


def test_a_run_that_injected_nothing_is_no_success() -> None:
    quiet = {"crashes": 0, "commit_errors": 0, "handovers": 0}
    summary = campaign.run(range(2), given=quiet)
    assert not summary.sound
    assert "nothing was injected" in summary.failures[0]
    assert "--set crashes=0" in summary.failures[0]
