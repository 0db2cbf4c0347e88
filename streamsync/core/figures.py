"""Billing's own figures: what the documents say they moved, beside what the books made of it.

Problem: control totals that are computed from the entries they should check agree always. How: one
walk over a document's facts keeps what is owed, left and lost by the facts' own amounts, and says
what each of them moved; no schedule, policy, tax or account is looked at.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from typing import Final, NamedTuple

from msgspec import Struct, field

from streamsync.core.document import signed_total
from streamsync.core.facts import BalanceTransaction, Charge, Fact, Refund
from streamsync.core.ordering import in_order, refund_amounts


class Figure(NamedTuple):
    """What a fact moved by its own word, in minor units of a currency."""

    fact_id: str
    purpose: str
    occurred_at_ms: int
    currency: str
    amount_minor: int


LEFT, ARRIVED = "settlement_left", "settlement_arrived"
"""What a conversion took in the currency of payment, and brought in the one of settlement."""

_Moved = Iterator[tuple[str, str, int]]
"""Purpose, currency and amount."""


class _Walk(Struct):
    """One document on the way through its facts, in order."""

    facts: Sequence[Fact]
    refunds: Mapping[str, int]
    charged: Mapping[str, int | None]
    left: int = 0
    owed: int = 0
    lost: int = 0
    # What facts that can be taken back had moved: fact id to amount.
    booked: dict[str, int] = field(default_factory=dict)


def billing_amounts(facts: Sequence[Fact], without: Collection[str] = ()) -> list[Figure]:
    """The figures of one document.

    `without`: ids of the facts that wait or are refused; they have no figure yet, and must not
    lower what a void or loss clears.
    """
    told = in_order(facts)
    counted = [fact for fact in told if fact.fact_id not in without]
    walk = _Walk(counted, refund_amounts(told), charged_amounts(counted))
    found: list[Figure] = []
    # The issue counts first whatever its time, as in the books.
    for fact in sorted(counted, key=lambda one: one.kind != "invoice_issued"):
        figures = _FIGURES.get(fact.kind)
        for purpose, currency, amount in figures(walk, fact) if figures else ():
            if amount:
                found.append(Figure(fact.fact_id, purpose, fact.occurred_at_ms, currency, amount))
    return found


def owed_amount(facts: Sequence[Fact]) -> int:
    """What all facts of a document leave to pay, minor units; below zero when more was paid."""
    told = in_order(facts)
    walk = _Walk(told, refund_amounts(told), charged_amounts(told))
    for fact in sorted(told, key=lambda one: one.kind != "invoice_issued"):
        figures = _FIGURES.get(fact.kind)
        for _ in figures(walk, fact) if figures else ():
            pass
    return walk.owed


def charged_amounts(facts: Sequence[Fact]) -> Mapping[str, int | None]:
    """What each telling of a payment charged by itself; None: another telling has it.

    A telling of the whole has what its earlier parts did not; its later parts have nothing. Of
    several tellings of a whole each is a payment of its own, and the last one has the parts.
    """
    paid = [fact for fact in facts if fact.kind == "payment_applied" and fact.payment]
    wholes = [fact for fact in paid if fact.payment and not fact.payment.part]
    whole = wholes[-1] if wholes else None
    charged: dict[str, int | None] = {
        fact.fact_id: fact.payment.amount_minor for fact in wholes if fact.payment
    }
    earlier = 0
    for fact in paid:
        if fact.payment is not None and fact.payment.part:
            counts = whole is None or fact.occurred_at_ms < whole.occurred_at_ms
            charged[fact.fact_id] = fact.payment.amount_minor if counts else None
            earlier += fact.payment.amount_minor if counts else 0
    if whole is not None and whole.payment is not None:
        charged[whole.fact_id] = whole.payment.amount_minor - earlier
    return charged


def _issued(walk: _Walk, fact: Fact) -> _Moved:
    if fact.invoice is not None:
        total = signed_total(fact.invoice)
        walk.left += total
        walk.owed += max(total, 0)
        yield fact.kind, _currency(fact), total


def _paid(walk: _Walk, fact: Fact) -> _Moved:
    charged = walk.charged.get(fact.fact_id)
    if fact.payment is None or charged is None:
        return
    over = fact.payment.overpaid_minor
    applied = charged - over + fact.payment.from_balance_minor
    back = max(min(applied, walk.lost), 0)
    walk.lost -= back
    walk.left += back
    walk.owed += back - applied
    yield "invoice_recovered", _currency(fact), back
    yield fact.kind, _currency(fact), applied
    yield "payment_overpaid", _currency(fact), over


def _cash(walk: _Walk, fact: Fact) -> _Moved:
    if fact.payment is not None:
        walk.owed += fact.payment.amount_minor if fact.kind == "payment_unapplied" else 0
        yield fact.kind, _currency(fact), fact.payment.amount_minor


def _noted(walk: _Walk, fact: Fact) -> _Moved:
    note = fact.credit_note
    if note is not None and note.settlement in ("receivable", "customer_balance"):
        walk.left -= note.total_minor
        walk.owed -= note.total_minor if note.settlement == "receivable" else 0
        walk.booked[f"credit_note_issued:{note.credit_note_id}"] = note.total_minor
        yield fact.kind, _currency(fact), note.total_minor


def _note_voided(walk: _Walk, fact: Fact) -> _Moved:
    note = fact.credit_note
    if note is not None:
        amount = walk.booked.pop(f"credit_note_issued:{note.credit_note_id}", 0)
        walk.left += amount
        walk.owed += amount if note.settlement == "receivable" else 0
        yield fact.kind, _currency(fact), amount


def _refunded(walk: _Walk, fact: Fact) -> _Moved:
    amount = walk.refunds.get(fact.fact_id, 0)
    walk.left -= amount
    walk.booked[fact.fact_id] = amount
    yield fact.kind, _currency(fact), amount
    balance = refund_balance(walk.facts, fact.refund)
    if balance is not None:
        yield from _settled(fact, -amount, (balance,))


def refund_balance(facts: Sequence[Fact], refund: Refund | None) -> BalanceTransaction | None:
    """How a refund changed the processor's balance: by its charge's telling, or by its own."""
    if refund is None:
        return None
    if refund.balance is not None:
        return refund.balance
    told = (
        fact.refund.balance
        for fact in facts
        if fact.kind == "refund_reported"
        and fact.refund is not None
        and fact.refund.refund_id == refund.refund_id
    )
    return next((balance for balance in told if balance is not None), None)


def _refund_failed(walk: _Walk, fact: Fact) -> _Moved:
    told = refund_told(walk.facts, walk.refunds, fact)
    amount = walk.booked.get(told.fact_id, 0) if told is not None else 0
    walk.left += amount
    yield fact.kind, _currency(fact), amount
    if fact.refund is not None and fact.refund.balance is not None:
        yield from _settled(fact, amount, (fact.refund.balance,))
        return
    balance = refund_balance(walk.facts, told.refund if told is not None else None)
    if balance is not None:
        for purpose, currency, moved in _settled(fact, -amount, (balance,)):
            yield purpose, currency, -moved


def refund_told(facts: Sequence[Fact], amounts: Mapping[str, int], fact: Fact) -> Fact | None:
    """The charge's telling of a refund: by its id, else one of the same amount without an id."""
    refund = fact.refund
    if refund is None:
        return None
    told = [one for one in facts if one.kind == "refunded" and one.refund is not None]
    by_id = [one for one in told if one.refund and one.refund.refund_id == refund.refund_id]
    alike = [
        one
        for one in told
        if one.refund
        and one.refund.refund_id is None
        and amounts.get(one.fact_id) == refund.amount_minor
    ]
    return next(iter((*by_id, *alike)), None)


