"""What a webhook lacks is asked of a stand-in for Stripe's API, within budget, and put in place."""

from __future__ import annotations

import json
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import parse_qs, urlsplit

import pytest
from typer.testing import CliRunner

from streamsync.cli import build
from streamsync.refetch.api import FetchFailed, StripeApi
from streamsync.refetch.complete import Want, completed, wanted
from streamsync.refetch.process import Report, complete_one
from streamsync.sources.delivery import Delivered
from tests import stripe_payloads as p
from tests.ledger_driver import Books

KEY = "rk_test_0123456789abcdef"
LINES = [
    p.line(100, id=f"il_{at}", period={"start": p.JAN_15, "end": p.JAN_15}) for at in range(31)
]
WANT = Want("/v1/invoices/in_1/lines", True, "lines", "2020-08-27")


class FakeStripe(ThreadingHTTPServer):
    """Answers lines of an invoice in pages, and what `answers` tells for other paths."""

    daemon_threads = True

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), _Handler)
        self.seen: list[tuple[str, str | None, str | None]] = []
        self.failures: list[tuple[int, dict[str, str]]] = []
        self.url = f"http://127.0.0.1:{self.server_address[1]}"


class _Handler(BaseHTTPRequestHandler):
    server: FakeStripe

    def do_GET(self) -> None:  # noqa: N802 - the library's name
        headers = self.headers
        self.server.seen.append(
            (self.path, headers.get("Authorization"), headers.get("Stripe-Version"))
        )
        if self.server.failures:
            status, extra = self.server.failures.pop(0)
            self._answer(status, {"error": {"message": "no"}}, extra)
            return
        where = urlsplit(self.path)
        if where.path == "/v1/balance_transactions/txn_1":
            movement = {"id": "txn_1", "object": "balance_transaction", "type": "charge",
                        "amount": 3100, "fee": 120, "net": 2980, "currency": "usd",
                        "exchange_rate": None, "fee_details": []}  # fmt: skip
            self._answer(200, movement, {})
            return
        query = parse_qs(where.query)
        after = query.get("starting_after", [""])[0]
        begin = next((at + 1 for at, one in enumerate(LINES) if one["id"] == after), 0)
        page = LINES[begin : begin + 12]
        more = begin + 12 < len(LINES)
        self._answer(200, {"object": "list", "data": page, "has_more": more}, {})

    def _answer(self, status: int, body: dict[str, Any], extra: dict[str, str]) -> None:
        text = json.dumps(body).encode()
        self.send_response(status)
        for name, value in {"Content-Length": str(len(text)), **extra}.items():
            self.send_header(name, value)
        self.end_headers()
        self.wfile.write(text)

    def log_message(self, *_: object) -> None:
        """Nothing on standard error."""


@pytest.fixture
def stripe() -> Iterator[FakeStripe]:
    server = FakeStripe()
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    yield server
    server.shutdown()
    server.server_close()
    thread.join()


@pytest.fixture
def slept() -> list[float]:
    return []


@pytest.fixture
def api(stripe: FakeStripe, slept: list[float]) -> Iterator[StripeApi]:
    client = StripeApi(KEY, stripe.url, now=lambda: sum(slept), sleep=slept.append)
    yield client
    client.close()


def truncated() -> bytes:
    lines = {"object": "list", "data": LINES[:10], "has_more": True}
    body = p.event("invoice.finalized", p.invoice(lines=lines, total=3100))
    return json.dumps(body).encode()


def test_a_truncated_invoice_is_completed_and_its_record_waits_no_longer(api: StripeApi) -> None:
    books = Books()
    books.customer("cus_1")
    books.webhook(truncated())
    books.run()
    assert books.counts() == {"waiting": 1}
    assert books.open_codes() == ["lines_truncated"]
    report = Report()

    def send(source: str, body: bytes) -> Delivered:
        assert source == "stripe"
        books.webhook(body)
        return Delivered(200, "stored", "", 1)

    complete_one(p.raw(truncated()), api, send, report, fees=False)
    books.run()
    assert (report.read, report.completed, report.failures) == (1, 1, [])
    assert books.counts() == {"posted": 1, "duplicate": 1}
    assert books.open_codes() == []
    assert books.balances() == {("acme-us", "receivable"): 3100, ("acme-us", "revenue"): -3100}
    books.webhook(truncated())
    books.run()
    assert books.counts() == {"posted": 1, "duplicate": 2}


