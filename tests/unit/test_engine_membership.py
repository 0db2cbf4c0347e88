"""A worker answers as an owner only while the group can't have replaced it."""

from __future__ import annotations

from streamsync.engine.membership import Membership


def test_a_confirmation_counts_from_the_question_and_for_one_session() -> None:
    now = 100.0
    membership = Membership(lambda: now)
    membership.session_timeout_s = 10.0
    assert not membership.is_confirmed()
    assert membership.is_due()
    asked_at = membership.now()
    now = 107.0  # the answer came late; the group's clock began when it was asked
    membership.confirm(asked_at)
    assert membership.is_confirmed()
    assert membership.is_due()
    now = 110.5
    assert not membership.is_confirmed()


def test_an_answer_that_was_overtaken_takes_nothing_back() -> None:
    now = 0.0
    membership = Membership(lambda: now)
    membership.session_timeout_s = 10.0
    early = membership.now()
    now = 5.0
    membership.confirm(membership.now())
    membership.confirm(early)
    now = 14.0
    assert membership.is_confirmed()
