"""Signatures: only an untouched, recent header made with a valid secret passes."""

from __future__ import annotations

import hashlib
import hmac

import pytest

from streamsync.sources.signature import SignatureRefused, SigningSecret, sign, verify

NOW = 1_768_435_200_000
BODY = b'{"id":"evt_1","note":"\xc3\xa9"}'
SECRET = SigningSecret("k1", b"whsec_first")


def header_by_hand(body: bytes, secret: bytes, seconds: int) -> str:
    """The published scheme, written a second time: HMAC-SHA256 over `t.body`, hex."""
    mac = hmac.new(secret, f"{seconds}.".encode() + body, hashlib.sha256).hexdigest()
    return f"t={seconds},v1={mac}"


def refused(header: str | None, body: bytes = BODY, now: int = NOW, *secrets: SigningSecret) -> str:
    with pytest.raises(SignatureRefused) as caught:
        verify(header, body, secrets or (SECRET,), now)
    return caught.value.reason


def test_accepts_what_the_published_scheme_makes_and_makes_the_same() -> None:
    header = header_by_hand(BODY, b"whsec_first", NOW // 1000)
    assert verify(header, BODY, [SECRET], NOW) == "k1"
    assert sign(BODY, SECRET, NOW) == header


def test_a_known_vector() -> None:
    # printf '12345.{}' | openssl dgst -sha256 -hmac secret
    mac = "4df28e080fc082b61331789f00e00e122571a07d78931a85ae3d327292701d4e"
    secret = SigningSecret("k", b"secret")
    assert verify(f"t=12345,v1={mac}", b"{}", [secret], 12_345_000) == "k"


def test_every_truncation_and_every_flipped_byte_is_refused() -> None:
    header = sign(BODY, SECRET, NOW)
    for end in range(len(header)):
        assert refused(header[:end])
    for at in range(len(header)):
        changed = chr(ord(header[at]) ^ 1)
        assert refused(header[:at] + changed + header[at + 1 :])
    for end in range(len(BODY)):
        assert refused(header, BODY[:end]) == "signature_wrong"


def test_an_empty_signature_is_refused_even_with_an_empty_secret() -> None:
    for header in ("t=1768435200,v1=", "t=1768435200,v1", "v1=,t=1768435200", "v1,", ""):
        assert refused(header, BODY, NOW, SigningSecret("k", b""))


def test_the_tolerance_holds_both_ways_to_the_second() -> None:
    header = sign(BODY, SECRET, NOW)
    assert verify(header, BODY, [SECRET], NOW + 300_000) == "k1"
    assert verify(header, BODY, [SECRET], NOW - 300_000) == "k1"
    assert refused(header, BODY, NOW + 301_000) == "signature_stale"
    assert refused(header, BODY, NOW - 301_000) == "signature_stale"


def test_both_secrets_work_while_they_overlap_and_only_then() -> None:
    day = 86_400_000
    old = SigningSecret("old", b"whsec_old", None, NOW + day)
    new = SigningSecret("new", b"whsec_new", NOW - day, None)
    both = sign(BODY, old, NOW) + "," + sign(BODY, new, NOW).split(",")[1]
    assert verify(sign(BODY, old, NOW), BODY, [old, new], NOW) == "old"
    assert verify(sign(BODY, new, NOW), BODY, [old, new], NOW) == "new"
    assert verify(both, BODY, [new], NOW) == "new"
    later = NOW + day
    assert refused(sign(BODY, old, later), BODY, later, old, new) == "signature_wrong"
    earlier = NOW - day - 1000
    assert refused(sign(BODY, new, earlier), BODY, earlier, old, new) == "signature_wrong"


def test_a_second_time_or_a_signature_of_another_scheme_proves_nothing() -> None:
    header = sign(BODY, SECRET, NOW)
    seconds, mac = header.split(",")
    assert refused(f"{seconds},{header}") == "signature_malformed"
    assert refused(f"{seconds},{mac.replace('v1', 'v0')}") == "signature_malformed"
    assert verify(f"{header},v0=anything", BODY, [SECRET], NOW) == "k1"
    assert refused(mac) == "signature_malformed"
    assert refused(None) == "signature_missing"


def test_one_malformed_signature_refuses_the_whole_header() -> None:
    header = sign(BODY, SECRET, NOW)
    for cut in ("", "00", header[-63:], header[-64:].upper(), header[-64:] + "0"):
        assert refused(f"{header},v1={cut}") == "signature_malformed"


def test_the_secret_is_not_in_the_text_of_the_object() -> None:
    assert "whsec" not in repr(SECRET)
