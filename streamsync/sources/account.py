"""Account keys: the name under which everything of one billing account meets in one partition.

Problem: ids come from many tenants and billing systems, collide, and may hold any character. How:
`tenant/source/billing account`, each part escaped, and behind a `|` the subscription or document.
Only the part before the `|` decides the partition.
"""

from __future__ import annotations

import hashlib

from streamsync.core.facts import BillingEvent

_ESCAPES = str.maketrans({"%": "%25", "/": "%2F", "|": "%7C"})


def escape(part: str) -> str:
    """One part of a key: `/`, `|` and `%` as percent codes, so that keys split only one way."""
    return part.translate(_ESCAPES)


def account_key(tenant: str, source: str, billing_account: str) -> str:
    """The account of one customer (or charge, or object without a customer) of one source."""
    return f"{escape(tenant)}/{escape(source)}/{escape(billing_account)}"


PROCESSOR = "@processor"
"""The billing account of what belongs to no customer: payouts and transfers of a processor."""


def is_processor(account: str) -> bool:
    """Whether an account key is that of a source's processor, not of a customer."""
    return account.endswith(f"/{PROCESSOR}")


def correlation_id(tenant: str, source: str, event_id: str, content_hash: str) -> str:
    """The id under which everything that comes of one source record is found, 32 hex digits."""
    digest = hashlib.sha256()
    for part in (tenant, source, event_id, content_hash):
        data = part.encode()
        # Lengths before the parts, so that no two lists of parts read alike.
        digest.update(len(data).to_bytes(4, "big") + data)
    return digest.hexdigest()[:32]


def record_key(event: BillingEvent) -> str:
    """Key of the canonical record: `account|subscription`, else `account|document`, else
    `account|source event id`. The first fact decides: all facts of one event share a document.
    """
    rest = event.source_event_id
    if event.facts:
        fact = event.facts[0]
        rest = fact.subscription or fact.document or rest
    return f"{event.account}|{escape(rest)}"
