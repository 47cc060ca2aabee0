"""Outgoing events: the outbox has a row for each thing that happened, and who was told.

`outbox.subject`: which refund, attempt or dispute; '' where an order has one of its kind.
`outbox.position`: grows with every row, and is taken under the order's lock, so that an order's
events have an order; empty in rows of before. `outbox.spread_at`: when its deliveries were made.
`event_endpoints`: the endpoints of the settings, from the day on that each was first seen.
`event_deliveries`: one event for one endpoint; no column holds a secret or an address.
"""

import sqlalchemy as sa
from alembic import op

from paidonce.store.migrations import naming
from paidonce.store.postgresql import SCHEMA

revision = "0005"
down_revision = "0004"
branch_labels = None
depends_on = None
readable_by = "0005"

TIME = sa.DateTime(timezone=True).with_variant(sa.Text(), "sqlite")
BIG = sa.BigInteger()
SEQUENCE = f"{SCHEMA}.outbox_position_seq"


def upgrade() -> None:
    if naming.schema():
        _widen_outbox()
    else:
        _rebuild_outbox()
    naming.create_table(
        "event_endpoints",
        sa.Column("name", sa.Text, primary_key=True),
        sa.Column("since_at", TIME, nullable=False),
        sa.Column("paused_until", TIME),
        sa.Column("disabled_at", TIME),
        sa.Column("note", sa.Text),
    )
    _deliveries()


def downgrade() -> None:
    naming.drop_table("event_deliveries")
    naming.drop_table("event_endpoints")
    if naming.schema():
        _narrow_outbox()
    else:
        _rebuild_outbox_as_it_was()


def _deliveries() -> None:
    naming.create_table(
        "event_deliveries",
        sa.Column("event_id", sa.Text, sa.ForeignKey(naming.reference("outbox.id"))),
        sa.Column("endpoint", sa.Text),
        sa.Column("order_id", sa.Text, nullable=False),
        sa.Column("position", BIG, nullable=False),
        sa.Column("state", sa.Text, nullable=False),
        sa.Column("tries", sa.Integer, nullable=False, server_default="0"),
        sa.Column("lease_owner", sa.Text),
        sa.Column("next_try_at", TIME, nullable=False),
        sa.Column("last_status", sa.Integer),
        sa.Column("note", sa.Text),
        sa.Column("created_at", TIME, nullable=False),
        sa.Column("finished_at", TIME),
        sa.PrimaryKeyConstraint("event_id", "endpoint"),
    )
    pending = "state = 'pending'"
    naming.create_index(
        "idx_event_deliveries_due", "event_deliveries", ["endpoint", "next_try_at"], where=pending
    )
    naming.create_index(
        "idx_event_deliveries_order",
        "event_deliveries",
        ["endpoint", "order_id", "position"],
        where=pending,
    )
    naming.create_index(
        "idx_event_deliveries_dead", "event_deliveries", ["finished_at"], where="state = 'dead'"
    )


# --- PostgreSQL: no row is written, so that payments wait for a moment only ----------------------


def _widen_outbox() -> None:
    schema = naming.schema()
    op.add_column(
        "outbox", sa.Column("subject", sa.Text, nullable=False, server_default=""), schema=schema
    )
    op.add_column("outbox", sa.Column("position", BIG), schema=schema)
    op.add_column("outbox", sa.Column("spread_at", TIME), schema=schema)
    op.execute(f"CREATE SEQUENCE {SEQUENCE} OWNED BY {SCHEMA}.outbox.position")
    op.execute(f"ALTER TABLE {SCHEMA}.outbox ALTER position SET DEFAULT nextval('{SEQUENCE}')")


def _narrow_outbox() -> None:
    """What the older version does not know of goes."""
    schema = naming.schema()
    op.execute(f"DELETE FROM {SCHEMA}.outbox WHERE subject <> ''")
    for column in ("spread_at", "position", "subject"):
        op.drop_column("outbox", column, schema=schema)


# --- SQLite: a constraint of a table goes with the table -----------------------------------------


def _rebuild_outbox() -> None:
    _replace_outbox(
        *_outbox_columns(),
        sa.Column("subject", sa.Text, nullable=False, server_default=""),
        sa.Column("position", sa.Integer, primary_key=True),
        sa.Column("spread_at", TIME),
        sa.UniqueConstraint("id"),
    )


def _rebuild_outbox_as_it_was() -> None:
    op.execute(f"DELETE FROM {naming.table_name('outbox')} WHERE subject <> ''")
    _replace_outbox(
        *_outbox_columns(),
        sa.PrimaryKeyConstraint("id"),
        sa.UniqueConstraint("order_id", "kind"),
    )


def _outbox_columns() -> list[sa.schema.SchemaItem]:
    return [
        sa.Column("id", sa.Text, nullable=False),
        sa.Column(
            "order_id", sa.Text, sa.ForeignKey(naming.reference("orders.id")), nullable=False
        ),
        sa.Column("kind", sa.Text, nullable=False),
        sa.Column("payload", sa.Text, nullable=False),
        sa.Column("created_at", TIME, nullable=False),
    ]


def _replace_outbox(*columns: sa.schema.SchemaItem) -> None:
    kept = "id, order_id, kind, payload, created_at"
    old, new = naming.table_name("outbox"), naming.table_name("outbox_new")
    op.create_table(new, *columns)
    op.execute(f"INSERT INTO {new} ({kept}) SELECT {kept} FROM {old} ORDER BY rowid")
    op.drop_table(old)
    op.rename_table(new, old)
