"""Tokens of an issuer with a JWKS URL: its keys are fetched, kept, and pinned to one algorithm."""

import asyncio
import hmac
import json
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from typing import Any

import jwt
import pytest
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from jwt.utils import base64url_encode
from starlette.requests import Request

from paidonce.api.auth import Authentication
from paidonce.domain.errors import ServiceError
from paidonce.settings import Settings
from support.issuer import EC_KEY, RSA_KEY, Issuer, ec_jwk, rsa_jwk

NOW = datetime(2026, 11, 23, 12, 0, tzinfo=UTC)


class Door:
    """Authentication against an issuer, with a clock that a test sets."""

    def __init__(self, issuer: Issuer) -> None:
        self.now = NOW
        settings = Settings(
            stripe_secret_key="sk_test_1",
            stripe_publishable_key="pk_test_1",
            payment_return_url="https://shop.example/return",
            auth_jwks_url=issuer.url,
            auth_jwt_secret="",
        )
        self._authentication = Authentication(settings, lambda: self.now)

    async def user_of(self, token: str) -> str:
        headers = [(b"authorization", f"Bearer {token}".encode())]
        principal = await self._authentication.user(Request({"type": "http", "headers": headers}))
        return principal.user_id

    async def refreshed(self) -> None:
        """What was asked of the issuer in the background is answered."""
        await asyncio.gather(*asyncio.all_tasks() - {asyncio.current_task()})

    async def refusal_of(self, token: str) -> str:
        with pytest.raises(ServiceError) as refused:
            await self.user_of(token)
        return refused.value.code


@pytest.fixture
def issuer() -> Iterator[Issuer]:
    issuer = Issuer([rsa_jwk(), ec_jwk()])
    yield issuer
    issuer.stop()


def _token(
    key: Any = RSA_KEY,
    algorithm: str = "RS256",
    key_id: str | None = "rsa-1",
    ends_at: datetime = NOW + timedelta(days=1),
) -> str:
    claims = {"sub": "user-1", "exp": ends_at}
    headers = {} if key_id is None else {"kid": key_id}
    return jwt.encode(claims, key, algorithm, headers=headers)


def _signed_with_bytes(secret: bytes) -> str:
    """HS256 by hand: PyJWT refuses to sign with a public key, an attacker does not."""
    claims = {"sub": "user-1", "exp": int((NOW + timedelta(days=1)).timestamp())}
    parts = [{"alg": "HS256", "kid": "rsa-1"}, claims]
    signed = b".".join(base64url_encode(json.dumps(part).encode()) for part in parts)
    signature = hmac.digest(secret, signed, "sha256")
    return (signed + b"." + base64url_encode(signature)).decode()


async def test_rs256_and_es256_tokens_are_accepted_with_one_fetch(issuer: Issuer) -> None:
    door = Door(issuer)
    assert await door.user_of(_token()) == "user-1"
    assert await door.user_of(_token(EC_KEY, "ES256", "ec-1")) == "user-1"
    assert issuer.asked == 1


def test_keys_are_asked_for_in_each_event_loop_that_the_application_starts_in(
    issuer: Issuer,
) -> None:
    """As one application does for all tests of a host; each time several users come at once."""
    door = Door(issuer)

    async def come() -> None:
        await asyncio.gather(*(door.user_of(_token()) for _ in range(3)))

    for days in range(2):
        door.now = NOW + timedelta(hours=7 * days)  # the keys of the first time are too old
        asyncio.run(come())
    assert issuer.asked == 2


async def test_the_algorithm_comes_with_the_key_and_never_from_the_token(issuer: Issuer) -> None:
    door = Door(issuer)
    public = RSA_KEY.public_key().public_bytes(
        serialization.Encoding.DER, serialization.PublicFormat.SubjectPublicKeyInfo
    )
    for token in (
        _signed_with_bytes(public),  # the public key, taken for a shared secret
        _token(RSA_KEY, "RS512"),
        _token(RSA_KEY, "PS256"),
        _token(EC_KEY, "ES256", "rsa-1"),
        _token(RSA_KEY, "RS256", "ec-1"),
        _token(None, "none"),
    ):
        assert await door.refusal_of(token) == "not_authenticated"
    assert await door.user_of(_token()) == "user-1"


