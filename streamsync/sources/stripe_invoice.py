"""Facts of an invoice: issued, paid, failed, voided, uncollectible.

Problem: Stripe states a line before discounts, with inclusive taxes inside and exclusive ones
outside, and signs everything; the books need net, tax and direction that add up to the total, or
no document at all. How: signed arithmetic per line, checked against the document's own figures,
then turned into directions.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from streamsync.core.facts import (
    Charge,
    Collection,
    CustomerProfile,
    Fact,
    Invoice,
    InvoiceLine,
    LineTax,
    ObjectName,
    Payment,
)
from streamsync.sources.refusal import Refusal, first_repeated
from streamsync.sources.stripe_charge import charge_of
from streamsync.sources.stripe_currency import currency_of
from streamsync.sources.stripe_money import ChargeObject
from streamsync.sources.stripe_payload import (
    AMOUNT_MAX,
    Address,
    InvoiceHead,
    IssuedInvoice,
    Line,
    PaidInvoice,
    TaxAmount,
    TaxRate,
    place_of,
    read_piece,
)


def country_of(address: Address | None) -> str | None:
    """The two-letter country of an address; any other text could be personal and is left out."""
    code = address.country.upper() if address and address.country else ""
    return code if len(code) == 2 and code.isascii() and code.isalpha() else None


def _snapshot(invoice: InvoiceHead, currency: str) -> CustomerProfile | None:
    country = country_of(invoice.customer_address)
    if country is None:
        return None
    return CustomerProfile(
        country=country,
        currency=currency,
        tax_exempt=invoice.customer_tax_exempt,
        deleted=False,
    )


def _fact(
    kind: str,
    invoice: InvoiceHead,
    seconds: int | None,
    created_ms: int,
    *,
    attempt: str = "",
    issued: Invoice | None = None,
    payment: Payment | None = None,
    collection: Collection | None = None,
) -> Fact:
    currency = currency_of(invoice.currency, "data.object.currency")
    return Fact(
        fact_id=f"{kind}:{invoice.id}{attempt}",
        kind=kind,
        document=invoice.id,
        document_kind="invoice",
        subscription=invoice.subscription,
        currency=currency,
        occurred_at_ms=created_ms if seconds is None else seconds * 1000,
        invoice=issued,
        payment=payment,
        collection=collection,
        customer=_snapshot(invoice, currency),
    )


def _rate_text(rate: TaxRate | None) -> str | None:
    if rate is None or rate.percentage is None:
        return None
    text = format(rate.percentage, "f")
    return text.rstrip("0").rstrip(".") if "." in text else text


def _tax(tax: TaxAmount, sign: int, rates: Mapping[str, TaxRate], place: str) -> LineTax:
    if tax.amount * sign < 0:
        detail = f"{place}.amount: {tax.amount} is against the direction of its line"
        raise Refusal("tax_negative", detail)
    rate = rates.get(tax.tax_rate)
    base = tax.taxable_amount
    return LineTax(
        tax_code=tax.tax_rate,
        jurisdiction=rate.jurisdiction if rate else None,
        rate=_rate_text(rate),
        inclusive=tax.inclusive,
        base_minor=None if base is None else abs(base),
        amount_minor=abs(tax.amount),
    )


def _service(line: Line, place: str) -> tuple[int | None, int | None]:
    period = line.period
    if period is None or period.end == period.start:
        return None, None
    if period.end < period.start:
        detail = f"{place}.period: ends at {period.end}, before its start at {period.start}"
        raise Refusal("period_end_before_start", detail)
    return period.start * 1000, period.end * 1000


def _line(index: int, line: Line, currency: str) -> tuple[InvoiceLine, int]:
    """The line, and what it adds to the document's total (signed, tax included)."""
    place = place_of(("lines", "data", index))
    if line.currency is not None and currency_of(line.currency, f"{place}.currency") != currency:
        raise Refusal("currency_differs", f"{place}.currency: not the document's {currency}")
    taxes = line.tax_amounts or []
    discount = sum(part.amount for part in line.discount_amounts or [])
    inclusive = sum(tax.amount for tax in taxes if tax.inclusive)
    net = line.amount - discount - inclusive
    _check_range((net, discount, inclusive), place)
    if net * line.amount < 0:
        detail = f"{place}: discount {discount} and tax {inclusive} exceed the amount {line.amount}"
        raise Refusal("discount_exceeds_line", detail)
    sign = -1 if (net or line.amount) < 0 else 1
    rates = {rate.id: rate for rate in line.tax_rates or []}
    service_from, service_to = _service(line, place)
    priced = line.price or line.plan
    read = InvoiceLine(
        line_no=index + 1,
        line_id=line.id,
        direction="credit" if sign < 0 else "charge",
        amount_minor=abs(net),
        discount_minor=abs(discount),
        taxes=tuple(
            _tax(tax, sign, rates, f"{place}.tax_amounts[{at}]") for at, tax in enumerate(taxes)
        ),
        service_from_ms=service_from,
        service_to_ms=service_to,
        product=priced.product if priced else None,
        price=priced.id if priced else None,
        subscription=line.subscription,
        proration=bool(line.proration),
        **line.own_words,
    )
    return read, net + sum(tax.amount for tax in taxes)


