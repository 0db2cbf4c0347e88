"""Figures that contradict one another, and missing rules: each has a reason of its own, names the
field and the figures, and holds up nothing else of its account. (A policy with a gap or an overlap
in its dates is refused with the folder: test_governance_rule_errors.)
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import pytest
from msgspec.structs import replace

from streamsync.core.company import Company, TaxCode
from tests.ledger_driver import Books, one_by_one
from tests.stripe_payloads import (
    FEB_15,
    JAN_15,
    charge,
    credit_note,
    event,
    invoice,
    line,
    refund,
    tax,
)

GOOD = "in_good"


@dataclass(frozen=True)
class Case:
    """What is sent, the reason, the words that a person must be told, and the class."""

    events: tuple[dict[str, Any], ...]
    reason: str
    says: tuple[str, ...]
    outcome: str = "rejected"
    company: Callable[[Company], Company] = lambda acme: acme
    rate: str | None = None


def finalized(*lines: dict[str, Any], **changes: Any) -> dict[str, Any]:
    return event("invoice.finalized", invoice(*lines, **changes), id="evt_bad")


def taxed(amount: int, **changes: Any) -> dict[str, Any]:
    return finalized(line(tax_amounts=[tax(amount)]), total=3100 + amount, tax=amount, **changes)


def noted(total: int) -> dict[str, Any]:
    body = credit_note(total=total, tax_amounts=[], lines={"data": [], "has_more": False})
    return event("credit_note.created", body, id="evt_note")


def paid(**changes: Any) -> dict[str, Any]:
    return event("invoice.paid", invoice(**changes), id="evt_paid", created=JAN_15 + 2)


def refunded(amount: int) -> dict[str, Any]:
    told = charge(refund("re_1", amount, JAN_15 + 500))
    return event("charge.refunded", told, id="evt_refund", created=JAN_15 + 500)


def euros() -> dict[str, Any]:
    return finalized(line(currency="eur"), currency="eur")


def without_tax_account(acme: Company) -> Company:
    rules = tuple(rule for rule in acme.account_rules if rule.rule_id != "us-tax-payable")
    return replace(acme, account_rules=rules)


def with_tax_codes(acme: Company) -> Company:
    return replace(acme, tax_codes=(TaxCode(code="txr_known", jurisdiction="US-NY"),))


CASES: dict[str, Case] = {
    "amounts that do not add up": Case(
        (finalized(total=3150),),
        "document_total_mismatch",
        ("data.object.total: 3150", "add up to 3100", "difference 50"),
    ),
    "a tax below zero": Case((taxed(-310),), "tax_negative", ("tax", "-310")),
    "a service period that ends before it starts": Case(
        (finalized(line(period={"start": FEB_15, "end": JAN_15})),),
        "period_end_before_start",
        ("data.object.lines.data[0].period: ends", str(JAN_15), str(FEB_15)),
    ),
    "an unknown tax code": Case(
        (taxed(310),),
        "tax_code_unknown",
        ("tax code txr_1 of 310",),
        outcome="waiting",
        company=with_tax_codes,
    ),
    "a rate that is missing": Case(
        (euros(),),
        "fx_rate_not_found",
        ("spot rate EUR to USD for acme-us on 2026-01-13",),
        outcome="waiting",
    ),
    "a rate that is too old": Case(
        (euros(),),
        "fx_rate_stale",
        ("of 2026-01-02, 11 days old; at most 7",),
        outcome="waiting",
        rate="2026-01-02",
    ),
    "a credit larger than its document": Case(
        (finalized(), noted(5000)), "credit_exceeds_document", ("5000", "3100")
    ),
    "a refund larger than its payment": Case(
        (finalized(), paid(), refunded(4000)), "refund_exceeds_payment", ("4000", "3100")
    ),
    "a payment in another currency than its invoice": Case(
        (finalized(), paid(currency="eur", lines={"data": [line(currency="eur")]})),
        "currency_differs",
        ("payment_applied in EUR", "the invoice is in USD"),
    ),
    "a role without an account": Case(
        (taxed(310),),
        "account_unmapped",
        ("role tax_payable of acme-us in USD",),
        outcome="waiting",
        company=without_tax_account,
    ),
}


@pytest.mark.parametrize("name", CASES)
def test_it_has_its_own_reason_names_the_figures_and_holds_up_nothing_else(name: str) -> None:
    case = CASES[name]
    books = Books(company=case.company(one_by_one()))
    books.customer("cus_1")
    if case.rate is not None:
        books.rates("EUR", "USD", {case.rate: "1.2"})
    books.tick("2026-01-31T12:00:00")
    for one in case.events:
        books.webhook(one)
    books.webhook(event("invoice.finalized", invoice(id=GOOD), id="evt_good"))
    books.run()
    (open_one,) = [one for one in books.exceptions().values() if one.state == "detected"]
    assert open_one.code == case.reason
    assert all(words in open_one.detail for words in case.says), open_one.detail
    assert books.counts()[case.outcome] == 1
    assert GOOD in {command.document for command in books.commands()}


def test_every_case_has_a_reason_of_its_own() -> None:
    assert len({case.reason for case in CASES.values()}) == len(CASES) == 10
