"""A data directory takes one worker of one app, and says why it refuses another."""

from __future__ import annotations

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
