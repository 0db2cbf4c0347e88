"""A confirmation's id says what the news is, and nothing else."""

from __future__ import annotations

from streamsync.core.records import PostingCommand
from streamsync.erp.confirmation import confirmation_id, without_document
from streamsync.erp.protocol import Rejected
from tests.erp_commands import make_command


def test_every_part_of_the_news_makes_another_id() -> None:
    command = make_command("a")
    news: list[tuple[str, PostingCommand, str, str | None]] = [
        ("sim", command, "posted", "no-1"),
        ("other", command, "posted", "no-1"),
        ("sim", command, "rejected", "no-1"),
        ("sim", command, "posted", "no-2"),
        ("sim", command, "posted", None),
        ("sim", make_command("a", revision=2), "posted", "no-1"),
        ("sim", make_command("a", idempotency_key="another"), "posted", "no-1"),
        ("sim", make_command("a", entity="acme-jp"), "posted", "no-1"),
        ("a|b", command, "c", "d"),
        ("a", command, "b|c", "d"),
    ]
    assert len({confirmation_id(*told) for told in news}) == len(news)


def test_who_finds_it_and_when_makes_no_other_id() -> None:
    rejected = Rejected("UNBALANCED", "X", "message")
    told = [
        without_document(
            erp="sim",
            command=make_command("a"),
            rejected=rejected,
            attempt=attempt,
            observed_at_ms=observed_at_ms,
        ).confirmation_id
        for attempt, observed_at_ms in ((1, 1), (2, 99))
    ]
    assert told[0] == told[1]
