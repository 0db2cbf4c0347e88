"""The adapter on a real broker and a real ERP process: each key once in the books, one final word.

Commands are written in Kafka transactions, some of them aborted; the ERP's database and the
confirmations topic are read directly and held against what was sent.
"""

from __future__ import annotations

import random
import sqlite3
import subprocess
import time
import uuid
from collections import Counter, defaultdict
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import httpx
import pytest
from confluent_kafka import Consumer, KafkaError, Producer, TopicPartition
from confluent_kafka.admin import AdminClient
from confluent_kafka.cimpl import NewTopic

from streamsync.contracts import Contracts, SchemaRegistry
from streamsync.core.records import DeadLetter, PostingCommand, PostingConfirmation
from streamsync.embedded.server import free_port
from streamsync.engine.partitioner import account_partition
from streamsync.erp.simulated.faults import read_faults
from tests.erp_commands import CREATED_AT_MS, DAY_MS, make_command
from tests.erp_processes import Erp, chart_of, simulated_erp, start, stop, wait_for

PARTITIONS = 4
SEED = 11
RATES = "no_answer=400,reject=400,alter=400,late=600"


@dataclass
class World:
    """One entity of its own on the shared broker."""

    broker: str
    registry: str
    folder: Path
    entity: str = field(default_factory=lambda: f"e-{uuid.uuid4().hex[:8]}")
    contracts: Contracts = field(init=False)
    adapter_port: int = field(default_factory=free_port)
    adapter: subprocess.Popen[bytes] | None = None

    def __post_init__(self) -> None:
        self.contracts = Contracts(SchemaRegistry(self.registry))

    @property
    def topic(self) -> str:
        return f"posting-commands.sim.{self.entity}"

    def make_topics(self) -> None:
        names = (self.topic, "posting-confirmations", "dead-letters")
        admin = AdminClient({"bootstrap.servers": self.broker})
        known = admin.list_topics(timeout=10).topics
        wanted = [NewTopic(n, num_partitions=PARTITIONS) for n in names if n not in known]
        for made in admin.create_topics(wanted).values() if wanted else ():
            made.result(10)

    def command(self, number: int, **changes: Any) -> PostingCommand:
        usual = {
            "entity": self.entity,
            "account": f"acme/stripe/cus_{number % 37}",
            "idempotency_key": f"{self.entity}-{number}",
        }
        return make_command(f"{self.entity}-k{number}", 1_000 + number, **(usual | changes))

    def write(self, values: Sequence[tuple[bytes, bytes]], commit: bool = True) -> None:
        """Records in one transaction, as the ledger lane writes them."""
        producer = Producer(
            {
                "bootstrap.servers": self.broker,
                "transactional.id": f"ledger-{self.entity}",
                "partitioner": "murmur2_random",
            }
        )
        producer.init_transactions(10)
        producer.begin_transaction()
        for key, value in values:
            producer.produce(self.topic, value=value, key=key)
        if commit:
            producer.commit_transaction(10)
        else:
            producer.flush(10)
            producer.abort_transaction(10)

    def send(self, commands: Sequence[PostingCommand], commit: bool = True) -> None:
        self.write([(c.account.encode(), self.contracts.encode(c)) for c in commands], commit)

    def run_adapter(self, erp: Erp, *options: str) -> subprocess.Popen[bytes]:
        self.adapter = start(
            "adapter",
            *("--erp", "sim", "--entity", self.entity, "--erp-url", erp.url),
            *("--bootstrap-servers", self.broker, "--data-dir", str(self.folder)),
            *("--schema-registry-url", self.registry),
            *("--port", str(self.adapter_port), "--poll-seconds", "0.2", "--batch-size", "10"),
            *options,
        )
        wait_for(f"{self.adapter_url}/health", self.adapter)
        return self.adapter

    @property
    def adapter_url(self) -> str:
        return f"http://127.0.0.1:{self.adapter_port}"

    def kill_adapter(self) -> None:
        assert self.adapter is not None
        self.adapter.kill()
        self.adapter.wait()

    def figures(self) -> dict[str, Any]:
        status = httpx.get(f"{self.adapter_url}/status", timeout=20).json()
        figures: dict[str, Any] = status["entities"][self.entity]
        return figures | {"undelivered": status["undelivered"]}

    def wait_until(self, holds: Callable[[dict[str, Any]], bool], seconds: float = 60) -> None:
        end = time.monotonic() + seconds
        figures: dict[str, Any] = {}
        while time.monotonic() < end:
            try:
                figures = self.figures()
                if holds(figures):
                    return
            except httpx.TransportError:
                pass
            time.sleep(0.1)
        raise AssertionError(f"not reached: {figures}")

    def told(self) -> dict[str, list[PostingConfirmation]]:
        """Distinct confirmations of this entity by ERP key's command id, in their order."""
        seen: dict[str, bytes] = {}
        told: dict[str, list[PostingConfirmation]] = defaultdict(list)
        for partition, key, value in read_all(self.broker, "posting-confirmations"):
            record = self.contracts.decode(value)
            if record.entity != self.entity:
                continue
            assert partition == account_partition(key, PARTITIONS)
            assert key == record.account.encode()
            assert seen.setdefault(record.confirmation_id, value) == value, "a repeat says the same"
            if record not in told[record.command_id]:
                told[record.command_id].append(record)
        return told


