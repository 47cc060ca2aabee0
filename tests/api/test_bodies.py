"""Bodies that cannot be used are refused before any use case is reached."""

import json
from typing import Any

import pytest

from api.shop import ORDER_ID, Shop
from support.envelope import assert_error

PAY = f"/api/mobile-app/orders/{ORDER_ID}/pay"
ORDERS = "/api/mobile-app/orders"
LIMIT = 64 * 1024


@pytest.mark.parametrize(
    "raw",
    [
        b"{",
        b"nothing",
        b"[]",
        b'"pm_1"',
        b"7",
        b"null",
        b'{"paymentToken": NaN}',
        b'{"a": Infinity}',
        b'{"a": 1e999}',
        b'{"a": ' + b"9" * 5000 + b"}",
        b'{"paymentToken": "\xff\xfe"}',
        b'{"paymentToken": "pm_\\u0000"}',
        b'{"paymentToken": "pm_\\ud800"}',
        b'{"\\udfff": 1}',
        b'{"a": 1, "a": 2}',
        b"[" * 60_000,
        b'{"a":' * 100 + b"1" + b"}" * 100,
        b'\xef\xbb\xbf{"paymentToken": "pm_1"}',
        '{"paymentToken": "pm_1"}'.encode("utf-16"),
        b"{}",
        b" ",
    ],
)
def test_what_is_no_usable_json_object_is_invalid(shop: Shop, raw: bytes) -> None:
    body = assert_error(shop.call("POST", PAY, raw=raw), 400, "invalid_request", "fix_request")
    assert body["errors"]


@pytest.mark.parametrize(
    ("raw", "said"),
    [
        (rb'{"paymentToken": "pm_\u0000"}', "paymentToken contains a NUL character."),
        (rb'{"a": [{"b": "x"}, {"b": "\u0000"}]}', "a[1].b contains a NUL character."),
        (rb'{"metadata": {"my note": "\u0000"}}', "metadata contains a NUL character."),
        (rb'{"metadata": {"x\u0000": 1}}', "metadata contains a NUL character."),
        (rb'{"x\u0000": 1}', "The body contains a NUL character."),
        (rb'{"notes": "\ud800"}', "notes contains half of a surrogate pair."),
        (rb'{"' + b"n" * 31 + rb'": "\ud800"}', "The body contains half of a surrogate pair."),
        (b'{"x": {"amount": 7, "b": 1, "amount": 8}}', "amount stands twice in the same object."),
        (b'{"my note": 1, "my note": 2}', "A field stands twice in the same object."),
    ],
)
def test_a_field_that_cannot_be_read_is_named_without_its_value(
    shop: Shop, raw: bytes, said: str
) -> None:
    body = assert_error(shop.call("POST", PAY, raw=raw), 400, "invalid_request")
    assert body["errors"] == [said]


@pytest.mark.parametrize(
    "field",
    [
        "paymentMethodId",
        "paymentToken",
        "stripePaymentMethodId",
        "confirmationToken",
        "paymentMethod",
    ],
)
def test_what_is_no_payment_method_is_named_by_the_field_that_was_sent(
    shop: Shop, field: str
) -> None:
    sent = {field: "pm_/../../v1/customers"}
    body = assert_error(shop.call("POST", PAY, body=sent), 400, "invalid_request")
    assert body["errors"] == [f"{field} is not the id of a PaymentMethod."]


def test_what_is_missing_is_said_in_one_way(shop: Shop) -> None:
    for path, sent, field in (
        ("/api/orders", {"amountMinor": 1, "currency": "usd"}, "userId"),
        ("/api/orders", {"userId": None, "amountMinor": 1, "currency": "usd"}, "userId"),
        ("/api/orders", {"userId": "u", "currency": "usd"}, "amountMinor"),
        ("/api/orders", {"userId": "u", "amountMinor": 1}, "currency"),
    ):
        body = assert_error(shop.merchant("POST", path, body=sent), 400, "invalid_request")
        assert body["errors"] == [f"{field} is required."]
    body = assert_error(shop.call("POST", ORDERS, body={}), 400, "invalid_request")
    assert body["errors"] == ["items is required."]


def test_an_empty_body_is_invalid_on_pay(shop: Shop) -> None:
    assert_error(shop.call("POST", PAY), 400, "invalid_request")


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("paymentMethodId", 5),
        ("paymentToken", ["pm_1"]),
        ("stripePaymentMethodId", {"id": "pm_1"}),
        ("paymentMethod", True),
        ("paymentMethodId", "pm_1/../customers"),
        ("paymentMethodId", "pm_" + "1" * 300),
        ("paymentIntentId", "pi_1_secret_2"),
        ("paymentIntentId", 1),
    ],
)
def test_a_wrong_field_of_a_payment_is_named(shop: Shop, field: str, value: Any) -> None:
    body = assert_error(shop.call("POST", PAY, body={field: value}), 400, "invalid_request")
    assert field in body["errors"][0]


