"""What an adapter has promised to deliver, on disk.

Problem: between taking a command and telling what became of it the adapter may die at any point,
and the ERP may have booked. How: one SQLite file, written before each step that others can see:

1. a command is stored (`received`) and its position with it, then the Kafka offset is committed;
2. it is marked `sent`, then sent;
3. the answer is stored with its confirmation (`answered`), or `parked`, `unknown`, or `received`
   again when the ERP certainly didn't take it;
4. the confirmation is delivered to Kafka, then the command is `done`.

After a restart whatever was `sent` is `unknown`: it is looked up before anything else. Positions in
the file, not the group's offsets, say where reading goes on.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass, replace
from pathlib import Path

from streamsync.core.records import PostingCommand
from streamsync.erp.database import open_database, transaction

MOVES: Mapping[str, frozenset[str]] = {
    "received": frozenset({"sent"}),
    "sent": frozenset({"received", "unknown", "parked", "answered"}),
    "unknown": frozenset({"received", "unknown", "parked", "answered"}),
    "parked": frozenset({"received", "parked", "answered"}),
    "answered": frozenset({"done"}),
    "done": frozenset({"answered"}),
}
LONGEST_WAIT_MS = 3_600_000
_SCHEMA = """
CREATE TABLE IF NOT EXISTS commands (
    seq INTEGER PRIMARY KEY, entity TEXT NOT NULL, erp_key TEXT NOT NULL,
    idempotency_key TEXT NOT NULL, revision INTEGER NOT NULL, content_hash TEXT NOT NULL,
    topic TEXT NOT NULL, partition INTEGER NOT NULL, offset INTEGER NOT NULL, value BLOB NOT NULL,
    state TEXT NOT NULL, attempt INTEGER NOT NULL DEFAULT 0, looked_up INTEGER NOT NULL DEFAULT 0,
    sent_at_ms INTEGER NOT NULL DEFAULT 0, next_try_ms INTEGER NOT NULL DEFAULT 0,
    UNIQUE (entity, erp_key)
) STRICT;
CREATE INDEX IF NOT EXISTS commands_open ON commands (entity, state, seq)
    WHERE state NOT IN ('answered', 'done');
CREATE INDEX IF NOT EXISTS commands_key ON commands (entity, idempotency_key, seq);
CREATE TABLE IF NOT EXISTS outgoing (
    seq INTEGER PRIMARY KEY, id TEXT NOT NULL UNIQUE, topic TEXT NOT NULL, key BLOB,
    value BLOB NOT NULL, command INTEGER REFERENCES commands (seq), ends INTEGER NOT NULL,
    delivered INTEGER NOT NULL DEFAULT 0
) STRICT;
CREATE INDEX IF NOT EXISTS outgoing_open ON outgoing (seq) WHERE delivered = 0;
CREATE INDEX IF NOT EXISTS outgoing_command ON outgoing (command);
CREATE TABLE IF NOT EXISTS positions (
    topic TEXT NOT NULL, partition INTEGER NOT NULL, next_offset INTEGER NOT NULL,
    perhaps_sent_below INTEGER NOT NULL DEFAULT 0,
    PRIMARY KEY (topic, partition)
) STRICT;
"""


class OutboxError(Exception):
    """A row is asked to make a step that its state doesn't allow: a bug in the runner."""


@dataclass(frozen=True, slots=True)
class Position:
    """A record's place in Kafka."""

    topic: str
    partition: int
    offset: int


@dataclass(frozen=True, slots=True)
class Outgoing:
    """A message for Kafka. `ends`: with its delivery the command is done."""

    id: str
    topic: str
    key: bytes | None
    value: bytes
    ends: bool
    seq: int = 0


@dataclass(frozen=True, slots=True)
class Row:
    """A command on its way."""

    seq: int
    erp_key: str
    value: bytes
    state: str
    attempt: int
    looked_up: int
    sent_at_ms: int


