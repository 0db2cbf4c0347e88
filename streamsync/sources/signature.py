"""Webhook signatures of the form `t=seconds,v1=hex[,v1=hex]`: HMAC-SHA256 over `t.body`.

Problem: whoever can forge, cut or replay a signed request can write into the books. How: the MAC is
taken over the raw bytes, compared in constant time against every secret valid at that moment, the
time must be within the tolerance both ways, and a header that is not exactly of the form is refused
as a whole, so that no shortened signature is ever compared. Secrets are dated, which is how one is
rotated: both are valid during the overlap. The time now is given, never read.
"""

from __future__ import annotations

import hashlib
import hmac
import re
from collections.abc import Sequence
from dataclasses import dataclass, field

TOLERANCE_MS = 300_000
_SIGNATURES_MAX = 16
_TIME = re.compile(r"[0-9]{1,12}", re.ASCII)
_MAC = re.compile(r"[0-9a-f]{64}", re.ASCII)


@dataclass(frozen=True, slots=True)
class SigningSecret:
    """A secret, valid from `not_before_ms` until before `not_after_ms` (None: no limit)."""

    key_id: str
    secret: bytes = field(repr=False)
    not_before_ms: int | None = None
    not_after_ms: int | None = None

    def valid_at(self, now_ms: int) -> bool:
        """Whether the secret may be used at this time."""
        started = self.not_before_ms is None or self.not_before_ms <= now_ms
        return started and (self.not_after_ms is None or now_ms < self.not_after_ms)


class SignatureRefused(Exception):
    """The request proves nothing; `reason` says which rule it broke, for a counter."""

    def __init__(self, reason: str) -> None:
        super().__init__(reason)
        self.reason = reason


def _mac(secret: bytes, seconds: str, body: bytes) -> str:
    return hmac.new(secret, seconds.encode() + b"." + body, hashlib.sha256).hexdigest()


def _parse(header: str) -> tuple[str, list[str]]:
    seconds: str | None = None
    macs: list[str] = []
    for part in header.split(","):
        name, equals, value = part.strip(" ").partition("=")
        if not equals:
            raise SignatureRefused("signature_malformed")
        if name == "t":
            if seconds is not None or not _TIME.fullmatch(value):
                raise SignatureRefused("signature_malformed")
            seconds = value
        elif name == "v1":
            if not _MAC.fullmatch(value):
                raise SignatureRefused("signature_malformed")
            macs.append(value)
        # Other schemes (Stripe sends v0 for test events) prove nothing and are passed over.
    if seconds is None or not macs or len(macs) > _SIGNATURES_MAX:
        raise SignatureRefused("signature_malformed")
    return seconds, macs


def verify(header: str | None, body: bytes, secrets: Sequence[SigningSecret], now_ms: int) -> str:
    """The id of the key whose MAC is in the header, else `SignatureRefused`."""
    if not header:
        raise SignatureRefused("signature_missing")
    seconds, macs = _parse(header)
    signed_by: str | None = None
    # No early end: the time taken tells nothing about which secret or signature came close.
    for secret in secrets:
        expected = _mac(secret.secret, seconds, body)
        for mac in macs:
            equal = hmac.compare_digest(expected, mac)
            if equal and secret.valid_at(now_ms) and signed_by is None:
                signed_by = secret.key_id
    if signed_by is None:
        raise SignatureRefused("signature_wrong")
    # After the MAC: only the holder of a secret learns that his clock is off.
    if abs(int(seconds) * 1000 - now_ms) > TOLERANCE_MS:
        raise SignatureRefused("signature_stale")
    return signed_by


def sign(body: bytes, secret: SigningSecret, now_ms: int) -> str:
    """The header value that `verify` accepts for this body at this time."""
    seconds = str(now_ms // 1000)
    return f"t={seconds},v1={_mac(secret.secret, seconds, body)}"
