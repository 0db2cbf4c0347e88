"""Contracts: published figures, modifications, variable consideration, position and early end.

P and X numbers are those of the project's list of oracles; amounts in cents. Rules in
docs/contracts.md.
"""

from __future__ import annotations

from datetime import date

import pytest
from msgspec.structs import replace

from streamsync.core.company import Choices, Policy
from streamsync.core.facts import Contract, ContractSegment, Fact
from streamsync.core.journal import Books, book_document
from streamsync.core.position import Billed
from tests.unit.core_facts import (
    FAR,
    POLICY,
    book,
    credited,
    entry_of,
    issued,
    line,
    moved,
    ms,
    reasons,
    sides,
    spreading,
)

EVEN = spreading("even_month")


def segment(name: str, price: int, start: str, end: str, **more: object) -> ContractSegment:
    return ContractSegment(
        segment_id=name,
        price_minor=price,
        service_from_ms=ms(start),
        service_to_ms=ms(end),
        **more,  # type: ignore[arg-type]
    )


def fact(kind: str, day: str, name: str = "ct_1", terms: Contract | None = None) -> Fact:
    return Fact(
        fact_id=f"{kind}:{name}",
        kind=kind,
        document="ct_1",
        document_kind="contract",
        currency="USD",
        occurred_at_ms=ms(day),
        contract=terms,
    )


def signed(day: str, *segments: ContractSegment) -> Fact:
    return fact("contract_signed", day, terms=Contract(segments=segments))


def modified(day: str, treatment: str, name: str = "m1", **terms: object) -> Fact:
    return fact("contract_modified", day, name, Contract(treatment=treatment, **terms))  # type: ignore[arg-type]


def billed(day: str, amount: int, name: str = "in_1", segment: str | None = None) -> Billed:
    return Billed(
        contract="ct_1",
        segment=segment,
        document=name,
        fact_id=f"invoice_issued:{name}",
        currency="USD",
        occurred_at_ms=ms(day),
        amount_minor=amount,
    )


def contract(
    *facts: Fact, bills: tuple[Billed, ...] = (), policy: Policy = EVEN, today: date = FAR
) -> Books:
    return book_document(facts, lambda _: policy, "UTC", today, billed=bills)


def by_segment(books: Books) -> dict[str, int]:
    """Revenue of each segment."""
    found: dict[str, int] = {}
    for entry in books.entries:
        for each in entry.lines:
            if each.role == "revenue":
                name = entry.part.split("@")[0]
                sign = 1 if each.side == "credit" else -1
                found[name] = found.get(name, 0) + sign * each.amount_minor
    return found


YEAR = segment("plan", 120_000, "2022-01-01", "2023-01-01")


def test_p17_zuora_a_new_price_from_july_makes_segments_of_600_and_900() -> None:
    books = contract(
        signed("2022-01-01", YEAR),
        modified(
            "2022-07-01", "prospective", segment="plan", new_segment="plan-2", change_minor=30_000
        ),
    )
    assert by_segment(books) == {"plan": 60_000, "plan-2": 90_000}
    assert list(moved(books, "revenue").values()) == [10_000] * 6 + [15_000] * 6


def test_p32_asc_606_example_7_an_extension_at_a_lower_price_is_earned_by_70_a_year() -> None:
    # 100k a year for three; after two, year 3 costs 80k and three more cost 200k: 280k over 4.
    service = segment("service", 300_000_00, "2022-01-01", "2025-01-01")
    books = contract(
        signed("2022-01-01", service),
        modified(
            "2024-01-01",
            "prospective",
            segment="service",
            change_minor=180_000_00,
            service_to_ms=ms("2028-01-01"),
        ),
        policy=spreading("even_month", "cumulative_round"),
    )
    years: dict[str, int] = {}
    for month, amount in moved(books, "revenue").items():
        years[month[:4]] = years.get(month[:4], 0) + amount
    assert years == {
        "2022": 100_000_00,
        "2023": 100_000_00,
        **dict.fromkeys(("2024", "2025", "2026", "2027"), 70_000_00),
    }


