"""`streamsync demo`: everything on one machine, played through, with a closing screen.

Problem: nobody believes a diagram. How: the ordinary processes on an embedded Kafka, sixty
simulated days of a small company, an ERP that misbehaves on purpose, and one screen that is held
against what the ERP says it did.
"""

from __future__ import annotations

import logging
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

if TYPE_CHECKING:
    from streamsync.config import Settings
    from streamsync.demo.options import DemoOptions

_COMPANY = Path(__file__).resolve().parents[2] / "examples" / "acme"


def register(app: typer.Typer) -> None:
    """Add `demo`."""
    app.command()(demo)


def demo(
    *,
    once: Annotated[
        bool, typer.Option("--once", help="End after the closing screen; exit 1 if it fails.")
    ] = False,
    as_json: Annotated[
        bool, typer.Option("--json", help="The closing report as one JSON object.")
    ] = False,
    seed: Annotated[int, typer.Option(help="Same seed, same run.")] = 1,
    days: Annotated[int, typer.Option(min=1, max=365, help="Simulated days.")] = 60,
    accounts: Annotated[int, typer.Option(min=45, help="Billing accounts.")] = 100,
    workers: Annotated[int, typer.Option(min=1, max=4, help="Worker processes.")] = 1,
    company: Annotated[
        Path,
        typer.Option(
            help="Company folder.", exists=True, file_okay=False, show_default="examples/acme"
        ),
    ] = _COMPANY,
    data_dir: Annotated[
        Path | None, typer.Option(help="The run's folder is `demo` inside it, emptied at start.")
    ] = None,
    export: Annotated[
        Path | None, typer.Option(help="Folder for webhooks, customers, manifest and report.")
    ] = None,
    bootstrap_servers: Annotated[
        str | None, typer.Option(help="Use this Kafka, without streamsync's topics yet.")
    ] = None,
    schema_registry_url: Annotated[
        str | None, typer.Option(help="The registry that goes with --bootstrap-servers.")
    ] = None,
    kafka_port: Annotated[int | None, typer.Option(help="Port of Kafka.")] = None,
    registry_port: Annotated[int | None, typer.Option(help="Port of the registry.")] = None,
    ingress_port: Annotated[int | None, typer.Option(help="Port of the ingress.")] = None,
    worker_web_port: Annotated[
        int | None, typer.Option(help="Web port of the first worker; others follow it.")
    ] = None,
    erp_port: Annotated[int | None, typer.Option(help="Port of the simulated ERP.")] = None,
    adapter_port: Annotated[int | None, typer.Option(help="Port of the adapter.")] = None,
) -> None:
    """Play sixty days of a small company through the whole path, and show what became of them.

    Example: streamsync demo --once
    """
    ports = {
        "kafka_port": kafka_port,
        "registry_port": registry_port,
        "ingress_port": ingress_port,
        "worker_web_port": worker_web_port,
        "erp_port": erp_port,
        "adapter_port": adapter_port,
    }
    from streamsync.demo.options import DemoOptions  # noqa: PLC0415

    settings = _settings(data_dir, {name: port for name, port in ports.items() if port})
    existing = _existing(bootstrap_servers, schema_registry_url)
    settings = settings.model_copy(update=existing)
    options = DemoOptions(
        settings=settings,
        company_dir=company.resolve(),
        seed=seed,
        days=days,
        accounts=accounts,
        workers=workers,
        once=once,
        as_json=as_json,
        export_dir=export,
        own_broker=not existing,
    )
    raise typer.Exit(_run(options))


def _existing(bootstrap_servers: str | None, schema_registry_url: str | None) -> dict[str, str]:
    if bootstrap_servers is None and schema_registry_url is None:
        _refuse_credentials()
        return {}
    if bootstrap_servers is None or schema_registry_url is None:
        raise typer.BadParameter("give --bootstrap-servers and --schema-registry-url together")
    return {"bootstrap_servers": bootstrap_servers, "schema_registry_url": schema_registry_url}


def _refuse_credentials() -> None:
    """The demo's own broker is plain and on loopback: settings for another one are a mistake."""
    from streamsync.config import Settings  # noqa: PLC0415

    if Settings().security_protocol != "PLAINTEXT":
        raise typer.BadParameter(
            "STREAMSYNC_SECURITY_PROTOCOL is set, but the demo's own broker has no encryption: "
            "unset it, or give --bootstrap-servers and --schema-registry-url"
        )


def _settings(data_dir: Path | None, ports: dict[str, int]) -> Settings:
    from streamsync.config import Settings  # noqa: PLC0415
    from streamsync.embedded.apicurio import API  # noqa: PLC0415

    known = Settings()
    chosen = Settings.model_validate(known.model_dump() | ports)
    folder = (data_dir or chosen.data_dir).resolve() / "demo"
    addresses = {
        "data_dir": folder,
        "bootstrap_servers": f"127.0.0.1:{chosen.kafka_port}",
        "schema_registry_url": f"http://127.0.0.1:{chosen.registry_port}{API}",
        "clock": "external",
    }
    return Settings.model_validate(chosen.model_dump() | addresses)


def _run(options: DemoOptions) -> int:
    from streamsync.demo.options import DemoError  # noqa: PLC0415
    from streamsync.demo.run import run  # noqa: PLC0415
    from streamsync.embedded import PlatformProblem  # noqa: PLC0415
    from streamsync.governance import CompanyErrors  # noqa: PLC0415

    logging.basicConfig(
        level=logging.WARNING, format="%(asctime)s %(levelname)s %(name)s: %(message)s"
    )
    try:
        return run(options)
    except (CompanyErrors, DemoError, PlatformProblem) as error:
        print(error, file=sys.stderr)
        return 1
