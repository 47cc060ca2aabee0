"""The index by which a device's declines are counted."""

from paidonce.store.migrations import naming

revision = "0018"
down_revision = "0017"
branch_labels = None
depends_on = None
readable_by = "0008"
is_concurrent = True

NAME, TABLE = "idx_attempts_device", "payment_attempts"


def upgrade() -> None:
    naming.create_index_concurrently(
        NAME, TABLE, ["device_hash", "closed_at"], where="state = 'declined' AND device_hash <> ''"
    )


def downgrade() -> None:
    naming.drop_index(NAME, TABLE)
