"""`users.methods_seen_at`: when a user's cards were last compared with his Stripe customer's."""

import sqlalchemy as sa
from alembic import op

from paidonce.store.migrations import naming

revision = "0016"
down_revision = "0015"
branch_labels = None
depends_on = None
readable_by = "0008"

TIME = sa.DateTime(timezone=True).with_variant(sa.Text(), "sqlite")


def upgrade() -> None:
    op.add_column(
        naming.table_name("users"), sa.Column("methods_seen_at", TIME), schema=naming.schema()
    )


def downgrade() -> None:
    op.drop_column(naming.table_name("users"), "methods_seen_at", schema=naming.schema())
