"""Functional amounts against published figures; what is rounded, and what is a gain or loss."""

from __future__ import annotations

from datetime import date

import pytest
from msgspec.structs import replace

from streamsync.core.books import Entry
from streamsync.core.company import CurrencyRules
from streamsync.core.facts import Fact, InvoiceLine
from streamsync.core.fx import NoRate, Valuation, value_foreign
from streamsync.core.rate import Rate, convert, identity_rate, is_rate
from streamsync.core.template import EntryLine
from tests.unit import core_facts as made

RULES = CurrencyRules(
    entity="e",
    rate_lag_days=0,
    rate_age_days_max=7,
    spot_roles=("clearing", "elsewhere", "customer_credit"),
    parked_roles=(),
    gain_loss_role="fx",
    revaluation="never",
    revalued_roles=("receivable",),
    unrealised_role="unrealised",
)


class Table:
    """Rates by ISO date; a date that is not there has none."""

    def __init__(self, quote: str, rates: dict[str, str], closing: dict[str, str]) -> None:
        self.told = {"spot": rates, "closing": closing}
        self.quote = quote

    def rate(self, entry: Entry, rate_type: str) -> Rate | NoRate:
        day = entry.date.isoformat()
        text = self.told[rate_type].get(day)
        if text is None:
            return NoRate("fx_rate_not_found", day)
        return rate(entry.currency, self.quote, text, day)


def rate(base: str, quote: str, text: str, day: str = "2026-01-15") -> Rate:
    return Rate(
        rate_type="spot", base=base, quote=quote, date=day, rate=text, source="test", version=1
    )


def value(
    facts: list[Fact],
    rates: dict[str, str],
    *,
    quote: str = "USD",
    rules: CurrencyRules = RULES,
    closing: dict[str, str] | None = None,
    today: date = date(2026, 12, 31),
) -> Valuation:
    books = made.book(*facts, today=today)
    table = Table(quote, rates, closing or {})
    return value_foreign(books.entries, rules, table, today)


def shown(valuation: Valuation, purpose: str) -> str:
    """The entries of a purpose as `Dr role functional, Cr ...`, in order."""
    return "; ".join(
        ", ".join(
            f"{'Dr' if line.side == 'debit' else 'Cr'} {line.role} {functional}"
            for line, functional in zip(one.entry.lines, one.functional, strict=True)
            if functional
        )
        for one in valuation.valued
        if one.entry.purpose == purpose
    )


def worth(valuation: Valuation) -> dict[str, int]:
    """Functional balance of each role, debit above zero; zero left out."""
    found: dict[str, int] = {}
    for one in valuation.valued:
        total = 0
        for line, functional in zip(one.entry.lines, one.functional, strict=True):
            signed = functional if line.side == "debit" else -functional
            total += signed
            found[line.role] = found.get(line.role, 0) + signed
        assert total == 0, f"{one.entry.purpose} does not balance in functional currency"
        assert all(functional >= 0 for functional in one.functional)
    return {role: amount for role, amount in sorted(found.items()) if amount}


def in_eur(amount: int = 3000, line: InvoiceLine | None = None) -> Fact:
    return made.issued("2026-01-15", line or made.line(1, amount), currency="EUR")


def paid_eur(day: str, amount: int) -> Fact:
    return replace(made.paid(day, amount), currency="EUR")


def refunded_eur(day: str, amount: int, cumulative: int) -> Fact:
    return replace(made.refunded(day, amount, cumulative, f"re_{cumulative}"), currency="EUR")


def test_a_payment_at_a_lower_rate_is_a_loss() -> None:
    # P13: 30 EUR at 1.20, paid at 1.10: AR +36 -36, cash 33, loss 3.
    got = value(
        [in_eur(), paid_eur("2026-02-01", 3000)], {"2026-01-15": "1.2", "2026-02-01": "1.1"}
    )
    assert shown(got, "invoice_issued") == "Dr receivable 3600, Cr revenue 3600"
    assert shown(got, "payment_applied") == "Dr clearing 3300, Cr receivable 3600, Dr fx 300"
    assert worth(got) == {"clearing": 3300, "fx": 300, "revenue": -3600}


