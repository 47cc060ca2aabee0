"""Indexes of the migrations before on tables that were there before them."""

from paidonce.store.migrations import naming

revision = "0009"
down_revision = "0008"
branch_labels = None
depends_on = None
readable_by = "0008"
is_concurrent = True

PLACE = ["created_at", "id"]
UNIQUE: tuple[tuple[str, str, list[str], str], ...] = (
    ("idx_payment_methods_one_default", "payment_methods", ["user_id"], "is_default"),
    ("idx_outbox_once", "outbox", ["order_id", "kind", "subject"], ""),
)
INDEXES: tuple[tuple[str, str, list[str], str], ...] = (
    (
        "idx_payment_methods_idle",
        "payment_methods",
        ["last_used_at"],
        "state = 'attached' AND NOT is_listed",
    ),
    (
        "idx_payment_methods_ending",
        "payment_methods",
        ["last_used_at"],
        "state IN ('releasing', 'deleting')",
    ),
    ("idx_payments_sweep", "payments", ["next_sweep_at"], "next_sweep_at IS NOT NULL"),
    (
        "idx_stripe_events_waiting",
        "stripe_events",
        ["state", "received_at"],
        "state IN ('pending', 'set_aside')",
    ),
    ("idx_outbox_new", "outbox", ["position"], "spread_at IS NULL"),
    ("idx_orders_created", "orders", PLACE, ""),
    ("idx_orders_status", "orders", ["status", *PLACE], ""),
    ("idx_orders_expiring", "orders", ["expires_at"], "status = 'pending'"),
    ("idx_payments_created", "payments", PLACE, ""),
    ("idx_payments_state", "payments", ["state", *PLACE], ""),
    ("idx_payments_refunded", "payments", PLACE, "amount_refunded_minor > 0"),
    ("idx_payments_held", "payments", ["next_look_at"], "state = 'authorized'"),
    ("idx_stripe_events_intent", "stripe_events", ["stripe_payment_intent_id"], ""),
)


def upgrade() -> None:
    for name, table, columns, where in UNIQUE:
        naming.create_index_concurrently(name, table, columns, unique=True, where=where)
    for name, table, columns, where in INDEXES:
        naming.create_index_concurrently(name, table, columns, where=where)


def downgrade() -> None:
    for name, table, _, _ in (*INDEXES, *UNIQUE):
        naming.drop_index(name, table)
