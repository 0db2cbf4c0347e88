"""The real registry keeps today's schemas readable, and refuses a change that would break readers.

Apicurio Registry, started for the test run; every test has a subject of its own.
"""

from __future__ import annotations

import copy
import json
import uuid
from collections.abc import Callable
from typing import Any

import httpx
import pytest

from streamsync.contracts import (
    ContractError,
    Contracts,
    IncompatibleSchema,
    RegistryUnavailable,
    SchemaRegistry,
)
from streamsync.contracts.schemas import load_schemas
from streamsync.core.by_name import by_name
from streamsync.core.records import Tick
from tests.contract.test_contracts_codec import framed

Schema = dict[str, Any]


@pytest.fixture
def subject() -> str:
    return f"test.{uuid.uuid4().hex}"


def today(name: str) -> Schema:
    return copy.deepcopy(dict(load_schemas()[name]))


def drop_required(schema: Schema) -> None:
    del schema["fields"][0]


def add_without_default(schema: Schema) -> None:
    schema["fields"].append({"name": "added", "type": "string"})


def change_type(schema: Schema) -> None:
    schema["fields"][0]["type"] = "boolean"


def rename(schema: Schema) -> None:
    schema["fields"][0]["name"] += "_new"


def make_required(schema: Schema) -> None:
    field = next(one for one in schema["fields"] if isinstance(one["type"], list))
    field["type"] = field["type"][1]
    del field["default"]


@pytest.mark.parametrize(
    "breaking", [drop_required, add_without_default, change_type, rename, make_required]
)
def test_a_breaking_change_is_refused_by_subject_with_the_remedy(
    registry: str, subject: str, breaking: Callable[[Schema], None]
) -> None:
    client = SchemaRegistry(registry)
    first = client.register(subject, today("PostingCommand"))
    changed = today("PostingCommand")
    breaking(changed)
    with pytest.raises(IncompatibleSchema) as refused:
        client.register(subject, changed)
    assert subject in str(refused.value)
    assert "Add fields only with a default" in str(refused.value)
    assert list(client.versions(subject)) == [first]


def test_a_field_with_a_default_may_come_and_go_but_not_change_its_type_in_between(
    registry: str, subject: str
) -> None:
    client = SchemaRegistry(registry)
    first, second, third = today("Tick"), today("Tick"), today("Tick")
    second["fields"].append({"name": "zone", "type": "string", "default": ""})
    third["fields"].append({"name": "zone", "type": "long", "default": 0})
    ids = [client.register(subject, one) for one in (first, second)]
    # Fits the first version, and not the second: only a transitive check sees it.
    with pytest.raises(IncompatibleSchema):
        client.register(subject, third)
    assert client.register(subject, first) == ids[0]
    assert list(client.versions(subject)) == ids


def test_two_starts_of_one_release_get_the_same_ids_and_read_each_other(registry: str) -> None:
    tick = Tick(number=1, time_ms=2, leader="x")
    one, other = Contracts(SchemaRegistry(registry)), Contracts(SchemaRegistry(registry))
    other.load_history()
    assert one.encode(tick) == other.encode(tick)
    assert other.decode(one.encode(tick)) == tick


def test_todays_contracts_are_what_the_registry_holds_under_full_transitive(registry: str) -> None:
    Contracts(SchemaRegistry(registry))
    for name in load_schemas():
        told = httpx.get(f"{registry}/config/streamsync.{name}").json()
        assert told["compatibilityLevel"] == "FULL_TRANSITIVE", name


def test_a_running_program_reads_what_the_next_release_writes(registry: str) -> None:
    client = SchemaRegistry(registry)
    running = Contracts(client)
    running.load_history()
    newer = today("Continuation")
    newer["fields"].append({"name": "why", "type": "string", "default": "", "doc": "New."})
    new_id = client.register("streamsync.Continuation", newer)
    record = running.decode(
        framed(new_id, newer, {"partition": 3, "sequence": 4, "why": "month end"})
    )
    assert by_name(record) == {"partition": 3, "sequence": 4}
    with pytest.raises(ContractError) as unknown:
        running.decode(b"\x00\x7f\xff\xff\xf0\x00")
    assert unknown.value.reason == "schema_unknown"


def test_a_registry_that_is_away_is_named_with_what_to_do() -> None:
    client = SchemaRegistry("http://127.0.0.1:9/apis/ccompat/v7", patience_s=0)
    with pytest.raises(RegistryUnavailable, match=r"127\.0\.0\.1:9.*streamsync broker"):
        client.register("streamsync.Tick", today("Tick"))


def test_the_schemas_are_sent_complete(registry: str, subject: str) -> None:
    client = SchemaRegistry(registry)
    client.register(subject, today("Totals"))
    (held,) = client.versions(subject).values()
    assert json.dumps(held).count('"ControlTotal"') == 1
