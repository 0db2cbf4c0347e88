"""Which status of a period may follow which, by whom, and how the record of it reads."""

from __future__ import annotations

import pytest
from msgspec.structs import replace

from streamsync.core.period_status import ChangeRefused, changed
from streamsync.core.records import PeriodStatus

WANTED = PeriodStatus(
    tenant="acme",
    entity="acme-us",
    ledger="main",
    period="2026-01",
    status="closed",
    version=0,
    changed_by="ana",
    approved_by="ben",
)


def known(status: str, version: int = 4) -> PeriodStatus:
    return replace(WANTED, status=status, version=version)


@pytest.mark.parametrize(
    ("before", "after"),
    [
        (None, "soft_closed"),
        (None, "closed"),
        ("open", "closed"),
        ("soft_closed", "closed"),
        ("soft_closed", "reopened"),
        ("closed", "reopened"),
        ("reopened", "soft_closed"),
        ("reopened", "closed"),
    ],
)
def test_a_change_is_the_next_version_with_both_names(before: str | None, after: str) -> None:
    told = changed(known(before) if before else None, replace(WANTED, status=after, reason="audit"))
    assert told == replace(WANTED, status=after, reason="audit", version=5 if before else 1)


@pytest.mark.parametrize(
    ("before", "after", "possible"),
    [
        ("closed", "open", "reopened"),
        ("closed", "soft_closed", "reopened"),
        ("soft_closed", "open", "closed or reopened"),
        ("reopened", "open", "soft_closed or closed"),
        (None, "reopened", "soft_closed or closed"),
    ],
)
def test_what_cannot_follow_is_refused_with_what_can(
    before: str | None, after: str, possible: str
) -> None:
    with pytest.raises(ChangeRefused) as refused:
        changed(known(before) if before else None, replace(WANTED, status=after, reason="audit"))
    assert str(refused.value) == (
        f"acme-us 2026-01 is {before or 'open'}: it can become {possible}, not {after}."
    )


@pytest.mark.parametrize("before", [None, "closed"])
def test_the_same_status_again_changes_nothing(before: str | None) -> None:
    wanted = replace(WANTED, status=before or "open")
    assert changed(known(before) if before else None, wanted) is None


@pytest.mark.parametrize(
    ("wanted", "sentence"),
    [
        (
            replace(WANTED, status="shut"),
            '"shut" is no status: use open, soft_closed, closed, reopened.',
        ),
        (
            replace(WANTED, period="2026-13"),
            '"2026-13" is no period: write the month as 2026-01.',
        ),
        (
            replace(WANTED, period="2026-1"),
            '"2026-1" is no period: write the month as 2026-01.',
        ),
        (
            replace(WANTED, approved_by=None),
            "ana changes it: name another person who approved, --approved-by.",
        ),
        (
            replace(WANTED, approved_by=" Ana "),
            "ana changes it: name another person who approved, --approved-by.",
        ),
    ],
)
def test_a_change_that_breaks_a_rule_names_it(wanted: PeriodStatus, sentence: str) -> None:
    with pytest.raises(ChangeRefused) as refused:
        changed(None, wanted)
    assert str(refused.value) == sentence


def test_nothing_is_opened_again_without_a_reason() -> None:
    for reason in (None, " "):
        with pytest.raises(ChangeRefused, match="for a reason: --reason"):
            changed(known("closed"), replace(WANTED, status="reopened", reason=reason))
