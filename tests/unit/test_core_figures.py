"""Billing's own figures against figures by hand: what each fact moved, by its own word.

The books of the same facts must move their control roles by as much: that is checked here too, so
that the two sides of a control total are two.
"""

from __future__ import annotations

from collections import Counter

import pytest
from msgspec.structs import replace

from streamsync.core.closing import control_amount, is_computed
from streamsync.core.facts import Fact
from streamsync.core.figures import billing_amounts, owed_amount
from tests.unit.core_facts import (
    book,
    credited,
    issued,
    line,
    lost,
    paid,
    part_paid,
    refunded,
    taken_back,
    tax,
    unapplied,
    voided,
)
from tests.unit.test_core_booking import charge, disputed, movement, payout

ISSUE = issued("2022-01-15", line(1, 3000, "2022-01-15", "2022-02-15", tax(300)))
NOTE = credited("2022-01-20", 1000, 100)
TO_BALANCE = credited("2022-01-20", 1000, 100, "customer_balance")
REFUND = refunded("2022-02-01", 1100)
FAILED = taken_back("refund_failed", REFUND, "2022-02-05")
WITHDRAWN = disputed("dispute_funds_withdrawn", "2022-02-02", movement(-3100, 1500))
ELSEWHERE = disputed("dispute_funds_withdrawn", "2022-02-02", movement(-2800, 1500, "EUR"))
REINSTATED = disputed("dispute_funds_reinstated", "2022-03-01", movement(3100, -1500))
LOST = disputed("dispute_closed", "2022-03-01", movement(-3000, 1500), outcome="lost")
LOST_BY_WORD = disputed("dispute_closed", "2022-03-01", outcome="lost")
WON = disputed("dispute_closed", "2022-03-01", movement(-3100, 1500), outcome="won")


def overpaid(day: str, amount: int, over: int) -> Fact:
    """A payment, with the part of it that was not due."""
    told = paid(day, amount)
    assert told.payment is not None
    return replace(told, payment=replace(told.payment, overpaid_minor=over))


def settled(told: Fact, *, amount: int) -> Fact:
    """The refund, settled in euros."""
    assert told.refund is not None
    return replace(told, refund=replace(told.refund, balance=movement(amount, 0, "EUR")))


REFUNDED_NOTE = credited("2022-01-20", 1000, 100, "refund")
# What the processor says of another refund, and of this one.
REPORTED = [
    replace(
        settled(refunded("2022-02-01", 1100, name=name), amount=amount),
        fact_id=f"refund_reported:{name}",
        kind="refund_reported",
    )
    for name, amount in (("re_0", -900), ("re_1", -1000))
]


