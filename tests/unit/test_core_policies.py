"""What policies choose: credits, losses, releases, starts and ends, against figures by hand."""

from __future__ import annotations

from datetime import date

import pytest
from msgspec.structs import replace

from streamsync.core.company import Choices, Policy
from streamsync.core.facts import CreditNote, Fact
from streamsync.core.journal import Books
from streamsync.core.schedule import Method
from tests.unit.core_facts import (
    POLICY,
    book,
    credited,
    issued,
    line,
    lost,
    moved,
    paid,
    part_paid,
    refunded,
    spreading,
    tax,
    voided,
)

HALF_YEAR = line(1, 60_000, "2022-01-01", "2022-07-01")
EVEN = spreading("even_month")


def choosing(base: Policy = EVEN, /, **choices: object) -> Policy:
    return replace(base, choices=Choices(**choices))  # type: ignore[arg-type]


def releasing(**how: object) -> Policy:
    return replace(POLICY, schedule=replace(Method("day", "last_absorbs"), **how))


def other(kind: str, day: str) -> Fact:
    return replace(voided(day), fact_id=f"{kind}:in_1", kind=kind)


@pytest.mark.parametrize(
    ("treatment", "contra", "months"),
    [
        # 600 over six months, 60 back in April when 300 were earned.
        ("proportional", 3_000, [10_000] * 3 + [9_000] * 3),
        # P15: Chargebee, prospective.
        ("prospective", 0, [10_000] * 3 + [8_000] * 3),
        # 540 from the start: 90 a month, three months taken back.
        ("retrospective", 3_000, [10_000] * 3 + [9_000] * 3),
        # ERPNext #51020: the schedule stands.
        ("point_in_time", 6_000, [10_000] * 6),
    ],
)
def test_p15_a_credit_of_60_in_april_by_each_treatment(
    treatment: str, contra: int, months: list[int]
) -> None:
    for fact, role, choice in (
        (credited("2022-04-01", 6_000), "contra", "credit_note"),
        (refunded("2022-04-01", 6_000), "refunds", "refund"),
    ):
        books = book(issued("2022-01-01", HALF_YEAR), fact, policy=choosing(**{choice: treatment}))
        assert moved(books, role) == ({"2022-04": -contra} if contra else {})
        assert list(moved(books, "revenue").values()) == months


def test_prospective_claws_back_only_what_exceeds_deferred_revenue() -> None:
    books = book(
        issued("2022-01-01", HALF_YEAR),
        credited("2022-06-01", 25_000),
        policy=choosing(credit_note="prospective"),
    )
    # 100 were deferred; 150 of what was earned is taken back.
    assert moved(books, "contra") == {"2022-06": -15_000}
    assert list(moved(books, "revenue").values()) == [10_000] * 5


def test_retrospective_differs_from_proportional_after_an_earlier_credit() -> None:
    # 600: 60 back at once in April (all contra), 60 back retrospectively in May. By hand: 480 over
    # six months is 80; four months 320; 400 less 60 were earned: 20 is taken back, 40 deferred.
    facts = (
        issued("2022-01-01", HALF_YEAR),
        credited("2022-04-01", 6_000, name="cn_1"),
        credited("2022-05-01", 6_000, name="cn_2"),
    )
    first = replace(facts[1], credit_note=_with_reason(facts[1], "goodwill"))
    policy = choosing(
        credit_note="retrospective", credit_note_by_reason={"goodwill": "point_in_time"}
    )
    books = book(facts[0], first, facts[2], policy=policy)
    assert moved(books, "contra") == {"2022-04": -6_000, "2022-05": -2_000}
    assert list(moved(books, "revenue").values()) == [10_000] * 4 + [8_000] * 2


def _with_reason(fact: Fact, reason: str) -> CreditNote:
    assert fact.credit_note is not None
    return replace(fact.credit_note, reason=reason)


