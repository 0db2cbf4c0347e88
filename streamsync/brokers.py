"""How to reach Kafka: addresses, encryption and credentials, for every client library.

Problem: librdkafka, aiokafka and Faust are told the same things in three ways, a password must
reach each of them and no log, and a setting that one of them ignores would fail somewhere else
much later. So there is one value; it checks itself when it is made, and shows only addresses.
"""

from __future__ import annotations

import ssl
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

PROTOCOLS = ("PLAINTEXT", "SSL", "SASL_PLAINTEXT", "SASL_SSL")
MECHANISMS = ("PLAIN", "SCRAM-SHA-256", "SCRAM-SHA-512")


class BrokersMisconfigured(ValueError):
    """Settings that contradict each other; the text says which and what to do."""


@dataclass(frozen=True)
class Brokers:
    """One cluster's brokers: `servers` is `host:port`, several divided by commas."""

    servers: str
    protocol: str = "PLAINTEXT"
    ca_file: Path | None = None
    """Certificates to trust; without it those that the system trusts."""
    certificate_file: Path | None = None
    """A client's own certificate, where brokers ask for one, and its key."""
    key_file: Path | None = None
    mechanism: str | None = None
    username: str | None = None
    password: str | None = field(default=None, repr=False)

    def __post_init__(self) -> None:
        if self.protocol not in PROTOCOLS:
            raise BrokersMisconfigured(
                f"The security protocol {self.protocol!r} is none of {', '.join(PROTOCOLS)}."
            )
        if self.uses_sasl:
            self._check_sasl()
        elif self.username or self.password or self.mechanism:
            raise BrokersMisconfigured(
                f"SASL settings are given, but the security protocol {self.protocol} sends none: "
                "set STREAMSYNC_SECURITY_PROTOCOL to SASL_SSL or SASL_PLAINTEXT."
            )
        files = (self.ca_file, self.certificate_file, self.key_file)
        if any(files) and not self.uses_tls:
            raise BrokersMisconfigured(
                f"Certificate files are given, but the security protocol {self.protocol} does not "
                "encrypt: set STREAMSYNC_SECURITY_PROTOCOL to SSL or SASL_SSL."
            )
        for path in files:
            if path is not None and not path.is_file():
                raise BrokersMisconfigured(f"There is no certificate or key file {path}.")
        if (self.certificate_file is None) != (self.key_file is None):
            raise BrokersMisconfigured("A client certificate and its key go together: give both.")

    @classmethod
    def of(cls, brokers: Brokers | str) -> Brokers:
        """Plain addresses are brokers without encryption or credentials."""
        return brokers if isinstance(brokers, Brokers) else cls(brokers)

    def __str__(self) -> str:
        return self.servers

    @property
    def addresses(self) -> list[str]:
        return [address.strip() for address in self.servers.split(",") if address.strip()]

    @property
    def uses_tls(self) -> bool:
        return self.protocol in ("SSL", "SASL_SSL")

    @property
    def uses_sasl(self) -> bool:
        return self.protocol.startswith("SASL_")

    def librdkafka(self) -> dict[str, Any]:
        """Settings of confluent-kafka's clients."""
        told: dict[str, Any] = {
            "bootstrap.servers": ",".join(self.addresses),
            "security.protocol": self.protocol,
        }
        given = {
            "ssl.ca.location": self.ca_file,
            "ssl.certificate.location": self.certificate_file,
            "ssl.key.location": self.key_file,
            "sasl.mechanism": self.mechanism,
            "sasl.username": self.username,
            "sasl.password": self.password,
        }
        return told | {name: str(value) for name, value in given.items() if value is not None}

    def aiokafka(self) -> dict[str, Any]:
        """Arguments of aiokafka's clients."""
        told: dict[str, Any] = {
            "bootstrap_servers": self.addresses,
            "security_protocol": self.protocol,
            "ssl_context": self.ssl_context(),
        }
        if self.uses_sasl:
            told |= {
                "sasl_mechanism": self.mechanism,
                "sasl_plain_username": self.username,
                "sasl_plain_password": self.password,
            }
        return told

    def ssl_context(self) -> ssl.SSLContext | None:
        """For Python's own TLS; `None` without encryption."""
        if not self.uses_tls:
            return None
        context = ssl.create_default_context(cafile=self.ca_file)
        if self.certificate_file is not None:
            context.load_cert_chain(self.certificate_file, self.key_file)
        return context

    def _check_sasl(self) -> None:
        if self.mechanism not in MECHANISMS:
            raise BrokersMisconfigured(
                f"The SASL mechanism {self.mechanism!r} is none of {', '.join(MECHANISMS)}: set "
                "STREAMSYNC_SASL_MECHANISM."
            )
        if not self.username or not self.password:
            raise BrokersMisconfigured(
                f"The security protocol {self.protocol} needs a user and a password: set "
                "STREAMSYNC_SASL_USERNAME and STREAMSYNC_SASL_PASSWORD."
            )
