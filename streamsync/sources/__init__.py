"""Billing systems behind one interface: a stored webhook in, one canonical event out.

Problem: every billing system words, signs and versions its facts differently. How: one module per
system implements `Source`; everything else asks `SOURCES` by kind and never names a system.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Protocol

from streamsync.core.facts import BillingEvent
from streamsync.core.records import RawWebhook, SourcePosition
from streamsync.sources import strict_json
from streamsync.sources.account import account_key, is_processor, record_key
from streamsync.sources.canonical import Canonical, is_canonical
from streamsync.sources.envelope import Envelope
from streamsync.sources.refusal import Refusal
from streamsync.sources.signature import SigningSecret
from streamsync.sources.stripe import Stripe

__all__ = ["SOURCES", "Source", "account_key", "is_processor", "kind_of", "record_key"]


class Source(Protocol):
    """One billing system."""

    @property
    def kind(self) -> str:
        """Its name in `RawWebhook.source_kind`."""
        ...

    def read_event(self, raw: RawWebhook, position: SourcePosition) -> BillingEvent:
        """Exactly one canonical event; pure, and never raises on any bytes."""
        ...

    def envelope(self, body: bytes) -> Envelope:
        """The names that route a body; `sources.refusal.Refusal` when it cannot be read."""
        ...

    def account_hint(self, body: bytes) -> str | None:
        """The billing account that a body names, or None."""
        ...

    def verify(
        self,
        headers: Mapping[str, str],
        body: bytes,
        secrets: Sequence[SigningSecret],
        now_ms: int,
    ) -> str:
        """Id of the key that signed the body; `sources.signature.SignatureRefused` otherwise."""
        ...

    def sign(self, body: bytes, secret: SigningSecret, now_ms: int) -> Mapping[str, str]:
        """Headers with which the body passes `verify`."""
        ...


SOURCES: Mapping[str, Source] = {"stripe": Stripe(), "canonical": Canonical()}


def kind_of(body: bytes, otherwise: str) -> str:
    """The kind of source that a body says it is of; only canonical events say so themselves."""
    try:
        return Canonical.kind if is_canonical(strict_json.loads(body)) else otherwise
    except Refusal:
        return otherwise
