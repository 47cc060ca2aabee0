"""Stripe's customers in a scratch file, and those of them that may be one person's."""

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime

from paidonce.store.scratch import open_scratch

MOST_MEMBERS = 20
"""Customers of a group that are looked at; the rest are counted."""
AT_A_TIME = 200


@dataclass(frozen=True, slots=True)
class KnownCustomer:
    """`user_id`: whom it belongs to, by our books or by its metadata; `is_recorded`: by our
    books."""

    id: str
    user_id: str | None
    email: str | None
    created_at: datetime
    is_recorded: bool


@dataclass(frozen=True, slots=True)
class Group:
    """Customers that share `name` (a user's id, or an e-mail in small letters): the recorded one
    and the newest of the others, MOST_MEMBERS at most; `left_out` are more."""

    name: str
    members: list[KnownCustomer]
    left_out: int


class CustomerGroups:
    """Every customer of the list once; memory holds a batch."""

    def __init__(self) -> None:
        self._db = open_scratch()
        for statement in (
            "CREATE TABLE customers (id TEXT PRIMARY KEY, user_id TEXT, email TEXT,"
            " created INTEGER, is_recorded INTEGER) WITHOUT ROWID",
            "CREATE INDEX by_user ON customers (user_id) WHERE user_id IS NOT NULL",
            "CREATE INDEX by_email ON customers (email) WHERE email IS NOT NULL",
        ):
            self._db.execute(statement)

    def close(self) -> None:
        self._db.close()

    def note(self, customers: list[KnownCustomer]) -> None:
        """A customer that a list shows twice counts once."""
        self._db.executemany(
            "INSERT OR IGNORE INTO customers VALUES (?, ?, ?, ?, ?)",
            [
                (
                    each.id,
                    each.user_id,
                    (each.email or "").strip().lower() or None,
                    int(each.created_at.timestamp()),
                    each.is_recorded,
                )
                for each in customers
            ],
        )

    def list_same_user(self) -> Iterator[Group]:
        """Users with several customers."""
        return self._groups("user_id", "HAVING count(*) > 1")

    def list_same_email(self) -> Iterator[Group]:
        """E-mails with several customers that are not all known to be one user's."""
        return self._groups("email", "HAVING count(DISTINCT coalesce('u' || user_id, id)) > 1")

    def _groups(self, column: str, having: str) -> Iterator[Group]:
        after = ""
        while True:
            found = self._db.execute(
                f"SELECT {column}, count(*) FROM customers WHERE {column} > ?"
                f" GROUP BY {column} {having} ORDER BY {column} LIMIT {AT_A_TIME}",
                (after,),
            ).fetchall()
            for name, count in found:
                after = name
                rows = self._db.execute(
                    f"SELECT id, user_id, email, created, is_recorded FROM customers"
                    f" WHERE {column} = ? ORDER BY is_recorded DESC, created DESC, id"
                    f" LIMIT {MOST_MEMBERS}",
                    (name,),
                )
                members = [
                    KnownCustomer(row[0], row[1], row[2], _time(row[3]), bool(row[4]))
                    for row in rows
                ]
                yield Group(name, members, count - len(members))
            if len(found) < AT_A_TIME:
                return


def _time(seconds: int) -> datetime:
    return datetime.fromtimestamp(seconds, UTC)
