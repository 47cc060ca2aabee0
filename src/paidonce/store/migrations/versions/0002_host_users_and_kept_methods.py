"""The host's users table, what the adoption of its customers has reached, and saved cards.

`host_users` has a row when the host's table was adopted (`store/migrations/adoption.py`): which
table it is, and how it was before, so that it can be given back.
"""

import sqlalchemy as sa
from alembic import op

from paidonce.store.migrations import naming

revision = "0002"
down_revision = "0001"
branch_labels = None
depends_on = None
readable_by = "0002"

TIME = sa.DateTime(timezone=True).with_variant(sa.Text(), "sqlite")


def upgrade() -> None:
    naming.create_table(
        "host_users",
        sa.Column("id", sa.Integer, primary_key=True),
        sa.Column("schema_name", sa.Text),
        sa.Column("table_name", sa.Text, nullable=False),
        sa.Column("id_column", sa.Text, nullable=False),
        sa.Column("email_column", sa.Text, nullable=False),
        sa.Column("id_kind", sa.Text, nullable=False),
        sa.Column("had_column", sa.Boolean, nullable=False),
        sa.Column("had_index", sa.Text, nullable=False),
        sa.Column("index_sql", sa.Text),
        sa.CheckConstraint("id = 1"),
    )
    naming.create_table(
        "customer_adoption",
        sa.Column("id", sa.Integer, primary_key=True),
        sa.Column("newest_customer_id", sa.Text),
        sa.Column("last_customer_id", sa.Text),
        sa.Column("started_at", TIME, nullable=False),
        sa.Column("finished_at", TIME),
        sa.CheckConstraint("id = 1"),
    )
    naming.create_table(
        "declined_saves",
        sa.Column("id", sa.Text, primary_key=True),
        sa.Column("user_id", sa.Text, nullable=False),
        sa.Column("client_address", sa.Text, nullable=False),
        sa.Column("created_at", TIME, nullable=False),
    )
    naming.create_index("idx_declined_saves_user", "declined_saves", ["user_id", "created_at"])
    naming.create_index(
        "idx_declined_saves_address", "declined_saves", ["client_address", "created_at"]
    )
    op.add_column(
        naming.table_name("payment_methods"),
        sa.Column("is_default", sa.Boolean, nullable=False, server_default=sa.false()),
        schema=naming.schema(),
    )


def downgrade() -> None:
    op.drop_column(naming.table_name("payment_methods"), "is_default", schema=naming.schema())
    naming.drop_table("declined_saves")
    naming.drop_table("customer_adoption")
    naming.drop_table("host_users")