def read_all(broker: str, topic: str) -> Iterator[tuple[int, bytes, bytes]]:
    consumer = Consumer(
        {"bootstrap.servers": broker, "group.id": "t", "enable.partition.eof": True}
    )
    consumer.assign([TopicPartition(topic, partition, 0) for partition in range(PARTITIONS)])
    ended = 0
    while ended < PARTITIONS:
        message = consumer.poll(10)
        assert message is not None
        error = message.error()
        if error is not None:
            assert error.code() == KafkaError._PARTITION_EOF  # noqa: SLF001
            ended += 1
        else:
            yield message.partition() or 0, message.key() or b"", message.value() or b""
    consumer.close()


def booked_keys(erp: Erp) -> Counter[str]:
    with sqlite3.connect(erp.data_dir / "ledger.sqlite") as db:
        return Counter(row[0] for row in db.execute("SELECT external_key FROM entries"))


@pytest.fixture
def world(broker: str, registry: str, tmp_path: Path) -> Iterator[World]:
    made = World(broker, registry, tmp_path / "adapter")
    made.make_topics()
    yield made
    if made.adapter is not None and made.adapter.poll() is None:
        assert stop(made.adapter) == 0


def erp_of(world: World, *options: str, port: int | None = None) -> Any:
    chart = chart_of((world.entity, "USD"))
    folder = world.folder.with_name("erp")
    return simulated_erp(folder, "--hold-seconds", "0.2", *options, port=port, chart=chart)


def finished(figures: dict[str, Any], total: int) -> bool:
    done = figures["commands"]["done"] == total
    return bool(done and figures["lag"] == 0 and figures["undelivered"] == 0)


def check_everything(world: World, erp: Erp, commands: Sequence[PostingCommand]) -> None:
    faults = read_faults(RATES, SEED)
    fault = {command.erp_key: faults.of(command.erp_key) for command in commands}
    expected = [key for key, kind in fault.items() if kind != "reject"]
    assert booked_keys(erp) == Counter(expected)
    told = world.told()
    assert set(told) == {command.command_id for command in commands}
    for command in commands:
        *parked, final = told[command.command_id]
        assert [record.status for record in parked] in ([], ["parked"])
        refused = fault[command.erp_key] == "reject"
        assert final.status == ("rejected" if refused else "posted")
        if not refused:
            assert final.totals is not None
            differs = final.totals.debit_minor != command.totals.debit_minor
            assert differs == (fault[command.erp_key] == "alter")
            held = erp.call(f"/journal-entries/{final.erp_document_number}")[1]
            assert held["external_key"] == command.erp_key
    manifest = {row["external_key"]: row["kind"] for row in erp.manifest()}
    assert manifest == {key: kind for key, kind in fault.items() if kind is not None}
    assert set(manifest.values()) == {"no_answer", "reject", "alter", "late"}


