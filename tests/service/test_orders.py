"""Orders and lists: prices, currencies, the merchant's orders, refunds, Idempotency-Key."""

import re
import uuid
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest
import requests

from paidonce.payments.cursors import encode_cursor
from support.envelope import assert_envelope, assert_error, assert_success
from support.service import (
    DECLINED_AT_CHARGE,
    GOOD,
    NEEDS_3DS,
    WEBHOOK_SECRET,
    Running,
    StartService,
)

ORDERS = "/api/mobile-app/orders"
PAYMENTS = "/api/mobile-app/payments"
CONFIRM = {"method": "POST", "path": "/v1/payment_intents/*/confirm"}
TIMESTAMP = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z")


@pytest.fixture
def service(start_service: StartService) -> Running:
    return start_service()


def put_product(
    service: Running, product_id: str, amount_minor: int, currency: str = "usd", name: str = "A"
) -> None:
    product = {
        "productId": product_id,
        "name": name,
        "amountMinor": amount_minor,
        "currency": currency,
    }
    assert_success(service.merchant("PUT", "/api/products", {"products": [product]}))


def order_of(service: Running, *items: tuple[str, int], **fields: Any) -> dict[str, Any]:
    listed = [{"productId": product, "quantity": quantity} for product, quantity in items]
    answer = service.call("POST", ORDERS, {"items": listed, **fields})
    data: dict[str, Any] = assert_success(answer, "Order created successfully")
    return data


def stripe_get(service: Running, path: str) -> dict[str, Any]:
    headers = {"Authorization": f"Bearer {service.simulator.secret_key}"}
    answer = requests.get(f"{service.simulator.url}/v1/{path}", headers=headers, timeout=10)
    assert answer.status_code == 200, answer.text
    found: dict[str, Any] = answer.json()
    return found


def intent_of(service: Running, order_id: str) -> dict[str, Any]:
    (row,) = service.rows(
        "SELECT stripe_payment_intent_id AS id FROM payments WHERE order_id = $1", order_id
    )
    return stripe_get(service, f"payment_intents/{row['id']}")


# --- prices --------------------------------------------------------------------------------------


def test_an_order_takes_its_prices_from_the_servers_list(service: Running) -> None:
    put_product(service, "honey", 1_250, name="Honey")
    answer = service.call(
        "POST",
        ORDERS,
        {
            "items": [
                {"productId": "tea", "quantity": 2, "price": 0.01, "unitAmountMinor": 1},
                {"productId": "honey", "quantity": 3},
            ],
            "totalAmount": 0.5,
            "currency": "jpy",
        },
    )
    data = assert_success(answer, "Order created successfully")
    assert str(uuid.UUID(data["orderId"])) == data["orderId"]
    assert data["orderNumber"].startswith("ORD-")
    assert data == {
        "orderId": data["orderId"],
        "orderNumber": data["orderNumber"],
        "totalAmount": 477.5,
        "amountMinor": 47_750,
        "currency": "usd",
        "amountRefunded": 0,
        "amountRefundedMinor": 0,
        "status": "pending",
        "paymentStatus": "pending",
    }
    view = service.order_view(data["orderId"])
    assert view["items"] == [
        {
            "productId": "tea",
            "name": "Tea",
            "quantity": 2,
            "unitAmount": 220,
            "unitAmountMinor": 22_000,
        },
        {
            "productId": "honey",
            "name": "Honey",
            "quantity": 3,
            "unitAmount": 12.5,
            "unitAmountMinor": 1_250,
        },
    ]
    assert TIMESTAMP.fullmatch(view["createdAt"])


def test_a_new_price_holds_for_new_orders_only(service: Running) -> None:
    old = order_of(service, ("tea", 1))
    service.run(service.context.background.drain())
    put_product(service, "tea", 30_000, name="Better tea")
    new = order_of(service, ("tea", 1))
    assert (old["totalAmount"], new["totalAmount"]) == (220, 300)
    for order_id, name, amount in (
        (old["orderId"], "Tea", 22_000),
        (new["orderId"], "Better tea", 30_000),
    ):
        view = service.order_view(order_id)
        (item,) = view["items"]
        assert (item["name"], item["unitAmountMinor"], view["amountMinor"]) == (
            name,
            amount,
            amount,
        )
        assert_success(service.pay(order_id, service.simulator.create_card(GOOD)))
        assert intent_of(service, order_id)["amount_received"] == amount


