"""Private parts of Faust and aiokafka that the engine hangs on: failures say what to look at."""

from __future__ import annotations

import ast
import inspect
from importlib.metadata import version
from pathlib import Path

import pytest
from aiokafka import AIOKafkaConsumer, AIOKafkaProducer
from aiokafka.client import AIOKafkaClient
from aiokafka.consumer import fetcher
from aiokafka.consumer.group_coordinator import GroupCoordinator
from aiokafka.producer.transaction_manager import TransactionManager
from aiokafka.protocol.fetch import FetchRequest
from confluent_kafka import KafkaError
from faust.app import App
from faust.app.router import Router
from faust.assignor.partition_assignor import PartitionAssignor
from faust.stores import rocksdb
from faust.tables.manager import TableManager
from faust.tables.recovery import Recovery
from faust.tables.table import Table
from faust.transport import consumer
from faust.transport.drivers import aiokafka as driver

ENGINE = Path(__file__).parents[2] / "streamsync" / "engine"

HOOKS = [
    (Recovery, "add_active", ["self", "table", "tp"], "tables.py: step 1"),
    (Recovery, "add_standby", ["self", "table", "tp"], "tables.py: step 1"),
    (Recovery, "on_recovery_completed", ["self", "generation_id"], "tables.py: step 2"),
    (Recovery, "_wait", ["self", "coro", "timeout"], "tables.py: step 2"),
    (
        Recovery, "on_rebalance",
        ["self", "assigned", "revoked", "newly_assigned", "generation_id"], "tables.py: step 1",
    ),
    (TableManager, "on_standbys_ready", ["self"], "tables.py: step 2"),
    (Table, "on_key_set", ["self", "key", "value"], "tables.py: LaneTable"),
    (Table, "on_key_del", ["self", "key"], "tables.py: LaneTable"),
    (Table, "on_clear", ["self"], "tables.py: LaneTable"),
    (consumer.Consumer, "_wait_next_records", ["self", "timeout"], "transport.py: step 8"),
    (consumer.Consumer, "_get_active_partitions", ["self"], "transport.py: step 8"),
    (consumer.Consumer, "pause_partitions", ["self", "tps"], "transport.py: back-pressure"),
    (consumer.Consumer, "resume_partitions", ["self", "tps"], "transport.py: back-pressure"),
    (consumer.Consumer, "seek_to_committed", ["self"], "transport.py: step 7"),
    (
        consumer.Consumer, "force_commit", ["self", "topics", "start_new_transaction"],
        "transport.py: step 13",
    ),
    (consumer.Consumer, "on_partitions_revoked", ["self", "revoked"], "transport.py: step 14"),
    (driver.Consumer, "_new_consumer_thread", ["self"], "transport.py"),
    (
        driver.AIOKafkaConsumerThread, "_create_worker_consumer", ["self", "transport"],
        "transport.py",
    ),
    (driver.AIOKafkaConsumerThread, "_ensure_consumer", ["self"], "transport.py"),
    (driver.Producer, "_ensure_producer", ["self"], "transport.py: start"),
    (
        driver.AIOKafkaConsumerThread, "_fetch_records",
        ["self", "consumer", "active_partitions", "timeout", "max_records"],
        "transport.py: step 8",
    ),
    (fetcher.Fetcher, "_notify", ["self", "future"], "fetch.py"),
    (fetcher.Fetcher, "_create_fetch_waiter", ["self"], "transport.py: step 8"),
    (
        fetcher.Fetcher, "fetched_records", ["self", "partitions", "timeout", "max_records"],
        "transport.py: step 8",
    ),
    (fetcher.FetchResult, "check_assignment", ["self", "tp"], "fetch.py"),
    (fetcher.FetchResult, "has_more", ["self"], "fetch.py"),
    (fetcher.FetchResult, "_update_position", ["self"], "fetch.py"),
    (fetcher.PartitionRecords, "_consume_aborted_up_to", ["self", "batch_offset"], "fetch.py"),
    (fetcher.PartitionRecords, "_contains_abort_marker", ["self", "next_batch"], "fetch.py"),
    (GroupCoordinator, "request_rejoin", ["self"], "transport.py: after fencing"),
    (driver.AIOKafkaConsumerThread, "seek_wait", ["self", "partitions"], "transport.py: step 7"),
    (rocksdb.Store, "_open_for_partition", ["self", "partition"], "store.py"),
    (rocksdb.Store, "_db_for_partition", ["self", "partition"], "store.py"),
    (rocksdb.Store, "partition_path", ["self", "partition"], "store.py"),
    (
        rocksdb.Store, "_try_open_db_for_partition",
        ["self", "partition", "max_retries", "retry_delay", "generation_id"], "store.py",
    ),
    (rocksdb.Store, "stop", ["self"], "store.py: step 15"),
    (rocksdb.Store, "_get", ["self", "key"], "store.py: what tables read"),
    (rocksdb.Store, "_contains", ["self", "key"], "store.py: what tables read"),
    (rocksdb.Store, "_visible_items", ["self", "db"], "store.py: what tables read"),
    (rocksdb.Store, "_visible_keys", ["self", "db"], "store.py: what tables read"),
    (rocksdb.Store, "_dbs_for_actives", ["self"], "store.py: what tables read"),
    (PartitionAssignor, "external_topics_metadata", ["self"], "tables.py: the assignment check"),
    (PartitionAssignor, "assigned_standbys", ["self"], "tables.py: standbys"),
    (Router, "table_metadata", ["self", "table_name"], "views.py: who owns a partition"),
    (Router, "tables_metadata", ["self"], "views.py: the other workers"),
    (App, "is_leader", ["self"], "app.py: the clock"),
    (AIOKafkaClient, "bootstrap", ["self"], "evidence.py"),
    (AIOKafkaClient, "set_topics", ["self", "topics"], "evidence.py"),
    (AIOKafkaClient, "send", ["self", "node_id", "request", "group"], "evidence.py"),
    (
        FetchRequest, "__init__",
        ["self", "max_wait_time", "min_bytes", "max_bytes", "isolation_level", "topics",
         "rack_id"], "evidence.py",
    ),
    (TransactionManager, "maybe_add_partition_to_txn", ["self", "tp"], "hanging.py"),
]  # fmt: skip


