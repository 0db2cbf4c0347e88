"""Every topic: name, what its key is, what it holds, how long, and its one writer.

Problem: a topic that two programs describe differently corrupts both. How: this table is the only
description; processes import it. Values are Confluent-framed Avro, one subject per record name.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from streamsync.engine.lane import TOPIC_BYTES_MAX, TopicSpec

BILLING_WEBHOOKS: Final = "billing-webhooks"
CUSTOMERS: Final = "customers"
CONTROL: Final = "control"
POSTING_CONFIRMATIONS: Final = "posting-confirmations"
OBJECT_LINKS: Final = "object-links"
LEDGER_LOG: Final = "ledger-log"
EXCEPTIONS: Final = "exceptions"
DEAD_LETTERS: Final = "dead-letters"
TOTALS: Final = "totals"
POSTING_COMMANDS_PREFIX: Final = "posting-commands."

_DAY_MS = 86_400_000
_WRITTEN = {"max.message.bytes": TOPIC_BYTES_MAX}
# Raw input, commands and the log are the evidence of the books: kept until an operator trims them.
_FOREVER = _WRITTEN | {"retention.ms": "-1"}
# A body of the size that the ingress takes, and a quarter of what a lane may write: so whatever is
# wrong with an input, its dead letter holds it whole.
_INPUT = _FOREVER | {"max.message.bytes": str(2 << 20)}


def posting_commands(erp: str, entity: str) -> str:
    """The command topic of one ERP and entity."""
    return f"{POSTING_COMMANDS_PREFIX}{erp}.{entity}"


def declared(partitions: int) -> Sequence[TopicSpec]:
    """All topics that exist from the start.

    | topic | key | value | writer |
    |---|---|---|---|
    | billing-webhooks | account, else source event id | RawWebhook | ingress |
    | customers | account | Customer | CRM feed, `streamsync apply` |
    | control | none | Tick, ReferenceData, PeriodStatus, one order | clock, apply, restate |
    | posting-confirmations | account | PostingConfirmation | ERP adapters |
    | object-links | tenant/source/object | ObjectLink, BillingEvent without account, Tick |
      sequence lanes; resolve to itself |
    | ledger-log | account\\|subscription or account\\|document | all that can change the books |
      sequence lanes, resolve; the ledger to itself |
    | exceptions | account | ExceptionRecord | ledger |
    | dead-letters | key of the refused record | DeadLetter | every lane |
    | totals | entity | Totals | ledger |
    """
    wide = {name: partitions for name in _WIDE} | {CONTROL: 1, TOTALS: 1}
    return [TopicSpec(name, count, _CONFIG.get(name, _FOREVER)) for name, count in wide.items()]


def met_at_run_time(name: str, partitions: int) -> TopicSpec | None:
    """A command topic appears with its entity, by data alone."""
    if name.startswith(POSTING_COMMANDS_PREFIX):
        return TopicSpec(name, partitions, _FOREVER)
    return None


_WIDE = (
    BILLING_WEBHOOKS,
    CUSTOMERS,
    POSTING_CONFIRMATIONS,
    OBJECT_LINKS,
    LEDGER_LOG,
    EXCEPTIONS,
    DEAD_LETTERS,
)
_INPUTS = (BILLING_WEBHOOKS, CUSTOMERS, CONTROL, POSTING_CONFIRMATIONS)
_CONFIG = dict.fromkeys(_INPUTS, _INPUT) | {
    TOTALS: _WRITTEN | {"retention.ms": str(400 * _DAY_MS)},
}
