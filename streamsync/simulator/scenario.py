"""Which account lives through what.

Problem: every feature must occur for any seed, and most accounts must stay ordinary. How: the seed
shuffles the accounts of each country; the first of each are given the features in order, the rest
are ordinary monthly or annual customers.
"""

from __future__ import annotations

import random
from dataclasses import dataclass

from streamsync.simulator.catalogue import (
    GERMANY,
    JAPAN,
    KUWAIT,
    PLANS,
    TAXES,
    UNITED_STATES,
    Plan,
    Tax,
)

FEATURES = (
    "upgrade",
    "downgrade",
    "refund_full",
    "refund_partial",
    "failing_payment",
    "void",
    "uncollectible",
    "credit_note_before_payment",
    "credit_note_to_balance",
    "credit_note_with_refund",
    "out_of_band",
    "cancelled",
    "one_off",
    "disputed",
    "total_wrong",
)
ACCOUNTS_MIN = 3 * len(FEATURES)
_ON_TERMS = frozenset({"void", "uncollectible", "credit_note_before_payment", "out_of_band"})
_ANNUAL = frozenset({"void", "credit_note_before_payment"})
_FEATURE_SIGN_UP_DAYS = 6
_SIGN_UP_DAYS = 27
_HOURS = 20


@dataclass(frozen=True, slots=True)
class Cast:
    """One account: who, where, what it buys, when it signs up and what befalls it."""

    index: int
    customer: str
    country: str
    plan: Plan
    tax: Tax | None
    discount_percent: int
    on_terms: bool
    sign_up_second: int
    feature: str | None
    late_days: int

    @property
    def wires(self) -> bool:
        """Whether it pays past the processor: who is billed in another country's currency does."""
        return self.plan.foreign is not None


def account_random(seed: int, index: int) -> random.Random:
    """Randomness of one account, so that one life changes no other."""
    return random.Random(f"{seed}/{index}")  # noqa: S311 - repeatable, not secret


def _plan(rng: random.Random, country: str, feature: str | None) -> Plan:
    annual = feature in _ANNUAL or (feature is None and rng.randrange(8) == 0)
    fitting = [p for p in PLANS if p.country == country and p.annual == annual]
    if feature == "upgrade":
        return fitting[0]
    if feature == "downgrade":
        return fitting[-1]
    return rng.choice(fitting)


def _member(seed: int, index: int, country: str, feature: str | None, late: bool) -> Cast:
    rng = account_random(seed, index)
    # Notes and prorations are simplest to follow with the tax on top, or with none.
    taxes = [t for t in TAXES if t.country == country and not (feature and t.inclusive)]
    tax = rng.choice([None, *taxes])
    days = _FEATURE_SIGN_UP_DAYS if feature else _SIGN_UP_DAYS
    second = rng.randrange(days) * 86_400 + 1800 + rng.randrange(_HOURS * 3600)
    return Cast(
        index=index,
        customer=f"cus_{seed}x{index:05d}",
        country=country,
        plan=_plan(rng, country, feature),
        tax=tax,
        discount_percent=10 if feature is None and rng.randrange(9) == 0 else 0,
        on_terms=feature in _ON_TERMS or (feature is None and rng.randrange(12) == 0),
        sign_up_second=second,
        feature=feature,
        late_days=2 + rng.randrange(4) if late else 0,
    )


def cast(seed: int, accounts: int) -> list[Cast]:
    """All accounts: one of three Japanese, one of ten German, one of twelve Kuwaiti, the others
    American. Each feature occurs in the United States and Japan, the first ones everywhere.
    """
    if accounts < ACCOUNTS_MIN:
        raise ValueError(f"{accounts} accounts are too few for every feature: {ACCOUNTS_MIN} fit")
    rng = random.Random(f"{seed}/cast")  # noqa: S311 - repeatable, not secret
    numbers = list(range(1, accounts + 1))
    rng.shuffle(numbers)
    members: list[Cast] = []
    shares = ((JAPAN, accounts // 3), (GERMANY, accounts // 10), (KUWAIT, accounts // 12))
    for country, share in (*shares, (UNITED_STATES, accounts)):
        group, numbers = numbers[:share], numbers[share:]
        for at, index in enumerate(group):
            feature = FEATURES[at] if at < len(FEATURES) else None
            # The last few of each country are told to the CRM only days after they signed up.
            late = at >= len(group) - 3
            members.append(_member(seed, index, country, feature, late))
    return sorted(members, key=lambda member: member.index)
