"""Recovery of lane tables inside Faust's recovery: the hooks of steps 1 and 2.

Problem: Faust's own recovery hangs on transactional changelogs (it waits for an offset that is a
transaction marker) and skips rows that it can't decode. It must therefore see no work in lane
changelogs. The lanes' own recovery begins where Faust's ends, and goes on in the background: stock
agents work, and so does each lane partition that is ready, while others are still recovered.

Pinned to faust-streaming 0.15.3; `tests/contract` says what changed if it does.
"""

from __future__ import annotations

import logging
from collections import defaultdict
from typing import TYPE_CHECKING, Any, cast

from faust.assignor.partition_assignor import PartitionAssignor
from faust.tables.manager import TableManager
from faust.tables.recovery import Recovery
from faust.tables.table import Table
from faust.types import TP
from faust.types.tables import CollectionT

if TYPE_CHECKING:
    from streamsync.engine.app import LaneApp
    from streamsync.engine.lanes import Lanes

log = logging.getLogger(__name__)


class LaneRecovery(Recovery):
    """Faust's recovery for Faust's tables, the lanes' own for theirs."""

    _lane_tps: frozenset[TP] = frozenset()
    _lane_standbys: frozenset[TP] = frozenset()

    @property
    def _lanes(self) -> Lanes:
        return cast("LaneApp", self.app).lanes

    def add_active(self, table: CollectionT, tp: TP) -> None:
        if tp.topic in self._lanes.by_changelog:
            self._lane_tps |= {tp}
        else:
            super().add_active(table, tp)

    def add_standby(self, table: CollectionT, tp: TP) -> None:
        if tp.topic in self._lanes.by_changelog:
            self._lane_standbys |= {tp}
        else:
            super().add_standby(table, tp)

    async def on_rebalance(self, *args: Any, **kwargs: Any) -> None:
        self._lane_tps = self._lane_standbys = frozenset()
        self._lanes.membership.confirm(self._lanes.membership.now())
        await super().on_rebalance(*args, **kwargs)

    async def on_recovery_completed(self, generation_id: int = 0) -> None:
        def still_ours() -> bool:
            # A worker that ends has given up its partitions for good.
            return not self.app.should_stop and self.app.consumer_generation_id == generation_id

        self._check_assignment()
        await super().on_recovery_completed(generation_id)
        if not still_ours():
            return
        if not self.standby_tps:
            # Faust waits for records of its standbys, and lanes' are none of them.
            self.tables.on_standbys_ready()
        await self._lanes.take_over(self._owned(), self._lane_standbys, still_ours)

    async def _wait(self, coro: Any, timeout: Any = None) -> None:
        # Faust takes a time-out for "the service was stopped" and ends recovery without a word,
        # for good. While no broker answers there is nothing better to do than to wait on.
        await super()._wait(coro)

    def _owned(self) -> dict[str, list[int]]:
        """Partitions of which this worker has both the source and the changelog."""
        assignment = self.app.consumer.assignment()
        owned: dict[str, list[int]] = defaultdict(list)
        for tp in self._lane_tps:
            lane = self._lanes.by_changelog[tp.topic]
            if TP(lane.spec.source, tp.partition) in assignment:
                owned[lane.spec.name].append(tp.partition)
        return owned

    def _check_assignment(self) -> None:
        """Refuse to run when a source partition has no worker: its records would wait for ever.

        A topic that the client didn't know when it subscribed is left out without a word.
        """
        assigned: set[TP] = set()
        assignor = cast(PartitionAssignor, self.app.assignor)
        for topics in assignor.external_topics_metadata().values():
            for topic, partitions in topics.items():
                assigned.update(TP(topic, partition) for partition in partitions)
        for lane in self._lanes.by_name.values():
            count = self._lanes.catalog.partitions(lane.spec.source)
            left = [p for p in range(count) if TP(lane.spec.source, p) not in assigned]
            if left:
                self._lanes.catalog.look_again()  # it may be gone by now
                raise RuntimeError(
                    f"Nobody was assigned partitions {left} of {lane.spec.source!r}, the source "
                    f"of lane {lane.spec.name!r}: the topic was not known when the worker "
                    "subscribed. Start the worker again."
                )


class LaneRowsAreReadOnly(Exception):
    """An agent or a page wrote to a lane's table."""


class LaneTable(Table[bytes, bytes]):
    """A lane's rows as a Faust table: read by anybody, written by the lane alone.

    Faust would send a row to the changelog before the store could refuse it.
    """

    def on_key_set(self, key: Any, value: Any) -> None:
        self._refuse()

    def on_key_del(self, key: Any) -> None:
        self._refuse()

    def on_clear(self) -> None:
        self._refuse()

    def _refuse(self) -> None:
        raise LaneRowsAreReadOnly(
            f"The rows of lane {self.name!r} are written by its step alone, in the transaction of "
            "the record that changes them: send a record to the lane's source topic instead, or "
            "keep a table of your own."
        )


class LaneTableManager(TableManager):
    """Gives the app the recovery above."""

    @property
    def recovery(self) -> Recovery:
        if self._recovery is None:
            self._recovery = LaneRecovery(self.app, self, beacon=self.beacon, loop=self.loop)
        return self._recovery
