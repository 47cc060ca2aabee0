"""The outbox's uniqueness of before goes, now that its index with the subject is there. In a SQLite
file it went with 0005."""

from alembic import op

from paidonce.store.migrations import naming

revision = "0010"
down_revision = "0009"
branch_labels = None
depends_on = None
readable_by = "0008"

NAME = "outbox_order_id_kind_key"


def upgrade() -> None:
    if naming.schema():
        op.drop_constraint(NAME, "outbox", schema=naming.schema())


def downgrade() -> None:
    """What the older version does not know of goes."""
    schema = naming.schema()
    if schema:
        gone = f"SELECT id FROM {schema}.outbox WHERE subject <> ''"
        op.execute(f"DELETE FROM {schema}.event_deliveries WHERE event_id IN ({gone})")
        op.execute(f"DELETE FROM {schema}.outbox WHERE subject <> ''")
        op.create_unique_constraint(NAME, "outbox", ["order_id", "kind"], schema=schema)
