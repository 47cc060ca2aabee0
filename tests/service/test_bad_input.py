"""Bad input through the real service: its envelope and code, nothing stored, Stripe not asked."""

import base64
import json
import shutil
import time
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import jwt
import pytest
import requests

from stripesim.testing import SimulatorThread
from support.envelope import assert_error, assert_success
from support.events import post, sign
from support.service import (
    GOOD,
    JWT_SECRET,
    MERCHANT_API_KEY,
    NEEDS_3DS,
    Running,
    running_service,
)

MALFORMED_IDS = [
    "1",
    "not-a-uuid",
    "00000000-0000-0000-0000-00000000000",
    "00000000-0000-0000-0000-0000000000000",
    "g0000000-0000-0000-0000-000000000000",
    "'; DROP TABLE orders; --",
    "%00",
    "pay_1",
]
ORDER_PATHS = [("POST", "/pay"), ("POST", "/pay/confirm"), ("GET", "/payment"), ("GET", "")]


@pytest.fixture(scope="module")
def simulator() -> Iterator[SimulatorThread]:
    with SimulatorThread() as running:
        yield running


@pytest.fixture(scope="module", params=["sqlite", "postgresql"])
def shared(
    request: pytest.FixtureRequest, simulator: SimulatorThread, tmp_path_factory: Any
) -> Iterator[Running]:
    """One service for the module: nothing here is meant to change anything."""
    if request.param == "sqlite":
        path = tmp_path_factory.mktemp("bad-input") / "paidonce.db"
        shutil.copyfile(request.getfixturevalue("_sqlite_template"), path)
        with running_service(f"sqlite:///{path}", simulator) as service:
            yield service
        return
    server = request.getfixturevalue("postgres_server")
    name = server.create_database(request.getfixturevalue("_postgres_template"))
    with running_service(server.url(name), simulator) as service:
        yield service
    server.drop_database(name)


@pytest.fixture
def service(shared: Running) -> Iterator[Running]:
    """After every test: nothing charged twice."""
    yield shared
    groups = shared.simulator.audit(group_by="order_id")["groups"]
    assert [group for group in groups if group["succeeded_charges"] > 1] == []


@pytest.fixture
def order_id(service: Running) -> str:
    return service.order()


def tables(service: Running) -> dict[str, list[str]]:
    """Everything the service has stored."""
    names = (
        "users", "products", "orders", "payments", "payment_attempts", "payment_methods",
        "payment_events", "stripe_events", "outbox", "answers",
    )  # fmt: skip
    return {
        name: sorted(str(sorted(row.items())) for row in service.rows(f"SELECT * FROM {name}"))
        for name in names
    }


@contextmanager
def nothing_happens(service: Running) -> Iterator[None]:
    """Neither a call of Stripe nor a change of the database."""
    seq, before = service.last_request(), tables(service)
    yield
    assert service.stripe_calls(seq) == []
    assert tables(service) == before


def pay_path(order_id: str, suffix: str = "/pay") -> str:
    return f"/api/mobile-app/orders/{order_id}{suffix}"


def raw_call(
    service: Running, method: str, path: str, data: bytes, headers: dict[str, str] | None = None
) -> requests.Response:
    base = {
        "Authorization": f"Bearer {service.token()}",
        "Content-Type": "application/json",
    }
    return requests.request(
        method, service.url + path, data=data, headers={**base, **(headers or {})}, timeout=30
    )


# --- what belongs to somebody else ---------------------------------------------------------------


@pytest.mark.parametrize(("method", "suffix"), ORDER_PATHS)
def test_somebody_elses_order_does_not_exist(
    service: Running, order_id: str, method: str, suffix: str
) -> None:
    service.order("mallory")
    body = {"paymentToken": "pm_card_visa"} if method == "POST" and suffix == "/pay" else None
    for wanted in (order_id, order_id.upper(), str(uuid.uuid4())):
        with nothing_happens(service):
            answer = service.call(method, pay_path(wanted, suffix), body or {}, user="mallory")
            assert_error(answer, 404, "order_not_found", "fix_request")
            assert order_id not in answer.text


