"""The books of any document: balanced, complete, and the same whatever the order of its facts."""

from __future__ import annotations

from datetime import UTC, date, datetime, timedelta

from hypothesis import given, settings
from hypothesis import strategies as st

from streamsync.core import posting
from streamsync.core.closing import control_amount
from streamsync.core.facts import Fact, InvoiceLine
from streamsync.core.figures import billing_amounts
from streamsync.core.journal import Books, Entry
from streamsync.core.money import allocate
from streamsync.core.records import PostingLine
from tests.unit.core_facts import (
    book,
    credited,
    failed,
    issued,
    line,
    lost,
    moved,
    paid,
    refunded,
    tax,
    voided,
)

ZONES = st.sampled_from(["UTC", "America/New_York", "Asia/Tokyo", "Pacific/Apia"])
AMOUNTS = st.integers(0, 50_000)
DAYS = st.dates(date(2021, 11, 1), date(2023, 4, 1))


def _time(day: date, hour: int = 12) -> str:
    return datetime(day.year, day.month, day.day, hour, tzinfo=UTC).strftime("%Y-%m-%dT%H:00")


@st.composite
def _lines(draw: st.DrawFn, no: int) -> InvoiceLine:
    period: tuple[str | None, str | None] = (None, None)
    if draw(st.booleans()):
        start = draw(DAYS)
        end = start + timedelta(days=draw(st.integers(0, 400)))
        period = (_time(start, draw(st.integers(0, 23))), _time(end, draw(st.integers(0, 23))))
    taxes = [tax(amount) for amount in draw(st.lists(st.integers(0, 9_000), max_size=2))]
    direction = draw(st.sampled_from(["charge", "charge", "charge", "credit"]))
    return line(no, draw(AMOUNTS), *period, *taxes, direction=direction)


@st.composite
def _documents(draw: st.DrawFn) -> list[Fact]:
    """An invoice and what may happen to it, in any order of time, sensible or not."""
    count = draw(st.integers(1, 4))
    begin = draw(DAYS)
    facts = [issued(_time(begin), *(draw(_lines(no)) for no in range(1, count + 1)))]

    def later() -> str:
        day = begin + timedelta(days=draw(st.integers(0, 300)))
        return _time(day, draw(st.integers(0, 23)))

    for at in range(draw(st.integers(0, 3))):
        named = tuple(
            (f"il_{no}", draw(st.integers(0, 9_000)))
            for no in range(1, draw(st.integers(0, count)) + 1)
        )
        net = sum(amount for _, amount in named) if named else draw(st.integers(0, 20_000))
        settlement = draw(st.sampled_from(["receivable", "customer_balance", "refund"]))
        owed = draw(st.integers(0, 3_000))
        facts.append(credited(later(), net, owed, settlement, f"cn_{at}", named))
    cumulative = 0
    for at in range(draw(st.integers(0, 2))):
        amount = draw(st.integers(0, 20_000))
        cumulative += amount
        told = draw(st.sampled_from([amount, None]))
        facts.append(refunded(later(), told, cumulative, f"re_{at}"))
    if draw(st.booleans()):
        facts.append(paid(later(), draw(AMOUNTS), balance=draw(st.integers(-500, 500))))
    if draw(st.booleans()):
        facts.append(failed(later()))
    for end in draw(st.sampled_from([(), (voided,), (lost,), (lost, voided)])):
        facts.append(end(later()))
    return facts


def _net(entry: Entry) -> int:
    return sum(
        each.amount_minor if each.side == "debit" else -each.amount_minor for each in entry.lines
    )


def _balance(books: Books, role: str) -> int:
    return sum(moved(books, role).values())


@given(_documents(), ZONES, DAYS)
def test_every_entry_balances_with_amounts_above_zero(
    facts: list[Fact], zone: str, today: date
) -> None:
    for entry in book(*facts, today=today, zone=zone).entries:
        assert entry.lines
        assert _net(entry) == 0
        assert all(each.amount_minor > 0 for each in entry.lines)


@given(_documents(), ZONES, DAYS, st.data())
def test_order_and_repetition_of_facts_change_nothing(
    facts: list[Fact], zone: str, today: date, data: st.DataObject
) -> None:
    repeated = facts + data.draw(st.lists(st.sampled_from(facts), max_size=4))
    shuffled = data.draw(st.permutations(repeated))
    assert book(*shuffled, today=today, zone=zone) == book(*facts, today=today, zone=zone)


@given(_documents(), ZONES)
def test_every_fact_has_exactly_one_outcome(facts: list[Fact], zone: str) -> None:
    books = book(*facts, zone=zone)
    outcomes = [
        *{entry.fact_id for entry in books.entries},
        *_stopped(books),
        *(none.fact_id for none in books.no_entry),
    ]
    assert set(outcomes) == {fact.fact_id for fact in facts}
    assert len(outcomes) == len(facts)


@given(_documents(), ZONES)
def test_in_the_end_nothing_is_deferred(facts: list[Fact], zone: str) -> None:
    books = book(*facts, zone=zone)
    assert _balance(books, "deferred_revenue") == 0
    assert books.next_release is None


