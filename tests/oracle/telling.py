"""One payload of Stripe to the facts that it tells.

The problem: a payload is a deep and loose object, a fact a few figures. How: one function per kind
of object picks what counts; what contradicts itself is rejected.
"""

from collections.abc import Callable

from .facts import (
    CHARGED,
    CREDITED,
    DISPUTE_CLOSED,
    ENDED,
    ISSUED,
    NOTE_VOIDED,
    OPENED,
    OVERDUE,
    PAID,
    PAID_OUT,
    PAYOUT_FAILED,
    REFUNDED,
    REINSTATED,
    UNCOLLECTIBLE,
    VOIDED,
    WITHDRAWN,
    Charge,
    Closing,
    Dispute,
    Ended,
    Fact,
    Issue,
    Line,
    Movement,
    Note,
    NoteVoided,
    Payment,
    Payout,
    Refund,
)  # fmt: skip
from .payload import (
    Obj,
    RejectedError,
    objects,
    reference,
    text,
    transition,
    whole,
    whole_or,
)

DEAD_REFUNDS = ("failed", "canceled")

DISPUTES = {
    "charge.dispute.created": OPENED,
    "charge.dispute.funds_withdrawn": WITHDRAWN,
    "charge.dispute.funds_reinstated": REINSTATED,
    "charge.dispute.closed": DISPUTE_CLOSED,
}


def taxes_of(obj: Obj) -> tuple[int, ...]:
    """The tax amounts of a line or a note, inclusive and exclusive."""
    return tuple(whole(tax, "amount") for tax in objects(obj, "tax_amounts"))


def net_of(line: Obj) -> int:
    """Amount less discounts and inclusive taxes; a negative line stays negative."""
    net = whole(line, "amount")
    for discount in objects(line, "discount_amounts"):
        net -= whole(discount, "amount")
    for tax in objects(line, "tax_amounts"):
        if tax.get("inclusive"):
            net -= whole(tax, "amount")
    return net


def invoice_line(number: int, line: Obj) -> Line:
    """One line as it stands on the invoice."""
    period = line.get("period")
    start = end = None
    if isinstance(period, dict):
        start, end = whole(period, "start"), whole(period, "end")
    metadata = line.get("metadata")
    named = metadata if isinstance(metadata, dict) else {}
    contract, segment = named.get("streamsync_contract"), named.get("streamsync_segment")
    name, subscription = text(line, "id"), reference(line, "subscription")
    off = sum(whole(discount, "amount") for discount in objects(line, "discount_amounts"))
    inside = tuple(tax.get("inclusive") is True for tax in objects(line, "tax_amounts"))
    net, taxes = net_of(line), taxes_of(line)
    return Line(number, name, net, taxes, start, end, contract, subscription, off, inside, segment)


def issue_of(invoice: Obj, created: int) -> Issue:
    """The issue of an invoice; its lines and taxes must make up its total."""
    lines = tuple(
        invoice_line(number, line) for number, line in enumerate(objects(invoice, "lines"), 1)
    )
    total = whole(invoice, "total")
    gross = sum(line.net + sum(line.taxes) for line in lines)
    if gross != total:
        raise RejectedError(f"document_total_mismatch {gross} {total}")
    return Issue(
        purpose=ISSUED,
        fact_id=text(invoice, "id"),
        at=transition(invoice, "finalized_at", created),
        customer=reference(invoice, "customer"),
        currency=text(invoice, "currency").upper(),
        invoice=text(invoice, "id"),
        total=total,
        lines=lines,
        automatic=invoice.get("collection_method", "charge_automatically") != "send_invoice",
    )


