"""What `paidonce shadow` has seen of an account, in a SQLite file of its own: a temporary one, or
one that the next run goes on with. Everything is found by SQL over it, so memory stays small."""

from collections.abc import Collection, Iterator
from dataclasses import dataclass
from pathlib import Path

from paidonce.store.scratch import FileUnusable, open_kept, open_scratch

_TABLES = (
    "PRAGMA synchronous = OFF",  # what a power cut takes is read again
    "CREATE TABLE IF NOT EXISTS meta (name TEXT PRIMARY KEY, value TEXT) WITHOUT ROWID",
    "CREATE TABLE IF NOT EXISTS charges (id TEXT PRIMARY KEY, intent_id TEXT, order_key TEXT,"
    " amount INTEGER, refunded INTEGER, currency TEXT, created INTEGER, is_succeeded INTEGER,"
    " customer TEXT, method_id TEXT, fingerprint TEXT)",
    "CREATE INDEX IF NOT EXISTS charges_of_order ON charges (order_key)",
    "CREATE INDEX IF NOT EXISTS charges_of_intent ON charges (intent_id)",
    "CREATE INDEX IF NOT EXISTS charges_of_method ON charges (method_id)",
    "CREATE TABLE IF NOT EXISTS intents (id TEXT PRIMARY KEY, order_key TEXT, status TEXT,"
    " amount INTEGER, currency TEXT, created INTEGER, customer TEXT, method_id TEXT,"
    " is_tried INTEGER, has_consent INTEGER, is_refused_reuse INTEGER, is_ours INTEGER)",
    "CREATE INDEX IF NOT EXISTS intents_of_order ON intents (order_key)",
    "CREATE INDEX IF NOT EXISTS intents_of_method ON intents (method_id)",
    "CREATE TABLE IF NOT EXISTS customers (id TEXT PRIMARY KEY, user_key TEXT, email TEXT,"
    " created INTEGER)",
    "CREATE INDEX IF NOT EXISTS customers_of_user ON customers (user_key)",
    "CREATE INDEX IF NOT EXISTS customers_of_email ON customers (email)",
    "CREATE TABLE IF NOT EXISTS events (id TEXT PRIMARY KEY, created INTEGER) WITHOUT ROWID",
    "CREATE TABLE IF NOT EXISTS hints (id TEXT PRIMARY KEY) WITHOUT ROWID",
    "CREATE TABLE IF NOT EXISTS told (kind TEXT, subject TEXT, PRIMARY KEY (kind, subject))"
    " WITHOUT ROWID",
)
_ORDER = "coalesce(c.order_key, i.order_key)"
_CHARGED = (
    f"SELECT c.id, {_ORDER} AS order_key, c.amount - c.refunded AS net, c.amount, c.currency,"
    " c.created, c.customer, c.fingerprint, c.method_id FROM charges c"
    " LEFT JOIN intents i ON i.id = c.intent_id WHERE c.is_succeeded"
)
OPEN = (
    "requires_payment_method", "requires_confirmation", "requires_action", "processing",
    "requires_capture",
)  # fmt: skip


class NotOurFile(Exception):
    """The file holds something else than what is to be gone on with."""


@dataclass(frozen=True, slots=True)
class Row:
    """Something that was found: at Stripe `id`; `other` is what it is a second one of. `amount` is
    in minor units."""

    id: str
    order_key: str | None = None
    other: str | None = None
    amount: int | None = None
    currency: str = ""
    count: int = 0
    status: str = ""


