"""A worker that is asked to end commits first, and has ended when its time is up."""

from __future__ import annotations

import subprocess
import sys
import textwrap
from pathlib import Path
from typing import Any

import faust
import pytest

from streamsync.engine import app as engine_app
from streamsync.engine.app import LaneApp, build_app
from tests.engine_toy import toy

TESTS = Path(__file__).parents[1]


def _python(code: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(  # noqa: S603
        [sys.executable, "-c", textwrap.dedent(code)],
        cwd=TESTS.parent, capture_output=True, text=True, timeout=60, check=False,
    )  # fmt: skip


@pytest.fixture
def app(tmp_path: Path) -> LaneApp:
    return build_app(
        toy("ending"), bootstrap_servers="127.0.0.1:1", data_dir=tmp_path, drain_timeout_s=7.0
    )


async def test_the_time_runs_and_the_last_commits_are_made_before_faust_stops_anything(
    app: LaneApp, monkeypatch: pytest.MonkeyPatch
) -> None:
    done: list[Any] = []

    async def release() -> None:
        done.append("last commits")

    async def stop(_app: faust.App) -> None:
        done.append("faust")

    monkeypatch.setattr(engine_app, "_end_within", done.append)
    monkeypatch.setattr(app.lanes, "release", release)
    monkeypatch.setattr(faust.App, "on_stop", stop)
    await app.on_stop()
    assert done == [7.0, "last commits", "faust"]


def test_a_worker_that_waits_for_ever_is_ended_in_time_and_says_that_nothing_is_lost() -> None:
    ended = _python(
        """
        import logging, time
        from streamsync.engine.app import _end_within
        logging.basicConfig()
        _end_within(1.0)
        time.sleep(50)
        """
    )
    assert ended.returncode == 1
    assert "did not end within 1 s; it is ended now. Nothing is lost" in ended.stderr


@pytest.mark.parametrize("status", [0, 1])
def test_a_thread_that_still_waits_for_a_broker_does_not_hold_up_a_worker_that_has_ended(
    status: int, tmp_path: Path
) -> None:
    ended = _python(
        f"""
        import time
        from concurrent.futures import ThreadPoolExecutor
        from faust.worker import Worker
        from streamsync.engine.app import build_app, run_worker
        from tests.engine_toy import toy

        ThreadPoolExecutor(1).submit(time.sleep, 50)

        def end(_worker):
            raise SystemExit({status})

        Worker.execute_from_commandline = end
        run_worker(build_app(toy("e"), bootstrap_servers="127.0.0.1:1", data_dir={str(tmp_path)!r}))
        """
    )
    assert ended.returncode == status, ended.stderr
