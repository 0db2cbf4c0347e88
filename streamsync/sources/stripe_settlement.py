"""Facts that give something back: refunds of a charge and credit notes.

Problem: a charge repeats all its refunds in every event, and a credit note says how it was settled
only by which of its fields are set. How: one fact per refund id, with figures that no later event
changes; the settlement from the note itself, and a note settled in two ways is refused.
"""

from __future__ import annotations

from collections.abc import Sequence

from msgspec.structs import replace

from streamsync.core.facts import CreditNote, CreditNoteLine, Fact, Refund
from streamsync.sources.refusal import Refusal
from streamsync.sources.stripe_charge import Read, links_of, named_by
from streamsync.sources.stripe_currency import currency_of
from streamsync.sources.stripe_money import RefundedCharge, RefundItem, movement_of, not_below_zero
from streamsync.sources.stripe_payload import (
    Note,
    NoteLine,
    TaxAmount,
    place_of,
    read_piece,
)

# Stripe takes these back out of `amount_refunded`: the money stayed.
_NOT_GIVEN_BACK = frozenset({"failed", "canceled"})


def _refund_fact(charge: RefundedCharge, refund: Refund, identity: str, at_ms: int) -> Fact:
    return Fact(
        fact_id=f"refunded:{identity}",
        kind="refunded",
        document=charge.invoice or charge.id,
        document_kind="invoice" if charge.invoice else "charge",
        currency=currency_of(charge.currency, "data.object.currency"),
        occurred_at_ms=at_ms,
        refund=refund,
    )


def _itemised(
    charge: RefundedCharge, refunded: int, items: Sequence[tuple[int, RefundItem]], created_ms: int
) -> list[Fact]:
    """The refunds that were given, each with its place in the list."""
    # Oldest first: Stripe lists the newest first. The cumulative figure of a refund is the sum up
    # to itself, so that it stays the same when later events repeat it with more refunds.
    facts: list[Fact] = []
    cumulative = 0
    oldest_first = list(reversed(items))
    oldest_first.sort(key=lambda placed: placed[1].created or 0)
    for index, item in oldest_first:
        cumulative += item.amount
        refund = Refund(
            refund_id=item.id,
            charge=charge.id,
            payment_intent=charge.payment_intent,
            amount_minor=item.amount,
            cumulative_minor=cumulative,
            balance=movement_of(
                item.balance_transaction,
                place_of(("refunds", "data", index, "balance_transaction")),
            ),
        )
        at_ms = created_ms if item.created is None else item.created * 1000
        facts.append(_refund_fact(charge, refund, item.id, at_ms))
    if cumulative != refunded:
        raise Refusal(
            "refund_total_mismatch",
            f"data.object.amount_refunded: {refunded}, the refunds add up to "
            f"{cumulative}, difference {refunded - cumulative}",
        )
    return facts


def read_refunds(value: object, created_ms: int, *, new_shape: bool) -> Read:
    """charge.refunded: one fact per refund, or the cumulative figure where none is listed."""
    charge = read_piece(RefundedCharge, value)
    facts = _refunds(charge, created_ms)
    names = named_by(charge, new_shape=new_shape)
    return Read(tuple(facts), names, links_of(charge, new_shape=new_shape))


def _refunds(charge: RefundedCharge, created_ms: int) -> list[Fact]:
    place = "data.object.amount_refunded"
    refunded = not_below_zero(charge.amount_refunded, place)
    taken = charge.amount if charge.amount_captured is None else charge.amount_captured
    if refunded > taken:
        detail = f"{place}: {refunded}, {taken} was charged, {refunded - taken} too much"
        raise Refusal("refund_exceeds_payment", detail)
    if charge.refunds is not None and charge.refunds.has_more:
        count = len(charge.refunds.data)
        detail = f"data.object.refunds: only {count} are embedded; the charge must be fetched"
        raise Refusal("lines_truncated", detail, outcome="waiting")
    listed = charge.refunds.data if charge.refunds else []
    _check_refunds(listed)
    if listed:
        given_back = [
            (index, item) for index, item in enumerate(listed) if item.status not in _NOT_GIVEN_BACK
        ]
        return _itemised(charge, refunded, given_back, created_ms)
    if refunded == 0:
        return []
    refund = Refund(
        charge=charge.id, payment_intent=charge.payment_intent, cumulative_minor=refunded
    )
    return [_refund_fact(charge, refund, f"{charge.id}:{refunded}", created_ms)]


def _check_refunds(listed: Sequence[RefundItem]) -> None:
    seen: set[str] = set()
    for index, item in enumerate(listed):
        if item.amount < 0:
            place = place_of(("refunds", "data", index, "amount"))
            raise Refusal("amount_negative", f"{place}: {item.amount} is below zero")
        if item.id in seen:
            place = place_of(("refunds", "data", index, "id"))
            raise Refusal("line_repeated", f"{place}: a refund with this id came before")
        seen.add(item.id)


def _refund_ids(note: Note) -> tuple[str, ...]:
    """The refunds that pay the note out: one in the older shape, a list in the newer one."""
    named = [note.refund] if note.refund is not None else []
    return tuple(dict.fromkeys([*named, *(one.refund for one in note.refunds or [])]))


