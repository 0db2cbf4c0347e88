"""The simulated ERP's adapter passes what every adapter must pass, over a real connection."""

from __future__ import annotations

import itertools
from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import pytest
import pytest_asyncio

from streamsync.embedded.server import free_port
from streamsync.erp.conformance import CASES, Case, KeyKind, Subject
from streamsync.erp.protocol import Unavailable, Unknown
from streamsync.erp.simulated.faults import read_faults
from streamsync.erp.simulated_client import SimulatedErpClient
from tests.erp_processes import TOKEN, Erp, simulated_erp

RATES = "no_answer=500,reject=500,alter=500,late=500"
SEED = 7
_numbers = itertools.count()


@pytest.fixture(scope="module")
def erp(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Erp]:
    folder: Path = tmp_path_factory.mktemp("erp")
    options = ("--seed", str(SEED), "--faults", RATES, "--hold-seconds", "0.1")
    with simulated_erp(folder, *options) as running:
        yield running


def fresh_key(kind: KeyKind) -> str:
    faults = read_faults(RATES, SEED)
    wanted = None if kind == "plain" else kind
    return next(key for key in (f"key-{number}" for number in _numbers) if faults.of(key) == wanted)


@pytest_asyncio.fixture
async def subject(erp: Erp) -> AsyncIterator[Subject]:
    client = SimulatedErpClient(erp.url, TOKEN, timeout_seconds=5)
    yield Subject(
        client=client,
        entity="acme-us",
        ledger="main",
        currency="USD",
        debit_account="1100",
        credit_account="4000",
        posting_date="2026-03-15",
        key=fresh_key,
    )
    await client.close()


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.__name__)
async def test_conforms(case: Case, subject: Subject) -> None:
    await case(subject)


async def test_commands_before_a_cut_are_known_and_those_after_it_are_not_booked(
    subject: Subject, erp: Erp
) -> None:
    keys = [fresh_key("plain"), fresh_key("no_answer"), fresh_key("plain")]
    outcomes = await subject.client.post_batch([subject.command(key) for key in keys])
    assert [type(outcome).__name__ for outcome in outcomes] == ["Posted", "Unknown", "Unknown"]
    found = [await subject.client.look_up("acme-us", key) for key in keys]
    assert [type(outcome).__name__ for outcome in found] == ["Posted", "Posted", "NotFound"]


async def test_a_silent_server_is_unknown_after_the_time_out(subject: Subject, erp: Erp) -> None:
    client = SimulatedErpClient(erp.url, TOKEN, timeout_seconds=0.02)
    outcomes = await client.post_batch([subject.command(fresh_key("no_answer"))])
    await client.close()
    assert isinstance(outcomes[0], Unknown)


@pytest.mark.parametrize(("status", "code"), [(503, "UNAVAILABLE"), (429, "RATE_LIMITED")])
async def test_a_busy_erp_booked_nothing(
    subject: Subject, erp: Erp, status: int, code: str
) -> None:
    key = fresh_key("plain")
    erp.call("/admin/outage", {"status": status, "requests": 1})
    outcomes = await subject.client.post_batch([subject.command(key)])
    assert isinstance(outcomes[0], Unavailable)
    assert (outcomes[0].canonical_code, outcomes[0].retry_after_ms) == (code, 1000)
    assert type(await subject.client.look_up("acme-us", key)).__name__ == "NotFound"


async def test_a_server_error_is_unknown(subject: Subject, erp: Erp) -> None:
    erp.call("/admin/outage", {"status": 500, "requests": 1})
    outcomes = await subject.client.post_batch([subject.command(fresh_key("plain"))])
    assert isinstance(outcomes[0], Unknown)


async def test_a_refused_token_stops_posting_and_says_what_to_do(
    subject: Subject, erp: Erp
) -> None:
    client = SimulatedErpClient(erp.url, "another-token")
    key = fresh_key("plain")
    outcomes = await client.post_batch([subject.command(key)])
    found = await client.look_up("acme-us", key)
    await client.close()
    assert isinstance(outcomes[0], Unavailable)
    assert isinstance(found, Unavailable)
    assert outcomes[0].canonical_code == "AUTH"
    assert "STREAMSYNC_ERP_TOKEN" in outcomes[0].reason


async def test_an_erp_that_is_not_there_is_unavailable(subject: Subject) -> None:
    client = SimulatedErpClient(f"http://127.0.0.1:{free_port()}", TOKEN)
    outcomes = await client.post_batch([subject.command(fresh_key("plain"))])
    await client.close()
    assert isinstance(outcomes[0], Unavailable)
