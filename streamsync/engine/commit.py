"""The commit of one partition of one lane, step by step.

Problem: a crash may come between any two of these steps, and after each of them a restart must
end in the same rows and the same visible outputs. The order below is what that rests on; crash
tests are named after the steps.

 1. `LOOP_BACK`   records to the lane's own source topic, by a plain idempotent producer, flushed.
                  A crash from here repeats them byte for byte; steps treat a repeat as harmless.
 2. `BEGIN`       begin the transaction: nothing is produced in it before this moment, so it is
                  open for milliseconds and delays no reader of the topics that it touches.
 3. `OUTPUTS`     produce the outputs.
 4. `CHANGELOG`   produce one changelog row per changed key.
 5. `MARKER`      produce the marker row: the source position that rows and outputs belong to.
 6. `FLUSH`       wait until the broker has all of it.
 7. `COMMIT`      commit the transaction. Before: a restart finds none of it, after: all of it.
 8. `STORE`       write rows, changelog offset and position to RocksDB in one write. Whatever is
                  missing here after a crash comes back from the changelog.
 9. `REPORT`      tell the observer and forget the batch. (The group's offsets follow once a
                  second, as information for lag tools.)

What may go wrong is one of three errors, and the caller acts on them: `Aborted` and `Unsettled`
mean drop the cache and recover the partition, `Fenced` means that another worker owns it.
"""

from __future__ import annotations

import enum
from collections.abc import Callable, Sequence
from typing import Protocol

from streamsync.engine.lane import Output
from streamsync.engine.work import Batch


class CommitStep(enum.IntEnum):
    """The steps above; `READY` is the moment before the first."""

    READY = 0
    LOOP_BACK = 1
    BEGIN = 2
    OUTPUTS = 3
    CHANGELOG = 4
    MARKER = 5
    FLUSH = 6
    COMMIT = 7
    STORE = 8
    REPORT = 9


FaultHook = Callable[[str, int, CommitStep], None]
"""Called after each step with lane and partition; tests kill the process in it."""


def no_faults(_lane: str, _partition: int, _step: CommitStep) -> None:
    """The hook outside of tests."""


class CommitError(Exception):
    """This batch was not committed as far as this worker knows."""


class Aborted(CommitError):
    """The transaction was aborted: drop the cache, recover the partition, run it again."""


class Unsettled(CommitError):
    """Nobody answered in time: committed or not is only known after recovery."""


class Fenced(CommitError):
    """A newer producer owns the partition: drop the cache, write nothing, ask the group."""


class CommitPort(Protocol):
    """Where a commit goes: Kafka and RocksDB, or memory."""

    def loop_back(self, records: Sequence[tuple[Output, int]]) -> None: ...

    def begin(self) -> None: ...

    def outputs(self, records: Sequence[tuple[Output, int]]) -> None: ...

    def changelog(self, rows: Sequence[tuple[bytes, bytes | None]]) -> None: ...

    def marker(self, position: int) -> None: ...

    def flush(self) -> None: ...

    def commit(self) -> None: ...

    def store(self, rows: Sequence[tuple[bytes, bytes | None]], position: int) -> None: ...


def commit(batch: Batch, port: CommitPort, fault: FaultHook = no_faults) -> None:
    """Make a batch durable; the order is explained at the top of this module."""

    def done(step: CommitStep) -> None:
        fault(batch.lane.name, batch.partition, step)

    done(CommitStep.READY)
    if batch.loop_backs:
        port.loop_back(batch.loop_backs)
    done(CommitStep.LOOP_BACK)
    port.begin()
    done(CommitStep.BEGIN)
    port.outputs(batch.outputs)
    done(CommitStep.OUTPUTS)
    port.changelog(batch.rows)
    done(CommitStep.CHANGELOG)
    port.marker(batch.position)
    done(CommitStep.MARKER)
    port.flush()
    done(CommitStep.FLUSH)
    port.commit()
    done(CommitStep.COMMIT)
    port.store(batch.rows, batch.position)
    done(CommitStep.STORE)
    if batch.lane.on_commit is not None:
        batch.lane.on_commit(batch.records, len(batch.outputs))
    done(CommitStep.REPORT)
