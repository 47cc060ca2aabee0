"""What a use case gives is rendered to the letter, and kept under an Idempotency-Key or not."""

import asyncio
import json
import threading
from datetime import UTC, datetime
from typing import Any

import pytest

from api.shop import ORDER_ID, NoUseCase, Shop, StartShop
from paidonce.api.usecases import Readiness
from paidonce.domain import errors
from paidonce.domain.errors import ServiceError
from paidonce.domain.model import (
    ActionRequired,
    NewMerchantOrder,
    NewOrder,
    Order,
    OrderItem,
    Page,
    Paid,
    PayCommand,
    PaymentStatus,
    PaymentSummary,
    Principal,
    SavedMethod,
    SaveMethod,
    StoredAnswer,
)
from paidonce.domain.money_back import MoneyBack
from support.envelope import (
    assert_envelope,
    assert_error,
    assert_requires_action,
    assert_success,
)

ORDERS = "/api/mobile-app/orders"
PAY = f"{ORDERS}/{ORDER_ID}/pay"
AT = datetime(2026, 11, 23, 12, 0, 0, 123456, tzinfo=UTC)
METHODS = "/api/mobile-app/payments/methods"
CARD = SavedMethod("spm_1", "pm_1", True, "visa", "4242", 3, 2030, "Ada", is_expired=False)
CARD_DATA: dict[str, Any] = {
    "id": "spm_1",
    "type": "credit_card",
    "stripePaymentMethodId": "pm_1",
    "isDefault": True,
    "isExpired": False,
    "details": {
        "brand": "visa",
        "last4": "4242",
        "expiryMonth": "03",
        "expiryYear": "2030",
        "cardholderName": "Ada",
    },
}
PAID = Paid("pay_1", ORDER_ID, 44000, "usd")
ACTION = ActionRequired("pay_1", "pi_1", "pi_1_secret_2")