@pytest.mark.parametrize("value", ["true", 1, 0, [], {}])
def test_save_payment_method_must_be_a_boolean(shop: Shop, value: Any) -> None:
    sent = {"paymentToken": "pm_1", "savePaymentMethod": value}
    body = assert_error(shop.call("POST", PAY, body=sent), 400, "invalid_request")
    assert "savePaymentMethod" in body["errors"][0]


def test_a_kind_of_method_is_no_payment_method(shop: Shop) -> None:
    sent = {"paymentMethod": "credit_card", "paymentToken": None, "paymentMethodId": ""}
    body = assert_error(shop.call("POST", PAY, body=sent), 400, "invalid_request")
    assert "paymentMethodId" in body["errors"][0]


@pytest.mark.parametrize(
    "content_type",
    [
        "text/plain",
        "application/x-www-form-urlencoded",
        "",
        "application/json; charset=utf-16",
        "application/jsonp",
        "multipart/form-data; boundary=x",
    ],
)
def test_a_body_of_another_type_is_unsupported(shop: Shop, content_type: str) -> None:
    response = shop.call(
        "POST", PAY, raw=b'{"paymentToken":"pm_1"}', headers={"Content-Type": content_type}
    )
    assert_error(response, 415, "unsupported_media_type")


@pytest.mark.parametrize(
    "content_type", ["application/json; charset=UTF-8", "Application/JSON;charset=utf-8"]
)
def test_json_in_utf_8_is_read_however_it_is_announced(shop: Shop, content_type: str) -> None:
    response = shop.call("POST", PAY, raw=b"{}", headers={"Content-Type": content_type})
    assert_error(response, 400, "invalid_request")  # read, and refused for what is in it


@pytest.mark.parametrize(
    "order_id",
    [
        "1",
        "not-a-uuid",
        ORDER_ID[:-1],
        ORDER_ID + "0",
        "{" + ORDER_ID + "}",
        ORDER_ID.replace("-", ""),
        "\u0667" + ORDER_ID[1:],
        "%00",
        "..%2f..%2fproducts",
    ],
)
def test_a_malformed_order_id_is_refused(shop: Shop, order_id: str) -> None:
    for method, path in [
        ("POST", "/pay"),
        ("POST", "/pay/confirm"),
        ("GET", ""),
        ("GET", "/payment"),
    ]:
        response = shop.call(method, f"{ORDERS}/{order_id}{path}", body={"paymentToken": "pm_1"})
        expected = (404, "not_found") if "%2f" in order_id else (400, "invalid_order_id")
        assert_error(response, *expected)


@pytest.mark.parametrize(
    "query",
    [
        "limit=0",
        "limit=101",
        "limit=x",
        "limit=-1",
        "limit=",
        "limit=1.5",
        "cursor=" + "c" * 601,
        "cursor=%00",
    ],
)
def test_a_wrong_page_is_refused_by_name(shop: Shop, query: str) -> None:
    for path in (ORDERS, "/api/mobile-app/payments", "/api/mobile-app/payments/methods"):
        body = assert_error(shop.call("GET", f"{path}?{query}"), 400, "invalid_request")
        assert query.partition("=")[0] in body["errors"][0]


@pytest.mark.parametrize("extra", [1, 5000])
def test_a_body_over_the_limit_is_refused(shop: Shop, extra: int) -> None:
    raw = b'{"a":"' + b"x" * (LIMIT + extra - 8) + b'"}'
    assert len(raw) == LIMIT + extra
    response = shop.call("POST", PAY, raw=raw)
    assert_error(response, 413, "body_too_large")
    assert_error(shop.call("GET", ORDERS, raw=raw), 413, "body_too_large")
    assert_error(shop.call("POST", "/nothing", raw=raw), 413, "body_too_large")


def test_a_body_at_the_limit_is_read(shop: Shop) -> None:
    raw = b'{"a":"' + b"x" * (LIMIT - 8) + b'"}'
    assert len(raw) == LIMIT
    assert_error(shop.call("POST", PAY, raw=raw), 400, "invalid_request")


def test_a_body_without_a_length_is_counted_while_it_streams(shop: Shop) -> None:
    head = (
        f"POST {PAY} HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n"
        f"Content-Type: application/json\r\nAuthorization: Bearer {shop.token()}\r\n\r\n"
    )
    chunks = (b"2000\r\n" + b"x" * 0x2000 + b"\r\n") * 9  # 72 KB; the end is never sent
    received = shop.raw_exchange(head.encode() + chunks)
    assert received.startswith(b"HTTP/1.1 413 ")
    assert json.loads(received.partition(b"\r\n\r\n")[2])["code"] == "body_too_large"


