"""Where a user's Stripe customer is recorded: in our own `users` table, or in the host's.

Of every user we have seen there is a row in our `users` (the e-mail and the key number of the
customer's create). `stripe_customer_id` stands in one place only: in that row, or, when the
database had a users table before us, in the host's row. The host's rows are read, and that one
column is written; none is ever inserted or deleted.
"""

import re
from dataclasses import dataclass
from enum import StrEnum

_INTEGER = re.compile(r"-?[1-9][0-9]{0,18}|0")
_UUID = re.compile(r"[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}")
_LARGEST_INTEGER = 2**63 - 1


class IdKind(StrEnum):
    """What the host's ids are. A token's `sub` is the id as the database writes it as text."""

    TEXT = "text"
    INTEGER = "integer"
    UUID = "uuid"


@dataclass(frozen=True, slots=True)
class UsersTable:
    """The table that holds `stripe_customer_id`, as SQL names it (quoted where it is the host's).

    `cast` makes the host's type of a text on PostgreSQL, so that the host's own index is used;
    SQLite compares by the column's affinity and needs none.
    """

    name: str = "users"
    id_column: str = "id"
    email_column: str = "email"
    id_kind: IdKind = IdKind.TEXT
    cast: str = ""
    is_host: bool = False

    def has_id(self, value: str, alias: str = "") -> str:
        """The condition that a row is the user's; `value` is a placeholder or a text column."""
        return f"{alias}{self.id_column} = {value}{self.cast}"

    def id_text(self, alias: str = "") -> str:
        return f"CAST({alias}{self.id_column} AS TEXT)"

    def can_have(self, user_id: str) -> bool:
        """Whether a text can be an id at all: `042` is not the text of any integer."""
        match self.id_kind:
            case IdKind.TEXT:
                return True
            case IdKind.INTEGER:
                is_number = _INTEGER.fullmatch(user_id) is not None
                return is_number and -_LARGEST_INTEGER <= int(user_id) <= _LARGEST_INTEGER
            case IdKind.UUID:
                return _UUID.fullmatch(user_id) is not None


OWN = UsersTable()


def quoted(name: str) -> str:
    """An identifier as both databases read it, whatever is in it."""
    escaped = name.replace('"', '""')
    return f'"{escaped}"'


def host_table(
    *, schema: str | None, table: str, id_column: str, email_column: str, id_kind: IdKind
) -> UsersTable:
    """The host's table; `schema` is None on SQLite."""
    casts = {
        IdKind.TEXT: "",
        IdKind.INTEGER: "::text::bigint",
        IdKind.UUID: "::text::uuid",
    }
    return UsersTable(
        name=f"{quoted(schema)}.{quoted(table)}" if schema else quoted(table),
        id_column=quoted(id_column),
        email_column=quoted(email_column),
        id_kind=id_kind,
        cast=casts[id_kind] if schema else "",
        is_host=True,
    )