def test_products_are_added_and_replaced_together(service: Running) -> None:
    products = [
        {"productId": "tea", "name": "Tea", "amountMinor": 100, "currency": "eur"},
        {"productId": "cup", "name": "Cup", "amountMinor": 200, "currency": "eur"},
    ]
    answer = service.merchant("PUT", "/api/products", {"products": products})
    assert assert_success(answer) == {"products": 2}
    assert order_of(service, ("tea", 1), ("cup", 2))["amountMinor"] == 500
    twice = {"products": [products[0], products[0]]}
    assert_error(service.merchant("PUT", "/api/products", twice), 400, "invalid_request")


def test_the_price_list_is_read_by_pages(service: Running) -> None:
    ids = ["\N{GRINNING FACE}" * 100, "a/b", "cup", "tea", "z", "Ärmel"]
    line = {"name": "One", "amountMinor": 1_250, "currency": "kwd"}
    products = [{"productId": each, **line} for each in ids if each != "tea"]
    assert_success(service.merchant("PUT", "/api/products", {"products": products}))
    walked, query = [], "?limit=1"
    while True:
        page = assert_envelope(service.merchant("GET", f"/api/products{query}"))
        walked += page["data"]
        if page["nextCursor"] is None:
            break
        query = f"?limit=1&cursor={page['nextCursor']}"
    assert walked == assert_success(service.merchant("GET", "/api/products"))
    assert sorted(each["productId"] for each in walked) == sorted(ids)
    [cup] = [each for each in walked if each["productId"] == "cup"]
    assert cup == {"productId": "cup", **line, "amount": 1.25}
    orders_cursor = encode_cursor(service.clock.now(), str(uuid.uuid4()))
    for wrong in ("limit=0", f"cursor={orders_cursor}", "cursor=cHJvZHVjdDoA", "name=tea"):
        answer = service.merchant("GET", f"/api/products?{wrong}")
        assert_error(answer, 400, "invalid_request")
    other = service.merchant("GET", f"/api/orders?{query.partition('&')[2]}")
    assert_error(other, 400, "invalid_request")


def test_a_product_is_taken_out_and_its_orders_keep_their_price(service: Running) -> None:
    order_id = service.order()
    with_slash = {"productId": "a/b ä", "name": "n", "amountMinor": 100, "currency": "usd"}
    assert_success(service.merchant("PUT", "/api/products", {"products": [with_slash]}))
    for name, path in (("tea", "tea"), ("a/b ä", "a%2Fb%20%C3%A4")):
        deleted = service.merchant("DELETE", f"/api/products/{path}")
        assert assert_success(deleted) == {"productId": name}
        again = service.merchant("DELETE", f"/api/products/{path}")
        assert_error(again, 404, "product_not_listed", "fix_request")
    for unknown in ("Tea", "%00", "", "x" * 101, "%ff", "tea/"):
        answer = service.merchant("DELETE", f"/api/products/{unknown}")
        assert_error(answer, 404, "product_not_listed")
    assert assert_success(service.merchant("GET", "/api/products")) == []
    basket = {"items": [{"productId": "tea", "quantity": 1}]}
    assert_error(service.call("POST", ORDERS, basket), 400, "product_not_found")
    assert_success(service.pay(order_id, service.simulator.create_card(GOOD)))
    view = service.order_view(order_id)
    assert (view["items"][0]["productId"], view["amountMinor"]) == ("tea", 44_000)


