"""The `broker` command: Kafka and the registry until a signal.

Problem: workers, ingress and adapters are started by hand in several terminals, and all need the
same broker. How: both servers run as children of this process, their data stays in the data folder,
and SIGINT or SIGTERM ends them in good order.
"""

from __future__ import annotations

import signal
import threading
from pathlib import Path
from typing import Annotated

import typer


def register(app: typer.Typer) -> None:
    """Add this package's command."""
    app.command()(broker)


def broker(
    data_dir: Annotated[Path | None, typer.Option(help="Folder that keeps the data.")] = None,
    kafka_port: Annotated[int | None, typer.Option(help="Port of Kafka.")] = None,
    registry_port: Annotated[int | None, typer.Option(help="Port of the registry.")] = None,
) -> None:
    """Start Apache Kafka and a schema registry on loopback, until Ctrl-C.

    Example: streamsync broker --data-dir data --kafka-port 19092
    """
    from streamsync.config import Settings  # noqa: PLC0415
    from streamsync.embedded.platform import EmbeddedPlatform  # noqa: PLC0415
    from streamsync.embedded.problems import PlatformProblem  # noqa: PLC0415

    settings = Settings()
    ended = threading.Event()
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, lambda _number, _frame: ended.set())
    platform = EmbeddedPlatform(
        data_dir or settings.data_dir,
        kafka_port=kafka_port or settings.kafka_port,
        registry_port=registry_port or settings.registry_port,
        say=typer.echo,
    )
    try:
        platform.start()
    except PlatformProblem as problem:
        typer.echo(str(problem), err=True)
        raise typer.Exit(1) from problem
    typer.echo(f"Kafka on {platform.bootstrap_servers}, registry on {platform.schema_registry_url}")
    died = None
    while died is None and not ended.wait(1.0):
        died = next((server for server in platform.servers if not server.alive), None)
    platform.stop()
    if died is not None:
        typer.echo(f"{died.name} ended by itself; its log: {died.log_path}", err=True)
        raise typer.Exit(1)
