"""The simulated ERP's books: a double-entry ledger in SQLite.

Problem: the rest of the system is only proven against an ERP that refuses what a real one refuses,
keeps what it booked, and numbers documents without gaps. How: each posting is one transaction:
known key, rules, fault of the seed, entry, number. A late document is kept as `processing` and is
booked when the ERP's clock passes its time; the clock is set from outside, or is the wall's.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Literal

from streamsync.erp.database import open_database, transaction
from streamsync.erp.simulated.document import (
    Chart,
    Document,
    DocumentInvalid,
    Line,
    Reference,
    read_document,
)
from streamsync.erp.simulated.faults import Faults, Kind
from streamsync.erp.simulated.rules import Refusal, first_refusal
from streamsync.erp.simulated.schema import SCHEMA

AnswerKind = Literal["posted", "duplicate", "processing", "rejected", "not_found"]


@dataclass(frozen=True, slots=True)
class Answer:
    """What the ERP says of one document. `cut`: it is booked, but the answer must get lost."""

    outcome: AnswerKind
    external_key: str | None = None
    document: Mapping[str, Any] | None = None
    refusal: Refusal | None = None
    cut: bool = False

    def as_json(self) -> dict[str, Any]:
        """The answer on the wire."""
        body: dict[str, Any] = {"outcome": self.outcome, "external_key": self.external_key}
        if self.document is not None:
            body["document"] = self.document
        if self.refusal is not None:
            body["error"] = asdict(self.refusal)
        return body


class Ledger:
    """One database file; used by one thread."""

    def __init__(self, path: Path, faults: Faults, wall_ms: Callable[[], int]) -> None:
        self._faults = faults
        self._wall_ms = wall_ms
        self._db = open_database(path, SCHEMA)
        self._db.row_factory = sqlite3.Row

    def close(self) -> None:
        """Close the database file."""
        self._db.close()

    def _rows(self, sql: str, *values: object) -> list[sqlite3.Row]:
        return self._db.execute(sql, values).fetchall()

    def _row(self, sql: str, *values: object) -> sqlite3.Row | None:
        row: sqlite3.Row | None = self._db.execute(sql, values).fetchone()
        return row

    # What the rules ask.

    def functional_currency(self, entity: str) -> str | None:
        """Currency of an entity's books; none for an unknown entity."""
        row = self._row("SELECT functional_currency FROM entities WHERE id = ?", entity)
        return None if row is None else str(row[0])

    def currencies(self, entity: str) -> set[str]:
        """Currencies in which an entity may book."""
        return {r[0] for r in self._rows("SELECT currency FROM currencies WHERE entity=?", entity)}

    def unknown_accounts(self, entity: str, codes: set[str]) -> set[str]:
        """Those of `codes` that the entity's chart doesn't have."""
        chart = self._rows("SELECT code FROM accounts WHERE entity = ?", entity)
        return codes - {row[0] for row in chart}

    def period_status(self, entity: str, period: str) -> str:
        """`open` until someone closes it."""
        row = self._row("SELECT status FROM periods WHERE entity=? AND period=?", entity, period)
        return "open" if row is None else str(row[0])

    # Administration.

    def load_chart(self, chart: Chart) -> None:
        """Add entities and accounts; what is there stays."""
        with transaction(self._db):
            for entity in chart.entities:
                self._db.execute(
                    "INSERT INTO entities (id, functional_currency) VALUES (?, ?) "
                    "ON CONFLICT (id) DO NOTHING",
                    (entity.id, entity.functional_currency),
                )
                self._db.executemany(
                    "INSERT OR IGNORE INTO currencies VALUES (?, ?)",
                    [(entity.id, c) for c in {entity.functional_currency, *entity.currencies}],
                )
                self._db.executemany(
                    "INSERT INTO accounts VALUES (?, ?, ?) "
                    "ON CONFLICT (entity, code) DO UPDATE SET name = excluded.name",
                    [(entity.id, account.code, account.name) for account in entity.accounts],
                )

    def set_period(self, entity: str, period: str, status: Literal["open", "closed"]) -> bool:
        """Open or close a period; false for an unknown entity."""
        if self.functional_currency(entity) is None:
            return False
        self._db.execute(
            "INSERT INTO periods VALUES (?, ?, ?) "
            "ON CONFLICT (entity, period) DO UPDATE SET status = excluded.status",
            (entity, period, status),
        )
        return True

    def now_ms(self) -> int:
        """The ERP's time: the last one it was told, else the wall clock's."""
        row = self._row("SELECT value FROM settings WHERE name = 'clock'")
        return self._wall_ms() if row is None else int(row[0])

    def set_clock(self, time_ms: int) -> int:
        """Move the ERP's time forward (never back) and book what is due; the time it is now."""
        self._db.execute(
            "INSERT INTO settings VALUES ('clock', ?) "
            "ON CONFLICT (name) DO UPDATE SET value = max(value, excluded.value)",
            (time_ms,),
        )
        self.settle()
        return self.now_ms()

    def settle(self) -> None:
        """Book the late documents whose time has come, in the order of their times."""
        due = self._rows(
            "SELECT id, entity, external_key FROM entries "
            "WHERE state = 'processing' AND due_at_ms <= ? ORDER BY due_at_ms, external_key",
            self.now_ms(),
        )
        for row in due:
            with transaction(self._db):
                self._book(row["id"], row["entity"])
                self._db.execute(
                    "UPDATE faults SET booked_debit_minor = command_debit_minor "
                    "WHERE entity = ? AND external_key = ?",
                    (row["entity"], row["external_key"]),
                )

    def due_unanswered(self) -> int:
        """Late documents that are booked by now, and that nobody has looked up since."""
        row = self._row(
            "SELECT count(*) FROM faults WHERE kind = 'late' AND answered_at_ms IS NULL "
            "AND due_at_ms <= ?",
            self.now_ms(),
        )
        return 0 if row is None else int(row[0])

    # Posting.

    def post(self, raw: object) -> Answer:
        """Book one entry, or say why not; the same key again returns what is there."""
        try:
            document = read_document(raw)
        except DocumentInvalid as error:
            key = raw.get("external_key") if isinstance(raw, dict) else None
            refusal = Refusal("DOCUMENT_INVALID", str(error))
            return Answer("rejected", key if isinstance(key, str) else None, refusal=refusal)
        self.settle()
        key = document.external_key
        known = self._entry(document.entity, key)
        if known is not None:
            if known["state"] == "processing":
                return Answer("processing", key)
            return Answer("duplicate", key, self._as_json(known))
        refused = first_refusal(document, self)
        if refused is not None:
            return Answer("rejected", key, refusal=refused)
        with transaction(self._db):
            return self._post_new(document, self._faults.of(key))

    def _post_new(self, document: Document, fault: Kind | None) -> Answer:
        key = document.external_key
        if fault == "reject":
            self._record_fault(document, fault, booked_minor=0, answered_at_ms=self.now_ms())
            # The account is left out of the message: a real ERP would name its own object here.
            return Answer("rejected", key, refusal=Refusal("ACCOUNT_BLOCKED", "account is blocked"))
        lines = self._faults.altered(document) if fault == "alter" else document.lines
        due_at_ms = self._faults.due_at_ms(document) if fault == "late" else self.now_ms()
        entry = self._insert(document, lines, due_at_ms)
        if fault == "late":
            self._record_fault(document, fault, booked_minor=0, due_at_ms=due_at_ms)
            return Answer("processing", key)
        number = self._book(entry, document.entity)
        if fault is not None:
            answered = None if fault == "no_answer" else self.now_ms()
            self._record_fault(document, fault, _debit(lines), answered_at_ms=answered)
        return Answer("posted", key, self.by_number(number), cut=fault == "no_answer")

    def _insert(self, document: Document, lines: Sequence[Line], due_at_ms: int) -> int:
        reference = document.reference
        ((entry,),) = self._db.execute(
            "INSERT INTO entries (entity, external_key, state, ledger, journal_type, "
            "document_date, posting_date, period, currency, functional_currency, idempotency_key, "
            "revision, command_id, account, correlation_id, due_at_ms) "
            "VALUES (?, ?, 'processing', ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?) RETURNING id",
            (
                document.entity,
                document.external_key,
                document.ledger,
                document.journal_type,
                document.document_date,
                document.posting_date,
                document.period,
                document.currency,
                document.functional_currency,
                reference.idempotency_key,
                reference.revision,
                reference.command_id,
                reference.account,
                reference.correlation_id,
                due_at_ms,
            ),
        ).fetchall()
        self._db.executemany(
            "INSERT INTO lines VALUES (?, ?, ?, ?, ?, ?)",
            [(entry, x.no, x.account, x.side, x.amount_minor, x.functional_minor) for x in lines],
        )
        return int(entry)

    def _book(self, entry: int, entity: str) -> str:
        # The number is taken in the transaction that books: a rolled back posting leaves no gap.
        ((last,),) = self._db.execute(
            "UPDATE entities SET last_number = last_number + 1 WHERE id = ? RETURNING last_number",
            (entity,),
        ).fetchall()
        number = f"{entity}-{last:07d}"
        self._db.execute(
            "UPDATE entries SET state = 'booked', number = ?, booked_at_ms = ? WHERE id = ?",
            (number, self.now_ms(), entry),
        )
        return number

    def _record_fault(
        self,
        document: Document,
        kind: Kind,
        booked_minor: int,
        due_at_ms: int | None = None,
        answered_at_ms: int | None = None,
    ) -> None:
        # A rejected document may be sent again: the first time stands.
        self._db.execute(
            "INSERT OR IGNORE INTO faults VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)",
            (
                document.entity,
                document.external_key,
                kind,
                document.reference.idempotency_key,
                document.reference.revision,
                document.reference.account,
                document.period,
                document.currency,
                _debit(document.lines),
                booked_minor,
                document.deadline_at_ms,
                due_at_ms,
                answered_at_ms,
            ),
        )

    # Reading.

    def look_up(self, entity: str, external_key: str) -> Answer:
        """The entry with this key; a look-up is also what answers an unanswered posting."""
        self.settle()
        row = self._entry(entity, external_key)
        if row is None:
            return Answer("not_found", external_key)
        if row["state"] == "processing":
            return Answer("processing", external_key)
        self._db.execute(
            "UPDATE faults SET answered_at_ms = ? "
            "WHERE entity = ? AND external_key = ? AND answered_at_ms IS NULL",
            (self.now_ms(), entity, external_key),
        )
        return Answer("posted", external_key, self._as_json(row))

    def by_number(self, number: str) -> Mapping[str, Any] | None:
        """The booked entry with this number."""
        row = self._row("SELECT * FROM entries WHERE number = ?", number)
        return None if row is None else self._as_json(row)

    def _entry(self, entity: str, external_key: str) -> sqlite3.Row | None:
        return self._row(
            "SELECT * FROM entries WHERE entity = ? AND external_key = ?", entity, external_key
        )

    def _as_json(self, entry: sqlite3.Row) -> dict[str, Any]:
        lines = [
            dict(row)
            for row in self._rows(
                "SELECT no, account, side, amount_minor, functional_minor "
                "FROM lines WHERE entry = ? ORDER BY no",
                entry["id"],
            )
        ]
        plain = ("number", "entity", "external_key", "ledger", "journal_type", "document_date")
        money = ("posting_date", "period", "currency", "functional_currency", "booked_at_ms")
        return {
            "id": str(entry["id"]),
            "fiscal_year": entry["period"][:4],
            **{name: entry[name] for name in plain + money},
            "reference": {name: entry[name] for name in Reference.model_fields},
            "lines": lines,
        }

    def trial_balance(self, entity: str, period: str | None) -> list[dict[str, Any]]:
        """Debit and credit of booked entries by account and currency, of one period or of all."""
        self.settle()
        rows = self._rows(
            "SELECT lines.account, currency, "
            "sum(CASE side WHEN 'debit' THEN amount_minor ELSE 0 END) AS debit_minor, "
            "sum(CASE side WHEN 'credit' THEN amount_minor ELSE 0 END) AS credit_minor, "
            "sum(CASE side WHEN 'debit' THEN functional_minor ELSE 0 END) "
            "AS functional_debit_minor, "
            "sum(CASE side WHEN 'credit' THEN functional_minor ELSE 0 END) "
            "AS functional_credit_minor "
            "FROM entries JOIN lines ON lines.entry = entries.id "
            "WHERE entity = ? AND state = 'booked' AND (? IS NULL OR period = ?) "
            "GROUP BY lines.account, currency ORDER BY lines.account, currency",
            entity,
            period,
            period,
        )
        return [dict(row) for row in rows]

    def manifest(self) -> list[dict[str, Any]]:
        """Every fault so far and what became of it."""
        return [dict(row) for row in self._rows("SELECT * FROM faults ORDER BY rowid")]

    def counts(self) -> dict[str, int]:
        """Entries by state."""
        return {r[0]: r[1] for r in self._rows("SELECT state, count(*) FROM entries GROUP BY 1")}


def _debit(lines: Sequence[Line]) -> int:
    return sum(line.amount_minor for line in lines if line.side == "debit")