def test_somebody_elses_payment_does_not_exist(service: Running, order_id: str) -> None:
    card = service.simulator.create_card(NEEDS_3DS)
    action = service.pay(order_id, card).json()["data"]
    own = service.order("mallory")
    with nothing_happens(service):
        for wanted, code in ((order_id, 404), (own, 400)):
            body = {"paymentIntentId": action["paymentIntentId"]}
            for suffix in ("/pay/confirm", "/pay"):
                answer = service.call("POST", pay_path(wanted, suffix), body, user="mallory")
                error = "order_not_found" if code == 404 else "invalid_request"
                assert_error(answer, code, error, "fix_request")
                assert action["clientSecret"] not in answer.text
    for path in ("/api/mobile-app/payments", "/api/mobile-app/orders"):
        listed = service.call("GET", path, user="mallory")
        assert order_id not in listed.text and action["paymentIntentId"] not in listed.text


def test_somebody_elses_card_does_not_exist(service: Running) -> None:
    card = service.simulator.create_card(GOOD)
    assert_success(service.pay(service.order(), card, save=True))
    (saved,) = service.rows(
        "SELECT id FROM payment_methods WHERE stripe_payment_method_id = $1", card
    )
    own = service.order("mallory")
    for method in (card, saved["id"]):
        with nothing_happens(service):
            answer = service.pay(own, method, user="mallory")
            assert_error(answer, 404, "payment_method_not_found", "use_other_method")
    assert service.charges(own) == 0


def test_a_card_of_another_customer_that_we_never_saw_does_not_exist(service: Running) -> None:
    """Attached by somebody else with the same Stripe account: only Stripe can tell."""
    card = service.simulator.create_card(GOOD)
    as_secret = {"Authorization": f"Bearer {service.simulator.secret_key}"}
    base = f"{service.simulator.url}/v1"
    customer = requests.post(f"{base}/customers", headers=as_secret, timeout=10).json()["id"]
    attached = requests.post(
        f"{base}/payment_methods/{card}/attach",
        data={"customer": customer},
        headers=as_secret,
        timeout=10,
    )
    assert attached.status_code == 200
    own = service.order()
    answer = service.pay(own, card)
    assert_error(answer, 404, "payment_method_not_found", "use_other_method")
    assert service.charges(own) == 0
    assert_success(service.pay(own, service.simulator.create_card(GOOD)))


def test_a_method_that_stripe_does_not_know_does_not_exist(service: Running) -> None:
    own = service.order()
    answer = service.pay(own, "pm_1NothingOfThisName")
    assert_error(answer, 404, "payment_method_not_found", "use_other_method")
    assert_success(service.pay(own, service.simulator.create_card(GOOD)))


@pytest.mark.parametrize("method", ["spm_unknown", "tok_visa", "ba_1", "nonsense", "cus_1", "pi_1"])
def test_what_is_no_method_at_all_does_not_exist(
    service: Running, order_id: str, method: str
) -> None:
    with nothing_happens(service):
        answer = service.pay(order_id, method)
        assert_error(answer, 404, "payment_method_not_found", "use_other_method")


# --- malformed -----------------------------------------------------------------------------------


@pytest.mark.parametrize("wanted", MALFORMED_IDS)
@pytest.mark.parametrize(("method", "suffix"), ORDER_PATHS)
def test_a_malformed_order_id_is_told(
    service: Running, wanted: str, method: str, suffix: str
) -> None:
    seq = service.last_request()
    body = {"paymentToken": "pm_card_visa"}
    answer = service.call(method, pay_path(wanted, suffix), body)
    assert_error(answer, 400, "invalid_order_id", "fix_request")
    assert service.stripe_calls(seq) == []