def test_a_product_without_a_usable_price_is_refused(service: Running) -> None:
    cup = {"productId": "cup", "name": "Cup", "amountMinor": 100, "currency": "usd"}
    for changes in ({"currency": "xyz"}, {"amountMinor": 0}, {"amountMinor": 1.5}):
        answer = service.merchant("PUT", "/api/products", {"products": [{**cup, **changes}]})
        assert_error(answer, 400, "invalid_request", "fix_request")
    basket = {"items": [{"productId": "cup", "quantity": 1}]}
    assert_error(service.call("POST", ORDERS, basket), 400, "product_not_found")


@pytest.mark.parametrize(
    ("amount_minor", "currency", "code"),
    [
        (12_345, "kwd", "invalid_amount"),
        (150, "isk", "invalid_amount"),
        (100_000_000, "usd", "amount_too_large"),
    ],
)
def test_a_price_that_nobody_could_pay_is_refused_with_its_product(
    service: Running, amount_minor: int, currency: str, code: str
) -> None:
    good = {"productId": "cup", "name": "Cup", "amountMinor": 200, "currency": "usd"}
    bad = {**good, "productId": "pot", "amountMinor": amount_minor, "currency": currency}
    answer = service.merchant("PUT", "/api/products", {"products": [good, bad]})
    refused = assert_error(answer, 400, code, "fix_request")
    assert refused["errors"][0].startswith("products[1].amountMinor (pot): ")
    basket = {"items": [{"productId": "cup", "quantity": 1}]}
    assert_error(service.call("POST", ORDERS, basket), 400, "product_not_found")


def test_a_price_below_the_smallest_charge_is_paid_in_pieces(service: Running) -> None:
    sweet = {"productId": "sweet", "name": "Sweet", "amountMinor": 10, "currency": "usd"}
    assert_success(service.merchant("PUT", "/api/products", {"products": [sweet]}))
    one = {"items": [{"productId": "sweet", "quantity": 1}]}
    assert_error(service.call("POST", ORDERS, one), 400, "amount_too_small")
    assert order_of(service, ("sweet", 5))["amountMinor"] == 50


def test_an_unknown_product_is_named(service: Running) -> None:
    basket = {"items": [{"productId": "tea", "quantity": 1}, {"productId": "gone", "quantity": 1}]}
    body = assert_error(service.call("POST", ORDERS, basket), 400, "product_not_found")
    assert "items[1].productId" in body["errors"][0] and "gone" not in str(body)
    assert assert_success(service.call("GET", ORDERS)) == []


def test_one_order_has_one_currency(service: Running) -> None:
    put_product(service, "sencha", 500, "jpy")
    basket = {
        "items": [{"productId": "tea", "quantity": 1}, {"productId": "sencha", "quantity": 1}]
    }
    body = assert_error(service.call("POST", ORDERS, basket), 400, "invalid_request")
    assert "currency" in body["errors"][0]


CURRENCIES = [
    ("jpy", 1_500, 2, 3_000),
    ("krw", 10_000, 1, 10_000),
    ("kwd", 12_340, 3, 37.02),
    ("bhd", 1_000, 1, 1),
    ("eur", 1_999, 1, 19.99),
    ("usd", 50, 1, 0.5),
]


def test_stripe_is_asked_for_the_right_minor_amount(service: Running) -> None:
    for currency, unit_minor, quantity, shown in CURRENCIES:
        put_product(service, "item", unit_minor, currency)
        order = order_of(service, ("item", quantity))
        order_id, amount_minor = order["orderId"], unit_minor * quantity
        expected = (shown, amount_minor, currency)
        assert (order["totalAmount"], order["amountMinor"], order["currency"]) == expected
        data = assert_success(service.pay(order_id, service.simulator.create_card(GOOD)))
        assert (data["amount"], data["amountMinor"], data["currency"]) == expected
        intent = intent_of(service, order_id)
        assert (intent["amount_received"], intent["currency"]) == (amount_minor, currency)
        groups = service.simulator.audit(group_by="order_id")["groups"]
        (group,) = [group for group in groups if group["key"] == order_id]
        assert (group["succeeded_charges"], group["amount_captured"]) == (1, amount_minor)