def _tax_adjusted(walk: _Walk, fact: Fact) -> _Moved:
    told = fact.tax_adjustment
    if told is not None:
        size = sum(tax.amount_minor for tax in told.taxes)
        amount = -size if told.direction == "credit" else size
        walk.left += amount if told.settlement != "company" else 0
        walk.owed += amount if told.settlement == "receivable" else 0
        yield fact.kind, _currency(fact), amount


def _cleared(walk: _Walk, fact: Fact) -> _Moved:
    amount = walk.left if walk.owed >= walk.left else max(walk.owed, 0)
    walk.left -= amount
    walk.owed -= amount
    if fact.kind != "invoice_voided" and amount:
        walk.lost = max(amount, 0)
    yield fact.kind, _currency(fact), amount


def _charged(_walk: _Walk, fact: Fact) -> _Moved:
    charge = fact.charge
    if charge is None:
        return
    if fact.document_kind == "charge":
        yield fact.kind, _currency(fact), applied_minor(charge)
    if charge.balance is not None:
        yield "charge_fee", charge.balance.currency, fee_of(charge.balance)
        yield from _settled(fact, applied_minor(charge), (charge.balance,))


def _disputed(_walk: _Walk, fact: Fact) -> _Moved:
    dispute = fact.dispute
    if dispute is None:
        return
    back = fact.kind == "dispute_funds_reinstated"
    moved = [one for one in dispute.movements if one.direction == ("in" if back else "out")]
    here = [one for one in moved if one.currency == fact.currency]
    amount = sum(one.amount_minor for one in here) if here else dispute.amount_minor
    fees = sum(map(fee_of, here))
    yield fact.kind, _currency(fact), amount - fees if back else amount + fees
    for one in moved:
        if one.currency != fact.currency:
            yield "dispute_fee", one.currency, fee_of(one)
    if not here:
        yield from _settled(fact, amount if back else -amount, moved)


