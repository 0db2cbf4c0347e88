"""Tables of the simulated ERP; the database itself refuses what no ledger may hold.

Problem: rules kept only in code are broken by the next path that forgets them. How: triggers
refuse an unbalanced entry at booking and any change to a booked one, unique constraints keep
external keys and numbers; `ledger` checks the same rules earlier to answer with a reason.
"""

from __future__ import annotations

SCHEMA = """
CREATE TABLE IF NOT EXISTS settings (
    name TEXT PRIMARY KEY, value INTEGER NOT NULL
) STRICT;
CREATE TABLE IF NOT EXISTS entities (
    id TEXT PRIMARY KEY, functional_currency TEXT NOT NULL, last_number INTEGER NOT NULL DEFAULT 0
) STRICT;
CREATE TABLE IF NOT EXISTS currencies (
    entity TEXT NOT NULL REFERENCES entities(id), currency TEXT NOT NULL,
    PRIMARY KEY (entity, currency)
) STRICT;
CREATE TABLE IF NOT EXISTS accounts (
    entity TEXT NOT NULL REFERENCES entities(id), code TEXT NOT NULL, name TEXT NOT NULL,
    PRIMARY KEY (entity, code)
) STRICT;
CREATE TABLE IF NOT EXISTS periods (
    entity TEXT NOT NULL, period TEXT NOT NULL, status TEXT NOT NULL,
    PRIMARY KEY (entity, period)
) STRICT;
CREATE TABLE IF NOT EXISTS entries (
    id INTEGER PRIMARY KEY,
    entity TEXT NOT NULL REFERENCES entities(id), external_key TEXT NOT NULL,
    state TEXT NOT NULL CHECK (state IN ('processing', 'booked')),
    number TEXT UNIQUE, ledger TEXT NOT NULL, journal_type TEXT NOT NULL,
    document_date TEXT NOT NULL, posting_date TEXT NOT NULL, period TEXT NOT NULL,
    currency TEXT NOT NULL, functional_currency TEXT NOT NULL,
    idempotency_key TEXT NOT NULL, revision INTEGER NOT NULL, command_id TEXT NOT NULL,
    account TEXT NOT NULL, correlation_id TEXT NOT NULL,
    due_at_ms INTEGER NOT NULL, booked_at_ms INTEGER,
    UNIQUE (entity, external_key), CHECK ((state = 'booked') = (number IS NOT NULL))
) STRICT;
CREATE INDEX IF NOT EXISTS entries_processing ON entries (due_at_ms) WHERE state = 'processing';
CREATE INDEX IF NOT EXISTS entries_period ON entries (entity, period);
CREATE TABLE IF NOT EXISTS lines (
    entry INTEGER NOT NULL REFERENCES entries(id), no INTEGER NOT NULL, account TEXT NOT NULL,
    side TEXT NOT NULL CHECK (side IN ('debit', 'credit')),
    amount_minor INTEGER NOT NULL CHECK (amount_minor >= 0),
    functional_minor INTEGER NOT NULL CHECK (functional_minor >= 0),
    PRIMARY KEY (entry, no)
) STRICT;
CREATE TABLE IF NOT EXISTS faults (
    entity TEXT NOT NULL, external_key TEXT NOT NULL, kind TEXT NOT NULL,
    idempotency_key TEXT NOT NULL, revision INTEGER NOT NULL, account TEXT NOT NULL,
    period TEXT NOT NULL, currency TEXT NOT NULL,
    command_debit_minor INTEGER NOT NULL, booked_debit_minor INTEGER NOT NULL,
    deadline_at_ms INTEGER NOT NULL, due_at_ms INTEGER, answered_at_ms INTEGER,
    PRIMARY KEY (entity, external_key)
) STRICT;

CREATE TRIGGER IF NOT EXISTS entries_balance BEFORE UPDATE ON entries
WHEN OLD.state = 'processing' AND NEW.state = 'booked' AND (
    SELECT sum(CASE side WHEN 'debit' THEN amount_minor ELSE -amount_minor END) <> 0
        OR sum(CASE side WHEN 'debit' THEN functional_minor ELSE -functional_minor END) <> 0
        OR count(*) < 2
    FROM lines WHERE entry = OLD.id)
BEGIN SELECT raise(ABORT, 'an entry must balance'); END;
CREATE TRIGGER IF NOT EXISTS entries_immutable BEFORE UPDATE ON entries WHEN OLD.state = 'booked'
BEGIN SELECT raise(ABORT, 'a booked entry never changes'); END;
CREATE TRIGGER IF NOT EXISTS entries_kept BEFORE DELETE ON entries
BEGIN SELECT raise(ABORT, 'an entry is never deleted'); END;
CREATE TRIGGER IF NOT EXISTS lines_closed BEFORE INSERT ON lines
WHEN (SELECT state FROM entries WHERE id = NEW.entry) = 'booked'
BEGIN SELECT raise(ABORT, 'a booked entry takes no more lines'); END;
CREATE TRIGGER IF NOT EXISTS lines_immutable BEFORE UPDATE ON lines
BEGIN SELECT raise(ABORT, 'a line never changes'); END;
CREATE TRIGGER IF NOT EXISTS lines_kept BEFORE DELETE ON lines
BEGIN SELECT raise(ABORT, 'a line is never deleted'); END;
"""