@pytest.mark.parametrize(("owner", "name", "parameters", "where"), HOOKS)
def test_a_method_that_the_engine_overrides_or_calls_is_what_it_was(
    owner: type, name: str, parameters: list[str], where: str
) -> None:
    found = getattr(owner, name, None)
    assert found is not None, (
        f"{owner.__module__} no longer has {owner.__name__}.{name}: see streamsync/engine/{where}."
    )
    assert list(inspect.signature(found).parameters) == parameters, (
        f"{owner.__module__} changed {owner.__name__}.{name}: see streamsync/engine/{where}."
    )


def test_the_isolation_level_still_follows_in_transaction() -> None:
    source = inspect.getsource(driver.AIOKafkaConsumerThread._create_worker_consumer)
    assert "self.consumer.in_transaction" in source, (
        "Faust chooses the isolation level differently now, and the ledger's source must be read "
        "read_committed: see LaneConsumerThread in streamsync/engine/transport.py."
    )


def test_the_table_manager_still_makes_its_recovery_in_a_property() -> None:
    assert isinstance(TableManager.__dict__["recovery"], property), (
        "Faust makes its recovery elsewhere now: see LaneTableManager in engine/tables.py."
    )


# Attributes: of which class, and where the engine uses them.
ATTRIBUTES = [
    (consumer.Consumer, "_committed_offset", "transport.py: step 13"),
    (rocksdb.Store, "_dbs", "store.py"),
    (AIOKafkaConsumer, "_coordinator", "transport.py: after fencing"),
    (AIOKafkaConsumer, "_fetcher", "transport.py: step 8"),
    (AIOKafkaConsumer, "_closed", "transport.py: step 8"),
    (fetcher.Fetcher, "_closed", "transport.py: step 8"),
    (fetcher.Fetcher, "_records", "fetch.py"),
    (fetcher.Fetcher, "_subscriptions", "fetch.py"),
    (fetcher.Fetcher, "_wait_consume_future", "fetch.py"),
    (fetcher.FetchResult, "_partition_records", "fetch.py"),
    (fetcher.PartitionRecords, "_tp", "fetch.py"),
    (fetcher.PartitionRecords, "_records", "fetch.py"),
    (fetcher.PartitionRecords, "_check_crcs", "fetch.py"),
    (fetcher.PartitionRecords, "_isolation_level", "fetch.py"),
    (fetcher.PartitionRecords, "_aborted_producers", "fetch.py"),
    (AIOKafkaProducer, "_txn_manager", "hanging.py"),
]
CODES = (
    "_ALL_BROKERS_DOWN", "_FAIL", "_FENCED", "_PARTITION_EOF", "_UNKNOWN_PARTITION",
    "_UNKNOWN_TOPIC",
)  # fmt: skip