@pytest.mark.parametrize(
    ("reason", "contra"),
    [("order_change", 0), ("product_unsatisfactory", 6_000), ("duplicate", 3_000), (None, 3_000)],
)
def test_chargebee_treats_credits_by_reason(reason: str | None, contra: int) -> None:
    policy = choosing(
        credit_note="retrospective",
        credit_note_by_reason={
            "order_change": "prospective",
            "product_unsatisfactory": "point_in_time",
        },
    )
    fact = credited("2022-04-01", 6_000)
    assert fact.credit_note is not None
    fact = replace(fact, credit_note=replace(fact.credit_note, reason=reason))
    books = book(issued("2022-01-01", HALF_YEAR), fact, policy=policy)
    assert moved(books, "contra") == ({"2022-04": -contra} if contra else {})


def test_a_schedule_that_stands_goes_on_after_the_loss() -> None:
    facts = (issued("2022-01-01", HALF_YEAR), lost("2022-03-01"))
    stops = book(*facts, policy=choosing())
    assert list(moved(stops, "revenue").values()) == [10_000] * 2
    stands = book(*facts, policy=choosing(uncollectible="schedule_stands"))
    assert list(moved(stands, "revenue").values()) == [10_000] * 6
    assert moved(stands, "receivable") == {"2022-01": -60_000, "2022-03": 60_000}
    late = book(
        *facts, credited("2022-04-01", 100), policy=choosing(uncollectible="schedule_stands")
    )
    assert [found.reason for found in late.refused] == ["credit_exceeds_document"]


def test_lago_loses_an_overdue_invoice_and_takes_the_loss_back_when_it_is_paid() -> None:
    policy = choosing(loss_at="overdue")
    facts = (issued("2022-01-01", HALF_YEAR), other("invoice_overdue", "2022-02-01"))
    books = book(*facts, policy=policy)
    assert moved(books, "bad_debt") == {"2022-02": -60_000}
    assert moved(books, "receivable") == {"2022-01": -60_000, "2022-02": 60_000}
    assert list(moved(books, "revenue").values()) == [10_000] * 6
    after = book(*facts, paid("2022-03-01", 60_000), policy=policy)
    assert moved(after, "bad_debt") == {"2022-02": -60_000, "2022-03": 60_000}
    assert sum(moved(after, "receivable").values()) == 0
    # Given up after that: nothing is left to lose.
    given_up = book(*facts, lost("2022-04-01"), policy=policy)
    assert moved(given_up, "bad_debt") == {"2022-02": -60_000}


@pytest.mark.parametrize("back", [9_000, 9_500])
def test_an_invoice_on_which_nothing_is_owed_loses_nothing_when_it_is_overdue(back: int) -> None:
    books = book(
        issued("2022-01-01", line(1, 9_000), line(2, back, direction="credit")),
        other("invoice_overdue", "2022-02-10"),
        policy=choosing(POLICY, loss_at="overdue"),
    )
    assert moved(books, "bad_debt") == {}


def test_other_policies_lose_nothing_when_an_invoice_is_overdue() -> None:
    books = book(issued("2022-01-01", HALF_YEAR), other("invoice_overdue", "2022-02-01"))
    assert ("invoice_overdue:in_1", "invoice_overdue") in [
        (found.fact_id, found.reason) for found in books.no_entry
    ]


def rows(policy: Policy, start: str, end: str, on: str, net: int = 9_000) -> list[tuple[str, int]]:
    books = book(issued(on, line(1, net, start, end)), policy=policy)
    return [
        (entry.date.isoformat(), entry.lines[0].amount_minor)
        for entry in books.entries
        if entry.purpose == "revenue_released"
    ]


