"""The SQLite file (or memory), its tables and its transactions.

One connection, used by one thread (the server's event loop): a request is one `BEGIN IMMEDIATE`
and one `COMMIT` before its answer leaves, so `kill -9` loses nothing that was answered. WAL with
`synchronous=NORMAL` survives the death of the process (not of the machine's power).
The log grows to 16 MiB before it is folded in, since the same few pages change with every payment:
a tenth less of a confirm's CPU than at SQLite's own 4 MiB.
"""

import sqlite3
from collections.abc import Iterator
from contextlib import contextmanager
from typing import IO, Any

try:
    import fcntl
except ImportError:  # Windows
    fcntl = None  # type: ignore[assignment]

SCHEMA = """
CREATE TABLE IF NOT EXISTS meta (name TEXT PRIMARY KEY, value TEXT NOT NULL);
CREATE TABLE IF NOT EXISTS objects (
    seq INTEGER PRIMARY KEY,
    id TEXT NOT NULL UNIQUE,
    kind TEXT NOT NULL,
    created INTEGER NOT NULL,
    listed INTEGER NOT NULL DEFAULT 1,
    customer TEXT, payment_intent TEXT, charge TEXT, type TEXT, email TEXT, ref TEXT,
    visible_at REAL,          -- when search finds it as it is now; NULL: at once
    body TEXT NOT NULL
);
CREATE INDEX IF NOT EXISTS objects_kind ON objects (kind, created, seq);
CREATE INDEX IF NOT EXISTS objects_customer ON objects (kind, customer, created, seq)
    WHERE customer IS NOT NULL;
CREATE INDEX IF NOT EXISTS objects_payment_intent ON objects (kind, payment_intent, created, seq)
    WHERE payment_intent IS NOT NULL;
CREATE INDEX IF NOT EXISTS objects_charge ON objects (kind, charge, created, seq)
    WHERE charge IS NOT NULL;
CREATE INDEX IF NOT EXISTS objects_type ON objects (kind, type, created, seq)
    WHERE type IS NOT NULL;
CREATE INDEX IF NOT EXISTS objects_email ON objects (kind, email, created, seq)
    WHERE email IS NOT NULL;
CREATE INDEX IF NOT EXISTS objects_ref ON objects (kind, ref, created, seq)
    WHERE ref IS NOT NULL;
CREATE TABLE IF NOT EXISTS balances (
    currency TEXT NOT NULL,
    available_on INTEGER NOT NULL,
    net INTEGER NOT NULL,
    PRIMARY KEY (currency, available_on)
) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS search_versions (
    seq INTEGER PRIMARY KEY,
    object TEXT NOT NULL,
    visible_from REAL NOT NULL,
    until REAL NOT NULL,
    fields TEXT NOT NULL
);
CREATE INDEX IF NOT EXISTS search_versions_object ON search_versions (object, visible_from);
CREATE INDEX IF NOT EXISTS search_versions_until ON search_versions (until);
CREATE TABLE IF NOT EXISTS idempotency (
    key TEXT PRIMARY KEY,
    created REAL NOT NULL,
    method TEXT NOT NULL,
    path TEXT NOT NULL,
    fingerprint TEXT NOT NULL,
    request_id TEXT NOT NULL,
    status INTEGER NOT NULL,
    body TEXT NOT NULL
);
CREATE TABLE IF NOT EXISTS requests (
    seq INTEGER PRIMARY KEY,
    request_id TEXT NOT NULL,
    at REAL NOT NULL,
    method TEXT NOT NULL,
    path TEXT NOT NULL,
    params TEXT NOT NULL,
    idempotency_key TEXT,
    status INTEGER,
    error_code TEXT,
    replayed INTEGER NOT NULL,
    fault TEXT
);
CREATE TABLE IF NOT EXISTS ledger (
    seq INTEGER PRIMARY KEY,
    at REAL NOT NULL,
    entry TEXT NOT NULL,
    payment_intent TEXT,
    customer TEXT,
    charge TEXT,
    amount INTEGER NOT NULL DEFAULT 0,
    currency TEXT
);
CREATE INDEX IF NOT EXISTS ledger_payment_intent ON ledger (payment_intent);
CREATE INDEX IF NOT EXISTS ledger_entry ON ledger (entry);
CREATE TABLE IF NOT EXISTS ledger_labels (
    seq INTEGER PRIMARY KEY,
    payment_intent TEXT NOT NULL,
    name TEXT NOT NULL,
    value TEXT NOT NULL
);
CREATE INDEX IF NOT EXISTS ledger_labels_name ON ledger_labels (name, payment_intent);
CREATE TABLE IF NOT EXISTS deliveries (
    seq INTEGER PRIMARY KEY,
    event TEXT NOT NULL,
    endpoint TEXT NOT NULL,
    state TEXT NOT NULL,      -- pending -> delivered | failed
    attempts INTEGER NOT NULL DEFAULT 0,
    due_at REAL NOT NULL,
    answered TEXT             -- what the last attempt met: a status, or what went wrong
);
CREATE INDEX IF NOT EXISTS deliveries_due ON deliveries (due_at, seq) WHERE state = 'pending';
CREATE INDEX IF NOT EXISTS deliveries_event ON deliveries (event);
CREATE TABLE IF NOT EXISTS timers (
    seq INTEGER PRIMARY KEY,
    due_at REAL NOT NULL,
    action TEXT NOT NULL,
    subject TEXT NOT NULL
);
CREATE INDEX IF NOT EXISTS timers_due ON timers (due_at);
"""
LATER_COLUMNS = (  # a file of an older version lacks them
    ("deliveries", "answered", "TEXT"),
    ("objects", "ref", "TEXT"),
    ("objects", "visible_at", "REAL"),
)
TABLES = (
    "meta", "objects", "balances", "search_versions", "idempotency", "requests", "ledger",
    "ledger_labels", "deliveries", "timers",
)  # fmt: skip


