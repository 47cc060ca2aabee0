"""Refunds that the merchant asks for, disputes, and warnings of fraud.

`refunds.key_hash`: the hash of the `Idempotency-Key` that the refund was asked for under, once per
order, for ever (0013); `refunds.request_hash`: that of what was asked. Both are NULL for a refund
that nobody asked for here. `disputes.seen_at`: when Stripe was asked for what the row says.
`installation.disputes_read_until_at`: how far Stripe's list of disputes was read, and
`disputes_read_again_at`: when it is read on.
"""

import sqlalchemy as sa
from alembic import op

from paidonce.store.migrations import naming

revision = "0012"
down_revision = "0011"
branch_labels = None
depends_on = None
readable_by = "0008"

TIME = sa.DateTime(timezone=True).with_variant(sa.Text(), "sqlite")
BIG = sa.BigInteger()
NEW_COLUMNS = ("key_hash", "request_hash", "reason")
READINGS = ("disputes_read_until_at", "disputes_read_again_at")


def upgrade() -> None:
    for name in NEW_COLUMNS:
        op.add_column(
            naming.table_name("refunds"), sa.Column(name, sa.Text), schema=naming.schema()
        )
    for name in READINGS:
        op.add_column(
            naming.table_name("installation"), sa.Column(name, TIME), schema=naming.schema()
        )
    naming.create_table(
        "disputes",
        sa.Column("id", sa.Text, primary_key=True),
        *_whose(),
        sa.Column("amount_minor", BIG, nullable=False),
        sa.Column("currency", sa.Text, nullable=False),
        sa.Column("reason", sa.Text, nullable=False),
        sa.Column("status", sa.Text, nullable=False),
        sa.Column("is_charge_refundable", sa.Boolean, nullable=False),
        sa.Column("evidence_due_at", TIME),
        sa.Column("created_at", TIME, nullable=False),
        sa.Column("seen_at", TIME, nullable=False),
        sa.Column("closed_at", TIME),
        sa.Column("next_look_at", TIME),
    )
    naming.create_index("idx_disputes_order", "disputes", ["order_id"])
    naming.create_index("idx_disputes_payment", "disputes", ["payment_id"])
    naming.create_index("idx_disputes_created", "disputes", ["created_at", "id"])
    naming.create_index(
        "idx_disputes_due", "disputes", ["next_look_at"], where="next_look_at IS NOT NULL"
    )
    naming.create_table(
        "fraud_warnings",
        sa.Column("id", sa.Text, primary_key=True),
        *_whose(),
        sa.Column("fraud_type", sa.Text, nullable=False),
        sa.Column("is_actionable", sa.Boolean, nullable=False),
        sa.Column("created_at", TIME, nullable=False),
    )
    naming.create_index("idx_fraud_warnings_order", "fraud_warnings", ["order_id"])


def downgrade() -> None:
    naming.drop_table("fraud_warnings")
    naming.drop_table("disputes")
    for name in READINGS:
        op.drop_column(naming.table_name("installation"), name, schema=naming.schema())
    for name in NEW_COLUMNS:
        op.drop_column(naming.table_name("refunds"), name, schema=naming.schema())


def _whose() -> list[sa.Column[str]]:
    """Stripe's object belongs to a payment, and by it to an order and a charge."""
    return [
        sa.Column(
            "order_id", sa.Text, sa.ForeignKey(naming.reference("orders.id")), nullable=False
        ),
        sa.Column(
            "payment_id", sa.Text, sa.ForeignKey(naming.reference("payments.id")), nullable=False
        ),
        sa.Column("stripe_charge_id", sa.Text, nullable=False),
    ]
