"""The container set-up runs the same commands as the README, closed by default."""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path
from typing import Any

import pytest
import typer.main
from ruamel.yaml import YAML

from streamsync.cli import build

ROOT = Path(__file__).parents[2]
EXPECTED = {
    "kafka",
    "registry",
    "ingress",
    "refetch",
    "worker-1",
    "worker-2",
    "rules",
    "erp-simulated",
    "adapter",
}


@pytest.fixture(scope="module")
def services() -> dict[str, Any]:
    with (ROOT / "docker-compose.yml").open(encoding="utf-8") as file:
        found: dict[str, Any] = YAML(typ="safe").load(file)["services"]
    return found


def test_every_box_of_the_picture_is_a_service(services: dict[str, Any]) -> None:
    assert set(services) == EXPECTED


def test_every_own_service_runs_a_command_that_exists(services: dict[str, Any]) -> None:
    group: Any = typer.main.get_command(build())
    commands = {
        name: service["command"] for name, service in services.items() if "build" in service
    }
    assert len(commands) == 7
    for name, command in commands.items():
        assert command[0] in group.commands, name
        options = {word for one in group.commands[command[0]].params for word in one.opts}
        used = {word.split("=")[0] for word in command[1:] if word.startswith("--")}
        assert used <= options, name


def test_ports_are_published_on_loopback_and_no_secret_is_inline(services: dict[str, Any]) -> None:
    for name, service in services.items():
        for port in service.get("ports", []):
            assert port.startswith("127.0.0.1:"), name
        for variable, value in service.get("environment", {}).items():
            if any(word in variable for word in ("SECRET", "TOKEN", "KEY")):
                assert value.startswith("${"), f"{name}: {variable}"


def test_what_needs_a_key_of_stripe_starts_only_when_asked_for(services: dict[str, Any]) -> None:
    optional = {name for name, service in services.items() if "profiles" in service}
    with_key = {
        name
        for name, service in services.items()
        if "STREAMSYNC_STRIPE_API_KEY" in service.get("environment", {})
    }
    assert optional == with_key == {"refetch"}


def test_docker_compose_accepts_the_file() -> None:
    found = [["docker", "compose"], ["docker-compose"]]
    usable = [
        words
        for words in found
        if shutil.which(words[0])
        and subprocess.run([*words, "version"], capture_output=True, check=False).returncode == 0
    ]
    if not usable:
        pytest.skip("docker compose is not installed; the other tests read the file themselves")
    environment = {"STREAMSYNC_STRIPE_SECRET": "x" * 20, "STREAMSYNC_ERP_TOKEN": "y" * 20}
    told = subprocess.run(
        [*usable[0], "config", "--quiet"],
        cwd=ROOT,
        env=environment | {"PATH": "/usr/local/bin:/usr/bin:/bin"},
        capture_output=True,
        text=True,
        check=False,
    )
    assert told.returncode == 0, told.stderr
