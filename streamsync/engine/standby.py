"""Warm copies of lanes' partitions that another worker owns.

Problem: a partition whose owner dies should be back in seconds, whatever the size of its state.
So the assignor names standbys (`table_standby_replicas`), and each keeps its database up to the
changelog: committed transactions only, up to marker rows, never writing to Kafka. Being promoted
is an ordinary recovery that finds little left to read. In the meantime the copy can be read, and
every answer from it says how old it is.

One thread and one consumer serve all standbys of a worker.
"""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable, Mapping
from dataclasses import dataclass

from confluent_kafka import KafkaException

from streamsync.engine.changelog import Changelog, ChangelogReader, Copy, Place
from streamsync.engine.cluster import Cluster
from streamsync.engine.trouble import DatabaseTrouble

log = logging.getLogger(__name__)

_POLL_S = 0.5
# At the end of a quiet changelog a reader would ask a hundred times a second otherwise.
_FETCH_WAIT_MS = 500
_PAUSE_S = 1.0


@dataclass(frozen=True, slots=True)
class Followed:
    """Where one standby is: the source position of its rows, and changelog offsets behind."""

    position: int | None
    lag: int


class Standbys:
    """All standbys of this worker; started anew with each assignment."""

    def __init__(
        self,
        cluster: Cluster,
        group_id: str,
        tell: Callable[[str, int, Followed], None],
        crash: Callable[[BaseException], None],
    ) -> None:
        self._cluster = cluster
        self._group_id = group_id
        self._tell = tell
        self._crash = crash
        self._stop = threading.Event()
        self._thread: threading.Thread | None = None
        self.followed: dict[Place, Followed] = {}
        self._given: frozenset[Place] = frozenset()

    def start(self, standbys: Mapping[Place, Changelog]) -> None:
        """Follow these from now on; none is followed when it is called."""
        if not standbys:
            return
        self._given = frozenset(standbys)
        self._stop = threading.Event()
        self._thread = threading.Thread(
            target=self._run, args=(dict(standbys), self._stop), name="standbys", daemon=True
        )
        self._thread.start()

    def ask_to_stop(self) -> None:
        self._stop.set()

    def join(self) -> frozenset[Place]:
        """Wait until the thread writes no more; gives what it followed. Blocks for about a poll."""
        thread, self._thread = self._thread, None
        if thread is not None:
            thread.join()
        given, self._given, self.followed = self._given, frozenset(), {}
        return given

    def cold(self, within: int) -> int:
        """How many are farther behind than so many offsets, or were not looked at yet."""
        followed = [self.followed.get(place) for place in self._given]
        return sum(1 for one in followed if one is None or one.lag > within)

    def _run(self, standbys: Mapping[Place, Changelog], stop: threading.Event) -> None:
        while not stop.is_set():
            try:
                self._follow(standbys, stop)
            except (KafkaException, DatabaseTrouble) as error:
                log.warning("Standbys can't be followed now: %s", error.args[0])
                stop.wait(_PAUSE_S)
            except Exception as error:  # noqa: BLE001  (a damaged row: never left out)
                self._crash(error)
                return

    def _follow(self, standbys: Mapping[Place, Changelog], stop: threading.Event) -> None:
        reader = ChangelogReader(self._cluster, self._group_id, wait_ms=_FETCH_WAIT_MS)
        try:
            for place, changelog in standbys.items():
                if stop.is_set():
                    return
                self._say(changelog, place, reader.add(changelog, place[1]))
            while not stop.is_set():
                reader.poll(_POLL_S)
                reader.hear_ends()
                # Few writes: a copy that is half a second behind is warm enough.
                reader.write()
                for place, copy in reader.copies.items():
                    self._say(copy.changelog, place, copy)
        finally:
            reader.close()

    def _say(self, changelog: Changelog, place: Place, copy: Copy) -> None:
        position = None if copy.marker is None else copy.marker.position
        followed = Followed(position, copy.remaining)
        if self.followed.get(place) != followed:
            self.followed[place] = followed
            self._tell(changelog.lane, place[1], followed)
