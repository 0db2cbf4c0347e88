"""Limits of the ingress: sizes, rates and time-outs, each with its variable."""

from __future__ import annotations

from pydantic import Field
from pydantic_settings import BaseSettings, SettingsConfigDict


class IngressLimits(BaseSettings):
    """Every field can be set as `STREAMSYNC_INGRESS_<FIELD>`."""

    model_config = SettingsConfigDict(env_prefix="STREAMSYNC_INGRESS_")

    body_max_bytes: int = Field(default=1024 * 1024, ge=1, description="Larger bodies get 413.")
    in_flight_max: int = Field(
        default=2000, ge=1, description="Requests handled at once; more get 503."
    )
    read_timeout_seconds: int = Field(
        default=30, ge=1, description="A body that comes slower gets 408."
    )
    store_timeout_ms: int = Field(
        default=10_000, ge=100, description="Unacknowledged after this: 503."
    )
    drain_seconds: int = Field(
        default=20, ge=1, description="Time for open requests after SIGTERM."
    )
    retry_after_seconds: int = Field(default=5, ge=1, description="Retry-After of a 503.")
