"""The first tables.

States are listed in `domain/states.py`; what they mean is written there. Text columns named
`…_params` hold the exact parameters of a keyed Stripe call; no column ever holds a client secret.
"""

import sqlalchemy as sa

from paidonce.store.migrations import naming

revision = "0001"
down_revision = None
branch_labels = None
depends_on = None
readable_by = "0001"

TIME = sa.DateTime(timezone=True).with_variant(sa.Text(), "sqlite")
BIG = sa.BigInteger()


def upgrade() -> None:
    _installation_users_products()
    _orders()
    _payments()
    _payment_attempts()
    _payment_methods()
    _events()


def downgrade() -> None:
    for table in (
        "answers",
        "outbox",
        "stripe_events",
        "payment_events",
        "payment_methods",
        "payment_attempts",
        "payments",
        "orders",
        "products",
        "users",
        "installation",
    ):
        naming.drop_table(table)


_create, _index, _reference = naming.create_table, naming.create_index, naming.reference


def _installation_users_products() -> None:
    _create(
        "installation",
        sa.Column("id", sa.Integer, primary_key=True),
        sa.Column("namespace", sa.Text, nullable=False),
        sa.Column("mode", sa.Text, nullable=False),
        sa.Column("stripe_account_id", sa.Text),
        sa.Column("created_at", TIME, nullable=False),
        sa.CheckConstraint("id = 1"),
    )
    _create(
        "users",
        sa.Column("id", sa.Text, primary_key=True),
        sa.Column("email", sa.Text),
        sa.Column("stripe_customer_id", sa.String(255)),
        sa.Column("customer_key_no", sa.Integer, nullable=False, server_default="0"),
        sa.Column("customer_requested_at", TIME),
        sa.Column("created_at", TIME, nullable=False),
    )
    _index("idx_users_stripe_customer_id", "users", ["stripe_customer_id"], unique=True)
    _create(
        "products",
        sa.Column("product_id", sa.Text, primary_key=True),
        sa.Column("name", sa.Text, nullable=False),
        sa.Column("amount_minor", BIG, nullable=False),
        sa.Column("currency", sa.Text, nullable=False),
        sa.Column("updated_at", TIME, nullable=False),
    )


def _orders() -> None:
    _create(
        "orders",
        sa.Column("id", sa.Text, primary_key=True),
        sa.Column("user_id", sa.Text, sa.ForeignKey(_reference("users.id")), nullable=False),
        sa.Column("order_number", sa.Text, nullable=False, unique=True),
        sa.Column("amount_minor", BIG, nullable=False),
        sa.Column("currency", sa.Text, nullable=False),
        sa.Column("status", sa.Text, nullable=False),
        sa.Column("amount_refunded_minor", BIG, nullable=False, server_default="0"),
        sa.Column("items", sa.Text, nullable=False),
        sa.Column("details", sa.Text, nullable=False),
        sa.Column("metadata", sa.Text, nullable=False),
        sa.Column("created_at", TIME, nullable=False),
        sa.Column("paid_at", TIME),
        sa.Column("next_check_at", TIME),
        sa.CheckConstraint("amount_minor > 0"),
    )
    _index("idx_orders_user", "orders", ["user_id", "created_at", "id"])
    _index("idx_orders_canceling", "orders", ["next_check_at"], where="status = 'canceling'")


def _payments() -> None:
    _create(
        "payments",
        sa.Column("id", sa.Text, primary_key=True),
        sa.Column("order_id", sa.Text, sa.ForeignKey(_reference("orders.id")), nullable=False),
        sa.Column("user_id", sa.Text, nullable=False),
        sa.Column("generation", sa.Integer, nullable=False),
        sa.Column("state", sa.Text, nullable=False),
        sa.Column("amount_minor", BIG, nullable=False),
        sa.Column("currency", sa.Text, nullable=False),
        sa.Column("confirmation_method", sa.Text, nullable=False),
        sa.Column("method_policy", sa.Text, nullable=False),
        sa.Column("stripe_version", sa.Text, nullable=False),
        sa.Column("stripe_customer_id", sa.Text),
        sa.Column("intent_params", sa.Text),
        sa.Column("intent_key_no", sa.Integer, nullable=False, server_default="0"),
        sa.Column("intent_requested_at", TIME),
        sa.Column("stripe_payment_intent_id", sa.Text, unique=True),
        sa.Column("stripe_charge_id", sa.Text),
        sa.Column("created_at", TIME, nullable=False),
        sa.Column("finished_at", TIME),
        sa.Column("next_look_at", TIME),
        sa.UniqueConstraint("order_id", "generation"),
    )
    _index(
        "idx_payments_one_per_order",
        "payments",
        ["order_id"],
        unique=True,
        where="state IN ('live', 'authorized', 'succeeded')",
    )
    _index("idx_payments_look", "payments", ["next_look_at"], where="state = 'live'")
    _index("idx_payments_user", "payments", ["user_id", "created_at", "id"])