def _check_range(amounts: Sequence[int], place: str) -> None:
    """Each part may be in range and their sum beyond what a contract field can hold."""
    if sum(abs(amount) for amount in amounts) > AMOUNT_MAX:
        detail = f"{place}: the amounts add up to more than {AMOUNT_MAX} minor units"
        raise Refusal("amount_out_of_range", detail)


def _signed_tax(lines: Sequence[InvoiceLine]) -> int:
    return sum(
        (-tax.amount_minor if line.direction == "credit" else tax.amount_minor)
        for line in lines
        for tax in line.taxes
    )


def _check_figures(invoice: IssuedInvoice, found: int, tax: int) -> None:
    if found != invoice.total:
        raise Refusal(
            "document_total_mismatch",
            f"data.object.total: {invoice.total}, the lines add up to {found}, "
            f"difference {invoice.total - found}",
        )
    if invoice.tax is not None and invoice.tax != tax:
        raise Refusal(
            "document_tax_mismatch",
            f"data.object.tax: {invoice.tax}, the lines' taxes add up to {tax}, "
            f"difference {invoice.tax - tax}",
        )
    directed = -tax if invoice.total < 0 else tax
    if not 0 <= directed <= AMOUNT_MAX:
        detail = f"data.object.tax: {tax} is against the direction of the total {invoice.total}"
        raise Refusal("tax_negative", detail)


def _check_line_ids(lines: Sequence[Line]) -> None:
    index = first_repeated([line.id for line in lines])
    if index is not None:
        place = place_of(("lines", "data", index, "id"))
        raise Refusal("line_repeated", f"{place}: a line with this id came before")


def read_issued(value: object, created_ms: int) -> Fact:
    """invoice.finalized: the document with all its lines."""
    invoice = read_piece(IssuedInvoice, value)
    times = invoice.status_transitions
    seconds = times.finalized_at if times else None
    return _fact("invoice_issued", invoice, seconds, created_ms, issued=_document(invoice))


def _document(invoice: IssuedInvoice) -> Invoice:
    """The invoice with all its lines; whatever does not add up is refused."""
    currency = currency_of(invoice.currency, "data.object.currency")
    if invoice.lines.has_more:
        count = len(invoice.lines.data)
        detail = f"data.object.lines: only {count} lines are embedded; the invoice must be fetched"
        raise Refusal("lines_truncated", detail, outcome="waiting")
    _check_line_ids(invoice.lines.data)
    read = [_line(index, line, currency) for index, line in enumerate(invoice.lines.data)]
    lines = tuple(line for line, _ in read)
    _check_range([gross for _, gross in read], place_of(("lines",)))
    tax = _signed_tax(lines)
    _check_figures(invoice, sum(gross for _, gross in read), tax)
    due = invoice.amount_due
    return Invoice(
        number=invoice.number,
        direction="credit" if invoice.total < 0 else "charge",
        total_minor=abs(invoice.total),
        tax_minor=abs(tax),
        amount_due_minor=None if due is None else max(due, 0),
        collection=_collection(invoice.collection_method),
        due_at_ms=None if invoice.due_date is None else invoice.due_date * 1000,
        starting_balance_minor=_credit(invoice.starting_balance),
        ending_balance_minor=_credit(invoice.ending_balance),
        lines=lines,
    )


def _collection(method: str | None) -> str:
    return "on_terms" if method == "send_invoice" else "automatic"


def _credit(balance: int | None) -> int | None:
    # Stripe's balance is negative while it is the customer's credit.
    return None if balance is None else -balance


def _from_balance(invoice: PaidInvoice) -> int:
    # A negative total went to the balance when it was issued; paying it moves nothing.
    if invoice.total < 0 or invoice.ending_balance is None:
        return 0
    if invoice.starting_balance is None:
        place = "data.object.starting_balance"
        detail = f"{place}: an integer in minor units is required, found nothing"
        raise Refusal("amount_missing", detail)
    # Stripe's balance is negative while it is the customer's credit.
    return invoice.ending_balance - invoice.starting_balance


