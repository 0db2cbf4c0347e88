"""Runs the toy topology on a real broker and checks what it left behind.

`check` trusts nothing of the engine: it reads topics with a plain consumer and databases with
rocksdict, and holds them against `expected`, a dictionary filled from the input topic.
"""

from __future__ import annotations

import json
import os
import random
import signal
import subprocess
import sys
import time
import traceback
import urllib.error
import urllib.request
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import msgspec
import rocksdict
from confluent_kafka import Consumer, KafkaError, Producer, TopicPartition

from streamsync.embedded.server import free_port
from streamsync.engine.cluster import Catalog, Cluster
from streamsync.engine.partitioner import account_partition
from tests.engine_toy import expected, toy

TESTS = Path(__file__).parent
MARKER = b"\0position"
READY_S = 120.0


@dataclass
class Worker:
    """One worker process."""

    prefix: str
    broker: str
    data_dir: Path
    web_port: int
    partitions: int = 4
    kill_at: str | None = None
    row_version: int = 1
    stock: bool = True
    clock_jumps: bool = False
    process: subprocess.Popen[bytes] = field(init=False)

    def __post_init__(self) -> None:
        self.data_dir.mkdir(parents=True, exist_ok=True)
        with self.log_path.open("ab") as log:
            self.process = subprocess.Popen(
                self.command(), stdout=log, stderr=log, env=self.environment()
            )

    def command(self) -> list[str]:
        command = [
            sys.executable, str(TESTS / "engine_toy.py"), "--prefix", self.prefix,
            "--bootstrap-servers", self.broker, "--data-dir", str(self.data_dir),
            "--web-port", str(self.web_port), "--partitions", str(self.partitions),
        ]  # fmt: skip
        if self.kill_at:
            command += ["--kill-at", self.kill_at]
        if not self.stock:
            command.append("--without-stock")
        if self.clock_jumps:
            command.append("--clock-jumps")
        return command

    def environment(self) -> dict[str, str]:
        return {
            **os.environ,
            "PYTHONPATH": f"{TESTS.parent}:{TESTS}",
            "TOY_ROW_VERSION": str(self.row_version),
        }

    @property
    def log_path(self) -> Path:
        return self.data_dir.with_suffix(f".{self.web_port}.log")

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.web_port}"

    def log(self) -> str:
        return self.log_path.read_text(errors="replace")

    def text(self, path: str) -> str:
        with urllib.request.urlopen(self.url + path, timeout=10) as answer:  # noqa: S310
            return str(answer.read().decode())

    def get(self, path: str) -> tuple[int, Any]:
        try:
            with urllib.request.urlopen(self.url + path, timeout=10) as answer:  # noqa: S310
                return answer.status, json.load(answer)
        except urllib.error.HTTPError as error:
            body = error.read()
            return error.code, json.loads(body) if body.startswith(b"{") else body.decode()
        except (OSError, ValueError):
            return 0, None

    def active(self) -> set[tuple[str, int]]:
        _, body = self.get("/v1/partitions")
        rows = body["partitions"] if isinstance(body, dict) else []
        return {
            (row["lane"], row["partition"])
            for row in rows
            if row["owner"] == self.url and row["state"] == "active"
        }

    def wait_ready(self, count: int = 1) -> None:
        """Until this worker works on at least `count` partitions of lanes."""
        wait_until(
            lambda: len(self.active()) >= count, READY_S, lambda: self.log()[-4_000:], self.process
        )

    def stop(self, *, how: signal.Signals = signal.SIGTERM) -> int:
        if self.process.poll() is None:
            self.process.send_signal(how)
        try:
            return self.process.wait(40)
        except subprocess.TimeoutExpired as still:
            self.process.kill()
            self.process.wait()
            raise AssertionError(f"{still}:\n{self.log()[-3_000:]}") from still


def wait_until(
    done: Callable[[], bool],
    timeout_s: float,
    explain: Callable[[], str],
    process: subprocess.Popen[bytes] | None = None,
) -> None:
    end = time.monotonic() + timeout_s
    while not done():
        if process is not None and process.poll() is not None:
            raise AssertionError(f"the worker ended with {process.returncode}:\n{explain()}")
        if time.monotonic() > end:
            raise AssertionError(f"not within {timeout_s} s:\n{explain()}")
        time.sleep(0.25)