def test_the_fee_of_a_charge_is_fetched(api: StripeApi) -> None:
    taken = p.charge() | {"amount": 3100, "captured": True, "status": "succeeded",
                          "invoice": "in_1", "balance_transaction": "txn_1"}  # fmt: skip
    body = json.dumps(p.event("charge.succeeded", taken)).encode()
    want = wanted(body, fees=True)
    assert want == Want("/v1/balance_transactions/txn_1", False, "balance_transaction",
                        "2020-08-27")  # fmt: skip
    assert wanted(body, fees=False) is None
    books = Books()
    books.customer("cus_1")
    books.webhook(body)
    books.webhook(completed(body, want, api.fetch(want)))
    books.run()
    assert books.balances() == {("acme-us", "clearing"): -120, ("acme-us", "processing_fees"): 120}
    assert wanted(completed(body, want, api.fetch(want)), fees=True) is None


def test_all_pages_are_read_once_with_the_version_of_the_event(
    api: StripeApi, stripe: FakeStripe
) -> None:
    assert [line["id"] for line in api.fetch(WANT)] == [line["id"] for line in LINES]
    assert api.fetch(WANT) and len(stripe.seen) == 3
    assert {seen[1:] for seen in stripe.seen} == {(f"Bearer {KEY}", "2020-08-27")}


def test_answers_that_may_pass_are_tried_again_and_others_are_not(
    api: StripeApi, stripe: FakeStripe
) -> None:
    stripe.failures = [(429, {}), (500, {})]
    assert len(api.fetch(WANT)) == 31
    stripe.failures = [(503, {})] * 6
    with pytest.raises(FetchFailed, match="status 503, 6 times"):
        api.fetch(Want("/v1/invoices/in_2/lines", True, "lines", None))
    stripe.failures = [(404, {})]
    with pytest.raises(FetchFailed, match="status 404, which no retry changes"):
        api.fetch(Want("/v1/invoices/in_3/lines", True, "lines", None))


def test_a_redirect_is_not_followed_and_the_key_stands_in_no_error(
    api: StripeApi, stripe: FakeStripe
) -> None:
    stripe.failures = [(302, {"Location": f"{stripe.url}/elsewhere"}), (401, {})]
    for expected in ("status 302", "may not read it"):
        with pytest.raises(FetchFailed, match=expected) as told:
            api.fetch(WANT)
        assert KEY not in str(told.value) and KEY not in repr(api)
    assert all("elsewhere" not in path for path, _, _ in stripe.seen)


def test_only_allowed_hosts_get_the_key() -> None:
    for address in ("https://api.stripe.com.example.org", "http://api.stripe.com", "file:///x"):
        with pytest.raises(FetchFailed, match="no allowed address"):
            StripeApi(KEY, address)


def test_requests_keep_to_the_budget(api: StripeApi, slept: list[float]) -> None:
    api.fetch(WANT)
    assert api.requests == 3
    # Ten a second: the second and the third wait a tenth each.
    assert sum(slept) == pytest.approx(0.2)


def test_a_path_is_never_made_from_an_id_that_is_none() -> None:
    lines = {"object": "list", "data": [], "has_more": True}
    for identity in ("in_1/../../v1/account", "in 1", "", None, 7):
        body = p.event("invoice.finalized", p.invoice(lines=lines, id=identity))
        assert wanted(json.dumps(body).encode(), fees=True) is None


def test_without_a_key_the_command_says_what_to_set(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("STREAMSYNC_STRIPE_API_KEY", raising=False)
    result = CliRunner().invoke(build(), ["refetch", "--once"])
    assert result.exit_code == 2
    assert "STREAMSYNC_STRIPE_API_KEY is not set" in result.stderr
