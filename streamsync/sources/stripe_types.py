"""What each Stripe event type means to the books, and which API versions are understood.

Problem: Stripe has some 250 event types and adds more; a type that is silently dropped can hide
money. How: every type is in exactly one group. *Handled* types have a reader. *Ignored* types
cannot touch the books, with the reason beside the table. *Touching* types may touch them but have
no reader yet: they are kept and counted. Everything else is unknown, never ignored by guess.
"""

from __future__ import annotations

from streamsync.sources.stripe_readers import HANDLED

OLDER_VERSIONS = frozenset(
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
        "2024-09-30.acacia",
        "2024-10-28.acacia",
        "2024-11-20.acacia",
        "2024-12-18.acacia",
        "2025-01-27.acacia",
        "2025-02-24.acacia",
    }
)
"""Versions whose invoices, lines, charges and notes have the shape of 2020-08-27."""

NEWER_VERSIONS = frozenset(
    {
        "2025-03-31.basil",
        "2025-04-30.basil",
        "2025-05-28.basil",
        "2025-06-30.basil",
        "2025-07-30.basil",
        "2025-08-27.basil",
        "2025-09-30.clover",
        "2025-10-29.clover",
    }
)
"""Versions in which `parent`, `pricing` and `taxes` replaced `subscription`, `price` and
`tax_amounts`, and a charge names no invoice (`stripe_shapes`).
"""

VERSIONS = OLDER_VERSIONS | NEWER_VERSIONS

_SAME_IN_ALL = ("charge.dispute.", "charge.updated", "payout.")
"""Types whose fields that are read are the same in every version, also in those without a name."""


def version_is_known(event_type: str, api_version: str | None) -> bool:
    """Whether payloads of this type and version can be read."""
    if api_version in VERSIONS:
        return True
    older = api_version is None or api_version < min(NEWER_VERSIONS)
    return older and event_type.startswith(_SAME_IN_ALL)


_IGNORED = frozenset(
    {
        # Drafts, announcements and delivery of an invoice; issue, payment and void tell the rest.
        "invoice.created",
        "invoice.upcoming",
        "invoice.sent",
        "invoice.deleted",
        "invoice.finalization_failed",
        "invoice.payment_action_required",
        "invoice.will_be_due",
        "invoice.payment_attempt_required",
        # The whole invoice tells what was overpaid when it is paid.
        "invoice.overpaid",
        # The memo of a note; its figures never change.
        "credit_note.updated",
        # No money moved.
        "charge.failed",
        "charge.pending",
        "charge.expired",
        # Evidence and deadlines of a dispute.
        "charge.dispute.updated",
        # Announced; paid and failed tell what came of it.
        "payout.created",
        "payout.updated",
        "payout.canceled",
        "payout.reconciliation_completed",
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