def test_one_month_after_the_event_in_equal_months_of_30_days() -> None:
    # payment_triggered: 92 days are 3 months; 100.00 in thirds, the last absorbs.
    policy = releasing(
        first_release="one_month_after_start", start="document_date", immediate_up_to_days=32
    )
    assert rows(policy, "2022-01-31", "2022-05-03", "2022-01-31", 10_000) == [
        ("2022-02-28", 3_333),
        ("2022-03-31", 3_333),
        ("2022-04-30", 3_334),
    ]
    # 365 / 30 rounds to 12, 45 / 30 to 2.
    assert len(rows(policy, "2022-01-01", "2023-01-01", "2022-01-05")) == 12
    assert len(rows(policy, "2022-01-01", "2022-02-15", "2022-01-05")) == 2
    assert rows(policy, "2022-01-01", "2022-02-02", "2022-01-05") == []


def test_the_longest_line_says_how_many_months_all_lines_have() -> None:
    policy = releasing(first_release="one_month_after_start", start="document_date")
    books = book(
        issued(
            "2022-01-01",
            line(1, 1_200, "2022-01-01", "2023-01-01"),
            line(2, 1_200, "2022-01-01", "2022-04-01"),
        ),
        policy=policy,
    )
    assert list(moved(books, "revenue").values()) == [200] * 12


def test_daily_release_earns_each_day_on_that_day() -> None:
    found = rows(releasing(first_release="daily"), "2022-01-30", "2022-02-02", "2022-01-30", 1_000)
    assert found == [("2022-01-30", 333), ("2022-01-31", 333), ("2022-02-01", 334)]
    books = book(
        issued("2022-01-15", line(1, 3_100, "2022-01-15", "2022-02-15")),
        voided("2022-01-20"),
        policy=releasing(first_release="daily"),
    )
    assert moved(books, "voids") == {"2022-01": -500}


def test_month_end_release_ends_on_the_last_day_of_service() -> None:
    assert rows(releasing(first_release="month_end"), "2022-01-15", "2022-02-15", "2022-01-15") == [
        ("2022-01-31", 4_935),
        ("2022-02-14", 4_065),
    ]


@pytest.mark.parametrize(
    ("start", "months"),
    [
        # 90.00 for 10 January to 10 April, billed on 20 February.
        ("service_start", {"2022-01": 2_200, "2022-02": 2_800, "2022-03": 3_100, "2022-04": 900}),
        ("document_date", {"2022-02": 1_653, "2022-03": 5_693, "2022-04": 1_654}),
        ("later_of_both", {"2022-02": 1_653, "2022-03": 5_693, "2022-04": 1_654}),
        ("month_start", {"2022-01": 3_100, "2022-02": 2_800, "2022-03": 3_100}),
        ("next_month_start", {"2022-02": 2_831, "2022-03": 3_134, "2022-04": 3_035}),
        ("mid_month", {"2022-01": 3_100, "2022-02": 2_800, "2022-03": 3_100}),
    ],
)
def test_start_conventions_by_hand(start: str, months: dict[str, int]) -> None:
    books = book(
        issued("2022-02-20", line(1, 9_000, "2022-01-10", "2022-04-10")),
        policy=releasing(start=start),
    )
    assert moved(books, "revenue") == months


@pytest.mark.parametrize(("day", "first"), [("15", "2022-01"), ("16", "2022-02")])
def test_from_the_16th_on_the_middle_of_the_month_is_over(day: str, first: str) -> None:
    books = book(
        issued("2022-01-01", line(1, 9_000, f"2022-01-{day}", f"2022-04-{day}")),
        policy=releasing(start="mid_month"),
    )
    assert min(moved(books, "revenue")) == first


def test_a_loss_takes_what_no_overdue_took_where_both_are_losses() -> None:
    books = book(
        issued("2022-01-01", line(1, 9_000)),
        lost("2022-02-10"),
        policy=choosing(POLICY, loss_at="overdue"),
    )
    assert moved(books, "bad_debt") == {"2022-02": -9_000}


def test_a_service_within_a_month_keeps_one_month_by_every_convention() -> None:
    for start in ("month_start", "next_month_start", "mid_month"):
        assert len(rows(releasing(start=start), "2022-01-05", "2022-01-12", "2022-01-05")) == 1


