"""A long document's next fact, booked alone: the same rows and commands as booking all its facts.

The reference is the same topology with the short way closed: every row and every output must be
equal to the byte, whatever the facts, their order, the ticks between and the answers of the ERP.
And the short way must be short: what a step reads of the shard does not grow.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from msgspec.structs import replace

from streamsync.core import journal
from streamsync.core.company import Company
from streamsync.core.facts import (
    BillingEvent,
    Charge,
    CreditNote,
    Fact,
    Invoice,
    InvoiceLine,
    LineTax,
    Payment,
    Refund,
)
from streamsync.core.records import PostingCommand, PostingConfirmation, SourcePosition, Tick
from streamsync.engine.shard import LaneShard
from streamsync.governance import load_company
from streamsync.sources import record_key
from tests.ledger_driver import ACME, PARTITIONS, Books, ms
from topology import ledger, next_fact, topics
from topology.offline import accepts

ACCOUNT = "acme/stripe/cus_1"
DAY_MS = 86_400_000
PROFILES = ("stripe", "payment_triggered", "lago", "chargebee", "netsuite_style")
COMPANIES = {name: replace(load_company(ACME, name), summaries=()) for name in PROFILES}
COMPANY = COMPANIES["stripe"]
START = ms("2026-01-10T12:00")


def issue(due: bool = False) -> Fact:
    """Two lines with a service of a quarter and of a month, taxed; 300.00 and 60.00 net."""
    lines = [
        InvoiceLine(
            line_no=no,
            line_id=f"il_{no}",
            direction="charge",
            amount_minor=amount,
            discount_minor=0,
            taxes=(LineTax(tax_code="txr_1", inclusive=False, amount_minor=amount // 10),),
            service_from_ms=START,
            service_to_ms=START + days * DAY_MS,
            proration=False,
        )
        for no, amount, days in ((1, 30000, 90), (2, 6000, 31))
    ]
    return told(
        "invoice_issued",
        0,
        invoice=Invoice(
            direction="charge",
            total_minor=39600,
            tax_minor=3600,
            collection="automatic",
            due_at_ms=START + 30 * DAY_MS if due else None,
            lines=tuple(lines),
        ),
    )


def told(kind: str, hours: int, name: str = "in_1", **figures: Any) -> Fact:
    return Fact(
        fact_id=f"{kind}:{name}",
        kind=kind,
        document="in_1",
        document_kind="invoice",
        subscription="sub_1",
        currency="USD",
        occurred_at_ms=START + hours * 3_600_000,
        **figures,
    )


def payment(amount: int, *, part: bool = True) -> Payment:
    return Payment(
        amount_minor=amount, from_balance_minor=0, out_of_band=False, part=part, processor="stripe"
    )


def note(number: int, amount: int, settlement: str) -> CreditNote:
    return CreditNote(
        credit_note_id=f"cn_{number}",
        settlement=settlement,
        net_minor=amount,
        tax_minor=amount // 10,
        total_minor=amount + amount // 10,
    )


def fact_of(  # noqa: PLR0911 -- a table
    number: int, kind: str, hours: int, amount: int
) -> Fact:
    """The n-th fact of a life: mostly of the kinds that are booked alone, at times another."""
    name = f"{number}"
    match kind:
        case "part":
            return told("payment_applied", hours, name, payment=payment(amount))
        case "whole":
            return told("payment_applied", hours, name, payment=payment(39600, part=False))
        case "refund":
            refund = Refund(refund_id=f"re_{number}", charge="ch_1", amount_minor=amount)
            return told("refunded", hours, name, refund=refund)
        case "cumulative":
            refund = Refund(charge="ch_1", cumulative_minor=amount)
            return told("refunded", hours, name, refund=refund)
        case "receivable" | "customer_balance" | "refund_note":
            settlement = "refund" if kind == "refund_note" else kind
            return told("credit_note_issued", hours, f"cn_{number}",
                        credit_note=note(number, amount, settlement))  # fmt: skip
        case "refund_failed":
            failed = Refund(refund_id=f"re_{number - 1}", charge="ch_1", amount_minor=amount)
            return told("refund_failed", hours, name, refund=failed)
        case "charge":
            charge = Charge(
                charge="ch_1", processor="stripe", amount_minor=amount, destination=False
            )
            return told("charge_succeeded", hours, name, charge=charge)
        case _:
            return told(kind, hours, name)


plain = st.sampled_from(
    ["part", "part", "part", "refund", "receivable", "customer_balance", "payment_failed"]
)
others = st.sampled_from(
    ["whole", "cumulative", "refund_note", "refund_failed", "charge", "invoice_voided",
     "invoice_uncollectible"]
)  # fmt: skip
kinds = st.integers(0, 9).flatmap(lambda rare: others if rare == 0 else plain)
facts = st.tuples(kinds, st.integers(-24, 24 * 120), st.sampled_from([1, 50, 700, 2000, 9000]))
lives = st.lists(facts, min_size=1, max_size=9)


def event(fact: Fact, number: int) -> BillingEvent:
    return BillingEvent(
        tenant="acme",
        source="stripe",
        account=ACCOUNT,
        source_event_id=f"evt_{number}",
        source_event_type=fact.kind,
        content_hash=f"{number:064d}",
        occurred_at_ms=fact.occurred_at_ms,
        correlation_id=f"c{number}",
        outcome="facts",
        facts=(fact,),
        position=SourcePosition(topic="billing-webhooks", partition=0, offset=number),
    )


def answer(command: PostingCommand) -> PostingConfirmation | None:
    """An ERP that leaves one in three unanswered: those stay in flight and block what follows."""
    return accepts(command, command.erp_key) if int(command.command_id[:4], 16) % 3 else None


def play(life: Sequence[Fact], ticks: dict[int, int], company: Company) -> tuple[Any, ...]:
    """Every row and every output of a life; `ticks`: days that have passed behind the n-th fact."""
    books = Books(company=company)
    books.customer("cus_1")
    books.tick("2026-01-10T12:00")
    books.run()
    for number, fact in enumerate(life):
        one = event(fact, number)
        books.feed(topics.LEDGER_LOG, record_key(one), one)
        books.run(answer)
        if number in ticks:
            now = START + ticks[number] * DAY_MS
            books.publish(Tick(number=books.ticks, time_ms=now, leader="test"))
            books.ticks += 1
            books.run(answer)
    driver = books.driver
    rows = [driver.stored_rows(ledger.LANE, number) for number in range(PARTITIONS)]
    return rows, {name: driver.outputs(name) for name in driver.topics()}


@pytest.fixture
def alone(monkeypatch: pytest.MonkeyPatch) -> Iterator[Callable[[bool], list[bool]]]:
    """Opens or closes the short way, for every document; tells how often it was gone."""
    monkeypatch.setattr(journal, "LONG_FACTS", 1)
    real = next_fact._book_alone

    def choose(is_open: bool) -> list[bool]:
        gone: list[bool] = []

        def book(*given: Any) -> bool:
            gone.append(is_open and real(*given))
            return gone[-1]

        monkeypatch.setattr(next_fact, "_book_alone", book)
        return gone

    yield choose


def test_any_life_ends_in_the_same_rows_and_commands(
    alone: Callable[[bool], list[bool]],
) -> None:
    gone: list[bool] = []

    @given(
        lives,
        st.lists(st.integers(0, 120), max_size=9),
        st.booleans(),
        st.sampled_from([False, False, False, True]),
        st.sampled_from(PROFILES),
    )
    @settings(max_examples=120, deadline=None)
    def check(
        drawn: Sequence[tuple[str, int, int]],
        days: list[int],
        in_order: bool,
        due: bool,
        profile: str,
    ) -> None:
        life = [fact_of(number, *one) for number, one in enumerate(drawn, start=1)]
        if in_order:
            life.sort(key=lambda fact: (fact.occurred_at_ms, fact.fact_id))
        life.insert(0, issue(due))
        ticks = dict(enumerate(sorted(days)))
        short = alone(True)
        rows = play(life, ticks, COMPANIES[profile])
        gone.extend(short)
        alone(False)

        assert rows == play(life, ticks, COMPANIES[profile])

    check()
    assert sum(gone) > 10, "the short way was hardly gone: nothing was compared"


@pytest.mark.parametrize(
    ("life", "ticks"),
    [
        # A refund of what nobody has told to be paid, then the first payment, which is smaller.
        ([("refund", 1, 700), ("part", 2, 50)], {}),
        # A refund of more than was paid, then another payment.
        ([("part", 1, 50), ("refund", 2, 700), ("part", 3, 9000)], {}),
        # Refunds that only a sum tells: each is the difference to the one before.
        ([("part", 1, 9000), ("cumulative", 2, 50), ("cumulative", 3, 700)], {}),
        # Releases are posted, then a credit from before takes all of them back.
        ([("part", 1, 50), ("receivable", 2, 30000), ("receivable", 3, 6000)], {1: 80}),
        # The last part waits for the sum, and a fact behind it does not wait.
        ([("part", 1, 30000), ("part", 2, 9600), ("receivable", 3, 50)], {}),
        # Something else that one of the facts depends on has come.
        ([("part", 1, 9000), ("refund_note", 2, 1000), ("refund", 3, 1100)], {}),
        ([("part", 1, 9000), ("part", 2, 700), ("whole", 3, 0), ("refund", 4, 50)], {}),
        ([("part", 1, 9000), ("invoice_uncollectible", 2, 0), ("part", 3, 700)], {2: 40}),
    ],
)
def test_what_reaches_back_is_booked_with_all_facts(
    alone: Callable[[bool], list[bool]],
    life: Sequence[tuple[str, int, int]],
    ticks: dict[int, int],
) -> None:
    facts = [issue(), *(fact_of(number, *one) for number, one in enumerate(life, start=1))]
    alone(True)
    rows = play(facts, ticks, COMPANY)
    alone(False)

    assert rows == play(facts, ticks, COMPANY)


def test_a_step_reads_the_same_number_of_rows_however_many_facts_there_are(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    read = 0

    def counting(name: str) -> None:
        real = getattr(LaneShard, name)

        def get(shard: LaneShard, *given: Any) -> Any:
            nonlocal read
            read += 1
            return real(shard, *given)

        def scan(shard: LaneShard, *given: Any, **more: Any) -> Iterator[Any]:
            nonlocal read
            for found in real(shard, *given, **more):
                read += 1
                yield found

        monkeypatch.setattr(LaneShard, name, get if name == "get" else scan)

    books = Books(company=COMPANY)
    books.customer("cus_1")
    books.tick("2026-06-10T12:00")
    life = [issue()]
    life += [fact_of(number, "part", number, 1) for number in range(1, 400)]
    counting("get")
    counting("scan")
    reads: list[int] = []
    for number, fact in enumerate(life):
        one = event(fact, number)
        read = 0
        books.feed(topics.LEDGER_LOG, record_key(one), one)
        books.driver.run()
        reads.append(read)

    assert len(set(reads[journal.LONG_FACTS + 1 :])) == 1
    assert reads[journal.LONG_FACTS - 1] > reads[-1], "a short document reads all its facts"


def test_a_standing_does_not_grow() -> None:
    books = Books(company=COMPANY)
    books.customer("cus_1")
    books.tick("2026-06-10T12:00")
    sizes = []
    for number in range(120):
        fact = fact_of(number, "part", number, 1) if number else issue()
        one = replace(event(fact, number))
        books.feed(topics.LEDGER_LOG, record_key(one), one)
        books.driver.run()
        rows = books.driver.stored_rows(ledger.LANE, books.driver.partition_of(
            topics.LEDGER_LOG, record_key(one).encode()))  # fmt: skip
        sizes.append(len(rows[b"doc|acme/stripe/cus_1|in_1"]))

    assert max(sizes[journal.LONG_FACTS :]) - min(sizes[journal.LONG_FACTS :]) <= 8
