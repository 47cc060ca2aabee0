"""The rows of the pay path, typed. Fields have the names of the columns but for those in COLUMNS,
in any order.

Times are aware UTC datetimes. `…_params` is JSON text: the exact parameters of a keyed call.
"""

from collections.abc import Collection
from dataclasses import dataclass, fields
from datetime import datetime
from typing import Any, TypeVar

from paidonce.domain.states import (
    AttemptState,
    CaptureState,
    MethodState,
    OrderStatus,
    PaymentState,
    RefundState,
    SetupState,
)
from paidonce.store.engine import Row, Transaction

COLUMNS = {"is_reason_withheld": "is_told_plainly"}
"""Fields whose column has a name that says it badly; older programs know the column by it."""
TOKEN_PREFIX = "ctoken_"  # noqa: S105 - how Stripe's ids begin


@dataclass(frozen=True, slots=True)
class OrderRow:
    id: str
    user_id: str
    order_number: str
    amount_minor: int
    currency: str
    status: OrderStatus
    amount_refunded_minor: int
    items: str
    details: str
    metadata: str
    created_at: datetime
    paid_at: datetime | None
    capture_method: str = "automatic"
    amount_captured_minor: int | None = None
    expires_at: datetime | None = None

    @property
    def charged_minor(self) -> int:
        """What a paid order has cost: the whole, unless less was taken of what was held."""
        taken = self.amount_captured_minor
        return self.amount_minor if taken is None else taken


@dataclass(frozen=True, slots=True)
class PaymentRow:
    id: str
    order_id: str
    user_id: str
    generation: int
    state: PaymentState
    amount_minor: int
    currency: str
    confirmation_method: str
    method_policy: str
    stripe_version: str
    stripe_customer_id: str | None
    intent_params: str | None
    intent_key_no: int
    intent_requested_at: datetime | None
    stripe_payment_intent_id: str | None
    stripe_charge_id: str | None
    created_at: datetime
    finished_at: datetime | None
    next_look_at: datetime | None
    sheet_opened_at: datetime | None = None
    amount_captured_minor: int | None = None
    capture_before: datetime | None = None


@dataclass(frozen=True, slots=True)
class AttemptRow:
    id: str
    payment_id: str
    order_id: str
    user_id: str
    n: int
    source: str
    state: AttemptState
    requested_method_id: str
    stripe_payment_method_id: str | None
    is_saving_method: bool
    is_single_use: bool
    confirm_params: str | None
    stripe_version: str
    sends: int
    attach_key_no: int
    reconfirm_key_no: int
    lease_owner: str
    lease_until: datetime
    checks: int
    next_check_at: datetime
    error_code: str | None
    error_message: str | None
    decline_code: str | None
    advice_code: str | None
    client_address: str
    device_hash: str
    is_reason_withheld: bool
    created_at: datetime
    first_sent_at: datetime | None
    action_at: datetime | None
    closed_at: datetime | None
    stripe_charge_id: str | None = None

    @property
    def is_token(self) -> bool:
        """What was asked for is a ConfirmationToken: its PaymentMethod comes into being with the
        confirm, so it is not known before Stripe has answered."""
        return is_token(self.requested_method_id)


@dataclass(frozen=True, slots=True)
class UserRow:
    id: str
    email: str | None
    stripe_customer_id: str | None
    customer_key_no: int
    customer_requested_at: datetime | None
    created_at: datetime


@dataclass(frozen=True, slots=True)
class MethodRow:
    id: str
    user_id: str
    stripe_payment_method_id: str
    stripe_customer_id: str
    state: MethodState
    is_listed: bool
    is_default: bool
    brand: str | None
    last4: str | None
    exp_month: int | None
    exp_year: int | None
    fingerprint: str | None
    cardholder_name: str | None
    created_at: datetime
    last_used_at: datetime
    first_paid_at: datetime | None


@dataclass(frozen=True, slots=True)
class CaptureRow:
    """Money to be taken of what is held. `params` is the keyed call's."""

    id: str
    order_id: str
    payment_id: str
    state: CaptureState
    amount_minor: int
    stripe_version: str
    params: str
    key_no: int
    failure_reason: str | None
    checks: int
    next_check_at: datetime | None
    created_at: datetime
    finished_at: datetime | None


