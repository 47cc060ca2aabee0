"""Against card testing: devices, cards that have paid, and what became of saves.

`device_hash`: what the app calls its device, hashed under the installation's namespace; empty where
it says nothing. `is_told_plainly`: the decline is told without its reason. `first_paid_at`: the
card has paid, so it is none that is being tested. `declined_saves.state`: open, declined or saved;
`card`: of which card.
"""

import sqlalchemy as sa
from alembic import op

from paidonce.store.migrations import naming

revision = "0017"
down_revision = "0016"
branch_labels = None
depends_on = None
readable_by = "0008"

TIME = sa.DateTime(timezone=True).with_variant(sa.Text(), "sqlite")
COLUMNS = (
    ("payment_attempts", "device_hash", sa.Text(), ""),
    ("payment_attempts", "is_told_plainly", sa.Boolean(), sa.false()),
    ("payment_methods", "first_paid_at", TIME, None),
    ("declined_saves", "device_hash", sa.Text(), ""),
    ("declined_saves", "card", sa.Text(), None),
    ("declined_saves", "state", sa.Text(), "declined"),
)


def upgrade() -> None:
    for table, name, kind, default in COLUMNS:
        column = sa.Column(name, kind, nullable=default is None, server_default=default)
        op.add_column(naming.table_name(table), column, schema=naming.schema())


def downgrade() -> None:
    for table, name, _, _ in reversed(COLUMNS):
        op.drop_column(naming.table_name(table), name, schema=naming.schema())
