"""Carry the end of a subscription to the documents that bill its time beyond the end.

Problem: what a cancelled subscription has billed ahead stops, or stands, by the policy of the
document's entity; but billing tells the end of the subscription, not of each invoice's service, and
tells it before or after the invoices. How: an invoice leaves one row per subscription, in the order
of the service's end; a subscription has one for its end, which an invoice only has to look up.
Whichever comes second finds the other, and the document gets a fact of its own,
`service_terminated`, which the cancellation's source record answers for. From there on the books
are a function of the document's facts, as always.

An invoice that was issued after the end bills what both sides knew: nothing is carried to it.
"""

from __future__ import annotations

from msgspec.structs import replace

from streamsync.core.facts import Fact
from topology.rows import END, FACT, SERVED, SOURCE, EndRow, FactRow, row_key
from topology.turn import Turn


def keep_served(turn: Turn, account: str, issue: Fact) -> None:
    """Note until when an issued document serves each subscription, and what has ended before."""
    for subscription, until_ms in _served(issue).items():
        key = row_key(account, subscription, f"{until_ms:015d}", issue.document or "")
        turn.shard.put(SERVED, key, issue.fact_id)
        row = turn.shard.get(END, row_key(account, subscription))
        for end in row.ends if row is not None else ():
            if issue.occurred_at_ms <= end.fact.occurred_at_ms < until_ms:
                told = _carry(turn, account, end, issue)
                _answer_for(turn, end, told)


def keep_end(turn: Turn, account: str, end: FactRow) -> dict[str, str]:
    """Note a cancellation; answers what its record tells of documents: fact place to document."""
    fact = end.fact
    state, subscription = fact.subscription_state, fact.subscription
    if state is None or subscription is None or state.change != "cancelled":
        return {}
    key = row_key(account, subscription)
    known = turn.shard.get(END, key) or EndRow(())
    if all(one.fact.occurred_at_ms != fact.occurred_at_ms for one in known.ends):
        turn.shard.put(END, key, EndRow((*known.ends, end)))
    prefix = row_key(account, subscription, "")
    after = f"{prefix}{fact.occurred_at_ms:015d}~"
    told: dict[str, str] = {}
    for key, issue_id in list(turn.shard.scan(SERVED, prefix, after=after)):
        document = key.rsplit("|", 1)[1]
        issue = turn.shard.get(FACT, f"{row_key(account)}|{document}|{row_key(issue_id)}")
        if issue is None or issue.fact.occurred_at_ms > fact.occurred_at_ms:
            continue
        place = _carry(turn, account, end, issue.fact)
        if place is not None:
            told[place] = issue.fact.document or ""
    return told


def _served(issue: Fact) -> dict[str, int]:
    """Until when each subscription is billed by a document."""
    until: dict[str, int] = {}
    for line in issue.invoice.lines if issue.invoice is not None else ():
        subscription = line.subscription or issue.subscription
        if subscription is not None and line.service_to_ms is not None:
            until[subscription] = max(until.get(subscription, 0), line.service_to_ms)
    return until


def _carry(turn: Turn, account: str, end: FactRow, issue: Fact) -> str | None:
    """Give a document the end of its service; its place, or None if it was told before."""
    at_ms, subscription = end.fact.occurred_at_ms, end.fact.subscription
    fact = Fact(
        # One cancellation ends many invoices: each has a fact, and so postings, of its own.
        fact_id=f"service_terminated:{issue.document}:{subscription}:{at_ms}",
        kind="service_terminated",
        document=issue.document,
        document_kind=issue.document_kind,
        subscription=subscription,
        currency=issue.currency,
        occurred_at_ms=at_ms,
    )
    place = row_key(issue.document or "", fact.fact_id)
    key = f"{row_key(account)}|{place}"
    if turn.shard.get(FACT, key) is not None:
        return None
    turn.shard.put(FACT, key, replace(end, fact=fact))
    return place


def _answer_for(turn: Turn, end: FactRow, place: str | None) -> None:
    """The cancellation's record is accounted for by what became of this fact, too."""
    source = turn.shard.get(SOURCE, end.source_key)
    if source is not None and place is not None:
        turn.shard.put(SOURCE, end.source_key, replace(source, facts=(*source.facts, place)))