NOT_A_PAYMENT = [
    b"",
    b"{",
    b"not json",
    b"[]",
    b'"pm_card_visa"',
    b"null",
    b"1",
    b"{}",
    b'{"paymentToken": null}',
    b'{"paymentToken": ""}',
    b'{"paymentMethod": "credit_card"}',
    b'{"paymentToken": 7}',
    b'{"paymentToken": {"id": "pm_card_visa"}}',
    b'{"paymentToken": ["pm_card_visa"]}',
    b'{"paymentToken": "pm_card_visa", "savePaymentMethod": "yes"}',
    b'{"paymentToken": "pm_card_visa", "savePaymentMethod": 1}',
    b'{"paymentToken": "pm_card visa"}',
    b'{"paymentToken": "pm_../customers"}',
    b'{"paymentToken": "pm_card_visa/attach"}',
    b'{"paymentToken": "pm_' + b"x" * 300 + b'"}',
    b'{"paymentToken": "pm_\\u0000"}',
    b'{"paymentToken": "pm_\\ud800"}',
    b'{"paymentToken": "pm_card_visa", "paymentToken": "pm_card_visa"}',
    b'{"paymentToken": "pm_card_visa", "x": NaN}',
    b'{"paymentIntentId": 7}',
    b'{"paymentIntentId": "pi_1_secret_2"}',
    b'{"paymentIntentId": "nonsense"}',
    b'{"paymentIntentId": "pi_unknown"}',
    b"\xff\xfe{}",
    b"[" * 40 + b"]" * 40,
    b'{"a":' * 5000 + b"1" + b"}" * 5000,
]


def test_a_body_that_is_no_payment_is_refused(service: Running, order_id: str) -> None:
    with nothing_happens(service):
        for data in NOT_A_PAYMENT:
            answer = raw_call(service, "POST", pay_path(order_id), data)
            body = assert_error(answer, 400, "invalid_request", "fix_request")
            assert body["errors"] != ["Invalid request"], data
    assert_success(service.pay(order_id, service.simulator.create_card(GOOD)))


def test_a_wrong_type_is_refused_by_the_fields_name(service: Running, order_id: str) -> None:
    for field in ("paymentMethodId", "paymentToken", "stripePaymentMethodId", "savePaymentMethod"):
        body = {"paymentToken": "pm_card_visa", field: {"wrong": True}}
        answer = service.call("POST", pay_path(order_id), body)
        assert field in assert_error(answer, 400, "invalid_request")["errors"][0]


@pytest.mark.parametrize("content_type", ["text/plain", "application/x-www-form-urlencoded", ""])
def test_a_body_of_another_type_is_refused(
    service: Running, order_id: str, content_type: str
) -> None:
    headers = {"Content-Type": content_type}
    with nothing_happens(service):
        data = b'{"paymentToken": "pm_card_visa"}'
        answer = raw_call(service, "POST", pay_path(order_id), data, headers)
        assert_error(answer, 415, "unsupported_media_type", "fix_request")


TOO_DEAR = {"items": [{"productId": "tea", "quantity": 10_000}]}  # more than Stripe can charge
BAD_BASKETS: list[Any] = [
    {},
    {"items": []},
    {"items": {}},
    {"items": "tea"},
    {"items": ["tea"]},
    {"items": [{}]},
    {"items": [{"productId": "tea"}]},
    {"items": [{"productId": "tea", "quantity": 0}]},
    {"items": [{"productId": "tea", "quantity": -1}]},
    {"items": [{"productId": "tea", "quantity": 1.5}]},
    {"items": [{"productId": "tea", "quantity": "1"}]},
    {"items": [{"productId": "tea", "quantity": True}]},
    {"items": [{"productId": "tea", "quantity": 10**9}]},
    {"items": [{"productId": 7, "quantity": 1}]},
    TOO_DEAR,
    {"items": [{"productId": "tea", "quantity": 1}] * 101},
    {"items": [{"productId": "tea", "quantity": 1}], "notes": 7},
    {"items": [{"productId": "tea", "quantity": 1}], "shippingAddress": [1]},
]


def test_a_basket_that_is_none_is_refused(service: Running) -> None:
    service.order("mallory")
    with nothing_happens(service):
        for basket in BAD_BASKETS:
            answer = service.call("POST", "/api/mobile-app/orders", basket, user="mallory")
            code = "amount_too_large" if basket is TOO_DEAR else "invalid_request"
            assert_error(answer, 400, code, "fix_request")


BAD_LISTS = ["limit=0", "limit=101", "limit=x", "limit=-1", "limit=1e2", "cursor=x", "cursor=%00"]


@pytest.mark.parametrize("path", ["/api/mobile-app/orders", "/api/mobile-app/payments"])
def test_a_page_that_is_none_is_refused(service: Running, path: str) -> None:
    service.order()
    cursors = [
        ["2026-11-01T00:00:00+00:00", "a\0"],
        ["2026-11-01T00:00:00+00:00", "\ud800"],
        ["0001-01-01T00:00:00+14:00", "a"],
        ["2026-11-01T00:00:00", "a"],
        [1, 2],
        {},
    ]
    made = [base64.urlsafe_b64encode(json.dumps(cursor).encode()).decode() for cursor in cursors]
    with nothing_happens(service):
        for query in BAD_LISTS + [f"cursor={cursor.rstrip('=')}" for cursor in made]:
            answer = service.call("GET", f"{path}?{query}")
            assert_error(answer, 400, "invalid_request", "fix_request")


