"""Questions to what is running: the worker's views and the simulated ERP.

Problem: the demo may move time only when it knows what is still under way, and a worker that was
just killed answers nothing for a while. How: plain GETs; what cannot be answered now is `NotYet`,
and whoever waits asks again.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import aiohttp

from streamsync.demo.options import DemoError

Json = dict[str, Any]
_HTTP_OK = 200
_HTTP_NOT_FOUND = 404


class NotYet(Exception):
    """Nobody can answer right now; ask again."""


class Views:
    """The web views of the worker group; any worker answers for all."""

    def __init__(self, session: aiohttp.ClientSession, urls: Sequence[str]) -> None:
        self._session = session
        self._urls = urls

    async def get(self, path: str) -> Json | None:
        """A view, or None where there is no such thing."""
        why = "no worker"
        for url in self._urls:
            try:
                async with self._session.get(url + path) as answer:
                    if answer.status == _HTTP_OK:
                        found: Json = await answer.json()
                        return found
                    if answer.status == _HTTP_NOT_FOUND:
                        return None
                    why = f"{url} answers {answer.status}"
            except (aiohttp.ClientError, TimeoutError) as error:
                why = f"{url}: {type(error).__name__}"
        raise NotYet(why)

    async def counts(self) -> Json:
        """Source records by class, postings in flight and ticks, over all partitions."""
        return await self.get("/v1/counts") or {}

    async def exceptions(self) -> list[Json]:
        """All exceptions, open and resolved."""
        answer = await self.get("/v1/exceptions/all") or {"exceptions": []}
        found: list[Json] = answer["exceptions"]
        return found

    async def totals(self, tenant: str, entity: str) -> Json | None:
        """An entity's book at its last cut."""
        return await self.get(f"/v1/totals/{tenant}/{entity}")

    async def account(self, name: str) -> Json | None:
        """A billing account by its name `tenant/source/id`."""
        return await self.get(f"/v1/accounts/{name}")

    async def document(self, account: str, document: str) -> Json | None:
        """A billing document with everything that became of it."""
        return await self.get(f"/v1/accounts/{account}/documents/{document}")


class Erp:
    """The simulated ERP, as its administrator."""

    def __init__(self, session: aiohttp.ClientSession, url: str, token: str) -> None:
        self._session = session
        self._url = url
        self._headers = {"Authorization": f"Bearer {token}"}

    async def set_clock(self, time_ms: int) -> int:
        """Move its time; how many late postings are booked now and not looked up since."""
        answer = await self._call("POST", "/admin/clock", {"time_ms": time_ms})
        return int(answer["due_unanswered"])

    async def due_unanswered(self) -> int:
        """How many late postings are booked by now and not looked up since."""
        return int((await self._call("GET", "/admin/clock"))["due_unanswered"])

    async def manifest(self) -> list[Json]:
        """Every fault so far."""
        faults: list[Json] = (await self._call("GET", "/admin/manifest"))["faults"]
        return faults

    async def trial_balance(self, entity: str, period: str) -> list[Json]:
        """Debit and credit by account of the booked entries of a period."""
        answer = await self._call("GET", f"/trial-balance?entity={entity}&period={period}")
        accounts: list[Json] = answer["accounts"]
        return accounts

    async def entry(self, number: str) -> Json:
        """A booked entry by its document number."""
        return await self._call("GET", f"/journal-entries/{number}")

    async def _call(self, method: str, path: str, body: Mapping[str, Any] | None = None) -> Json:
        try:
            async with self._session.request(
                method, self._url + path, json=body, headers=self._headers
            ) as answer:
                if answer.status != _HTTP_OK:
                    raise DemoError(
                        f"The simulated ERP answers {answer.status} to {method} {path}."
                    )
                found: Json = await answer.json()
                return found
        except (aiohttp.ClientError, TimeoutError) as error:
            raise NotYet(f"the simulated ERP: {type(error).__name__}") from error
