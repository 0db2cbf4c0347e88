"""Workers of one group: copies, upgrades, restarts, and ordinary Faust beside lanes."""

from __future__ import annotations

from functools import partial

import pytest

from tests.engine_run import side_by_side
from tests.scenarios import beside_faust, deleted, releases, rolling, standby, trimmed

SCENARIOS = {
    "standby": standby.read_and_promote,
    "asleep": standby.sleep_and_answer,
    "releases": releases.upgrade,
    "rolling": rolling.restart_one_after_the_other,
    "trimmed": trimmed.delete_before_it_reads,
    "source deleted": deleted.delete_the_source,
    "output deleted": deleted.delete_an_output,
    "changelog deleted": deleted.delete_a_changelog,
    "beside": beside_faust.work_beside_lanes,
}


@pytest.fixture(scope="module")
def outcomes(broker: str, tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    folder = tmp_path_factory.mktemp("group")
    return side_by_side(
        {name: partial(play, broker, folder) for name, play in SCENARIOS.items()}, len(SCENARIOS)
    )


def test_a_standby_answers_with_its_age_and_is_promoted_when_the_owner_is_killed(
    outcomes: dict[str, str],
) -> None:
    assert outcomes["standby"] == ""


def test_a_worker_that_slept_never_answers_with_what_it_knew_before(
    outcomes: dict[str, str],
) -> None:
    assert outcomes["asleep"] == ""


def test_a_later_release_joins_and_the_earlier_one_stops_before_it_takes_over_its_rows(
    outcomes: dict[str, str],
) -> None:
    assert outcomes["releases"] == ""


def test_no_answer_is_ever_older_than_one_before_while_workers_restart_and_one_is_killed(
    outcomes: dict[str, str],
) -> None:
    assert outcomes["rolling"] == ""


def test_records_deleted_before_they_are_read_stop_the_worker_and_nothing_is_skipped(
    outcomes: dict[str, str],
) -> None:
    assert outcomes["trimmed"] == ""


@pytest.mark.parametrize("topic", ["source", "output", "changelog"])
def test_a_topic_deleted_under_a_worker_ends_it_with_a_sentence(
    topic: str, outcomes: dict[str, str]
) -> None:
    assert outcomes[f"{topic} deleted"] == ""


def test_agents_tables_routes_timers_commands_and_sensors_work_beside_lanes_and_see_their_rows(
    outcomes: dict[str, str],
) -> None:
    assert outcomes["beside"] == ""
