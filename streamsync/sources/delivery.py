"""Delivers webhooks to the ingress as a billing system does: signed, and again until stored.

Problem: recorded and simulated events must enter by the same door as real ones, and an ingress
that throttles or whose broker is away must lose none of them. How: every body is signed when it is
sent (a signature ages), 429, 503 and broken connections are tried again with growing pauses that
respect Retry-After, and any other refusal is final and reported.
"""

from __future__ import annotations

import time
from dataclasses import dataclass

import aiohttp
from tenacity import (
    AsyncRetrying,
    RetryCallState,
    RetryError,
    retry_if_exception_type,
    stop_after_delay,
    wait_random_exponential,
)

from streamsync.sources import SOURCES
from streamsync.sources.configured import ConfiguredSource
from streamsync.sources.signature import SigningSecret

_AGAIN = frozenset({429, 502, 503, 504})
_PAUSE_MAX_S = 30


class _TryAgain(Exception):
    def __init__(self, why: str, after_s: int | None = None) -> None:
        super().__init__(why)
        self.after_s = after_s


@dataclass(frozen=True, slots=True)
class Delivered:
    """What became of one body: `status` 200 is stored; 0, the ingress could not be reached."""

    status: int
    reason: str
    what_to_do: str
    attempts: int

    @property
    def stored(self) -> bool:
        """Whether the ingress answered that the broker has it."""
        return self.status == 200


def _pause(state: RetryCallState) -> float:
    failure = state.outcome.exception() if state.outcome else None
    told = failure.after_s if isinstance(failure, _TryAgain) else None
    backoff: float = wait_random_exponential(multiplier=0.2, max=_PAUSE_MAX_S)(state)
    return backoff if told is None else min(_PAUSE_MAX_S, max(told, backoff))


class Delivery:
    """Sends bodies of one source to one ingress over a session that the caller owns."""

    def __init__(
        self,
        session: aiohttp.ClientSession,
        base_url: str,
        source: ConfiguredSource,
        *,
        patience_s: int = 120,
    ) -> None:
        self._session = session
        self._url = f"{base_url.rstrip('/')}/webhooks/{source.name}"
        self._source = source
        self._patience_s = patience_s

    async def send(self, body: bytes) -> Delivered:
        """One body, until it is stored, refused for good, or patience ends."""
        attempts = 0
        try:
            async for attempt in AsyncRetrying(
                stop=stop_after_delay(self._patience_s),
                wait=_pause,
                retry=retry_if_exception_type((_TryAgain, aiohttp.ClientError, TimeoutError)),
            ):
                with attempt:
                    attempts += 1
                    return await self._once(body, attempts)
        except RetryError as error:
            last = error.last_attempt.exception()
            why = str(last) if isinstance(last, _TryAgain) else type(last).__name__
            what = f"Check that the ingress runs at {self._url} and that its broker is up."
            return Delivered(0, why, what, attempts)
        raise AssertionError("the retry loop ends by a result or an error")

    async def _once(self, body: bytes, attempts: int) -> Delivered:
        now_ms = time.time_ns() // 1_000_000
        headers = {"Content-Type": "application/json"}
        headers |= SOURCES[self._source.kind].sign(body, self._secret(now_ms), now_ms)
        async with self._session.post(self._url, data=body, headers=headers) as answer:
            if answer.status == 200:
                await answer.read()
                return Delivered(200, "stored", "", attempts)
            told = await _told(answer)
            reason = str(told.get("error", answer.reason))
            if answer.status in _AGAIN:
                after = answer.headers.get("Retry-After", "")
                raise _TryAgain(reason, int(after) if after.isdecimal() else None)
            return Delivered(answer.status, reason, str(told.get("what_to_do", "")), attempts)

    def _secret(self, now_ms: int) -> SigningSecret:
        valid = [secret for secret in self._source.secrets if secret.valid_at(now_ms)]
        # While two overlap, the newer one signs; without a valid one, the ingress says so.
        return valid[-1] if valid else self._source.secrets[-1]


async def _told(answer: aiohttp.ClientResponse) -> dict[str, object]:
    try:
        told = await answer.json(content_type=None)
    except (aiohttp.ClientError, ValueError):
        return {}
    return told if isinstance(told, dict) else {}