CASES: dict[str, tuple[list[Fact], list[tuple[str, str, int]]]] = {
    "an issue and its payment": (
        [ISSUE, paid("2022-01-16", 3300)],
        [("invoice_issued", "USD", 3300), ("payment_applied", "USD", 3300)],
    ),
    "a part, and the whole less it": (
        [ISSUE, part_paid("2022-01-16", 1000, "a"), paid("2022-01-18", 3300)],
        [
            ("invoice_issued", "USD", 3300),
            ("payment_applied", "USD", 1000),
            ("payment_applied", "USD", 2300),
        ],
    ),
    "a payment of more than is due": (
        [ISSUE, overpaid("2022-01-16", 3500, 200)],
        [
            ("invoice_issued", "USD", 3300),
            ("payment_applied", "USD", 3300),
            ("payment_overpaid", "USD", 200),
        ],
    ),
    "a void of what a note left": (
        [ISSUE, NOTE, voided("2022-01-25")],
        [
            ("invoice_issued", "USD", 3300),
            ("credit_note_issued", "USD", 1100),
            ("invoice_voided", "USD", 2200),
        ],
    ),
    "a loss after a note that was taken back": (
        [ISSUE, NOTE, taken_back("credit_note_voided", NOTE, "2022-01-22"), lost("2022-01-25")],
        [
            ("invoice_issued", "USD", 3300),
            ("credit_note_issued", "USD", 1100),
            ("credit_note_voided", "USD", 1100),
            ("invoice_uncollectible", "USD", 3300),
        ],
    ),
    "a note to the balance lowers what is left and not what is owed": (
        [ISSUE, TO_BALANCE, voided("2022-01-25")],
        [
            ("invoice_issued", "USD", 3300),
            ("credit_note_issued", "USD", 1100),
            ("invoice_voided", "USD", 2200),
        ],
    ),
    "a loss that is paid": (
        [ISSUE, lost("2022-01-25"), paid("2022-02-01", 3300)],
        [
            ("invoice_issued", "USD", 3300),
            ("invoice_uncollectible", "USD", 3300),
            ("invoice_recovered", "USD", 3300),
            ("payment_applied", "USD", 3300),
        ],
    ),
    "a refund that fails": (
        [ISSUE, paid("2022-01-16", 3300), REFUND, FAILED],
        [
            ("invoice_issued", "USD", 3300),
            ("payment_applied", "USD", 3300),
            ("refunded", "USD", 1100),
            ("refund_failed", "USD", 1100),
        ],
    ),
    "a refund in another currency, which comes back as it went": (
        [
            ISSUE,
            paid("2022-01-16", 3300),
            settled(REFUND, amount=-1000),
            replace(
                taken_back("refund_failed", REFUND, "2022-02-05"), refund=REFUND.refund
            ),
        ],
        [
            ("invoice_issued", "USD", 3300),
            ("payment_applied", "USD", 3300),
            ("refunded", "USD", 1100),
            ("settlement_left", "USD", -1100),
            ("settlement_arrived", "EUR", -1000),
            ("refund_failed", "USD", 1100),
            ("settlement_left", "USD", 1100),
            ("settlement_arrived", "EUR", 1000),
        ],
    ),
    "a refund that comes back at another rate": (
        [
            ISSUE,
            paid("2022-01-16", 3300),
            settled(REFUND, amount=-1000),
            taken_back("refund_failed", settled(REFUND, amount=1010), "2022-02-05"),
        ],
        [
            ("invoice_issued", "USD", 3300),
            ("payment_applied", "USD", 3300),
            ("refunded", "USD", 1100),
            ("settlement_left", "USD", -1100),
            ("settlement_arrived", "EUR", -1000),
            ("refund_failed", "USD", 1100),
            ("settlement_left", "USD", 1100),
            ("settlement_arrived", "EUR", 1010),
        ],
    ),
    "funds that are withdrawn, and come back with their fee": (
        [WITHDRAWN, REINSTATED, WON],
        [
            ("dispute_funds_withdrawn", "USD", 4600),
            ("dispute_funds_reinstated", "USD", 4600),
        ],
    ),
    "a note of which nothing was booked is voided": (
        [ISSUE, REFUNDED_NOTE, taken_back("credit_note_voided", REFUNDED_NOTE, "2022-01-22")],
        [("invoice_issued", "USD", 3300)],
    ),
    "a refund whose settlement its own telling has": (
        [
            ISSUE,
            paid("2022-01-16", 3300),
            REFUND,
            *REPORTED,
        ],
        [
            ("invoice_issued", "USD", 3300),
            ("payment_applied", "USD", 3300),
            ("refunded", "USD", 1100),
            ("settlement_left", "USD", -1100),
            ("settlement_arrived", "EUR", -1000),
        ],
    ),
    "a payment is taken off its invoice, and a loss then takes what is owed again": (
        [
            ISSUE,
            part_paid("2022-01-16", 1000, "a"),
            unapplied(part_paid("2022-01-16", 1000, "a"), "2022-01-18"),
            lost("2022-01-25"),
        ],
        [
            ("invoice_issued", "USD", 3300),
            ("payment_applied", "USD", 1000),
            ("payment_unapplied", "USD", 1000),
            ("invoice_uncollectible", "USD", 3300),
        ],
    ),
    "a dispute that is lost by its movements": (
        [WITHDRAWN, LOST],
        [("dispute_funds_withdrawn", "USD", 4600), ("dispute_closed", "USD", 3000)],
    ),
    "a dispute that is lost by its own word": (
        [WITHDRAWN, LOST_BY_WORD],
        [("dispute_funds_withdrawn", "USD", 4600), ("dispute_closed", "USD", 3100)],
    ),
    "a dispute that is settled in another currency": (
        [ELSEWHERE],
        [
            ("dispute_funds_withdrawn", "USD", 3100),
            ("dispute_fee", "EUR", 1500),
            ("settlement_left", "USD", -3100),
            ("settlement_arrived", "EUR", -2800),
        ],
    ),
    "a payout that comes back": (
        [payout("payout_paid", "2022-02-01", 1000), payout("payout_failed", "2022-03-03", 1000)],
        [("payout_paid", "USD", 1000), ("payout_failed", "USD", 1000)],
    ),
    "money from the bank": (
        [payout("payout_paid", "2022-02-01", -700)],
        [("payout_paid", "USD", -700)],
    ),
    "a failed payout that was never seen": (
        [payout("payout_failed", "2022-03-03", 1000)],
        [],
    ),
    "a charge without an invoice, settled in euros": (
        [charge(movement(2800, 120, "EUR"), document="ch_1", document_kind="charge")],
        [
            ("charge_succeeded", "USD", 3100),
            ("charge_fee", "EUR", 120),
            ("settlement_left", "USD", 3100),
            ("settlement_arrived", "EUR", 2800),
        ],
    ),
}  # fmt: skip


@pytest.mark.parametrize("name", CASES)
def test_a_fact_has_the_figure_of_its_own_word(name: str) -> None:
    facts, expected = CASES[name]
    found = [(one.purpose, one.currency, one.amount_minor) for one in billing_amounts(facts)]
    assert found == expected


@pytest.mark.parametrize("name", CASES)
def test_the_books_move_their_control_roles_by_the_same_figures(name: str) -> None:
    facts, expected = CASES[name]
    told: Counter[tuple[str, str]] = Counter()
    for purpose, currency, amount in expected:
        told[purpose, currency] += amount
    made: Counter[tuple[str, str]] = Counter()
    for entry in book(*facts).entries:
        if not is_computed(entry.purpose):
            made[entry.purpose, entry.currency] += control_amount(entry.purpose, entry.lines)
    assert +made == +told
    assert -made == -told


def test_what_is_owed_counts_the_issue_first_whatever_its_time() -> None:
    early = credited("2022-01-10", 1000, 100)
    assert owed_amount([early, ISSUE]) == 2200
    assert owed_amount([ISSUE, paid("2022-01-16", 3300)]) == 0
    assert owed_amount([ISSUE, NOTE, lost("2022-01-25")]) == 0
    assert owed_amount([ISSUE, TO_BALANCE]) == 3300