def test_an_amount_that_stripe_cannot_charge_is_no_order(service: Running) -> None:
    put_product(service, "gum", 10)
    basket = {"items": [{"productId": "gum", "quantity": 1}]}
    body = assert_error(service.call("POST", ORDERS, basket), 400, "amount_too_small")
    assert "50" in body["errors"][0]
    assert order_of(service, ("gum", 5))["amountMinor"] == 50
    for amount, currency, code in (
        (49, "usd", "amount_too_small"),
        (100_000_000, "usd", "amount_too_large"),
        (1_234, "kwd", "invalid_amount"),
        (150, "isk", "invalid_amount"),
    ):
        answer = service.merchant(
            "POST", "/api/orders", merchant_order(amountMinor=amount, currency=currency)
        )
        assert_error(answer, 400, code, "fix_request")
    large = merchant_order(amountMinor=999_999_999_999, currency="idr")
    assert assert_success(service.merchant("POST", "/api/orders", large))["totalAmount"] == (
        9_999_999_999.99
    )


def test_an_amount_that_stripe_refuses_all_the_same_is_an_order_that_cannot_be_paid(
    service: Running,
) -> None:
    """Its minimum depends on what the account settles in, too; here our books are changed."""
    customers = {"method": "POST", "path": "/v1/customers", "times": 3}
    service.simulator.add_fault(kind="rate_limit", match=customers)
    order_id = service.order()
    service.simulator.clear_faults()

    async def work(tx: Any) -> None:
        for table in ("orders", "payments"):
            await tx.execute(f"UPDATE {table} SET amount_minor = 10")

    service.run(service.context.db.transaction("test", work))
    answer = service.pay(order_id, service.simulator.create_card(GOOD))
    assert_error(answer, 409, "order_not_payable", "contact_support")
    assert service.charges(order_id) == 0


# --- the merchant's orders -----------------------------------------------------------------------


def merchant_order(**changes: Any) -> dict[str, Any]:
    return {
        "userId": "alice",
        "email": "alice@shop.example",
        "orderId": str(uuid.uuid4()),
        "amountMinor": 44_000,
        "currency": "usd",
        "orderNumber": f"M-{uuid.uuid4().hex[:8]}",
        "metadata": {"basket": "17"},
        **changes,
    }


def test_a_merchants_order_is_its_users_order_and_is_paid(service: Running) -> None:
    body = merchant_order()
    data = assert_success(service.merchant("POST", "/api/orders", body))
    assert (data["orderId"], data["orderNumber"]) == (body["orderId"], body["orderNumber"])
    assert (data["totalAmount"], data["amountMinor"], data["currency"]) == (440, 44_000, "usd")
    assert_success(service.pay(body["orderId"], service.simulator.create_card(GOOD)))
    view = assert_success(service.merchant("GET", f"/api/orders/{body['orderId']}"))
    assert (view["status"], view["paymentStatus"], view["userId"]) == ("paid", "paid", "alice")
    assert view["metadata"] == {"basket": "17"}
    intent = intent_of(service, body["orderId"])
    assert intent["metadata"]["order_id"] == body["orderId"]
    assert service.charges(body["orderId"]) == 1


def test_the_same_merchant_order_again_is_the_same_order(service: Running) -> None:
    body = merchant_order()
    first = assert_success(service.merchant("POST", "/api/orders", body))
    assert assert_success(service.merchant("POST", "/api/orders", body)) == first
    upper = {**body, "orderId": body["orderId"].upper(), "currency": "USD"}
    assert assert_success(service.merchant("POST", "/api/orders", upper)) == first
    assert_success(service.pay(body["orderId"], service.simulator.create_card(GOOD)))
    again = assert_success(service.merchant("POST", "/api/orders", body))
    assert (again["orderId"], again["status"]) == (body["orderId"], "paid")
    assert service.rows("SELECT count(*) AS n FROM orders") == [{"n": 1}]
    assert service.charges(body["orderId"]) == 1