def read_paid(value: object, created_ms: int) -> Fact:
    """invoice.paid and invoice.payment_succeeded: one fact, told twice."""
    invoice = read_piece(PaidInvoice, value)
    out_of_band = bool(invoice.paid_out_of_band)
    amount = invoice.amount_paid
    if amount < 0:
        raise Refusal("amount_negative", f"data.object.amount_paid: {amount} is below zero")
    if out_of_band and amount == 0:
        # Money received elsewhere never passed Stripe; what was due is what was received.
        amount = max(invoice.amount_due or 0, 0)
    times = invoice.status_transitions
    return _fact(
        "payment_applied",
        invoice,
        times.paid_at if times else None,
        created_ms,
        issued=_as_paid(value),
        payment=Payment(
            amount_minor=amount,
            from_balance_minor=_from_balance(invoice),
            overpaid_minor=_overpaid(invoice),
            out_of_band=out_of_band,
            processor="stripe",
            gateway_reference=invoice.charge or invoice.payment_intent,
            payment_intent=invoice.payment_intent,
            collection=_collection(invoice.collection_method),
            charge=_expanded_charge(value),
        ),
    )


def _as_paid(value: object) -> Invoice | None:
    """The whole invoice, where the payload holds it; a payment does not depend on it."""
    try:
        return _document(read_piece(IssuedInvoice, value))
    except Refusal:
        return None


def _overpaid(invoice: PaidInvoice) -> int:
    over = invoice.amount_overpaid or 0
    if not 0 <= over <= invoice.amount_paid:
        detail = f"data.object.amount_overpaid: {over}, amount_paid {invoice.amount_paid}"
        raise Refusal("amount_negative" if over < 0 else "payment_total_mismatch", detail)
    return over


def _expanded_charge(value: object) -> Charge | None:
    """The charge that paid, where the payload holds it whole."""
    told = value.get("charge") if isinstance(value, dict) else None
    return charge_of(read_piece(ChargeObject, told)) if isinstance(told, dict) else None


def read_overdue(value: object, created_ms: int) -> Fact:
    """invoice.overdue: state of collection; it books nothing."""
    invoice = read_piece(InvoiceHead, value)
    return _fact(
        "invoice_overdue", invoice, None, created_ms, collection=_state(invoice, overdue=True)
    )


def _state(invoice: InvoiceHead, *, overdue: bool) -> Collection:
    attempt, due = invoice.next_payment_attempt, invoice.due_date
    return Collection(
        attempts=invoice.attempt_count,
        next_attempt_at_ms=None if attempt is None else attempt * 1000,
        due_at_ms=None if due is None else due * 1000,
        remaining_minor=invoice.amount_remaining,
        overdue=overdue,
    )


def read_part_paid(value: object, previous: Mapping[str, object], created_ms: int) -> Fact | None:
    """invoice.updated of the older shape: money came in and something is still to pay."""
    before = previous.get("amount_paid")
    status = value.get("status") if isinstance(value, dict) else None
    if type(before) is not int or status != "open":
        return None
    invoice = read_piece(PaidInvoice, value)
    if invoice.amount_paid <= before:
        return None
    return _fact(
        "payment_applied",
        invoice,
        None,
        created_ms,
        attempt=f":{invoice.amount_paid}",
        payment=Payment(
            amount_minor=invoice.amount_paid - before,
            from_balance_minor=0,
            out_of_band=False,
            part=True,
            processor="stripe",
            gateway_reference=invoice.charge or invoice.payment_intent,
            payment_intent=invoice.payment_intent,
            collection=_collection(invoice.collection_method),
        ),
    )


def links_of(fact: Fact, *, new_shape: bool) -> tuple[ObjectName, ...]:
    """What an invoice ties to its account: itself, and the charge that paid it.

    In the older shape a charge names its invoice by itself.
    """
    if not new_shape or fact.document is None:
        return ()
    paid = fact.payment
    names = [fact.document]
    if paid is not None:
        names += [name for name in (paid.gateway_reference, paid.payment_intent) if name]
    return tuple(
        ObjectName(object=name, document=fact.document, document_kind="invoice")
        for name in dict.fromkeys(names)
    )


def read_failed(value: object, created_ms: int) -> Fact:
    """invoice.payment_failed: one fact per attempt; it books nothing."""
    invoice = read_piece(InvoiceHead, value)
    attempt = created_ms if invoice.attempt_count is None else invoice.attempt_count
    return _fact(
        "payment_failed",
        invoice,
        None,
        created_ms,
        attempt=f":{attempt}",
        collection=_state(invoice, overdue=False),
    )


def read_voided(value: object, created_ms: int) -> Fact:
    """invoice.voided: what remains of the document is taken back."""
    invoice = read_piece(InvoiceHead, value)
    times = invoice.status_transitions
    return _fact("invoice_voided", invoice, times.voided_at if times else None, created_ms)


def read_uncollectible(value: object, created_ms: int) -> Fact:
    """invoice.marked_uncollectible: what remains of the document is lost."""
    invoice = read_piece(InvoiceHead, value)
    times = invoice.status_transitions
    seconds = times.marked_uncollectible_at if times else None
    return _fact("invoice_uncollectible", invoice, seconds, created_ms)
