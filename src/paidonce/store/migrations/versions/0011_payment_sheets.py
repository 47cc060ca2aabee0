"""Payments that the app confirms by itself.

`payments.sheet_opened_at`: when their client secret last went out with a payment sheet.
`payment_attempts.stripe_charge_id`: the failed charge of a decline, so that it is counted once.
"""

import sqlalchemy as sa
from alembic import op

from paidonce.store.migrations import naming

revision = "0011"
down_revision = "0010"
branch_labels = None
depends_on = None
readable_by = "0008"

TIME = sa.DateTime(timezone=True).with_variant(sa.Text(), "sqlite")
COLUMNS = (
    ("payments", "sheet_opened_at", TIME),
    ("payment_attempts", "stripe_charge_id", sa.Text()),
)


def upgrade() -> None:
    for table, name, kind in COLUMNS:
        column = sa.Column(name, kind)
        op.add_column(naming.table_name(table), column, schema=naming.schema())


def downgrade() -> None:
    for table, name, _ in reversed(COLUMNS):
        op.drop_column(naming.table_name(table), name, schema=naming.schema())
