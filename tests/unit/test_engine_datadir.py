"""A data directory takes one worker of one app, and says why it refuses another."""

from __future__ import annotations

import errno
import json
import os
from pathlib import Path

import pytest

from streamsync.engine.datadir import LAYOUT, DataDirectoryRefused, claim


def test_a_second_worker_is_refused_and_the_next_one_is_not(tmp_path: Path) -> None:
    held = claim(tmp_path / "new", "app")
    with pytest.raises(DataDirectoryRefused, match="Another worker runs on the data directory"):
        claim(tmp_path / "new", "app")
    os.close(held)  # as the end of a process does
    os.close(claim(tmp_path / "new", "app"))


@pytest.mark.parametrize(
    ("left", "told"),
    [
        (json.dumps({"app": "other", "layout": LAYOUT}), "belongs to app 'other', layout 1"),
        (json.dumps({"app": "app", "layout": 99}), "belongs to app 'app', layout 99"),
        ("[]", "belongs to app 'unknown'"),
        ("not json", "belongs to app 'unknown'"),
    ],
)
def test_the_directory_of_another_app_or_layout_is_refused_and_left_as_it_is(
    tmp_path: Path, left: str, told: str
) -> None:
    (tmp_path / "worker.lock").write_text(left)
    (tmp_path / "a-database").write_text("precious")
    with pytest.raises(DataDirectoryRefused, match=told):
        claim(tmp_path, "app")
    assert (tmp_path / "worker.lock").read_text() == left
    assert (tmp_path / "a-database").read_text() == "precious"


def test_a_worker_on_a_full_disk_waits_says_so_once_and_starts_when_there_is_space(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    write, waits = os.pwrite, 0

    def full(held: int, data: bytes, at: int) -> int:
        if waits < 3:
            raise OSError(errno.ENOSPC, "No space left on device")
        return write(held, data, at)

    def wait() -> None:
        nonlocal waits
        waits += 1

    monkeypatch.setattr(os, "pwrite", full)
    os.close(claim(tmp_path, "app", wait=wait))
    assert waits == 3
    assert [record.message for record in caplog.records] == [
        f"The worker can't start yet: the disk of its data directory {tmp_path} is full (No space "
        "left on device). It waits for space; nothing is lost."
    ]
    with pytest.raises(DataDirectoryRefused, match="belongs to app 'app'"):
        claim(tmp_path, "other")


def test_another_error_of_the_system_is_no_reason_to_wait(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def broken(_held: int, _data: bytes, _at: int) -> int:
        raise OSError(errno.EIO, "Input/output error")

    monkeypatch.setattr(os, "pwrite", broken)
    with pytest.raises(OSError, match="Input/output"):
        claim(tmp_path, "app", wait=lambda: pytest.fail("it waits"))