def test_another_merchant_order_under_the_same_id_is_a_conflict(service: Running) -> None:
    body = merchant_order()
    assert_success(service.merchant("POST", "/api/orders", body))
    before = assert_success(service.merchant("GET", f"/api/orders/{body['orderId']}"))
    changes: list[dict[str, Any]] = [
        {"amountMinor": 44_001},
        {"currency": "eur"},
        {"userId": "bob"},
        {"metadata": {"basket": "18"}},
        {"orderNumber": "another"},
    ]
    for changed in changes:
        answer = service.merchant("POST", "/api/orders", {**body, **changed})
        refused = assert_error(answer, 409, "order_conflict", "fix_request")
        assert refused["errors"] == ["orderId is the id of an order with other contents."]
    assert assert_success(service.merchant("GET", f"/api/orders/{body['orderId']}")) == before


def test_an_order_number_is_taken_once(service: Running) -> None:
    first = merchant_order()
    assert_success(service.merchant("POST", "/api/orders", first))
    second = merchant_order(orderNumber=first["orderNumber"])
    without_id = {name: value for name, value in first.items() if name != "orderId"}
    for again in (second, without_id):
        answer = service.merchant("POST", "/api/orders", again)
        refused = assert_error(answer, 409, "order_conflict")
        assert refused["errors"] == ["orderNumber is the number of another order."]
    assert_error(
        service.merchant("GET", f"/api/orders/{second['orderId']}"), 404, "order_not_found"
    )


def test_a_merchants_order_without_an_id_is_a_new_one_each_time(service: Running) -> None:
    body = {"userId": "alice", "amountMinor": 100, "currency": "usd"}
    ids = {
        assert_success(service.merchant("POST", "/api/orders", body))["orderId"] for _ in range(2)
    }
    assert len(ids) == 2


def test_another_users_orders_do_not_exist(service: Running) -> None:
    order_id = service.order()
    answer = service.call("GET", f"{ORDERS}/{order_id}", user="bob")
    assert_error(answer, 404, "order_not_found")
    assert assert_success(service.call("GET", ORDERS, user="bob")) == []
    assert service.merchant("GET", f"/api/orders/{order_id}").status_code == 200


# --- lists ---------------------------------------------------------------------------------------


def pages(service: Running, path: str, limit: int) -> list[list[dict[str, Any]]]:
    found: list[list[dict[str, Any]]] = []
    cursor: str | None = None
    while True:
        query = f"limit={limit}" + (f"&cursor={cursor}" if cursor else "")
        body = assert_envelope(service.call("GET", f"{path}?{query}"))
        found.append(body["data"])
        cursor = body["nextCursor"]
        if cursor is None:
            return found


def test_the_list_of_orders_is_walked_newest_first_without_a_gap(service: Running) -> None:
    made = [service.order(is_prepared=False) for _ in range(5)]
    service.order("bob")
    for limit, sizes in ((2, [2, 2, 1]), (5, [5]), (1, [1] * 5), (100, [5])):
        walked = pages(service, ORDERS, limit)
        assert [len(page) for page in walked] == sizes
        assert [item["id"] for page in walked for item in page] == made[::-1]
    body = assert_envelope(service.call("GET", ORDERS))
    assert (len(body["data"]), body["nextCursor"]) == (5, None)


def test_orders_made_while_a_list_is_walked_change_nothing_of_the_rest(service: Running) -> None:
    made = [service.order(is_prepared=False) for _ in range(4)]
    first = assert_envelope(service.call("GET", f"{ORDERS}?limit=2"))
    service.order(is_prepared=False)
    path = f"{ORDERS}?limit=2&cursor={first['nextCursor']}"
    second = assert_envelope(service.call("GET", path))
    walked = [item["id"] for item in first["data"] + second["data"]]
    assert walked == made[::-1]