@pytest.mark.parametrize("day", ["2022-03-01", "2022-03-20"])
def test_x3_chargebee_600_to_800_in_march_catches_up_6667(day: str) -> None:
    # Published: March 100 + 66.66, then 133.33, which does not foot. Exact: 2/6 of 800 are 266.67.
    books = contract(
        signed("2022-01-01", segment("plan", 60_000, "2022-01-01", "2022-07-01")),
        modified(day, "catch_up", segment="plan", change_minor=20_000),
    )
    revenue = moved(books, "revenue")
    assert list(revenue.values()) == [10_000, 10_000, 6667 + 13_333, 13_333, 13_333, 13_334]
    assert sum(revenue.values()) == 80_000


def test_p15_chargebee_a_price_lowered_by_60_in_april_is_prospective() -> None:
    books = contract(
        signed("2022-01-01", segment("plan", 60_000, "2022-01-01", "2022-07-01")),
        modified("2022-04-01", "prospective", segment="plan", change_minor=-6_000),
    )
    assert list(moved(books, "revenue").values()) == [10_000] * 3 + [8_000] * 3


def test_p3_an_upgrade_within_the_month_earns_60_of_the_old_and_40_of_the_new_plan() -> None:
    # 90 for April; on the 21st 120 a month: 30 not earned, 10 more for the last ten days.
    books = contract(
        signed("2022-04-01", segment("plan", 9_000, "2022-04-01", "2022-05-01")),
        modified("2022-04-21", "prospective", segment="plan", change_minor=1_000),
        policy=POLICY,
    )
    assert by_segment(books) == {"plan": 6_000, "plan~contract_modified:m1": 4_000}
    assert moved(books, "revenue") == {"2022-04": 10_000}


def test_a_separate_contract_changes_nothing_of_the_first() -> None:
    first = signed("2022-01-01", YEAR)
    alone = moved(contract(first), "revenue")
    more = segment("addon", 6_000, "2022-07-01", "2023-01-01")
    both = contract(first, modified("2022-07-01", "separate", segments=(more,)))
    assert by_segment(both) == {"plan": 120_000, "addon": 6_000}
    more_by_month = [
        after - before
        for after, before in zip(moved(both, "revenue").values(), alone.values(), strict=True)
    ]
    assert more_by_month == [0] * 6 + [1_000] * 6


def test_a_bundle_shares_its_price_by_what_each_part_would_cost_alone() -> None:
    # 1,000 for parts that cost 700, 400 and 400 alone: 466.67, 266.67 and 266.66 by hand.
    books = contract(
        signed(
            "2022-01-01",
            segment("a", 100_000, "2022-01-01", "2022-02-01", standalone_minor=70_000),
            segment("b", 0, "2022-01-01", "2022-02-01", standalone_minor=40_000),
            segment("c", 0, "2022-01-01", "2022-02-01", standalone_minor=40_000),
        )
    )
    assert by_segment(books) == {"a": 46_667, "b": 26_667, "c": 26_666}


def test_only_what_will_very_probably_not_be_reversed_counts_of_an_estimate() -> None:
    # 120 fixed and an estimated bonus of 60, of which 24 is certain enough: 144 over 12 months.
    bonus = segment(
        "plan", 12_000, "2022-01-01", "2023-01-01", variable_minor=6_000, constraint_minor=2_400
    )
    first = signed("2022-01-01", bonus)
    assert list(moved(contract(first), "revenue").values()) == [1_200] * 12
    # In July all of it is certain: 180 over 12 months, six months are caught up by 3 each.
    sure = modified("2022-07-01", "estimate", segment="plan", variable_minor=6_000)
    assert list(moved(contract(first, sure), "revenue").values()) == (
        [1_200] * 6 + [1_500 + 6 * 300] + [1_500] * 5
    )


