"""Facts and the policy for tests of the core: short constructors, amounts in minor units."""

from __future__ import annotations

from datetime import UTC, date, datetime

from msgspec.structs import replace

from streamsync.core.company import Policy, TemplateLine
from streamsync.core.facts import (
    CreditNote,
    CreditNoteLine,
    Fact,
    Invoice,
    InvoiceLine,
    LineTax,
    Payment,
    Refund,
)
from streamsync.core.journal import Books, Entry, book_document
from streamsync.core.schedule import Method

FAR = date(2099, 1, 1)
JAN, FEB, MAR, APR = "2022-01", "2022-02", "2022-03", "2022-04"
NEW_YORK = "America/New_York"

# The journals of domain rules 3.7, written down here once more, not loaded from the profile.
_JOURNALS = {
    "invoice_issued": "Dr receivable gross, Cr deferred deferred, Cr revenue immediate, Cr tax tax",
    "invoice_issued_negative": (
        "Dr customer_credit gross, Cr deferred deferred, Cr revenue immediate, Cr tax tax"
    ),
    "payment_applied": (
        "Dr clearing charged, Dr customer_credit from_balance, Cr receivable total"
    ),
    "payment_out_of_band": (
        "Dr elsewhere charged, Dr customer_credit from_balance, Cr receivable total"
    ),
    "payment_recognised": (
        "Dr clearing charged, Dr customer_credit from_balance, Cr deferred deferred, "
        "Cr revenue immediate, Cr tax tax"
    ),
    "invoice_voided": "Dr deferred unreleased, Dr voids released, Dr tax tax, Cr receivable gross",
    "invoice_uncollectible": (
        "Dr deferred unreleased, Dr bad_debt released, Dr bad_debt tax, Cr receivable gross"
    ),
    "credit_note_receivable": (
        "Dr contra released, Dr deferred unreleased, Dr tax tax, Cr receivable total"
    ),
    "credit_note_customer_balance": (
        "Dr contra released, Dr deferred unreleased, Dr tax tax, Cr customer_credit total"
    ),
    "refunded": "Dr refunds released, Dr deferred unreleased, Dr tax tax, Cr clearing total",
    "refunded_by_note": "Dr contra released, Dr deferred unreleased, Dr tax tax, Cr clearing total",
    "revenue_released": "Dr deferred amount, Cr revenue amount",
    "written_off": (
        "Dr deferred unreleased, Dr bad_debt released, Dr bad_debt tax, Cr receivable gross"
    ),
    "payment_overpaid": "Dr clearing amount, Cr customer_credit amount",
    "payment_unapplied": "Dr receivable amount, Cr unapplied_cash amount",
    "cash_received": "Dr clearing amount, Cr unapplied_cash amount",
    "cash_applied": "Dr unapplied_cash amount, Cr clearing amount",
    "charge_succeeded": "Dr clearing amount, Cr revenue amount",
    "application_fee_earned": "Dr clearing amount, Cr app_fees amount",
    "charge_fee": "Dr fees amount, Cr clearing amount",
    "settlement_left": "Dr clearing_conversion amount, Cr clearing amount",
    "settlement_arrived": "Dr clearing amount, Cr clearing_conversion amount",
    "dispute_funds_withdrawn": "Dr disputes amount, Dr dispute_fees fee, Cr clearing total",
    "dispute_funds_reinstated": "Dr clearing total, Cr disputes amount, Cr dispute_fees fee",
    "dispute_fee": "Dr dispute_fees amount, Cr clearing amount",
    "dispute_lost": "Dr dispute_losses amount, Cr disputes amount",
    "payout_paid": "Dr bank amount, Dr fees fee, Cr clearing total",
    "service_stopped_refund": "Dr deferred deferred, Cr revenue earned, Cr clearing rest",
    "service_stopped_credit": "Dr deferred deferred, Cr revenue earned, Cr customer_credit rest",
    "service_stopped_release": "Dr deferred deferred, Cr revenue earned, Cr revenue rest",
    "invoice_overdue": "Dr bad_debt amount, Cr receivable amount",
    "overdue_paid": "Dr receivable amount, Cr bad_debt amount",
    "tax_adjusted_receivable": "Dr receivable tax, Cr tax tax",
    "tax_adjusted_customer_balance": "Dr customer_credit tax, Cr tax tax",
    "tax_adjusted_company": "Dr tax_adjustments tax, Cr tax tax",
    "revenue_earned": "Dr deferred deferred, Dr unbilled unbilled, Cr revenue amount",
    "unbilled_cleared": "Dr deferred amount, Cr unbilled amount",
    "wallet_topped_up_processor": "Dr clearing amount, Cr customer_credit amount",
    "wallet_topped_up_elsewhere": "Dr elsewhere amount, Cr customer_credit amount",
    "wallet_topped_up_on_account": "Dr receivable amount, Cr customer_credit amount",
    "wallet_used": "Dr customer_credit amount, Cr revenue amount",
    "wallet_expired": "Dr customer_credit amount, Cr breakage amount",
    "intercompany_sale": "Dr owed_by_entity amount, Cr sold_to_entity amount",
    "intercompany_purchase": "Dr bought_of_entity amount, Cr owed_to_entity amount",
}
ROLES = {
    "deferred": "deferred_revenue",
    "tax": "tax_payable",
    "app_fees": "application_fee_revenue",
    "disputes": "disputes_receivable",
    "fees": "processing_fees",
}


