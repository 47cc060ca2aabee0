"""What the auditor judges: what was expected, asked and answered; what Stripe holds; our books."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

Json = dict[str, Any]
Rows = list[Json]
NEGATIVE = {400, 401, 402, 403, 404, 422, 429, 503}
"""Answers that say: nothing was charged by this request."""
STAYS_UNKNOWN = {"payment_processing"}
"""Codes of a 409 that says nothing either way; every other 409 is a refusal."""


@dataclass(frozen=True)
class Order:
    """The driver's own expectation. `methods`: PaymentMethod ids that are this user's."""

    id: str
    user_id: str
    amount_minor: int
    currency: str
    methods: frozenset[str]


@dataclass(frozen=True)
class Asked:
    """One request of a client and the answer it really got.

    `kind`: pay, confirm, look, sheet, cancel, capture (of what is held, `amount_minor` or all),
    give_back (the merchant wants a refund, under `key`, of `amount_minor` or of all that is left),
    or at Stripe: app (its own confirm; the body is the intent), refund (of all that was taken, by
    somebody there). `begun` and `ended` are places in one global count; an answer that never came
    has `ended` and `status` None.
    """

    order_id: str
    kind: str
    method: str | None
    begun: int
    ended: int | None = None
    status: int | None = None
    body: Json = field(default_factory=dict)
    key: str = ""
    amount_minor: int | None = None

    @property
    def says_held(self) -> bool:
        """The money is held, to be taken later: a success, and the order is not paid."""
        is_success = self.status == 200 and self.body.get("status") == "success"
        is_held = is_success and self.body.get("data", {}).get("status") == "authorized"
        return is_held and self.kind in ("pay", "confirm", "look")

    @property
    def says_paid(self) -> bool:
        if self.status != 200:
            return False
        if self.kind == "look":
            return bool(self.body.get("data", {}).get("status") == "succeeded")
        if self.says_held:
            return False
        return self.kind in ("pay", "confirm") and self.body.get("status") == "success"

    @property
    def says_paid_by_app(self) -> bool:
        """Stripe has told the app so."""
        is_success = self.status == 200 and self.body.get("status") == "succeeded"
        return is_success and self.kind == "app"

    @property
    def says_not_charged(self) -> bool:
        if self.kind not in ("pay", "confirm") or self.status is None:
            return False
        is_refusal = self.status == 409 and self.body.get("code") not in STAYS_UNKNOWN
        return is_refusal or self.status in NEGATIVE

    @property
    def gives_back(self) -> bool:
        """It may have: at Stripe when it was answered, by us whatever was."""
        return self.kind == "give_back" or (self.kind == "refund" and self.status == 200)

    @property
    def says_refunded(self) -> bool:
        """Or, to who wants to pay, that the order is not to be paid any more."""
        if self.kind == "look":
            return self.status == 200 and self.body.get("data", {}).get("status") == "refunded"
        return self.status == 409 and self.body.get("code") == "order_not_payable"

    def __str__(self) -> str:
        told = "no answer" if self.status is None else f"{self.status} {self.body.get('code', '')}"
        return f"{self.kind} {self.method or ''} begun {self.begun}: {told}".strip()


@dataclass(frozen=True)
class Told:
    """One request that came to the merchant's server, and whether he took it (2xx)."""

    at: datetime
    headers: Mapping[str, str]
    body: bytes
    is_taken: bool

    @property
    def event_id(self) -> str:
        return self.headers["webhook-id"]


@dataclass(frozen=True)
class Telling:
    """An endpoint of outgoing events, the bytes of its signing secret, and what came, in order."""

    endpoint: str
    key: bytes
    told: Sequence[Told]


@dataclass(frozen=True)
class Finding:
    """One broken promise."""

    invariant: str
    order_id: str | None
    sentence: str

    def __str__(self) -> str:
        return f"{self.invariant} order {self.order_id}: {self.sentence}"


@dataclass(frozen=True)
class Stripe:
    """What Stripe holds. `ledger`: groups of the audit by order id; the rest are objects."""

    ledger: dict[str, Json]
    intents: dict[str, Json]
    charges: Rows
    customers: Rows
    keys: dict[str, str]
    """The idempotency key under which a charge succeeded, by the charge's id."""
    refunds: Rows = field(default_factory=list)
    cards: Rows = field(default_factory=list)
    """PaymentMethods that stand on a customer."""
    setups: Rows = field(default_factory=list)


@dataclass(frozen=True)
class Books:
    """Our database, table by table, as it stands."""

    tables: dict[str, Rows]

    def of_order(self, table: str, order_id: str) -> Rows:
        return [row for row in self.tables[table] if row["order_id"] == order_id]

    def order(self, order_id: str) -> Json | None:
        return next((row for row in self.tables["orders"] if row["id"] == order_id), None)
