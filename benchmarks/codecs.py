"""The codecs of workload W: which there are, and how each brings an event to its posting.

Problem: decoding and encoding is most of the work, so the same lane is measured with each codec of
the contracts. How: the generator of the contracts writes a codec for W's schemas too, built once
into the user's cache. It knows no enumerations, so it reads the kind as the number that it is on
the wire. Every codec must give the same bytes, which the digest of the outputs shows.
"""

from __future__ import annotations

import hashlib
import importlib.util
import shutil
import subprocess
import sys
from collections.abc import Mapping
from functools import lru_cache
from pathlib import Path
from typing import Any

from msgspec import Struct

from benchmarks import peers, workload
from benchmarks.processes import RunFailed
from benchmarks.workload import EVENT_SCHEMA, KINDS, POSTING_SCHEMA, Process, State, settle
from streamsync.contracts import generate

FASTAVRO = "fastavro"
COMPILED = "compiled"

_MODULE = "workload_codec"
# The contracts' codec frames its records; peers write bare Avro, so it is put on and taken off.
_HEADER = bytes(5)


class WorkloadEvent(Struct, frozen=True):
    """An event of W; `kind` is an index of `workload.KINDS`."""

    event_id: str
    kind: int
    subscription_id: str
    customer_id: str
    document_no: str
    currency: str
    amount_minor: int
    tax_minor: int
    period_start: int
    period_end: int
    event_time: int
    plan: str
    description: str | None


class WorkloadPosting(Struct, frozen=True):
    """A posting of W."""

    command_id: str
    subscription_id: str
    customer_id: str
    journal: str
    currency: str
    debit_minor: int
    credit_minor: int
    deferred_minor: int
    posting_time: int
    seq: int


def available() -> tuple[str, ...]:
    """Names of the codecs of this installation, the fastest first."""
    return (COMPILED, FASTAVRO) if _compiler_is_there() else (FASTAVRO,)


def processing(codec: str) -> Process:
    """How to bring an event's bytes to its posting's."""
    if codec == FASTAVRO:
        return workload.process
    if codec == COMPILED:
        return _compiled()
    raise ValueError(f"There is no codec {codec!r}: use {' or '.join(available())}.")


def _compiled() -> Process:
    module = _load(built())
    module.bind({"WorkloadEvent": WorkloadEvent, "WorkloadPosting": WorkloadPosting})
    decode = module.record_codec("WorkloadEvent", _HEADER).decode
    encode = module.record_codec("WorkloadPosting", _HEADER).encode

    def process(state: State, data: bytes) -> tuple[State, bytes]:
        event = decode(_HEADER + data)
        after, journal, debit, credit, change = settle(
            state, KINDS[event.kind], event.amount_minor, event.tax_minor
        )
        posting = WorkloadPosting(
            event.event_id,
            event.subscription_id,
            event.customer_id,
            journal,
            event.currency,
            debit,
            credit,
            change,
            event.event_time,
            after[3],
        )
        return after, encode(posting)[len(_HEADER) :]

    return process


@lru_cache(maxsize=1)
def built() -> Path:
    """The extension with W's codec, built now if it is not there."""
    source = generate.source(
        {"WorkloadEvent": _without_enumerations(EVENT_SCHEMA), "WorkloadPosting": POSTING_SCHEMA}
    )
    digest = hashlib.sha256(f"{sys.version}{source}".encode()).hexdigest()[:12]
    folder = peers.cache() / f"benchmark-codec-{digest}"
    if not folder.is_dir():
        part = folder.with_name(f"{folder.name}.part")
        shutil.rmtree(part, ignore_errors=True)
        part.mkdir(parents=True)
        text = part / f"{_MODULE}.pyx"
        text.write_text(source, encoding="utf-8")
        done = subprocess.run(
            [sys.executable, "-m", "Cython.Build.Cythonize", "-i", text],
            capture_output=True,
            text=True,
            cwd=part,
            check=False,
        )
        if done.returncode:
            raise RunFailed(f"W's codec was not built: {done.stderr.strip()[-1_000:]}")
        part.rename(folder)
    return next(folder.glob(f"{_MODULE}.*.so"))


def _load(path: Path) -> Any:
    spec = importlib.util.spec_from_file_location(_MODULE, path)
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def _without_enumerations(schema: Mapping[str, Any]) -> dict[str, Any]:
    fields = [
        {**field, "type": "int"}
        if isinstance(field["type"], dict) and field["type"]["type"] == "enum"
        else field
        for field in schema["fields"]
    ]
    return {**schema, "fields": fields}


def _compiler_is_there() -> bool:
    return importlib.util.find_spec("Cython") is not None and shutil.which("cc") is not None
