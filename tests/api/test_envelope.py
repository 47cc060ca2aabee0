"""Every answer is the envelope, whatever was asked and however."""

import json

import pytest

from api.shop import ORDER_ID, Shop, StartShop
from support.envelope import assert_envelope, assert_error, assert_success

PAY = f"/api/mobile-app/orders/{ORDER_ID}/pay"


@pytest.mark.parametrize(
    "path", ["/", "/nothing", "/api/mobile-app/orders/", "/docs", "/%00", "/%ff%fe", "//"]
)
def test_an_unknown_path_is_answered_not_found(shop: Shop, path: str) -> None:
    assert_error(shop.call("GET", path), 404, "not_found", "fix_request")


@pytest.mark.parametrize(
    ("method", "path", "allowed"),
    [
        ("GET", PAY, "POST"),
        ("DELETE", "/api/mobile-app/orders", "GET, POST"),
        ("OPTIONS", "/api/mobile-app/orders", "GET, POST"),
        ("PATCH", "/api/products", "GET, PUT"),
        ("PUT", "/api/products/tea", "DELETE"),
        ("POST", "/healthz", "GET, HEAD"),
        ("GET", "/api/webhooks/stripe", "POST"),
    ],
)
def test_a_wrong_method_is_answered_with_all_that_are_allowed(
    shop: Shop, method: str, path: str, allowed: str
) -> None:
    response = shop.call(method, path)
    assert_error(response, 405, "method_not_allowed")
    assert response.headers["Allow"] == allowed


def test_head_on_a_route_without_it_has_status_and_headers_and_no_body(shop: Shop) -> None:
    response = shop.call("HEAD", "/api/mobile-app/orders")
    assert (response.status_code, response.content) == (405, b"")
    assert response.headers["Request-Id"]


def test_every_answer_has_an_id_of_its_own_and_never_the_clients(shop: Shop) -> None:
    ids = set()
    for _ in range(3):
        response = shop.call("GET", "/healthz", headers={"Request-Id": "mine"})
        ids.add(assert_envelope(response)["requestId"])
    assert len(ids) == 3 and "mine" not in ids


def test_a_bug_is_answered_with_its_request_id_and_no_stack_trace(
    unreachable_shop: Shop,
) -> None:
    response = unreachable_shop.call("GET", "/api/mobile-app/orders")
    body = assert_error(response, 500, "internal_error", "contact_support")
    assert "reached" not in response.text and "list_orders" not in json.dumps(body)


def test_bytes_that_are_no_http_request_are_answered_with_the_envelope(shop: Shop) -> None:
    answer = shop.raw_exchange(b"this is not HTTP\r\n\r\n")
    head, _, body = answer.partition(b"\r\n\r\n")
    assert head.startswith(b"HTTP/1.1 400 ")
    envelope = json.loads(body)
    assert (envelope["status"], envelope["code"]) == ("error", "invalid_request")
    assert b"request-id: " + envelope["requestId"].encode() in head


def test_a_path_of_raw_bytes_is_answered_and_not_a_crash(shop: Shop) -> None:
    answer = shop.raw_exchange(b"GET /\xff\xfe HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n")
    assert answer.split(b" ")[1] in (b"400", b"404")
    assert b'"status":"error"' in answer


def test_an_upgrade_to_websocket_is_answered_as_plain_http(shop: Shop) -> None:
    answer = shop.raw_exchange(
        b"GET /ws HTTP/1.1\r\nHost: x\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n"
        b"Sec-WebSocket-Key: x3JJHMbDL1EzLkh9GBhXDw==\r\nSec-WebSocket-Version: 13\r\n\r\n"
    )
    assert answer.startswith(b"HTTP/1.1 404 ") and b'"code":"not_found"' in answer


def test_health_needs_no_token_and_is_a_success(shop: Shop) -> None:
    assert assert_success(shop.call("GET", "/healthz", token=None)) == {"process": "ok"}
    assert shop.call("HEAD", "/healthz", token=None).status_code == 200


def test_readiness_that_cannot_be_checked_is_503_with_the_envelope(start_shop: StartShop) -> None:
    body = assert_error(
        start_shop().call("GET", "/readyz", token=None), 503, "service_unavailable", "retry"
    )
    assert body["errors"] == ["readiness: could not be checked"]


def test_metrics_count_routes_by_template_and_never_by_path(shop: Shop) -> None:
    shop.call("GET", "/made-up-path-1", token=None)
    shop.call("GET", f"/api/mobile-app/orders/{ORDER_ID}", token=None)
    text = shop.call("GET", "/metrics", token=None).text
    labels = 'method="GET",route="/api/mobile-app/orders/{orderId}",status="401"'
    assert f"paidonce_http_requests_total{{{labels}}}" in text
    assert 'route="(unmatched)",status="404"' in text
    assert "made-up-path" not in text and ORDER_ID not in text


def test_closed_doors_look_like_unknown_paths(start_shop: StartShop) -> None:
    closed = start_shop(merchant_api_key="", stripe_webhook_secret="")
    for method, path in [
        ("PUT", "/api/products"),
        ("POST", "/api/orders"),
        ("GET", f"/api/orders/{ORDER_ID}"),
        ("POST", f"/api/orders/{ORDER_ID}/cancel"),
        ("POST", f"/api/orders/{ORDER_ID}/refunds"),
        ("GET", "/api/refunds"),
        ("GET", "/api/disputes"),
        ("POST", "/api/webhooks/stripe"),
        ("DELETE", "/api/products"),
    ]:
        assert_error(closed.merchant(method, path, body={}), 404, "not_found")
    assert closed.use_cases.reached == []


def test_a_webhook_without_a_signature_is_refused(shop: Shop) -> None:
    response = shop.call("POST", "/api/webhooks/stripe", body={}, token=None)
    assert_error(response, 400, "invalid_signature")


def test_the_contract_for_machines_describes_parameters_bodies_and_answers(shop: Shop) -> None:
    document = shop.call("GET", "/openapi.json", token=None).json()
    pay = document["paths"]["/api/mobile-app/orders/{orderId}/pay"]["post"]
    names = {parameter["name"] for parameter in pay["parameters"]}
    assert names == {"orderId", "Idempotency-Key", "X-Device-Id"}
    assert pay["requestBody"]["required"] is True
    saving = document["paths"]["/api/mobile-app/payments/methods"]["post"]
    assert {parameter["name"] for parameter in saving["parameters"]} == names - {"orderId"}
    counted = ["/payments/setup", "/orders/{orderId}/payment-sheet"]
    for path in (document["paths"][f"/api/mobile-app{route}"] for route in counted):
        assert "X-Device-Id" in {parameter["name"] for parameter in path["post"]["parameters"]}
    schema = saving["requestBody"]["content"]["application/json"]["schema"]
    assert schema["required"] == ["stripePaymentMethodId"]
    refunding = document["paths"]["/api/orders/{orderId}/refunds"]["post"]
    [key] = [each for each in refunding["parameters"] if each["name"] == "Idempotency-Key"]
    assert key["required"] is True and refunding["requestBody"]["required"] is False
    deleting = document["paths"]["/api/mobile-app/payments/methods/{id}"]["delete"]
    assert [parameter["name"] for parameter in deleting["parameters"]] == ["id"]
    assert document["components"]["securitySchemes"]["bearer"]["scheme"] == "bearer"
    assert set(pay["responses"]) >= {"200", "402", "404", "409", "503"}
    assert "default" not in pay["responses"]