def _dispute_closed(_walk: _Walk, fact: Fact) -> _Moved:
    dispute = fact.dispute
    if dispute is not None and dispute.outcome == "lost":
        here = [one for one in dispute.movements if one.currency == fact.currency]
        parked = sum(
            one.amount_minor if one.direction == "out" else -one.amount_minor for one in here
        )
        yield fact.kind, _currency(fact), parked if here else dispute.amount_minor


def _paid_out(walk: _Walk, fact: Fact) -> _Moved:
    payout = fact.payout
    if payout is not None:
        amount = -payout.amount_minor if payout.direction == "in" else payout.amount_minor
        walk.booked[fact.kind] = amount
        yield fact.kind, _currency(fact), amount


def _payout_failed(walk: _Walk, fact: Fact) -> _Moved:
    yield fact.kind, _currency(fact), walk.booked.get("payout_paid", 0)


def _between_entities(_walk: _Walk, fact: Fact) -> _Moved:
    if fact.intercompany is not None:
        yield fact.kind, _currency(fact), fact.intercompany.amount_minor


def fee_of(movement: BalanceTransaction | None) -> int:
    """The fee of a movement, minor units; below zero when it was given back."""
    if movement is None:
        return 0
    return -movement.fee_minor if movement.fee_direction == "returned" else movement.fee_minor


def applied_minor(charge: Charge) -> int:
    """What of a charge is the company's own: of a platform's, only the application fee."""
    return charge.application_fee_minor or 0 if charge.destination else charge.amount_minor


def converted(
    currency: str | None, amount_minor: int, movements: Sequence[BalanceTransaction]
) -> tuple[str, int] | None:
    """The other currency that an amount was settled in, and what arrived there before fees (below
    zero: what went out); None: it was settled in its own. A processor settles a movement in one
    currency.
    """
    settled: dict[str, int] = {}
    for one in movements:
        if one.currency != currency:
            amount = -one.amount_minor if one.direction == "out" else one.amount_minor
            settled[one.currency] = settled.get(one.currency, 0) + amount
    found = next(iter(sorted(settled.items())), None)
    return found if found is not None and amount_minor and found[1] else None


def _settled(fact: Fact, amount_minor: int, movements: Sequence[BalanceTransaction]) -> _Moved:
    arrived = converted(fact.currency, amount_minor, movements)
    if arrived is not None:
        yield LEFT, _currency(fact), amount_minor
        yield ARRIVED, *arrived


def _currency(fact: Fact) -> str:
    return fact.currency or ""


_FIGURES: Final[Mapping[str, Callable[[_Walk, Fact], _Moved]]] = {
    "invoice_issued": _issued,
    "invoice_voided": _cleared,
    "invoice_uncollectible": _cleared,
    "written_off": _cleared,
    "payment_applied": _paid,
    "payment_unapplied": _cash,
    "cash_received": _cash,
    "cash_applied": _cash,
    "credit_note_issued": _noted,
    "credit_note_voided": _note_voided,
    "charge_succeeded": _charged,
    "refunded": _refunded,
    "refund_failed": _refund_failed,
    "dispute_funds_withdrawn": _disputed,
    "dispute_funds_reinstated": _disputed,
    "dispute_closed": _dispute_closed,
    "payout_paid": _paid_out,
    "payout_failed": _payout_failed,
    "tax_adjusted": _tax_adjusted,
    "intercompany_sale": _between_entities,
    "intercompany_purchase": _between_entities,
    "intercompany_sale_cancelled": _between_entities,
    "intercompany_purchase_cancelled": _between_entities,
}
