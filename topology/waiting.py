"""What waits, and for how long: the index of documents with something missing, and their deadline.

Problem: an entry that waits quietly is a hole in the books. How: each document with something
waiting has one row; what arrives books it again, and a deadline on the shard's time makes a wait
that is too long somebody's work (M13), until nothing waits any more.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import msgspec

from streamsync.core.company import deadline_ms
from topology import report
from topology.enrich import Missing
from topology.rows import DUE, WAIT, DueRow, WaitRow, row_key
from topology.turn import Turn

BESIDE = ("revaluation:", "posting:")


def beside(
    turn: Turn, account: str, document: str, missing: Mapping[str, Missing]
) -> dict[str, str]:
    """What waits beside the facts: a revaluation for its rate, a posting for a period."""
    known = turn.shard.get(WAIT, row_key(account, document))
    for name, reason in (known.reasons if known is not None else {}).items():
        still = missing.get(name)
        if name.startswith(BESIDE) and (still is None or still.reason != reason):
            subject = _subject_beside(account, document, name, reason)
            report.resolved(turn, subject, detail="waits no more")
    for name, why in missing.items():
        subject = _subject_beside(account, document, name, why.reason)
        report.opened(turn, subject, rule=name.split(":")[0], detail=why.detail)
    return {name: why.reason for name, why in missing.items()}


def _subject_beside(account: str, document: str, name: str, reason: str) -> report.Subject:
    return report.Subject(
        account=account, code=reason, subject=row_key(document, name), document=document
    )


def keep(turn: Turn, account: str, document: str, reasons: dict[str, str]) -> None:
    """The index of documents that wait, and the deadline after which that is somebody's work."""
    key = row_key(account, document)
    known = turn.shard.get(WAIT, key)
    if reasons:
        until = known.deadline_ms if known is not None else _hang(turn, account, document)
        turn.shard.put(WAIT, key, WaitRow(account, document, reasons, until))
    elif known is not None:
        turn.shard.delete(WAIT, key)
        turn.shard.delete(DUE, _due_key(known.deadline_ms, account, document))
        report.resolved(turn, _too_long(account, document), detail="nothing waits any more")
    if bool(reasons) != (known is not None):
        turn.gauge("waiting", 1 if reasons else -1)


def hold_for_sweep(turn: Turn, account: str, documents: Sequence[str]) -> None:
    """More than one step may book: the sweep books these, and what they wait for is their turn."""
    for document in documents:
        if turn.shard.get(WAIT, row_key(account, document)) is None:
            keep(turn, account, document, {"sweep": "its_turn"})


def _hang(turn: Turn, account: str, document: str, *, started: bool = False) -> int:
    company = turn.company(account.split("/", 1)[0])
    until = turn.clock.time_ms + deadline_ms(company, "waiting")
    due = DueRow("waiting", account, document, started=started or turn.clock.time_ms > 0)
    turn.shard.put(DUE, _due_key(until, account, document), due)
    return until


def reach_deadline(turn: Turn, due: DueRow) -> None:
    """A document has waited for too long: open M13, or begin to count at the first tick."""
    key = row_key(due.account, due.document)
    waiting = turn.shard.get(WAIT, key)
    if waiting is None:
        return
    if not due.started:
        until = _hang(turn, due.account, due.document, started=True)
        turn.shard.put(WAIT, key, msgspec.structs.replace(waiting, deadline_ms=until))
        return
    why = ", ".join(f"{name}: {reason}" for name, reason in sorted(waiting.reasons.items()))
    subject = _too_long(due.account, due.document)
    report.opened(turn, subject, rule="waiting entry", detail=f"waits since its deadline for {why}")


def _too_long(account: str, document: str) -> report.Subject:
    return report.Subject(account=account, code="M13", subject=document, document=document)


def _due_key(due_ms: int, account: str, document: str) -> str:
    return row_key(f"{due_ms:015d}", account, document, "waiting")
