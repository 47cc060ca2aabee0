"""One refund for one key of an order, and refunds by their time."""

from paidonce.store.migrations import naming

revision = "0013"
down_revision = "0012"
branch_labels = None
depends_on = None
readable_by = "0008"
is_concurrent = True


def upgrade() -> None:
    naming.create_index_concurrently(
        "idx_refunds_one_key",
        "refunds",
        ["order_id", "key_hash"],
        unique=True,
        where="key_hash IS NOT NULL",
    )
    naming.create_index_concurrently("idx_refunds_created", "refunds", ["created_at", "id"])


def downgrade() -> None:
    naming.drop_index("idx_refunds_created", "refunds")
    naming.drop_index("idx_refunds_one_key", "refunds")
