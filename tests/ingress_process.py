"""The ingress as a real process, for tests that need one."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from confluent_kafka import Consumer, TopicPartition
from confluent_kafka.admin import AdminClient

from streamsync.core.records import RawWebhook
from streamsync.embedded.server import free_port
from topology.topics import BILLING_WEBHOOKS

SECRET = "whsec_test_0123456789abcdef"
READY_S = 60
STREAMSYNC = [sys.executable, "-m", "streamsync"]


def partitions_of(broker: str) -> int:
    """Partitions of the shared topic, if another test made it already; else 8."""
    found = AdminClient({"bootstrap.servers": broker}).list_topics(timeout=10).topics
    return len(found[BILLING_WEBHOOKS].partitions) if BILLING_WEBHOOKS in found else 8


@dataclass
class IngressProcess:
    """A started ingress; `tenant` keeps tests on one topic apart."""

    url: str
    environment: dict[str, str]
    log: Path
    child: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        command = [*STREAMSYNC, "ingress"]
        with self.log.open("ab") as log:
            self.child = subprocess.Popen(
                command, env=os.environ | self.environment, stdout=log, stderr=log
            )

    def wait_ready(self) -> None:
        end = time.monotonic() + READY_S
        while time.monotonic() < end:
            assert self.child is not None and self.child.poll() is None, self.log.read_text()
            if self.get("/health/ready")[0] == 200:
                return
            time.sleep(0.1)
        raise AssertionError(f"not ready within {READY_S} s: {self.log.read_text()}")

    def get(self, path: str) -> tuple[int, str]:
        try:
            with urllib.request.urlopen(self.url + path, timeout=5) as answer:  # noqa: S310
                return answer.status, answer.read().decode()
        except urllib.error.HTTPError as error:
            return error.code, error.read().decode()
        except OSError:
            return 0, ""

    def stop(self, number: signal.Signals = signal.SIGTERM) -> int:
        assert self.child is not None
        self.child.send_signal(number)
        status = self.child.wait(40)
        self.child = None
        return status


@contextmanager
def ingress_process(
    broker: str, registry: str, tenant: str, folder: Path
) -> Iterator[IngressProcess]:
    port = free_port()
    environment = {
        "STREAMSYNC_STRIPE_SECRET": SECRET,
        "STREAMSYNC_INGRESS_PORT": str(port),
        "STREAMSYNC_BOOTSTRAP_SERVERS": broker,
        "STREAMSYNC_SCHEMA_REGISTRY_URL": registry,
        "STREAMSYNC_TENANT": tenant,
        "STREAMSYNC_PARTITIONS": str(partitions_of(broker)),
    }
    process = IngressProcess(f"http://127.0.0.1:{port}", environment, folder / "ingress.log")
    process.start()
    try:
        process.wait_ready()
        yield process
    finally:
        if process.child is not None:
            process.stop(signal.SIGKILL)


def stored(broker: str, decode: object, tenant: str) -> list[tuple[int, str, RawWebhook]]:
    """Everything of one tenant on the topic: partition, key, record."""
    assert callable(decode)
    consumer = Consumer({"bootstrap.servers": broker, "group.id": f"test-{tenant}"})
    found: list[tuple[int, str, RawWebhook]] = []
    try:
        partitions = consumer.list_topics(BILLING_WEBHOOKS, timeout=10).topics[BILLING_WEBHOOKS]
        left = 0
        places = []
        for partition in partitions.partitions:
            place = TopicPartition(BILLING_WEBHOOKS, partition)
            low, high = consumer.get_watermark_offsets(place, timeout=10)
            left += high - low
            places.append(TopicPartition(BILLING_WEBHOOKS, partition, low))
        consumer.assign(places)
        # The topic is not transactional: every offset holds one record.
        for _ in range(left):
            message = consumer.poll(20)
            assert message is not None and message.error() is None, message
            record = decode(message.value())
            if record.tenant == tenant:
                key = (message.key() or b"").decode()
                found.append((message.partition() or 0, key, record))
    finally:
        consumer.close()
    return found
