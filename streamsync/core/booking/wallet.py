"""Prepaid wallets: topped up, used, expired.

Problem: what a customer pays ahead is owed to them until it is used, and can't be used twice. How:
the wallet's balance runs along its facts in the order of their time; a top-up raises it, usage at
its price lowers it and is revenue, what expires becomes revenue where the policy says so. What asks
for more than there is waits: a top-up that comes late releases it.
"""

from __future__ import annotations

from streamsync.core.booking.contract import note_used, usage_amount
from streamsync.core.booking.desk import Desk, Stopped, incomplete
from streamsync.core.document import Performed, Portion
from streamsync.core.facts import Fact

SETTLEMENTS = ("processor", "elsewhere", "on_account")


def book_top_up(desk: Desk, fact: Fact) -> None:
    """wallet_topped_up: paid through the processor, past it, or owed like an invoice."""
    if fact.wallet is None or fact.wallet.amount_minor is None:
        raise incomplete(fact)
    amount, settlement = fact.wallet.amount_minor, fact.wallet.settlement
    if settlement not in SETTLEMENTS:
        detail = f"wallet.settlement: {settlement} is none of {', '.join(SETTLEMENTS)}"
        raise Stopped("wallet_settlement_unknown", detail, refused=True)
    reference = fact.wallet.gateway_reference
    amounts = {"amount": (Portion(amount),)}
    desk.post(fact, f"wallet_topped_up_{settlement}", amounts, reference)
    desk.wallet_minor += amount


def book_use(desk: Desk, fact: Fact) -> None:
    """usage_recorded against a wallet."""
    if fact.usage is None:
        raise incomplete(fact)
    amount = usage_amount(desk, fact, fact.usage)
    _need(desk, amount)
    portion = Portion(amount, Performed(fact.usage.product))
    desk.post(fact, "wallet_used", {"amount": (portion,)})
    note_used(desk, fact.usage)
    desk.wallet_minor -= amount


def book_expiry(desk: Desk, fact: Fact) -> None:
    """wallet_expired: an amount, or all that is left."""
    if fact.wallet is None:
        raise incomplete(fact)
    told = fact.wallet.amount_minor
    amount = desk.wallet_minor if told is None else told
    _need(desk, amount)
    if desk.policy_of(desk.day_of(fact)).choices.breakage == "never":
        desk.nothing(fact, "breakage_never")
    else:
        desk.post(fact, "wallet_expired", {"amount": (Portion(amount),)})
    desk.wallet_minor -= amount


def _need(desk: Desk, amount: int) -> None:
    if amount > desk.wallet_minor:
        detail = f"wallet: {amount} asked for, {desk.wallet_minor} there at that time"
        raise Stopped("wallet_overdrawn", detail, refused=False)
