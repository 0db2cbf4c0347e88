"""Settings of the environment: what is wrong with them is told in a sentence for each."""

from __future__ import annotations

import sys

import pytest

from streamsync import cli


def test_a_wrong_setting_is_named_with_its_value_and_its_rule(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("STREAMSYNC_CODEC", "nonsense")
    monkeypatch.setenv("STREAMSYNC_PARTITIONS", "0")
    monkeypatch.setattr(sys, "argv", ["streamsync", "worker"])
    with pytest.raises(SystemExit) as ended:
        cli.main()
    assert ended.value.code == 2
    first, second = sorted(capsys.readouterr().err.splitlines())
    assert first.startswith('STREAMSYNC_CODEC is "nonsense": ') and "'fastavro'" in first
    assert second.startswith('STREAMSYNC_PARTITIONS is "0": ') and "1" in second
