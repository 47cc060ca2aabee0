"""Users whose data were erased, or are being erased.

A row says which customers Stripe is to delete, so that an erasure goes on after a crash.
"""

import sqlalchemy as sa

from paidonce.store.migrations import naming

revision = "0015"
down_revision = "0014"
branch_labels = None
depends_on = None
readable_by = "0008"

TIME = sa.DateTime(timezone=True).with_variant(sa.Text(), "sqlite")


def upgrade() -> None:
    naming.create_table(
        "erasures",
        sa.Column("id", sa.Text, primary_key=True),
        sa.Column("user_id", sa.Text, nullable=False),
        sa.Column("stripe_customer_ids", sa.Text, nullable=False),
        sa.Column("begun_at", TIME, nullable=False),
        sa.Column("finished_at", TIME),
    )
    naming.create_index("idx_erasures_user", "erasures", ["user_id"])


def downgrade() -> None:
    naming.drop_table("erasures")
