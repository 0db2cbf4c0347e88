"""Which billing sources this installation takes webhooks from, and with which secrets.

Problem: a secret must be in no command line, log, topic or repository, and must be changeable
without losing a webhook. How: a YAML file names the sources and, per secret, the environment
variable or file that holds it, with the dates between which it is valid. Without a file, the
variable `STREAMSYNC_STRIPE_SECRET` configures one source named `stripe`.
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

from pydantic import BaseModel, ConfigDict, Field, ValidationError
from ruamel.yaml import YAML
from ruamel.yaml.error import YAMLError

from streamsync.sources.signature import SigningSecret

SOURCES_FILE = "STREAMSYNC_SOURCES_FILE"
STRIPE_SECRET = "STREAMSYNC_STRIPE_SECRET"  # noqa: S105 - the name of a variable
_SECRET_LENGTH_MIN = 16


@dataclass(frozen=True, slots=True)
class ConfiguredSource:
    """One source: its name is the namespace of its ids, its kind picks the reader."""

    name: str
    kind: str
    secrets: tuple[SigningSecret, ...]
    requests_per_second: int = 2000
    burst: int = 4000


class SourcesInvalid(Exception):
    """The configuration of sources cannot be used; the text names place, rule and remedy."""


class _SecretModel(BaseModel):
    model_config = ConfigDict(extra="forbid")

    key_id: str = Field(min_length=1, max_length=64)
    secret_env: str | None = None
    secret_file: Path | None = None
    not_before: datetime | None = None
    not_after: datetime | None = None


class _SourceModel(BaseModel):
    model_config = ConfigDict(extra="forbid")

    kind: str
    secrets: list[_SecretModel] = Field(min_length=1)
    requests_per_second: int = Field(default=2000, ge=1, le=1_000_000)
    burst: int = Field(default=4000, ge=1, le=1_000_000)


class _FileModel(BaseModel):
    model_config = ConfigDict(extra="forbid")

    sources: dict[str, _SourceModel] = Field(min_length=1)


def _checked(secret: str, place: str) -> bytes:
    stripped = secret.strip()
    if len(stripped) < _SECRET_LENGTH_MIN:
        raise SourcesInvalid(
            f"{place}: the secret is empty or shorter than {_SECRET_LENGTH_MIN} characters; put "
            "the signing secret of the webhook endpoint there."
        )
    return stripped.encode()


def _secret_bytes(model: _SecretModel, place: str, env: Mapping[str, str]) -> bytes:
    if (model.secret_env is None) == (model.secret_file is None):
        raise SourcesInvalid(f"{place}: give either secret_env or secret_file.")
    if model.secret_env is not None:
        return _checked(env.get(model.secret_env, ""), f"variable {model.secret_env} ({place})")
    assert model.secret_file is not None  # noqa: S101 - by the rule above
    try:
        return _checked(model.secret_file.read_text(), f"{model.secret_file} ({place})")
    except (OSError, UnicodeDecodeError) as error:
        why = type(error).__name__
        raise SourcesInvalid(f"{place}: {model.secret_file} cannot be read ({why}).") from error


def _milliseconds(moment: datetime | None) -> int | None:
    if moment is None:
        return None
    aware = moment if moment.tzinfo else moment.replace(tzinfo=UTC)
    return int(aware.timestamp()) * 1000


def _source(name: str, model: _SourceModel, file: Path, env: Mapping[str, str]) -> ConfiguredSource:
    from streamsync.sources import SOURCES  # noqa: PLC0415 - the package imports its modules

    if model.kind not in SOURCES:
        known = ", ".join(sorted(SOURCES))
        raise SourcesInvalid(f"{file}: sources.{name}.kind: one of {known} is required.")
    secrets = []
    for at, secret in enumerate(model.secrets):
        place = f"{file}: sources.{name}.secrets[{at}]"
        secrets.append(
            SigningSecret(
                key_id=secret.key_id,
                secret=_secret_bytes(secret, place, env),
                not_before_ms=_milliseconds(secret.not_before),
                not_after_ms=_milliseconds(secret.not_after),
            )
        )
    return ConfiguredSource(
        name, model.kind, tuple(secrets), model.requests_per_second, model.burst
    )


def _from_file(file: Path, env: Mapping[str, str]) -> Mapping[str, ConfiguredSource]:
    try:
        parsed = YAML(typ="safe", pure=True).load(file.read_text())
        model = _FileModel.model_validate(parsed)
    except OSError as error:
        raise SourcesInvalid(
            f"{file}: cannot be read ({type(error).__name__}); {SOURCES_FILE} names the file."
        ) from error
    except YAMLError as error:
        mark = getattr(error, "problem_mark", None)
        line = f"line {mark.line + 1}" if mark else "some line"
        raise SourcesInvalid(f"{file}: {line} is not YAML.") from error
    except ValidationError as error:
        first = error.errors(include_url=False, include_input=False)[0]
        place = ".".join(str(step) for step in first["loc"])
        raise SourcesInvalid(f"{file}: {place}: {first['msg']}.") from None
    return {name: _source(name, source, file, env) for name, source in model.sources.items()}


def load_sources(
    file: Path | None = None, env: Mapping[str, str] | None = None
) -> Mapping[str, ConfiguredSource]:
    """The configured sources by name; `SourcesInvalid` with place and remedy otherwise."""
    variables = os.environ if env is None else env
    named = variables.get(SOURCES_FILE)
    chosen = file or (Path(named) if named else None)
    if chosen is not None:
        return _from_file(chosen, variables)
    if STRIPE_SECRET not in variables:
        raise SourcesInvalid(
            f"No billing source is configured: set {STRIPE_SECRET} to the signing secret of the "
            f"webhook endpoint, or {SOURCES_FILE} to a file that lists the sources."
        )
    secret = SigningSecret("environment", _checked(variables[STRIPE_SECRET], STRIPE_SECRET))
    return {"stripe": ConfiguredSource("stripe", "stripe", (secret,))}
