"""`streamsync apply` on a real broker: what is published, what is refused, what a reader finds."""

from __future__ import annotations

import json
import logging
import shutil
import uuid
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest
import typer
from confluent_kafka import Consumer, KafkaError, Message, Producer, TopicPartition
from typer.testing import CliRunner, Result

from streamsync.brokers import Brokers
from streamsync.contracts import Contracts, SchemaRegistry
from streamsync.core.records import Customer, ReferenceData, Tick
from streamsync.engine.lane import TopicSpec
from streamsync.engine.partitioner import account_partition
from streamsync.governance import from_payload, load_company, load_customers, reference_data
from streamsync.governance.broker import Broker, BrokerUnavailable, PublishedByAnother
from streamsync.governance.commands import register
from tests.company_folder import ACME, edit

PARTITIONS = 8


@dataclass
class World:
    """Topics of one test on the shared broker."""

    servers: str
    contracts: Contracts
    control: TopicSpec
    customers: TopicSpec

    def broker(self) -> Broker:
        """A publisher of its own."""
        return Broker(Brokers(self.servers), self.contracts, self.control, self.customers)

    def write(self, *values: bytes) -> None:
        """Records of others in the control topic."""
        producer = Producer({"bootstrap.servers": self.servers, "acks": "all"})
        for value in values:
            producer.produce(self.control.name, value=value, partition=0)
        assert producer.flush(20) == 0

    def tick(self, number: int) -> bytes:
        """A tick of the clock."""
        return self.contracts.encode(Tick(number=number, time_ms=number * 1000, leader="test"))


def read(servers: str, topic: str) -> Iterator[Message]:
    """Everything in a topic, by a consumer that knows nothing of the code under test."""
    consumer = Consumer(
        {"bootstrap.servers": servers, "group.id": "look", "enable.partition.eof": True}
    )
    partitions = list(consumer.list_topics(topic, timeout=20).topics[topic].partitions)
    consumer.assign([TopicPartition(topic, number, 0) for number in partitions])
    ended = 0
    while ended < len(partitions):
        message = consumer.poll(20)
        assert message is not None, f"{topic} gives nothing"
        error = message.error()
        if error is None:
            yield message
        else:
            assert error.code() == KafkaError._PARTITION_EOF  # noqa: SLF001
            ended += 1
    consumer.close()


@pytest.fixture
def world(broker: str) -> World:
    """Fresh topics."""
    name = uuid.uuid4().hex[:8]
    made = World(
        broker,
        Contracts.in_memory(),
        TopicSpec(f"control-{name}", 1, {"retention.ms": "-1"}),
        TopicSpec(f"customers-{name}", PARTITIONS, {"retention.ms": "-1"}),
    )
    made.broker().create_topics()
    return made


@pytest.fixture
def acme(tmp_path: Path) -> Path:
    """The example company under a tenant of its own."""
    folder = Path(shutil.copytree(ACME, tmp_path / "acme"))
    edit(folder, "company.yaml", "tenant: acme", f"tenant: t-{uuid.uuid4().hex[:8]}")
    return folder


def test_topics_are_created_as_declared_and_only_once(world: World) -> None:
    world.broker().create_topics()
    consumer = Consumer({"bootstrap.servers": world.servers, "group.id": "look"})
    listed = consumer.list_topics(timeout=20).topics
    consumer.close()
    assert len(listed[world.control.name].partitions) == 1
    assert len(listed[world.customers.name].partitions) == PARTITIONS


def test_published_company_is_read_back_exactly(world: World, acme: Path) -> None:
    company = load_company(acme)
    world.broker().publish([reference_data(company, 0, "ana", "ben")], ())
    latest = world.broker().control_state(company.tenant).latest
    assert latest == reference_data(company, 0, "ana", "ben")
    assert from_payload(latest.payload) == company


def test_tick_numbers_go_on_after_the_last_tick(world: World, acme: Path) -> None:
    assert world.broker().control_state("nobody").last_tick == -1
    world.write(world.tick(0), world.tick(1), world.tick(2))
    assert world.broker().control_state("nobody").last_tick == 2


def test_other_tenants_and_lower_versions_do_not_count(world: World, acme: Path) -> None:
    first = reference_data(load_company(acme), 0, "ana", "ben")
    edit(acme, "company.yaml", "version: 1", "version: 3")
    third = reference_data(load_company(acme), 0, "ana", "ben")
    encode = world.contracts.encode
    world.write(encode(third), encode(first))
    assert world.broker().control_state(first.tenant).latest == third
    assert world.broker().control_state("nobody").latest is None


def test_second_publisher_of_a_version_is_told(world: World, acme: Path) -> None:
    ours = reference_data(load_company(acme), 0, "ana", "ben")
    edit(acme, "company.yaml", "customer_owner: crm", "customer_owner: billing")
    theirs = reference_data(load_company(acme), 0, "cy", "ben")
    world.write(world.contracts.encode(theirs))
    with pytest.raises(PublishedByAnother, match="publish yours as version 2"):
        world.broker().publish([ours], ())


def test_bytes_that_are_no_record_do_not_stop_the_reader(
    world: World, acme: Path, caplog: pytest.LogCaptureFixture
) -> None:
    item = reference_data(load_company(acme), 0, "ana", "ben")
    world.write(b"not a record", world.contracts.encode(item))
    with caplog.at_level(logging.WARNING):
        assert world.broker().control_state(item.tenant).latest == item
    assert f"{world.control.name}[0]@0 skipped" in caplog.text