def _order(amount_minor: int = 44000, currency: str = "usd", **changes: Any) -> Order:
    items = [OrderItem("p1", "Shoe", 2, amount_minor // 2)]
    values = {"metadata": {"k": "v"}, "created_at": AT, "items": items} | changes
    return Order(
        id=ORDER_ID,
        user_id="user-1",
        order_number="ORD-1",
        status="pending",
        payment_status="pending",
        amount_minor=amount_minor,
        currency=currency,
        **values,
    )


class Answering(NoUseCase):
    """Gives the answers a test put into it, in order, and keeps answers in a dictionary."""

    def __init__(self) -> None:
        super().__init__()
        self.answers: list[Any] = []
        self.asked: list[Any] = []
        self.kept: dict[tuple[str, str], tuple[str, StoredAnswer]] = {}
        self.noted: dict[tuple[str, str], str] = {}
        self.is_store_broken = False
        self.pause_seconds = 0.0

    async def _next(self, *asked: Any) -> Any:
        self.asked.append(asked)
        await asyncio.sleep(self.pause_seconds)
        answer = self.answers.pop(0)
        if isinstance(answer, Exception):
            raise answer
        return answer

    pay = confirm = create_order = create_merchant_order = get_order = list_orders = _next
    get_merchant_order = cancel_order = payment_status = list_payments = readiness = _next
    put_products = receive_webhook = get_money_back = _next
    list_methods = save_method = delete_method = set_default_method = _next

    async def find_answer(self, scope: str, key: str, body_hash: str) -> StoredAnswer | None:
        first_hash, answer = self.kept.get(
            (scope, key), (self.noted.get((scope, key), body_hash), None)
        )
        if first_hash != body_hash:
            raise errors.idempotency_mismatch()
        return answer

    async def note_key(self, scope: str, key: str, body_hash: str) -> None:
        if self.is_store_broken:
            raise OSError("the disk is full")
        self.noted.setdefault((scope, key), body_hash)

    async def keep_answer(
        self, scope: str, key: str, body_hash: str, status: int, body: bytes
    ) -> None:
        if self.is_store_broken:
            raise OSError("the disk is full")
        self.kept[scope, key] = (body_hash, StoredAnswer(status, body))


@pytest.fixture(scope="module")
def answering_shop(start_shop: StartShop) -> Shop:
    return start_shop(Answering(), trusted_proxies="127.0.0.1, 10.0.0.0/8")


@pytest.fixture
def given(answering_shop: Shop) -> Shop:
    answering_shop.use_cases.__init__()
    return answering_shop


def _pay(shop: Shop, answer: Any = None, key: str | None = None, **body: Any) -> Any:
    if answer is not None:
        shop.use_cases.answers.append(answer)
    headers = {} if key is None else {"Idempotency-Key": key}
    return shop.call("POST", PAY, body={"paymentToken": "pm_1", **body}, headers=headers)


def test_a_payment_is_answered_to_the_letter(given: Shop) -> None:
    data = assert_success(_pay(given, PAID), "Payment processed successfully")
    assert data == {
        "paymentId": "pay_1",
        "orderId": ORDER_ID,
        "amount": 440,
        "status": "succeeded",
        "amountMinor": 44000,
        "currency": "usd",
    }


@pytest.mark.parametrize(
    ("amount_minor", "currency", "rendered"),
    [
        (44000, "usd", "440"),
        (12599, "usd", "125.99"),
        (12590, "usd", "125.9"),
        (1, "usd", "0.01"),
        (99_999_999, "usd", "999999.99"),
        (500, "jpy", "500"),
        (1234, "kwd", "1.234"),
    ],
)
def test_an_amount_is_a_json_number_exact_to_the_digit(
    given: Shop, amount_minor: int, currency: str, rendered: str
) -> None:
    response = _pay(given, Paid("pay_1", ORDER_ID, amount_minor, currency))
    assert f'"amount":{rendered},"amountMinor":{amount_minor},' in response.text


def test_3d_secure_is_answered_to_the_letter(given: Shop) -> None:
    data = assert_requires_action(_pay(given, ACTION))
    assert data == {
        "paymentId": "pay_1",
        "paymentIntentId": "pi_1",
        "clientSecret": "pi_1_secret_2",
    }


def test_a_decline_carries_stripes_words_and_code(given: Shop) -> None:
    declined = errors.card_declined(
        "Your card has insufficient funds.", decline_code="insufficient_funds", can_retry=False
    )
    body = assert_error(_pay(given, declined), 402, "card_declined", "use_other_method")
    assert body["message"] == "Payment failed"
    assert body["errors"] == ["Your card has insufficient funds."]
    assert body["declineCode"] == "insufficient_funds"


def test_waiting_has_a_header_and_a_field(given: Shop) -> None:
    body = assert_error(
        _pay(given, errors.payment_processing(7)), 409, "payment_processing", "wait"
    )
    assert body["retryAfter"] == 7


@pytest.mark.parametrize(
    ("body", "expected"),
    [
        ({"paymentMethodId": "pm_a", "paymentToken": "pm_b"}, "pm_a"),
        ({"paymentToken": "pm_b", "stripePaymentMethodId": "pm_c"}, "pm_b"),
        ({"stripePaymentMethodId": "pm_c", "paymentMethod": "pm_d"}, "pm_c"),
        ({"paymentMethod": "pm_d"}, "pm_d"),
        ({"paymentMethod": "credit_card", "paymentToken": "pm_b"}, "pm_b"),
        ({"paymentMethodId": None, "paymentToken": "", "paymentMethod": "pm_d"}, "pm_d"),
        ({"paymentMethodId": "saved-7", "paymentIntentId": "pi_1"}, "saved-7"),
    ],
)
def test_the_payment_method_is_found_where_each_app_version_puts_it(
    given: Shop, body: dict[str, Any], expected: str
) -> None:
    given.use_cases.answers.append(PAID)
    assert_success(given.call("POST", PAY, body={**body, "unknown": [1]}))
    [(command,)] = given.use_cases.asked
    assert isinstance(command, PayCommand)
    assert (command.payment_method_id, command.save_payment_method) == (expected, False)


def test_the_command_carries_who_asks_from_where_and_under_which_id(given: Shop) -> None:
    given.use_cases.answers.append(PAID)
    response = given.call(
        "POST",
        PAY.replace(ORDER_ID, ORDER_ID.upper()),
        body={"paymentToken": "pm_1", "savePaymentMethod": True},
        headers={"X-Forwarded-For": "1.1.1.1, 203.0.113.9, 10.1.2.3"},
    )
    [(command,)] = given.use_cases.asked
    assert command == PayCommand(
        user_id="user-1",
        order_id=ORDER_ID,
        payment_method_id="pm_1",
        save_payment_method=True,
        request_id=assert_envelope(response)["requestId"],
        client_address="203.0.113.9",
    )


def test_an_intent_alone_acts_as_confirm(given: Shop) -> None:
    given.use_cases.answers += [PAID, ACTION, PAID]
    assert_success(given.call("POST", PAY, body={"paymentIntentId": "pi_1"}))
    assert_requires_action(given.call("POST", f"{PAY}/confirm", body={"paymentIntentId": "pi_1"}))
    assert_success(given.call("POST", f"{PAY}/confirm"))
    intents = [asked[2] for asked in given.use_cases.asked]
    assert intents == ["pi_1", "pi_1", None]


def test_an_order_is_created_from_products_and_quantities_alone(given: Shop) -> None:
    given.use_cases.answers.append(_order(12599))
    sent = {
        "items": [{"productId": "p1", "quantity": 2, "price": 0.01}],
        "shippingAddress": {"city": "Köln"},
        "paymentMethod": "credit_card",
        "totalAmount": 1,
    }
    data = assert_success(given.call("POST", ORDERS, body=sent), "Order created successfully")
    assert data == {
        "orderId": ORDER_ID,
        "orderNumber": "ORD-1",
        "totalAmount": 125.99,
        "amountMinor": 12599,
        "currency": "usd",
        "status": "pending",
        "paymentStatus": "pending",
        "amountRefunded": 0,
        "amountRefundedMinor": 0,
    }
    [(user, basket)] = given.use_cases.asked
    assert user == Principal("user-1", None)
    assert isinstance(basket, NewOrder)
    assert [(item.product_id, item.quantity) for item in basket.items] == [("p1", 2)]
    assert basket.details == {"shippingAddress": {"city": "Köln"}, "paymentMethod": "credit_card"}


def test_an_order_is_shown_with_its_items(given: Shop) -> None:
    given.use_cases.answers.append(_order())
    data = assert_success(given.call("GET", f"{ORDERS}/{ORDER_ID}"))
    assert data == {
        "id": ORDER_ID,
        "orderNumber": "ORD-1",
        "totalAmount": 440,
        "amountMinor": 44000,
        "currency": "usd",
        "status": "pending",
        "paymentStatus": "pending",
        "amountRefunded": 0,
        "amountRefundedMinor": 0,
        "items": [
            {
                "productId": "p1",
                "name": "Shoe",
                "quantity": 2,
                "unitAmount": 220,
                "unitAmountMinor": 22000,
            }
        ],
        "createdAt": "2026-11-23T12:00:00.123Z",
    }


def test_saved_cards_are_answered_to_the_letter(given: Shop) -> None:
    nameless = SavedMethod("spm_2", "pm_2", False, None, None, None, None, None, is_expired=True)
    given.use_cases.answers += [Page([CARD, nameless], "next"), CARD, "spm_1", CARD]
    body = assert_envelope(given.call("GET", f"{METHODS}?limit=2&cursor=c"))
    assert body["message"] == "Payment methods retrieved successfully"
    assert body["nextCursor"] == "next"
    assert body["data"] == [
        CARD_DATA,
        {
            "id": "spm_2",
            "type": "credit_card",
            "stripePaymentMethodId": "pm_2",
            "isDefault": False,
            "isExpired": True,
            "details": dict.fromkeys(CARD_DATA["details"], ""),
        },
    ]
    sent = {"stripePaymentMethodId": "pm_1", "isDefault": True, "type": 7, "details": "x"}
    answer = given.call("POST", METHODS, body=sent)
    assert assert_success(answer, "Payment method saved successfully") == CARD_DATA
    answer = given.call("DELETE", f"{METHODS}/spm_1")
    assert assert_success(answer, "Payment method deleted successfully") == {"id": "spm_1"}
    answer = given.call("PUT", f"{METHODS}/pm_1/default")
    assert assert_success(answer, "Default payment method updated successfully") == CARD_DATA
    command = SaveMethod(Principal("user-1"), "pm_1", True, "127.0.0.1")
    assert given.use_cases.asked == [
        ("user-1", 2, "c"), (command,), ("user-1", "spm_1"), ("user-1", "pm_1"),
    ]  # fmt: skip


@pytest.mark.parametrize("flag", [{}, {"isDefault": None}, {"isDefault": False}])
def test_a_card_is_saved_as_the_default_only_when_asked_for(given: Shop, flag: Any) -> None:
    given.use_cases.answers.append(CARD)
    assert_success(given.call("POST", METHODS, body={"stripePaymentMethodId": "pm_1", **flag}))
    assert given.use_cases.asked[0][0].is_default is False


def test_a_list_is_the_data_itself_with_the_cursor_beside_it(given: Shop) -> None:
    summary = PaymentSummary("pay_1", ORDER_ID, 12599, "usd", None, "succeeded", AT, "pi_1")
    given.use_cases.answers += [Page([summary], "next"), Page([], None)]
    body = assert_envelope(given.call("GET", "/api/mobile-app/payments?limit=1&cursor=c"))
    assert body["nextCursor"] == "next"
    assert body["data"] == [
        {
            "id": "pay_1",
            "orderId": ORDER_ID,
            "amount": 125.99,
            "amountMinor": 12599,
            "currency": "usd",
            "paymentMethod": None,
            "status": "succeeded",
            "paymentDate": "2026-11-23T12:00:00.123Z",
            "stripePaymentIntentId": "pi_1",
        }
    ]
    body = assert_envelope(given.call("GET", ORDERS))
    assert (body["data"], body["nextCursor"]) == ([], None)
    assert given.use_cases.asked == [("user-1", 1, "c"), ("user-1", 20, None)]


@pytest.mark.parametrize(
    ("status", "next_step"),
    [
        ("none", "done"),
        ("processing", "wait"),
        ("requires_action", "authenticate"),
        ("succeeded", "done"),
        ("failed", "retry"),
        ("canceled", "done"),
        ("refunded", "done"),
    ],
)
def test_the_payment_of_an_order_says_where_it_stands(
    given: Shop, status: str, next_step: str
) -> None:
    given.use_cases.answers.append(PaymentStatus("pay_1", ORDER_ID, 44000, "usd", status))
    body = assert_envelope(given.call("GET", f"{ORDERS}/{ORDER_ID}/payment"))
    assert (body["status"], body["nextStep"]) == ("success", next_step)
    assert body["data"]["status"] == status
    assert "clientSecret" not in body["data"] and "lastError" not in body["data"]


def test_a_merchants_order_is_created_and_shown_with_user_and_metadata(given: Shop) -> None:
    back = MoneyBack(refunds=[], surplus=[], disputes=[], fraud_warnings=[])
    given.use_cases.answers += [_order(), _order(), back, _order(), None]
    sent = {
        "userId": "user-1",
        "email": "a@b.example",
        "orderId": ORDER_ID.upper(),
        "amountMinor": 44000,
        "currency": "USD",
        "orderNumber": "ORD-1",
        "metadata": {"k": "v"},
    }
    assert assert_success(given.merchant("POST", "/api/orders", body=sent))["orderId"] == ORDER_ID
    assert given.use_cases.asked.pop() == (
        NewMerchantOrder("user-1", "a@b.example", ORDER_ID, 44000, "usd", "ORD-1", {"k": "v"}),
    )
    shown = assert_success(given.merchant("GET", f"/api/orders/{ORDER_ID}"))
    assert (shown["userId"], shown["metadata"]) == ("user-1", {"k": "v"})
    empty = {"refunds": [], "surplus": [], "disputes": [], "fraudWarnings": []}
    canceled = assert_success(given.merchant("POST", f"/api/orders/{ORDER_ID}/cancel"))
    assert canceled | empty == shown
    product = {"productId": "p", "name": "n", "amountMinor": 5, "currency": "eur"}
    stored = given.merchant("PUT", "/api/products", body={"products": [product]})
    assert assert_success(stored) == {"products": 1}


def test_a_webhook_hands_on_the_raw_bytes(given: Shop) -> None:
    given.use_cases.answers.append(None)
    raw = b'{ "id":  "evt_1" }'
    response = given.call(
        "POST", "/api/webhooks/stripe", raw=raw, token=None, headers={"Stripe-Signature": "t=1"}
    )
    assert_success(response)
    assert given.use_cases.asked == [(raw, "t=1")]


def test_readiness_is_200_or_503_with_what_is_missing(given: Shop) -> None:
    sick = {"database": "ok", "stripe": "not well"}
    given.use_cases.answers += [Readiness(sick, is_ready=True), Readiness(sick, is_ready=False)]
    assert assert_success(given.call("GET", "/readyz", token=None)) == sick
    body = assert_error(given.call("GET", "/readyz", token=None), 503, "service_unavailable")
    assert body["errors"] == ["stripe: not well"]


FINAL = [
    PAID,
    errors.card_declined("No.", decline_code=None, can_retry=False),
    errors.order_not_found(),
    errors.order_not_payable("it is canceled"),
    errors.payment_method_consumed(),
    errors.invalid_request("x"),
]
WORKED_ANEW = [
    ACTION,
    errors.payment_processing(),
    errors.payment_in_progress(),
    errors.too_many_attempts(5),
    errors.stripe_unavailable(),
    RuntimeError("a bug"),
]


def _fresh(answer: Any) -> Any:
    """A copy of an error, since a raised one carries its traceback."""
    return answer.__class__(**vars(answer)) if isinstance(answer, ServiceError) else answer


@pytest.mark.parametrize("answer", FINAL, ids=str)
def test_a_final_answer_is_given_again_under_the_same_key(given: Shop, answer: Any) -> None:
    first = _pay(given, _fresh(answer), key="k")
    again = _pay(given, key="k")
    assert len(given.use_cases.asked) == 1
    assert again.status_code == first.status_code
    one, two = assert_envelope(first), assert_envelope(again)
    assert one.pop("requestId") != two.pop("requestId")
    assert one == two
    assert again.headers["Idempotent-Replayed"] == "true"
    assert "Idempotent-Replayed" not in first.headers


@pytest.mark.parametrize("answer", WORKED_ANEW, ids=str)
def test_an_answer_that_is_not_final_is_worked_anew(given: Shop, answer: Any) -> None:
    _pay(given, _fresh(answer), key="k")
    assert given.use_cases.kept == {}
    assert_success(_pay(given, PAID, key="k"))
    assert len(given.use_cases.asked) == 2


def test_another_body_under_the_same_key_is_a_mismatch(given: Shop) -> None:
    assert_success(_pay(given, PAID, key="k"))
    assert_error(_pay(given, key="k", savePaymentMethod=True), 409, "idempotency_mismatch")


@pytest.mark.parametrize("answer", WORKED_ANEW[:-1], ids=str)
def test_another_body_is_a_mismatch_where_the_first_one_is_worked_anew(
    given: Shop, answer: Any
) -> None:
    _pay(given, _fresh(answer), key="k")
    assert_error(_pay(given, key="k", savePaymentMethod=True), 409, "idempotency_mismatch")
    assert_success(_pay(given, PAID, key="k"))
    assert len(given.use_cases.asked) == 2


def test_a_database_that_is_away_is_not_asked_for_the_key_again(given: Shop) -> None:
    given.use_cases.answers.append(errors.service_unavailable())
    assert_error(_pay(given, key="k"), 503, "service_unavailable")
    assert given.use_cases.noted == {}


def test_a_key_belongs_to_one_user_and_one_path(given: Shop) -> None:
    assert_success(_pay(given, PAID, key="k"))
    given.use_cases.answers += [errors.order_not_found(), PAID]
    body, headers = {"paymentToken": "pm_1"}, {"Idempotency-Key": "k"}
    stranger = given.token("user-2")
    other_user = given.call("POST", PAY, body=body, headers=headers, token=stranger)
    assert_error(other_user, 404, "order_not_found")
    assert_success(given.call("POST", f"{PAY}/confirm", body=body, headers=headers))
    assert len(given.use_cases.asked) == 3


def test_without_a_key_nothing_is_kept(given: Shop) -> None:
    assert_success(_pay(given, PAID))
    assert_success(_pay(given, PAID))
    assert given.use_cases.kept == {} and len(given.use_cases.asked) == 2


def test_neither_request_id_nor_card_number_is_kept(given: Shop) -> None:
    body = assert_envelope(_pay(given, PAID, key="k"))
    [(_, answer)] = given.use_cases.kept.values()
    assert body["requestId"].encode() not in answer.body
    assert "requestId" not in json.loads(answer.body)
    assert_error(_pay(given, key="k2", notes="4242 4242 4242 4242"), 400, "card_number_rejected")
    assert len(given.use_cases.kept) == 1


def test_a_paid_order_is_answered_paid_though_its_answer_cannot_be_kept(given: Shop) -> None:
    given.use_cases.is_store_broken = True
    assert_success(_pay(given, PAID, key="k"))
    assert_error(_pay(given, errors.payment_processing(), key="k"), 409, "payment_processing")


def test_a_double_tap_under_one_key_creates_one_order(given: Shop) -> None:
    given.use_cases.answers += [_order()] * 5
    given.use_cases.pause_seconds = 0.05
    sent = {"items": [{"productId": "p1", "quantity": 1}]}
    answers: list[Any] = []

    def create() -> None:
        response = given.call("POST", ORDERS, body=sent, headers={"Idempotency-Key": "k"})
        answers.append(assert_success(response))

    taps = [threading.Thread(target=create) for _ in range(5)]
    for tap in taps:
        tap.start()
    for tap in taps:
        tap.join(10)
    assert len(answers) == 5 and len(given.use_cases.asked) == 1
