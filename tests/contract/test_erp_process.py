"""The simulated ERP and the adapter as commands: token, port, chart and their errors."""

from __future__ import annotations

import json
import stat
import subprocess
import sys
from pathlib import Path

import httpx
import pytest

from streamsync.erp.simulated.document import Chart
from streamsync.erp.simulated.process import SimulatedErpError, read_chart, token_in
from streamsync.erp.simulated_client import document_of
from tests.erp_commands import make_command
from tests.erp_processes import RUN, simulated_erp

ACME = Path(__file__).parents[2] / "examples" / "acme"


def run(*arguments: str, **environment: str) -> subprocess.CompletedProcess[str]:
    """A command that is expected to end at once, with nothing but this environment."""
    return subprocess.run(
        [sys.executable, "-c", RUN, *arguments],
        env={"PATH": "", **environment},
        capture_output=True,
        text=True,
        timeout=30,
        check=False,
    )


def test_without_the_token_nothing_is_read_or_written(tmp_path: Path) -> None:
    with simulated_erp(tmp_path) as erp:
        for token in (None, "wrong"):
            assert erp.call("/journal-entries", document_of(make_command("a")), token)[0] == 401
            assert erp.call("/admin/manifest", token=token)[0] == 401
        assert httpx.get(f"{erp.url}/health").json() == {"status": "ok", "entries": {}}
        assert httpx.get(f"{erp.url}/metrics").status_code == 200


def test_one_entry_by_itself_is_answered_with_a_status(tmp_path: Path) -> None:
    with simulated_erp(tmp_path) as erp:
        body = document_of(make_command("a"))
        assert [erp.call("/journal-entries", body)[0] for _ in range(2)] == [201, 200]
        refused = body | {"external_key": "b", "currency": "XTS"}
        status, answer = erp.call("/journal-entries", refused)
        assert (status, answer["error"]["code"]) == (422, "CURRENCY_UNKNOWN")
        assert erp.call("/journal-entries/acme-us-0000001")[1]["external_key"] == "a"
        assert erp.call("/journal-entries/acme-us-0000002")[0] == 404
        status, answer = erp.call("/journal-entries?entity=acme-us&external_key=b")
        assert (status, answer["outcome"]) == (404, "not_found")
        _, balance = erp.call("/trial-balance?entity=acme-us&period=2026-03")
        assert [row["debit_minor"] for row in balance["accounts"]] == [12_345, 0]


@pytest.mark.parametrize(
    ("path", "content"),
    [
        ("/journal-entries", b"{"),
        ("/journal-entries", b'{"documents": []}'),
        ("/journal-entries", b'{"documents": 5}'),
        ("/admin/clock", b'{"time_ms": -1}'),
        ("/admin/clock", b'{"time_ms": true}'),
        ("/admin/chart", b'{"entities": []}'),
        ("/admin/outage", b'{"status": 200, "requests": 1}'),
    ],
)
def test_a_malformed_request_is_refused_with_a_reason(
    tmp_path: Path, path: str, content: bytes
) -> None:
    with simulated_erp(tmp_path) as erp:
        headers = {"Authorization": "Bearer test-token"}
        answer = httpx.post(erp.url + path, content=content, headers=headers)
        assert answer.status_code == 400
        assert answer.json()["error"]["message"]


def test_the_manifest_file_says_what_the_endpoint_says(tmp_path: Path) -> None:
    with simulated_erp(tmp_path, "--faults", "alter=10000") as erp:
        erp.call("/journal-entries", document_of(make_command("a")))
        lines = (tmp_path / "manifest.jsonl").read_text().splitlines()
        assert [json.loads(line) for line in lines] == erp.manifest()
        assert erp.manifest()[0]["kind"] == "alter"


def test_a_port_in_use_is_named_with_the_option_that_moves_it(tmp_path: Path) -> None:
    with simulated_erp(tmp_path / "a") as erp:
        port = erp.url.rsplit(":", 1)[1]
        second = run("erp-simulated", "--data-dir", str(tmp_path / "b"), "--port", port)
        assert second.returncode == 1
        assert port in second.stderr
        assert "--port" in second.stderr


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        (("adapter", "--entity", "acme-us"), "STREAMSYNC_ERP_TOKEN"),
        (("adapter", "--entity", "acme-us", "--token-file", "none"), "--token-file none"),
        (("erp-simulated", "--faults", "slow=1"), "slow=1"),
    ],
)
def test_wrong_use_is_told_in_one_line(arguments: tuple[str, ...], told: str) -> None:
    ended = run(*arguments)
    assert ended.returncode == 2
    assert told in ended.stderr
    assert len(ended.stderr.splitlines()) == 1


def test_a_wrong_blackout_is_told_in_one_line() -> None:
    arguments = ("adapter", "--entity", "acme-us", "--blackout", "noon")
    ended = run(*arguments, STREAMSYNC_ERP_TOKEN="x")
    assert (ended.returncode, len(ended.stderr.splitlines())) == (2, 1)
    assert "noon" in ended.stderr


def test_the_token_is_made_once_and_only_its_owner_reads_it(tmp_path: Path) -> None:
    token = token_in(tmp_path)
    assert token_in(tmp_path) == token
    assert len(token) >= 32
    assert stat.S_IMODE((tmp_path / "token").stat().st_mode) == 0o600


def test_the_chart_of_a_company_folder_is_read() -> None:
    chart = read_chart(ACME)
    currencies = {entity.id: entity.functional_currency for entity in chart.entities}
    assert currencies == {
        "acme-us": "USD", "acme-jp": "JPY", "acme-de": "EUR", "acme-kw": "KWD",
    }  # fmt: skip
    foreign = {entity.id: entity.currencies for entity in chart.entities}
    assert foreign == {"acme-us": ["EUR"], "acme-jp": [], "acme-de": [], "acme-kw": ["USD"]}
    assert all(entity.accounts for entity in chart.entities)
    assert isinstance(chart, Chart)


@pytest.mark.parametrize("content", ["{", "[]", '{"entities": []}', None])
def test_a_broken_chart_is_refused_with_its_place(tmp_path: Path, content: str | None) -> None:
    path = tmp_path / "chart.json"
    if content is not None:
        path.write_text(content)
    with pytest.raises(SimulatedErpError, match="chart.json"):
        read_chart(path)
