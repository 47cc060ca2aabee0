"""Which order came of a request: by its Idempotency-Key, or by its basket."""

import sqlalchemy as sa

from paidonce.store.migrations import naming

revision = "0004"
down_revision = "0003"
branch_labels = None
depends_on = None
readable_by = "0004"

TIME = sa.DateTime(timezone=True).with_variant(sa.Text(), "sqlite")


def upgrade() -> None:
    naming.create_table(
        "order_claims",
        sa.Column("id", sa.Text, primary_key=True),
        sa.Column("order_id", sa.Text, nullable=False),
        sa.Column("body_hash", sa.Text, nullable=False),
        sa.Column("created_at", TIME, nullable=False),
    )
    naming.create_index("idx_order_claims_age", "order_claims", ["created_at"])


def downgrade() -> None:
    naming.drop_index("idx_order_claims_age", "order_claims")
    naming.drop_table("order_claims")
