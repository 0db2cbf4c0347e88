"""A small client of Stripe's API: only GET, only the configured host, within a budget.

Problem: a client that follows redirects or a path from a payload can be led elsewhere with the key,
and one without a budget takes the limit of the company's own systems. How: the base address must be
on the list of allowed hosts, redirects are refused, at most so many requests a second, answers that
may pass (429, 5xx, a broken connection) are tried again with growing pauses, and what was fetched
once is remembered. The key comes from the environment and stands in no log or error.
"""

from __future__ import annotations

import time
from collections import OrderedDict
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import urlsplit

import httpx
from tenacity import Retrying, retry_if_exception_type, stop_after_attempt, wait_random_exponential

from streamsync.refetch.complete import Want

ALLOWED_HOSTS = frozenset({"api.stripe.com"})
_LOOPBACK = frozenset({"127.0.0.1", "::1", "localhost"})
_AGAIN = frozenset({409, 429, 500, 502, 503, 504})
_ATTEMPTS = 6
_PAGE = 100
_PAGES_MAX = 500
_CACHE_MAX = 1000


class FetchFailed(Exception):
    """The object could not be fetched; the text says what to do, and never holds the key."""


class _Passing(Exception):
    """An answer that may be another one later."""


@dataclass(slots=True)
class StripeApi:
    """`sleep` and `now` are given by tests."""

    key: str = field(repr=False)
    base_url: str = "https://api.stripe.com"
    requests_per_second: float = 10.0
    now: Callable[[], float] = time.monotonic
    sleep: Callable[[float], None] = time.sleep
    requests: int = 0
    _next: float = 0.0
    _cache: OrderedDict[tuple[str, str | None], Any] = field(default_factory=OrderedDict)
    _client: httpx.Client = field(init=False, repr=False)

    def __post_init__(self) -> None:
        where = urlsplit(self.base_url)
        # A local stand-in may be plain HTTP; the key never leaves this machine by it.
        local = where.hostname in _LOOPBACK
        if not local and (where.scheme != "https" or where.hostname not in ALLOWED_HOSTS):
            allowed = ", ".join(sorted(ALLOWED_HOSTS))
            raise FetchFailed(f"{self.base_url} is no allowed address: use https and {allowed}.")
        self._client = httpx.Client(
            base_url=self.base_url,
            headers={"Authorization": f"Bearer {self.key}"},
            follow_redirects=False,
            timeout=30,
            trust_env=not local,
        )

    def close(self) -> None:
        """Close the connections."""
        self._client.close()

    def fetch(self, want: Want) -> Any:
        """The wanted object, or all items of the wanted list."""
        kept = (want.path, want.api_version)
        if kept in self._cache:
            self._cache.move_to_end(kept)
            return self._cache[kept]
        found = self._pages(want) if want.is_list else self._get(want, {})
        self._cache[kept] = found
        if len(self._cache) > _CACHE_MAX:
            self._cache.popitem(last=False)
        return found

    def _pages(self, want: Want) -> list[Any]:
        items: list[Any] = []
        for _ in range(_PAGES_MAX):
            after = {"starting_after": items[-1]["id"]} if items else {}
            page = self._get(want, {"limit": str(_PAGE), **after})
            data = page.get("data") if isinstance(page, dict) else None
            if not isinstance(data, list) or not all(_has_id(one) for one in data):
                raise FetchFailed(f"{want.path}: the answer is no list of objects.")
            items += data
            if not page.get("has_more") or not data:
                return items
        raise FetchFailed(f"{want.path}: more than {_PAGES_MAX * _PAGE} items.")

    def _get(self, want: Want, query: dict[str, str]) -> Any:
        headers = {"Stripe-Version": want.api_version} if want.api_version else {}
        tries = Retrying(
            stop=stop_after_attempt(_ATTEMPTS),
            wait=wait_random_exponential(multiplier=0.5, max=20),
            retry=retry_if_exception_type((_Passing, httpx.TransportError)),
            sleep=self.sleep,
            reraise=True,
        )
        try:
            return tries(self._once, want.path, query, headers)
        except (_Passing, httpx.TransportError) as error:
            why = str(error) if isinstance(error, _Passing) else type(error).__name__
            text = f"{want.path}: {why}, {_ATTEMPTS} times; it is tried again at the next start."
            raise FetchFailed(text) from None

    def _once(self, path: str, query: dict[str, str], headers: dict[str, str]) -> Any:
        self._within_budget()
        answer = self._client.get(path, params=query, headers=headers)
        if answer.status_code in _AGAIN:
            raise _Passing(f"status {answer.status_code}")
        if answer.status_code in (401, 403):
            raise FetchFailed(f"{path}: the API key may not read it (status {answer.status_code}).")
        if answer.status_code != 200:
            raise FetchFailed(f"{path}: status {answer.status_code}, which no retry changes.")
        try:
            return answer.json()
        except ValueError:
            raise FetchFailed(f"{path}: the answer is not JSON.") from None

    def _within_budget(self) -> None:
        wait = self._next - self.now()
        if wait > 0:
            self.sleep(wait)
        self._next = max(self._next, self.now()) + 1 / self.requests_per_second
        self.requests += 1


def _has_id(item: Any) -> bool:
    return isinstance(item, dict) and isinstance(item.get("id"), str)
