"""What the ERP should hold for one key, and the choices that belong to it.

Problem: an entry, a withdrawn entry and a correction must be described alike before they are sent,
alone or in a summary. How: a `Target` per key, made from a valued entry or from what is known of an
entry that the books no longer ask for; and the small look-ups that its command needs.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

from msgspec import Struct
from msgspec.structs import replace

from streamsync.core import posting
from streamsync.core.calendar import local_date
from streamsync.core.company import Entity, Policy
from streamsync.core.fx import Valued
from streamsync.core.journal import Entry
from streamsync.core.records import ForeignExchange, MappingVersion, PolicyVersion, PostingLine
from topology.enrich import Placed, account_rules_used
from topology.rows import Accepted, FactRow, PostingRow


class Target(Struct, frozen=True):
    """What the ERP should hold for one key; no lines: nothing any more."""

    fact_id: str
    purpose: str
    date: str
    natural_period: str
    currency: str
    lines: tuple[PostingLine, ...]
    content_hash: str
    gateway_reference: str | None
    fx: ForeignExchange


def keys_of(placed: Placed) -> Callable[[Entry], str]:
    """The key of each entry of a document, hashed once."""
    known: dict[tuple[str, str, str, str], str] = {}

    def key_of(entry: Entry) -> str:
        identity = entry.fact_id, entry.purpose, entry.part, entry.natural_period
        key = known.get(identity)
        if key is None:
            key = known[identity] = _key_of(placed, entry)
        return key

    return key_of


def _key_of(placed: Placed, entry: Entry) -> str:
    """The key of an entry, the same for ever."""
    return posting.idempotency_key(
        tenant=placed.tenant,
        source=placed.source,
        fact_id=entry.fact_id,
        purpose=entry.purpose,
        part=entry.part,
        natural_period=entry.natural_period,
        entity=placed.entity.id,
        ledger=placed.entity.ledger,
    )


def target_of(valued: Valued, lines: tuple[PostingLine, ...]) -> Target:
    entry = valued.entry
    return Target(
        entry.fact_id,
        entry.purpose,
        entry.date.isoformat(),
        entry.natural_period,
        entry.currency,
        lines,
        posting.content_hash(lines, entry.currency),
        entry.gateway_reference,
        valued.rate.record(),
    )


def gone(row: PostingRow) -> Target | None:
    """The books ask for nothing under this key any more."""
    held, accepted = row.in_flight, row.accepted
    if held is not None:
        told = held.command
        date, period, currency = told.document_date, told.original_period, told.txn_currency
        fx = told.fx
    elif accepted is not None:
        date, period, currency = (
            accepted.posting_date,
            accepted.original_period,
            accepted.currency,
        )
        fx = accepted.fx
    elif row.refused_command is not None:
        refused = row.refused_command
        date, period, currency = (
            refused.document_date,
            refused.original_period,
            refused.txn_currency,
        )
        fx = refused.fx
    else:
        return None
    nothing = posting.NOTHING
    return Target(row.fact_id, row.purpose, date, period, currency, (), nothing, None, fx)


def day_of(placed: Placed, fact: FactRow) -> str:
    """The accounting date of a fact: the day whose policy books it, and its releases."""
    return local_date(fact.fact.occurred_at_ms, placed.entity.time_zone).isoformat()


def entity_for(placed: Placed, accepted: Accepted | None) -> Entity:
    """The entity as the ERP knows it: acceptance froze ledger and ERP of what is corrected."""
    if accepted is None or not accepted.lines:
        return placed.entity
    return replace(
        placed.entity,
        id=accepted.entity,
        ledger=accepted.ledger,
        target_erp=accepted.target_erp,
    )


def mapping_of(placed: Placed, lines: Sequence[PostingLine], currency: str) -> MappingVersion:
    return MappingVersion(
        ruleset=placed.company.ruleset,
        version=placed.company.version,
        rule_ids=tuple(account_rules_used(placed, lines, currency)),
    )


def policy_version(policy: Policy | None) -> PolicyVersion:
    return PolicyVersion(
        id=policy.id if policy else "none", version=policy.version if policy else "0"
    )
