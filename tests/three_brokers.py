"""Three brokers of one cluster on loopback, each replica everywhere, to kill one at a time.

The embedded platform is one broker on purpose; a production cluster is not. Each of these is
broker and controller, so that any two of them go on: topics, transactions and offsets have three
replicas, of which two must have a record before it counts.
"""

from __future__ import annotations

import base64
import subprocess
import uuid
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path

from streamsync.embedded import kafka
from streamsync.embedded.jars import ensure_jars
from streamsync.embedded.prerequisites import find_java
from streamsync.embedded.server import Server, free_port

_REPLICATED = {
    "default.replication.factor": "3",
    "min.insync.replicas": "2",
    "offsets.topic.replication.factor": "3",
    "transaction.state.log.replication.factor": "3",
    "transaction.state.log.min.isr": "2",
    # A killed broker's partitions move at once, and back to it when it has caught up.
    "leader.imbalance.check.interval.seconds": "5",
}


@dataclass(frozen=True)
class ThreeBrokers:
    """The cluster while it runs."""

    servers: Sequence[Server]
    bootstrap_servers: str


@contextmanager
def three_brokers(folder: Path) -> Iterator[ThreeBrokers]:
    """Start all, wait until each answers, and end all."""
    java, ports, controllers = find_java(), [], []
    jars = ensure_jars(java, lambda _line: None)
    for _ in range(3):
        ports.append(free_port())
        controllers.append(free_port())
    voters = ",".join(f"{n}@127.0.0.1:{port}" for n, port in enumerate(controllers, 1))
    cluster = base64.urlsafe_b64encode(uuid.uuid4().bytes).decode().rstrip("=")

    def server(number: int) -> Server:
        home, port, controller = folder / str(number), ports[number - 1], controllers[number - 1]
        jvm: list[str | Path] = [java, *kafka._JVM, "-Xmx384m"]
        jvm += ["-Dorg.slf4j.simpleLogger.defaultLogLevel=warn", "-cp", f"{jars}/kafka/*"]
        settings = {
            **kafka._SETTINGS, **_REPLICATED,
            "node.id": str(number),
            "listeners": f"PLAINTEXT://127.0.0.1:{port},CONTROLLER://127.0.0.1:{controller}",
            "advertised.listeners": f"PLAINTEXT://127.0.0.1:{port}",
            "controller.quorum.voters": voters,
            "log.dirs": str(home / "log"),
        }  # fmt: skip

        def command() -> list[str | Path]:
            path = home / "server.properties"
            path.write_text("".join(f"{name}={value}\n" for name, value in settings.items()))
            if not (home / "log" / "meta.properties").exists():
                format_it = ["kafka.tools.StorageTool", "format", f"--cluster-id={cluster}"]
                subprocess.run([*jvm, *format_it, f"--config={path}"], check=True)
            return [*jvm, "kafka.Kafka", path]

        return Server(f"kafka-{number}", folder=home, command=command, answers=kafka._answers(port))

    with ExitStack() as stack:
        servers = [server(number) for number in (1, 2, 3)]
        for one in servers:
            stack.callback(one.stop)
            one.launch()
        for one in servers:
            one.wait_ready()
        yield ThreeBrokers(servers, ",".join(f"127.0.0.1:{port}" for port in ports))