def test_a_webhook_may_have_a_megabyte_and_no_more(shop: Shop) -> None:
    # Without a signature the body is not even read: 400 says that its length was fine.
    path = "/api/webhooks/stripe"
    assert_error(shop.call("POST", path, raw=b"x" * 1024 * 1024), 400, "invalid_signature")
    assert_error(shop.call("POST", path, raw=b"x" * (1024 * 1024 + 1)), 413, "body_too_large")


def _product(**changes: Any) -> dict[str, Any]:
    return {"productId": "p", "name": "n", "amountMinor": 100, "currency": "usd"} | changes


@pytest.mark.parametrize(
    ("products", "named"),
    [
        (None, "products"),
        ([], "products"),
        ({}, "products"),
        ([1], "products"),
        ([_product(productId="")], "products[0].productId"),
        ([_product(), _product(productId="q", name=5)], "products[1].name"),
        ([_product(amountMinor=0)], "products[0].amountMinor"),
        ([_product(amountMinor=-1)], "products[0].amountMinor"),
        ([_product(amountMinor=1.5)], "products[0].amountMinor"),
        ([_product(amountMinor=True)], "products[0].amountMinor"),
        ([_product(amountMinor="100")], "products[0].amountMinor"),
        ([_product(amountMinor=10**12)], "products[0].amountMinor"),
        ([_product(currency="xxx")], "products[0].currency"),
        ([_product(currency=None)], "products[0].currency"),
        ([_product(productId="x" * 101)], "products[0].productId"),
        ([_product(), _product()], "productId"),
    ],
)
def test_a_wrong_product_is_refused_by_name(shop: Shop, products: Any, named: str) -> None:
    response = shop.merchant("PUT", "/api/products", body={"products": products})
    assert named in assert_error(response, 400, "invalid_request")["errors"][0]


@pytest.mark.parametrize(
    ("sent", "named"),
    [
        ({}, "items"),
        ({"items": []}, "items"),
        ({"items": "p"}, "items"),
        ({"items": [None]}, "items"),
        ({"items": [{"quantity": 1}]}, "items[0].productId"),
        ({"items": [{"productId": "p"}]}, "items[0].quantity"),
        ({"items": [{"productId": "p", "quantity": 0}]}, "items[0].quantity"),
        ({"items": [{"productId": "p", "quantity": 10_001}]}, "items[0].quantity"),
        ({"items": [{"productId": "p", "quantity": True}]}, "items[0].quantity"),
        ({"items": [{"productId": "p", "quantity": 1}] * 101}, "items"),
        ({"items": [{"productId": "p", "quantity": 1}], "notes": 5}, "notes"),
        ({"items": [{"productId": "p", "quantity": 1}], "shippingAddress": 5}, "shippingAddress"),
    ],
)
def test_a_wrong_basket_is_refused_by_name(shop: Shop, sent: Any, named: str) -> None:
    response = shop.call("POST", ORDERS, body=sent)
    assert named in assert_error(response, 400, "invalid_request")["errors"][0]


@pytest.mark.parametrize(
    ("change", "named"),
    [
        ({"userId": None}, "userId"),
        ({"userId": ""}, "userId"),
        ({"userId": "a\nb"}, "userId"),
        ({"userId": 5}, "userId"),
        ({"email": "no address"}, "email"),
        ({"amountMinor": "5"}, "amountMinor"),
        ({"currency": "US"}, "currency"),
        ({"orderNumber": 7}, "orderNumber"),
        ({"metadata": []}, "metadata"),
        ({"metadata": {"k": 1}}, "metadata"),
        ({"metadata": {"k" * 41: "v"}}, "metadata"),
        ({"metadata": {"k": "v" * 501}}, "metadata"),
        ({"metadata": {str(n): "v" for n in range(51)}}, "metadata"),
    ],
)
def test_a_wrong_merchant_order_is_refused_by_name(shop: Shop, change: Any, named: str) -> None:
    sent = {"userId": "u", "amountMinor": 100, "currency": "usd"} | change
    response = shop.merchant("POST", "/api/orders", body=sent)
    assert named in assert_error(response, 400, "invalid_request")["errors"][0]


def test_a_merchant_order_id_that_is_no_uuid_is_refused(shop: Shop) -> None:
    sent = {"userId": "u", "amountMinor": 100, "currency": "usd", "orderId": "7"}
    assert_error(shop.merchant("POST", "/api/orders", body=sent), 400, "invalid_order_id")


@pytest.mark.parametrize("key", ["", "x" * 256, "t\u00e9st", "a\tb"])
def test_a_key_that_cannot_be_one_is_refused(shop: Shop, key: str) -> None:
    response = shop.call(
        "POST",
        PAY,
        body={"paymentToken": "pm_1"},
        headers={"Idempotency-Key": key.encode("latin-1")},
    )
    body = assert_error(response, 400, "invalid_request")
    assert "Idempotency-Key" in body["errors"][0]
