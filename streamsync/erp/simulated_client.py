"""Client of the simulated ERP: HTTP in, outcomes out.

Problem: what a broken request did depends on how it broke. How: only a connection that was never
made and an answer that says "not now" mean that nothing happened; everything else after the first
byte is `Unknown`. A batch is answered line by line, so the documents before a cut are known.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import Any, Literal
from urllib.parse import quote

import aiohttp

from streamsync.core.records import EchoLine, PostingCommand, PostingTotals
from streamsync.erp.protocol import (
    Duplicate,
    ErpDocument,
    LookUpOutcome,
    NotFound,
    Parked,
    PeriodChanged,
    PeriodOutcome,
    Posted,
    PostOutcome,
    Rejected,
    Unavailable,
    Unknown,
    safe_message,
)

CANONICAL_CODES: Mapping[str, str] = {
    "UNBALANCED": "UNBALANCED",
    "PERIOD_NOT_OPEN": "PERIOD_CLOSED",
    "ACCOUNT_UNKNOWN": "ACCOUNT_INVALID",
    "ACCOUNT_BLOCKED": "ACCOUNT_INVALID",
    "CURRENCY_UNKNOWN": "CURRENCY_INVALID",
}
# A refusal outside the list is ours to fix: the command or this client is wrong.
OTHER_CODE = "DOCUMENT_INVALID"
_LINE_BYTES_MAX = 1024 * 1024
# A lost connection, a silent server, or an answer that is not what the ERP's contract says.
_BROKEN = (
    aiohttp.ClientError,
    TimeoutError,
    ValueError,
    LookupError,
    TypeError,
    AttributeError,
)


def document_of(command: PostingCommand) -> dict[str, Any]:
    """The command in the simulated ERP's words."""
    return {
        "external_key": command.erp_key,
        "entity": command.entity,
        "ledger": command.ledger,
        "journal_type": command.journal_type,
        "document_date": command.document_date,
        "posting_date": command.posting_date,
        "period": command.period,
        "currency": command.txn_currency,
        "functional_currency": command.functional_currency,
        "lines": [
            {
                "no": line.no,
                "account": line.account,
                "side": line.side,
                "amount_minor": line.amount_minor,
                "functional_minor": line.functional_minor,
            }
            for line in command.lines
        ],
        "reference": {
            "idempotency_key": command.idempotency_key,
            "revision": command.revision,
            "command_id": command.command_id,
            "account": command.account,
            "correlation_id": command.correlation_id,
        },
        "created_at_ms": command.created_at_ms,
        "deadline_at_ms": command.deadline_at_ms,
    }


def _document(body: Mapping[str, Any]) -> ErpDocument:
    lines = body["lines"]

    def total(side: str, amount: str) -> int:
        return sum(line[amount] for line in lines if line["side"] == side)

    return ErpDocument(
        id=body["id"],
        number=body["number"],
        fiscal_year=body["fiscal_year"],
        period=body["period"],
        posting_date=body["posting_date"],
        currency=body["currency"],
        lines=tuple(
            EchoLine(
                no=line["no"],
                account=line["account"],
                side=line["side"],
                amount_minor=line["amount_minor"],
            )
            for line in lines
        ),
        totals=PostingTotals(
            debit_minor=total("debit", "amount_minor"),
            credit_minor=total("credit", "amount_minor"),
            count=len(lines),
            functional_debit_minor=total("debit", "functional_minor"),
            functional_credit_minor=total("credit", "functional_minor"),
        ),
        posted_at_ms=body["booked_at_ms"],
        idempotency_key=body["reference"]["idempotency_key"],
        revision=body["reference"]["revision"],
    )


def _answer_to(command: PostingCommand, line: bytes) -> PostOutcome:
    body = json.loads(line)
    if body["external_key"] != command.erp_key:
        raise ValueError("the ERP answers another document than it was asked for")
    return outcome_of(body)


def outcome_of(body: Mapping[str, Any]) -> PostOutcome:
    """The simulated ERP's answer for one document."""
    match body["outcome"]:
        case "posted":
            return Posted(_document(body["document"]))
        case "duplicate":
            return Duplicate(_document(body["document"]))
        case "processing":
            return Parked()
        case "rejected":
            return _rejected(body)
        case other:
            return Unknown(safe_message(f"unknown answer {other!r}"))


