"""Orders that are captured later, orders that expire, and the merchant's lists.

`orders.capture_method`: `automatic`, or `manual` for money that is held first and taken later.
`payments.capture_before`: until when Stripe holds it. `amount_captured_minor` of both: what was
taken of what was held; NULL where nothing was held, and the whole amount was charged at once.
`captures`: written down before Stripe is asked; one per payment, but for those that Stripe refused.
`orders.expires_at`: when the worker cancels the order, if it is not paid by then.
"""

from typing import Any

import sqlalchemy as sa
from alembic import op

from paidonce.store.migrations import naming

revision = "0006"
down_revision = "0005"
branch_labels = None
depends_on = None
readable_by = "0006"

TIME = sa.DateTime(timezone=True).with_variant(sa.Text(), "sqlite")
BIG = sa.BigInteger()
COLUMNS: tuple[tuple[str, str, Any], ...] = (
    ("orders", "amount_captured_minor", BIG),
    ("orders", "expires_at", TIME),
    ("payments", "amount_captured_minor", BIG),
    ("payments", "capture_before", TIME),
)


def upgrade() -> None:
    op.add_column(
        naming.table_name("orders"),
        sa.Column("capture_method", sa.Text, nullable=False, server_default="automatic"),
        schema=naming.schema(),
    )
    for table, name, kind in COLUMNS:
        op.add_column(naming.table_name(table), sa.Column(name, kind), schema=naming.schema())
    naming.create_table(
        "captures",
        sa.Column("id", sa.Text, primary_key=True),
        sa.Column(
            "order_id", sa.Text, sa.ForeignKey(naming.reference("orders.id")), nullable=False
        ),
        sa.Column(
            "payment_id", sa.Text, sa.ForeignKey(naming.reference("payments.id")), nullable=False
        ),
        sa.Column("state", sa.Text, nullable=False),
        sa.Column("amount_minor", BIG, nullable=False),
        sa.Column("stripe_version", sa.Text, nullable=False),
        sa.Column("params", sa.Text, nullable=False),
        sa.Column("key_no", sa.Integer, nullable=False, server_default="0"),
        sa.Column("failure_reason", sa.Text),
        sa.Column("checks", sa.Integer, nullable=False, server_default="0"),
        sa.Column("next_check_at", TIME),
        sa.Column("created_at", TIME, nullable=False),
        sa.Column("finished_at", TIME),
        sa.CheckConstraint("amount_minor > 0"),
    )
    naming.create_index("idx_captures_order", "captures", ["order_id", "created_at"])
    naming.create_index(
        "idx_captures_one", "captures", ["payment_id"], unique=True, where="state <> 'refused'"
    )
    naming.create_index(
        "idx_captures_due", "captures", ["next_check_at"], where="next_check_at IS NOT NULL"
    )


def downgrade() -> None:
    naming.drop_table("captures")
    for table, name, _ in (*COLUMNS, ("orders", "capture_method", None)):
        op.drop_column(naming.table_name(table), name, schema=naming.schema())