class Watched:
    """`path`: a file that stays, readable by its owner alone; None: a temporary one."""

    shape = "shadow 1"
    more_tables: tuple[str, ...] = ()

    def __init__(self, path: Path | None, account: str) -> None:
        """Raises NotOurFile, OSError, FileUnusable; whatever comes after it FileUnusable."""
        self._db = open_scratch() if path is None else open_kept(path)
        try:
            for statement in (*_TABLES, *self.more_tables):
                self._db.execute(statement)
        except FileUnusable as error:
            why = f"or cannot be used: {error.__cause__}"
            raise NotOurFile(f"{path} is no file of this command, {why}") from error
        if self.get("shape") not in (None, self.shape) or self.get("account") not in (
            None,
            account,
        ):
            raise NotOurFile(f"{path} is of another version or of another Stripe account")
        self.put("shape", self.shape)
        self.put("account", account)

    def close(self) -> None:
        self._db.close()

    def get(self, name: str) -> str | None:
        row = self._db.execute("SELECT value FROM meta WHERE name = ?", (name,)).fetchone()
        return None if row is None else str(row[0])

    def put(self, name: str, value: str) -> None:
        self._db.execute("INSERT OR REPLACE INTO meta VALUES (?, ?)", (name, value))

    # --- what was read: the latest reading replaces the one before, and needs no hint any more ---

    def note_charges(self, rows: list[tuple[object, ...]]) -> None:
        self._replace("charges", rows)

    def note_intents(self, rows: list[tuple[object, ...]]) -> None:
        self._replace("intents", rows)

    def note_customers(self, rows: list[tuple[object, ...]]) -> None:
        self._replace("customers", rows)

    def forget_customer(self, customer_id: str) -> None:
        self._db.execute("DELETE FROM customers WHERE id = ?", (customer_id,))

    def note_events(self, events: Collection[tuple[str, str, int]]) -> None:
        """Events as (id, the object they are about, when); each new one leaves a hint, which is
        written first: one too many does no harm."""
        for event_id, object_id, created in events:
            known = self._db.execute("SELECT 1 FROM events WHERE id = ?", (event_id,)).fetchone()
            if known is None:
                self._db.execute("INSERT OR IGNORE INTO hints VALUES (?)", (object_id,))
                self._db.execute("INSERT INTO events VALUES (?, ?)", (event_id, created))

    def list_hints(self, limit: int) -> list[str]:
        """Objects to read again."""
        rows = self._db.execute("SELECT id FROM hints ORDER BY id LIMIT ?", (limit,))
        return [row[0] for row in rows.fetchall()]

    def forget_hint(self, object_id: str) -> None:
        self._db.execute("DELETE FROM hints WHERE id = ?", (object_id,))

    def prune(self, before: int) -> None:
        """What is over and older; intents that can still charge stay."""
        places = ", ".join("?" * len(OPEN))
        self._db.execute("DELETE FROM charges WHERE created < ?", (before,))
        self._db.execute("DELETE FROM events WHERE created < ?", (before,))
        self._db.execute(
            f"DELETE FROM intents WHERE created < ? AND status NOT IN ({places})", (before, *OPEN)
        )

    def tell_once(self, kind: str, subject: str) -> bool:
        """Whether it was not told before."""
        new = self._db.execute("INSERT OR IGNORE INTO told VALUES (?, ?)", (kind, subject))
        return new.rowcount == 1

    # --- what is found ---------------------------------------------------------------------------

    def list_double_charges(self) -> Iterator[Row]:
        """Every charge of an order beside the one that is the order's: the one of which most is
        left, of equal ones the first. `amount` is what is left of the charge."""
        yield from self._rows(
            f"WITH charged AS ({_CHARGED}), ranked AS (SELECT id, order_key, net, currency,"
            " row_number() OVER (PARTITION BY order_key ORDER BY net DESC, created, id) AS place,"
            " first_value(id) OVER (PARTITION BY order_key ORDER BY net DESC, created, id)"
            " AS kept, count(*) OVER (PARTITION BY order_key) AS n FROM charged"
            " WHERE order_key IS NOT NULL)"
            " SELECT id, order_key, kept, net, currency, n, '' FROM ranked WHERE place > 1"
            " ORDER BY order_key, place"
        )

    def list_likely_double_charges(self, within_seconds: int) -> Iterator[Row]:
        """Charges of one payer, amount and currency soon after another, unless both name an
        order."""
        found = (
            "SELECT id, order_key, net, currency, created, lag(id) OVER w AS other,"
            " lag(order_key) OVER w AS other_key, lag(created) OVER w AS before"
            " FROM charged WHERE {payer} IS NOT NULL"
            " WINDOW w AS (PARTITION BY {payer}, amount, currency ORDER BY created, id)"
        )
        both = " UNION ".join(found.format(payer=name) for name in ("fingerprint", "customer"))
        yield from self._rows(
            f"WITH charged AS ({_CHARGED}) SELECT id, order_key, min(other), net, currency, 2, ''"
            f" FROM ({both}) WHERE created - before <= ?"
            " AND (order_key IS NULL OR other_key IS NULL) GROUP BY id ORDER BY created, id",
            within_seconds,
        )

    def list_without_order(self) -> Iterator[Row]:
        yield from self._rows(
            f"SELECT id, NULL, NULL, net, currency, 1, '' FROM ({_CHARGED}) WHERE order_key IS NULL"
            " ORDER BY created, id"
        )

    def list_orphans(self, before: int) -> Iterator[Row]:
        """Intents that were made earlier and can still charge; `other` is a charge of their
        order."""
        places = ", ".join("?" * len(OPEN))
        yield from self._rows(
            "SELECT id, order_key, (SELECT c.id FROM charges c JOIN intents i ON i.id ="
            " c.intent_id WHERE c.is_succeeded AND i.order_key = o.order_key LIMIT 1),"
            f" amount, currency, 1, status FROM intents o WHERE status IN ({places})"
            " AND created < ? AND NOT is_ours ORDER BY created, id",
            *OPEN,
            before,
        )

    def list_refused_reuse(self) -> Iterator[Row]:
        yield from self._rows(
            "SELECT id, order_key, NULL, amount, currency, 1, status FROM intents"
            " WHERE is_refused_reuse ORDER BY created, id"
        )

    def list_dead_methods(self) -> Iterator[Row]:
        """Methods that were used without a customer; `order_key` is of one of the uses. A success
        with consent keeps a method alive until it is attached."""
        yield from self._rows(
            "SELECT method_id, max(order_key), NULL, NULL, '', count(*), '' FROM ("
            f" SELECT c.id AS use, c.method_id, {_ORDER} AS order_key FROM charges c"
            " LEFT JOIN intents i ON i.id = c.intent_id WHERE c.customer IS NULL"
            " AND NOT (c.is_succeeded AND coalesce(i.has_consent, 0))"
            " UNION ALL SELECT id, method_id, order_key FROM intents o WHERE customer IS NULL"
            " AND is_tried AND NOT (has_consent AND status = 'succeeded')"
            " AND NOT EXISTS (SELECT 1 FROM charges c WHERE c.intent_id = o.id"
            " AND c.method_id = o.method_id)"
            ") WHERE method_id LIKE 'pm!_%' ESCAPE '!' GROUP BY method_id ORDER BY method_id"
        )

    def find_uses(self, method_id: str) -> Row | None:
        """How often a method was tried, the last time by the charge or intent `id`; `status` is
        `kept` where a success with consent, and without a customer, keeps it alive."""
        row = self._db.execute(
            "SELECT use, NULL, NULL, NULL, '', count(*) OVER (),"
            " CASE WHEN max(is_kept) OVER () THEN 'kept' ELSE '' END FROM ("
            " SELECT c.id AS use, c.created, c.customer IS NULL AND c.is_succeeded"
            " AND coalesce(i.has_consent, 0) AS is_kept FROM charges c"
            " LEFT JOIN intents i ON i.id = c.intent_id WHERE c.method_id = ?1"
            " UNION ALL SELECT id, created, 0 FROM intents o WHERE method_id = ?1 AND is_tried"
            " AND NOT EXISTS (SELECT 1 FROM charges c WHERE c.intent_id = o.id"
            " AND c.method_id = ?1)) ORDER BY created DESC LIMIT 1",
            (method_id,),
        ).fetchone()
        return None if row is None else Row(*row)

    def list_duplicate_customers(self) -> Iterator[Row]:
        """Every customer of a user beside his first."""
        yield from self._beside_the_first("user_key", "")

    def list_same_email(self) -> Iterator[Row]:
        """The same by e-mail, where they are not all known to be one user's."""
        yield from self._beside_the_first(
            "email",
            " AND email IN (SELECT email FROM customers WHERE email IS NOT NULL GROUP BY email"
            " HAVING count(DISTINCT coalesce('u' || user_key, id)) > 1)",
        )

    def _beside_the_first(self, column: str, condition: str) -> Iterator[Row]:
        yield from self._rows(
            f"SELECT id, name, first, NULL, '', n, '' FROM (SELECT id, {column} AS name,"
            f" first_value(id) OVER w AS first, row_number() OVER w AS place,"
            f" count(*) OVER (PARTITION BY {column}) AS n FROM customers"
            f" WHERE {column} IS NOT NULL{condition}"
            f" WINDOW w AS (PARTITION BY {column} ORDER BY created, id)) WHERE place > 1"
            " ORDER BY name, place"
        )

    def _rows(self, sql: str, *values: object) -> Iterator[Row]:
        for row in self._db.execute(sql, values):
            yield Row(*row)

    def _replace(self, table: str, rows: list[tuple[object, ...]]) -> None:
        if not rows:
            return
        places = ", ".join("?" * len(rows[0]))
        self._db.executemany(f"INSERT OR REPLACE INTO {table} VALUES ({places})", rows)
        self._db.executemany("DELETE FROM hints WHERE id = ?", [row[:1] for row in rows])
