"""Money, schedules of parts and templates: exact, and never a unit lost."""

from __future__ import annotations

import pytest

from streamsync.core.company import TemplateLine
from streamsync.core.money import (
    EXPONENTS,
    STRIPE_EXPONENTS,
    UnknownCurrency,
    allocate,
    exponent,
    format_minor,
    is_currency,
    iso_minor,
    round_half_up_div,
)
from streamsync.core.policy import JOURNAL_AMOUNTS, check_template
from tests.unit.core_facts import POLICY, template


@pytest.mark.parametrize(
    ("currency", "amount", "text"),
    [
        ("USD", 1234, "12.34"),
        ("USD", -5, "-0.05"),
        ("EUR", 0, "0.00"),
        ("JPY", 1234, "1234"),
        ("KWD", 1234, "1.234"),
        ("CLF", 5, "0.0005"),
    ],
)
def test_amounts_are_written_with_the_exponent_of_iso_4217(
    currency: str, amount: int, text: str
) -> None:
    assert format_minor(amount, currency) == text


def test_the_table_has_the_exponents_that_the_standard_lists() -> None:
    # ISO 4217 List One as published on 2026-01-01: all codes whose minor unit is not 2.
    by_digits = {
        digits: " ".join(sorted(code for code, own in EXPONENTS.items() if own == digits))
        for digits in (0, 3, 4)
    }
    assert by_digits == {
        0: "BIF CLP DJF GNF ISK JPY KMF KRW PYG RWF UGX UYI VND VUV XAF XOF XPF",
        3: "BHD IQD JOD KWD LYD OMR TND",
        4: "CLF UYW",
    }
    assert not any(is_currency(code) for code in ("XAU", "XTS", "XXX", "usd", ""))
    with pytest.raises(UnknownCurrency, match='"usd" is not an ISO 4217 currency'):
        exponent("usd")


def test_a_sources_own_units_become_iso_units_or_are_refused() -> None:
    # Stripe writes ISK and UGX with two decimals that do not exist, and MGA without its one.
    assert iso_minor(500, "UGX", STRIPE_EXPONENTS) == 5
    assert iso_minor(5, "MGA", STRIPE_EXPONENTS) == 500
    assert iso_minor(500, "USD", STRIPE_EXPONENTS) == 500
    with pytest.raises(ValueError, match="no whole minor unit of UGX"):
        iso_minor(501, "UGX", STRIPE_EXPONENTS)


@pytest.mark.parametrize(
    ("numerator", "denominator", "quotient"),
    [(5, 2, 3), (-5, 2, -3), (5, -2, -3), (4, 3, 1), (5, 3, 2), (0, 7, 0), (1, 3, 0)],
)
def test_a_half_goes_away_from_zero(numerator: int, denominator: int, quotient: int) -> None:
    assert round_half_up_div(numerator, denominator) == quotient


def test_the_largest_remainders_get_the_units_that_are_left() -> None:
    assert allocate(100, [1, 1, 1]) == [34, 33, 33]
    # 10 in the ratio 1 : 2 : 4 is 1.43, 2.86, 5.71.
    assert allocate(10, [1, 2, 4]) == [1, 3, 6]
    assert allocate(-100, [1, 1, 1]) == [-34, -33, -33]
    assert allocate(0, [0, 0]) == [0, 0]
    with pytest.raises(ValueError, match="cannot be shared"):
        allocate(1, [0, 0])
    with pytest.raises(ValueError, match="below zero"):
        allocate(1, [-1, 2])


def test_every_journal_of_the_profile_balances_for_all_amounts() -> None:
    assert set(POLICY.journals) == set(JOURNAL_AMOUNTS)
    for kind, lines in POLICY.journals.items():
        assert check_template(kind, lines) == []


@pytest.mark.parametrize(
    ("lines", "sentence"),
    [
        (
            template("Dr receivable gross, Cr deferred deferred, Cr revenue immediate"),
            "invoice_issued does not balance (gross = deferred + immediate + tax): "
            '"tax" is debited once and credited never.',
        ),
        (
            template("Dr receivable deferred, Cr deferred deferred"),
            'invoice_issued never books "immediate": name it, or gross, on both sides.',
        ),
        (
            template("Dr receivable grand, Cr deferred deferred"),
            'invoice_issued has no amount "grand": '
            "use one of gross, deferred, immediate, tax, discount.",
        ),
        (
            (TemplateLine(side="left", role="receivable", amount="gross"),),
            'invoice_issued: "left" is no side: use debit or credit.',
        ),
        (
            (TemplateLine(side="debit", role="", amount="gross"),),
            'invoice_issued: the line of "gross" names no account role.',
        ),
        ((), "invoice_issued has no lines: name each amount on a debit and a credit side."),
    ],
)
def test_a_wrong_template_is_told_by_amount(lines: tuple[TemplateLine, ...], sentence: str) -> None:
    assert sentence in check_template("invoice_issued", lines)


def test_an_unknown_journal_is_told_with_those_that_exist() -> None:
    assert check_template("invoice", ())[0].startswith(
        '"invoice" is no journal: use one of invoice'
    )
