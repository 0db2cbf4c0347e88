"""Advance the shard's time, and do what has fallen due in bounded steps.

Problem: a month end makes thousands of releases due at once, and rules that arrive release many
waiting documents; one step must not do it all, and no clock may decide when it goes on. How: a
tick sets the time; each step does a bounded part in the order of the due-index and, if more is
left, asks for a continuation through the log. When everything due up to a tick is done, the shard
reports its cut, even if there was nothing to do.
"""

from __future__ import annotations

import msgspec

from streamsync.core.company import Company
from streamsync.core.records import Continuation, ReferenceData, Tick
from streamsync.engine.lane import Poison
from streamsync.governance.payload import PayloadError, from_payload
from streamsync.governance.rates import RATES_KIND
from streamsync.governance.restatement import RESTATEMENT_KIND
from topology import account, close, next_fact, rates, reconcile, restate, waiting
from topology.rows import CLOCK, COMPANY, DUE, RULES, STAGED_COMPANY, WAIT, ClockRow, row_key
from topology.turn import Turn

DUE_PER_STEP_MAX = 200
SWEEP_PER_STEP_MAX = 100


def receive_tick(turn: Turn, tick: Tick) -> None:
    """Move the shard's time; a number already seen changes nothing, a gap is refused.

    A leader whose clock was set back must not stop time for good: its ticks count, and the time
    stands until they have caught up.
    """
    clock = turn.clock
    if tick.number <= clock.number:
        return
    if clock.number >= 0 and tick.number != clock.number + 1:
        raise Poison(
            "tick_gap", f"tick {tick.number} after {clock.number}: publish the ticks between"
        )
    time_ms = max(tick.time_ms, clock.time_ms)
    cuts = (*clock.cuts, (tick.number, time_ms))
    _put(turn, msgspec.structs.replace(clock, number=tick.number, time_ms=time_ms, cuts=cuts))
    _activate_staged(turn)
    restate.work(turn)
    work(turn)


def receive_continuation(turn: Turn, continuation: Continuation) -> None:
    """Go on with the work that the last step left; a repeat finds its number passed."""
    if continuation.sequence == turn.clock.continuation:
        work(turn)


def receive_rules(turn: Turn, item: ReferenceData) -> None:
    """Take rates, a restatement job, or a company's rules: in force at once, or at their tick."""
    if item.kind == RATES_KIND:
        if rates.receive_rates(turn, item):
            start_sweep(turn)
        return
    if item.kind == RESTATEMENT_KIND:
        restate.receive_job(turn, item)
        return
    try:
        company = from_payload(item.payload)
    except PayloadError as error:
        raise Poison("rules_malformed", str(error)) from error
    if company.tenant != item.tenant:
        told = f"the item is of tenant {item.tenant}, its rules are of {company.tenant}"
        raise Poison("rules_malformed", told)
    key = row_key(item.tenant)
    known = turn.shard.get(COMPANY, key)
    if known is not None and known.version >= company.version:
        return
    if item.active_from_tick > turn.clock.number + 1:
        staged = row_key(item.tenant, f"{item.active_from_tick:015d}")
        known_staged = turn.shard.get(STAGED_COMPANY, staged)
        if known_staged is None or known_staged.version < company.version:
            turn.shard.put(STAGED_COMPANY, staged, company)
        return
    _in_force(turn, company)
    start_sweep(turn)


def start_sweep(turn: Turn, after: str = "") -> None:
    """Book every waiting document again, in bounded steps: something they wait for has come.

    `after`: begin behind this key. A sweep that stands before it will come there by itself.
    """
    clock = turn.clock
    cursor = after if clock.sweep is None else min(clock.sweep, after)
    _put(turn, msgspec.structs.replace(clock, sweep=cursor))
    work(turn)


def release_account(turn: Turn, name: str) -> None:
    """Something that an account's documents wait for has come; very many take several steps."""
    if not account.release_waiting(turn, name, SWEEP_PER_STEP_MAX):
        start_sweep(turn, row_key(name, ""))


def work(turn: Turn) -> None:
    """Do a bounded part of what is due and of the sweep, report finished cuts, or ask to go on."""
    due_left = _do_due(turn)
    sweep_left = _do_sweep(turn)
    if not due_left:
        _report_cuts(turn)
    if due_left or sweep_left:
        clock = msgspec.structs.replace(turn.clock, continuation=turn.clock.continuation + 1)
        _put(turn, clock)
        partition = turn.shard.partition
        again = Continuation(partition=partition, sequence=clock.continuation)
        turn.to_log(f"continuation/{partition}", again, partition)


def _do_due(turn: Turn) -> bool:
    """Do what is due up to the shard's time, earliest first; true when more is left."""
    limit = row_key(f"{turn.clock.time_ms:015d}") + "~"
    found = list(turn.shard.scan(DUE, limit=DUE_PER_STEP_MAX + 1))
    ready = [(key, due) for key, due in found if key < limit]
    for key, due in ready[:DUE_PER_STEP_MAX]:
        turn.shard.delete(DUE, key)
        if due.kind == "release":
            next_fact.release_due(turn, due.account, due.document)
        elif due.kind == "waiting":
            waiting.reach_deadline(turn, due)
        else:
            reconcile.reach_deadline(turn, due)
    return len(ready) > DUE_PER_STEP_MAX


def _do_sweep(turn: Turn) -> bool:
    """Book the next waiting documents again; true when more are left."""
    cursor = turn.clock.sweep
    if cursor is None:
        return False
    found = list(turn.shard.scan(WAIT, after=cursor or None, limit=SWEEP_PER_STEP_MAX))
    for _, waits in found:
        account.book(turn, waits.account, waits.document)
    left = len(found) == SWEEP_PER_STEP_MAX
    _put(turn, msgspec.structs.replace(turn.clock, sweep=found[-1][0] if left else None))
    return left


def _report_cuts(turn: Turn) -> None:
    clock = turn.clock
    if not clock.cuts:
        return
    for number, time_ms in clock.cuts:
        for tenant, _ in turn.shard.scan(COMPANY):
            close.contribute(turn, tenant, number, time_ms)
    _put(turn, msgspec.structs.replace(clock, cuts=()))


def _activate_staged(turn: Turn) -> None:
    """Put staged rules in force whose tick has come; the highest version wins."""
    activated = False
    for key, company in list(turn.shard.scan(STAGED_COMPANY)):
        if int(key.rsplit("|", 1)[1]) > turn.clock.number:
            continue
        turn.shard.delete(STAGED_COMPANY, key)
        known = turn.shard.get(COMPANY, row_key(company.tenant))
        if known is None or known.version < company.version:
            _in_force(turn, company)
            activated = True
    if activated:
        _put(turn, msgspec.structs.replace(turn.clock, sweep=""))


def _in_force(turn: Turn, company: Company) -> None:
    """Rules come into force; what was booked by earlier ones can still be explained by them."""
    turn.shard.put(COMPANY, row_key(company.tenant), company)
    turn.shard.put(RULES, row_key(company.tenant, f"{company.version:09d}"), company)


def _put(turn: Turn, clock: ClockRow) -> None:
    turn.shard.put(CLOCK, "", clock)
