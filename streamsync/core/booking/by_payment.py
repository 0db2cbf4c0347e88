"""Invoices whose payment books their revenue: small companies book straight from the gateway.

Problem: under such a policy an invoice that is charged automatically is nothing until it is paid,
and the payment must find the lines, the tax and what of them is deferred. How: the policy of the
issue's day (of the payment's, while the issue is not seen) says so by the way of collection; the
payment issues the document on its own day, from the invoice as it was paid, in proportion where
less or more than its total was paid. From there on the document is like any other.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import date
from itertools import accumulate, pairwise

from msgspec.structs import replace

from streamsync.core.booking.desk import Desk, Stopped
from streamsync.core.booking.invoice import issued_amounts, method_of
from streamsync.core.document import Portion, sign_of, signed_total
from streamsync.core.facts import Fact, Invoice, InvoiceLine, LineTax
from streamsync.core.issue import check_figures, issue
from streamsync.core.money import round_half_up_div, share_of_tax

_ON_TERMS = "on_terms"
# What has nothing to take from, and never will, before an invoice is paid.
_BEFORE_PAYMENT = frozenset(
    {
        "invoice_voided",
        "invoice_uncollectible",
        "invoice_overdue",
        "written_off",
        "service_terminated",
    }
)


def waits_for_payment(desk: Desk) -> bool:
    """Whether the document's revenue is booked by its payment."""
    issued = next((fact for fact in desk.facts if fact.kind == "invoice_issued"), None)
    if issued is not None and issued.invoice is not None:
        return _by_payment(desk, desk.day_of(issued), issued.invoice.collection)
    paid = next((fact for fact in desk.facts if fact.kind == "payment_applied"), None)
    if paid is None or paid.payment is None or paid.payment.collection is None:
        return False
    return _by_payment(desk, desk.day_of(paid), paid.payment.collection)


def _by_payment(desk: Desk, on: date, collection: str) -> bool:
    policy = desk.policy_at(on.isoformat())
    if policy is None:
        return False
    choices = policy.choices
    choice = choices.sent_on_terms if collection == _ON_TERMS else choices.charged_automatically
    return choice == "payment"


def book(desk: Desk, fact: Fact) -> bool:
    """Book a fact of such a document; False: it is booked like that of any other."""
    if fact.kind == "invoice_issued":
        desk.nothing(fact, "booked_at_payment")
        return True
    if fact.kind == "payment_applied":
        _book_payment(desk, fact)
        return True
    if desk.document is None and _comes_before(fact):
        desk.nothing(fact, "nothing_booked")
        return True
    return False


def _comes_before(fact: Fact) -> bool:
    """Whether a fact concerns what is owed, which such a document never books."""
    told = fact.credit_note or fact.tax_adjustment
    return fact.kind in _BEFORE_PAYMENT or told is not None and told.settlement == "receivable"


def _book_payment(desk: Desk, fact: Fact) -> None:
    payment = fact.payment
    if payment is None or payment.part or desk.document is not None:
        # Parts are told once more by the payment of the whole.
        desk.nothing(fact, "settled_by_payment")
        return
    invoice = _invoice_of(desk, fact)
    # What went past the gateway is not in its books: of such a payment only the balance counts.
    charged = 0 if payment.out_of_band else payment.amount_minor - payment.overpaid_minor
    paid = charged + payment.from_balance_minor
    total = signed_total(invoice)
    if payment.out_of_band and not payment.from_balance_minor:
        desk.nothing(fact, "paid_out_of_band")
        return
    if total == 0 or total > 0 and paid == 0:
        desk.nothing(fact, "amount_zero")
        return
    check_figures(invoice)
    on = desk.day_of(fact)
    policy = desk.template_policy(on, "revenue_released")
    counted = scaled(invoice, paid if total > 0 else total, policy.choices.tax_rounding)
    document = issue(fact, counted, on, desk.zone, method_of(policy))
    if total < 0:
        amounts = issued_amounts(document)
        desk.post(fact, "invoice_issued_negative", amounts, purpose="payment_recognised")
    else:
        amounts = {
            **issued_amounts(document),
            "total": (Portion(paid),),
            "charged": (Portion(charged),),
            "from_balance": (Portion(payment.from_balance_minor),),
        }
        reference = payment.gateway_reference
        desk.post(fact, "payment_recognised", amounts, reference, purpose="payment_recognised")
        if payment.overpaid_minor and not payment.out_of_band:
            over = {"amount": (Portion(payment.overpaid_minor),)}
            desk.post(fact, "payment_overpaid", over, reference, purpose="payment_overpaid")
    desk.document = document


def _invoice_of(desk: Desk, fact: Fact) -> Invoice:
    """The invoice as it was paid, else as it was issued."""
    issued = next((one for one in desk.facts if one.kind == "invoice_issued"), None)
    invoice = fact.invoice or (issued.invoice if issued is not None else None)
    if invoice is None:
        raise Stopped(*desk.not_issued, refused=False)
    return invoice


def scaled(invoice: Invoice, paid: int, rounding: str = "document") -> Invoice:
    """The invoice as if its total were what was paid: tax and lines in proportion.

    Tax = round half up, of all taxes or of each (`rounding`); what is left before tax is cut at the
    rounded running sums of the lines, so that it adds up whatever their signs.
    """
    total = signed_total(invoice)
    if paid == total:
        return invoice
    taxes = [(sign_of(line) * tax.amount_minor) for line in invoice.lines for tax in line.taxes]
    whole_tax = share_of_tax(taxes, paid, total, rounding)
    left_taxes = iter(_cut(taxes, whole_tax))
    nets = _cut([sign_of(line) * line.amount_minor for line in invoice.lines], paid - whole_tax)
    lines = tuple(
        _with(line, net, [next(left_taxes) for _ in line.taxes])
        for line, net in zip(invoice.lines, nets, strict=True)
    )
    return replace(
        invoice,
        total_minor=abs(paid),
        tax_minor=abs(whole_tax),
        direction="credit" if paid < 0 else "charge",
        lines=lines,
    )


def _cut(amounts: Sequence[int], whole: int) -> list[int]:
    """`whole` in the proportion of the amounts: differences of its rounded running shares."""
    total = sum(amounts)
    if total == 0:
        return [0 for _ in amounts]
    sums = [round_half_up_div(whole * sum_so_far, total) for sum_so_far in accumulate(amounts)]
    return [after - before for before, after in pairwise([0, *sums])]


def _with(line: InvoiceLine, net: int, taxes: Sequence[int]) -> InvoiceLine:
    sign = sign_of(line)
    told = line.amount_minor
    return replace(
        line,
        amount_minor=sign * net,
        discount_minor=round_half_up_div(line.discount_minor * sign * net, told) if told else 0,
        taxes=tuple(
            _taxed(tax, sign * amount) for tax, amount in zip(line.taxes, taxes, strict=True)
        ),
    )


def _taxed(tax: LineTax, amount: int) -> LineTax:
    # The stated base belongs to the whole tax.
    return replace(tax, amount_minor=amount, base_minor=None)
