"""Where everything listens and keeps its data: one settings object for every process.

Problem: a dozen processes must agree on addresses without a flag each. How: pydantic-settings
reads `STREAMSYNC_*` environment variables; command-line options override single fields. Every
listener is on loopback unless it is opened on purpose.
"""

from __future__ import annotations

from pathlib import Path
from typing import Literal

from pydantic import Field, SecretStr, ValidationError
from pydantic_settings import BaseSettings, SettingsConfigDict

from streamsync.brokers import Brokers


class Settings(BaseSettings):
    """Settings of one installation; every field can be set as `STREAMSYNC_<FIELD>`."""

    model_config = SettingsConfigDict(env_prefix="STREAMSYNC_")

    data_dir: Path = Field(
        default=Path("data"), description="Folder for broker, state and outboxes."
    )
    host: str = Field(default="127.0.0.1", description="Address that listeners bind to.")
    bootstrap_servers: str = Field(
        default="127.0.0.1:19092",
        description="Kafka bootstrap servers, several divided by commas.",
    )
    security_protocol: str = Field(
        default="PLAINTEXT", description="PLAINTEXT, SSL, SASL_PLAINTEXT or SASL_SSL, to Kafka."
    )
    ssl_ca_file: Path | None = Field(
        default=None, description="Certificates that Kafka's must be signed by; else the system's."
    )
    ssl_certificate_file: Path | None = Field(
        default=None, description="This client's certificate, where brokers ask for one."
    )
    ssl_key_file: Path | None = Field(default=None, description="The key of that certificate.")
    sasl_mechanism: str | None = Field(
        default=None, description="PLAIN, SCRAM-SHA-256 or SCRAM-SHA-512."
    )
    sasl_username: str | None = Field(default=None, description="User at the brokers.")
    sasl_password: SecretStr | None = Field(
        default=None, description="The user's password; from the environment only."
    )
    schema_registry_url: str = Field(
        default="http://127.0.0.1:18081/apis/ccompat/v7",
        description="Confluent-compatible registry.",
    )
    codec: Literal["auto", "compiled", "fastavro"] = Field(
        default="auto",
        description="Avro codec of workers: compiled, fastavro, or auto, the first that is there.",
    )
    kafka_port: int = Field(default=19092, description="Port of the embedded broker.")
    registry_port: int = Field(default=18081, description="Port of the embedded registry.")
    ingress_port: int = Field(default=18080, description="Port of the webhook ingress.")
    worker_web_port: int = Field(default=16066, description="Port of the first worker's web views.")
    public_url: str | None = Field(
        default=None, description="How other workers reach this worker's views, if not by host."
    )
    erp_port: int = Field(default=18090, description="Port of the simulated ERP.")
    adapter_port: int = Field(default=18091, description="Port of the adapter's metrics.")
    tenant: str = Field(default="acme", description="Tenant of this installation.")
    app_id: str = Field(default="streamsync", description="Name of the worker group.")
    partitions: int = Field(
        default=8, ge=1, description="Partitions of the ledger; never changed later."
    )
    standby_replicas: int = Field(
        default=1, ge=0, description="Other workers that keep a warm copy of each partition."
    )
    drain_seconds: int = Field(
        default=30, ge=1, description="After SIGTERM a worker ends within so many seconds."
    )
    clock: str = Field(
        default="system", pattern="^(system|external)$", description="Who emits ticks."
    )
    tick_seconds: int = Field(
        default=60, ge=1, description="Seconds between ticks of the system clock."
    )

    def brokers(self, bootstrap_servers: str | None = None) -> Brokers:
        """How to reach Kafka; `bootstrap_servers` of a command's option go before the setting's.

        Raises `BrokersMisconfigured`, whose text says what to set.
        """
        return Brokers(
            bootstrap_servers or self.bootstrap_servers,
            protocol=self.security_protocol,
            ca_file=self.ssl_ca_file,
            certificate_file=self.ssl_certificate_file,
            key_file=self.ssl_key_file,
            mechanism=self.sasl_mechanism,
            username=self.sasl_username,
            password=self.sasl_password.get_secret_value() if self.sasl_password else None,
        )


def told_wrong(error: ValidationError) -> str:
    """What is wrong with the settings, a line for each: variable, value and rule."""
    return "\n".join(
        f'STREAMSYNC_{str(one["loc"][0]).upper()} is "{one["input"]}": {one["msg"]}. '
        "Set another value, or leave it out for the default."
        for one in error.errors(include_url=False)
    )