def _rejected(body: Mapping[str, Any]) -> Rejected:
    native = safe_message(str(body["error"]["code"]))
    canonical = CANONICAL_CODES.get(native, OTHER_CODE)
    return Rejected(canonical, native, safe_message(str(body["error"]["message"])))


def _unavailable(response: aiohttp.ClientResponse) -> Unavailable:
    wait = response.headers.get("Retry-After", "")
    retry_after_ms = int(wait) * 1000 if wait.isdecimal() else None
    if response.status == 401:
        return Unavailable("AUTH", "the ERP refuses the token; set STREAMSYNC_ERP_TOKEN")
    code: Literal["RATE_LIMITED", "UNAVAILABLE"] = (
        "RATE_LIMITED" if response.status == 429 else "UNAVAILABLE"
    )
    return Unavailable(code, f"the ERP answers HTTP {response.status}", retry_after_ms)


def _perhaps_processed(status: int) -> bool:
    # 503 says "not now"; any other server error may come after the booking.
    return status >= 500 and status != 503


class SimulatedErpClient:
    """`ErpClient` of the simulated ERP. `timeout_seconds` bounds each request."""

    # The simulated ERP enforces the key.
    not_found_conclusive_after_ms = 0

    def __init__(self, url: str, token: str, timeout_seconds: float = 10.0) -> None:
        self._url = url.rstrip("/")
        self._token = token
        self._timeout_seconds = timeout_seconds
        self._session: aiohttp.ClientSession | None = None

    def _http(self) -> aiohttp.ClientSession:
        # Made at first use: a session belongs to the running loop.
        if self._session is None:
            self._session = aiohttp.ClientSession(
                headers={"Authorization": f"Bearer {self._token}"},
                timeout=aiohttp.ClientTimeout(total=self._timeout_seconds),
                read_bufsize=_LINE_BYTES_MAX,
            )
        return self._session

    async def close(self) -> None:
        """Close the connections."""
        if self._session is not None:
            await self._session.close()
            self._session = None

    async def post_batch(self, commands: Sequence[PostingCommand]) -> Sequence[PostOutcome]:
        """Post in one request; what was not answered before the connection broke is unknown."""
        outcomes: list[PostOutcome] = []
        rest: PostOutcome = Unknown("the ERP ended its answer early")
        body = {"documents": [document_of(command) for command in commands]}
        try:
            async with self._http().post(f"{self._url}/journal-entries", json=body) as response:
                if response.status != 200:
                    rest = (
                        Unknown(f"the ERP answers HTTP {response.status}")
                        if _perhaps_processed(response.status)
                        else _unavailable(response)
                    )
                else:
                    async for line in response.content:
                        outcomes.append(_answer_to(commands[len(outcomes)], line))
        except aiohttp.ClientConnectorError as error:
            rest = Unavailable("UNAVAILABLE", _broken(error))
        except _BROKEN as error:
            rest = Unknown(_broken(error))
        return outcomes[: len(commands)] + [rest] * (len(commands) - len(outcomes))

    async def look_up(self, entity: str, erp_key: str) -> LookUpOutcome:
        """The document with this key; any failure says nothing and is `Unavailable`."""
        query = {"entity": entity, "external_key": erp_key}
        try:
            async with self._http().get(f"{self._url}/journal-entries", params=query) as response:
                if response.status not in (200, 202, 404):
                    return _unavailable(response)
                body = await response.json()
                # A 404 of some proxy in between is no answer of the ERP.
                if response.status == 404 and body.get("outcome") == "not_found":
                    return NotFound()
                outcome = outcome_of(body)
        except _BROKEN as error:
            return Unavailable("UNAVAILABLE", _broken(error))
        if isinstance(outcome, Posted | Parked):
            return outcome
        return Unavailable("UNAVAILABLE", "the ERP gave no usable answer to a look-up")

    async def set_period(
        self, entity: str, period: str, status: Literal["open", "closed"]
    ) -> PeriodOutcome:
        """Open or close a period."""
        verb = "close" if status == "closed" else "open"
        try:
            async with self._http().post(
                f"{self._url}/periods/{quote(entity, safe='')}/{quote(period, safe='')}/{verb}"
            ) as response:
                if response.status == 200:
                    return PeriodChanged()
                if response.status in (400, 404):
                    return _rejected(await response.json())
                return _unavailable(response)
        except _BROKEN as error:
            return Unavailable("UNAVAILABLE", _broken(error))


def _broken(error: Exception) -> str:
    return safe_message(f"{type(error).__name__}: {error}" if str(error) else type(error).__name__)
