"""Which programs can work with this schema (`store/migrations/revisions.py`)."""

import sqlalchemy as sa

from paidonce.store.migrations import naming

revision = "0008"
down_revision = "0007"
branch_labels = None
depends_on = None
readable_by = "0008"


def upgrade() -> None:
    naming.create_table(
        "schema_readers",
        sa.Column("id", sa.Integer, primary_key=True),
        sa.Column("oldest", sa.Text, nullable=False),
        sa.CheckConstraint("id = 1"),
    )


def downgrade() -> None:
    naming.drop_table("schema_readers")