@given(_documents(), ZONES, st.sampled_from([voided, lost]))
def test_a_cleared_invoice_leaves_no_receivable(
    facts: list[Fact], zone: str, clearing: type
) -> None:
    kept = [
        fact
        for fact in facts
        if fact.kind == "invoice_issued"
        or (fact.credit_note is not None and fact.credit_note.settlement == "receivable")
    ]
    books = book(*kept, clearing("2024-06-01"), zone=zone)
    assert _balance(books, "receivable") == 0
    if clearing is voided and not books.refused:
        assert _balance(books, "tax_payable") == 0


@given(_documents(), ZONES)
def test_a_paid_invoice_leaves_no_receivable(facts: list[Fact], zone: str) -> None:
    kept = [fact for fact in facts if fact.kind in ("invoice_issued", "refunded")]
    owed = -_balance(book(*kept, zone=zone), "receivable")
    books = book(*kept, paid("2024-06-01", owed), zone=zone)
    assert _balance(books, "receivable") == 0


@given(_documents(), ZONES)
def test_net_revenue_is_what_was_invoiced_less_what_was_taken_back(
    facts: list[Fact], zone: str
) -> None:
    alone = book(facts[0], zone=zone)
    everything = book(*facts, zone=zone)
    tax_back = _balance(alone, "tax_payable") - _balance(everything, "tax_payable")
    given_back = 0
    for _, purpose, _, _, amount in billing_amounts(facts, _stopped(everything)):
        if purpose == "invoice_recovered":
            given_back -= amount
        elif purpose not in ("invoice_issued", "payment_applied"):
            given_back += amount
    kept = sum(
        _balance(everything, role) for role in ("revenue", "contra", "refunds", "voids", "bad_debt")
    )
    assert kept == _balance(alone, "revenue") - (given_back - tax_back)


def _stopped(books: Books) -> set[str]:
    waiting = {waiting.fact_id for waiting in books.waiting}
    return waiting | {refused.fact_id for refused in books.refused}


@given(_documents(), ZONES)
def test_billing_figures_equal_the_control_figures_of_the_entries(
    facts: list[Fact], zone: str
) -> None:
    books = book(*facts, zone=zone)
    told = {
        (fact_id, purpose): amount
        for fact_id, purpose, _, _, amount in billing_amounts(facts, _stopped(books))
        if amount
    }
    booked = {
        (entry.fact_id, entry.purpose): control_amount(entry.purpose, entry.lines)
        for entry in books.entries
        if entry.purpose != "revenue_released"
    }
    assert {key: amount for key, amount in booked.items() if amount} == told


@given(_documents(), ZONES, DAYS)
def test_time_only_adds_releases(facts: list[Fact], zone: str, today: date) -> None:
    before, after = book(*facts, today=today, zone=zone), book(*facts, zone=zone)
    assert set(before.entries) <= set(after.entries)
    more = set(after.entries) - set(before.entries)
    assert all(entry.purpose == "revenue_released" and entry.date >= today for entry in more)
    assert before.next_release == min((entry.date for entry in more), default=None)


@given(_documents(), ZONES)
def test_the_identity_of_an_entry_is_its_own(facts: list[Fact], zone: str) -> None:
    entries = book(*facts, zone=zone).entries
    identities = {(each.fact_id, each.purpose, each.part, each.natural_period) for each in entries}
    assert len(identities) == len(entries)


@given(st.integers(-(10**12), 10**12), st.lists(st.integers(0, 10**9), min_size=1, max_size=12))
def test_shares_add_up_and_miss_the_exact_share_by_less_than_one(
    total: int, weights: list[int]
) -> None:
    whole = sum(weights)
    if whole == 0:
        return
    shares = allocate(total, weights)
    assert sum(shares) == total
    assert all(
        abs(share * whole - total * weight) < whole
        for share, weight in zip(shares, weights, strict=True)
    )


POSTING_LINES = st.builds(
    lambda role, side, amount, product: PostingLine(
        no=1,
        role=role,
        account=role,
        side=side,
        amount_minor=amount,
        functional_minor=amount,
        dimensions={"product": product} if product else {},
    ),
    st.sampled_from(["receivable", "revenue", "tax_payable"]),
    st.sampled_from(["debit", "credit"]),
    st.integers(0, 10**6),
    st.sampled_from([None, "a", "b"]),
)


@given(st.lists(POSTING_LINES, max_size=8), st.lists(POSTING_LINES, max_size=8))
@settings(max_examples=200)
def test_a_correction_of_any_kind_ends_at_the_new_content(
    accepted: list[PostingLine], new: list[PostingLine]
) -> None:
    wanted = posting.content_hash(new, "USD")
    for lines in (posting.delta(accepted, new), posting.inverse_and_new(accepted, new)):
        assert posting.content_hash((*accepted, *lines), "USD") == wanted
    same = posting.content_hash(accepted, "USD") == wanted
    assert (posting.delta(accepted, new) == ()) == same
