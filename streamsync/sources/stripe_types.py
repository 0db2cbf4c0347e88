"""What each Stripe event type means to the books, and which API versions are understood.

Problem: Stripe has some 250 event types and adds more; a type that is silently dropped can hide
money. How: every type is in exactly one group. *Handled* types have a reader. *Ignored* types
cannot touch the books, with the reason beside the table. *Touching* types may touch them but have
no reader yet: they are kept and counted. Everything else is unknown, never ignored by guess.
"""

from __future__ import annotations

VERSIONS = frozenset(
    {
        "2020-03-02",
        "2020-08-27",
        "2022-08-01",
        # From here on a charge no longer embeds its refunds: the cumulative form is read.
        "2022-11-15",
        "2023-08-16",
        "2023-10-16",
        "2024-04-10",
        "2024-06-20",
    }
)
"""Versions whose invoices, lines, charges and notes have the shape of 2020-08-27. Later ones moved
`invoice.subscription`, `charge.invoice` and the line taxes (2025-03-31) or were not compared.
"""

HANDLED = frozenset(
    {
        "customer.created",
        "customer.updated",
        "customer.deleted",
        "customer.subscription.created",
        "customer.subscription.updated",
        "customer.subscription.deleted",
        "customer.subscription.paused",
        "customer.subscription.resumed",
        "invoice.finalized",
        "invoice.paid",
        "invoice.payment_succeeded",
        "invoice.payment_failed",
        "invoice.voided",
        "invoice.marked_uncollectible",
        "charge.refunded",
        "credit_note.created",
    }
)

_IGNORED = frozenset(
    {
        # Drafts, announcements and delivery of an invoice; issue, payment and void tell the rest.
        "invoice.created",
        "invoice.updated",
        "invoice.upcoming",
        "invoice.sent",
        "invoice.deleted",
        "invoice.finalization_failed",
        "invoice.payment_action_required",
        "invoice.overdue",
        "invoice.will_be_due",
        # The memo of a note; its figures never change.
        "credit_note.updated",
        # No money moved.
        "charge.failed",
        "charge.pending",
        "charge.expired",
        # A snapshot of a balance whose movements are told by their own events.
        "balance.available",
        # Announced, or repeated by customer.subscription.updated.
        "customer.subscription.trial_will_end",
        "customer.subscription.pending_update_applied",
        "customer.subscription.pending_update_expired",
    }
)

_IGNORED_FAMILIES = (
    # The catalogue; a line names what it used.
    "product.",
    "price.",
    "plan.",
    "coupon.",
    "promotion_code.",
    "tax_rate.",
    "tax.settings.",
    # Means of payment and attempts; the invoice or the charge tells the money.
    "payment_method.",
    "payment_intent.",
    "payment_link.",
    "setup_intent.",
    "mandate.",
    "source.",
    "customer.source.",
    "checkout.session.",
    # Offers and plans for later; the invoice tells what came of them.
    "quote.",
    "invoiceitem.",
    "subscription_schedule.",
    "customer.discount.",
    # Identity, settings and reports.
    "customer.tax_id.",
    "account.",
    "capability.",
    "person.",
    "billing_portal.",
    "file.",
    "identity.",
    "radar.",
    "reporting.",
    "review.",
    "sigma.",
    "test_helpers.",
)

_TOUCHING_FAMILIES = (
    "charge.",
    "refund.",
    "credit_note.",
    "payout.",
    "transfer.",
    "topup.",
    "application_fee.",
    "invoice.",
    "invoice_payment.",
    "customer_cash_balance_transaction.",
    "customer.subscription.",
    "treasury.",
    "issuing_transaction.",
    "climate.order.",
)
"""Families with money in them. Their types that are not listed above are kept until handled."""


def group_of(event_type: str) -> str:
    """handled, ignored, touching or unknown."""
    if event_type in HANDLED:
        return "handled"
    if event_type in _IGNORED or event_type.startswith(_IGNORED_FAMILIES):
        return "ignored"
    if event_type.startswith(_TOUCHING_FAMILIES):
        return "touching"
    return "unknown"