class FileInUse(sqlite3.OperationalError):
    """Another simulator works on the file."""


class ForeignFile(sqlite3.DatabaseError):
    """A SQLite file that this simulator did not make."""


class Database:
    """One SQLite connection with explicit transactions.

    Raises ForeignFile, FileInUse, and sqlite3.Error when the file cannot be opened or is no
    database.
    """

    def __init__(self, path: str | None) -> None:
        self._connection = sqlite3.connect(
            path or ":memory:", isolation_level=None, check_same_thread=False
        )
        self._refuse_foreign_tables()
        self._held = _hold(path) if path and path != ":memory:" else None
        for pragma in (
            "journal_mode=WAL",
            "synchronous=NORMAL",
            "busy_timeout=10000",
            "cache_size=-65536",
            "wal_autocheckpoint=4096",
        ):
            self._connection.execute(f"PRAGMA {pragma}")
        self._add_later_columns()
        # All tables or none, so that a start that was killed leaves no half of them.
        self._connection.executescript(f"BEGIN IMMEDIATE; {SCHEMA} COMMIT;")

    def _add_later_columns(self) -> None:
        for table, column, kind in LATER_COLUMNS:
            columns = {row[1] for row in self.rows(f"PRAGMA table_info({table})")}
            if columns and column not in columns:
                self.execute(f"ALTER TABLE {table} ADD COLUMN {column} {kind}")

    def _refuse_foreign_tables(self) -> None:
        found = {name for (name,) in self.rows("SELECT name FROM sqlite_master")}
        if found and not found.issuperset(TABLES):
            raise ForeignFile(
                "it was made by another program, or by another version of stripesim; "
                "name a new file"
            )

    def execute(self, sql: str, *values: Any) -> sqlite3.Cursor:
        return self._connection.execute(sql, values)

    def row(self, sql: str, *values: Any) -> tuple[Any, ...] | None:
        found: tuple[Any, ...] | None = self._connection.execute(sql, values).fetchone()
        return found

    def rows(self, sql: str, *values: Any) -> list[tuple[Any, ...]]:
        return self._connection.execute(sql, values).fetchall()

    @contextmanager
    def transaction(self) -> Iterator[None]:
        """Everything inside is committed together, or nothing when an exception leaves it."""
        self._connection.execute("BEGIN IMMEDIATE")
        try:
            yield
        except BaseException:
            self._connection.execute("ROLLBACK")
            raise
        self._connection.execute("COMMIT")

    def savepoint(self) -> None:
        self._connection.execute("SAVEPOINT work")

    def keep_work(self) -> None:
        self._connection.execute("RELEASE work")

    def undo_work(self) -> None:
        self._connection.execute("ROLLBACK TO work")
        self._connection.execute("RELEASE work")

    def empty(self) -> None:
        with self.transaction():
            for table in TABLES:
                self._connection.execute(f"DELETE FROM {table}")

    def get_meta(self, name: str) -> str | None:
        found = self.row("SELECT value FROM meta WHERE name = ?", name)
        return found[0] if found else None

    def set_meta(self, name: str, value: str) -> None:
        self.execute("INSERT OR REPLACE INTO meta (name, value) VALUES (?, ?)", name, value)

    def close(self) -> None:
        self._connection.close()
        if self._held:
            self._held.close()


def _hold(path: str) -> IO[bytes] | None:
    """Keeps other simulators from the file until it is closed or the process ends.

    Two would deliver every event twice. It is closed after SQLite's own connection, because
    closing any handle of a file gives up the process's locks on it.
    """
    if fcntl is None:
        return None
    held = open(path, "rb")  # noqa: SIM115  held as long as the database
    try:
        fcntl.flock(held, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError as error:
        held.close()
        raise FileInUse("another stripesim is at work on it") from error
    return held
