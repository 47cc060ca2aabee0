"""SetupIntents: cards that are saved without a payment.

`setups.ends_at`: from then on the worker cancels it at Stripe. `setups.settled_attempt_id`: the
last of its SetupAttempts whose end was seen, so that its declines are read once.
"""

import sqlalchemy as sa

from paidonce.store.migrations import naming

revision = "0007"
down_revision = "0006"
branch_labels = None
depends_on = None
readable_by = "0007"

TIME = sa.DateTime(timezone=True).with_variant(sa.Text(), "sqlite")


def upgrade() -> None:
    naming.create_table(
        "setups",
        sa.Column("id", sa.Text, primary_key=True),
        sa.Column("user_id", sa.Text, sa.ForeignKey(naming.reference("users.id")), nullable=False),
        sa.Column("stripe_customer_id", sa.Text, nullable=False),
        sa.Column("state", sa.Text, nullable=False),
        sa.Column("is_default", sa.Boolean, nullable=False),
        sa.Column("client_address", sa.Text, nullable=False),
        sa.Column("stripe_version", sa.Text, nullable=False),
        sa.Column("params", sa.Text, nullable=False),
        sa.Column("key_no", sa.Integer, nullable=False, server_default="0"),
        sa.Column("stripe_setup_intent_id", sa.Text, unique=True),
        sa.Column("settled_attempt_id", sa.Text),
        sa.Column("checks", sa.Integer, nullable=False, server_default="0"),
        sa.Column("next_check_at", TIME, nullable=False),
        sa.Column("looked_at", TIME),
        sa.Column("ends_at", TIME, nullable=False),
        sa.Column("created_at", TIME, nullable=False),
        sa.Column("finished_at", TIME),
    )
    naming.create_index("idx_setups_user", "setups", ["user_id", "created_at"])
    naming.create_index("idx_setups_due", "setups", ["next_check_at"], where="state = 'open'")


def downgrade() -> None:
    naming.drop_table("setups")