def test_a_refund_takes_back_revenue_at_the_rate_it_was_booked_at() -> None:
    # X1, exact: Dr Refunds 36, Cr Cash 33, Cr FX 3.
    got = value(
        [in_eur(), paid_eur("2026-01-15", 3000), refunded_eur("2026-02-01", 3000, 3000)],
        {"2026-01-15": "1.20", "2026-02-01": "1.10"},
    )
    assert shown(got, "refunded") == "Dr refunds 3600, Cr clearing 3300, Cr fx 300"


def test_the_difference_is_what_the_rates_differ_by() -> None:
    # P25 (JD Edwards): 1,000 USD booked at 1.13545 EUR, settled at 1.13225: loss 3.20.
    issue = made.issued("2026-01-15", made.line(1, 100_000))
    got = value(
        [issue, made.paid("2026-02-01", 100_000)],
        {"2026-01-15": "1.13545", "2026-02-01": "1.13225"},
        quote="EUR",
    )
    assert worth(got)["fx"] == 320


def test_revaluation_is_taken_back_with_the_settlement() -> None:
    # P22 (Deltek): 1,000 at 1.5, revalued at 1.6, paid at 1.55.
    got = value(
        [in_eur(100_000), paid_eur("2026-02-10", 100_000)],
        {"2026-01-15": "1.5", "2026-02-10": "1.55"},
        closing={"2026-01-31": "1.6"},
        rules=replace(RULES, revaluation="settlement"),
    )
    assert shown(got, "fx_revalued") == "Dr receivable 10000, Cr unrealised 10000"
    assert shown(got, "payment_applied") == (
        "Dr clearing 155000, Cr receivable 160000, Dr unrealised 10000, Cr fx 5000"
    )
    assert worth(got) == {"clearing": 155_000, "fx": -5000, "revenue": -150_000}


def test_a_gain_of_the_smallest_unit_is_debited() -> None:
    # 0.10 EUR at 1.2 is 0.12, at 1.3 it is 0.13.
    got = value(
        [in_eur(10)],
        {"2026-01-15": "1.2"},
        closing={"2026-01-31": "1.3"},
        rules=replace(RULES, revaluation="next_period"),
        today=date(2026, 2, 2),
    )
    assert shown(got, "fx_revalued") == "Dr receivable 1, Cr unrealised 1"


def test_revaluation_is_reversed_on_the_first_day_of_the_next_period() -> None:
    got = value(
        [in_eur(100_000), paid_eur("2026-03-10", 100_000)],
        {"2026-01-15": "1.5", "2026-03-10": "1.55"},
        closing={"2026-01-31": "1.6", "2026-02-28": "1.4"},
        rules=replace(RULES, revaluation="next_period"),
    )
    assert shown(got, "fx_revalued") == (
        "Dr receivable 10000, Cr unrealised 10000; Cr receivable 10000, Dr unrealised 10000"
    )
    assert shown(got, "fx_revaluation_reversed") == (
        "Cr receivable 10000, Dr unrealised 10000; Dr receivable 10000, Cr unrealised 10000"
    )
    dates = [one.entry.date.isoformat() for one in got.valued if one.entry.purpose[:3] == "fx_"]
    assert dates == ["2026-01-31", "2026-02-01", "2026-02-28", "2026-03-01"]
    assert worth(got)["fx"] == -5000


def test_an_open_balance_waits_for_its_next_month_end_and_for_the_closing_rate() -> None:
    rules = replace(RULES, revaluation="settlement")
    early = value([in_eur()], {"2026-01-15": "1.2"}, rules=rules, today=date(2026, 1, 31))
    assert (early.next_revaluation, early.not_revalued) == (date(2026, 1, 31), {})
    late = value([in_eur()], {"2026-01-15": "1.2"}, rules=rules, today=date(2026, 2, 1))
    assert late.next_revaluation == date(2026, 2, 28)
    assert list(late.not_revalued) == ["2026-01"]
    assert len(late.valued) == 1


