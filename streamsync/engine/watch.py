"""Notice transactions that hang although nobody has failed.

Problem: a broker that dies may forget the end of a transaction whose writer had its yes already
(`hanging`). The writer goes on, but whoever reads the partition stands still, and nothing says a
word. So every few seconds, if anything was committed meanwhile, each worker asks for the stable
offset and the end of every partition that its lanes write to. Where readers are held at one offset
for longer than any transaction of ours is open, the log says whose transaction it is; that
partition of that lane is recovered, which ends it.

A look costs about six milliseconds of CPU for a hundred partitions; without commits there is none.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass

from streamsync.engine.evidence import Fate, Place, Sighting

INTERVAL_S = 3.0
STANDS_S = 5.0

FindOpen = Callable[[Iterable[Place]], Mapping[Place, tuple[int, int]]]
Look = Callable[[Mapping[Place, tuple[int, int]]], Mapping[Place, list[Sighting]]]


@dataclass(frozen=True, slots=True)
class Hanging:
    """A transaction that holds readers up, and the changelog partition of its writer."""

    place: Place
    offset: int
    writer: Place


class Watch:
    """Remembers since when each partition holds its readers at which offset."""

    def __init__(self, find_open: FindOpen, look: Look) -> None:
        self._find_open = find_open
        self._look = look
        self._held: dict[Place, tuple[int, float]] = {}
        self._told: set[Place] = set()
        self._clean_at = -1

    def hanging(self, places: Iterable[Place], commits: int, now: float) -> list[Hanging]:
        """What hangs on these partitions; each is told once. Blocks.

        `commits` counts whatever this worker has written: with as many as at the last look that
        found nothing, nothing can hang.
        """
        if commits == self._clean_at:
            return []
        open_now = self._find_open(places)
        before, self._held, told = self._held, {}, self._told
        self._told = set()
        stands: dict[Place, tuple[int, int]] = {}
        for place, (offset, end) in open_now.items():
            known = before.get(place)
            same = known is not None and known[0] == offset
            since = known[1] if known is not None and same else now
            self._held[place] = (offset, since)
            if same and place in told:
                self._told.add(place)
            elif now - since >= STANDS_S:
                stands[place] = (offset, end)
        if not open_now:
            self._clean_at = commits
        if not stands:
            return []
        seen_at = self._look(stands)  # may fail while a broker comes back: then it is not told
        self._told |= stands.keys()
        return [
            Hanging(place, stands[place][0], one.origin.writer)
            for place, seen in seen_at.items()
            for one in seen
            if one.fate is Fate.OPEN
        ]