def test_estimates_follow_one_another() -> None:
    # A bonus of 60, then of 90, then of 60 again: the last one changes the price by 30 less.
    bonus = segment("plan", 12_000, "2022-01-01", "2023-01-01", variable_minor=6_000)
    told = [
        modified(day, "estimate", name, segment="plan", variable_minor=amount)
        for day, name, amount in (("2022-04-01", "m1", 9_000), ("2022-07-01", "m2", 6_000))
    ]
    books = contract(signed("2022-01-01", bonus), *told)
    assert books.measures["bookings"] == 18_000
    assert sum(moved(books, "revenue").values()) == 18_000
    assert moved(books, "revenue")["2022-12"] == 1_500


def test_what_a_contract_earns_today_is_booked_tomorrow() -> None:
    books = contract(signed("2022-01-01", YEAR), today=date(2022, 1, 31))
    assert books.entries == ()
    assert books.next_release == date(2022, 1, 31)


def test_what_clears_and_what_is_left_over_name_their_contract_segment_and_product() -> None:
    sold = replace(YEAR, product="prod_plan")
    end = fact("contract_terminated", "2022-07-01")
    bills = (billed("2022-03-01", 60_000), billed("2022-04-15", 90_000, "in_2"))
    policy = replace(EVEN, choices=Choices(termination="credit"))
    books = contract(signed("2022-01-01", sold), end, bills=bills, policy=policy)
    cleared = [one for one in books.entries if one.purpose == "unbilled_cleared"]
    assert [one.part for one in cleared] == ["ct_1|plan"]
    (rest,) = [one for one in books.entries if one.purpose == "contract_terminated"]
    assert {one.product for one in rest.lines} == {"prod_plan"}


def test_billed_ahead_is_deferred_and_earned_ahead_is_unbilled() -> None:
    # 100 a month. 250 are billed on 1 January, 350 on 15 April.
    plan = signed("2022-01-01", segment("plan", 60_000, "2022-01-01", "2022-07-01"))
    bills = (billed("2022-01-01", 25_000), billed("2022-04-15", 35_000, "in_2"))
    books = contract(plan, bills=bills)
    # March: 50 was billed, 50 was not; the bill of April clears those 50.
    assert moved(books, "unbilled") == {"2022-03": -5_000, "2022-04": 5_000}
    assert moved(books, "deferred") == {}
    deferred = moved(books, "deferred_revenue")
    assert deferred["2022-03"] == -5_000
    assert deferred["2022-04"] == -5_000 - 10_000
    assert list(moved(books, "revenue").values()) == [10_000] * 6
    # What is deferred in the end is nothing: the invoices credited 600, the contract took it out.
    assert sum(deferred.values()) == -60_000
    assert books.measures == {"bookings": 60_000}


def test_segments_are_not_netted() -> None:
    two = signed(
        "2022-01-01",
        segment("a", 1_000, "2022-01-01", "2022-02-01"),
        segment("b", 1_000, "2022-01-01", "2022-02-01"),
    )
    books = contract(two, bills=(billed("2022-01-01", 2_000, segment="a"),))
    assert moved(books, "unbilled") == {"2022-01": -1_000}
    assert moved(books, "deferred_revenue") == {"2022-01": -1_000}
    # A bill that names none of several obligations clears none of them.
    unnamed = contract(two, bills=(billed("2022-01-01", 2_000),))
    assert moved(unnamed, "unbilled") == {"2022-01": -2_000}
    assert moved(unnamed, "deferred_revenue") == {}


def test_remaining_performance_and_bookings_follow_the_terms() -> None:
    books = contract(
        signed("2022-01-01", YEAR),
        modified("2022-07-01", "prospective", segment="plan", change_minor=30_000),
        today=date(2022, 10, 1),
    )
    assert books.measures == {"bookings": 150_000, "remaining_performance": 45_000}
    assert books.next_release == date(2022, 10, 31)


def test_what_is_dated_today_is_still_to_be_earned() -> None:
    books = contract(signed("2022-01-01", YEAR), today=date(2022, 12, 31))
    assert books.measures["remaining_performance"] == 10_000


