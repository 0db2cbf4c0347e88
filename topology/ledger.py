"""The ledger lane: the fold of one shard's log, record kind by record kind.

Problem: everything that can change the books must meet in one order, and the reader must see at a
glance what each kind of record does. How: this table of kinds is the whole dispatch; each verb
lives in the module that its name says.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from typing import Any

from streamsync.core.facts import BillingEvent
from streamsync.core.records import (
    Continuation,
    Contribution,
    Customer,
    PeriodStatus,
    PostingConfirmation,
    ReferenceData,
    SummaryMember,
    Tick,
)
from streamsync.engine.lane import Output, Poison, Shard, SourceRecord, Step
from topology import (
    advance,
    aggregate,
    close,
    enrich,
    next_fact,
    periods,
    reconcile,
    summarise,
    waiting,
)
from topology.rows import row_key
from topology.sequence import Codec, decode, position_of
from topology.turn import Turn

LANE = "ledger"
BOOKED_PER_STEP_MAX = 100
"""Documents of one event; the end of a subscription may concern more."""


def step(codec: Codec, partitions: int) -> Step:
    """The ledger's step over one log record."""

    def fold(shard: Shard, record: SourceRecord) -> Iterable[Output]:
        told = decode(codec, record)
        verb = VERBS.get(type(told))
        if verb is None:
            raise Poison("record_unexpected", f"{type(told).__name__} changes no books")
        turn = Turn(shard, position_of(record), codec.encode, partitions)
        verb(turn, told)
        return turn.outputs

    return fold


def _billing_event(turn: Turn, event: BillingEvent) -> None:
    documents = aggregate.keep_event(turn, event)
    for document in documents[:BOOKED_PER_STEP_MAX]:
        next_fact.book_event(turn, event, document)
    if later := documents[BOOKED_PER_STEP_MAX:]:
        waiting.hold_for_sweep(turn, event.account, later)
        advance.start_sweep(turn, row_key(event.account, ""))
    if any(fact.kind == "customer_changed" for fact in event.facts):
        advance.release_account(turn, event.account)


def _customer(turn: Turn, customer: Customer) -> None:
    if enrich.keep_customer(turn, customer):
        advance.release_account(turn, customer.account)


def _period(turn: Turn, status: PeriodStatus) -> None:
    if periods.receive_period(turn, status):
        advance.start_sweep(turn)


def _contribution(turn: Turn, told: Contribution) -> None:
    if close.receive_contribution(turn, told):
        summarise.cut(turn, told.tenant, told.entity, told.tick_number, told.time_ms)


VERBS: Mapping[type, Callable[[Turn, Any], None]] = {
    BillingEvent: _billing_event,
    Customer: _customer,
    PostingConfirmation: reconcile.receive_confirmation,
    Tick: advance.receive_tick,
    ReferenceData: advance.receive_rules,
    PeriodStatus: _period,
    Contribution: _contribution,
    SummaryMember: summarise.receive_member,
    Continuation: advance.receive_continuation,
}
