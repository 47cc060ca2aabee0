"""Only a good token opens the app's routes, only an API key the merchant's."""

import base64
import json
from datetime import timedelta
from typing import Any

import jwt
import pytest

from api.shop import (
    JWT_SECRET,
    MERCHANT_KEY,
    NOW,
    ORDER_ID,
    SECOND_MERCHANT_KEY,
    Shop,
    StartShop,
)
from support.envelope import assert_error

PAY = f"/api/mobile-app/orders/{ORDER_ID}/pay"


def _unsigned(header: dict[str, Any], payload: dict[str, Any], signature: str = "") -> str:
    def part(value: dict[str, Any]) -> str:
        return base64.urlsafe_b64encode(json.dumps(value).encode()).rstrip(b"=").decode()

    return f"{part(header)}.{part(payload)}.{signature}"


CLAIMS = {"sub": "user-1", "exp": int((NOW + timedelta(hours=1)).timestamp())}

FORGED = {
    "alg none": _unsigned({"alg": "none", "typ": "JWT"}, CLAIMS),
    "alg None": _unsigned({"alg": "None"}, CLAIMS, "x"),
    "no alg": _unsigned({"typ": "JWT"}, CLAIMS, "x"),
    "another secret": jwt.encode(CLAIMS, "another secret of more than 32 bytes!!", "HS256"),
    "HS512 with the right secret": jwt.api_jws.encode(
        json.dumps(CLAIMS).encode(), JWT_SECRET, "HS512"
    ),
    "no dots": "garbage",
    "dots only": "..",
    "not base64": "a.b.c",
    "payload no object": jwt.api_jws.encode(b"[1]", JWT_SECRET, "HS256"),
    "payload no JSON": jwt.api_jws.encode(b"{", JWT_SECRET, "HS256"),
    "payload nested": jwt.api_jws.encode(b"[" * 20_000, JWT_SECRET, "HS256"),
    "critical header": jwt.encode(CLAIMS, JWT_SECRET, "HS256", headers={"crit": ["x"], "x": 1}),
}


@pytest.mark.parametrize("kind", FORGED)
def test_a_forged_or_broken_token_is_no_token(shop: Shop, kind: str) -> None:
    response = shop.call("POST", PAY, body={"paymentToken": "pm_1"}, token=FORGED[kind])
    assert_error(response, 401, "not_authenticated", "sign_in")
    assert response.headers["WWW-Authenticate"] == "Bearer"


@pytest.mark.parametrize(
    "claims",
    [
        {"exp": NOW - timedelta(seconds=31)},
        {"exp": None},
        {"exp": "soon"},
        {"exp": True},
        {"exp": [1]},
        {"exp": float("inf")},
        {"exp": float("nan")},
        {"nbf": NOW + timedelta(seconds=31)},
        {"nbf": "later"},
        {"iat": NOW + timedelta(hours=1)},
        {"sub": None},
        {"sub": ""},
        {"sub": "x" * 256},
        {"sub": "a\x00b"},
        {"sub": "a\nb"},
    ],
)
def test_a_signed_token_with_unusable_claims_is_no_token(shop: Shop, claims: Any) -> None:
    user_id = claims.pop("sub", "user-1")
    token = shop.token(user_id, **claims)
    assert_error(shop.call("GET", "/api/mobile-app/orders", token=token), 401, "not_authenticated")


@pytest.mark.parametrize("sub", [5, {"a": 1}, ["user-1"], True])
def test_a_subject_that_is_no_string_is_no_user(shop: Shop, sub: Any) -> None:
    payload = json.dumps({**CLAIMS, "sub": sub}).encode()
    token = jwt.api_jws.encode(payload, JWT_SECRET, "HS256")
    assert_error(shop.call("GET", "/api/mobile-app/orders", token=token), 401, "not_authenticated")