def side_by_side(scenarios: Mapping[str, Callable[[], None]], at_once: int) -> dict[str, str]:
    """Play scenarios in threads; each gives its traceback, or nothing.

    Most of their time is waiting: for sessions to end, brokers to start, processes to import.
    """

    def play(scenario: Callable[[], None]) -> str:
        try:
            scenario()
        except Exception:
            return traceback.format_exc()
        return ""

    with ThreadPoolExecutor(at_once) as pool:
        return dict(zip(scenarios, pool.map(play, scenarios.values()), strict=True))


class Run:
    """One app on the broker: its inputs, and the check of what came of them."""

    def __init__(
        self, broker: str, name: str, folder: Path, partitions: int = 4, seed: int | None = None
    ) -> None:
        if seed is None:
            seed = int(os.environ.get("ENGINE_SEED", time.time_ns() % 1_000_000))
        print(f"{name}: ENGINE_SEED={seed}")
        self.prefix = prefix = f"{name}-{seed}"
        self.broker, self.folder, self.partitions = broker, folder, partitions
        self.worker_servers = broker
        self.stock = True
        """Whether workers have a stock agent and table, which Faust ends them over a full disk."""
        self._workers: list[Worker] = []
        topology = toy(prefix, partitions)
        catalog = Catalog(Cluster(broker), topology)
        catalog.declare(topology.topics)
        self.random = random.Random(seed)
        self._producer = Producer({"bootstrap.servers": broker, "linger.ms": 1, "log_level": 0})

    def __enter__(self) -> Run:
        return self

    def __exit__(self, *_: object) -> None:
        for worker in self._workers:
            if worker.process.poll() is None:
                worker.process.kill()
                worker.process.wait()

    def worker(self, name: str, kill_at: str | None = None, row_version: int = 1) -> Worker:
        worker = Worker(
            self.prefix, self.worker_servers, self.folder / f"{self.prefix}-{name}", free_port(),
            self.partitions, kill_at, row_version, self.stock,
        )  # fmt: skip
        return self.add(worker)

    def add(self, worker: Worker) -> Worker:
        """End this worker with the run."""
        self._workers.append(worker)
        return worker

    def feed(self, count: int, *, poison: int = 0) -> None:
        topic = f"{self.prefix}.numbers"
        values = [b"%d" % self.random.randrange(1_000) for _ in range(count)] + [b"bad"] * poison
        for value in values:
            key = b"account-%d" % self.random.randrange(20)
            self._producer.produce(
                topic, value, key, partition=account_partition(key, self.partitions)
            )
        assert self._producer.flush(60) == 0

    def order(self, number: int) -> None:
        self.produce("orders", 0, None, [b"%d" % number])

    def produce(
        self, name: str, partition: int, key: bytes | None, values: Sequence[bytes | None]
    ) -> None:
        """Write records as they are, valid or not."""
        for value in values:
            self._producer.produce(f"{self.prefix}.{name}", value, key, partition=partition)
        assert self._producer.flush(60) == 0

    def read(self, topic: str) -> list[tuple[int, int, bytes | None, bytes | None]]:
        """All committed records: partition, offset, key, value."""
        consumer = Consumer(
            {
                "bootstrap.servers": self.broker, "group.id": "check",
                "enable.auto.commit": False, "isolation.level": "read_committed",
                "auto.offset.reset": "earliest", "enable.partition.eof": True,
            }
        )  # fmt: skip
        try:
            found = consumer.list_topics(topic, 20).topics[topic]
            left = set(found.partitions) if found.error is None else set()
            consumer.assign([TopicPartition(topic, partition, 0) for partition in left])
            records: list[Any] = []
            while left:
                for message in consumer.consume(5_000, 1.0):
                    error = message.error()
                    if error is None:
                        records.append(
                            (message.partition(), message.offset(), message.key(), message.value())
                        )
                    elif error.code() == KafkaError._PARTITION_EOF:
                        left.discard(message.partition())
            return sorted(records)
        finally:
            consumer.close()

    # -- the check

    def wanted_sums(self) -> Counter[tuple[bytes, bytes]]:
        """Kind and origin of every sum that must have been written, each once."""
        wanted: Counter[tuple[bytes, bytes]] = Counter()
        for partition, offset, _, value in self.read(f"{self.prefix}.numbers"):
            if not value or not value.isdigit():
                continue
            origin = f"{self.prefix}.numbers-{partition}-{offset}".encode()
            wanted[b"number", origin] += 1
            if int(value) % 3 == 0:
                wanted[b"neighbour", origin] += 1
        return wanted

    def found_sums(self) -> Counter[tuple[bytes, bytes]]:
        found: Counter[tuple[bytes, bytes]] = Counter()
        for _, _, _, value in self.read(f"{self.prefix}.sums"):
            assert value is not None
            _, kind, origin = value.split(b" ")
            found[kind, origin] += 1
        return found

    def wait_settled(self, timeout_s: float = 60.0, explain: Callable[[], str] = str) -> None:
        """Until there are as many sums as there must be."""
        wanted = self.wanted_sums().total()
        wait_until(
            lambda: len(self.read(f"{self.prefix}.sums")) >= wanted,
            timeout_s,
            lambda: f"{self.found_sums().total()} of {wanted} sums\n{explain()}",
        )

    def check(self, *data_dirs: Path) -> int:
        """State equals the naive recomputation, every output is there exactly once.

        Gives the number of outputs that were found so.
        """
        numbers = [
            (key or b"", value or b"") for _, _, key, value in self.read(f"{self.prefix}.numbers")
        ]
        found, wanted = self.found_sums(), self.wanted_sums()
        missing, doubled = wanted - found, found - wanted
        assert not missing and not doubled, f"missing: {missing}, too many: {doubled}"
        dead = [value for *_, value in self.read(f"{self.prefix}.dead-letters")]
        bad = [value for _, value in numbers if not value.isdigit()]
        assert dead == [b"not_a_number"] * len(bad)
        fifties = [r for n in range(3) for r in self.read(f"{self.prefix}.fifties.{n}")]
        digits = [int(value) for _, value in numbers if value.isdigit()]
        assert len(fifties) == sum(1 for number in digits if number % 50 == 0)
        totals = expected(numbers)
        last = {key: int(value.split(b" ")[0]) for _, _, key, value in
                self.read(f"{self.prefix}.sums") if key and value}  # fmt: skip
        assert {key.decode(): total for key, total in last.items()} == totals
        changelog, _ = self._changelog()
        assert self._accounts(changelog) == totals
        if data_dirs:
            stored: dict[bytes, bytes] = {}
            for folder in data_dirs:
                stored.update(self._database(folder))
            assert stored == changelog
        return found.total()

    def _changelog(self) -> tuple[dict[bytes, bytes], dict[int, int]]:
        rows: dict[bytes, bytes] = {}
        positions: dict[int, int] = {}
        for partition, _, key, value in self.read(f"{self.prefix}-ledger-changelog"):
            assert key is not None
            if key == MARKER:
                positions[partition] = int((value or b"").split()[0])
            elif value is None:
                rows.pop(key, None)
            else:
                rows[key + b"@%d" % partition if key == b"total|order" else key] = value
        return rows, positions

    @staticmethod
    def _accounts(rows: dict[bytes, bytes]) -> dict[str, int]:
        return {
            key.decode().removeprefix("total|"): msgspec.msgpack.decode(value[1:])
            for key, value in rows.items()
            if key.startswith(b"total|") and not key.startswith(b"total|order")
        }

    @staticmethod
    def _database(folder: Path) -> dict[bytes, bytes]:
        rows: dict[bytes, bytes] = {}
        for path in sorted((folder / "v1" / "tables").glob("ledger-*.db")):
            partition = path.stem.rsplit("-", 1)[1]
            database: Any = rocksdict.Rdict(str(path), options=rocksdict.Options(raw_mode=True))
            for key, value in database.items():
                if key.startswith((b"total|", b"seen|")):
                    rows[key + f"@{partition}".encode() if key == b"total|order" else key] = value
            database.close()
        return rows
