"""Workers that sleep, brokers that die: nothing is lost, nothing is written twice."""

from __future__ import annotations

import signal
import time
from functools import partial
from pathlib import Path

import pytest

from streamsync.embedded.platform import EmbeddedPlatform
from tests.engine_run import READY_S, Run, side_by_side, wait_until

BROKER_AWAY_S = 30.0
DRAIN_S = 30.0  # the default of STREAMSYNC_DRAIN_SECONDS


def sleep_through_the_session(broker: str, folder: Path) -> None:
    with Run(broker, "engine-zombie", folder) as run:
        sleeper, other = run.worker("sleeper"), run.worker("other")
        wait_until(
            lambda: bool(sleeper.active()) and bool(other.active())
            and len(sleeper.active() | other.active()) == 9,
            READY_S, lambda: sleeper.log()[-2_000:] + other.log()[-2_000:],
        )  # fmt: skip
        run.feed(600, poison=1)
        time.sleep(0.2)
        sleeper.process.send_signal(signal.SIGSTOP)
        run.feed(300)
        wait_until(lambda: len(other.active()) == 9, READY_S, lambda: other.log()[-3_000:])
        run.wait_settled(explain=lambda: other.log()[-3_000:])
        sleeper.process.send_signal(signal.SIGCONT)
        run.feed(300)
        wait_until(
            lambda: bool(sleeper.active()) and len(sleeper.active() | other.active()) == 9,
            READY_S, lambda: sleeper.log()[-3_000:],
        )  # fmt: skip
        run.feed(200)
        run.wait_settled(explain=lambda: sleeper.log()[-2_000:] + other.log()[-2_000:])
        assert sleeper.stop() == 0, sleeper.log()[-3_000:]
        assert other.stop() == 0, other.log()[-3_000:]
        run.check()


def take_the_broker_away(folder: Path) -> None:
    with (
        EmbeddedPlatform(folder / "platform", registry_port=None) as own_broker,
        Run(own_broker.bootstrap_servers, "engine-away", folder) as run,
    ):
        worker = run.worker("w")
        worker.wait_ready(9)
        run.feed(3_000, poison=1)
        own_broker.kafka.kill()
        time.sleep(BROKER_AWAY_S)
        own_broker.kafka.restart()
        run.feed(300)
        run.wait_settled(90, explain=lambda: worker.log()[-3_000:])
        assert worker.stop() == 0, worker.log()[-3_000:]
        run.check(worker.data_dir)


def stop_while_the_broker_is_away(folder: Path) -> None:
    with (
        EmbeddedPlatform(folder / "drained", registry_port=None) as own_broker,
        Run(own_broker.bootstrap_servers, "engine-drained", folder) as run,
    ):
        first = run.worker("w")
        first.wait_ready(9)
        run.feed(3_000)
        own_broker.kafka.kill()
        began = time.monotonic()
        code = first.stop()
        assert time.monotonic() - began < DRAIN_S + 5, first.log()[-3_000:]
        assert code == 0, first.log()[-3_000:]
        own_broker.kafka.restart()
        run.feed(300)
        second = run.worker("w")
        second.wait_ready(9)
        run.wait_settled(90, explain=lambda: second.log()[-3_000:])
        assert second.stop() == 0, second.log()[-3_000:]
        run.check(second.data_dir)


@pytest.fixture(scope="module")
def outcomes(broker: str, tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    folder = tmp_path_factory.mktemp("away")
    return side_by_side(
        {
            "sleeper": partial(sleep_through_the_session, broker, folder),
            "broker": partial(take_the_broker_away, folder),
            "drained": partial(stop_while_the_broker_is_away, folder),
        },
        at_once=2,
    )


def test_a_worker_that_slept_through_its_session_is_fenced_and_comes_back(
    outcomes: dict[str, str],
) -> None:
    assert outcomes["sleeper"] == ""


def test_a_broker_that_is_killed_and_comes_back_after_half_a_minute_costs_only_time(
    outcomes: dict[str, str],
) -> None:
    assert outcomes["broker"] == ""


def test_a_worker_that_is_asked_to_end_while_the_broker_is_away_ends_in_time_and_loses_nothing(
    outcomes: dict[str, str],
) -> None:
    assert outcomes["drained"] == ""
