"""Encryption and credentials: the same for every client, checked at once, in no text."""

from __future__ import annotations

import ssl
from pathlib import Path
from typing import Any

import pytest

from streamsync.brokers import Brokers, BrokersMisconfigured
from streamsync.config import Settings

SECRET = "hunter2-in-no-text"


@pytest.fixture
def certificates(tmp_path: Path) -> Path:
    path = tmp_path / "ca.pem"
    path.write_text("not looked into before it is used")
    return path


def test_plain_addresses_need_nothing_else() -> None:
    brokers = Brokers.of(" a:1, b:2 ")
    assert brokers.addresses == ["a:1", "b:2"]
    assert brokers.librdkafka() == {
        "bootstrap.servers": "a:1,b:2", "security.protocol": "PLAINTEXT"
    }  # fmt: skip
    assert brokers.aiokafka() == {
        "bootstrap_servers": ["a:1", "b:2"], "security_protocol": "PLAINTEXT", "ssl_context": None
    }  # fmt: skip


def test_credentials_reach_every_client_and_no_text() -> None:
    brokers = Brokers("a:1", "SASL_SSL", mechanism="SCRAM-SHA-512", username="app", password=SECRET)
    told = brokers.librdkafka()
    assert (told["sasl.mechanism"], told["sasl.username"]) == ("SCRAM-SHA-512", "app")
    assert told["sasl.password"] == brokers.aiokafka()["sasl_plain_password"] == SECRET
    assert isinstance(brokers.aiokafka()["ssl_context"], ssl.SSLContext)
    assert SECRET not in f"{brokers} {brokers!r}"


@pytest.mark.parametrize(
    ("settings", "told"),
    [
        ({"protocol": "TLS"}, "'TLS' is none of PLAINTEXT, SSL"),
        ({"protocol": "SASL_SSL", "mechanism": "OAUTH"}, "'OAUTH' is none of PLAIN"),
        ({"protocol": "SASL_SSL", "mechanism": "PLAIN", "username": "app"}, "SASL_PASSWORD"),
        ({"username": "app"}, "PLAINTEXT sends none: set STREAMSYNC_SECURITY_PROTOCOL"),
        ({"ca_file": Path("/nowhere/ca.pem")}, "PLAINTEXT does not encrypt"),
        ({"protocol": "SSL", "ca_file": Path("/nowhere/ca.pem")}, "There is no certificate"),
    ],
)
def test_settings_that_contradict_each_other_are_refused(
    settings: dict[str, Any], told: str
) -> None:
    with pytest.raises(BrokersMisconfigured, match=told):
        Brokers("a:1", **settings)


def test_a_certificate_without_its_key_is_refused(certificates: Path) -> None:
    with pytest.raises(BrokersMisconfigured, match="give both"):
        Brokers("a:1", "SSL", certificate_file=certificates)


def test_the_environment_tells_it_all(monkeypatch: pytest.MonkeyPatch, certificates: Path) -> None:
    for name, value in {
        "SECURITY_PROTOCOL": "SASL_SSL", "SSL_CA_FILE": str(certificates),
        "SASL_MECHANISM": "PLAIN", "SASL_USERNAME": "app", "SASL_PASSWORD": SECRET,
    }.items():  # fmt: skip
        monkeypatch.setenv(f"STREAMSYNC_{name}", value)
    settings = Settings()
    assert settings.brokers("b:2") == Brokers(
        "b:2", "SASL_SSL", certificates, mechanism="PLAIN", username="app", password=SECRET
    )
    assert SECRET not in repr(settings)
