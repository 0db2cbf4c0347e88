"""What operators start from says nothing that the programs don't know."""

from __future__ import annotations

import re
import shutil
import subprocess
from pathlib import Path
from typing import Any

import pytest
from ruamel.yaml import YAML

from streamsync.config import Settings

ROOT = Path(__file__).parents[2]
DEPLOY = ROOT / "deploy"
RULES = DEPLOY / "prometheus-rules.yml"
_SUFFIX = re.compile(r"_(total|bucket|count|sum)$")


def documents(path: Path) -> list[Any]:
    return [one for one in YAML(typ="safe").load_all(path) if one is not None]


def source() -> str:
    folders = (ROOT / "streamsync", ROOT / "topology")
    return "".join(path.read_text() for folder in folders for path in folder.rglob("*.py"))


def worker() -> Any:
    (found,) = [
        one for one in documents(DEPLOY / "kubernetes" / "worker.yaml")
        if one["kind"] == "StatefulSet"
    ]  # fmt: skip
    return found["spec"]["template"]["spec"]


def test_alerts_ask_only_for_metrics_that_exist_and_say_what_to_do() -> None:
    text = source()
    rules = [rule for group in documents(RULES)[0]["groups"] for rule in group["rules"]]
    assert len(rules) > 5
    for rule in rules:
        for name in re.findall(r"streamsync_[a-z_]+", rule["expr"]):
            assert f'"{_SUFFIX.sub("", name)}"' in text, f"{rule['alert']}: no metric {name}"
        assert rule["annotations"].keys() == {"summary", "action"}


@pytest.mark.skipif(shutil.which("promtool") is None, reason="promtool is not installed")
def test_prometheus_takes_the_rules() -> None:
    subprocess.run(["promtool", "check", "rules", RULES], check=True, capture_output=True)


def test_the_worker_is_told_only_settings_that_it_has() -> None:
    told = [line.split("=")[0] for line in
            (DEPLOY / "kubernetes" / "settings.env").read_text().split()]  # fmt: skip
    told += [one["name"] for one in worker()["containers"][0]["env"] if one["name"] != "POD_NAME"]
    known = {f"STREAMSYNC_{name.upper()}" for name in Settings.model_fields}
    assert told
    assert set(told) <= known


def test_probes_ask_for_pages_that_are_served_and_the_drain_fits_its_grace_period() -> None:
    (container,) = worker()["containers"]
    pages = {
        container[probe]["httpGet"]["path"]
        for probe in ("startupProbe", "livenessProbe", "readinessProbe")
    }
    assert pages == {"/v1/health/live", "/v1/health/recovered"}
    assert all(f'"{page}"' in source() for page in pages)
    (drain,) = re.findall(
        r"STREAMSYNC_DRAIN_SECONDS=(\d+)", (DEPLOY / "kubernetes" / "settings.env").read_text()
    )
    assert int(drain) < worker()["terminationGracePeriodSeconds"]


@pytest.mark.skipif(shutil.which("kubectl") is None, reason="kubectl is not installed")
def test_kustomize_builds_the_manifests() -> None:
    built = subprocess.run(
        ["kubectl", "kustomize", DEPLOY / "kubernetes"], check=True, capture_output=True, text=True
    ).stdout
    assert "kind: StatefulSet" in built
    assert "namespace: streamsync" in built
