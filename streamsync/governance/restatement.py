"""A restatement job as an item of the control topic, and back.

Problem: rebooking old documents by new rules is a decision of two people, with a scope and a pace.
How: a job names the version of the rules, the accounting dates and entity in scope, the number of
documents per tick and partition, who prepared it and who approved it.
"""

from __future__ import annotations

from datetime import date

import msgspec

from streamsync.core.company import RestatementJob
from streamsync.core.records import ReferenceData
from streamsync.governance.payload import content_hash, same_person

RESTATEMENT_KIND = "restatement"
BUDGET_MAX = 500


def restatement_item(
    tenant: str, job: RestatementJob, *, prepared_by: str, approved_by: str
) -> ReferenceData:
    """A job that somebody else than its preparer approved; ValueError says what is wrong."""
    payload = msgspec.json.encode(job, order="sorted").decode()
    item = ReferenceData(
        tenant=tenant,
        kind=RESTATEMENT_KIND,
        id=job.id,
        version=1,
        active_from_tick=0,
        effective_from=job.date_from,
        payload=payload,
        content_hash=content_hash(payload),
        published_by=prepared_by,
        approved_by=approved_by,
    )
    job_of(item)
    return item


def job_of(item: ReferenceData) -> RestatementJob:
    """The job of an item; ValueError when it is none, or not approved by another person."""
    try:
        job = msgspec.json.decode(item.payload, type=RestatementJob)
    except (msgspec.DecodeError, msgspec.ValidationError) as error:
        raise ValueError(f"The payload holds no restatement job: {error}.") from error
    if item.approved_by is None or not item.approved_by.strip():
        raise ValueError(f"Job {job.id} is not approved: name who approved it.")
    if same_person(item.published_by, item.approved_by):
        raise ValueError(
            f'Job {job.id} is prepared and approved by "{item.published_by}": another person than '
            "the preparer must approve."
        )
    for day in (job.date_from, job.date_to):
        date.fromisoformat(day)
    if job.date_from > job.date_to:
        raise ValueError(f"Job {job.id} ends on {job.date_to}, before {job.date_from}.")
    if not 1 <= job.budget <= BUDGET_MAX:
        raise ValueError(
            f"Job {job.id} moves {job.budget} per tick: allowed are 1 to {BUDGET_MAX}."
        )
    return job
