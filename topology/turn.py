"""One step of the ledger: the shard, the record's position, and the outputs so far.

Problem: every verb of the path reads rows, knows the shard's time and emits records; passing five
things each time hides what a verb does. How: a `Turn` carries them for one record, and encodes
what is emitted.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from streamsync.core.company import Company, Entity
from streamsync.core.records import SourcePosition
from streamsync.engine.lane import Output, Shard
from topology import topics
from topology.rows import CLOCK, COMPANY, GAUGE, ClockRow, row_key

Encode = Callable[[Any], bytes]


class Turn:
    """What a verb of the ledger may use while it handles one record."""

    __slots__ = ("_encode", "outputs", "partitions", "position", "shard")

    def __init__(
        self, shard: Shard, position: SourcePosition, encode: Encode, partitions: int
    ) -> None:
        self.shard = shard
        self.position = position
        self.partitions = partitions
        self.outputs: list[Output] = []
        self._encode = encode

    @property
    def clock(self) -> ClockRow:
        """The shard's time: its highest tick."""
        return self.shard.get(CLOCK, "") or ClockRow()

    def company(self, tenant: str) -> Company | None:
        """The company's rules in force at the shard's tick."""
        return self.shard.get(COMPANY, row_key(tenant))

    def gauge(self, name: str, change: int) -> None:
        """Raise or lower a number that views and metrics show without walking rows."""
        value = (self.shard.get(GAUGE, name) or 0) + change
        self.shard.put(GAUGE, name, value)

    def emit(self, topic: str, key: str, record: object, partition: int | None = None) -> None:
        """Write a record when this turn commits."""
        self.outputs.append(Output(topic, key.encode(), self._encode(record), partition))

    def to_log(self, key: str, record: object, partition: int | None = None) -> None:
        """Write a record that some shard's ledger (perhaps this one) reads later."""
        self.emit(topics.LEDGER_LOG, key, record, partition)


def entity_of(company: Company, entity: str) -> Entity | None:
    """The entity with this id, if the company has it."""
    return next((found for found in company.entities if found.id == entity), None)
