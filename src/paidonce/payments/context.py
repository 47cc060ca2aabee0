"""What every use case works with, who is asking, and what a piece of the pipeline can end in."""

import contextlib
from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from enum import StrEnum
from uuid import uuid4

from paidonce.domain import errors
from paidonce.domain.clock import Clock, Deadline
from paidonce.domain.errors import ServiceError
from paidonce.domain.intent import Intent
from paidonce.domain.model import ActionRequired, Paid
from paidonce.gateway import StripeGateway
from paidonce.observability.seldom import Seldom
from paidonce.payments.background import Background
from paidonce.payments.gate import Gate
from paidonce.settings import Settings
from paidonce.store.engine import Database, DatabaseUnavailable, UnknownCommit
from paidonce.store.installation import Installation
from paidonce.store.rows import AttemptRow, OrderRow, PaymentRow

REQUEST_SECONDS = 25.0
"""The app gives up after 30 s; we answer before."""
VIEW_SECONDS = 2.0
"""For a look at Stripe on behalf of somebody who only reads: then our own books must do."""
LEASE_SECONDS = 30.0
"""Outlives the request, so that a lease dies only with its process."""
LAST_SEND_SECONDS = 5.0
"""With less time left no confirm is sent: its answer could not be recorded in time."""
KEY_LIFE_HOURS = 23
"""Stripe forgets idempotency keys after 24 h; an older one would charge anew."""
CLOCKS_APART = timedelta(minutes=10)
"""How far our clock may be from Stripe's where its lists are read from a time on."""


@dataclass(frozen=True)
class Parts:
    """What everything works with, wired in `main`."""

    db: Database
    gateway: StripeGateway
    clock: Clock
    installation: Installation


@dataclass
class ListPlace:
    """Where this process goes on with a list of Stripe's that one reading did not get to the end
    of: behind `after`, while the list was read to `read_until` before. Begun at `began_at`."""

    read_until: datetime | None = None
    began_at: datetime | None = None
    after: str | None = None


@dataclass(frozen=True)
class Context(Parts):
    """The parts of a service: with all its settings, work in the background, and the gate before
    payments of a database that may have been restored."""

    settings: Settings
    background: Background
    gate: Gate
    webhook_complaints: Seldom = field(default_factory=lambda: Seldom(most=3))
    dispute_list: ListPlace = field(default_factory=ListPlace)


class Role(StrEnum):
    """Who walks the pipeline. Only a payer ever makes an attempt's first send."""

    PAYER = "payer"  # POST …/pay
    CONFIRMER = "confirmer"  # POST …/pay/confirm
    VIEWER = "viewer"  # GET …/payment: looks and records, never confirms
    WORKER = "worker"  # recovery and webhooks: nobody is waiting


@dataclass(frozen=True, slots=True)
class Visitor:
    """One walk. `method_id` is the Stripe id the payer asked for; others have none.

    `is_back`: at the claim for a second time. A newer card takes an older one's place while that
    was not sent; who comes back takes nobody's, or two would take it from each other in turn."""

    role: Role
    request_id: str
    deadline: Deadline
    method_id: str | None = None
    is_back: bool = False

    def wants(self, attempt: AttemptRow) -> bool:
        """Whether an answer of this attempt is an answer to this visitor."""
        return self.method_id is None or self.method_id == attempt.requested_method_id


@dataclass(frozen=True, slots=True)
class Job:
    """An attempt to work on, as the rows stood when it was claimed."""

    order: OrderRow
    payment: PaymentRow
    attempt: AttemptRow


@dataclass(frozen=True, slots=True)
class Again:
    """The attempt is over without an answer to this visitor: start again at the claim."""

    why: str


@contextlib.contextmanager
def once_begun() -> Iterator[None]:
    """What was begun may move money: without the database its outcome is not known (409)."""
    try:
        yield
    except (DatabaseUnavailable, UnknownCommit):
        raise errors.payment_processing() from None


Verdict = Paid | ActionRequired | ServiceError | Again


def new_id() -> str:
    """A new id: a UUID, never a serial, since ids go into idempotency keys."""
    return str(uuid4())


def paid_answer(order: OrderRow, payment_id: str) -> Paid:
    taken = order.amount_captured_minor
    return Paid(
        payment_id, order.id, order.amount_minor, order.currency, amount_captured_minor=taken
    )


def held_answer(order: OrderRow, payment_id: str) -> Paid:
    """Nothing is asked of the payer any more; the merchant takes the money later."""
    return Paid(payment_id, order.id, order.amount_minor, order.currency, is_held=True)


def action_required(payment: PaymentRow, intent: Intent) -> ActionRequired:
    """The secrets of an intent that was just read: no row holds them."""
    return ActionRequired(payment.id, intent.id, intent.client_secret, intent.redirect_url)


def visitor_for(ctx: Context, role: Role, request_id: str, method_id: str | None = None) -> Visitor:
    seconds = VIEW_SECONDS if role is Role.VIEWER else REQUEST_SECONDS
    return Visitor(role, request_id, Deadline.after(ctx.clock, seconds), method_id)