@pytest.mark.parametrize(
    ("method", "path", "status", "code"),
    [
        ("GET", "/api/mobile-app/nothing", 404, "not_found"),
        ("GET", "/", 404, "not_found"),
        ("DELETE", "/api/mobile-app/orders", 405, "method_not_allowed"),
        (
            "GET",
            "/api/mobile-app/orders/11111111-2222-4333-8444-555555555555/pay",
            405,
            "method_not_allowed",
        ),
    ],
)
def test_unknown_paths_and_methods_have_their_envelope(
    service: Running, method: str, path: str, status: int, code: str
) -> None:
    with nothing_happens(service):
        assert_error(service.call(method, path), status, code, "fix_request")


# --- tokens --------------------------------------------------------------------------------------


def signed(claims: dict[str, Any], key: str = JWT_SECRET, algorithm: str = "HS256") -> str:
    return jwt.encode(claims, key, algorithm=algorithm)


def unsigned(claims: dict[str, Any], algorithm: str) -> str:
    def part(value: dict[str, Any]) -> str:
        return base64.urlsafe_b64encode(json.dumps(value).encode()).decode().rstrip("=")

    return f"{part({'alg': algorithm, 'typ': 'JWT'})}.{part(claims)}."


def bad_headers() -> dict[str, str | None]:
    now = int(time.time())
    good = {"sub": "alice", "exp": now + 600}
    return {
        "none": None,
        "empty": "",
        "no scheme": signed(good),
        "basic": "Basic YWxpY2U6cGFzc3dvcmQ=",
        "no token": "Bearer ",
        "garbage": "Bearer garbage",
        "three parts of garbage": "Bearer a.b.c",
        "the merchant's key": f"Bearer {MERCHANT_API_KEY}",
        "another secret": f"Bearer {signed(good, 'another-secret-of-at-least-32-bytes!!')}",
        "another algorithm": f"Bearer {signed(good, JWT_SECRET * 2, 'HS512')}",
        "alg none": f"Bearer {unsigned(good, 'none')}",
        "alg None": f"Bearer {unsigned(good, 'None')}",
        "alg HS256 without a signature": f"Bearer {unsigned(good, 'HS256')}",
        "expired": f"Bearer {signed({**good, 'exp': now - 31})}",
        "without an end": f"Bearer {signed({'sub': 'alice'})}",
        "not yet": f"Bearer {signed({**good, 'nbf': now + 60})}",
        "without a user": f"Bearer {signed({'exp': now + 600})}",
        "an empty user": f"Bearer {signed({**good, 'sub': ''})}",
        "a long user": f"Bearer {signed({**good, 'sub': 'a' * 256})}",
        "cut": f"Bearer {signed(good)[:-2]}",
    }


@pytest.mark.parametrize("name", bad_headers())
def test_a_bad_token_is_not_authenticated(service: Running, order_id: str, name: str) -> None:
    header = bad_headers()[name]
    headers = {} if header is None else {"Authorization": header}
    calls = [("POST", pay_path(order_id)), ("GET", "/api/mobile-app/orders")]
    seq = service.last_request()
    for method, path in calls:
        answer = requests.request(
            method,
            service.url + path,
            json={"paymentToken": "pm_card_visa"},
            headers=headers,
            timeout=10,
        )
        body = assert_error(answer, 401, "not_authenticated", "sign_in")
        assert body["errors"] == ["Authentication required"]
    assert service.stripe_calls(seq) == []
    assert service.payment(order_id)["status"] == "none"


@pytest.mark.parametrize("name", ["none", "garbage", "alg none"])
def test_the_merchant_side_takes_its_own_key_only(
    service: Running, order_id: str, name: str
) -> None:
    header = bad_headers()[name]
    for bad in ({} if header is None else {"Authorization": header}, user_header(service)):
        with nothing_happens(service):
            for method, path in (("PUT", "/api/products"), ("GET", f"/api/orders/{order_id}")):
                url = service.url + path
                answer = requests.request(method, url, json={}, headers=bad, timeout=10)
                assert_error(answer, 401, "not_authenticated", "sign_in")