def test_the_list_of_payments_shows_what_was_tried(service: Running) -> None:
    untried, declined, pending, paid = (service.order() for _ in range(4))
    card = service.simulator.create_card(GOOD)
    assert_error(service.pay(declined, service.simulator.create_card(DECLINED_AT_CHARGE)), 402,
                 "card_declined")  # fmt: skip
    service.pay(pending, service.simulator.create_card(NEEDS_3DS))
    data = assert_success(service.pay(paid, card))
    (listed,) = pages(service, PAYMENTS, 20)
    by_order = {item["orderId"]: item for item in listed}
    assert set(by_order) == {declined, pending, paid}
    assert untried not in by_order
    item = by_order[paid]
    assert TIMESTAMP.fullmatch(item["paymentDate"])
    assert item == {
        "id": data["paymentId"],
        "orderId": paid,
        "amount": 440,
        "amountMinor": 44_000,
        "currency": "usd",
        "paymentMethod": "visa •••• 4242",
        "status": "succeeded",
        "paymentDate": item["paymentDate"],
        "stripePaymentIntentId": intent_of(service, paid)["id"],
    }
    assert by_order[declined]["status"] == "failed"
    assert by_order[pending]["status"] == "requires_action"
    walked = [item["orderId"] for page in pages(service, PAYMENTS, 1) for item in page]
    assert sorted(walked) == sorted(by_order) and len(walked) == 3
    assert pages_of_bob(service) == []


def pages_of_bob(service: Running) -> list[Any]:
    listed: list[Any] = assert_success(service.call("GET", PAYMENTS, user="bob"))
    return listed


def test_the_payment_status_of_an_order_follows_its_payment(service: Running) -> None:
    order_id = service.order()

    def now() -> str:
        (listed,) = [
            item for item in assert_success(service.call("GET", ORDERS)) if item["id"] == order_id
        ]
        view = service.order_view(order_id)
        assert view["paymentStatus"] == listed["paymentStatus"]
        return str(view["paymentStatus"])

    assert now() == "pending"
    service.pay(order_id, service.simulator.create_card(DECLINED_AT_CHARGE))
    assert now() == "failed"
    action = service.pay(order_id, service.simulator.create_card(NEEDS_3DS)).json()["data"]
    assert now() == "pending"
    service.simulator.authenticate(action["paymentIntentId"], "fail")
    service.confirm(order_id)
    assert now() == "failed"
    assert_success(service.pay(order_id, service.simulator.create_card(GOOD)))
    assert now() == "paid"


# --- refunds made at Stripe ----------------------------------------------------------------------


def refund(service: Running, order_id: str, amount_minor: int | None = None) -> None:
    """Refund at Stripe (the dashboard), and let the webhook bring the news."""
    url = f"{service.url}/api/webhooks/stripe"
    service.simulator.set_webhook_target(url, WEBHOOK_SECRET)
    form: dict[str, Any] = {"payment_intent": intent_of(service, order_id)["id"]}
    if amount_minor is not None:
        form["amount"] = amount_minor
    headers = {"Authorization": f"Bearer {service.simulator.secret_key}"}
    answer = requests.post(
        f"{service.simulator.url}/v1/refunds", data=form, headers=headers, timeout=10
    )
    assert answer.status_code == 200, answer.text
    service.simulator.flush_webhooks()
    service.work()


def test_refunds_made_at_stripe_show_and_end_in_an_order_that_cannot_be_paid(
    service: Running,
) -> None:
    order_id, card = service.order(), service.simulator.create_card(GOOD)
    paid = assert_success(service.pay(order_id, card))
    refund(service, order_id, 4_000)
    assert service.order_view(order_id)["paymentStatus"] == "partially_refunded"
    assert service.payment(order_id)["status"] == "succeeded"
    assert assert_success(service.pay(order_id, card)) == paid
    refund(service, order_id)
    assert service.order_view(order_id)["paymentStatus"] == "refunded"
    assert service.payment(order_id)["status"] == "refunded"
    before = service.last_request()
    for method in (card, service.simulator.create_card(GOOD)):
        answer = service.pay(order_id, method)
        assert_error(answer, 409, "order_not_payable", "contact_support")
    assert_error(service.confirm(order_id), 409, "order_not_payable")
    assert ("POST", "/v1/payment_intents/:id/confirm") not in service.stripe_calls(before)
    (item,) = assert_success(service.call("GET", PAYMENTS))
    assert item["status"] == "refunded"
    (group,) = service.simulator.audit(group_by="order_id")["groups"]
    assert (group["succeeded_charges"], group["amount_refunded"]) == (1, 44_000)