async def test_keys_for_other_uses_and_algorithms_are_left_out(issuer: Issuer) -> None:
    shared = {"kty": "oct", "kid": "oct-1", "k": "c2VjcmV0IHNlY3JldCBzZWNyZXQgc2VjcmV0IHNlY3JldCE"}
    issuer.publish(
        [
            rsa_jwk("enc", use="enc"),
            rsa_jwk("rs512", alg="RS512"),
            shared,
            {"kty": "RSA"},
            ec_jwk(),
        ]
    )
    door = Door(issuer)
    assert await door.refusal_of(_token(key_id="enc")) == "not_authenticated"
    assert await door.refusal_of(_token(key_id="rs512")) == "not_authenticated"
    secret = "secret secret secret secret secret!"
    assert await door.refusal_of(_token(secret, "HS256", "oct-1")) == "not_authenticated"
    assert await door.user_of(_token(EC_KEY, "ES256", "ec-1")) == "user-1"


async def test_a_new_key_is_found_at_once_though_the_issuer_was_asked_a_moment_ago(
    issuer: Issuer,
) -> None:
    door = Door(issuer)
    assert await door.user_of(_token()) == "user-1"
    for number, key_id in enumerate(("rsa-2", "rsa-3"), 2):
        issuer.publish([rsa_jwk(key_id)])
        came = [door.user_of(_token(key_id=key_id)) for _ in range(3)]
        assert await asyncio.gather(*came) == ["user-1"] * 3
        assert issuer.asked == number
    assert await door.refusal_of(_token(key_id="rsa-1")) == "not_authenticated"  # withdrawn


async def test_ids_that_the_issuer_does_not_have_ask_it_not_more_than_every_30_s(
    issuer: Issuer,
) -> None:
    door = Door(issuer)
    assert await door.user_of(_token()) == "user-1"
    for number in range(5):
        assert await door.refusal_of(_token(key_id=f"made-up-{number}")) == "not_authenticated"
    assert issuer.asked == 2
    issuer.publish([rsa_jwk("rsa-2")])
    for _ in range(5):
        assert await door.refusal_of(_token(key_id="rsa-2")) == "not_authenticated"
    assert issuer.asked == 2
    door.now += timedelta(seconds=31)
    assert await door.user_of(_token(key_id="rsa-2")) == "user-1"
    assert issuer.asked == 3


async def test_a_made_up_id_that_comes_first_counts_as_one(issuer: Issuer) -> None:
    door = Door(issuer)
    for number in range(3):
        assert await door.refusal_of(_token(key_id=f"made-up-{number}")) == "not_authenticated"
    assert issuer.asked == 1


async def test_an_issuer_that_is_down_stops_nobody_whose_key_is_known_for_six_hours(
    issuer: Issuer,
) -> None:
    door = Door(issuer)
    assert await door.user_of(_token()) == "user-1"
    issuer.status = 500
    for hours in (1, 4.9):
        door.now = NOW + timedelta(hours=hours)
        for _ in range(3):
            assert await door.user_of(_token()) == "user-1"
    assert 3 <= issuer.asked <= 4
    door.now = NOW + timedelta(hours=6)
    assert (
        await door.refusal_of(_token()) == "service_unavailable"
    )  # and no 401: sign in is no help
    issuer.status = 200
    door.now += timedelta(seconds=3)
    assert await door.user_of(_token()) == "user-1"


@pytest.mark.parametrize("minutes", [21, 60 * 24 * 30])
async def test_a_withdrawn_key_ends_though_nobody_came_for_long(
    issuer: Issuer, minutes: int
) -> None:
    door = Door(issuer)
    assert await door.user_of(_token()) == "user-1"
    issuer.publish([rsa_jwk("rsa-2")])
    door.now = NOW + timedelta(minutes=minutes)
    long_lived = _token(ends_at=door.now + timedelta(hours=1))
    assert await door.refusal_of(long_lived) == "not_authenticated"