def test_deferred_revenue_keeps_the_rate_of_the_issue_and_ends_at_nothing() -> None:
    issue = in_eur(line=made.line(1, 1000, "2026-01-15", "2026-04-15", made.tax(210)))
    got = value([issue], {"2026-01-15": "1.23457"}, today=made.FAR)
    assert shown(got, "invoice_issued") == (
        "Dr receivable 1494, Cr deferred_revenue 1235, Cr tax_payable 259"
    )
    assert worth(got) == {"receivable": 1494, "revenue": -1235, "tax_payable": -259}


def test_a_payment_that_books_the_revenue_gives_its_document_the_rate() -> None:
    # 10.00 EUR over three months, as one entry of money; each later month has another rate.
    paid = entry("2026-01-15", ("debit", "clearing", 1000), ("credit", "deferred_revenue", 1000))
    months = [
        entry(day, ("debit", "deferred_revenue", amount), ("credit", "revenue", amount))
        for day, amount in (("2026-01-31", 333), ("2026-02-28", 333), ("2026-03-31", 334))
    ]
    table = Table("USD", {"2026-01-15": "1.2", "2026-01-31": "1.3", "2026-02-28": "1.4"}, {})
    entries = [replace(paid, purpose="payment_recognised"), *months]
    got = value_foreign(entries, RULES, table, date(2026, 12, 31))
    assert worth(got) == {"clearing": 1200, "revenue": -1200}


def test_a_fee_in_another_currency_than_its_document_is_worth_its_own_rate() -> None:
    fee = replace(
        entry("2026-02-01", ("debit", "fees", 150), ("credit", "clearing", 150)), currency="USD"
    )
    issue = replace(
        entry("2026-01-15", ("debit", "receivable", 1000), ("credit", "fees", 1000)),
        purpose="invoice_issued",
    )
    table = Table("USD", {"2026-01-15": "1.2", "2026-02-01": "1"}, {})
    got = value_foreign([issue, fee], RULES, table, date(2026, 12, 31))
    assert shown(got, "x2026-02-01") == "Dr fees 150, Cr clearing 150"


def test_parts_of_a_payment_clear_the_receivable_exactly() -> None:
    facts = [in_eur(1000), paid_eur("2026-01-15", 333)]
    second = replace(paid_eur("2026-01-15T13:00", 667), fact_id="payment_applied:second")
    got = value([*facts, second], {"2026-01-15": "1.11115"})
    assert "receivable" not in worth(got)


@pytest.mark.parametrize(
    ("amount", "base", "quote", "text", "expected"),
    [
        (3000, "EUR", "USD", "1.2", 3600),
        (100, "USD", "JPY", "156.735", 157),
        (157, "JPY", "USD", "0.0063", 99),
        (1000, "USD", "KWD", "0.3075", 3075),
        (1005, "KWD", "USD", "3.25", 327),
        (-5, "EUR", "USD", "1.1", -6),
        (1, "JPY", "KWD", "0.0021", 2),
    ],
)
def test_conversion_is_exact_between_any_exponents(
    amount: int, base: str, quote: str, text: str, expected: int
) -> None:
    assert convert(amount, rate(base, quote, text)) == expected


def test_a_currency_is_worth_itself() -> None:
    told = identity_rate("USD", "2026-01-15")
    assert (told.rate_type, told.source, told.version) == ("identity", "identity", 0)
    assert convert(12_345, told) == 12_345


@pytest.mark.parametrize("text", ["", "0", "0.000", "-1", "1e3", "1,2", ".5", "1.", "x"])
def test_what_is_no_rate_is_refused(text: str) -> None:
    assert not is_rate(text)