@pytest.mark.parametrize("value", ["", "Bearer", "Bearer ", "Basic dXNlcjpw", "\xff\xfe"])
def test_an_authorization_header_without_a_bearer_token_is_refused(shop: Shop, value: str) -> None:
    headers = {"Authorization": value.encode("latin-1")}
    for method, path in [
        ("POST", PAY),
        ("GET", "/api/mobile-app/payments"),
        ("POST", "/api/mobile-app/payments/methods"),
        ("DELETE", "/api/mobile-app/payments/methods/spm_1"),
        ("PUT", "/api/mobile-app/payments/methods/spm_1/default"),
        ("PUT", "/api/products"),
        ("GET", "/api/products"),
        ("DELETE", "/api/products/tea"),
    ]:
        response = shop.call(method, path, token=None, headers=headers)
        assert_error(response, 401, "not_authenticated", "sign_in")


def test_no_header_at_all_is_refused_before_the_body_is_looked_at(shop: Shop) -> None:
    assert_error(shop.call("POST", PAY, token=None, raw=b"not JSON"), 401, "not_authenticated")


def test_a_token_ends_when_the_clock_says_so(shop: Shop) -> None:
    token = shop.token(exp=NOW + timedelta(minutes=5))
    good = shop.call("POST", PAY, token=token, raw=b"{}")
    assert_error(good, 400, "invalid_request")  # authenticated, and refused for its body
    shop.now = NOW + timedelta(minutes=5, seconds=30)
    assert_error(shop.call("POST", PAY, token=token, raw=b"{}"), 401, "not_authenticated")


def test_a_clock_that_is_a_little_off_is_forgiven(shop: Shop) -> None:
    token = shop.token(exp=NOW - timedelta(seconds=10), nbf=NOW + timedelta(seconds=10))
    assert_error(shop.call("POST", PAY, token=token, raw=b"{}"), 400, "invalid_request")


def test_audience_and_issuer_are_checked_when_they_are_set(start_shop: StartShop) -> None:
    strict = start_shop(auth_audience="shop-app", auth_issuer="https://login.example")
    good = {"aud": ["other", "shop-app"], "iss": "https://login.example"}
    accepted = strict.call("POST", PAY, token=strict.token(**good), raw=b"{}")
    assert_error(accepted, 400, "invalid_request")
    for wrong in [
        {"aud": "another"},
        {"aud": None},
        {"aud": 5},
        {"aud": []},
        {"iss": "https://other.example"},
        {"iss": None},
        {"iss": ["https://login.example"]},
    ]:
        claims = {k: v for k, v in {**good, **wrong}.items() if v is not None}
        payload = json.dumps({**CLAIMS, **claims}).encode()
        token = jwt.api_jws.encode(payload, JWT_SECRET, "HS256")
        assert_error(strict.call("POST", PAY, token=token, raw=b"{}"), 401, "not_authenticated")


def test_audience_and_issuer_are_free_when_they_are_not_set(shop: Shop) -> None:
    token = shop.token(aud="anything", iss="anyone")
    assert_error(shop.call("POST", PAY, token=token, raw=b"{}"), 400, "invalid_request")


@pytest.mark.parametrize(
    "token",
    [MERCHANT_KEY[:-1], f"{MERCHANT_KEY}2", f"{MERCHANT_KEY},{SECOND_MERCHANT_KEY}", "\u00e9"],
)
def test_a_wrong_api_key_opens_nothing(shop: Shop, token: str) -> None:
    headers = {"Authorization": f"Bearer {token}".encode()}
    for method, path in [
        ("PUT", "/api/products"),
        ("GET", "/api/products"),
        ("DELETE", "/api/products/tea"),
        ("POST", "/api/orders"),
        ("GET", f"/api/orders/{ORDER_ID}"),
        ("POST", f"/api/orders/{ORDER_ID}/cancel"),
    ]:
        response = shop.call(method, path, token=None, headers=headers, body={})
        assert_error(response, 401, "not_authenticated")


def test_a_users_token_does_not_open_the_merchant_side_nor_the_other_way_round(shop: Shop) -> None:
    assert_error(shop.call("POST", "/api/orders", body={}), 401, "not_authenticated")
    response = shop.call("GET", "/api/mobile-app/orders", token=MERCHANT_KEY)
    assert_error(response, 401, "not_authenticated")


def test_both_api_keys_open_the_merchant_side_while_they_rotate(shop: Shop) -> None:
    for key in (MERCHANT_KEY, SECOND_MERCHANT_KEY):
        response = shop.merchant("PUT", "/api/products", token=key, raw=b"{}")
        assert_error(response, 400, "invalid_request")
