"""Intents that no row holds, refunds, and what a restored database has forgotten.

`payments.next_sweep_at`: when the worker looks for intents of this payment beside the recorded one.
`payments.amount_refunded_minor`: what Stripe has given back of this payment's charge, as the look
of `refunds_seen_at` saw it. `payments.intent_adopted_at`: when its intent was found at Stripe.
`installation.intents_known_until`: payments that were opened before it have a row in this database,
or their intent a row in `forgotten_intents`. `comparisons`: those that have begun and not ended.
"""

import sqlalchemy as sa
from alembic import op

from paidonce.store.migrations import naming

revision = "0003"
down_revision = "0002"
branch_labels = None
depends_on = None
readable_by = "0003"

TIME = sa.DateTime(timezone=True).with_variant(sa.Text(), "sqlite")
BIG = sa.BigInteger()


def upgrade() -> None:
    _payments()
    op.add_column(
        naming.table_name("installation"),
        sa.Column("intents_known_until", TIME),
        schema=naming.schema(),
    )
    naming.create_table(
        "forgotten_intents",
        sa.Column("stripe_payment_intent_id", sa.Text, primary_key=True),
        sa.Column("order_id", sa.Text, nullable=False),
        sa.Column("payment_id", sa.Text, nullable=False),
        sa.Column("found_at", TIME, nullable=False),
        sa.Column("next_look_at", TIME, nullable=False),
        sa.Column("dismissed_at", TIME),
    )
    naming.create_index("idx_forgotten_intents_order", "forgotten_intents", ["order_id"])
    naming.create_table(
        "comparisons",
        sa.Column("id", sa.Text, primary_key=True),
        sa.Column("began_at", TIME, nullable=False),
    )
    _refunds()


def downgrade() -> None:
    naming.drop_table("refunds")
    naming.drop_table("comparisons")
    naming.drop_table("forgotten_intents")
    for table, column in (
        ("installation", "intents_known_until"),
        ("payments", "intent_adopted_at"),
        ("payments", "refunds_seen_at"),
        ("payments", "amount_refunded_minor"),
        ("payments", "next_sweep_at"),
    ):
        op.drop_column(naming.table_name(table), column, schema=naming.schema())


def _payments() -> None:
    """What was asked for before this version is looked at once; refunds known are carried over.
    Only these few rows are written: the table is locked, and all payments wait."""
    payments, schema = naming.table_name("payments"), naming.schema()
    op.add_column(payments, sa.Column("next_sweep_at", TIME), schema=schema)
    op.add_column(
        payments,
        sa.Column("amount_refunded_minor", BIG, nullable=False, server_default="0"),
        schema=schema,
    )
    op.add_column(payments, sa.Column("refunds_seen_at", TIME), schema=schema)
    op.add_column(payments, sa.Column("intent_adopted_at", TIME), schema=schema)
    prefix = f"{schema}." if schema else ""
    orders = f"{prefix}{naming.table_name('orders')}"
    op.execute(
        f"UPDATE {prefix}{payments} SET next_sweep_at = intent_requested_at"
        " WHERE intent_requested_at IS NOT NULL"
        " AND (stripe_payment_intent_id IS NULL OR intent_key_no > 0)"
    )
    op.execute(
        f"UPDATE {prefix}{payments} SET amount_refunded_minor = (SELECT o.amount_refunded_minor"
        f" FROM {orders} o WHERE o.id = order_id) WHERE state = 'succeeded'"
        f" AND order_id IN (SELECT id FROM {orders} WHERE amount_refunded_minor > 0)"
    )


def _refunds() -> None:
    naming.create_table(
        "refunds",
        sa.Column("id", sa.Text, primary_key=True),
        sa.Column(
            "order_id", sa.Text, sa.ForeignKey(naming.reference("orders.id")), nullable=False
        ),
        sa.Column(
            "payment_id", sa.Text, sa.ForeignKey(naming.reference("payments.id")), nullable=False
        ),
        sa.Column("cause", sa.Text, nullable=False),
        sa.Column("state", sa.Text, nullable=False),
        sa.Column("amount_minor", BIG, nullable=False),
        sa.Column("currency", sa.Text, nullable=False),
        sa.Column("stripe_version", sa.Text, nullable=False),
        sa.Column("params", sa.Text, nullable=False),
        sa.Column("key_no", sa.Integer, nullable=False, server_default="0"),
        sa.Column("stripe_refund_id", sa.Text, unique=True),
        sa.Column("failure_reason", sa.Text),
        sa.Column("checks", sa.Integer, nullable=False, server_default="0"),
        sa.Column("next_check_at", TIME),
        sa.Column("created_at", TIME, nullable=False),
        sa.Column("finished_at", TIME),
        sa.CheckConstraint("amount_minor > 0"),
    )
    naming.create_index("idx_refunds_order", "refunds", ["order_id", "created_at"])
    naming.create_index("idx_refunds_payment", "refunds", ["payment_id"])
    naming.create_index(
        "idx_refunds_due", "refunds", ["next_check_at"], where="next_check_at IS NOT NULL"
    )
    naming.create_index(
        "idx_refunds_one_surplus", "refunds", ["payment_id"], unique=True, where="cause = 'surplus'"
    )