def test_a_refund_of_a_surplus_charge_does_not_make_the_paid_order_refunded(
    start_service: StartService,
) -> None:
    """A generation that we retired and that charged all the same is paid back by hand: the order
    stays paid by the other one."""
    service = start_service(refund_surplus=False)
    order_id, card = service.order(), service.simulator.create_card(GOOD)
    action = service.pay(order_id, service.simulator.create_card(NEEDS_3DS)).json()["data"]
    retired, intent_id = action["paymentId"], action["paymentIntentId"]
    execute(service, "UPDATE payments SET state = 'canceled' WHERE id = $1", retired)
    execute(
        service, "UPDATE payment_attempts SET state = 'abandoned' WHERE payment_id = $1", retired
    )
    paid = assert_success(service.pay(order_id, card))
    assert paid["paymentId"] != retired
    url = f"{service.url}/api/webhooks/stripe"
    service.simulator.set_webhook_target(url, WEBHOOK_SECRET)
    service.simulator.authenticate(intent_id, "success")
    service.simulator.flush_webhooks()
    service.work()
    found = service.rows("SELECT state FROM payments WHERE id = $1", retired)
    assert found == [{"state": "surplus"}]
    headers = {"Authorization": f"Bearer {service.simulator.secret_key}"}
    base = f"{service.simulator.url}/v1/refunds"
    answer = requests.post(base, data={"payment_intent": intent_id}, headers=headers, timeout=10)
    assert answer.status_code == 200
    service.simulator.flush_webhooks()
    service.work()
    assert service.order_view(order_id)["paymentStatus"] == "paid"
    assert assert_success(service.pay(order_id, card)) == paid
    service.simulator.reset()  # this test's two charges are its subject


def execute(service: Running, sql: str, *args: Any) -> None:
    async def work(tx: Any) -> None:
        await tx.execute(sql, *args)

    service.run(service.context.db.transaction("test", work))


# --- Idempotency-Key -----------------------------------------------------------------------------


def keyed(
    service: Running, path: str, body: Any, key: str = "key-1", user: str = "alice"
) -> requests.Response:
    return service.call("POST", path, body, user=user, headers={"Idempotency-Key": key})


BASKET = {"items": [{"productId": "tea", "quantity": 1}]}


def test_an_order_under_a_key_is_made_once(service: Running) -> None:
    first = keyed(service, ORDERS, BASKET)
    again = keyed(service, ORDERS, BASKET)
    assert assert_success(first) == assert_success(again)
    assert "Idempotent-Replayed" not in first.headers
    assert again.headers["Idempotent-Replayed"] == "true"
    other = {"items": [{"productId": "tea", "quantity": 2}]}
    assert_error(keyed(service, ORDERS, other), 409, "idempotency_mismatch", "fix_request")
    made = [
        assert_success(keyed(service, ORDERS, BASKET, key="key-2")),
        assert_success(keyed(service, ORDERS, BASKET, user="bob")),
        assert_success(service.call("POST", ORDERS, BASKET)),
    ]
    assert len({order["orderId"] for order in [*made, assert_success(first)]}) == 4
    assert service.rows("SELECT count(*) AS n FROM orders") == [{"n": 4}]


def test_a_key_is_forgotten_after_a_day(service: Running) -> None:
    first = assert_success(keyed(service, ORDERS, BASKET))
    service.clock.added += 23 * 3600
    assert assert_success(keyed(service, ORDERS, BASKET)) == first
    service.clock.added += 2 * 3600
    assert assert_success(keyed(service, ORDERS, BASKET))["orderId"] != first["orderId"]


def pay_body(card: str) -> dict[str, Any]:
    return {"paymentToken": card, "savePaymentMethod": False}


