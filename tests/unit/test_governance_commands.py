"""`streamsync check` and the parts of `apply` that need no broker, as an operator meets them."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest
import typer
from typer.testing import CliRunner

from streamsync.governance.commands import register
from tests.company_folder import ACME, edit


@pytest.fixture
def acme(tmp_path: Path) -> Path:
    """A copy of the example company."""
    return Path(shutil.copytree(ACME, tmp_path / "acme"))


@pytest.fixture
def app() -> typer.Typer:
    """The command line with this package's commands."""
    app = typer.Typer()
    register(app)
    return app


def test_check_says_that_a_sound_folder_is_sound(app: typer.Typer, acme: Path) -> None:
    result = CliRunner().invoke(app, ["check", str(acme)])
    assert (result.exit_code, result.stdout) == (
        0,
        f"{acme}: acme-rules version 1 is sound: 4 entities, 10 entity rules, 117 account rules.\n",
    )


def test_check_lists_every_error_and_fails(app: typer.Typer, acme: Path) -> None:
    edit(acme, "company.yaml", "version: 1", "version: 0")
    edit(acme, "chart.yaml", '"4010": Revenue', '"4011": Revenue')
    result = CliRunner().invoke(app, ["check", str(acme)])
    assert result.exit_code == 1
    assert result.stdout == ""
    assert result.stderr.splitlines() == [
        f'{acme}/accounts.yaml:7:96: account_not_in_chart: Account "4010" is not in the chart of '
        '"acme-us". Did you mean "4910"? Add it to chart.yaml, or use one that is there.',
        f'{acme}/company.yaml:8:10: wrong_value: "0" is too low: the lowest is 1.',
        f"2 errors in {acme}.",
    ]


def test_check_tells_machines_in_json(app: typer.Typer, acme: Path) -> None:
    sound = CliRunner().invoke(app, ["check", str(acme), "--json"])
    assert json.loads(sound.stdout) == {
        "schema_version": 1,
        "ok": True,
        "tenant": "acme",
        "version": 1,
        "errors": [],
    }
    edit(acme, "company.yaml", "version: 1", "version: 0")
    broken = CliRunner().invoke(app, ["check", str(acme), "--json"])
    assert broken.exit_code == 1
    assert json.loads(broken.stdout) == {
        "schema_version": 1,
        "ok": False,
        "errors": [
            {
                "file": f"{acme}/company.yaml",
                "line": 8,
                "column": 10,
                "rule": "wrong_value",
                "message": '"0" is too low: the lowest is 1.',
            }
        ],
    }


def test_check_of_no_folder_is_wrong_use(app: typer.Typer, tmp_path: Path) -> None:
    assert CliRunner().invoke(app, ["check", str(tmp_path / "nowhere")]).exit_code == 2


@pytest.mark.parametrize(
    ("people", "advice"),
    [
        (["--published-by", "ana"], "name who approved the change"),
        (["--published-by", "ana", "--approved-by", "ANA"], "another person"),
    ],
)
def test_apply_without_a_second_person_is_wrong_use(
    app: typer.Typer, acme: Path, people: list[str], advice: str
) -> None:
    result = CliRunner().invoke(app, ["apply", str(acme), *people], env={"COLUMNS": "300"})
    assert result.exit_code == 2
    assert advice in result.stderr


def test_apply_of_a_broken_folder_reaches_no_broker(app: typer.Typer, acme: Path) -> None:
    edit(acme, "company.yaml", "version: 1", "version: 0")
    # Nothing listens there: had it been asked, the message would be about the registry.
    result = CliRunner().invoke(
        app, ["apply", str(acme), "--dry-run", "--schema-registry-url", "http://127.0.0.1:9"]
    )
    assert result.exit_code == 1
    assert "company.yaml:8:10: wrong_value" in result.stderr
