"""The stream graph on one screen: which lane reads which topic, and what it does.

    billing-webhooks ──────► sequence.webhooks ──────┬─► object-links ─► resolve ─┐
    customers ─────────────► sequence.customers ─────┤    ▲      (loop-back) │    │
    control (ticks, rules) ► sequence.control ───────┤    └──────────────────┘    │
    posting-confirmations ─► sequence.confirmations ─┤                            │
                                                     └─► ledger-log ◄─────────────┘
                                                            │   ▲
                                                            ▼   │ loop-back
                      posting-commands.*, exceptions, ◄── ledger┘
                      totals, dead-letters

The path of an event: `resolve` holds what names only another object until that object's account is
known. In the ledger, `aggregate` keeps its facts, `enrich` finds customer, entity and accounts,
`account` books the document, `post` sends the difference, `reconcile` holds confirmations against
it, `close` keeps the control totals, `advance` moves time. `member` and `summarise` post many
entries as one, `restate` moves old documents to new rules. `rows` is the state, `topics` the
topics, `views` what the web shows.
"""

from __future__ import annotations

from functools import partial

from streamsync.engine.lane import LaneSpec, Topology
from streamsync.engine.partitioner import account_partition
from streamsync.engine.rows import rows_of
from topology import ledger, resolve, rows, sequence, topics


def build(codec: sequence.Codec, *, tenant: str, partitions: int, app_id: str) -> Topology:
    """Lanes and topics of the application; nothing is connected or started."""
    lanes = (
        LaneSpec(
            "webhooks",
            topics.BILLING_WEBHOOKS,
            sequence.webhooks(codec, partial(resolve.outputs_of, codec)),
            sequence.unreadable_webhook(codec, tenant),
        ),
        LaneSpec(
            "customers",
            topics.CUSTOMERS,
            sequence.customers(codec),
            sequence.dead_letter(codec, "customers"),
        ),
        LaneSpec(
            "control",
            topics.CONTROL,
            sequence.control(codec, partitions),
            sequence.dead_letter(codec, "control"),
        ),
        LaneSpec(
            "confirmations",
            topics.POSTING_CONFIRMATIONS,
            sequence.confirmations(codec),
            sequence.dead_letter(codec, "confirmations"),
        ),
        LaneSpec(
            resolve.LANE,
            topics.OBJECT_LINKS,
            resolve.step(codec),
            sequence.dead_letter(codec, resolve.LANE),
            rows=rows_of(resolve),
        ),
        LaneSpec(
            ledger.LANE,
            topics.LEDGER_LOG,
            ledger.step(codec, partitions),
            sequence.dead_letter(codec, ledger.LANE),
            rows=rows_of(rows),
        ),
    )
    return Topology(
        app_id=app_id,
        lanes=lanes,
        topics=tuple(topics.declared(partitions)),
        partitioner=account_partition,
        topic_for=lambda name: topics.met_at_run_time(name, partitions),
    )