def payment_of(invoice: Obj, created: int) -> Payment:
    """The settlement of an invoice; the balance part is what the customer balance rose by.

    A negative invoice lowers that balance itself, which is its issue and not a payment.
    """
    from_balance = 0
    if whole(invoice, "total") >= 0 and invoice.get("ending_balance") is not None:
        from_balance = whole(invoice, "ending_balance") - whole_or(invoice, "starting_balance", 0)
    return Payment(
        purpose=PAID,
        fact_id=text(invoice, "id"),
        at=transition(invoice, "paid_at", created),
        customer=reference(invoice, "customer"),
        currency=text(invoice, "currency").upper(),
        invoice=text(invoice, "id"),
        charged=whole(invoice, "amount_paid"),
        from_balance=from_balance,
        out_of_band=bool(invoice.get("paid_out_of_band")),
        whole=issue_of(invoice, created) if objects(invoice, "lines") else None,
    )


def closing_of(invoice: Obj, created: int, purpose: str) -> Closing:
    """The void or the giving up of an invoice, or that it is overdue (which has no time there)."""
    field = {VOIDED: "voided_at", UNCOLLECTIBLE: "marked_uncollectible_at"}.get(purpose, "overdue")
    return Closing(
        purpose=purpose,
        fact_id=text(invoice, "id"),
        at=transition(invoice, field, created),
        customer=reference(invoice, "customer"),
        currency=text(invoice, "currency").upper(),
        invoice=text(invoice, "id"),
    )


def note_net(line: Obj) -> int:
    """The net of one credit note line; the discount comes as a list or as one figure."""
    net = net_of(line)
    if line.get("discount_amounts") is None and line.get("discount_amount") is not None:
        net -= whole(line, "discount_amount")
    return net


def note_of(note: Obj, created: int) -> Note:
    """A credit note; what it says about lines counts when every line names an invoice line."""
    total = whole(note, "total" if note.get("total") is not None else "amount")
    lines = objects(note, "lines")
    if note.get("tax_amounts") is not None:
        tax = sum(taxes_of(note))
    else:
        tax = sum(sum(taxes_of(line)) for line in lines)
    shares: tuple[tuple[str, int], ...] = ()
    if lines and all(reference(line, "invoice_line_item") for line in lines):
        shares = tuple((str(reference(x, "invoice_line_item")), note_net(x)) for x in lines)
        net = sum(share for _, share in shares)
        if net + tax != total:
            raise RejectedError(f"document_total_mismatch {net + tax} {total}")
    kind = text(note, "type")
    if kind not in ("pre_payment", "post_payment"):
        raise RejectedError(f"credit_note_type {kind}")
    return Note(
        purpose=CREDITED,
        fact_id=text(note, "id"),
        at=whole_or(note, "created", created),
        customer=reference(note, "customer"),
        currency=text(note, "currency").upper(),
        invoice=reference(note, "invoice"),
        total=total,
        tax=tax,
        before_payment=kind == "pre_payment",
        refund=reference(note, "refund"),
        shares=shares,
        reason=str(note["reason"]) if note.get("reason") else None,
    )


def refunds_of(charge: Obj, created: int, known: int) -> list[Refund]:
    """The refunds of a charge by id; unlisted ones are the growth of the cumulative figure."""
    charge_id = text(charge, "id")

    def refund(fact_id: str, at: int, amount: int, moved: Movement | None = None) -> Refund:
        return Refund(
            purpose=REFUNDED,
            fact_id=fact_id,
            at=at,
            customer=reference(charge, "customer"),
            currency=text(charge, "currency").upper(),
            invoice=reference(charge, "invoice"),
            charge=charge_id,
            amount=amount,
            movement=moved,
        )

    listed = objects(charge, "refunds")
    if listed:
        return [
            refund(
                text(item, "id"),
                whole_or(item, "created", created),
                whole(item, "amount"),
                movement_of(item.get("balance_transaction")),
            )
            for item in listed
            if item.get("status") not in DEAD_REFUNDS
        ]
    cumulative = whole(charge, "amount_refunded")
    grown = cumulative - known
    return [refund(f"{charge_id}@{cumulative}", created, grown)] if grown > 0 else []


def movement_of(obj: Obj | str | None) -> Movement | None:
    """A balance transaction that the payload holds whole."""
    if not isinstance(obj, dict):
        return None
    return Movement(
        whole(obj, "amount"),
        whole_or(obj, "fee", 0),
        text(obj, "currency").upper(),
        whole_or(obj, "created", 0),
    )