def test_a_payment_under_a_key_gives_its_final_answer_again(service: Running) -> None:
    order_id = service.order()
    path = f"{ORDERS}/{order_id}/pay"
    declined = pay_body(service.simulator.create_card(DECLINED_AT_CHARGE))
    assert_error(keyed(service, path, declined), 402, "card_declined")
    before = service.last_request()
    again = keyed(service, path, declined)
    assert_error(again, 402, "card_declined")
    assert again.headers["Idempotent-Replayed"] == "true"
    assert service.stripe_calls(before) == []
    good = pay_body(service.simulator.create_card(GOOD))
    assert_error(keyed(service, path, good), 409, "idempotency_mismatch", "fix_request")
    data = assert_success(keyed(service, path, good, key="key-2"))
    assert assert_success(keyed(service, path, good, key="key-2")) == data
    assert service.charges(order_id) == 1


def test_the_same_key_on_another_order_is_another_key(service: Running) -> None:
    card = service.simulator.create_card(GOOD)
    orders = [service.order() for _ in range(2)]
    found = [
        assert_success(keyed(service, f"{ORDERS}/{order_id}/pay", pay_body(card)))["orderId"]
        for order_id in orders
    ]
    assert found == orders
    assert [service.charges(order_id) for order_id in orders] == [1, 1]


def test_an_answer_that_says_wait_is_not_kept(service: Running) -> None:
    order_id, body = service.order(), pay_body(service.simulator.create_card(GOOD))
    path = f"{ORDERS}/{order_id}/pay"
    service.simulator.add_fault(match=CONFIRM, kind="drop_response")
    look = {"method": "GET", "path": "/v1/payment_intents/*"}
    service.simulator.add_fault(match=look, kind="drop_request")
    assert_error(keyed(service, path, body), 409, "payment_processing", "wait")
    service.simulator.clear_faults()
    answer = keyed(service, path, body)
    assert_success(answer)
    assert "Idempotent-Replayed" not in answer.headers
    assert service.charges(order_id) == 1


def test_an_answer_that_asks_for_authentication_or_says_unavailable_is_not_kept(
    service: Running,
) -> None:
    order_id, body = service.order(), pay_body(service.simulator.create_card(NEEDS_3DS))
    path = f"{ORDERS}/{order_id}/pay"
    service.simulator.add_fault(match={**CONFIRM, "times": 1}, kind="rate_limit")
    assert_error(keyed(service, path, body), 503, "stripe_unavailable", "retry")
    first = assert_envelope(keyed(service, path, body))
    assert first["status"] == "requires_action"
    service.simulator.authenticate(first["data"]["paymentIntentId"], "success")
    assert_success(keyed(service, path, body))
    assert service.rows("SELECT body FROM answers WHERE body LIKE '%_secret_%'") == []
    assert service.charges(order_id) == 1


def test_another_card_under_the_key_of_a_pending_challenge_is_another_request(
    service: Running,
) -> None:
    order_id, body = service.order(), pay_body(service.simulator.create_card(NEEDS_3DS))
    path = f"{ORDERS}/{order_id}/pay"
    first = assert_envelope(keyed(service, path, body))["data"]
    other = pay_body(service.simulator.create_card(GOOD))
    before = service.last_request()
    assert_error(keyed(service, path, other), 409, "idempotency_mismatch", "fix_request")
    assert service.stripe_calls(before) == []
    assert assert_envelope(keyed(service, path, body))["data"] == first
    service.clock.added += 25 * 3600
    assert_success(keyed(service, path, other))
    assert service.charges(order_id) == 1


def test_two_requests_under_one_key_at_the_same_time_are_one(service: Running) -> None:
    with ThreadPoolExecutor(4) as threads:
        answers = list(threads.map(lambda _: keyed(service, ORDERS, BASKET), range(4)))
    assert len({assert_success(answer)["orderId"] for answer in answers}) == 1
    assert service.rows("SELECT count(*) AS n FROM orders") == [{"n": 1}]


def test_a_key_that_is_none_is_refused(service: Running) -> None:
    for key in ("", "a" * 300, "a\tb"):
        answer = keyed(service, ORDERS, BASKET, key=key)
        assert_error(answer, 400, "invalid_request", "fix_request")