async def test_a_withdrawn_key_ends_within_ten_minutes_where_somebody_comes(
    issuer: Issuer,
) -> None:
    door = Door(issuer)
    assert await door.user_of(_token()) == "user-1"
    issuer.publish([rsa_jwk("rsa-2")])
    door.now = NOW + timedelta(seconds=601)
    assert await door.user_of(_token()) == "user-1"  # answered at once, and the issuer asked
    await door.refreshed()
    assert await door.refusal_of(_token()) == "not_authenticated"


async def test_weak_private_and_doubled_keys_are_left_out(issuer: Issuer) -> None:
    weak, other = (
        rsa.generate_private_key(public_exponent=65537, key_size=n) for n in (1024, 2048)
    )
    private = {**json.loads(jwt.algorithms.RSAAlgorithm.to_jwk(other)), "kid": "private"}
    del private["key_ops"]
    p384 = ec.generate_private_key(ec.SECP384R1())
    issuer.publish(
        [
            rsa_jwk("weak", key=weak),
            private,
            rsa_jwk("double"),
            rsa_jwk("double", key=other),
            rsa_jwk("signs", key_ops=["sign"]),
            rsa_jwk("ops", key_ops="verify"),
            rsa_jwk("", key=other),
            rsa_jwk("x" * 256, key=other),
            rsa_jwk("e-is-one", e="AQ"),
            ec_jwk("p384", key=p384),
            {**ec_jwk("p384-said-p256", key=p384), "crv": "P-256"},
            {**ec_jwk("off the curve"), "y": ec_jwk()["x"]},
            rsa_jwk("same"),
            rsa_jwk("same"),
        ]
    )
    door = Door(issuer)
    for token in (
        _token(weak, key_id="weak"),
        _token(other, key_id="private"),
        _token(key_id="double"),
        _token(other, key_id="double"),
        _token(key_id="signs"),
        _token(key_id="ops"),
        _token(other, key_id=""),
        _token(key_id="e-is-one"),
        _token(p384, "ES384", "p384"),
        _token(EC_KEY, "ES256", "off the curve"),
    ):
        assert await door.refusal_of(token) == "not_authenticated"
    assert await door.user_of(_token(key_id="same")) == "user-1"
    assert await door.user_of(_token(key_id=None)) == "user-1"  # it is the only one that is left


@pytest.mark.parametrize("body", [b"", b"not JSON", b"[]", b'{"keys": []}', b"[" * 50_000])
async def test_without_any_key_it_is_503_and_not_the_users_fault(
    issuer: Issuer, body: bytes
) -> None:
    issuer.body = body
    door = Door(issuer)
    assert await door.refusal_of(_token()) == "service_unavailable"
    issuer.publish([rsa_jwk()])
    door.now += timedelta(seconds=3)
    assert await door.user_of(_token()) == "user-1"


async def test_who_waited_for_an_issuer_that_says_nothing_does_not_ask_it_again(
    issuer: Issuer,
) -> None:
    door = Door(issuer)

    def five_seconds_pass() -> None:
        door.now += timedelta(seconds=5)

    issuer.status, issuer.when_asked = 500, five_seconds_pass
    came = [door.refusal_of(_token()) for _ in range(20)]
    assert await asyncio.gather(*came) == ["service_unavailable"] * 20
    assert issuer.asked == 1
    issuer.status = 200
    door.now += timedelta(seconds=3)
    assert await door.user_of(_token()) == "user-1"


async def test_a_token_without_key_id_fits_when_there_is_one_key(issuer: Issuer) -> None:
    assert await Door(issuer).refusal_of(_token(key_id=None)) == "not_authenticated"
    issuer.publish([rsa_jwk(None)])
    assert await Door(issuer).user_of(_token(key_id=None)) == "user-1"


@pytest.mark.parametrize("token", ["garbage", "a.b.c", "..", "e30.e30.e30"])
async def test_garbage_is_no_token(issuer: Issuer, token: str) -> None:
    assert await Door(issuer).refusal_of(token) == "not_authenticated"
    assert issuer.asked <= 1
