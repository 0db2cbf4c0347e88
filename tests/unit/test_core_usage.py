"""Usage in arrears and from wallets, tiers, expiry: published figures and prices by hand."""

from __future__ import annotations

from datetime import date
from fractions import Fraction

import pytest
from msgspec.structs import replace

from streamsync.core.company import Choices, Policy, UsagePrice, UsageTier
from streamsync.core.facts import Fact, Usage, WalletMovement
from streamsync.core.journal import Books, book_document
from streamsync.core.position import Billed
from streamsync.core.usage import price_of
from tests.unit.core_facts import FAR, POLICY, moved, ms


def tier(unit: str, up_to: str | None = None, flat: str = "0") -> UsageTier:
    return UsageTier(up_to=up_to, unit_price=unit, flat_price=flat)


def price(*tiers: UsageTier, model: str = "graduated", name: str = "calls") -> UsagePrice:
    return UsagePrice(
        id=name, currency="USD", model=model, tiers=tiers, effective_from="2012-01-01"
    )


CALLS = price(tier("0.05"))
GRADUATED = price(tier("0.10", "100"), tier("0.05", "1000", "2"), tier("0.01"))
VOLUME = price(tier("0.10", "100"), tier("0.05", "1000", "2"), tier("0.01"), model="volume")


def used(day: str, quantity: str, kind: str = "usage", name: str = "", at: str = "calls") -> Fact:
    return Fact(
        fact_id=f"usage_recorded:{name or day}",
        kind="usage_recorded",
        document="u_1",
        document_kind=kind,
        currency="USD",
        occurred_at_ms=ms(day),
        usage=Usage(
            meter="api",
            quantity=quantity,
            price=at,
            period_from_ms=ms("2022-01-01"),
            period_to_ms=ms("2022-02-01"),
        ),
    )


def wallet(kind: str, day: str, amount: int | None, settlement: str | None = None) -> Fact:
    return Fact(
        fact_id=f"wallet_{kind}:{day}",
        kind=f"wallet_{kind}",
        document="u_1",
        document_kind="wallet",
        currency="USD",
        occurred_at_ms=ms(day),
        wallet=WalletMovement(amount_minor=amount, settlement=settlement),
    )


def books_of(
    *facts: Fact,
    prices: tuple[UsagePrice, ...] = (CALLS,),
    billed: tuple[Billed, ...] = (),
    policy: Policy = POLICY,
) -> Books:
    return book_document(facts, lambda _: policy, "UTC", FAR, prices=prices, billed=billed)


def test_p18_lago_200_calls_at_5_cents_are_earned_on_their_day() -> None:
    books = books_of(used("2022-01-03", "200"))
    (entry,) = books.entries
    assert entry.date == date(2022, 1, 3)
    assert moved(books, "revenue") == {"2022-01": 1_000}
    assert moved(books, "unbilled") == {"2022-01": -1_000}


def test_p18_lago_30_used_of_a_wallet_of_100_are_revenue() -> None:
    books = books_of(
        wallet("topped_up", "2022-01-01", 10_000, "processor"), used("2022-01-03", "600", "wallet")
    )
    assert moved(books, "clearing") == {"2022-01": -10_000}
    assert moved(books, "revenue") == {"2022-01": 3_000}
    assert moved(books, "customer_credit") == {"2022-01": 7_000}


def test_the_invoice_of_usage_clears_what_was_unbilled() -> None:
    bill = Billed(
        contract="u_1",
        segment=None,
        document="in_1",
        fact_id="invoice_issued:in_1",
        currency="USD",
        occurred_at_ms=ms("2022-02-01"),
        amount_minor=1_500,
    )
    books = books_of(used("2022-01-03", "200"), used("2022-01-20", "100"), billed=(bill,))
    assert moved(books, "unbilled") == {"2022-01": -1_500, "2022-02": 1_500}
    assert moved(books, "deferred_revenue") == {"2022-02": -1_500}


@pytest.mark.parametrize(
    ("quantity", "graduated", "volume"),
    [
        # By hand: 100 at 0.10; then 2 once and 0.05 each; from 1,001 on 0.01 each.
        ("0", 0, 0),
        ("100", 1_000, 1_000),
        ("101", 1_000 + 200 + 5, 200 + 505),
        ("1000", 1_000 + 200 + 4_500, 200 + 5_000),
        ("1500", 5_700 + 500, 1_500),
        ("0.25", 3, 3),
    ],
)
def test_tiers_by_hand(quantity: str, graduated: int, volume: int) -> None:
    assert price_of(Fraction(quantity), GRADUATED) == graduated
    assert price_of(Fraction(quantity), VOLUME) == volume


@pytest.mark.parametrize("priced", [GRADUATED, VOLUME], ids=lambda one: one.model)
def test_records_of_a_period_cost_together_what_the_period_costs(priced: UsagePrice) -> None:
    days = [used(f"2022-01-{day:02d}", f"{day * 7}.3") for day in range(1, 31)]
    whole = sum((Fraction(fact.usage.quantity) for fact in days if fact.usage), Fraction(0))
    books = books_of(*days, prices=(priced,))
    assert moved(books, "revenue") == {"2022-01": price_of(whole, priced)}
    assert books_of(*reversed(days), prices=(priced,)) == books


def test_a_wallet_that_holds_less_waits_and_a_top_up_that_comes_late_releases_it() -> None:
    first = wallet("topped_up", "2022-01-01", 1_000, "elsewhere")
    facts = (first, used("2022-01-03", "300", "wallet"), used("2022-01-04", "100", "wallet"))
    books = books_of(*facts)
    (waits,) = books.waiting
    assert (waits.fact_id, waits.reason) == ("usage_recorded:2022-01-03", "wallet_overdrawn")
    assert waits.detail == "wallet: 1500 asked for, 1000 there at that time"
    # The other usage goes on.
    assert moved(books, "revenue") == {"2022-01": 500}
    late = wallet("topped_up", "2022-01-02", 2_000, "on_account")
    assert not books_of(*facts, late).waiting
    assert moved(books_of(*facts, late), "revenue") == {"2022-01": 2_000}


@pytest.mark.parametrize(("breakage", "earned"), [("on_expiry", {"2022-06": 700}), ("never", {})])
def test_what_expires_is_revenue_where_the_policy_says_so(
    breakage: str, earned: dict[str, int]
) -> None:
    policy = replace(POLICY, choices=Choices(breakage=breakage))
    books = books_of(
        wallet("topped_up", "2022-01-01", 1_000, "processor"),
        used("2022-01-03", "60", "wallet"),
        wallet("expired", "2022-06-30", None),
        policy=policy,
    )
    assert moved(books, "breakage") == earned


def test_usage_without_a_price_waits_for_it_by_itself() -> None:
    books = books_of(used("2022-01-03", "1", at="other"), used("2022-01-04", "200"))
    assert [found.reason for found in books.waiting] == ["usage_price_not_found"]
    assert "other in USD" in books.waiting[0].detail
    assert moved(books, "revenue") == {"2022-01": 1_000}


def test_a_billing_period_has_the_price_of_its_first_day() -> None:
    newer = replace(CALLS, tiers=(tier("1"),), effective_from="2022-01-15")
    assert moved(books_of(used("2022-01-20", "200"), prices=(CALLS, newer)), "revenue") == {
        "2022-01": 1_000
    }


def test_a_top_up_settled_in_an_unknown_way_is_refused() -> None:
    books = books_of(wallet("topped_up", "2022-01-01", 1_000, "barter"))
    assert [found.reason for found in books.refused] == ["wallet_settlement_unknown"]
