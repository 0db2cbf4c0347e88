"""Records on the wire: Avro schemas, Confluent framing, and the registry that guards them.

Problem: every process, in any language, must read what another wrote, today and in a year. How:
`schemas` loads `avro/`, `registry` registers each record under its own name with FULL_TRANSITIVE
compatibility, `codec` frames and unframes; a record is a frozen struct of `core` and nothing
else.
"""

from __future__ import annotations

from streamsync.contracts.codec import ContractError, Contracts
from streamsync.contracts.registry import (
    IncompatibleSchema,
    InMemoryRegistry,
    RegistryUnavailable,
    SchemaRegistry,
)

__all__ = [
    "ContractError",
    "Contracts",
    "InMemoryRegistry",
    "IncompatibleSchema",
    "RegistryUnavailable",
    "SchemaRegistry",
]
