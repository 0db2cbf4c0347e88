"""Restate old documents by a new version of the rules: a governed job, in bounded steps.

Problem: new rules must not change what is booked as a side effect of the next webhook, and when a
change of old documents is wanted it must not flood the ERP. How: every posting remembers the rules
that it was made by, and a document keeps them; a job, approved by somebody else than its preparer,
moves documents to its version, so many per tick and partition, with a cursor that survives
restarts. What comes out is only what differs: `correct` or `adjust`, never into a closed period.
"""

from __future__ import annotations

import msgspec

from streamsync.core.calendar import local_date
from streamsync.core.records import ReferenceData
from streamsync.engine.lane import Poison
from streamsync.governance.restatement import job_of
from topology import account
from topology.rows import (
    DOCUMENT,
    FACT,
    POSTING,
    RESTATEMENT,
    RULES,
    DocumentRow,
    RestatementRow,
    row_key,
)
from topology.turn import Turn, entity_of

DOCUMENTS_PER_STEP_MAX = 500


def receive_job(turn: Turn, item: ReferenceData) -> None:
    """Take an approved job; it begins with the next tick. A job that is known changes nothing."""
    try:
        job = job_of(item)
    except ValueError as error:
        raise Poison("restatement_invalid", str(error)) from error
    if turn.shard.get(RULES, row_key(item.tenant, f"{job.rules_version:09d}")) is None:
        told = f"job {job.id}: version {job.rules_version} of the rules was never in force"
        raise Poison("restatement_invalid", told)
    key = row_key(item.tenant, job.id)
    if turn.shard.get(RESTATEMENT, key) is None:
        turn.shard.put(RESTATEMENT, key, RestatementRow(job))


def work(turn: Turn) -> None:
    """Move the next documents of every job that is not done: its budget of one tick."""
    for key, row in list(turn.shard.scan(RESTATEMENT)):
        if not row.done:
            turn.shard.put(RESTATEMENT, key, _some(turn, key.split("|", 1)[0], row))


def _some(turn: Turn, tenant: str, row: RestatementRow) -> RestatementRow:
    budget = min(row.job.budget, DOCUMENTS_PER_STEP_MAX)
    prefix = tenant + "/"
    found = list(turn.shard.scan(DOCUMENT, prefix, after=row.cursor or None, limit=budget))
    moved = 0
    for key, document in found:
        moved += _move(turn, key, document, row)
    return msgspec.structs.replace(
        row,
        cursor=found[-1][0] if found else row.cursor,
        seen=row.seen + len(found),
        moved=row.moved + moved,
        done=len(found) < budget,
        changed_at_ms=turn.clock.time_ms,
    )


def _move(turn: Turn, key: str, document: DocumentRow, row: RestatementRow) -> bool:
    """Book one document by the job's rules, where its facts are dated in the job's range."""
    job = row.job
    name, document_id = (part.replace("%7C", "|").replace("%25", "%") for part in key.split("|"))
    company = turn.company(name.split("/", 1)[0])
    entity = entity_of(company, document.entity) if company and document.entity else None
    if entity is None or job.entity not in (None, entity.id):
        return False
    dates = {
        one.fact.fact_id: local_date(one.fact.occurred_at_ms, entity.time_zone).isoformat()
        for _, one in turn.shard.scan(FACT, key + "|")
    }
    if not any(job.date_from <= day <= job.date_to for day in dates.values()):
        return False
    for where, posting in list(turn.shard.scan(POSTING, key + "|")):
        day = dates.get(posting.fact_id, "")
        in_range = job.date_from <= day <= job.date_to
        if in_range and posting.rules_version not in (0, job.rules_version):
            after = msgspec.structs.replace(posting, rules_version=job.rules_version)
            turn.shard.put(POSTING, where, after)
    account.book(turn, name, document_id)
    return True