@pytest.mark.parametrize("concurrency", ["1", "3"])
def test_each_key_once_and_one_final_word_through_kills_and_outages(
    world: World, concurrency: str
) -> None:
    commands = [world.command(number) for number in range(300)]
    chance = random.Random(5)
    options = ("--seed", str(SEED), "--faults", RATES)
    port = free_port()
    with ExitStack() as stack:
        erp = stack.enter_context(erp_of(world, *options, port=port))
        # Before any deadline, or three in four of the late documents would not be late by now.
        erp.call("/admin/clock", {"time_ms": CREATED_AT_MS})
        world.send([world.command(1000 + number) for number in range(50)], commit=False)
        world.run_adapter(erp, "--rate", "150", "--concurrency", concurrency)
        for begin in range(0, 300, 50):
            world.send(commands[begin : begin + 50])
            time.sleep(chance.random() / 2)
            world.kill_adapter()
            if begin == 100:
                erp.call("/admin/outage", {"status": 503, "requests": 5})
            if begin == 200:
                erp.process.kill()
                erp.process.wait()
                erp = stack.enter_context(erp_of(world, *options, port=port))
            world.run_adapter(erp, "--rate", "150", "--concurrency", concurrency)
        world.wait_until(lambda f: f["commands"]["done"] + f["commands"]["parked"] == 300)
        assert world.figures()["commands"]["parked"] > 0
        erp.call("/admin/clock", {"time_ms": CREATED_AT_MS + 1000 * DAY_MS})
        world.wait_until(lambda figures: finished(figures, 300))
        assert erp.call("/admin/clock")[1]["due_unanswered"] == 0
        check_everything(world, erp, commands)


def test_killed_between_sending_and_the_answer_it_looks_up_and_does_not_send_again(
    world: World,
) -> None:
    with erp_of(world, "--faults", "no_answer=10000", "--hold-seconds", "30") as erp:
        world.run_adapter(erp)
        world.send([world.command(1)])
        while not booked_keys(erp):
            time.sleep(0.05)
        world.kill_adapter()
        world.run_adapter(erp)
        world.wait_until(lambda figures: finished(figures, 1))
        assert booked_keys(erp) == Counter([f"{world.entity}-k1"])
        metrics = httpx.get(f"{erp.url}/metrics").text
        assert 'answers_total{outcome="posted",request="post"} 1.0' in metrics
        assert 'outcome="duplicate"' not in metrics
        ((final,),) = world.told().values()
        assert (final.status, final.found_by_lookup, final.attempt) == ("posted", True, 1)


def test_an_erp_that_is_away_for_a_while_gets_everything_in_order(world: World) -> None:
    commands = [
        world.command(
            number, account="a", idempotency_key=f"{world.entity}-same", revision=number + 1
        )
        for number in range(5)
    ] + [world.command(number) for number in range(5, 30)]
    with erp_of(world) as erp:
        erp.call("/admin/outage", {"status": 503, "requests": 4})
        world.run_adapter(erp)
        world.send(commands)
        world.wait_until(lambda figures: figures["paused"] is not None)
        assert httpx.get(f"{world.adapter_url}/health").status_code == 503
        assert httpx.get(f"{world.adapter_url}/health/live").status_code == 200
        world.wait_until(lambda figures: finished(figures, 30))
        assert httpx.get(f"{world.adapter_url}/health").status_code == 200
        assert set(booked_keys(erp).values()) == {1}
        with sqlite3.connect(erp.data_dir / "ledger.sqlite") as db:
            revisions = [
                row[0]
                for row in db.execute(
                    "SELECT revision FROM entries WHERE idempotency_key = ? ORDER BY id",
                    (f"{world.entity}-same",),
                )
            ]
        assert revisions == [1, 2, 3, 4, 5]
        assert all(len(told) == 1 for told in world.told().values())


