"""One Kafka broker in KRaft mode, broker and controller in one JVM.

Problem: a broker for one machine should start in seconds, use little memory, and still behave like
a cluster that somebody runs: declared topics only, transactions, compaction. How: its settings are
written at each start; the data folder is formatted once.
"""

from __future__ import annotations

import base64
import subprocess
import uuid
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path

from confluent_kafka import KafkaException
from confluent_kafka.admin import AdminClient

from streamsync.embedded.problems import PlatformProblem
from streamsync.embedded.server import Server, free_port, last_error, listening

# Quick to start and small: one collector thread, and no compiler that takes long.
_JVM = ("-XX:+UseSerialGC", "-XX:TieredStopAtLevel=1", "-Xshare:auto", "-Xms96m")
_SETTINGS = {
    "process.roles": "broker,controller",
    "node.id": "1",
    "controller.listener.names": "CONTROLLER",
    "inter.broker.listener.name": "PLAINTEXT",
    "listener.security.protocol.map": "PLAINTEXT:PLAINTEXT,CONTROLLER:PLAINTEXT",
    # A mistyped topic must be an error, not a new topic.
    "auto.create.topics.enable": "false",
    "offsets.topic.replication.factor": "1",
    "offsets.topic.num.partitions": "8",
    "transaction.state.log.replication.factor": "1",
    "transaction.state.log.min.isr": "1",
    "transaction.state.log.num.partitions": "8",
    "share.coordinator.state.topic.replication.factor": "1",
    "share.coordinator.state.topic.min.isr": "1",
    "group.initial.rebalance.delay.ms": "0",
    # A quarter of the default heap would go to the cleaner otherwise.
    "log.cleaner.dedupe.buffer.size": "16777216",
    "transaction.abort.timed.out.transaction.cleanup.interval.ms": "1000",
    # A broker that was killed may come back only when its old session has ended: 9 s otherwise.
    "broker.session.timeout.ms": "3000",
    "broker.heartbeat.interval.ms": "500",
    "num.network.threads": "2",
    "num.io.threads": "4",
}

_SECURED = "SECURED"


@dataclass(frozen=True)
class SecuredListener:
    """A second door with encryption or credentials, beside the plain one on loopback.

    `settings` are the broker's own: key store, SASL mechanisms, users.
    """

    port: int
    protocol: str
    settings: Mapping[str, str] = field(repr=False)


def kafka_server(
    java: Path,
    jars: Path,
    folder: Path,
    port: int,
    heap_mb: int = 512,
    secured: SecuredListener | None = None,
) -> Server:
    """The broker on `port` of the loopback address, with its data in `folder`."""
    jvm: list[str | Path] = [java, *_JVM, f"-Xmx{heap_mb}m"]
    classes = ["-Dorg.slf4j.simpleLogger.defaultLogLevel=warn", "-cp", f"{jars}/kafka/*"]

    def command() -> list[str | Path]:
        settings = folder / "server.properties"
        settings.write_text(_properties(folder, port, secured), encoding="utf-8")
        if not (folder / "log" / "meta.properties").exists():
            _format([*jvm, *classes], settings)
        return [*jvm, *classes, "kafka.Kafka", settings]

    return Server("kafka", folder=folder, command=command, answers=_answers(port))


def _properties(folder: Path, port: int, secured: SecuredListener | None) -> str:
    # Nobody but the broker itself talks to its controller: any free port does.
    controller = f"127.0.0.1:{free_port()}"
    settings = _SETTINGS | {
        "listeners": f"PLAINTEXT://127.0.0.1:{port},CONTROLLER://{controller}",
        "advertised.listeners": f"PLAINTEXT://127.0.0.1:{port}",
        "controller.quorum.voters": f"1@{controller}",
        "log.dirs": str(folder / "log"),
    }
    if secured is not None:
        settings = _with_listener(settings, secured)
    return "".join(f"{name}={value}\n" for name, value in settings.items())


def _with_listener(settings: Mapping[str, str], secured: SecuredListener) -> dict[str, str]:
    listener = f"{_SECURED}://127.0.0.1:{secured.port}"
    protocols = "listener.security.protocol.map"
    added = {
        "listeners": f"{settings['listeners']},{listener}",
        "advertised.listeners": f"{settings['advertised.listeners']},{listener}",
        protocols: f"{settings[protocols]},{_SECURED}:{secured.protocol}",
    }
    return {**settings, **added, **secured.settings}


def _format(java: list[str | Path], settings: Path) -> None:
    cluster = base64.urlsafe_b64encode(uuid.uuid4().bytes).decode().rstrip("=")
    command = [*java, "kafka.tools.StorageTool", "format", "--ignore-formatted"]
    done = subprocess.run(  # noqa: S603 - made by us
        # An id may begin with a dash: only this form keeps it from being read as an option.
        [*command, f"--cluster-id={cluster}", f"--config={settings}"],
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        check=False,
    )
    if done.returncode:
        why = last_error(f"{done.stdout}\n{done.stderr}")
        raise PlatformProblem(
            f"Kafka's data folder {settings.parent} could not be formatted ({why}): "
            "choose another with --data-dir, or delete it if it holds nothing of yours."
        )


def _answers(port: int) -> Callable[[], bool]:
    def ask() -> bool:
        # The client would log every refused connection, so look first.
        if not listening(port):
            return False
        client = AdminClient({"bootstrap.servers": f"127.0.0.1:{port}", "log_level": 0})
        try:
            return bool(client.list_topics(timeout=1).brokers)
        except KafkaException:
            return False

    return ask