@pytest.mark.parametrize(("owner", "name", "where"), ATTRIBUTES)
def test_an_attribute_that_the_engine_reaches_for_is_still_there(
    owner: type, name: str, where: str
) -> None:
    assert f"self.{name} = " in inspect.getsource(owner) or f"self.{name}: " in inspect.getsource(
        owner
    ), f"{owner.__module__}.{owner.__name__} has no {name} any more: see streamsync/engine/{where}."


@pytest.mark.parametrize("name", CODES)
def test_an_error_code_of_librdkafka_keeps_its_name(name: str) -> None:
    assert isinstance(getattr(KafkaError, name, None), int), (
        f"confluent-kafka has no KafkaError.{name} any more: see where streamsync/engine uses it."
    )


def foreign_private_names() -> dict[str, str]:
    """Names with an underscore that an engine module uses but does not define, with the module."""
    found: dict[str, str] = {}
    for path in sorted(ENGINE.glob("*.py")):
        tree = ast.parse(path.read_text())
        own = {
            node.attr
            for node in ast.walk(tree)
            if isinstance(node, ast.Attribute) and isinstance(node.ctx, ast.Store)
        }
        for node in ast.walk(tree):
            if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
                own.add(node.name)
            elif isinstance(node, ast.AnnAssign | ast.Assign):
                targets = [node.target] if isinstance(node, ast.AnnAssign) else node.targets
                own |= {target.id for target in targets if isinstance(target, ast.Name)}
        for node in ast.walk(tree):
            if isinstance(node, ast.Attribute) and node.attr not in own:
                if node.attr.startswith("_") and not node.attr.startswith("__"):
                    found[node.attr] = path.name
    return found


def test_every_private_name_that_the_engine_borrows_is_pinned_here() -> None:
    pinned = {name for _, name, *_ in HOOKS} | {name for _, name, _ in ATTRIBUTES} | set(CODES)
    pinned.add("_exit")  # os._exit, documented
    found = foreign_private_names()
    assert "_fetcher" in found, "this test sees nothing"
    assert {name: where for name, where in found.items() if name not in pinned} == {}


def test_faust_is_the_version_that_the_engine_was_tested_with() -> None:
    assert version("faust-streaming") == "0.15.3", (
        "The engine overrides private methods of faust-streaming 0.15.3: run the integration and "
        "chaos tests with the new version before changing this line."
    )


def test_aiokafka_is_the_version_that_lanes_take_their_records_from() -> None:
    assert version("aiokafka") == "0.14.0", (
        "Lanes unpack what aiokafka's fetcher holds: compare PartitionRecords._unpack_records and "
        "Fetcher.fetched_records with streamsync/engine/fetch.py before changing this line."
    )
