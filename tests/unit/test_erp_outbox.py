"""The outbox lets a command take only the steps that lose nothing and double nothing."""

from __future__ import annotations

from pathlib import Path

import pytest

from streamsync.core.records import PostingCommand
from streamsync.erp.outbox import MOVES, Outbox, OutboxError, Outgoing, Position, Row
from tests.erp_commands import make_command


@pytest.fixture
def outbox(tmp_path: Path) -> Outbox:
    return Outbox(tmp_path / "outbox.sqlite")


def receive(
    outbox: Outbox, command: PostingCommand, offset: int, perhaps_sent: bool = False
) -> bool:
    with outbox.transaction():
        at = Position("commands", 0, offset)
        return outbox.receive(command, command.erp_key.encode(), at, perhaps_sent)


def message(name: str, ends: bool = True) -> Outgoing:
    return Outgoing(id=name, topic="confirmations", key=b"account", value=b"value", ends=ends)


def sendable(outbox: Outbox) -> list[str]:
    return [row.erp_key for row in outbox.sendable("acme-us", 10)]


def states(outbox: Outbox) -> dict[str, int]:
    return {state: count for state, count in outbox.counts("acme-us").items() if count}


def one_sent(outbox: Outbox, key: str = "a") -> Row:
    receive(outbox, make_command(key), 0)
    (row,) = outbox.mark_sent(outbox.sendable("acme-us", 1), now_ms=1000)
    return row


def test_a_command_goes_from_received_to_done(outbox: Outbox) -> None:
    row = one_sent(outbox)
    assert states(outbox) == {"sent": 1}
    with outbox.transaction():
        outbox.answer(row.seq, message("c1"))
    assert states(outbox) == {"answered": 1}
    outbox.mark_delivered(outbox.undelivered(10))
    assert (states(outbox), outbox.undelivered(10)) == ({"done": 1}, [])


def test_every_other_step_is_refused(outbox: Outbox, tmp_path: Path) -> None:
    for origin, targets in MOVES.items():
        for target in set(MOVES) - targets:
            fresh = Outbox(tmp_path / f"{origin}-{target}.sqlite")
            row = one_sent(fresh)
            fresh._db.execute("UPDATE commands SET state = ?", (origin,))  # noqa: SLF001
            with pytest.raises(OutboxError):
                fresh._move(row.seq, target)  # noqa: SLF001
            fresh.close()


def test_after_a_restart_what_was_sent_is_looked_up_first(tmp_path: Path) -> None:
    path = tmp_path / "outbox.sqlite"
    first = Outbox(path)
    one_sent(first)
    first.close()
    again = Outbox(path)
    assert again.resume() == 1
    assert sendable(again) == []
    assert [row.erp_key for row in again.to_look_up("acme-us", 0, 10)] == ["a"]


def test_a_record_read_twice_is_stored_once(outbox: Outbox) -> None:
    assert [receive(outbox, make_command("a"), 0) for _ in range(2)] == [True, True]
    assert states(outbox) == {"received": 1}


def test_a_record_read_again_after_it_was_done_stays_done(outbox: Outbox) -> None:
    row = one_sent(outbox)
    outbox.answer(row.seq, message("c1"))
    outbox.mark_delivered(outbox.undelivered(10))
    receive(outbox, make_command("a"), 0)
    assert (states(outbox), outbox.undelivered(10)) == ({"done": 1}, [])


def test_a_command_sent_again_on_purpose_gets_its_last_confirmation_again(outbox: Outbox) -> None:
    row = one_sent(outbox)
    outbox.tell(message("parked", ends=False), row.seq)
    outbox.answer(row.seq, message("c1"))
    outbox.mark_delivered(outbox.undelivered(10))
    receive(outbox, make_command("a"), 7)
    assert [told.id for told in outbox.undelivered(10)] == ["c1"]
    outbox.mark_delivered(outbox.undelivered(10))
    assert states(outbox) == {"done": 1}


def test_a_key_with_other_content_is_refused(outbox: Outbox) -> None:
    receive(outbox, make_command("a"), 0)
    assert not receive(outbox, make_command("a", content_hash="another"), 1)
    assert states(outbox) == {"received": 1}


def test_the_next_revision_waits_for_the_answer_to_the_one_before(outbox: Outbox) -> None:
    for revision in (1, 2, 3):
        key = f"a{revision}"
        receive(outbox, make_command(key, idempotency_key="same", revision=revision), revision)
    receive(outbox, make_command("b"), 9)
    assert sendable(outbox) == ["a1", "b"]
    first, _ = outbox.mark_sent(outbox.sendable("acme-us", 10), 1000)
    for state in ("unknown", "parked"):
        outbox.ask_later(first.seq, state, 2000)
        assert sendable(outbox) == []
    outbox.answer(first.seq, message("c1"))
    assert sendable(outbox) == ["a2"]


def test_what_the_erp_did_not_take_keeps_its_place(outbox: Outbox) -> None:
    for offset, key in enumerate("abc"):
        receive(outbox, make_command(key), offset)
    rows = outbox.mark_sent(outbox.sendable("acme-us", 2), 1000)
    for row in reversed(rows):
        outbox.take_back(row.seq)
    assert sendable(outbox) == ["a", "b", "c"]
    assert [row.attempt for row in outbox.sendable("acme-us", 3)] == [1, 1, 0]


def test_a_look_up_waits_for_its_time_but_not_for_a_clock_put_back(outbox: Outbox) -> None:
    row = one_sent(outbox)
    outbox.ask_later(row.seq, "unknown", 5_000)

    def due(now_ms: int) -> int:
        return len(outbox.to_look_up("acme-us", now_ms, 10))

    assert [due(4_999), due(5_000)] == [0, 1]
    assert due(5_000 - 2 * 3_600_000) == 1


def test_a_lost_outbox_looks_up_what_may_have_been_sent(outbox: Outbox) -> None:
    receive(outbox, make_command("a"), 0, perhaps_sent=True)
    assert sendable(outbox) == []
    assert len(outbox.to_look_up("acme-us", 1, 10)) == 1


def test_news_with_a_known_id_is_told_once(outbox: Outbox) -> None:
    outbox.tell(message("dead", ends=False))
    outbox.tell(message("dead", ends=False))
    assert len(outbox.undelivered(10)) == 1


def test_a_failed_transaction_leaves_nothing(outbox: Outbox) -> None:
    with pytest.raises(RuntimeError), outbox.transaction():
        outbox.begin("commands", 0, 0, 0)
        outbox.receive(make_command("a"), b"", Position("commands", 0, 5), False)
        outbox.advance("commands", 0, 6)
        raise RuntimeError
    assert (states(outbox), outbox.positions("commands")) == ({}, {})


@pytest.mark.parametrize("state", ["received", "sent", "answered"])
def test_a_command_sent_again_before_it_is_done_changes_nothing(outbox: Outbox, state: str) -> None:
    receive(outbox, make_command("a"), 0)
    if state != "received":
        (row,) = outbox.mark_sent(outbox.sendable("acme-us", 1), 1000)
        if state == "answered":
            outbox.answer(row.seq, message("c1"))
    receive(outbox, make_command("a"), 7)
    assert states(outbox) == {state: 1}
