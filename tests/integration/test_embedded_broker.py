"""`streamsync broker` as its user meets it: started, stopped, killed, and started again."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from confluent_kafka import Consumer, Producer
from confluent_kafka.admin import AdminClient
from confluent_kafka.cimpl import NewTopic

from streamsync.contracts import SchemaRegistry
from streamsync.contracts.schemas import load_schemas
from streamsync.embedded import EmbeddedPlatform
from streamsync.embedded.apicurio import API
from streamsync.embedded.server import free_port, listening, start_time

READY_S = 90.0


class Command:
    """One `streamsync broker` process on a data folder."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.kafka_port, self.registry_port = free_port(), free_port()
        self.process: subprocess.Popen[bytes] | None = None
        self.said = ""

    def start(self) -> None:
        command = [
            sys.executable, "-m", "streamsync", "broker", f"--data-dir={self.folder}",
            f"--kafka-port={self.kafka_port}", f"--registry-port={self.registry_port}",
        ]  # fmt: skip
        log = self.folder.with_suffix(".log")
        with log.open("w") as output:
            self.process = subprocess.Popen(command, stdout=output, stderr=subprocess.STDOUT)
        end = time.monotonic() + READY_S
        while "registry on" not in log.read_text():
            assert self.process.poll() is None, log.read_text()
            assert time.monotonic() < end, log.read_text()
            time.sleep(0.1)
        self.said = log.read_text()

    def end(self, number: signal.Signals) -> int:
        assert self.process is not None
        self.process.send_signal(number)
        return self.process.wait(60)

    @property
    def bootstrap_servers(self) -> str:
        return f"127.0.0.1:{self.kafka_port}"

    @property
    def registry_url(self) -> str:
        return f"http://127.0.0.1:{self.registry_port}{API}"

    def children(self) -> dict[int, str | None]:
        """Pids of the recorded servers, each with its start time."""
        pids = [int(one.read_text().split('"pid": ')[1].split(",")[0])
                for one in self.folder.glob("broker/*/*.pid")]  # fmt: skip
        return {pid: start_time(pid) for pid in pids}


@pytest.fixture
def command(tmp_path: Path) -> Iterator[Command]:
    started = Command(tmp_path / "data")
    yield started
    if started.process is not None and started.process.poll() is None:
        started.end(signal.SIGTERM)
    for pid, began in started.children().items():
        if began is not None:
            os.kill(pid, signal.SIGKILL)


def write(servers: str, value: bytes) -> None:
    producer = Producer({"bootstrap.servers": servers, "acks": "all"})
    producer.produce("kept", value=value)
    assert producer.flush(30) == 0


def read_all(servers: str, count: int) -> list[bytes]:
    consumer = Consumer(
        {"bootstrap.servers": servers, "group.id": f"read-{count}", "auto.offset.reset": "earliest"}
    )
    consumer.subscribe(["kept"])
    found: list[bytes] = []
    end = time.monotonic() + READY_S
    while len(found) < count and time.monotonic() < end:
        message = consumer.poll(1)
        if message is not None and message.error() is None:
            found.append(message.value() or b"")
    consumer.close()
    return found


def test_data_and_schema_ids_survive_a_stop_and_a_kill_and_no_server_is_left_over(
    command: Command,
) -> None:
    command.start()
    assert f"Kafka on {command.bootstrap_servers}" in command.said
    admin = AdminClient({"bootstrap.servers": command.bootstrap_servers})
    admin.create_topics([NewTopic("kept", 1, 1)])["kept"].result(30)
    write(command.bootstrap_servers, b"one")
    schemas = load_schemas()
    first = SchemaRegistry(command.registry_url)
    ids = {name: first.register(name, schemas[name]) for name in ("Tick", "Totals")}
    stopped = command.children()
    assert len(stopped) == 2
    # A signal ends it in good order: exit status 0, both servers gone, both ports free.
    assert command.end(signal.SIGTERM) == 0
    assert [start_time(pid) for pid in stopped] == [None, None]
    assert not listening(command.kafka_port)
    assert not listening(command.registry_port)

    command.start()
    write(command.bootstrap_servers, b"two")
    ids["Customer"] = SchemaRegistry(command.registry_url).register("Customer", schemas["Customer"])
    # Killed at once after the last id was given out: the servers live on as orphans.
    orphans = command.children()
    assert command.end(signal.SIGKILL) == -signal.SIGKILL
    assert all(start_time(pid) == began for pid, began in orphans.items())

    command.start()
    assert not set(orphans) & set(command.children())
    assert [start_time(pid) for pid in orphans] == [None, None]
    assert read_all(command.bootstrap_servers, 2) == [b"one", b"two"]
    again = SchemaRegistry(command.registry_url)
    assert {name: again.register(name, schemas[name]) for name in ids} == ids
    assert command.end(signal.SIGINT) == 0


def test_schema_ids_survive_a_kill_of_the_registry_itself_and_the_broker_comes_back(
    tmp_path: Path,
) -> None:
    with EmbeddedPlatform(tmp_path) as platform:
        schema = load_schemas()["Tick"]
        given = SchemaRegistry(platform.schema_registry_url).register("Tick", schema)
        platform.registry.kill()
        platform.kafka.kill()
        platform.registry.restart()
        platform.kafka.restart()
        assert list(SchemaRegistry(platform.schema_registry_url).versions("Tick")) == [given]
        admin = AdminClient({"bootstrap.servers": platform.bootstrap_servers})
        assert len(admin.list_topics(timeout=10).brokers) == 1


def test_a_second_command_on_a_port_in_use_is_told_the_option(
    command: Command, platform: EmbeddedPlatform
) -> None:
    told = subprocess.run(
        [sys.executable, "-m", "streamsync", "broker", f"--data-dir={command.folder}",
         f"--kafka-port={platform.kafka_port}"],
        capture_output=True, text=True, check=False, timeout=60,
    )  # fmt: skip
    assert told.returncode == 1
    assert told.stderr.count("\n") == 1
    assert f"Port {platform.kafka_port}, meant for Kafka, is in use" in told.stderr
    assert "--kafka-port" in told.stderr
    assert "STREAMSYNC_KAFKA_PORT" in told.stderr