def test_a_lost_outbox_costs_look_ups_and_nothing_else(world: World) -> None:
    commands = [world.command(number) for number in range(20)]
    with erp_of(world) as erp:
        adapter = world.run_adapter(erp)
        world.send(commands)
        world.wait_until(lambda figures: finished(figures, 20))
        assert stop(adapter) == 0
        for file in (world.folder / "adapter-sim").iterdir():
            file.unlink()
        world.run_adapter(erp)
        world.send([world.command(20)])
        world.wait_until(lambda figures: finished(figures, 21))
        assert set(booked_keys(erp).values()) == {1}
        metrics = httpx.get(f"{erp.url}/metrics").text
        assert 'answers_total{outcome="posted",request="post"} 21.0' in metrics
        assert 'outcome="duplicate"' not in metrics


def test_a_bad_record_becomes_a_dead_letter_and_the_next_is_posted(world: World) -> None:
    stranger = world.command(1, entity="somebody-else")
    reused = world.command(2)
    records = [
        (b"k", b"no avro"),
        (b"k", world.contracts.encode(stranger)),
        (b"k", world.contracts.encode(reused)),
        (b"k", world.contracts.encode(world.command(2, content_hash="another"))),
        (b"k", world.contracts.encode(world.command(3))),
    ]
    with erp_of(world) as erp:
        world.run_adapter(erp)
        world.write(records)
        world.wait_until(lambda figures: finished(figures, 2))
        letters: list[DeadLetter] = [
            letter
            for _, _, value in read_all(world.broker, "dead-letters")
            if (letter := world.contracts.decode(value)).position.topic == world.topic
        ]
        assert [letter.reason for letter in letters] == [
            "not_framed",
            "command_in_wrong_topic",
            "erp_key_reused_with_other_content",
        ]
        assert [letter.position.offset for letter in letters] == [0, 1, 3]
        assert letters[0].value == b"no avro"


def test_a_command_sent_again_is_confirmed_again_and_not_posted_again(world: World) -> None:
    with erp_of(world) as erp:
        world.run_adapter(erp)
        world.send([world.command(1)])
        world.wait_until(lambda figures: finished(figures, 1))
        before = sum(1 for _ in read_all(world.broker, "posting-confirmations"))
        world.send([world.command(1)])
        world.wait_until(
            lambda _: sum(1 for _ in read_all(world.broker, "posting-confirmations")) > before
        )
        world.wait_until(lambda figures: finished(figures, 1))
        assert booked_keys(erp) == Counter([f"{world.entity}-k1"])
        assert [len(told) for told in world.told().values()] == [1]


def test_a_second_adapter_keeps_away_from_the_outbox(world: World) -> None:
    with erp_of(world) as erp:
        world.run_adapter(erp)
        second = start(
            *("adapter", "--entity", world.entity, "--erp-url", erp.url),
            *("--bootstrap-servers", world.broker, "--data-dir", str(world.folder)),
            *("--schema-registry-url", world.registry),
            *("--port", str(free_port())),
        )
        assert second.wait(timeout=20) == 1


def test_a_topic_made_anew_stops_the_adapter_instead_of_skipping(world: World) -> None:
    with erp_of(world) as erp:
        adapter = world.run_adapter(erp)
        world.send([world.command(1)])
        world.wait_until(lambda figures: finished(figures, 1))
        assert stop(adapter) == 0
        with sqlite3.connect(world.folder / "adapter-sim" / "outbox.sqlite") as db:
            db.execute("UPDATE positions SET next_offset = next_offset + 1000")
        assert world.run_adapter(erp).wait(timeout=30) == 1


def test_it_waits_for_a_topic_that_comes_later(broker: str, registry: str, tmp_path: Path) -> None:
    world = World(broker, registry, tmp_path / "adapter")
    with erp_of(world) as erp:
        adapter = world.run_adapter(erp)
        time.sleep(1)
        assert world.figures()["lag"] is None
        world.make_topics()
        world.send([world.command(1)])
        world.wait_until(lambda figures: finished(figures, 1))
        assert stop(adapter) == 0