def user_header(service: Running) -> dict[str, str]:
    return {"Authorization": f"Bearer {service.token()}"}


# --- too large -----------------------------------------------------------------------------------


def padded(body: dict[str, Any], size: int) -> bytes:
    raw = json.dumps({**body, "padding": ""}).encode()
    return raw[:-2] + b"x" * (size - len(raw)) + raw[-2:]


def test_a_body_over_64_kilobytes_is_refused(service: Running, order_id: str) -> None:
    limit = 64 * 1024
    with nothing_happens(service):
        for size in (limit + 1, 2 * limit):
            data = padded({"paymentToken": "pm_card_visa"}, size)
            answer = raw_call(service, "POST", pay_path(order_id), data)
            assert_error(answer, 413, "body_too_large", "fix_request")
    data = padded({"paymentToken": "pm_card_visa"}, limit)
    assert len(data) == limit
    assert_success(raw_call(service, "POST", pay_path(order_id), data))


def test_a_body_over_64_kilobytes_in_chunks_is_refused(service: Running, order_id: str) -> None:
    data = padded({"paymentToken": "pm_card_visa"}, 80 * 1024)
    with nothing_happens(service):
        answer = requests.post(
            service.url + pay_path(order_id),
            data=iter([data[:50_000], data[50_000:]]),
            headers={**user_header(service), "Content-Type": "application/json"},
            timeout=10,
        )
        assert_error(answer, 413, "body_too_large", "fix_request")


def test_a_webhook_over_a_megabyte_is_refused(service: Running) -> None:
    with nothing_happens(service):
        for size, status, code in (
            (1024 * 1024 + 1, 413, "body_too_large"),
            (1024 * 1024, 400, "invalid_signature"),
        ):
            answer = requests.post(
                f"{service.url}/api/webhooks/stripe",
                data=b"x" * size,
                headers={"Stripe-Signature": f"t={int(time.time())},v1=00"},
                timeout=10,
            )
            assert_error(answer, status, code, "fix_request")


BAD_EVENTS = [
    b"",
    b"not json",
    b"[]",
    b"{}",
    b'{"id": 1, "type": "x", "livemode": false, "created": 1, "data": {"object": {}}}',
    b'{"id": "evt_1", "type": "x", "livemode": false, "created": 1, "data": {"object": []}}',
    b'{"id": "evt_1", "type": "x", "livemode": false, "created": 1e400,'
    b' "data": {"object": {"object": "charge"}}}',
    b'{"id": "evt_1", "type": "x", "livemode": false, "created": 99999999999999999999,'
    b' "data": {"object": {"object": "charge"}}}',
    b'{"id": "evt_1", "type": "x", "livemode": false, "created": true,'
    b' "data": {"object": {"object": "charge"}}}',
    b'{"id": "evt_\\u0000", "type": "x", "livemode": false, "created": 1,'
    b' "data": {"object": {"object": "charge"}}}',
    b'{"id": "evt_1", "type": "x", "livemode": false, "created": 1,'
    b' "data": {"object": {"object": "charge", "metadata": "text"}}}',
    b'{"id": "evt_1", "type": "\\ud800", "livemode": false, "created": 1,'
    b' "data": {"object": {"object": "charge"}}}',
    b"\xff\xff",
    b"[" * 100_000,
]


@pytest.mark.parametrize("number", range(len(BAD_EVENTS)))
def test_a_signed_body_that_is_no_event_is_refused(service: Running, number: int) -> None:
    body = BAD_EVENTS[number]
    with nothing_happens(service):
        answer = post(service, body, sign(service, body))
        assert_error(answer, 400, "invalid_request", "fix_request")


def test_an_unsigned_event_is_refused(service: Running) -> None:
    with nothing_happens(service):
        for headers in ({}, {"Stripe-Signature": ""}, {"Stripe-Signature": "t=1,v1=00"}):
            url = f"{service.url}/api/webhooks/stripe"
            answer = requests.post(url, data=b"{}", headers=headers, timeout=10)
            assert_error(answer, 400, "invalid_signature", "fix_request")
