"""Any choice of policy, any terms of a contract: amounts add up, and order doesn't matter."""

from __future__ import annotations

from datetime import date, timedelta
from fractions import Fraction

from hypothesis import given
from hypothesis import strategies as st
from msgspec.structs import replace

from streamsync.core.company import Choices, Policy, UsagePrice, UsageTier
from streamsync.core.facts import Contract, Fact
from streamsync.core.journal import Books, book_document
from streamsync.core.policy import CHOICES
from streamsync.core.position import BILLED, EARNED, Billed, Movement, settled
from streamsync.core.schedule import (
    BASES,
    FIRST_RELEASES,
    ROUNDINGS,
    STARTS,
    Method,
    plan,
    service_between,
)
from streamsync.core.usage import price_of
from tests.unit.core_facts import (
    FAR,
    POLICY,
    book,
    credited,
    issued,
    line,
    lost,
    moved,
    ms,
    paid,
    refunded,
    voided,
)
from tests.unit.test_core_contracts import fact, modified, segment

DAYS = st.integers(0, 420)
NETS = st.integers(0, 10**7)


def day(number: int) -> str:
    return (date(2022, 1, 1) + timedelta(days=number)).isoformat()


@st.composite
def methods(draw: st.DrawFn) -> Method:
    release = draw(st.sampled_from(list(FIRST_RELEASES)))
    basis = "day" if release == "daily" else draw(st.sampled_from(list(BASES)))
    return Method(
        basis,
        draw(st.sampled_from(list(ROUNDINGS))),
        draw(st.sampled_from(list(STARTS))),
        release,
        draw(st.sampled_from([0, 0, 32])),
    )


@st.composite
def policies(draw: st.DrawFn) -> Policy:
    chosen = {
        name: draw(st.sampled_from(choice.values))
        for name, choice in CHOICES.items()
        if name not in ("charged_automatically", "sent_on_terms")
    }
    return replace(POLICY, schedule=draw(methods()), choices=Choices(**chosen))  # type: ignore[arg-type]


@given(methods(), DAYS, st.integers(1, 500), st.integers(-60, 400), st.integers(-(10**9), 10**9))
def test_rows_of_any_convention_add_up_in_order_and_mirror(
    method: Method, start: int, length: int, billed: int, net: int
) -> None:
    service = service_between(ms(day(start)), ms(day(start + length)), "UTC")
    on = service.start + timedelta(days=min(billed, length - 1))
    slices = plan(service, method, on, length)
    rows = slices.spread(net)
    assert sum(row.amount_minor for row in rows) == net
    assert all(row.amount_minor * net >= 0 for row in rows)
    dates = [row.date for row in rows]
    assert dates == sorted(set(dates))
    assert [row.amount_minor for row in slices.spread(-net)] == [-row.amount_minor for row in rows]
    for cut in (on, service.end, service.start):
        assert 0 <= abs(slices.earned(net, cut)) <= abs(net)


@st.composite
def documents(draw: st.DrawFn) -> list[Fact]:
    """An invoice of a charge and perhaps a credit line, and what may happen to it."""
    start = draw(DAYS)
    first = line(
        1, draw(st.integers(1, 90_000)), day(start), day(start + draw(st.integers(1, 400)))
    )
    sign = draw(st.sampled_from(["charge", "credit"]))
    second = line(2, draw(st.integers(0, 900)), day(start), day(start + 40), direction=sign)
    facts = [issued(day(draw(st.integers(0, 60))), first, second)]
    for at in range(draw(st.integers(0, 3))):
        note = credited(day(draw(DAYS)), draw(st.integers(0, 30_000)), name=f"cn_{at}")
        assert note.credit_note is not None
        reason = draw(st.sampled_from(["order_change", None]))
        facts.append(replace(note, credit_note=replace(note.credit_note, reason=reason)))
    if draw(st.booleans()):
        facts.append(refunded(day(draw(DAYS)), draw(st.integers(1, 20_000))))
    if draw(st.booleans()):
        facts.append(paid(day(draw(DAYS)), draw(st.integers(1, 90_000))))
    ends = [voided(day(draw(DAYS))), lost(day(draw(DAYS)))]
    ends += [
        replace(voided(day(draw(DAYS))), fact_id=f"{kind}:in_1", kind=kind)
        for kind in ("invoice_overdue", "service_terminated")
    ]
    return facts + draw(st.lists(st.sampled_from(ends), max_size=2, unique_by=lambda one: one.kind))


def balanced(books: Books) -> bool:
    return all(
        sum(each.amount_minor if each.side == "debit" else -each.amount_minor for each in one.lines)
        == 0
        for one in books.entries
    )


@given(documents(), policies(), st.data())
def test_books_by_any_policy_balance_and_are_the_same_in_any_order(
    facts: list[Fact], policy: Policy, data: st.DataObject
) -> None:
    books = book(*facts, policy=policy)
    assert balanced(books)
    shuffled = data.draw(st.permutations(facts))
    assert book(*shuffled, facts[0], policy=policy) == books
    # However revenue is spread, credited, lost or stopped: nothing stays deferred for ever.
    assert sum(moved(books, "deferred_revenue").values()) == 0
    keys = [(one.fact_id, one.purpose, one.part, one.natural_period) for one in books.entries]
    assert len(keys) == len(set(keys))


@given(documents(), policies(), DAYS)
def test_what_is_not_due_is_remaining_performance_and_deferred(
    facts: list[Fact], policy: Policy, today: int
) -> None:
    on = date(2022, 1, 1) + timedelta(days=today)
    books = book(*facts, policy=policy, today=on)
    deferred = sum(moved(books, "deferred_revenue").values())
    assert deferred == books.measures.get("remaining_performance", 0)
    assert (books.next_release is None) == (not deferred) or deferred == 0


