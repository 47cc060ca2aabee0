"""What the routes ask for: the use cases, as the HTTP side sees them; `service` has them."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Protocol

from paidonce.domain.merchant import MerchantPayment, OrderFilter, PaymentFilter, Timeline
from paidonce.domain.model import (
    ActionRequired,
    CardSetup,
    NewMerchantOrder,
    NewOrder,
    Order,
    Page,
    Paid,
    PayCommand,
    PaymentStatus,
    PaymentSummary,
    Principal,
    Product,
    SavedMethod,
    SaveMethod,
    SetUpCard,
    StoredAnswer,
)
from paidonce.domain.money_back import DisputeView, MoneyBack, RefundCommand, RefundView
from paidonce.domain.outgoing import EventFilter, ToldEvent
from paidonce.domain.sheet import PaymentSheet, SheetRequest

OK = "ok"


@dataclass(frozen=True, slots=True)
class Readiness:
    """What the service stands on: name -> "ok" or what is wrong with it, which need not be so bad
    that nobody should be sent here."""

    checks: Mapping[str, str]
    is_ready: bool

    @property
    def complaints(self) -> list[str]:
        return [f"{name}: {state}" for name, state in self.checks.items() if state != OK]


class UseCases(Protocol):
    """Every method raises `paidonce.domain.errors.ServiceError` for anything but success."""

    async def create_order(self, user: Principal, basket: NewOrder) -> Order: ...

    async def create_merchant_order(self, order: NewMerchantOrder) -> Order: ...

    async def get_order(self, user_id: str, order_id: str) -> Order: ...

    async def get_merchant_order(self, order_id: str) -> Order: ...

    async def cancel_order(self, order_id: str) -> Order: ...

    async def capture_order(self, order_id: str, amount_minor: int | None) -> Order: ...

    async def list_orders(self, user_id: str, limit: int, cursor: str | None) -> Page[Order]: ...

    async def list_merchant_orders(
        self, wanted: OrderFilter, limit: int, cursor: str | None
    ) -> Page[Order]: ...

    async def list_merchant_payments(
        self, wanted: PaymentFilter, limit: int, cursor: str | None
    ) -> Page[MerchantPayment]: ...

    async def get_timeline(self, order_id: str) -> tuple[Order, Timeline]: ...
    async def refund_order(self, command: RefundCommand) -> RefundView: ...

    async def list_refunds_of_order(
        self, order_id: str, limit: int, cursor: str | None
    ) -> Page[RefundView]: ...

    async def list_refunds(
        self, limit: int, cursor: str | None, order_id: str | None, status: str | None
    ) -> Page[RefundView]: ...

    async def list_disputes(
        self, limit: int, cursor: str | None, order_id: str | None, status: str | None
    ) -> Page[DisputeView]: ...

    async def get_money_back(self, order_id: str) -> MoneyBack:
        """What went back of an order, is wanted back, or should go back."""
        ...

    async def list_events(
        self, wanted: EventFilter, limit: int, cursor: str | None
    ) -> Page[ToldEvent]: ...

    async def get_event(self, event_id: str) -> ToldEvent:
        """Raises `event_not_found`."""
        ...

    async def resend_event(self, event_id: str) -> tuple[ToldEvent, int]:
        """The event, and to how many endpoints it is on its way again; raises `event_not_found`."""
        ...

    async def put_products(self, products: list[Product]) -> None: ...

    async def list_products(self, limit: int, cursor: str | None) -> Page[Product]: ...

    async def delete_product(self, product_id: str) -> None:
        """Raises `product_not_listed`."""
        ...

    async def pay(self, command: PayCommand) -> Paid | ActionRequired: ...

    async def confirm(
        self, user_id: str, order_id: str, payment_intent_id: str | None
    ) -> Paid | ActionRequired: ...

    async def open_payment_sheet(self, asked: SheetRequest) -> PaymentSheet: ...

    async def payment_status(self, user_id: str, order_id: str) -> PaymentStatus: ...

    async def list_payments(
        self, user_id: str, limit: int, cursor: str | None
    ) -> Page[PaymentSummary]: ...

    async def list_methods(
        self, user_id: str, limit: int, cursor: str | None
    ) -> Page[SavedMethod]: ...

    async def save_method(self, command: SaveMethod) -> SavedMethod: ...

    async def set_up_card(self, command: SetUpCard) -> CardSetup: ...

    async def delete_method(self, user_id: str, method_id: str) -> str:
        """The id of the deleted card; `method_id` is ours or Stripe's."""
        ...

    async def set_default_method(self, user_id: str, method_id: str) -> SavedMethod: ...

    async def receive_webhook(self, body: bytes, signature: str) -> None:
        """Verify and store an event; raises `invalid_signature`. Without one header of that name
        `signature` is empty."""

    async def measure(self) -> None:
        """Bring those metrics up to date that are not counted as things happen."""

    async def readiness(self) -> Readiness:
        """What the service stands on."""
        ...

    async def find_answer(self, scope: str, key: str, body_hash: str) -> StoredAnswer | None:
        """The answer kept under an Idempotency-Key; raises `idempotency_mismatch`."""
        ...

    async def keep_answer(
        self, scope: str, key: str, body_hash: str, status: int, body: bytes
    ) -> None:
        """Keep a final answer for 24 h."""

    async def note_key(self, scope: str, key: str, body_hash: str) -> None:
        """Keep for 24 h which body a key came with whose request got no final answer."""
