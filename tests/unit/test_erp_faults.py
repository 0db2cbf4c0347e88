"""Faults depend on seed and key alone, at the rates asked for."""

from __future__ import annotations

import pytest

from streamsync.erp.simulated.document import Document
from streamsync.erp.simulated.faults import KINDS, Faults, FaultsInvalid, read_faults
from streamsync.erp.simulated_client import document_of
from tests.erp_commands import DAY_MS, make_command

KEYS = [f"key-{number}" for number in range(20_000)]


def document(key: str) -> Document:
    return Document.model_validate(document_of(make_command(key)))


def test_the_same_seed_picks_the_same_documents_in_any_order() -> None:
    faults = read_faults("default", 7)
    forwards = {key: faults.of(key) for key in KEYS}
    again = read_faults("default", 7)
    assert {key: again.of(key) for key in reversed(KEYS)} == forwards


def test_another_seed_picks_other_documents() -> None:
    assert [read_faults("default", 1).of(key) for key in KEYS] != [
        read_faults("default", 2).of(key) for key in KEYS
    ]


def test_default_rates_hit_some_of_each_kind_among_fifteen_hundred_documents() -> None:
    # 40 to 50 in 10000 of 1500 documents are 6 to 7.5; four standard deviations are about 10.
    chosen = [read_faults("default", 7).of(key) for key in KEYS[:1500]]
    assert all(1 <= chosen.count(kind) <= 17 for kind in KINDS)


def test_rates_are_documents_per_ten_thousand() -> None:
    faults = read_faults("no_answer=1000, late=2000", 3)
    chosen = [faults.of(key) for key in KEYS]
    assert set(chosen) == {"no_answer", "late", None}
    assert abs(chosen.count("no_answer") - 2000) < 250
    assert abs(chosen.count("late") - 4000) < 300


def test_none_is_none() -> None:
    assert {read_faults("none", 3).of(key) for key in KEYS[:1000]} == {None}


@pytest.mark.parametrize("text", ["slow=4", "late", "late=-1", "late=1.5", "late=6000,reject=6000"])
def test_unclear_rates_are_refused_with_the_place(text: str) -> None:
    with pytest.raises(FaultsInvalid, match=r"faults: .*"):
        read_faults(text, 1)


def test_an_altered_document_still_balances_and_differs() -> None:
    faults = Faults(5, {"alter": 10_000})
    told = document("a-key")
    lines = faults.altered(told)
    for name in ("amount_minor", "functional_minor"):
        by_side = {
            side: sum(getattr(line, name) for line in lines if line.side == side)
            for side in ("debit", "credit")
        }
        assert by_side["debit"] == by_side["credit"] > 12_345


def test_a_late_document_comes_after_the_deadline_and_one_in_four_not_at_all() -> None:
    faults = Faults(5, {"late": 10_000})
    documents = [document(key) for key in KEYS[:400]]
    delays = [faults.due_at_ms(told) - told.deadline_at_ms for told in documents]
    assert min(delays) > 0
    silent = [delay for delay in delays if delay == 365 * DAY_MS]
    assert 60 < len(silent) < 140
    assert all(delay <= 5 * DAY_MS for delay in delays if delay not in silent)