def test_a_service_that_is_over_when_it_is_agreed_is_earned_then() -> None:
    # By the document's day nothing is left to begin with: not of a service that ends that very day.
    by_document = replace(EVEN, schedule=replace(EVEN.schedule, start="document_date"))
    books = contract(signed("2023-01-01", YEAR), policy=by_document)
    assert moved(books, "revenue") == {"2023-01": 120_000}
    assert books.entries[0].date == date(2023, 1, 1)


@pytest.mark.parametrize(
    ("choice", "role"), [("refund", "clearing"), ("credit", "customer_credit")]
)
def test_an_end_stops_the_schedule_and_gives_back_what_was_billed_for_later(
    choice: str, role: str
) -> None:
    # 90 billed for April to June, ended on 16 May: 30 and 15 days of 91 are earned.
    policy = replace(POLICY, choices=Choices(termination=choice))
    books = contract(
        signed("2022-04-01", segment("plan", 9_100, "2022-04-01", "2022-07-01")),
        fact("contract_terminated", "2022-05-16"),
        bills=(billed("2022-04-01", 9_100),),
        policy=policy,
    )
    assert moved(books, "revenue") == {"2022-04": 3_000, "2022-05": 1_500}
    assert moved(books, role) == {"2022-05": 4_600}
    assert sum(moved(books, "deferred_revenue").values()) == -9_100


def test_an_end_may_release_the_rest_or_leave_the_schedule() -> None:
    facts = (
        signed("2022-04-01", segment("plan", 9_100, "2022-04-01", "2022-07-01")),
        fact("contract_terminated", "2022-05-16"),
    )
    bills = (billed("2022-04-01", 9_100),)
    release = replace(POLICY, choices=Choices(termination="release"))
    assert moved(contract(*facts, bills=bills, policy=release), "revenue") == {
        "2022-04": 3_000,
        "2022-05": 6_100,
    }
    assert moved(contract(*facts, bills=bills, policy=POLICY), "revenue") == {
        "2022-04": 3_000,
        "2022-05": 3_100,
        "2022-06": 3_000,
    }


def test_terms_that_break_a_rule_name_the_figures_and_hold_up_nothing_else() -> None:
    plan = signed("2022-01-01", YEAR)
    cases = {
        "change_exceeds_contract": modified(
            "2022-07-01", "prospective", segment="plan", change_minor=-60_001
        ),
        "segment_unknown": modified("2022-07-01", "catch_up", segment="plam", change_minor=1),
        "modification_unsupported": modified("2022-07-01", "backwards", segment="plan"),
        "contract_terms_missing": modified("2022-07-01", "separate"),
    }
    for reason, change in cases.items():
        books = contract(plan, change)
        assert [found.reason for found in books.refused] == [reason]
        assert list(moved(books, "revenue").values()) == [10_000] * 12
    assert "-60001" in contract(plan, cases["change_exceeds_contract"]).refused[0].detail
    early = contract(cases["segment_unknown"])
    assert [found.reason for found in early.waiting] == ["contract_not_signed"]


def test_a_segment_without_a_selling_price_among_others_is_refused() -> None:
    books = contract(
        signed(
            "2022-01-01",
            segment("a", 1_000, "2022-01-01", "2022-02-01", standalone_minor=900),
            segment("b", 1_000, "2022-01-01", "2022-02-01"),
        )
    )
    assert [found.reason for found in books.refused] == ["selling_price_missing"]
    assert "segment b" in books.refused[0].detail


def test_an_invoice_line_of_a_contract_is_deferred_until_the_contract_earns_it() -> None:
    of_contract = replace(
        line(1, 12_000, "2022-01-01", "2023-01-01"), contract="ct_1", segment="plan"
    )
    books = book(issued("2022-01-01", of_contract, line(2, 500)))
    assert moved(books, "deferred_revenue") == {"2022-01": 12_000}
    assert moved(books, "revenue") == {"2022-01": 500}
    assert [(one.contract, one.segment, one.amount_minor) for one in books.billed] == [
        ("ct_1", "plan", 12_000)
    ]
    assert books.next_release is None


