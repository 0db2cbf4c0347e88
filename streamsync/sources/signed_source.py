"""What sources share whose webhooks carry an HMAC of their body in one header.

Problem: two systems that sign alike must be verified by the same code, or one of them will lag
behind a fix. How: a source names its header and reads its own envelope; the rest is here.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from typing import ClassVar

from streamsync.sources.envelope import Envelope
from streamsync.sources.refusal import Refusal
from streamsync.sources.signature import SigningSecret, sign, verify


class SignedSource(ABC):
    """`signature_header`: the header with `t=seconds,v1=hex`."""

    signature_header: ClassVar[str]

    @abstractmethod
    def envelope(self, body: bytes) -> Envelope:
        """The names needed to route a body; `Refusal` when it is not strict JSON."""

    def account_hint(self, body: bytes) -> str | None:
        """The billing account of a body, None where it names none or cannot be read."""
        try:
            return self.envelope(body).account
        except Refusal:
            return None

    def verify(
        self,
        headers: Mapping[str, str],
        body: bytes,
        secrets: Sequence[SigningSecret],
        now_ms: int,
    ) -> str:
        """Id of the key that signed the body; `SignatureRefused` otherwise."""
        wanted = self.signature_header.lower()
        found = [value for name, value in headers.items() if name.lower() == wanted]
        return verify(found[0] if len(found) == 1 else None, body, secrets, now_ms)

    def sign(self, body: bytes, secret: SigningSecret, now_ms: int) -> Mapping[str, str]:
        """Headers that make the body pass `verify`."""
        return {self.signature_header: sign(body, secret, now_ms)}