def _settlement(note: Note) -> str:
    out_of_band = note.out_of_band_amount or 0
    if note.type == "pre_payment":
        if note.post_payment_amount or _refund_ids(note) or note.customer_balance_transaction:
            raise _mixed(note)
        return "receivable"
    if note.type != "post_payment":
        rule = "pre_payment or post_payment is required"
        raise Refusal("field_type_wrong", f"data.object.type: {rule}")
    ways = [
        way
        for way, used in (
            ("refund", bool(_refund_ids(note))),
            ("customer_balance", note.customer_balance_transaction is not None),
            ("out_of_band", out_of_band > 0),
        )
        if used
    ]
    if (
        note.pre_payment_amount
        or len(ways) > 1
        or (ways == ["out_of_band"] and out_of_band != note.total)
    ):
        raise _mixed(note)
    if not ways:
        detail = "data.object: neither refund, customer_balance_transaction nor out_of_band_amount"
        raise Refusal("credit_note_settlement_missing", f"{detail}; total {note.total}")
    return ways[0]


def _mixed(note: Note) -> Refusal:
    shares = {
        "before payment": note.pre_payment_amount,
        "after payment": note.post_payment_amount,
        "out of band": note.out_of_band_amount,
    }
    told = ", ".join(f"{name} {share}" for name, share in shares.items() if share is not None)
    ways = [
        name
        for name, used in (
            ("a refund", _refund_ids(note)),
            ("a customer balance transaction", note.customer_balance_transaction),
        )
        if used
    ]
    parts = "; ".join(part for part in (told, " and ".join(ways)) if part)
    detail = f"data.object: total {note.total} settled in more than one way ({parts})"
    return Refusal("credit_note_settlement_mixed", detail)


def _sum_taxes(taxes: Sequence[TaxAmount] | None, place: str, inclusive_only: bool = False) -> int:
    total = 0
    for at, tax in enumerate(taxes or []):
        if tax.amount < 0:
            raise Refusal("tax_negative", f"{place}[{at}].amount: {tax.amount} is below zero")
        if tax.inclusive or not inclusive_only:
            total += tax.amount
    return total


def _note_line(index: int, line: NoteLine) -> CreditNoteLine:
    place = place_of(("lines", "data", index))
    if line.discount_amounts is None:
        discount = line.discount_amount or 0
    else:
        discount = sum(part.amount for part in line.discount_amounts)
    net = line.amount - discount - _sum_taxes(line.tax_amounts, f"{place}.tax_amounts", True)
    if net < 0:
        raise Refusal("amount_negative", f"{place}: its net amount {net} is below zero")
    return CreditNoteLine(invoice_line_id=line.invoice_line_item, amount_minor=net)


def _note_tax(note: Note) -> int:
    lines = note.lines.data if note.lines else []
    by_line = sum(
        _sum_taxes(line.tax_amounts, place_of(("lines", "data", index, "tax_amounts")))
        for index, line in enumerate(lines)
    )
    if note.tax_amounts is None:
        return by_line
    tax = _sum_taxes(note.tax_amounts, "data.object.tax_amounts")
    if lines and by_line != tax:
        raise Refusal(
            "document_tax_mismatch",
            f"data.object.tax_amounts: {tax}, the lines' taxes add up to {by_line}, "
            f"difference {tax - by_line}",
        )
    return tax


def read_credit_note(value: object, created_ms: int) -> Fact:
    """credit_note.created: its figures, and how it was settled."""
    note = read_piece(Note, value)
    currency = currency_of(note.currency, "data.object.currency")
    if note.total < 0:
        raise Refusal("amount_negative", f"data.object.total: {note.total} is below zero")
    if note.lines is not None and note.lines.has_more:
        count = len(note.lines.data)
        detail = f"data.object.lines: only {count} lines are embedded; the note must be fetched"
        raise Refusal("lines_truncated", detail, outcome="waiting")
    tax = _note_tax(note)
    given = note.lines.data if note.lines else []
    lines = tuple(_note_line(index, line) for index, line in enumerate(given))
    net = sum(line.amount_minor for line in lines) if lines else note.total - tax
    if net + tax != note.total or net < 0:
        raise Refusal(
            "document_total_mismatch",
            f"data.object.total: {note.total}, net {net} and tax {tax} add up to {net + tax}, "
            f"difference {note.total - net - tax}",
        )
    return Fact(
        fact_id=f"credit_note_issued:{note.id}",
        kind="credit_note_issued",
        document=note.invoice,
        document_kind="invoice",
        currency=currency,
        occurred_at_ms=created_ms if note.created is None else note.created * 1000,
        credit_note=CreditNote(
            credit_note_id=note.id,
            settlement=_settlement(note),
            net_minor=net,
            tax_minor=tax,
            total_minor=note.total,
            refunds=_refund_ids(note),
            lines=lines,
            reason=note.reason,
        ),
    )


def read_note_voided(value: object, created_ms: int) -> Fact:
    """credit_note.voided: the note is taken back, with the figures that it had."""
    issued = read_credit_note(value, created_ms)
    note = read_piece(Note, value)
    return replace(
        issued,
        fact_id=f"credit_note_voided:{note.id}",
        kind="credit_note_voided",
        occurred_at_ms=created_ms if note.voided_at is None else note.voided_at * 1000,
    )