def test_a_credit_of_what_bills_a_contract_comes_out_of_what_is_deferred() -> None:
    billed = replace(line(1, 12_000, "2022-01-01", "2022-02-01"), contract="ct_1")
    note = credited("2022-01-10", 2_000)
    books = book(issued("2022-01-01", billed), note)
    assert sides(entry_of(books, "credit_note_issued")) == {
        ("deferred_revenue", "debit"): 2_000,
        ("receivable", "credit"): 2_000,
    }


def test_invoice_bundles_share_their_net_and_refuse_a_line_without_price() -> None:
    def part(no: int, amount: int, standalone: int | None) -> object:
        service = line(no, amount, "2022-01-01", "2022-02-01")
        return replace(service, bundle="b", standalone_minor=standalone)

    lines = [part(1, 100_000, 70_000), part(2, 0, 40_000), part(3, 0, 40_000)]
    books = book(issued("2022-01-01", *lines))  # type: ignore[arg-type]
    released = [
        each.amount_minor
        for entry in books.entries
        if entry.purpose == "revenue_released"
        for each in entry.lines
        if each.role == "revenue"
    ]
    assert released == [46_667, 26_667, 26_666]
    # A part that is given away bears nothing of the price.
    free = book(issued("2022-01-01", part(1, 100, 100), part(2, 0, 0)))  # type: ignore[arg-type]
    assert moved(free, "revenue") == {"2022-01": 100}
    # All that is left of a bundle may be credited by the name of one of its lines.
    note = credited("2022-01-10", 100_000, named=(("il_1", 100_000),))
    assert reasons(book(issued("2022-01-01", *lines), note)) == {}  # type: ignore[arg-type]
    more = credited("2022-01-10", 100_001, named=(("il_1", 100_001),))
    over = book(issued("2022-01-01", *lines), more)  # type: ignore[arg-type]
    assert reasons(over) == {"credit_note_issued:cn_1": "credit_exceeds_document"}
    broken = book(issued("2022-01-01", lines[0], part(2, 0, None)))  # type: ignore[arg-type]
    assert [found.reason for found in broken.refused] == ["selling_price_missing"]
    assert "line 2" in broken.refused[0].detail


def test_a_catch_up_may_move_the_end() -> None:
    # 600 over six months, from March on over twelve: 50 a month; two months were earned at 100.
    books = contract(
        signed("2022-01-01", segment("plan", 60_000, "2022-01-01", "2022-07-01")),
        modified("2022-03-01", "catch_up", segment="plan", service_to_ms=ms("2023-01-01")),
    )
    assert list(moved(books, "revenue").values()) == [10_000] * 2 + [-10_000 + 5_000] + [5_000] * 9


def test_a_change_may_leave_nothing_to_earn_and_not_less() -> None:
    plan = signed("2022-01-01", YEAR)
    rest = modified("2022-07-01", "prospective", segment="plan", change_minor=-60_000)
    assert list(moved(contract(plan, rest), "revenue").values()) == [10_000] * 6


def test_a_new_segment_needs_a_name_of_its_own() -> None:
    books = contract(
        signed("2022-01-01", YEAR, segment("addon", 100, "2022-01-01", "2022-02-01")),
        modified("2022-07-01", "prospective", segment="plan", new_segment="addon"),
    )
    assert [found.reason for found in books.refused] == ["segment_repeated"]


def test_an_invoice_that_bills_two_segments_of_one_obligation_bills_their_sum() -> None:
    books = contract(
        signed("2022-01-01", YEAR),
        modified(
            "2022-07-01", "prospective", segment="plan", new_segment="plan-2", change_minor=30_000
        ),
        bills=(
            billed("2022-01-01", 60_000, segment="plan"),
            billed("2022-01-01", 90_000, segment="plan-2"),
        ),
    )
    # All was billed before it was earned: nothing is unbilled.
    assert sum(moved(books, "deferred_revenue").values()) == -150_000
    assert sum(moved(books, "revenue").values()) == 150_000
    assert not any(moved(books, "unbilled_receivable").values())
