"""The demo on a Kafka and a registry that somebody else started."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

from streamsync.embedded import EmbeddedPlatform
from streamsync.embedded.server import free_port


def demo(platform: EmbeddedPlatform, folder: Path) -> subprocess.CompletedProcess[str]:
    ports = {
        f"--{name}-port": str(free_port()) for name in ("ingress", "worker-web", "erp", "adapter")
    }
    words = [word for pair in ports.items() for word in pair]
    command = [sys.executable, "-m", "streamsync", "demo", "--once", "--json", "--days", "4"]
    existing = [
        "--bootstrap-servers",
        platform.bootstrap_servers,
        "--schema-registry-url",
        platform.schema_registry_url,
    ]
    return subprocess.run(
        [*command, "--data-dir", str(folder), *existing, *words],
        capture_output=True,
        text=True,
        timeout=180,
        check=False,
    )


def test_an_existing_broker_serves_one_demo_and_a_used_one_is_refused(tmp_path: Path) -> None:
    with EmbeddedPlatform(tmp_path / "platform") as platform:
        told = demo(platform, tmp_path / "first")
        assert told.returncode == 0, told.stderr[-2000:]
        assert json.loads(told.stdout)["holds"]
        again = demo(platform, tmp_path / "second")
        assert again.returncode == 1
        assert "already holds the topic" in again.stderr
        assert all(server.alive for server in platform.servers)