def test_customers_land_where_their_account_lives(world: World, acme: Path) -> None:
    tenant = load_company(acme).tenant
    records = "".join(
        f"  - {{account: {tenant}/stripe/cus_{n}, party: P-{n}, version: 1}}\n" for n in range(40)
    )
    (acme / "customers.yaml").write_text(f"customers:\n{records}", encoding="utf-8")
    customers = load_customers(acme, "crm")
    world.broker().publish([], customers)
    seen = {}
    for message in read(world.servers, world.customers.name):
        key, value = message.key(), message.value()
        assert key is not None
        assert value is not None
        assert message.partition() == account_partition(key, PARTITIONS)
        record = world.contracts.decode(value)
        assert isinstance(record, Customer)
        assert key == record.account.encode()
        seen[record.account] = record
    assert seen == {customer.account: customer for customer in customers}
    assert world.broker().customers(set(seen)) == seen


def test_broker_that_is_away_is_named_with_the_remedy() -> None:
    specs = TopicSpec("control", 1, {}), TopicSpec("customers", 1, {})
    away = Broker(Brokers("127.0.0.1:9"), Contracts.in_memory(), *specs, patience_s=2)
    with pytest.raises(
        BrokerUnavailable, match=r"127\.0\.0\.1:9 does not answer.*streamsync broker"
    ):
        away.create_topics()


class Apply:
    """`streamsync apply` against the shared broker and registry."""

    def __init__(self, folder: Path, servers: str, registry: str) -> None:
        self.folder = folder
        self.places = ["--bootstrap-servers", servers, "--schema-registry-url", registry]
        self.people = ["--published-by", "ana", "--approved-by", "ben"]
        self.app = typer.Typer()
        register(self.app)

    def __call__(self, *options: str) -> Result:
        arguments = ["apply", str(self.folder), *self.people, *self.places, *options]
        return CliRunner().invoke(self.app, arguments, env={"COLUMNS": "300"})


def test_apply_from_first_version_to_the_next(broker: str, registry: str, acme: Path) -> None:
    apply = Apply(acme, broker, registry)
    tenant = load_company(acme).tenant

    dry = apply("--dry-run")
    assert dry.exit_code == 3
    assert f"{tenant}: nothing is published;" in dry.stdout
    assert "entities.acme-jp.functional_currency: - -> JPY" in dry.stdout.splitlines()

    unasked = apply()
    assert unasked.exit_code == 2
    assert "add --yes" in unasked.stderr

    first = apply("--yes")
    assert first.exit_code == 0
    assert first.stdout.splitlines()[-1].startswith("Published; in force from tick ")

    again = apply("--yes")
    assert again.exit_code == 0
    assert again.stdout == f"{tenant}: version 1 is published; nothing to do.\n"

    edit(acme, "entities.yaml", "time_zone: America/New_York", "time_zone: America/Chicago")
    refused = apply("--yes")
    assert refused.exit_code == 1
    assert refused.stderr == (
        f"{acme}/company.yaml:8: version_in_use: version 1 is not higher than the published "
        "version 1 (by ana): set version to 2.\n"
    )

    edit(acme, "company.yaml", "version: 1", "version: 2")
    second = apply("--yes", "--json")
    told = json.loads(second.stdout)
    assert (second.exit_code, told["outcome"], told["published_version"]) == (0, "published", 1)
    assert told["changes"] == [
        {
            "path": "entities.acme-us.time_zone",
            "before": "America/New_York",
            "after": "America/Chicago",
        },
        {"path": "version", "before": "1", "after": "2"},
    ]


def test_apply_publishes_new_customers_only(broker: str, registry: str, acme: Path) -> None:
    apply = Apply(acme, broker, registry)
    tenant = load_company(acme).tenant
    one = f"customers:\n  - {{account: {tenant}/stripe/cus_1, party: P-1, version: 1}}\n"
    (acme / "customers.yaml").write_text(one, encoding="utf-8")
    assert apply("--yes").exit_code == 0
    (acme / "customers.yaml").write_text(
        f"{one}  - {{account: {tenant}/stripe/cus_2, party: P-2, version: 1}}\n", encoding="utf-8"
    )
    added = apply("--yes")
    assert added.exit_code == 0
    assert f"customers.{tenant}/stripe/cus_2: - -> party P-2, version 1" in added.stdout
    assert f"customers.{tenant}/stripe/cus_1" not in added.stdout
    assert "nothing to do" in apply("--yes").stdout


def test_published_records_carry_both_names(broker: str, registry: str, acme: Path) -> None:
    assert Apply(acme, broker, registry)("--yes").exit_code == 0
    tenant = load_company(acme).tenant
    codec = Contracts(SchemaRegistry(registry))
    found = [
        record
        for message in read(broker, "control")
        if isinstance(record := codec.decode(message.value() or b""), ReferenceData)
        and record.tenant == tenant
    ]
    # The rules, and the exchange rates beside them.
    told = [(item.published_by, item.approved_by) for item in found]
    assert told == [("ana", "ben")] * len({item.kind for item in found})
    assert len(told) == 2