def _payment_attempts() -> None:
    _create(
        "payment_attempts",
        sa.Column("id", sa.Text, primary_key=True),
        sa.Column("payment_id", sa.Text, sa.ForeignKey(_reference("payments.id")), nullable=False),
        sa.Column("order_id", sa.Text, nullable=False),
        sa.Column("user_id", sa.Text, nullable=False),
        sa.Column("n", sa.Integer, nullable=False),
        sa.Column("source", sa.Text, nullable=False),
        sa.Column("state", sa.Text, nullable=False),
        sa.Column("requested_method_id", sa.Text, nullable=False),
        sa.Column("stripe_payment_method_id", sa.Text),
        sa.Column("is_saving_method", sa.Boolean, nullable=False),
        sa.Column("is_single_use", sa.Boolean, nullable=False),
        sa.Column("confirm_params", sa.Text),
        sa.Column("stripe_version", sa.Text, nullable=False),
        sa.Column("sends", sa.Integer, nullable=False),
        sa.Column("attach_key_no", sa.Integer, nullable=False, server_default="0"),
        sa.Column("reconfirm_key_no", sa.Integer, nullable=False, server_default="0"),
        sa.Column("lease_owner", sa.Text, nullable=False),
        sa.Column("lease_until", TIME, nullable=False),
        sa.Column("checks", sa.Integer, nullable=False, server_default="0"),
        sa.Column("next_check_at", TIME, nullable=False),
        sa.Column("error_code", sa.Text),
        sa.Column("error_message", sa.Text),
        sa.Column("decline_code", sa.Text),
        sa.Column("advice_code", sa.Text),
        sa.Column("client_address", sa.Text, nullable=False),
        sa.Column("created_at", TIME, nullable=False),
        sa.Column("first_sent_at", TIME),
        sa.Column("action_at", TIME),
        sa.Column("closed_at", TIME),
        sa.UniqueConstraint("payment_id", "n"),
    )
    live = "state IN ('open', 'action')"
    _index("idx_attempts_one_live", "payment_attempts", ["payment_id"], unique=True, where=live)
    _index("idx_attempts_due", "payment_attempts", ["next_check_at"], where=live)
    _index("idx_attempts_order", "payment_attempts", ["order_id", "created_at"])
    declined = "state = 'declined'"
    _index("idx_attempts_user", "payment_attempts", ["user_id", "closed_at"], where=declined)
    _index(
        "idx_attempts_address", "payment_attempts", ["client_address", "closed_at"], where=declined
    )
    _index("idx_attempts_method", "payment_attempts", ["requested_method_id"], where="sends > 0")


def _payment_methods() -> None:
    _create(
        "payment_methods",
        sa.Column("id", sa.Text, primary_key=True),
        sa.Column("user_id", sa.Text, sa.ForeignKey(_reference("users.id")), nullable=False),
        sa.Column("stripe_payment_method_id", sa.Text, nullable=False, unique=True),
        sa.Column("stripe_customer_id", sa.Text, nullable=False),
        sa.Column("state", sa.Text, nullable=False),
        sa.Column("is_listed", sa.Boolean, nullable=False),
        sa.Column("brand", sa.Text),
        sa.Column("last4", sa.Text),
        sa.Column("exp_month", sa.Integer),
        sa.Column("exp_year", sa.Integer),
        sa.Column("fingerprint", sa.Text),
        sa.Column("cardholder_name", sa.Text),
        sa.Column("created_at", TIME, nullable=False),
        sa.Column("last_used_at", TIME, nullable=False),
    )
    _index("idx_payment_methods_user", "payment_methods", ["user_id", "created_at"])


def _events() -> None:
    _create(
        "payment_events",
        sa.Column("id", sa.Text, primary_key=True),
        sa.Column("order_id", sa.Text, sa.ForeignKey(_reference("orders.id")), nullable=False),
        sa.Column("payment_id", sa.Text),
        sa.Column("attempt_id", sa.Text),
        sa.Column("kind", sa.Text, nullable=False),
        sa.Column("data", sa.Text, nullable=False),
        sa.Column("created_at", TIME, nullable=False),
    )
    _index("idx_payment_events_order", "payment_events", ["order_id", "created_at"])
    _create(
        "stripe_events",
        sa.Column("id", sa.Text, primary_key=True),
        sa.Column("type", sa.Text, nullable=False),
        sa.Column("object_id", sa.Text, nullable=False),
        sa.Column("stripe_payment_intent_id", sa.Text),
        sa.Column("order_id", sa.Text),
        sa.Column("state", sa.Text, nullable=False),
        sa.Column("tries", sa.Integer, nullable=False),
        sa.Column("next_try_at", TIME, nullable=False),
        sa.Column("note", sa.Text),
        sa.Column("event_created_at", TIME, nullable=False),
        sa.Column("received_at", TIME, nullable=False),
        sa.Column("worked_at", TIME),
    )
    _index("idx_stripe_events_due", "stripe_events", ["next_try_at"], where="state = 'pending'")
    _create(
        "outbox",
        sa.Column("id", sa.Text, primary_key=True),
        sa.Column("order_id", sa.Text, sa.ForeignKey(_reference("orders.id")), nullable=False),
        sa.Column("kind", sa.Text, nullable=False),
        sa.Column("payload", sa.Text, nullable=False),
        sa.Column("created_at", TIME, nullable=False),
        sa.UniqueConstraint("order_id", "kind"),
    )
    _create(
        "answers",
        sa.Column("scope", sa.Text, primary_key=True),
        sa.Column("key_hash", sa.Text, primary_key=True),
        sa.Column("body_hash", sa.Text, nullable=False),
        sa.Column("status", sa.Integer, nullable=False),
        sa.Column("body", sa.Text, nullable=False),
        sa.Column("created_at", TIME, nullable=False),
    )
    _index("idx_answers_created", "answers", ["created_at"])