def template(text: str) -> tuple[TemplateLine, ...]:
    """`Dr role amount, Cr role amount` as template lines."""
    return tuple(
        TemplateLine(
            side="debit" if side == "Dr" else "credit",
            role=ROLES.get(role, role),
            amount=amount,
        )
        for side, role, amount in (line.split() for line in text.split(", "))
    )


POLICY = Policy(
    id="stripe",
    version="1",
    schedule=Method("day", "last_absorbs"),
    journals={kind: template(text) for kind, text in _JOURNALS.items()},
)


def ms(day: str) -> int:
    """Noon UTC of an ISO date (or of an ISO time, in UTC) in epoch milliseconds."""
    moment = datetime.fromisoformat(day if "T" in day else f"{day}T12:00")
    return int(moment.replace(tzinfo=UTC).timestamp()) * 1000


def tax(amount: int, *, inclusive: bool = False) -> LineTax:
    """One tax of a line."""
    return LineTax(tax_code="txr_1", inclusive=inclusive, amount_minor=amount)


def line(  # noqa: PLR0917 -- a table of lines reads best without names
    no: int,
    amount: int,
    start: str | None = None,
    end: str | None = None,
    *taxes: LineTax,
    direction: str = "charge",
) -> InvoiceLine:
    """An invoice line with the id `il_<no>`."""
    return InvoiceLine(
        line_no=no,
        line_id=f"il_{no}",
        direction=direction,
        amount_minor=amount,
        discount_minor=0,
        taxes=taxes,
        service_from_ms=None if start is None else ms(start),
        service_to_ms=None if end is None else ms(end),
        product="prod_1",
        proration=direction == "credit",
    )


# Published case P8: 90.00 from 1 January to 1 April.
QUARTER = line(1, 9000, "2022-01-01", "2022-04-01")


def issued(day: str, *lines: InvoiceLine, total: int | None = None, currency: str = "USD") -> Fact:
    """The invoice `in_1`; its total is that of its lines unless told otherwise."""
    signs = [-1 if each.direction == "credit" else 1 for each in lines]
    taxes = sum(
        sign * sum(each_tax.amount_minor for each_tax in each.taxes)
        for sign, each in zip(signs, lines, strict=True)
    )
    net = sum(sign * each.amount_minor for sign, each in zip(signs, lines, strict=True))
    whole = net + taxes if total is None else total
    return fact(
        "invoice_issued",
        day,
        currency=currency,
        invoice=Invoice(
            direction="credit" if whole < 0 else "charge",
            total_minor=abs(whole),
            tax_minor=abs(taxes),
            collection="automatic",
            lines=lines,
        ),
    )


def fact(kind: str, day: str, name: str = "in_1", **parts: object) -> Fact:
    """A fact of the invoice `in_1` in dollars, or of what `parts` says."""
    told = {"document": "in_1", "document_kind": "invoice", "currency": "USD"} | parts
    return Fact(fact_id=f"{kind}:{name}", kind=kind, occurred_at_ms=ms(day), **told)  # type: ignore[arg-type]


