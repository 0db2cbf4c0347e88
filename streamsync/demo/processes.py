"""The commands that make up the demo's installation, with their environment.

Problem: what the demo runs must be what anybody runs. How: ordinary `streamsync` commands;
addresses go by `STREAMSYNC_*` variables, secrets too, each only to the processes that need it.
"""

from __future__ import annotations

import secrets
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

from ruamel.yaml import YAML

from streamsync.config import Settings
from streamsync.demo.children import ChildSpec
from streamsync.demo.options import DemoOptions
from streamsync.demo.play import SOURCE_NAMES
from streamsync.embedded.server import require_free
from streamsync.erp.commands import TOKEN_VARIABLE
from streamsync.sources.configured import SOURCES_FILE, STRIPE_SECRET

# Per ten thousand postings: a demo of a thousand should meet every fault.
FAULTS = "no_answer=100,reject=100,alter=100,late=250"
_HOST = "127.0.0.1"


@dataclass(frozen=True, slots=True)
class Secrets:
    """Made for one run; they are in the children's environment and nowhere else."""

    webhook: str = field(repr=False)
    erp_token: str = field(repr=False)


def make_secrets() -> Secrets:
    """Fresh random secrets."""
    return Secrets(secrets.token_urlsafe(32), secrets.token_urlsafe(32))


def child_specs(
    options: DemoOptions, secret: Secrets, erp: str, entities: Sequence[str]
) -> list[ChildSpec]:
    """Every process, in the order in which they are started."""
    settings = options.settings
    plain = environment(settings)
    with_token = plain | {TOKEN_VARIABLE: secret.erp_token}
    return [
        ChildSpec(
            name="erp-simulated",
            arguments=(
                "erp-simulated",
                f"--data-dir={options.folder / 'erp-simulated'}",
                f"--chart={options.company_dir}",
                f"--seed={options.seed}",
                f"--faults={FAULTS}",
                "--hold-seconds=0.2",
            ),
            environment=with_token,
            ready_url=f"http://{_HOST}:{settings.erp_port}/health",
        ),
        ChildSpec(
            name="ingress",
            arguments=("ingress",),
            environment=plain
            | {STRIPE_SECRET: secret.webhook, SOURCES_FILE: str(_sources(options))},
            ready_url=f"http://{_HOST}:{settings.ingress_port}/health/ready",
        ),
        *(
            ChildSpec(
                name=f"worker-{number}",
                arguments=(
                    "worker",
                    f"--data-dir={options.folder / f'worker-{number}'}",
                    f"--web-port={port}",
                    "--clock=external",
                ),
                environment=plain,
                ready_url=f"http://{_HOST}:{port}/v1/partitions",
            )
            for number, port in enumerate(options.worker_ports, start=1)
        ),
        ChildSpec(
            name="adapter",
            arguments=(
                "adapter",
                f"--erp={erp}",
                *(f"--entity={entity}" for entity in entities),
                # Time is simulated, and flies: what is kept back is asked for all the time.
                "--poll-seconds=0.1",
                "--rate=2000",
            ),
            environment=with_token,
            ready_url=f"http://{_HOST}:{settings.adapter_port}/health",
        ),
    ]


def _sources(options: DemoOptions) -> Path:
    """The ingress' sources: Stripe, and what the company's own meter tells; one secret for both."""
    path = options.folder / "sources.yaml"
    secret = {"key_id": "demo", "secret_env": STRIPE_SECRET}
    sources = {name: {"kind": kind, "secrets": [secret]} for kind, name in SOURCE_NAMES.items()}
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("w", encoding="utf-8") as file:
        YAML(typ="safe").dump({"sources": sources}, file)
    return path


def require_ports(options: DemoOptions) -> None:
    """Refuse, before anything is started, a port that is in use."""
    settings = options.settings
    require_free(settings.ingress_port, "the ingress", "--ingress-port")
    require_free(settings.erp_port, "the simulated ERP", "--erp-port")
    require_free(settings.adapter_port, "the adapter", "--adapter-port")
    for port in options.worker_ports:
        require_free(port, "a worker's views", "--worker-web-port")


def environment(settings: Settings) -> dict[str, str]:
    """The settings as variables; the brokers' password is inherited, and written nowhere."""
    return {
        f"STREAMSYNC_{name.upper()}": str(value)
        for name, value in settings.model_dump(exclude_none=True, exclude={"sasl_password"}).items()
    }