@pytest.mark.parametrize(
    ("choice", "revenue", "role", "moves"),
    [
        # P4: 90 for January to March, ended on 10 February: 31 and 9 of 90 days are served.
        ("schedule_stands", [3_100, 2_800, 3_100], "clearing", {}),
        ("refund", [3_100, 900], "clearing", {"2022-02": 5_000}),
        ("credit", [3_100, 900], "customer_credit", {"2022-02": 5_000}),
        ("release", [3_100, 5_900], "clearing", {}),
    ],
)
def test_p4_a_service_that_ends_early(
    choice: str, revenue: list[int], role: str, moves: dict[str, int]
) -> None:
    books = book(
        issued("2022-01-01", line(1, 9_000, "2022-01-01", "2022-04-01")),
        other("service_terminated", "2022-02-10"),
        policy=choosing(POLICY, termination=choice),
    )
    assert list(moved(books, "revenue").values()) == revenue
    assert moved(books, role) == moves
    assert sum(moved(books, "deferred_revenue").values()) == 0


def test_a_service_that_is_over_is_earned_although_its_month_is_not() -> None:
    # Served from 3 to 5 February; its row is dated the 28th, the subscription ends on the 10th.
    books = book(
        issued("2022-02-01", line(1, 9000, "2022-02-03", "2022-02-06")),
        other("service_terminated", "2022-02-10"),
        policy=choosing(POLICY, termination="credit"),
    )
    assert moved(books, "revenue") == {"2022-02": 9000}
    assert moved(books, "customer_credit") == {}


def test_a_service_that_is_over_is_earned_also_where_its_rows_are_later() -> None:
    # By the longest line (90 days) both have rows on 1 February, March and April.
    books = book(
        issued(
            "2022-01-01",
            line(1, 3_000, "2022-01-01", "2022-01-31"),
            line(2, 9_000, "2022-01-01", "2022-04-01"),
        ),
        other("service_terminated", "2022-02-10"),
        policy=choosing(releasing(first_release="one_month_after_start"), termination="credit"),
    )
    # The second: 8 of the 28 days from 2 February to 1 March, 857 of 3,000.
    assert moved(books, "revenue") == {"2022-02": 1_000 + 2_000 + 3_000 + 857}
    assert moved(books, "customer_credit") == {"2022-02": 9_000 - 3_000 - 857}


# Lago #2643: fees of 68.33, 68.33, 57.50 and 85.00 at 20 % are taxed 55.83 together; by line they
# are 13.67, 13.67, 11.50 and 17.00, one cent more.
FOUR_FEES = issued(
    "2022-01-01",
    *(
        line(no, net, None, None, tax(owed))
        for no, (net, owed) in enumerate(
            ((6_833, 1_367), (6_833, 1_367), (5_750, 1_150), (8_500, 1_700)), 1
        )
    ),
)


@pytest.mark.parametrize(
    ("rounding", "taxes"),
    # A third and two thirds of 335.00: of 55.84 in all 18.61 and 37.23; by line 4.56, 4.56, 3.83,
    # 5.67 are 18.62, and 9.11, 9.11, 7.67, 11.33 are 37.22. The last one takes the rest.
    [("document", [1_861, 1_862, 1_861]), ("line", [1_862, 1_860, 1_862])],
)
def test_tax_is_rounded_once_or_by_line_and_goes_back_whole(
    rounding: str, taxes: list[int]
) -> None:
    days = ("2022-01-05", "2022-01-06", "2022-01-07")
    refunds = [
        refunded(day, amount, name=f"re_{day}")
        for day, amount in zip(days, (11_167, 11_166, 11_167), strict=True)
    ]
    books = book(FOUR_FEES, *refunds, policy=choosing(POLICY, tax_rounding=rounding))
    taken = [
        sum(one.amount_minor for one in entry.lines if one.role == "tax_payable")
        for entry in books.entries
        if entry.purpose == "refunded"
    ]
    assert taken == taxes
    assert moved(books, "tax_payable") == {}


