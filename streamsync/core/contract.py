"""Contracts: what each segment earns over time, through modifications, estimates and an early end.

Problem: a contract is earned by its terms, not by its invoices, and its terms change; each kind of
change has its own rule (ASC 606-10-25-10 to 13), and what was earned before it must neither be lost
nor told twice. How: a contract is a set of segments, each with a price and its rows; a fact answers
a new set. A separate contract adds segments; a prospective change closes a segment and opens one
with what was not earned plus the change; a cumulative catch-up spreads the new price from the
segment's first day and books the difference to what was earned on the day of the change.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import date

from msgspec import Struct
from msgspec.structs import replace

from streamsync.core.facts import Contract, ContractSegment
from streamsync.core.money import allocate
from streamsync.core.revenue import released, served, terminate
from streamsync.core.schedule import (
    Method,
    Plan,
    Row,
    Service,
    Slice,
    plan,
    service_between,
    service_of_days,
)


class TermsBroken(Exception):
    """Terms that break a rule: its reason code, and the figures for a person."""

    def __init__(self, reason: str, detail: str) -> None:
        super().__init__(f"{reason}: {detail}")
        self.reason = reason
        self.detail = detail


class Segment(Struct, frozen=True):
    """A performance obligation: its price with what of the variable part counts, and its rows.

    `root`: the segment that it goes on with; itself when it goes on with none. They are one
    obligation, billed and earned against each other.
    """

    segment_id: str
    root: str
    product: str | None
    service: Service
    plan: Plan
    price_minor: int
    variable_minor: int
    rows: tuple[Row, ...]


Segments = Mapping[str, Segment]
"""Segments of a contract by id, in the order in which they began."""


def sign(
    segments: Segments, terms: Contract, method: Method, on: date, zone: str
) -> dict[str, Segment]:
    """The contract with new segments; their fixed price shared by stand-alone selling price."""
    if not terms.segments:
        raise TermsBroken("contract_terms_missing", "segments: a contract needs at least one")
    after = dict(segments)
    for told, price in zip(terms.segments, _allocated(terms.segments), strict=True):
        if told.segment_id in after:
            raise TermsBroken("segment_repeated", f"segment {told.segment_id} is there already")
        counted = _counted(told.variable_minor, told.constraint_minor)
        service = service_between(told.service_from_ms, told.service_to_ms, zone)
        after[told.segment_id] = _begin(
            told.segment_id, told.product, service, price + counted, counted, method, on
        )
    return after


def modify(
    segments: Segments, terms: Contract, method: Method, on: date, zone: str, change: str
) -> dict[str, Segment]:
    """The contract after a modification on a day; `change`: its id, to name what it begins."""
    if terms.treatment == "separate":
        return sign(segments, terms, method, on, zone)
    segment = segments.get(terms.segment or "")
    if segment is None:
        known = ", ".join(sorted(segments))
        raise TermsBroken("segment_unknown", f"segment {terms.segment} is none of {known}")
    end = segment.service.end
    if terms.service_to_ms is not None:
        end = service_between(terms.service_to_ms, terms.service_to_ms, zone).end
    if terms.treatment == "prospective":
        name = terms.new_segment or f"{segment.segment_id}~{change}"
        return _prospective(segments, segment, terms.change_minor, end, name, method, on)
    if terms.treatment == "catch_up":
        after = _catch_up(segment, terms.change_minor, 0, end, method, on)
    elif terms.treatment == "estimate":
        if terms.variable_minor is None:
            raise TermsBroken(
                "contract_terms_missing", "variable_minor: the new estimate is missing"
            )
        counted = _counted(terms.variable_minor, terms.constraint_minor)
        difference = counted - segment.variable_minor
        after = _catch_up(segment, difference, difference, end, method, on)
    else:
        known = "separate, prospective, catch_up, estimate"
        detail = f"treatment {terms.treatment} is none of {known}"
        raise TermsBroken("modification_unsupported", detail)
    return {**segments, segment.segment_id: after}


def stop(segments: Segments, on: date) -> dict[str, Segment]:
    """All segments end early: what was served until the day is earned, the rest is not."""
    return {name: _stopped(segment, on, on) for name, segment in segments.items()}


def _counted(variable: int, constraint: int | None) -> int:
    """What of an estimate counts: as much as will very probably not be reversed (606-10-32-11)."""
    return variable if constraint is None else min(variable, constraint)


def _allocated(segments: Sequence[ContractSegment]) -> list[int]:
    """Fixed prices, shared by stand-alone selling price where there are any (606-10-32-31).

    Largest remainder, ties to the earlier segment. What is variable stays with its segment.
    """
    prices = [segment.price_minor for segment in segments]
    standalone = [segment.standalone_minor for segment in segments]
    if all(price is None for price in standalone):
        return prices
    for segment, price in zip(segments, standalone, strict=True):
        if price is None or price < 0:
            raise TermsBroken(
                "selling_price_missing",
                f"segment {segment.segment_id} has stand-alone selling price {price}, and others "
                "have one: an amount of at least 0 is required of all",
            )
    weights = [price or 0 for price in standalone]
    if sum(prices) and not sum(weights):
        detail = f"{sum(prices)} to share, the selling prices add up to 0"
        raise TermsBroken("selling_price_missing", detail)
    return allocate(sum(prices), weights)


def _begin(
    name: str,
    product: str | None,
    service: Service,
    price: int,
    variable: int,
    method: Method,
    on: date,
) -> Segment:
    slices = _planned(name, service, method, on)
    rows = slices.spread(price)
    return Segment(name, name, product, service, slices, price, variable, rows)


def _planned(name: str, service: Service, method: Method, on: date) -> Plan:
    if not service.has_a_day:
        raise TermsBroken(
            "period_end_before_start", f"segment {name}: from {service.start} to {service.end}"
        )
    if method.starts_by_document and service.end <= on:
        # Nothing of the service is left to begin with: it is earned when it is agreed.
        return Plan((Slice(on, 1),), method.rounding, on, on)
    if service.days <= method.immediate_up_to_days:
        at_once = (Slice(service.start, 1),)
        return Plan(at_once, method.rounding, service.start, service.end)
    return plan(service, method, on)


def _prospective(
    segments: Segments,
    segment: Segment,
    change: int,
    end: date,
    name: str,
    method: Method,
    on: date,
) -> dict[str, Segment]:
    """606-10-25-13(a): what was not earned, and the change, over what remains of the service."""
    if name in segments and name != segment.segment_id:
        raise TermsBroken("segment_repeated", f"segment {name} is there already")
    begin = max(on, segment.service.start)
    closed = _stopped(segment, begin, None)
    remaining = segment.price_minor - closed.price_minor + change
    if remaining < 0:
        raise TermsBroken(
            "change_exceeds_contract",
            f"change {change}, {segment.price_minor - closed.price_minor} of segment "
            f"{segment.segment_id} is not earned",
        )
    service = service_of_days(begin, end, segment.service.zone)
    opened = _begin(
        name, segment.product, service, remaining, segment.variable_minor, method, begin
    )
    return {
        **segments,
        segment.segment_id: replace(closed, variable_minor=0),
        name: replace(opened, root=segment.root),
    }


def _stopped(segment: Segment, on: date, dated: date | None) -> Segment:
    """The segment as it ends on a day; the part of a slice is dated like the slice, or `dated`."""
    earned = served(segment.rows, segment.plan, on)
    rows = terminate(segment.rows, on)
    part = earned - released(segment.rows, on)
    if part:
        later = [row.date for row in segment.rows if row.date >= on]
        rows = _with_row(rows, Row(dated or min(later), part))
    return replace(segment, price_minor=earned, rows=rows)


def _catch_up(
    segment: Segment, change: int, variable: int, end: date, method: Method, on: date
) -> Segment:
    """606-10-25-13(b) and 32-42 to 45: as if the new price had been agreed from the first day."""
    price = segment.price_minor + change
    if price < 0:
        raise TermsBroken(
            "change_exceeds_contract",
            f"change {change}, segment {segment.segment_id} has a price of {segment.price_minor}",
        )
    service, slices = segment.service, segment.plan
    if end != service.end:
        service = service_of_days(service.start, end, service.zone)
        slices = _planned(segment.segment_id, service, method, service.start)
    earned = slices.earned(price, on)
    rows = terminate(segment.rows, on) + slices.spread(price - earned, on)
    caught_up = earned - released(segment.rows, on)
    if caught_up:
        rows = _with_row(rows, Row(on, caught_up))
    return replace(
        segment,
        service=service,
        plan=slices,
        price_minor=price,
        variable_minor=segment.variable_minor + variable,
        rows=rows,
    )


def _with_row(rows: Sequence[Row], row: Row) -> tuple[Row, ...]:
    """The rows and one more; two of one day are one."""
    same = sum(one.amount_minor for one in rows if one.date == row.date)
    others = [one for one in rows if one.date != row.date]
    more = Row(row.date, row.amount_minor + same)
    return tuple(sorted((*others, more), key=lambda one: one.date))