def test_without_the_rate_of_the_issue_nothing_of_the_document_is_valued() -> None:
    got = value([in_eur(), paid_eur("2026-02-01", 3000)], {"2026-02-01": "1.1"})
    assert got.valued == []
    assert {why.reason for why in got.held.values()} == {"fx_rate_not_found"}
    assert len(got.held) == 2


def test_without_the_rate_of_a_payment_only_the_payment_waits() -> None:
    got = value([in_eur(), paid_eur("2026-02-01", 3000)], {"2026-01-15": "1.2"})
    assert [one.entry.purpose for one in got.valued] == ["invoice_issued"]
    assert list(got.held) == ["payment_applied:in_1"]


def test_a_payment_whose_invoice_is_unknown_is_worth_its_own_day() -> None:
    got = value([paid_eur("2026-02-01", 3000)], {"2026-02-01": "1.1"})
    assert shown(got, "payment_applied") == "Dr clearing 3300, Cr receivable 3300"


def test_a_dispute_is_taken_back_at_the_rate_it_was_parked_at() -> None:
    rules = replace(RULES, parked_roles=("disputes",))
    table = Table("USD", {"2026-02-01": "1.15", "2026-03-01": "1.10"}, {})
    withdrawn = entry("2026-02-01", ("debit", "disputes", 3000), ("credit", "clearing", 3000))
    won = entry("2026-03-01", ("debit", "clearing", 3000), ("credit", "disputes", 3000))
    lost = entry("2026-03-01", ("debit", "losses", 3000), ("credit", "disputes", 3000))
    got = value_foreign([withdrawn, won], rules, table, date(2026, 12, 31))
    assert shown(got, "x2026-02-01") == "Dr disputes 3450, Cr clearing 3450"
    assert shown(got, "x2026-03-01") == "Dr clearing 3300, Cr disputes 3450, Dr fx 150"
    got = value_foreign([withdrawn, lost], rules, table, date(2026, 12, 31))
    assert shown(got, "x2026-03-01") == "Dr losses 3450, Cr disputes 3450"


def test_what_is_taken_beyond_what_was_parked_is_worth_its_own_day() -> None:
    rules = replace(RULES, parked_roles=("disputes",))
    table = Table("USD", {"2026-02-01": "1.2", "2026-03-01": "1.1"}, {})
    parked = entry("2026-02-01", ("debit", "disputes", 1000), ("credit", "clearing", 1000))
    taken = entry("2026-03-01", ("debit", "clearing", 1500), ("credit", "disputes", 1500))
    got = value_foreign([parked, taken], rules, table, date(2026, 12, 31))
    # 10.00 at 1.2, and 5.00 more at 1.1.
    assert shown(got, "x2026-03-01") == "Dr clearing 1650, Cr disputes 1750, Dr fx 100"


def entry(day: str, *lines: tuple[str, str, int]) -> Entry:
    made_lines = tuple(EntryLine(role, side, amount) for side, role, amount in lines)
    on = date.fromisoformat(day)
    return Entry(f"f{day}", f"x{day}", "", day[:7], on, "EUR", made_lines)


def test_a_balance_is_revalued_also_when_its_end_is_already_known() -> None:
    rules = replace(RULES, revaluation="next_period")
    facts = [in_eur(), replace(made.voided("2026-04-06"), currency="EUR")]
    closing = {"2026-01-31": "1.3", "2026-02-28": "1.25", "2026-03-31": "1.25"}

    def told(today: date) -> Valuation:
        return value(facts, {"2026-01-15": "1.2"}, rules=rules, closing=closing, today=today)

    assert told(date(2026, 1, 20)).next_revaluation == date(2026, 1, 31)
    assert told(date(2026, 2, 10)).next_revaluation == date(2026, 2, 28)
    last = told(date(2026, 4, 1))
    assert last.next_revaluation is None
    revalued = [one for one in last.valued if one.entry.purpose == "fx_revalued"]
    assert [one.entry.natural_period for one in revalued] == ["2026-01", "2026-02", "2026-03"]
