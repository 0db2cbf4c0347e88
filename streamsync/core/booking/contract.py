"""Contracts and usage: what is earned, and how much of it was billed before.

Problem: an invoice and the performance that it bills are two documents, known in any order. How:
terms change the segments on the desk, usage is noted as earned; when all facts are taken, the
movements of each segment, billed and earned, are settled in the order of their days, and each makes
its entry: earned out of deferred revenue or as an unbilled receivable, billed clearing the latter.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import date
from fractions import Fraction

from msgspec.structs import replace

from streamsync.core import contract
from streamsync.core.booking.desk import Desk, Earned, Stopped, incomplete
from streamsync.core.booking.invoice import method_of
from streamsync.core.books import Entry
from streamsync.core.calendar import local_date, period_of
from streamsync.core.company import UsagePrice
from streamsync.core.document import Performed, Portion
from streamsync.core.facts import Fact, Usage
from streamsync.core.position import BILLED, EARNED, Billed, Movement, settled
from streamsync.core.template import fill
from streamsync.core.usage import price_of


def book_signed(desk: Desk, fact: Fact) -> None:
    """contract_signed: no entry; the segments begin."""
    if fact.contract is None:
        raise incomplete(fact)
    on = desk.day_of(fact)
    method = method_of(desk.template_policy(on, "revenue_earned"))
    desk.template(on, "unbilled_cleared")
    desk.segments = contract.sign(desk.segments, fact.contract, method, on, desk.zone)
    desk.signed = desk.signed or fact
    desk.nothing(fact, "contract_terms")


def book_modified(desk: Desk, fact: Fact) -> None:
    """contract_modified: no entry of its own; what is earned changes from its day on."""
    if fact.contract is None:
        raise incomplete(fact)
    on, signed = desk.day_of(fact), _signed(desk)
    method = method_of(desk.policy_of(desk.day_of(signed)))
    desk.segments = contract.modify(
        desk.segments, fact.contract, method, on, desk.zone, fact.fact_id
    )
    desk.nothing(fact, "contract_terms")


def book_terminated(desk: Desk, fact: Fact) -> None:
    """contract_terminated: the schedule stands, or stops; `earn` books what is left deferred."""
    on = desk.day_of(fact)
    _signed(desk)
    choice = desk.policy_of(on).choices.termination
    if choice == "schedule_stands":
        desk.nothing(fact, choice)
        return
    desk.template(on, f"service_stopped_{choice}")
    desk.segments = contract.stop(desk.segments, on)
    desk.terminated = fact
    desk.nothing(fact, "contract_terms")


def _signed(desk: Desk) -> Fact:
    if desk.signed is None:
        detail = "the contract's terms have not been seen"
        raise Stopped("contract_not_signed", detail, refused=False)
    return desk.signed


def usage_amount(desk: Desk, fact: Fact, usage: Usage) -> int:
    """What a record of usage costs: what it adds to the price of its billing period so far."""
    price = _price(desk, fact, usage)
    place = (usage.meter, usage.price, usage.period_from_ms)
    before = desk.used.get(place, Fraction(0))
    return price_of(before + Fraction(usage.quantity), price) - price_of(before, price)


def note_used(desk: Desk, usage: Usage) -> None:
    """The record counts for the tiers of those after it."""
    place = (usage.meter, usage.price, usage.period_from_ms)
    desk.used[place] = desk.used.get(place, Fraction(0)) + Fraction(usage.quantity)


def _price(desk: Desk, fact: Fact, usage: Usage) -> UsagePrice:
    begins = local_date(usage.period_from_ms, desk.zone).isoformat()
    found = [
        price
        for price in desk.prices
        if price.id == usage.price
        and price.currency == fact.currency
        and price.effective_from <= begins
    ]
    if not found:
        detail = f"usage price {usage.price} in {fact.currency} for a period from {begins}"
        raise Stopped("usage_price_not_found", detail, refused=False)
    return max(found, key=lambda price: price.effective_from)


def book_arrears(desk: Desk, fact: Fact) -> None:
    """usage_recorded, to be billed later: earned on its day."""
    if fact.usage is None:
        raise incomplete(fact)
    on = desk.day_of(fact)
    desk.template(on, "revenue_earned")
    amount = usage_amount(desk, fact, fact.usage)
    note_used(desk, fact.usage)
    if not amount:
        desk.nothing(fact, "amount_zero")
        return
    what = Performed(fact.usage.product)
    desk.earned.append(Earned(fact, "", on, amount, what))


def earn(desk: Desk, billed: Sequence[Billed], today: date) -> date | None:
    """The entries of all obligations; answers the day of the next row that is not due yet."""
    if desk.signed is None and not desk.earned:
        return None
    _note_rows(desk, today)
    roots = [segment.root for segment in desk.segments.values()]
    for root in dict.fromkeys((*roots, *(one.segment for one in desk.earned))):
        _settle_root(desk, root, [one for one in billed if _root_of(desk, one) == root])
    rows = (row for segment in desk.segments.values() for row in segment.rows)
    return min((row.date for row in rows if row.amount_minor and row.date >= today), default=None)


def _note_rows(desk: Desk, today: date) -> None:
    if desk.signed is None:
        return
    for name, segment in desk.segments.items():
        service = segment.service
        what = Performed(segment.product, service.start, service.end)
        desk.earned += [
            Earned(
                desk.signed, segment.root, row.date, row.amount_minor, what, f"{name}@{row.date}"
            )
            for row in segment.rows
            if row.amount_minor and row.date < today
        ]


def _root_of(desk: Desk, billed: Billed) -> str:
    """The obligation that a line bills; a contract of only one needs no name."""
    if not desk.segments:
        return ""
    roots = {segment.root for segment in desk.segments.values()}
    if billed.segment is None and len(roots) == 1:
        return roots.pop()
    named = desk.segments.get(billed.segment or "")
    return named.root if named is not None else billed.segment or ""


def _settle_root(desk: Desk, root: str, billed: Sequence[Billed]) -> None:
    earned = {(one.fact.fact_id, one.part): one for one in desk.earned if one.segment == root}
    currency = next((one.fact.currency for one in earned.values()), None)
    invoices: dict[tuple[str, str], Billed] = {}
    for bill in billed:
        if currency in (None, bill.currency):
            # An invoice may bill several segments of one obligation: it is one movement of it.
            known = invoices.get((bill.document, bill.fact_id))
            amount = bill.amount_minor + (known.amount_minor if known is not None else 0)
            invoices[bill.document, bill.fact_id] = replace(bill, amount_minor=amount)
    movements = [
        *(
            Movement(local_date(one.occurred_at_ms, desk.zone), BILLED, key, one.amount_minor)
            for key, one in invoices.items()
        ),
        *(Movement(one.on, EARNED, key, one.amount_minor) for key, one in earned.items()),
    ]
    walked, position = settled(movements)
    for one in walked:
        if one.kind == EARNED:
            _enter_earned(desk, earned[one.key[0], one.key[1]], one)
        elif one.unbilled_minor:
            _enter_cleared(desk, root, invoices[one.key[0], one.key[1]], one)
    if desk.terminated is not None and position > 0:
        _enter_rest(desk, desk.terminated, root, position)


def _enter_earned(desk: Desk, earned: Earned, movement: Movement) -> None:
    policy_day = desk.day_of(desk.signed) if desk.signed is not None else earned.on
    amounts = {
        "amount": (Portion(movement.amount_minor, earned.what),),
        "deferred": (Portion(movement.deferred_minor, earned.what),),
        "unbilled": (Portion(movement.unbilled_minor, earned.what),),
    }
    template = desk.template(policy_day, "revenue_earned")
    purpose = "revenue_earned" if desk.signed is not None else None
    lines = fill(template, amounts)
    desk.enter(earned.fact, lines, on=earned.on, purpose=purpose, part=earned.part)


def _enter_cleared(desk: Desk, segment: str, billed: Billed, movement: Movement) -> None:
    """The invoice's own fact clears: what it credited to deferred revenue was earned before."""
    at = desk.day_of(desk.signed) if desk.signed is not None else movement.on
    desk.entries.append(
        Entry(
            billed.fact_id,
            "unbilled_cleared",
            f"{billed.contract}|{segment}",
            period_of(movement.on),
            movement.on,
            billed.currency,
            fill(
                desk.template(at, "unbilled_cleared"),
                {"amount": (Portion(-movement.unbilled_minor),)},
            ),
        )
    )


def _enter_rest(desk: Desk, fact: Fact, segment: str, rest: int) -> None:
    """What was billed and will never be earned, by the policy of the end."""
    on = desk.day_of(fact)
    choice = desk.policy_of(on).choices.termination
    what = Performed(desk.segments[segment].product if segment in desk.segments else None)
    amounts = {
        "deferred": (Portion(rest, what),),
        "earned": (),
        "rest": (Portion(rest, what),),
        # A contract's price is its own: it is off no list.
        "discount": (),
    }
    template = desk.template(on, f"service_stopped_{choice}")
    desk.enter(fact, fill(template, amounts), part=segment)
