"""From where, and on which device, a card is saved without a payment or a payment sheet is opened:
what is declined there counts for them too. Addresses as in `payment_attempts`, devices as hashes;
empty where nothing is known.
"""

import sqlalchemy as sa
from alembic import op

from paidonce.store.migrations import naming

revision = "0019"
down_revision = "0018"
branch_labels = None
depends_on = None
readable_by = "0008"

COLUMNS = (
    ("setups", "device_hash"),
    ("payments", "sheet_client_address"),
    ("payments", "sheet_device_hash"),
)


def upgrade() -> None:
    for table, name in COLUMNS:
        column = sa.Column(name, sa.Text(), nullable=False, server_default="")
        op.add_column(naming.table_name(table), column, schema=naming.schema())


def downgrade() -> None:
    for table, name in reversed(COLUMNS):
        op.drop_column(naming.table_name(table), name, schema=naming.schema())