def paid(day: str, amount: int, *, balance: int = 0, elsewhere: bool = False) -> Fact:
    """The invoice is paid."""
    payment = Payment(
        amount_minor=amount,
        from_balance_minor=balance,
        out_of_band=elsewhere,
        processor="stripe",
        gateway_reference="ch_1",
    )
    return fact("payment_applied", day, payment=payment)


def part_paid(day: str, amount: int, name: str) -> Fact:
    """One of several payments of the invoice."""
    payment = Payment(
        amount_minor=amount,
        from_balance_minor=0,
        out_of_band=False,
        part=True,
        processor="stripe",
        gateway_reference=None,
    )
    return fact("payment_applied", day, name, payment=payment)


def unapplied(payment: Fact, day: str) -> Fact:
    """A payment is taken off the invoice."""
    name = payment.fact_id.partition(":")[2]
    return fact("payment_unapplied", day, name, payment=payment.payment)


def voided(day: str) -> Fact:
    """The invoice is voided."""
    return fact("invoice_voided", day)


def lost(day: str) -> Fact:
    """The invoice is marked uncollectible."""
    return fact("invoice_uncollectible", day)


def failed(day: str) -> Fact:
    """A payment fails."""
    return fact("payment_failed", day)


def credited(  # noqa: PLR0917
    day: str,
    net: int,
    tax_amount: int = 0,
    settlement: str = "receivable",
    name: str = "cn_1",
    named: tuple[tuple[str | None, int], ...] = (),
) -> Fact:
    """A credit note; `named`: its own lines as (invoice line, net)."""
    note = CreditNote(
        credit_note_id=name,
        settlement=settlement,
        net_minor=net,
        tax_minor=tax_amount,
        total_minor=net + tax_amount,
        lines=tuple(CreditNoteLine(invoice_line_id=at, amount_minor=part) for at, part in named),
    )
    return fact("credit_note_issued", day, name, credit_note=note)


def refunded(
    day: str, amount: int | None, cumulative: int | None = None, name: str = "re_1"
) -> Fact:
    """A refund of the charge `ch_1`; without an amount only the cumulative figure is known."""
    refund = Refund(
        refund_id=None if amount is None else name,
        charge="ch_1",
        amount_minor=amount,
        cumulative_minor=cumulative if cumulative is not None else amount or 0,
    )
    return fact("refunded", day, name, refund=refund)


def book(
    *facts: Fact, today: date = FAR, zone: str = "UTC", policy: Policy | None = POLICY
) -> Books:
    """The books of these facts by the policy."""
    return book_document(facts, lambda _: policy, zone, today)


def spreading(basis: str, rounding: str = "last_absorbs") -> Policy:
    """The policy with another schedule."""
    return replace(POLICY, schedule=Method(basis, rounding))


def taken_back(kind: str, told: Fact, day: str) -> Fact:
    """A note voided, or a refund failed."""
    name = told.fact_id.split(":", 1)[1]
    return replace(told, fact_id=f"{kind}:{name}", kind=kind, occurred_at_ms=ms(day))


def moved(books: Books, role: str) -> dict[str, int]:
    """What each month moved a role by: credits less debits, in minor units; zero months left out.

    Receivable, clearing and contra roles come out negative when debited.
    """
    months: dict[str, int] = {}
    for entry in books.entries:
        for each in entry.lines:
            if each.role == role:
                change = each.amount_minor if each.side == "credit" else -each.amount_minor
                months[entry.natural_period] = months.get(entry.natural_period, 0) + change
    return {month: change for month, change in sorted(months.items()) if change}


def reasons(books: Books) -> dict[str, str]:
    """Fact id to reason, of all facts without entry."""
    told = {one.fact_id: one.reason for one in books.waiting}
    told |= {one.fact_id: one.reason for one in books.refused}
    return told | {one.fact_id: one.reason for one in books.no_entry}


def entry_of(books: Books, purpose: str) -> Entry:
    """The one entry of a purpose."""
    found = [entry for entry in books.entries if entry.purpose == purpose]
    assert len(found) == 1, found
    return found[0]


def sides(entry: Entry) -> dict[tuple[str, str], int]:
    """(role, side) to amount."""
    sums: dict[tuple[str, str], int] = {}
    for each in entry.lines:
        key = (each.role, each.side)
        sums[key] = sums.get(key, 0) + each.amount_minor
    return sums
