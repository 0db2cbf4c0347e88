"""Every process of the demo may die in the middle; what does not end well ends with a reason."""

from __future__ import annotations

import os
import re
import signal
import socket
from pathlib import Path

import pytest

from tests.demo_process import Demo, Export, left_running

pytestmark = pytest.mark.timeout(600)
_DAY = re.compile(r"simulated (\d{4}-\d\d-\d\d)")


@pytest.mark.parametrize("codec", ["compiled", "fastavro"])
def test_the_screen_holds_when_every_process_is_killed_once(tmp_path: Path, codec: str) -> None:
    demo = Demo(tmp_path, "--days=28", "--accounts=45", environment={"STREAMSYNC_CODEC": codec})
    killed = []
    try:
        for name in ("ingress", "adapter", "erp-simulated", "worker-1"):
            told = len(_DAY.findall(demo.said()))
            demo.wait_until(lambda told=told: len(_DAY.findall(demo.said())) > told)  # type: ignore[misc]
            process = demo.child(name)
            assert process is not None
            os.kill(process, signal.SIGKILL)
            killed.append(name)
        assert demo.wait() == 0, demo.said()
    finally:
        demo.stop()
    export = Export.read(demo.export_folder)
    assert export.report["run"]["restarts"] == dict.fromkeys(killed, 1)
    assert export.differing() == []
    assert left_running(tmp_path) == []


def test_a_run_ends_what_a_killed_one_left_behind_and_a_signal_ends_all_processes(
    tmp_path: Path,
) -> None:
    demo = Demo(tmp_path, "--days=28", "--accounts=45")
    demo.wait_until(lambda: bool(_DAY.findall(demo.said())))
    demo.process.kill()
    demo.process.wait()
    left = left_running(tmp_path)
    assert left != []
    again = Demo(tmp_path, "--days=28", "--accounts=45", ports=demo.ports)
    again.wait_until(lambda: bool(_DAY.findall(again.said())))
    assert not set(left) & set(left_running(tmp_path))
    assert again.stop() == 130
    assert left_running(tmp_path) == []


def test_a_port_in_use_is_named_before_anything_starts(tmp_path: Path) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        demo = Demo(tmp_path, f"--ingress-port={port}")
        assert demo.wait() == 1
    assert f"Port {port}" in demo.said()
    assert "--ingress-port" in demo.said()
    assert not (demo.folder / "broker").exists()
