"""An account's side of summary journals: entries told to the entity's book instead of the ERP.

Problem: whether an entry posts alone or with others must change nothing of what it is. How: the
same keys, contents and frozen rates; a member is accepted when it is told, since the book answers
for the posting, and a change is the next revision, absolute.
"""

from __future__ import annotations

import msgspec

from streamsync.core import posting
from streamsync.core.company import SummaryRule
from streamsync.core.records import SummaryMember
from topology import close
from topology.enrich import Placed
from topology.rows import POSTING, Accepted, FactRow, PostingRow, row_key
from topology.target import Target, day_of, entity_for, mapping_of, policy_version
from topology.turn import Turn


def is_summarised(placed: Placed, row: PostingRow, purpose: str) -> bool:
    """Whether an entry posts in summaries; how it began, it goes on."""
    return row.summarised or (not row.revision and _summary_rule(placed, purpose) is not None)


def advance(
    turn: Turn, placed: Placed, key: str, row: PostingRow, target: Target, fact: FactRow
) -> None:
    """Tell the entity's book what an entry is now; the book posts it with others."""
    accepted = row.accepted
    held = accepted.content_hash if accepted is not None else posting.NOTHING
    if target.content_hash == held:
        return
    rule = _summary_rule(placed, target.purpose)
    by_period = rule is not None and rule.by == "period"
    entity = entity_for(placed, accepted)
    day = day_of(placed, fact)
    policy = placed.policy_at(day)
    member = SummaryMember(
        tenant=placed.tenant,
        entity=entity.id,
        ledger=entity.ledger,
        bucket=target.natural_period if by_period else target.date,
        account=placed.account,
        document=placed.document,
        fact_id=target.fact_id,
        purpose=target.purpose,
        idempotency_key=key,
        revision=row.revision + 1,
        natural_period=target.natural_period,
        document_date=target.date,
        txn_currency=target.currency,
        functional_currency=entity.functional_currency,
        fx=target.fx,
        lines=target.lines,
        mapping=mapping_of(placed, target.lines, target.currency),
        policy=policy_version(policy),
        correlation_id=fact.correlation_id,
        source_event_id=fact.source_event_id,
    )
    after = msgspec.structs.replace(
        row,
        revision=member.revision,
        accepted=Accepted(
            member.revision,
            posting.command_id(key, member.revision, "member"),
            target.content_hash,
            entity.id,
            entity.ledger,
            entity.target_erp,
            target.currency,
            target.natural_period,
            target.natural_period,
            target.date,
            target.lines,
            target.fx,
        ),
        rules_version=placed.rules_at(day).version,
        summarised=True,
    )
    turn.shard.put(POSTING, row_key(placed.account, placed.document, key), after)
    turn.to_log(f"{close.book_account(placed.tenant, entity.id)}|summary", member)
    close.add_member(turn, member, accepted.lines if accepted is not None else ())


def _summary_rule(placed: Placed, purpose: str) -> SummaryRule | None:
    return next(
        (
            rule
            for rule in placed.company.summaries
            if (rule.entity, rule.purpose) == (placed.entity.id, purpose)
        ),
        None,
    )
