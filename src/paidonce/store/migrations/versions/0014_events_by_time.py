"""Outgoing events are listed from the newest on."""

from paidonce.store.migrations import naming

revision = "0014"
down_revision = "0013"
branch_labels = None
depends_on = None
readable_by = "0008"
is_concurrent = True


def upgrade() -> None:
    naming.create_index_concurrently("idx_outbox_created", "outbox", ["created_at", "id"])


def downgrade() -> None:
    naming.drop_index("idx_outbox_created", "outbox")
