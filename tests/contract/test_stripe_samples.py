"""The public Stripe samples: every one becomes one event of the class its name calls for."""

from __future__ import annotations

from collections import Counter
from pathlib import Path

import pytest

from tests import stripe_payloads as p

# The samples lie beside the repository and are read where they are; nothing of them is copied.
SAMPLES = Path(__file__).resolve().parents[3] / "shared" / "data" / "stripe"
FILES = sorted(SAMPLES.glob("*.json"))
pytestmark = pytest.mark.skipif(not FILES, reason="the public samples are not on this machine")

# Counted by hand from the names of the 88 files.
FAMILIES_IGNORED = {
    "account": 5,  # application, external_account (3), updated
    "balance": 1,
    "charge": 2,  # failed, dispute.updated
    "checkout": 3,
    "coupon": 2,
    "customer": 7,  # discount (3), source (3), subscription.trial_will_end
    "invoice": 4,  # created, payment_action_required, upcoming, updated
    "invoiceitem": 3,
    "mandate": 1,
    "payment_intent": 7,
    "payment_link": 2,
    "payment_method": 2,
    "payout": 2,  # created, updated
    "plan": 3,
    "price": 3,
    "product": 3,
    "quote": 4,
    "setup_intent": 4,
    "subscription_schedule": 4,
    "tax_rate": 2,
}
OUTCOMES = {
    # invoice.finalized, invoice.paid, invoice.payment_succeeded; charge.captured, .refunded,
    # .refund.updated, .succeeded, .updated; charge.dispute.funds_withdrawn, .funds_reinstated;
    # payout.paid
    "facts": 11,
    # customer (3), customer.subscription (3), invoice.payment_failed, charge.dispute.created
    "no_entry": 8,
    "rejected": 1,  # charge.dispute.closed: this sample has no id
    "unknown": 4,  # transfer (4)
    "ignored": 64,
}


def test_every_sample_is_in_the_class_counted_by_hand() -> None:
    events = {path.name: p.read_bytes(path.read_bytes()) for path in FILES}
    assert len(events) == sum(OUTCOMES.values()) == 88
    assert Counter(event.outcome for event in events.values()) == OUTCOMES
    ignored = Counter(
        event.source_event_type.split(".")[0]
        for event in events.values()
        if event.outcome == "ignored"
    )
    assert ignored == FAMILIES_IGNORED


def test_the_figures_of_the_samples_with_facts() -> None:
    # Read off the files: one invoice of 20.00 USD without tax, paid at once; one refund of 1.00.
    issued = p.read_bytes((SAMPLES / "invoice.finalized.json").read_bytes()).facts[0]
    paid = p.read_bytes((SAMPLES / "invoice.paid.json").read_bytes())
    told_again = p.read_bytes((SAMPLES / "invoice.payment_succeeded.json").read_bytes())
    refunded = p.read_bytes((SAMPLES / "charge.refunded.json").read_bytes())
    assert issued.invoice is not None
    assert (issued.invoice.total_minor, issued.invoice.tax_minor) == (2000, 0)
    assert issued.invoice.lines[0].service_from_ms is None
    assert issued.occurred_at_ms == 1648320013_000
    assert [f.fact_id for f in paid.facts] == ["payment_applied:in_000000000000000000000000"]
    assert paid.facts[0].payment is not None and paid.facts[0].payment.amount_minor == 2000
    assert [f.kind for f in told_again.facts] == ["payment_applied"]
    assert refunded.account == "acme/stripe/ch_000000000000000000000000"
    assert refunded.facts[0].refund is not None
    assert refunded.facts[0].refund.amount_minor == 100
    assert refunded.facts[0].document_kind == "charge"