def charge_of(charge: Obj, created: int) -> Charge:
    """A charge; a platform's destination charge is told by whom it goes to."""
    transfer = charge.get("transfer_data")
    elsewhere = charge.get("destination") or (isinstance(transfer, dict) and transfer)
    return Charge(
        purpose=CHARGED,
        fact_id=text(charge, "id"),
        at=whole_or(charge, "created", created),
        customer=reference(charge, "customer"),
        currency=text(charge, "currency").upper(),
        invoice=reference(charge, "invoice"),
        amount=whole_or(charge, "amount_captured", whole(charge, "amount")),
        application_fee=whole_or(charge, "application_fee_amount", 0) if elsewhere else None,
        movement=movement_of(charge.get("balance_transaction")),
    )


def dispute_of(dispute: Obj, created: int, purpose: str) -> Dispute:
    """A step of a dispute; funds move when the last of their movements does."""
    movements = tuple(
        found
        for found in (movement_of(one) for one in objects(dispute, "balance_transactions"))
        if found is not None
    )
    at = whole_or(dispute, "created", created) if purpose == OPENED else created
    if purpose in (WITHDRAWN, REINSTATED):
        out = purpose == WITHDRAWN
        movements = tuple(one for one in movements if (one.amount < 0) == out)
        at = max((one.at for one in movements), default=created)
    return Dispute(
        purpose=purpose,
        fact_id=text(dispute, "id"),
        at=at,
        customer=None,
        currency=text(dispute, "currency").upper(),
        invoice=None,
        charge=str(reference(dispute, "charge")),
        amount=whole(dispute, "amount"),
        status=text(dispute, "status"),
        movements=movements,
    )


def payout_of(payout: Obj, created: int, purpose: str) -> Payout:
    """A payout that arrived, or that failed."""
    paid = purpose == PAID_OUT
    return Payout(
        purpose=purpose,
        fact_id=text(payout, "id"),
        at=min(whole_or(payout, "arrival_date", created), created) if paid else created,
        customer=None,
        currency=text(payout, "currency").upper(),
        invoice=None,
        amount=whole(payout, "amount"),
        movement=movement_of(payout.get("balance_transaction")),
    )


def note_voided_of(note: Obj, created: int) -> NoteVoided:
    """A credit note taken back."""
    return NoteVoided(
        purpose=NOTE_VOIDED,
        fact_id=text(note, "id"),
        at=whole_or(note, "voided_at", created),
        customer=reference(note, "customer"),
        currency=text(note, "currency").upper(),
        invoice=reference(note, "invoice"),
        note=text(note, "id"),
    )


def ended_of(subscription: Obj, created: int) -> Ended:
    """The end of a subscription, at the moment that its event tells."""
    name = text(subscription, "id")
    return Ended(
        purpose=ENDED,
        fact_id=f"{name}:{created}",
        at=created,
        customer=reference(subscription, "customer"),
        currency="",  # the documents that it ends have theirs
        invoice=None,
        subscription=name,
    )


ONE_FACT: dict[str, Callable[[Obj, int], Fact]] = {
    "invoice.finalized": issue_of,
    "invoice.paid": payment_of,
    "invoice.payment_succeeded": payment_of,
    "invoice.voided": lambda obj, created: closing_of(obj, created, VOIDED),
    "invoice.marked_uncollectible": lambda obj, created: closing_of(obj, created, UNCOLLECTIBLE),
    "invoice.overdue": lambda obj, created: closing_of(obj, created, OVERDUE),
    "customer.subscription.deleted": ended_of,
    "credit_note.created": note_of,
    "credit_note.voided": note_voided_of,
    "charge.succeeded": charge_of,
    "payout.paid": lambda obj, created: payout_of(obj, created, PAID_OUT),
    "payout.failed": lambda obj, created: payout_of(obj, created, PAYOUT_FAILED),
}