@st.composite
def contracts(draw: st.DrawFn) -> list[Fact]:
    """A contract of one or two segments, and modifications that name the first."""
    segments = tuple(
        segment(
            name,
            draw(NETS),
            day(start := draw(st.integers(0, 60))),
            day(start + draw(st.integers(1, 400))),
            standalone_minor=draw(st.integers(1, 10**6)),
            variable_minor=draw(st.integers(0, 1000)),
            constraint_minor=draw(st.none() | st.integers(0, 1000)),
        )
        for name in draw(st.sampled_from([("a",), ("a", "b")]))
    )
    facts = [fact("contract_signed", day(0), terms=Contract(segments=segments))]
    for number in range(draw(st.integers(0, 3))):
        treatment = draw(st.sampled_from(["prospective", "catch_up", "estimate", "separate"]))
        terms: dict[str, object] = {
            "segment": "a",
            "change_minor": draw(st.integers(-(10**6), 10**6)),
            "variable_minor": draw(st.integers(0, 2000)),
        }
        if treatment == "separate":
            extra = segment(f"x{number}", draw(NETS), day(10), day(10 + draw(st.integers(1, 90))))
            terms["segments"] = (extra,)
        if draw(st.booleans()):
            terms["service_to_ms"] = ms(day(draw(st.integers(200, 600))))
        facts.append(modified(day(draw(DAYS)), treatment, f"m{number}", **terms))
    if draw(st.booleans()):
        facts.append(fact("contract_terminated", day(draw(DAYS))))
    return facts


BILLS = st.lists(
    st.builds(
        lambda number, name, amount: Billed(
            contract="ct_1",
            segment=name,
            document=f"in_{number}_{name}_{amount}",
            fact_id=f"invoice_issued:in_{number}_{name}_{amount}",
            currency="USD",
            occurred_at_ms=ms(day(number)),
            amount_minor=amount,
        ),
        DAYS,
        st.sampled_from(["a", "b"]),
        st.integers(-(10**5), 10**6),
    ),
    max_size=4,
    unique_by=lambda bill: bill.document,
)


@given(contracts(), BILLS, policies(), st.data())
def test_a_contract_earns_its_price_and_holds_it_against_what_is_billed(
    facts: list[Fact], bills: list[Billed], policy: Policy, data: st.DataObject
) -> None:
    def booked(told: list[Fact], billed: list[Billed]) -> Books:
        return book_document(told, lambda _: policy, "UTC", FAR, billed=billed)

    books = booked(facts, bills)
    assert balanced(books)
    assert booked(data.draw(st.permutations(facts)), data.draw(st.permutations(bills))) == books
    assert sum(moved(books, "revenue").values()) >= 0
    ended = any(one.purpose == "contract_terminated" for one in books.entries)
    if not ended:
        assert sum(moved(books, "revenue").values()) == books.measures.get("bookings", 0)
    # Together with what the invoices credited, deferred and unbilled are what is billed less what
    # was earned, and of one obligation never both.
    position = sum(bill.amount_minor for bill in bills)
    if not ended:
        left = position + sum(moved(books, "deferred_revenue").values())
        left += sum(moved(books, "unbilled").values())
        assert left == position - sum(moved(books, "revenue").values())


@given(
    st.lists(
        st.tuples(
            st.integers(0, 30), st.sampled_from([BILLED, EARNED]), st.integers(-(10**6), 10**6)
        ),
        max_size=12,
    )
)
def test_a_position_is_deferred_or_unbilled_and_never_both(
    told: list[tuple[int, int, int]],
) -> None:
    movements = [
        Movement(date(2022, 1, 1) + timedelta(days=number), kind, (str(at),), amount)
        for at, (number, kind, amount) in enumerate(told)
    ]
    walked, position = settled(movements)
    deferred = unbilled = 0
    for one in walked:
        unbilled += one.unbilled_minor
        if one.kind == BILLED:
            deferred += one.amount_minor + one.unbilled_minor
        else:
            deferred -= one.deferred_minor
        assert deferred >= 0
        assert unbilled >= 0
        assert not (deferred and unbilled)
    assert position == deferred - unbilled
    assert [one.on for one in walked] == sorted(one.on for one in walked)


PRICES = st.builds(
    lambda model, tops, units, flats: UsagePrice(
        id="calls",
        currency="USD",
        model=model,
        effective_from="2012-01-01",
        tiers=tuple(
            UsageTier(
                up_to=None if at == len(tops) else str(tops[at]),
                unit_price=f"0.{units[at]:04d}",
                flat_price=str(flats[at]),
            )
            for at in range(len(tops) + 1)
        ),
    ),
    st.sampled_from(["graduated", "volume"]),
    st.lists(st.integers(1, 10**6), max_size=3, unique=True).map(sorted),
    st.lists(st.integers(0, 9999), min_size=4, max_size=4),
    st.lists(st.integers(0, 99), min_size=4, max_size=4),
)


@given(PRICES, st.integers(0, 2 * 10**6))
def test_a_price_is_what_its_tiers_say(price: UsagePrice, quantity: int) -> None:
    total, below = Fraction(0), 0
    for tier in price.tiers:
        top = quantity if tier.up_to is None else min(quantity, int(tier.up_to))
        if price.model == "graduated" and quantity > below:
            total += (top - below) * Fraction(tier.unit_price) + Fraction(tier.flat_price)
        reached = below < quantity and (tier.up_to is None or quantity <= int(tier.up_to))
        if price.model == "volume" and reached:
            total = quantity * Fraction(tier.unit_price) + Fraction(tier.flat_price)
        below = top if tier.up_to is None else int(tier.up_to)
    assert abs(price_of(Fraction(quantity), price) - total * 100) <= Fraction(1, 2)
