"""What operators start from says nothing that the programs don't know."""

from __future__ import annotations

import re
import shutil
import subprocess
from pathlib import Path
from typing import Any

import pytest
import typer.main
from ruamel.yaml import YAML

from streamsync.cli import build
from streamsync.config import Settings
from streamsync.ingress.settings import IngressLimits

ROOT = Path(__file__).parents[2]
DEPLOY = ROOT / "deploy"
RULES = DEPLOY / "prometheus-rules.yml"
_SUFFIX = re.compile(r"_(total|bucket|count|sum)$")


def documents(path: Path) -> list[Any]:
    return [one for one in YAML(typ="safe").load_all(path) if one is not None]


def source() -> str:
    folders = (ROOT / "streamsync", ROOT / "topology")
    return "".join(path.read_text() for folder in folders for path in folder.rglob("*.py"))


def workloads() -> dict[str, Any]:
    """Pod specification of each process, by its command."""
    pods = {}
    for path in (DEPLOY / "kubernetes").glob("*.yaml"):
        for one in documents(path):
            if one["kind"] in {"Deployment", "StatefulSet"}:
                pod = one["spec"]["template"]["spec"]
                pods[pod["containers"][0]["args"][0]] = pod
    return pods


WORKLOADS = workloads()
COMMANDS = sorted(WORKLOADS)
# Each process holds its own secrets and no other's.
SECRETS = {
    "worker": {"streamsync-kafka"},
    "ingress": {"streamsync-kafka-ingress", "streamsync-stripe/webhook-secret"},
    "adapter": {"streamsync-kafka-adapter", "streamsync-erp/token"},
    "refetch": {
        "streamsync-kafka-refetch",
        "streamsync-stripe/webhook-secret",
        "streamsync-stripe/api-key",
    },
}
PAGES = {
    "worker": {"/v1/health/live", "/v1/health/recovered"},
    "ingress": {"/health/live", "/health/ready"},
    "adapter": {"/health/live", "/health"},
    "refetch": set(),
}


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


def test_every_process_of_an_installation_has_a_manifest_that_is_built() -> None:
    assert set(WORKLOADS) == {"worker", "ingress", "adapter", "refetch"}
    (kustomization,) = documents(DEPLOY / "kubernetes" / "kustomization.yaml")
    files = {path.name for path in (DEPLOY / "kubernetes").glob("*.yaml")}
    assert set(kustomization["resources"]) == files - {"kustomization.yaml"}


@pytest.mark.parametrize("command", COMMANDS)
def test_a_process_gets_only_options_and_settings_that_it_has(command: str) -> None:
    (container,) = WORKLOADS[command]["containers"]
    known = {f"STREAMSYNC_{name.upper()}" for name in Settings.model_fields}
    shared = (DEPLOY / "kubernetes" / "settings.env").read_text().split()
    told = [line.split("=")[0] for line in shared]
    told += [
        one["name"]
        for one in container.get("env", [])
        if one["name"] != "POD_NAME" and "secretKeyRef" not in one.get("valueFrom", {})
    ]
    assert told
    assert set(told) <= known
    group: Any = typer.main.get_command(build())
    options = {word for one in group.commands[command].params for word in one.opts}
    assert {word.split("=")[0] for word in container["args"][1:]} <= options


@pytest.mark.parametrize("command", COMMANDS)
def test_a_process_holds_its_own_secrets_and_nothing_else(command: str) -> None:
    pod = WORKLOADS[command]
    (container,) = pod["containers"]
    held = {one["secretRef"]["name"] for one in container["envFrom"] if "secretRef" in one}
    for variable in container.get("env", []):
        secret = variable.get("valueFrom", {}).get("secretKeyRef")
        if any(word in variable["name"] for word in ("SECRET", "TOKEN", "KEY")):
            assert secret, f"{variable['name']} is written into the manifest"
        if secret:
            assert f'"{variable["name"]}"' in source()
            held.add(f"{secret['name']}/{secret['key']}")
    assert held == SECRETS[command]
    assert pod["automountServiceAccountToken"] is False
    assert pod["securityContext"]["runAsNonRoot"] is True
    assert pod["securityContext"]["seccompProfile"] == {"type": "RuntimeDefault"}
    assert container["securityContext"] == {
        "allowPrivilegeEscalation": False,
        "readOnlyRootFilesystem": True,
        "capabilities": {"drop": ["ALL"]},
    }
    assert container["resources"].keys() == {"requests", "limits"}


@pytest.mark.parametrize("command", COMMANDS)
def test_no_service_is_told_as_a_setting(command: str) -> None:
    # Kubernetes would tell a service streamsync-ingress as STREAMSYNC_INGRESS_PORT=tcp://...
    assert WORKLOADS[command]["enableServiceLinks"] is False


@pytest.mark.parametrize("command", COMMANDS)
def test_probes_ask_for_pages_that_are_served_on_the_port_of_the_process(command: str) -> None:
    (container,) = WORKLOADS[command]["containers"]
    probes = [value["httpGet"] for name, value in container.items() if name.endswith("Probe")]
    assert {probe["path"] for probe in probes} == PAGES[command]
    assert all(f'"{page}"' in source() for page in PAGES[command])
    settings = Settings()
    ports = {
        "worker": [settings.worker_web_port],
        "ingress": [settings.ingress_port],
        "adapter": [settings.adapter_port],
    }
    served = {one["name"]: one["containerPort"] for one in container.get("ports", [])}
    assert list(served.values()) == ports.get(command, [])
    assert {probe["port"] for probe in probes} == set(served)


def test_what_a_process_drains_fits_its_grace_period() -> None:
    settings = (DEPLOY / "kubernetes" / "settings.env").read_text()
    (drain,) = re.findall(r"STREAMSYNC_DRAIN_SECONDS=(\d+)", settings)
    assert int(drain) < WORKLOADS["worker"]["terminationGracePeriodSeconds"]
    ingress = WORKLOADS["ingress"]
    pause = int(ingress["containers"][0]["lifecycle"]["preStop"]["exec"]["command"][1])
    drain_s = IngressLimits().drain_seconds
    assert pause + drain_s < ingress["terminationGracePeriodSeconds"]


@pytest.mark.skipif(shutil.which("kubectl") is None, reason="kubectl is not installed")
def test_kustomize_builds_the_manifests() -> None:
    built = subprocess.run(
        ["kubectl", "kustomize", DEPLOY / "kubernetes"], check=True, capture_output=True, text=True
    ).stdout
    assert built.count("image: streamsync:local") == len(WORKLOADS)
    assert "namespace: streamsync" in built