def test_a_payment_of_a_part_has_its_tax_rounded_once_or_by_line() -> None:
    for rounding, owed in (("document", 1_861), ("line", 1_862)):
        policy = choosing(POLICY, tax_rounding=rounding, charged_automatically="payment")
        books = book(FOUR_FEES, paid("2022-01-05", 11_167), policy=policy)
        assert moved(books, "tax_payable") == {"2022-01": owed}


def test_p2_the_even_year_is_also_earned_by_whole_months() -> None:
    books: Books = book(
        issued("2022-01-01", line(1, 36_500, "2022-01-01", "2023-01-01")), policy=EVEN
    )
    assert list(moved(books, "revenue").values()) == [3_041] * 11 + [3_049]
    assert books.entries[-1].date == date(2022, 12, 31)


@pytest.mark.parametrize(
    ("choice", "earned", "role"),
    [
        ("refund", 4_000, "clearing"),
        ("credit", 4_000, "customer_credit"),
        ("release", 9_000, "clearing"),
    ],
)
@pytest.mark.parametrize("end", [voided("2022-03-01"), lost("2022-03-01")])
def test_a_void_or_loss_takes_back_what_an_early_end_gave_back_of_what_nobody_paid(
    choice: str, earned: int, role: str, end: Fact
) -> None:
    books = book(
        issued("2022-01-01", line(1, 9_000, "2022-01-01", "2022-04-01")),
        other("service_terminated", "2022-02-10"),
        end,
        policy=choosing(POLICY, termination=choice),
    )
    contra = "voids" if end.kind == "invoice_voided" else "bad_debt"
    assert moved(books, contra) == {"2022-03": -earned}
    assert moved(books, "receivable") == {"2022-01": -9_000, "2022-03": 9_000}
    assert sum(moved(books, role).values()) == 0
    assert sum(moved(books, "deferred_revenue").values()) == 0


def test_what_was_given_back_of_what_was_paid_stays_given_back() -> None:
    # 50.00 of 90.00 are paid; of the 50.00 that came back 10.00 are taken back with the loss.
    books = book(
        issued("2022-01-01", line(1, 9_000, "2022-01-01", "2022-04-01")),
        part_paid("2022-01-02", 4_000, "a"),
        other("service_terminated", "2022-02-10"),
        lost("2022-03-01"),
        policy=choosing(POLICY, termination="credit", uncollectible="schedule_stands"),
    )
    assert moved(books, "customer_credit") == {"2022-02": 5_000, "2022-03": -1_000}
    assert moved(books, "bad_debt") == {"2022-03": -4_000}
    assert moved(books, "receivable") == {"2022-01": -5_000, "2022-03": 5_000}
    assert sum(moved(books, "deferred_revenue").values()) == 0
    assert sum(moved(books, "revenue").values()) == 4_000


def test_an_early_end_stops_what_the_invoice_earns_and_leaves_what_a_contract_earns() -> None:
    of_contract = replace(line(1, 5_000), contract="ct_1")
    books = book(
        issued("2022-01-01", of_contract, line(2, 9_000, "2022-01-01", "2022-04-01")),
        other("service_terminated", "2022-02-10"),
        policy=choosing(POLICY, termination="credit"),
    )
    assert moved(books, "customer_credit") == {"2022-02": 5_000}
    # What the contract has not earned is still deferred.
    assert sum(moved(books, "deferred_revenue").values()) == 5_000
    after = book(
        issued("2022-01-01", of_contract, line(2, 9_000, "2022-01-01", "2022-04-01")),
        other("service_terminated", "2022-02-10"),
        voided("2022-02-11"),
        policy=choosing(POLICY, termination="credit"),
    )
    assert sum(moved(after, "deferred_revenue").values()) == 0
    assert [one.amount_minor for one in after.billed] == [5_000, -5_000]
