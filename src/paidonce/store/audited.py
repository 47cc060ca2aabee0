"""What `paidonce payment-methods audit` works through: our stored methods and customers, a page at
a time, and a file with what it was given and has judged."""

from collections.abc import Collection, Iterator

from paidonce.store.engine import Transaction
from paidonce.store.rows import MethodRow, columns, places, row_as
from paidonce.store.watched import Watched

_METHOD = columns(MethodRow)
AT_A_TIME = 200


class Audited(Watched):
    """Stored methods that the host gave, and the methods that were judged."""

    shape = "audit 1"
    more_tables = (
        "CREATE TABLE IF NOT EXISTS stored (method_id TEXT, user_id TEXT,"
        " PRIMARY KEY (method_id, user_id)) WITHOUT ROWID",
        "CREATE TABLE IF NOT EXISTS judged (method_id TEXT, user_id TEXT,"
        " PRIMARY KEY (method_id, user_id)) WITHOUT ROWID",
        "CREATE TABLE IF NOT EXISTS gone (customer_id TEXT PRIMARY KEY) WITHOUT ROWID",
    )

    def note_stored(self, rows: Collection[tuple[str, str]]) -> None:
        """Methods as (id, user)."""
        self._db.executemany("INSERT OR IGNORE INTO stored VALUES (?, ?)", rows)

    def is_stored(self, method_id: str, user_id: str) -> bool:
        row = self._db.execute(
            "SELECT 1 FROM stored WHERE method_id = ? AND user_id = ?", (method_id, user_id)
        )
        return row.fetchone() is not None

    def is_judged(self, method_id: str, user_id: str) -> bool:
        row = self._db.execute(
            "SELECT 1 FROM judged WHERE method_id = ? AND user_id = ?", (method_id, user_id)
        )
        return row.fetchone() is not None

    def note_judged(self, method_id: str, user_id: str) -> None:
        self._db.execute("INSERT OR IGNORE INTO judged VALUES (?, ?)", (method_id, user_id))

    def is_gone(self, customer_id: str) -> bool:
        row = self._db.execute("SELECT 1 FROM gone WHERE customer_id = ?", (customer_id,))
        return row.fetchone() is not None

    def note_gone(self, customer_id: str) -> None:
        """Deleted at Stripe: its methods still name it."""
        self._db.execute("INSERT OR IGNORE INTO gone VALUES (?)", (customer_id,))

    def list_unjudged(self) -> Iterator[list[tuple[str, str]]]:
        """Stored methods that are still to be judged, as (id, user)."""
        after = ("", "")
        while rows := self._db.execute(
            "SELECT method_id, user_id FROM stored s WHERE (method_id, user_id) > (?, ?)"
            " AND NOT EXISTS (SELECT 1 FROM judged j WHERE j.method_id = s.method_id"
            f" AND j.user_id = s.user_id) ORDER BY method_id, user_id LIMIT {AT_A_TIME}",
            after,
        ).fetchall():
            after = rows[-1]
            yield rows


async def list_methods_of(tx: Transaction, user_id: str) -> list[MethodRow]:
    """Every method of a user that can pay by our books."""
    rows = await tx.fetch(
        f"SELECT {_METHOD} FROM payment_methods WHERE user_id = $1 AND state = 'attached'", user_id
    )
    return [row_as(MethodRow, row) for row in rows]


async def list_attached(tx: Transaction, after: str, limit: int) -> list[MethodRow]:
    """The same of all users, by our ids, from behind `after`."""
    rows = await tx.fetch(
        f"SELECT {_METHOD} FROM payment_methods WHERE id > $1 AND state = 'attached'"
        " ORDER BY id LIMIT $2",
        after,
        limit,
    )
    return [row_as(MethodRow, row) for row in rows]


async def list_known(tx: Transaction, method_ids: Collection[str]) -> set[str]:
    """Those of Stripe's ids that our books have in any state."""
    if not method_ids:
        return set()
    rows = await tx.fetch(
        "SELECT stripe_payment_method_id AS id FROM payment_methods"
        f" WHERE stripe_payment_method_id IN ({places(1, method_ids)})",
        *method_ids,
    )
    return {str(row["id"]) for row in rows}
