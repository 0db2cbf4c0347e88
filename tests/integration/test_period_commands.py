"""`streamsync periods`, `close` and `reopen` on a real broker: what is published, what refused."""

from __future__ import annotations

import json
import shutil
import uuid
from pathlib import Path

import pytest
import typer
from msgspec.structs import replace
from typer.testing import CliRunner, Result

from streamsync.brokers import Brokers
from streamsync.contracts import Contracts, SchemaRegistry
from streamsync.core.records import PeriodStatus
from streamsync.governance.broker import Broker, PublishedByAnother
from tests.company_folder import ACME, edit
from topology import topics
from topology.period_commands import register


@pytest.fixture
def acme(tmp_path: Path) -> Path:
    """The example company under a tenant of its own."""
    folder = Path(shutil.copytree(ACME, tmp_path / "acme"))
    edit(folder, "company.yaml", "tenant: acme", f"tenant: t-{uuid.uuid4().hex[:8]}")
    return folder


@pytest.fixture
def servers(broker: str, registry: str) -> list[str]:
    return ["--bootstrap-servers", broker, "--schema-registry-url", registry]


def run(*words: str) -> Result:
    app = typer.Typer()
    register(app)
    return CliRunner().invoke(app, list(words), env={"COLUMNS": "400"})


def shown(acme: Path, servers: list[str], *words: str) -> list[dict[str, object]]:
    told = run("periods", "--company", str(acme), "--json", *words, *servers)
    assert told.exit_code == 0, told.output
    found: list[dict[str, object]] = json.loads(told.stdout)["periods"]
    return found


def test_a_period_is_closed_seen_and_opened_again_with_its_people(
    acme: Path, servers: list[str]
) -> None:
    at = ["acme-us", "2026-01", "--company", str(acme), "--changed-by", "ana", *servers]
    assert "All periods are open." in run("periods", "--company", str(acme), *servers).stdout
    soft = run("close", *at, "--soft", "--approved-by", "ben")
    assert (soft.exit_code, soft.stdout) == (
        0, "acme-us main 2026-01 is soft_closed, version 1, by ana, approved by ben.\n",
    )  # fmt: skip
    assert run("close", *at, "--approved-by", "ben").exit_code == 0
    again = run("close", *at, "--approved-by", "ben")
    assert again.exit_code == 0
    assert again.stdout.endswith("version 2, by ana, approved by ben. It was before.\n")
    opened = run("reopen", *at, "--approved-by", "ben", "--reason", "audit 7", "--json")
    assert json.loads(opened.stdout)["period"]["version"] == 3
    assert run("close", *at[:1], "2026-02", *at[2:], "--approved-by", "ben").exit_code == 0
    assert [(one["period"], one["status"]) for one in shown(acme, servers)] == [
        ("2026-01", "reopened"), ("2026-02", "closed"),
    ]  # fmt: skip
    assert shown(acme, servers, "--entity", "acme-jp") == []
    listed = run("periods", "--company", str(acme), *servers).stdout.splitlines()
    assert listed[0] == (
        "acme-us main 2026-01 is reopened, version 3, by ana, approved by ben (audit 7)."
    )


def test_a_wrong_change_is_a_sentence_and_publishes_nothing(acme: Path, servers: list[str]) -> None:
    at = ["--company", str(acme), "--changed-by", "ana", *servers]
    alone = run("close", "acme-us", "2026-01", *at, "--approved-by", "ana")
    assert alone.exit_code == 1
    assert "name another person who approved" in alone.stderr
    early = run("reopen", "acme-us", "2026-01", *at, "--approved-by", "ben", "--reason", "why")
    assert early.exit_code == 1
    assert "acme-us 2026-01 is open: it can become soft_closed or closed" in early.stderr
    nobody = run("close", "acme-fr", "2026-01", *at, "--approved-by", "ben")
    assert nobody.exit_code == 2
    assert "acme-fr" in nobody.stderr
    assert shown(acme, servers) == []


def test_a_registry_or_a_broker_that_does_not_answer_is_a_sentence(
    acme: Path, registry: str
) -> None:
    at = ["periods", "--company", str(acme)]
    nowhere = ["--bootstrap-servers", "127.0.0.1:1", "--schema-registry-url"]
    for other, word in (("http://127.0.0.1:1", "registry"), (registry, "Kafka")):
        told = run(*at, *nowhere, other)
        assert told.exit_code == 1
        assert word in told.stderr
        assert "does not answer" in told.stderr


def test_of_two_people_at_once_the_first_one_wins_and_the_other_is_told(
    broker: str, registry: str
) -> None:
    contracts = Contracts(SchemaRegistry(registry))
    contracts.load_history()
    specs = {spec.name: spec for spec in topics.declared(8)}
    made = Broker(Brokers(broker), contracts, specs[topics.CONTROL], specs[topics.CUSTOMERS])
    made.create_topics()
    first = PeriodStatus(
        tenant=f"t-{uuid.uuid4().hex[:8]}",
        entity="acme-us",
        ledger="main",
        period="2026-01",
        status="closed",
        version=1,
        changed_by="ana",
        approved_by="ben",
    )
    made.publish([first], ())
    with pytest.raises(PublishedByAnother, match="ana set acme-us 2026-01 to closed"):
        made.publish([replace(first, status="soft_closed", changed_by="eve")], ())
    assert made.periods(first.tenant) == {("acme-us", "main", "2026-01"): first}
