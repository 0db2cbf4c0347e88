"""What goes wrong with workers and the broker in one run, and when.

Problem: a fault that never comes proves nothing, and one kind may crowd out another. How: crashes
walk through every commit step of every lane from seed to seed; each fault is armed at a drawn
moment, the next one when it has come; what really happened is counted.
"""

from __future__ import annotations

import random
from collections import Counter
from dataclasses import dataclass

from streamsync.engine.commit import Aborted, CommitError, CommitStep, Fenced, Unsettled
from streamsync.engine.driver import Driver, DriverCrashed
from tests.simulation.options import Options

LANES = ("webhooks", "customers", "control", "confirmations", "resolve", "ledger", "probe")
CRASH_POINTS = tuple((step, lane) for step in CommitStep for lane in LANES)
# An error of the broker is met up to the commit, and not settled means: perhaps committed.
_ERRORS: tuple[tuple[type[CommitError], CommitStep], ...] = (
    (Aborted, CommitStep.OUTPUTS),
    (Aborted, CommitStep.FLUSH),
    (Unsettled, CommitStep.FLUSH),
    (Unsettled, CommitStep.COMMIT),
    (Fenced, CommitStep.FLUSH),
)
_PATIENCE = 8


@dataclass(frozen=True, slots=True)
class _Fault:
    kind: str
    step: CommitStep
    lane: str
    error: type[CommitError] | None = None


class Faults:
    """Arms faults, and brings the worker back."""

    def __init__(self, options: Options, driver: Driver, arrivals: int) -> None:
        self._options = options
        self._driver = driver
        self._random = random.Random(f"{options.seed}/faults")
        self.happened: Counter[str] = Counter()
        self._armed: _Fault | None = None
        self._patience = 0
        self._pending = self._draw()
        moments = len(self._pending) + options.handovers
        self._moments = sorted(self._random.randrange(max(arrivals, 1)) for _ in range(moments))
        self._handovers = set(self._random.sample(self._moments, options.handovers))

    def _draw(self) -> list[_Fault]:
        options = self._options
        found = []
        for number in range(options.crashes):
            at = (options.seed * 11 + number * 13) % len(CRASH_POINTS)
            step, lane = CRASH_POINTS[at]
            found.append(_Fault("crash", step, lane))
        for _ in range(options.commit_errors):
            error, step = self._random.choice(_ERRORS)
            found.append(_Fault(error.__name__, step, self._random.choice(LANES), error))
        self._random.shuffle(found)
        # The last goes first: most customers come early, and afterwards their lane has no work.
        found.sort(key=lambda fault: fault.lane == "customers")
        return found

    def arrive(self, number: int) -> None:
        """Something arrives: the moment at which a fault may be armed."""
        while self._moments and self._moments[0] <= number:
            moment = self._moments.pop(0)
            if moment in self._handovers:
                self._handovers.discard(moment)
                self._hand_over()
        self._arm()

    def _arm(self) -> None:
        if not self._driver.fault_is_armed and self._armed is not None:
            self._note(self._armed)
            self._armed = None
        self._patience -= 1
        if self._armed is not None and self._patience < 0:
            # Its lane has nothing to do just now: let another fault go first.
            self._pending.insert(0, self._armed)
            self._armed = None
            self._driver.disarm()
        due = len(self._pending) > len(self._moments)
        if self._armed is None and self._pending and due:
            fault = self._armed = self._pending.pop()
            self._patience = _PATIENCE
            after = self._random.randrange(3) if fault.lane in ("ledger", "webhooks") else 0
            if fault.error is None:
                self._driver.crash_at(fault.step, fault.lane, after=after)
            else:
                self._driver.fail_at(fault.step, fault.error, fault.lane, after=after)

    def _note(self, fault: _Fault) -> None:
        if fault.kind != "crash":
            self.happened[fault.kind] += 1

    def step(self) -> bool:
        """One batch of work; a crash under way is followed by a start."""
        try:
            return self._driver.step()
        except DriverCrashed:
            self._recover()
            return True

    def stop(self) -> None:
        """Arm nothing more."""
        if not self._driver.fault_is_armed and self._armed is not None:
            self._note(self._armed)
        self._armed = None
        self._pending.clear()
        self._driver.disarm()

    def _recover(self) -> None:
        fault, self._armed = self._armed, None
        assert fault is not None, "a crash that nobody asked for"
        self.happened["crash"] += 1
        self.happened[f"crash after {fault.step.name} in {fault.lane}"] += 1
        wipe = self._random.randrange(100) < self._options.wipe_percent
        self.happened["disk wiped" if wipe else "disk kept"] += 1
        if self._options.workers > 1 and self._random.random() < 0.5:
            # The group doesn't wait for the dead: its partitions go to the others.
            for lane, partition in self._driver.unseated():
                other = (self._driver.owner(lane, partition) + 1) % self._options.workers
                self._driver.hand_over(lane, partition, other)
                self.happened["taken over"] += 1
        self._driver.restart(wipe=wipe)

    def _hand_over(self) -> None:
        zombie = self._random.random() < 0.7
        lane = self._random.choice(LANES)
        for partition in range(self._driver.partitions(lane)):
            worker = self._random.randrange(self._options.workers)
            moved = worker != self._driver.owner(lane, partition)
            self._driver.hand_over(lane, partition, worker, zombie=zombie)
            self.happened["zombie" if zombie and moved else "handed over"] += 1
