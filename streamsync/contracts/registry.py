"""The schema registry: Confluent's HTTP API, as Apicurio and others serve it.

Problem: a schema that breaks readers must be refused before the first record is written with it.
How: each subject is set to FULL_TRANSITIVE and today's schema registered at start; a refusal names
the subject and what to do. While records flow, only an id that was registered after the start is
asked for, once.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

import httpx
from tenacity import (
    Retrying,
    retry_if_exception_type,
    stop_after_delay,
    wait_random_exponential,
)

_CONTENT_TYPE = "application/vnd.schemaregistry.v1+json"
_COMPATIBILITY = "FULL_TRANSITIVE"


class IncompatibleSchema(Exception):
    """The registry refuses today's schema against an earlier version."""


class RegistryUnavailable(Exception):
    """The registry did not answer."""


class InMemoryRegistry:
    """Gives out ids in order; for the in-memory driver and tests."""

    def __init__(self) -> None:
        self._ids: dict[str, int] = {}
        self._schemas: dict[str, dict[int, Mapping[str, Any]]] = {}

    def register(self, subject: str, schema: Mapping[str, Any]) -> int:
        """The id of this schema; the same for the same schema."""
        text = json.dumps(schema, sort_keys=True)
        schema_id = self._ids.setdefault(text, len(self._ids) + 1)
        self._schemas.setdefault(subject, {})[schema_id] = schema
        return schema_id

    def versions(self, subject: str) -> Mapping[int, Mapping[str, Any]]:
        """All registered versions of a subject, by id."""
        return dict(self._schemas.get(subject, {}))

    def schema(self, schema_id: int) -> Mapping[str, Any] | None:
        """The schema with this id, None when there is no such id."""
        for known in self._schemas.values():
            if schema_id in known:
                return known[schema_id]
        return None


class SchemaRegistry:
    """A Confluent-compatible registry at `url` (for Apicurio with `/apis/ccompat/v7`)."""

    def __init__(self, url: str, *, patience_s: int = 30) -> None:
        self._url = url.rstrip("/")
        self._patience_s = patience_s
        # One client: each new one loads the certificates of the machine anew, 30 ms a call.
        # It keeps no connection open: a process asks at its start, then perhaps never again.
        self._client = httpx.Client(
            headers={"Content-Type": _CONTENT_TYPE},
            timeout=10,
            limits=httpx.Limits(max_keepalive_connections=0),
        )

    def register(self, subject: str, schema: Mapping[str, Any]) -> int:
        """Register today's schema under FULL_TRANSITIVE; answers its id."""
        self._call("PUT", f"/config/{subject}", {"compatibility": _COMPATIBILITY})
        body = {"schema": json.dumps(schema), "schemaType": "AVRO"}
        return int(self._call("POST", f"/subjects/{subject}/versions", body)["id"])

    def versions(self, subject: str) -> Mapping[int, Mapping[str, Any]]:
        """All registered versions of a subject, by id."""
        found = {}
        for number in self._call("GET", f"/subjects/{subject}/versions"):
            told = self._call("GET", f"/subjects/{subject}/versions/{number}")
            found[int(told["id"])] = json.loads(told["schema"])
        return found

    def schema(self, schema_id: int) -> Mapping[str, Any] | None:
        """The schema with this id, None when there is no such id or it is no Avro record."""
        told = self._call("GET", f"/schemas/ids/{schema_id}", absent_is_none=True)
        try:
            schema = json.loads(told["schema"]) if told is not None else None
        except ValueError:
            return None
        return schema if isinstance(schema, dict) else None

    def _call(
        self,
        method: str,
        path: str,
        body: Mapping[str, Any] | None = None,
        *,
        absent_is_none: bool = False,
    ) -> Any:
        patient = Retrying(
            stop=stop_after_delay(self._patience_s),
            wait=wait_random_exponential(multiplier=0.1, max=2),
            retry=retry_if_exception_type(httpx.TransportError),
            reraise=True,
        )
        try:
            answer = patient(self._send, method, path, body)
        except httpx.TransportError as error:
            raise RegistryUnavailable(
                f"The schema registry at {self._url} does not answer ({type(error).__name__}): "
                "start it with `streamsync broker`, or give --schema-registry-url."
            ) from error
        if answer.status_code == httpx.codes.CONFLICT:
            raise IncompatibleSchema(
                f"{path}: the registry refuses the schema as incompatible with an earlier version "
                f"({_message(answer)}). Add fields only with a default, and remove or rename none; "
                "a change of meaning needs a new record."
            )
        if absent_is_none and answer.status_code == httpx.codes.NOT_FOUND:
            return None
        if answer.is_error:
            raise RegistryUnavailable(
                f"The schema registry at {self._url} answers {answer.status_code} to {method} "
                f"{path}: {_message(answer)}"
            )
        return answer.json()

    def _send(self, method: str, path: str, body: Mapping[str, Any] | None) -> httpx.Response:
        content = None if body is None else json.dumps(body)
        return self._client.request(method, self._url + path, content=content)


def _message(answer: httpx.Response) -> str:
    try:
        return str(answer.json().get("message", ""))[:500]
    except ValueError:
        return answer.text[:200]