_SENDABLE = """
SELECT seq, erp_key, value, state, attempt, looked_up, sent_at_ms FROM commands AS c
WHERE entity = ? AND state = 'received' AND NOT EXISTS (
    SELECT 1 FROM commands AS earlier
    WHERE earlier.entity = c.entity AND earlier.idempotency_key = c.idempotency_key
        AND earlier.seq < c.seq AND earlier.state NOT IN ('answered', 'done'))
ORDER BY seq LIMIT ?
"""
_TO_LOOK_UP = """
SELECT seq, erp_key, value, state, attempt, looked_up, sent_at_ms FROM commands
WHERE entity = ? AND state IN ('unknown', 'parked') AND NOT next_try_ms BETWEEN ? AND ?
ORDER BY next_try_ms, seq LIMIT ?
"""


class Outbox:
    """One file of one adapter process; used by one thread."""

    def __init__(self, path: Path) -> None:
        self._db = open_database(path, _SCHEMA)

    def close(self) -> None:
        """Close the file."""
        self._db.close()

    def transaction(self) -> AbstractContextManager[None]:
        """All or nothing; must not be held across an await."""
        return transaction(self._db)

    # 1. Taking commands in.

    def positions(self, topic: str) -> dict[int, int]:
        """Next offset to read, by partition."""
        rows = self._db.execute(
            "SELECT partition, next_offset FROM positions WHERE topic = ?", (topic,)
        )
        return dict(rows.fetchall())

    def perhaps_sent_below(self, topic: str) -> dict[int, int]:
        """Offset below which an outbox that was lost may have sent, by partition."""
        rows = self._db.execute(
            "SELECT partition, perhaps_sent_below FROM positions WHERE topic = ?", (topic,)
        )
        return dict(rows.fetchall())

    def begin(self, topic: str, partition: int, offset: int, perhaps_sent_below: int) -> None:
        """Reading of a partition starts at `offset`."""
        self._db.execute(
            "INSERT INTO positions VALUES (?, ?, ?, ?)",
            (topic, partition, offset, perhaps_sent_below),
        )

    def advance(self, topic: str, partition: int, next_offset: int) -> None:
        """Everything before `next_offset` of a partition that was begun is stored."""
        self._db.execute(
            "UPDATE positions SET next_offset = ? WHERE topic = ? AND partition = ?",
            (next_offset, topic, partition),
        )

    def receive(
        self, command: PostingCommand, value: bytes, at: Position, perhaps_sent: bool
    ) -> bool:
        """Store a command; false when its key is known with other content.

        A command that is known is not stored again; one that comes from another position was sent
        again on purpose and gets its last confirmation once more. `perhaps_sent`: an outbox that
        was lost may have sent it.
        """
        known = self._db.execute(
            "SELECT seq, content_hash, state, topic, partition, offset FROM commands "
            "WHERE entity = ? AND erp_key = ?",
            (command.entity, command.erp_key),
        ).fetchone()
        if known is None:
            self._db.execute(
                "INSERT INTO commands (entity, erp_key, idempotency_key, revision, content_hash, "
                "topic, partition, offset, value, state) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?)",
                (
                    command.entity,
                    command.erp_key,
                    command.idempotency_key,
                    command.revision,
                    command.content_hash,
                    at.topic,
                    at.partition,
                    at.offset,
                    value,
                    "unknown" if perhaps_sent else "received",
                ),
            )
            return True
        seq, content_hash, state, *first = known
        if content_hash != command.content_hash:
            return False
        if state == "done" and first != [at.topic, at.partition, at.offset]:
            self._move(seq, "answered")
            self._db.execute(
                "UPDATE outgoing SET delivered = 0 WHERE command = ? AND ends = 1", (seq,)
            )
        return True

    # 2. Sending.

    def resume(self) -> int:
        """After a start: whatever was on its way is unknown; how many that are."""
        return self._db.execute(
            "UPDATE commands SET state = 'unknown', next_try_ms = 0 WHERE state = 'sent'"
        ).rowcount

    def sendable(self, entity: str, limit: int) -> list[Row]:
        """The oldest commands that may be sent: none whose key has an earlier one under way."""
        rows = self._db.execute(_SENDABLE, (entity, limit))
        return [Row(*row) for row in rows.fetchall()]

    def mark_sent(self, rows: Sequence[Row], now_ms: int) -> list[Row]:
        """Before the request leaves; the rows as they are now."""
        with self.transaction():
            for row in rows:
                self._move(row.seq, "sent")
                self._db.execute(
                    "UPDATE commands SET attempt = attempt + 1, looked_up = 0, sent_at_ms = ? "
                    "WHERE seq = ?",
                    (now_ms, row.seq),
                )
        return [
            replace(row, state="sent", attempt=row.attempt + 1, looked_up=0, sent_at_ms=now_ms)
            for row in rows
        ]

    # 3. Answers.

    def to_look_up(self, entity: str, now_ms: int, limit: int) -> list[Row]:
        """Unknown and parked commands whose time to ask has come.

        A time further off than any wait was set by a clock that has been put back since.
        """
        rows = self._db.execute(_TO_LOOK_UP, (entity, now_ms + 1, now_ms + LONGEST_WAIT_MS, limit))
        return [Row(*row) for row in rows.fetchall()]

    def take_back(self, seq: int) -> None:
        """The ERP certainly has not booked it: it waits in its old place."""
        self._move(seq, "received")

    def ask_later(self, seq: int, state: str, next_try_ms: int) -> None:
        """It is `unknown` or `parked`, and looked up at `next_try_ms`."""
        self._move(seq, state)
        self._db.execute(
            "UPDATE commands SET looked_up = looked_up + 1, next_try_ms = ? WHERE seq = ?",
            (next_try_ms, seq),
        )

    def answer(self, seq: int, message: Outgoing) -> None:
        """The final word on a command, with the message that tells it."""
        self._move(seq, "answered")
        self.tell(message, seq)

    def tell(self, message: Outgoing, seq: int | None = None) -> None:
        """Keep a message for delivery; one that is known by its id is kept once."""
        self._db.execute(
            "INSERT INTO outgoing (id, topic, key, value, command, ends) "
            "VALUES (?, ?, ?, ?, ?, ?) ON CONFLICT (id) DO NOTHING",
            (message.id, message.topic, message.key, message.value, seq, message.ends),
        )

    # 4. Delivery.

    def undelivered(self, limit: int) -> list[Outgoing]:
        """Messages to deliver, oldest first."""
        rows = self._db.execute(
            "SELECT id, topic, key, value, ends, seq FROM outgoing WHERE delivered = 0 "
            "ORDER BY seq LIMIT ?",
            (limit,),
        )
        return [Outgoing(*row) for row in rows.fetchall()]

    def mark_delivered(self, messages: Sequence[Outgoing]) -> None:
        """The broker has them."""
        with self.transaction():
            for message in messages:
                self._db.execute("UPDATE outgoing SET delivered = 1 WHERE seq = ?", (message.seq,))
                if message.ends:
                    (command,) = self._db.execute(
                        "SELECT command FROM outgoing WHERE seq = ?", (message.seq,)
                    ).fetchone()
                    self._move(command, "done")

    # Figures.

    def counts(self, entity: str) -> dict[str, int]:
        """Commands of an entity by state; every state is there."""
        rows = self._db.execute(
            "SELECT state, count(*) FROM commands WHERE entity = ? GROUP BY state", (entity,)
        )
        return {**dict.fromkeys(MOVES, 0), **dict(rows.fetchall())}

    def undelivered_count(self) -> int:
        """Messages that the broker doesn't have yet."""
        row = self._db.execute("SELECT count(*) FROM outgoing WHERE delivered = 0").fetchone()
        return int(row[0])

    def open_count(self, entity: str) -> int:
        """Commands that have no answer yet."""
        row = self._db.execute(
            "SELECT count(*) FROM commands WHERE entity = ? AND state NOT IN ('answered', 'done')",
            (entity,),
        ).fetchone()
        return int(row[0])

    def _move(self, seq: int, state: str) -> None:
        origins = [origin for origin, targets in MOVES.items() if state in targets]
        marks = ", ".join("?" * len(origins))
        moved = self._db.execute(
            f"UPDATE commands SET state = ? WHERE seq = ? AND state IN ({marks})",  # noqa: S608
            (state, seq, *origins),
        ).rowcount
        if moved != 1:
            raise OutboxError(f"command {seq} of the outbox can't become {state}")
