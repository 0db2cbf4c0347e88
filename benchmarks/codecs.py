"""The codecs of workload W: which there are, and their two functions.

Problem: decoding and encoding is most of the work, so the same lane is measured with each codec.
How: a codec is named, and every one of them must give the same bytes, which the digest of the
outputs shows.
"""

from __future__ import annotations

from benchmarks import workload
from benchmarks.workload import Decode, Encode

FASTAVRO = "fastavro"


def available() -> tuple[str, ...]:
    """Names of the codecs of this installation."""
    return (FASTAVRO,)


def workload_codec(name: str) -> tuple[Decode, Encode]:
    """How to read an event and write a posting."""
    if name == FASTAVRO:
        return workload.decode_event, workload.encode_posting
    raise ValueError(f"There is no codec {name!r}: this installation has {', '.join(available())}.")