@dataclass(frozen=True, slots=True)
class RefundRow:
    """`cause` is why the money goes back: `surplus` fits no order, `dashboard` was somebody else.
    `params` is the keyed call's. `key_hash` and `request_hash` are set for what was asked for."""

    id: str
    order_id: str
    payment_id: str
    cause: str
    state: RefundState
    amount_minor: int
    currency: str
    stripe_version: str
    params: str
    key_no: int
    stripe_refund_id: str | None
    failure_reason: str | None
    checks: int
    next_check_at: datetime | None
    created_at: datetime
    finished_at: datetime | None
    key_hash: str | None = None
    request_hash: str | None = None
    reason: str | None = None


@dataclass(frozen=True, slots=True)
class SetupRow:
    """A SetupIntent of a user. `params` is the create's; `settled_attempt_id` the last of its
    SetupAttempts whose end was seen; from `ends_at` on it is canceled at Stripe."""

    id: str
    user_id: str
    stripe_customer_id: str
    state: SetupState
    is_default: bool
    client_address: str
    device_hash: str
    stripe_version: str
    params: str
    key_no: int
    stripe_setup_intent_id: str | None
    settled_attempt_id: str | None
    checks: int
    next_check_at: datetime
    looked_at: datetime | None
    ends_at: datetime
    created_at: datetime
    finished_at: datetime | None


@dataclass(frozen=True, slots=True)
class DisputeRow:
    """A dispute as Stripe showed it at `seen_at`; `id`, `reason` and `status` are Stripe's."""

    id: str
    order_id: str
    payment_id: str
    stripe_charge_id: str
    amount_minor: int
    currency: str
    reason: str
    status: str
    is_charge_refundable: bool
    evidence_due_at: datetime | None
    created_at: datetime
    seen_at: datetime
    closed_at: datetime | None
    next_look_at: datetime | None


def is_token(method_id: str) -> bool:
    """https://docs.stripe.com/api/confirmation_tokens: `ctoken_…`, good for one confirm."""
    return method_id.startswith(TOKEN_PREFIX)


AnyRow = TypeVar(
    "AnyRow",
    OrderRow,
    PaymentRow,
    AttemptRow,
    UserRow,
    MethodRow,
    RefundRow,
    SetupRow,
    DisputeRow,
    CaptureRow,
)
_ENUMS = {
    (OrderRow, "status"): OrderStatus,
    (PaymentRow, "state"): PaymentState,
    (AttemptRow, "state"): AttemptState,
    (MethodRow, "state"): MethodState,
    (RefundRow, "state"): RefundState,
    (SetupRow, "state"): SetupState,
    (CaptureRow, "state"): CaptureState,
}


def columns(shape: type, prefix: str = "") -> str:
    """The select list of a row's shape, optionally with a table's alias before every name."""
    names = (item.name for item in fields(shape))
    return ", ".join(
        f"{prefix}{COLUMNS[name]} AS {name}" if name in COLUMNS else f"{prefix}{name}"
        for name in names
    )


def places(first: int, values: Collection[object]) -> str:
    """`$first, …`, one for each of the values."""
    return ", ".join(f"${place}" for place in range(first, first + len(values)))


async def insert_row(
    tx: Transaction, table: str, row: Any, *, is_once: bool = False, **more: object
) -> bool:
    """A row of all fields of a dataclass, and of `more`. With `is_once` nothing is done, and False
    said, where a unique column has its value already."""
    names = [item.name for item in fields(row)]
    values = {COLUMNS.get(name, name): getattr(row, name) for name in names} | more
    changed = await tx.execute(
        f"INSERT INTO {table} ({', '.join(values)}) VALUES ({places(1, values)})"
        f"{' ON CONFLICT DO NOTHING' if is_once else ''}",
        *values.values(),
    )
    return changed == 1


def row_as(shape: type[AnyRow], row: Row) -> AnyRow:
    """The typed row; extra columns of `row` are left out."""
    values = {item.name: row[item.name] for item in fields(shape)}
    for (owner, name), enum in _ENUMS.items():
        if owner is shape:
            values[name] = enum(values[name])
    return shape(**values)


def row_or_none(shape: type[AnyRow], row: Row | None) -> AnyRow | None:
    return None if row is None else row_as(shape, row)
