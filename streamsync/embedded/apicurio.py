"""Apicurio Registry, with its schemas in a file.

Problem: schema ids are inside every record on the topics, so they must survive what the topics
survive. How: the registry keeps them in an H2 file beside the broker's data, written through at
each commit; its Confluent-compatible interface is under `/apis/ccompat/v7`.
"""

from __future__ import annotations

import http.client
from collections.abc import Callable
from pathlib import Path

from streamsync.embedded.server import Server, listening

API = "/apis/ccompat/v7"
_JVM = ("-XX:+UseSerialGC", "-XX:TieredStopAtLevel=1", "-Xshare:auto", "-Xms64m")


def apicurio_server(java: Path, jars: Path, folder: Path, port: int, heap_mb: int = 256) -> Server:
    """The registry on `port` of the loopback address, with its data in `folder`."""
    settings = {
        "quarkus.http.host": "127.0.0.1",
        "quarkus.http.port": port,
        "quarkus.http.access-log.enabled": "false",
        "quarkus.log.level": "WARN",
        "quarkus.banner.enabled": "false",
        "apicurio.storage.kind": "sql",
        "apicurio.storage.sql.kind": "h2",
        # WRITE_DELAY=0: an id that was given out must not be lost when the process is killed.
        "apicurio.datasource.url": f"jdbc:h2:file:{folder / 'schemas'};WRITE_DELAY=0",
        # No network reaches this database: the process that opens the file is its only user.
        "apicurio.datasource.username": "sa",
        "apicurio.datasource.password": "sa",
    }

    def command() -> list[str | Path]:
        options = [f"-D{name}={value}" for name, value in settings.items()]
        (archive,) = (jars / "registry").glob("apicurio-registry-app-*-runner.jar")
        return [java, *_JVM, f"-Xmx{heap_mb}m", *options, "-jar", archive]

    return Server("registry", folder=folder, command=command, answers=_answers(port))


def _answers(port: int) -> Callable[[], bool]:
    def ask() -> bool:
        if not listening(port):
            return False
        connection = http.client.HTTPConnection("127.0.0.1", port, timeout=2)
        try:
            connection.request("GET", f"{API}/subjects")
            return connection.getresponse().status == http.HTTPStatus.OK
        except (OSError, http.client.HTTPException):
            return False
        finally:
            connection.close()

    return ask
