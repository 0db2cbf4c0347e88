"""Kafka and the registry together, on one data folder.

Problem: both are needed before anything else can start, both take seconds, and two starts on one
folder would ruin it. How: a lock on the folder (which a killed process loses by itself), ports
looked at before, both JVMs launched side by side, and all stopped again if one does not come up.
"""

from __future__ import annotations

import fcntl
import os
from collections.abc import Callable
from pathlib import Path
from types import TracebackType
from typing import Self

from streamsync.embedded.apicurio import API, apicurio_server
from streamsync.embedded.jars import ensure_jars
from streamsync.embedded.kafka import SecuredListener, kafka_server
from streamsync.embedded.prerequisites import find_java
from streamsync.embedded.problems import PlatformProblem
from streamsync.embedded.server import Server, free_port, require_free


class EmbeddedPlatform:
    """A broker and a registry on loopback; a context manager, or `start` and `stop`.

    A port of 0 is a free one; `registry_port=None` starts no registry. `secured` opens a second
    door to the broker, with encryption or credentials.
    """

    def __init__(
        self,
        data_dir: Path,
        *,
        kafka_port: int = 0,
        registry_port: int | None = 0,
        secured: SecuredListener | None = None,
        say: Callable[[str], None] = lambda line: None,
    ) -> None:
        self._folder = Path(data_dir).resolve() / "broker"
        self.kafka_port = kafka_port or free_port()
        self.registry_port = free_port() if registry_port == 0 else registry_port
        self._secured = secured
        self._say = say
        self._lock: int | None = None
        self._kafka: Server | None = None
        self._registry: Server | None = None

    @property
    def bootstrap_servers(self) -> str:
        """Address of the broker."""
        return f"127.0.0.1:{self.kafka_port}"

    @property
    def schema_registry_url(self) -> str:
        """Address of the registry's Confluent-compatible interface."""
        return f"http://127.0.0.1:{self.registry_port}{API}"

    @property
    def kafka(self) -> Server:
        """The broker's process."""
        return _started(self._kafka)

    @property
    def registry(self) -> Server:
        """The registry's process."""
        return _started(self._registry)

    @property
    def servers(self) -> tuple[Server, ...]:
        """What was started."""
        return tuple(server for server in (self._kafka, self._registry) if server is not None)

    def start(self) -> Self:
        """Start both and wait until both answer."""
        java = find_java()
        jars = ensure_jars(java, self._say)
        self._take_lock()
        try:
            self._kafka = kafka_server(
                java, jars, self._folder / "kafka", self.kafka_port, secured=self._secured
            )
            if self.registry_port is not None:
                self._registry = apicurio_server(
                    java, jars, self._folder / "registry", self.registry_port
                )
            for server in self.servers:
                server.end_leftover()
            require_free(self.kafka_port, "Kafka", "--kafka-port")
            if self.registry_port is not None:
                require_free(self.registry_port, "the schema registry", "--registry-port")
            # The registry first: it starts while the broker's folder is formatted.
            for server in reversed(self.servers):
                server.launch()
            for server in self.servers:
                server.wait_ready()
        except BaseException:
            self.stop()
            raise
        return self

    def stop(self) -> None:
        """Stop both, side by side, and let go of the data folder."""
        for server in self.servers:
            server.ask_to_stop()
        for server in self.servers:
            server.stop()
        if self._lock is not None:
            os.close(self._lock)
            self._lock = None

    def __enter__(self) -> Self:
        return self.start()

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.stop()

    def _take_lock(self) -> None:
        self._folder.mkdir(parents=True, exist_ok=True)
        self._lock = os.open(self._folder / "lock", os.O_RDWR | os.O_CREAT, 0o600)
        try:
            fcntl.flock(self._lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError as error:
            os.close(self._lock)
            self._lock = None
            raise PlatformProblem(
                f"Another broker runs on the data folder {self._folder.parent}: stop it, or choose "
                "another folder with --data-dir."
            ) from error


def _started(server: Server | None) -> Server:
    if server is None:
        raise PlatformProblem("The embedded servers are not started: call start() first.")
    return server
