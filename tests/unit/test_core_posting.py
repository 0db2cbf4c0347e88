"""Postings: identity, content, corrections, validation, and what the ERP's answer is held to."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from pathlib import Path

import pytest
from msgspec.structs import replace

from streamsync.core import posting
from streamsync.core.closing import (
    add_totals,
    billing_agrees,
    control_amount,
    erp_agrees,
)
from streamsync.core.figures import billing_amounts
from streamsync.core.matching import compare, erp_debit_minor
from streamsync.core.reasons import (
    REASONS,
    ErpError,
    SourceClass,
    owner_of,
    strongest,
    transient,
)
from streamsync.core.records import (
    CommandTax,
    ControlTotal,
    EchoLine,
    ForeignExchange,
    MappingVersion,
    PolicyVersion,
    PostingCommand,
    PostingConfirmation,
    PostingError,
    PostingLine,
    PostingTotals,
    SourcePosition,
)
from tests.unit.core_facts import book, credited, issued, line, lost, paid, refunded, tax, voided

IDENTITY = {
    "tenant": "acme",
    "source": "stripe",
    "fact_id": "invoice_issued:in_1",
    "purpose": "invoice_issued",
    "part": "",
    "natural_period": "2022-01",
    "entity": "us",
    "ledger": "main",
}
KEY = posting.idempotency_key(**IDENTITY)


def _line(
    role: str, side: str, amount: int, dimensions: Mapping[str, str] | None = None
) -> PostingLine:
    return PostingLine(
        no=1,
        role=role,
        account=f"acc-{role}",
        side=side,
        amount_minor=amount,
        functional_minor=amount,
        dimensions=dimensions or {},
    )


def _numbered(*lines: PostingLine) -> tuple[PostingLine, ...]:
    return tuple(replace(each, no=at) for at, each in enumerate(lines, 1))


SALE = _numbered(_line("receivable", "debit", 1000), _line("revenue", "credit", 1000))


def _command(lines: tuple[PostingLine, ...] = SALE) -> PostingCommand:
    return PostingCommand(
        schema_version=1,
        command_id=posting.command_id(KEY, 1, "post"),
        correlation_id="c",
        causation_event_id="evt_1",
        tenant="acme",
        account="acme/stripe/cus_1",
        document="in_1",
        fact_id="invoice_issued:in_1",
        purpose="invoice_issued",
        idempotency_key=KEY,
        revision=1,
        content_hash=posting.content_hash(lines, "USD"),
        erp_key=posting.erp_key(KEY, 1, "post"),
        action="post",
        entity="us",
        ledger="main",
        target_erp="sim",
        journal_type="general",
        document_date="2022-01-15",
        posting_date="2022-01-15",
        period="2022-01",
        original_period="2022-01",
        period_basis="natural",
        txn_currency="USD",
        functional_currency="USD",
        fx=ForeignExchange(
            rate="1", rate_type="identity", date="2022-01-15", source="identity", rate_id="identity"
        ),
        lines=lines,
        totals=posting.totals(lines),
        mapping=MappingVersion(ruleset="acme", version=1),
        policy=PolicyVersion(id="stripe", version="1"),
        sla_class="informational",
        deadline_at_ms=0,
        created_at_ms=0,
        producer=SourcePosition(topic="ledger-log", partition=0, offset=0),
    )


def _answer(
    command: PostingCommand, *echo: EchoLine, status: str = "posted"
) -> PostingConfirmation:
    debits = sum(each.amount_minor for each in echo if each.side == "debit")
    credits_minor = sum(each.amount_minor for each in echo if each.side == "credit")
    return PostingConfirmation(
        schema_version=1,
        confirmation_id="conf",
        tenant="acme",
        account=command.account,
        idempotency_key=command.idempotency_key,
        revision=1,
        erp="sim",
        entity="us",
        status=status,
        period="2022-01",
        currency="USD",
        totals=PostingTotals(
            debit_minor=debits,
            credit_minor=credits_minor,
            count=len(echo),
            functional_debit_minor=debits,
            functional_credit_minor=credits_minor,
        ),
        lines_echo=echo,
        observed_at_ms=0,
        attempt=1,
        found_by_lookup=False,
    )


def _echo(command: PostingCommand) -> tuple[EchoLine, ...]:
    return tuple(
        EchoLine(no=each.no, account=each.account, side=each.side, amount_minor=each.amount_minor)
        for each in command.lines
    )


def test_every_part_of_the_identity_makes_another_key() -> None:
    keys = {KEY}
    for name, value in IDENTITY.items():
        keys.add(posting.idempotency_key(**{**IDENTITY, name: f"{value}x"}))
    assert len(keys) == 1 + len(IDENTITY)
    assert all(re.fullmatch("[0-9a-f]{32}", key) for key in keys)


def test_parts_of_the_identity_do_not_run_into_each_other() -> None:
    shifted = {**IDENTITY, "tenant": "acm", "source": "estripe"}
    assert posting.idempotency_key(**shifted) != KEY


def test_keys_do_not_change_between_versions() -> None:
    # Made with sha256sum over the parts, each behind its length as 4 bytes.
    assert posting.idempotency_key(**IDENTITY) == "99b5cfe9faf1d1d208d8cc98b60ab5a3"
    assert posting.idempotency_key(**IDENTITY) == KEY


def test_revisions_and_actions_have_their_own_ids() -> None:
    made = [(1, "post"), (2, "post"), (2, "correct"), (2, "adjust")]
    assert len({posting.command_id(KEY, *each) for each in made}) == 4
    assert len({posting.erp_key(KEY, *each) for each in made}) == 4
    assert len(posting.erp_key(KEY, 999999, "correct")) <= 40


def test_content_is_what_is_moved_whatever_the_order_dates_accounts_and_number_of_lines() -> None:
    content = posting.content_hash(SALE, "USD")
    half = replace(SALE[0], amount_minor=500, functional_minor=500)
    halves = [half, half, SALE[1]]
    assert posting.content_hash(SALE[::-1], "USD") == content
    assert posting.content_hash([replace(each, account="other") for each in SALE], "USD") == content
    dated = [replace(each, service_from="2022-01-01") for each in SALE]
    assert posting.content_hash(dated, "USD") == content
    assert posting.content_hash(halves, "USD") == content


@pytest.mark.parametrize(
    "changed",
    [
        replace(SALE[0], amount_minor=999),
        replace(SALE[0], functional_minor=999),
        replace(SALE[0], side="credit"),
        replace(SALE[0], role="clearing"),
        replace(SALE[0], dimensions={"product": "a"}),
    ],
)
def test_another_amount_side_role_or_dimension_is_other_content(changed: PostingLine) -> None:
    assert posting.content_hash((changed, SALE[1]), "USD") != posting.content_hash(SALE, "USD")


def test_another_currency_is_other_content_but_nothing_is_nothing() -> None:
    assert posting.content_hash(SALE, "USD") != posting.content_hash(SALE, "EUR")
    assert posting.content_hash((), "USD") == posting.content_hash((), "EUR")


def test_accepted_lines_and_their_delta_net_to_the_new_lines() -> None:
    new = _numbered(
        _line("receivable", "debit", 700),
        _line("revenue", "credit", 500),
        _line("tax_payable", "credit", 200),
    )
    delta = posting.delta(SALE, new)
    assert [(each.no, each.role, each.side, each.amount_minor) for each in delta] == [
        (1, "receivable", "credit", 300),
        (2, "revenue", "debit", 500),
        (3, "tax_payable", "credit", 200),
    ]
    assert posting.content_hash((*SALE, *delta), "USD") == posting.content_hash(new, "USD")
    correct = posting.inverse_and_new(SALE, new)
    assert posting.content_hash((*SALE, *correct), "USD") == posting.content_hash(new, "USD")
    assert [each.no for each in correct] == [1, 2, 3, 4, 5]


def test_a_tax_without_a_code_is_no_other_place_than_none() -> None:
    taxed = replace(_line("tax_payable", "credit", 5), tax=CommandTax(inclusive=False))
    found = posting.net_lines((taxed, _line("tax_payable", "debit", 2)))
    assert [(each.side, each.amount_minor) for each in found] == [("credit", 3)]


def test_a_new_account_mapping_moves_nothing_that_is_accepted() -> None:
    remapped = tuple(replace(each, account="new") for each in SALE)
    assert posting.delta(SALE, remapped) == ()
    grown = tuple(replace(each, amount_minor=1100, functional_minor=1100) for each in remapped)
    assert [each.account for each in posting.delta(SALE, grown)] == [
        "acc-receivable",
        "acc-revenue",
    ]


def test_currencies_that_move_in_opposite_directions_stay_balanced_in_both() -> None:
    old = [replace(SALE[0], functional_minor=1000), replace(SALE[1], functional_minor=1000)]
    new = [replace(each, amount_minor=1100, functional_minor=900) for each in SALE]
    sums = posting.totals(posting.delta(old, new))
    assert (sums.debit_minor, sums.credit_minor) == (100, 100)
    assert (sums.functional_debit_minor, sums.functional_credit_minor) == (100, 100)


def test_a_good_command_passes() -> None:
    assert posting.check_command(_command()) == []


@pytest.mark.parametrize(
    ("wrong", "sentence"),
    [
        (
            lambda good: _command((SALE[0], replace(SALE[1], amount_minor=999))),
            "unbalanced in USD: debit 1000, credit 999",
        ),
        (
            lambda good: _command((SALE[0], replace(SALE[1], functional_minor=999))),
            "unbalanced in USD: debit 1000, credit 999",
        ),
        (
            lambda good: replace(good, totals=replace(good.totals, debit_minor=1)),
            "the totals say 2 lines, debit 1 (1000), credit 1000 (1000), the lines "
            "2 lines, debit 1000 (1000), credit 1000 (1000)",
        ),
        (lambda good: _command(()), "no lines"),
        (lambda good: replace(good, txn_currency="USX"), '"USX" is not an ISO 4217 currency'),
        (
            lambda good: replace(good, period="2022-02"),
            "posting date 2022-01-15 is not in period 2022-02",
        ),
        (
            lambda good: _command((SALE[0], replace(SALE[1], account=""))),
            "line 2: role revenue has no ERP account",
        ),
        (
            lambda good: _command(tuple(replace(each, amount_minor=-5) for each in SALE)),
            "line 1: amount below zero",
        ),
        (
            lambda good: _command((SALE[0], replace(SALE[1], side="left"))),
            'line 2: side "left" is neither debit nor credit',
        ),
    ],
)
def test_a_wrong_command_is_told_by_rule(
    wrong: Callable[[PostingCommand], PostingCommand], sentence: str
) -> None:
    assert sentence in posting.check_command(wrong(_command()))


def test_an_exact_echo_matches() -> None:
    command = _command()
    assert compare(command, _answer(command, *_echo(command)), 0) == ()
    assert compare(command, _answer(command, *_echo(command), status="duplicate"), 0) == ()


def _codes(confirmation: PostingConfirmation, tolerance: int = 0) -> list[tuple[str, int]]:
    return [
        (found.code, found.difference_minor)
        for found in compare(_command(), confirmation, tolerance)
    ]


def test_a_rejection_lacks_the_whole_command() -> None:
    error = PostingError(canonical_code="PERIOD_CLOSED", message="2022-01", retryable=False)
    refused = replace(_answer(_command(), status="rejected"), totals=None, error=error)
    (found,) = compare(_command(), refused, 0)
    assert (found.code, found.difference_minor) == ("M02", 1000)
    assert found.detail == "rejected, PERIOD_CLOSED: 2022-01"
    assert erp_debit_minor(refused) == 0


def test_another_amount_is_a_signed_difference_with_its_lines() -> None:
    echo = [replace(each, amount_minor=990) for each in _echo(_command())]
    (found,) = compare(_command(), _answer(_command(), *echo), 0)
    assert (found.code, found.difference_minor) == ("M04", 10)
    assert "line 2: command credit 1000, ERP credit 990" in found.detail
    assert _codes(_answer(_command(), *echo), tolerance=10) == []
    assert _codes(_answer(_command(), *echo), tolerance=9) == [("M04", 10)]


def test_lines_that_differ_while_totals_agree_are_named_with_difference_zero() -> None:
    first, second = _echo(_command())
    swapped = _answer(_command(), replace(first, side="credit"), replace(second, side="debit"))
    (found,) = compare(_command(), swapped, 0)
    assert (found.code, found.difference_minor) == ("M04", 0)
    assert found.detail.startswith("line 1: command debit 1000, ERP credit 1000")


def test_currency_period_account_and_entity_each_have_their_code() -> None:
    first, second = _echo(_command())
    other = replace(
        _answer(_command(), replace(first, account="9999"), second),
        currency="EUR",
        period="2022-02",
        entity="jp",
    )
    assert _codes(other) == [("M05", 0), ("M06", 0), ("M07", 0), ("M09", 0)]
    assert [mismatch.detail for mismatch in compare(_command(), other, 0)] == [
        "currency: command USD, ERP EUR",
        "period: command 2022-01, ERP 2022-02",
        "line 1: command acc-receivable, ERP 9999",
        "entity: command us, ERP jp",
    ]


def test_added_lines_carry_their_own_debits_so_that_differences_add_up() -> None:
    added = (
        EchoLine(no=3, account="round-off", side="debit", amount_minor=7),
        EchoLine(no=4, account="suspense", side="credit", amount_minor=7),
    )
    inside = _answer(_command(), *_echo(_command()), *added)
    apart = replace(inside, lines_echo=_echo(_command()), erp_added_lines=added)
    assert _codes(inside) == _codes(apart) == [("M15", -7)]
    assert 1000 - erp_debit_minor(apart) == -7
    lower = [replace(each, amount_minor=990) for each in _echo(_command())]
    assert _codes(_answer(_command(), *lower, *added)) == [("M04", 10), ("M15", -7)]


def test_an_erp_that_echoes_no_lines_is_held_to_its_totals() -> None:
    silent = replace(_answer(_command(), *_echo(_command())), lines_echo=())
    assert _codes(silent) == []
    (nothing,) = compare(_command(), replace(silent, totals=None), 0)
    assert (nothing.code, nothing.difference_minor) == ("M04", 1000)
    assert nothing.detail == "the ERP does not tell what it booked"
    assert silent.totals is not None
    less = replace(silent, totals=replace(silent.totals, debit_minor=900, credit_minor=900))
    (short,) = compare(_command(), less, 0)
    assert (short.code, short.difference_minor) == ("M04", 100)
    assert short.detail == "debits: command 1000, ERP 900"


def test_what_is_not_terminal_proves_nothing() -> None:
    for status in ("accepted", "parked"):
        assert compare(_command(), _answer(_command(), status=status), 0) == ()


def test_a_missing_total_is_taken_from_the_lines() -> None:
    answer = replace(_answer(_command(), *_echo(_command())), totals=None)
    assert erp_debit_minor(answer) == 1000
    assert _codes(answer) == []


INVOICE = issued("2022-01-01", line(1, 9000, "2022-01-01", "2022-04-01", tax(900)))
FACTS = [
    INVOICE,
    credited("2022-01-10", 1000, 100),
    credited("2022-01-11", 500, 50, settlement="refund", name="cn_2"),
    refunded("2022-01-12", 550),
    lost("2022-02-01"),
    voided("2022-02-02"),
]


def test_billing_figures_come_from_the_facts_and_equal_the_control_role() -> None:
    books = book(*FACTS)
    told = {(fact_id, purpose): amount for fact_id, purpose, _, _, amount in billing_amounts(FACTS)}
    # By hand: 99.00 issued, 11.00 credited, 5.50 refunded, 82.50 lost, nothing left to void.
    assert told == {
        ("invoice_issued:in_1", "invoice_issued"): 9900,
        ("credit_note_issued:cn_1", "credit_note_issued"): 1100,
        ("refunded:re_1", "refunded"): 550,
        ("invoice_uncollectible:in_1", "invoice_uncollectible"): 8250,
    }
    booked = {
        (entry.fact_id, entry.purpose): control_amount(entry.purpose, entry.lines)
        for entry in books.entries
        if entry.purpose != "revenue_released"
    }
    assert booked == {key: amount for key, amount in told.items() if amount}


def test_a_credit_document_and_an_inverse_entry_subtract() -> None:
    downgrade = issued("2022-01-11", line(1, 300, direction="credit"))
    assert [(one.purpose, one.amount_minor) for one in billing_amounts([downgrade])] == [
        ("invoice_issued", -300)
    ]
    assert control_amount("invoice_issued", book(downgrade).entries[0].lines) == -300
    assert control_amount("invoice_issued", posting.invert(SALE)) == -1000


def test_a_payment_counts_with_its_part_from_the_balance() -> None:
    told = billing_amounts([paid("2022-01-01", 2000, balance=1100), voided("2022-01-02")])
    assert [(one.purpose, one.amount_minor) for one in told] == [("payment_applied", 3100)]


def _total(**figures: int) -> ControlTotal:
    zero = dict.fromkeys(
        (
            "billing_minor",
            "commands_minor",
            "commands_debit_minor",
            "erp_debit_minor",
            "open_difference_minor",
            "commands_count",
            "confirmed_count",
        ),
        0,
    )
    return ControlTotal(period="2022-01", currency="USD", purpose="refunded", **{**zero, **figures})


def test_totals_add_up_and_agree_only_when_every_difference_is_named() -> None:
    one = _total(billing_minor=5, commands_minor=5, commands_debit_minor=7, erp_debit_minor=7)
    other = _total(commands_debit_minor=3, open_difference_minor=3, commands_count=1)
    assert add_totals(one, other) == _total(
        billing_minor=5,
        commands_minor=5,
        commands_debit_minor=10,
        erp_debit_minor=7,
        open_difference_minor=3,
        commands_count=1,
    )
    assert billing_agrees(one) and erp_agrees(add_totals(one, other))
    assert not billing_agrees(_total(billing_minor=1))
    assert not erp_agrees(_total(commands_debit_minor=1))


def test_the_strongest_class_of_its_facts_is_that_of_a_record() -> None:
    assert strongest([SourceClass.DUPLICATE, SourceClass.POSTED]) is SourceClass.POSTED
    assert strongest([SourceClass.POSTED, SourceClass.WAITING]) is SourceClass.WAITING
    assert strongest(SourceClass) is SourceClass.REJECTED


def test_only_the_way_to_an_erp_is_transient() -> None:
    assert {code.value for code in ErpError if transient(code)} == {
        "RATE_LIMITED",
        "AUTH",
        "UNAVAILABLE",
        "UNKNOWN_OUTCOME",
    }


def test_every_reason_that_the_code_raises_is_in_the_table() -> None:
    raised = re.compile(
        r"\b(?:Refusal|Missing|Poison|CannotReduce|_Stopped|NoEntry)\(\s*(?:fact\.fact_id, )?"
        r'"([a-z_]+)"'
        r'|_refuse\(at, plain_key, value, "([a-z_]+)"'
    )
    root = Path(__file__).resolve().parents[2]
    found = {
        code
        for folder in ("streamsync", "topology")
        for path in (root / folder).rglob("*.py")
        for match in raised.finditer(path.read_text())
        for code in match.groups()
        if code
    }
    assert len(found) > 30
    assert found <= set(REASONS)
    assert all(reason.sentence and reason.way_back for reason in REASONS.values())
    assert owner_of("entity_unmapped") == "finance"
    assert owner_of("not in the table") == "it"
