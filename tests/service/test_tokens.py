"""Whoever has no good token gets nowhere: 401, nothing asked of Stripe, no user made."""

import io
import json
import logging
import random
from collections.abc import Iterator
from datetime import timedelta
from typing import Any

import pytest
from cryptography.hazmat.primitives.asymmetric.utils import (
    decode_dss_signature,
    encode_dss_signature,
)

from paidonce.observability import configure_logging
from support.environment import JWT_SECRET
from support.issuer import EC_KEY, RSA_KEY, Issuer, ec_jwk, rsa_jwk
from support.service import Running, StartService
from support.token_mutations import Signer, b64, decoded, dump, mutations

LEAST_MUTATIONS = 1_400  # of each algorithm
OTHER_SPELLINGS = 7
SAID_IN_DOCS = {"mutations": 3 * LEAST_MUTATIONS, "spellings": 3 * OTHER_SPELLINGS}
"""What docs/security.md says."""
P256_ORDER = 0xFFFFFFFF00000000FFFFFFFFFFFFFFFFBCE6FAADA7179E84F3B9CAC2FC632551
CHECKED = {"auth_issuer": "https://login.example", "auth_audience": "shop-app"}
ORDER = "/api/mobile-app/orders/7d8b1e0c-52e3-4f6e-9c3f-1a2b3c4d5e6f"
REQUESTS = (
    ("POST", "/api/mobile-app/orders", b'{"items": [{"productId": "tea", "quantity": 1}]}'),
    ("POST", f"{ORDER}/pay", b'{"paymentToken": "pm_card_visa"}'),
    ("GET", "/api/mobile-app/payments", b""),
    ("POST", "/api/mobile-app/payments/methods", b'{"stripePaymentMethodId": "pm_card_visa"}'),
)


@pytest.fixture
def database_url(sqlite_url: str) -> str:
    """Tokens are looked at before any database."""
    return sqlite_url


@pytest.fixture
def issuer() -> Iterator[Issuer]:
    issuer = Issuer([rsa_jwk(), ec_jwk()])
    yield issuer
    issuer.stop()


def start_for(algorithm: str, start_service: StartService, issuer: Issuer) -> tuple[Any, Signer]:
    """A service that takes tokens of this algorithm, and who signs them."""
    key, key_id = {
        "HS256": (JWT_SECRET.encode(), None),
        "RS256": (RSA_KEY, "rsa-1"),
        "ES256": (EC_KEY, "ec-1"),
    }[algorithm]
    keys = {} if key_id is None else {"auth_jwt_secret": "", "auth_jwks_url": issuer.url}
    service = start_service(**CHECKED, **keys)
    return service, Signer(algorithm, key, key_id, int(service.clock.now().timestamp()))


async def ask(service: Running, token: str, request: tuple[str, str, bytes]) -> tuple[int, Any]:
    """One request straight to the application: its status and body."""
    method, path, body = request
    headers = [(b"authorization", b"Bearer " + token.encode("latin-1"))]
    scope = {
        "type": "http", "asgi": {"version": "3.0"}, "http_version": "1.1", "scheme": "http",
        "method": method, "path": path, "raw_path": path.encode(), "query_string": b"",
        "headers": [*headers, (b"content-type", b"application/json")],
        "client": ("127.0.0.1", 1), "server": ("127.0.0.1", 80),
    }  # fmt: skip
    sent: list[Any] = []

    async def receive() -> Any:
        return {"type": "http.request", "body": body, "more_body": False}

    async def send(message: Any) -> None:
        sent.append(message)

    await service.app(scope, receive, send)
    text = b"".join(message.get("body", b"") for message in sent)
    return sent[0]["status"], json.loads(text)


@pytest.mark.parametrize("algorithm", ["HS256", "RS256", "ES256"])
def test_no_mutation_of_a_token_is_anybody(
    start_service: StartService, issuer: Issuer, algorithm: str
) -> None:
    service, signer = start_for(algorithm, start_service, issuer)
    calls, users = service.last_request(), service.rows("SELECT id FROM users")

    async def try_all() -> tuple[int, list[str]]:
        count, wrong = 0, []
        for count, (name, token) in enumerate(mutations(signer, random.Random(1)), start=1):
            status, body = await ask(service, token, REQUESTS[count % len(REQUESTS)])
            is_refusal = (status, body.get("code"), body["nextStep"]) == (
                401, "not_authenticated", "sign_in",
            )  # fmt: skip
            if not is_refusal or body["status"] != "error" or "data" in body:
                wrong.append(f"{name}: {status} {body['message']}")
        return count, wrong

    count, wrong = service.run(try_all())
    assert wrong == []
    assert count >= LEAST_MUTATIONS
    assert service.last_request() == calls
    assert service.rows("SELECT id FROM users") == users
    assert issuer.asked <= 2
    assert service.run(ask(service, signer.good(), REQUESTS[2]))[0] == 200


@pytest.mark.parametrize("algorithm", ["HS256", "RS256", "ES256"])
def test_a_token_has_one_spelling(
    start_service: StartService, issuer: Issuer, algorithm: str
) -> None:
    """The same bytes written otherwise are refused: one token is one text."""
    service, signer = start_for(algorithm, start_service, issuer)
    good = signer.good()
    header, payload, signature = good.split(".")
    padded = [
        part + "=" * (-len(part) % 4) if len(part) % 4 else f"{part}===="
        for part in (header, payload, signature)
    ]
    alphabet = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_"
    last = alphabet[alphabet.index(signature[-1]) ^ 1]
    others = [
        f"{padded[0]}.{payload}.{signature}", f"{header}.{payload}.{padded[2]}",
        f"{header}.{payload}.{signature[:-1]}{last}",  # a bit that decodes to nothing
        f"{header}.{payload}.{signature}!", f"{header}.{payload}.{signature[:5]} {signature[5:]}",
        f"{header}.{payload}.{signature[:5]}\n{signature[5:]}", f"{header} .{payload}.{signature}",
    ]  # fmt: skip
    assert len(signature) % 4 != 0 and len(others) == OTHER_SPELLINGS
    for other in others:
        assert decoded(other) == decoded(good)
        assert service.run(ask(service, other, REQUESTS[2]))[0] == 401, other
    assert service.run(ask(service, good, REQUESTS[2]))[0] == 200


def test_the_second_signature_of_es256_says_the_same_of_the_same_user(
    start_service: StartService, issuer: Issuer
) -> None:
    """(r, n - s): every verifier takes it, and nothing of ours depends on a token's bytes."""
    service, signer = start_for("ES256", start_service, issuer)
    signed, _, signature = signer.good().rpartition(".")
    raw = decoded(signature)[0]
    r, s = int.from_bytes(raw[:32], "big"), int.from_bytes(raw[32:], "big")
    assert decode_dss_signature(encode_dss_signature(r, s)) == (r, s)
    twin = r.to_bytes(32, "big") + (P256_ORDER - s).to_bytes(32, "big")
    assert service.run(ask(service, f"{signed}.{b64(twin)}", REQUESTS[2]))[0] == 200


@pytest.mark.parametrize(
    "claims",
    [
        {"aud": ["other", "shop-app"]},
        {"email": "not an address"},
        {"iat": None},
        {"extra": {"a": [1, 2.5, True, None]}},
        {"sub": "x" * 255},
        {"sub": "émile"},
    ],
)
def test_what_a_good_issuer_may_write_is_taken(
    start_service: StartService, issuer: Issuer, claims: dict[str, Any]
) -> None:
    service, signer = start_for("RS256", start_service, issuer)
    said = {name: v for name, v in signer.claims(**claims).items() if v is not None}
    header = signer.header(typ="at+jwt", x5t="abc", jku="https://login.example/other")
    token = signer.sign(dump(header), dump(said))
    assert service.run(ask(service, token, REQUESTS[2]))[0] == 200
    assert issuer.asked == 1


def test_no_token_good_or_bad_stands_in_a_log_or_an_answer(
    start_service: StartService, issuer: Issuer
) -> None:
    service, signer = start_for("RS256", start_service, issuer)
    root = logging.getLogger()
    before, stream = (root.handlers[:], root.level), io.StringIO()
    configure_logging(level="DEBUG", stream=stream)
    tokens = [
        signer.good(),
        signer.good()[:-3] + "AAA",
        signer.sign(dump(signer.header(kid="nobody")), dump(signer.claims())),
        signer.sign(dump(signer.header()), dump(signer.claims(exp=1))),
    ]
    try:
        for token in tokens:
            for request in REQUESTS:
                _, body = service.run(ask(service, token, request))
                told = json.dumps(body) + stream.getvalue()
                for part in token.split("."):
                    assert part not in told
    finally:
        root.handlers[:], _ = before
        root.setLevel(before[1])
        configure_logging(level="WARNING")
    assert '"status": 401' in stream.getvalue()


def test_a_new_key_is_found_once_and_made_up_ones_do_not_hammer_the_issuer(
    start_service: StartService, issuer: Issuer
) -> None:
    service, signer = start_for("RS256", start_service, issuer)
    assert service.run(ask(service, signer.good(), REQUESTS[2]))[0] == 200
    for n in range(200):
        token = signer.sign(dump(signer.header(kid=f"made-up-{n}")), dump(signer.claims()))
        assert service.run(ask(service, token, REQUESTS[2]))[0] == 401
    assert issuer.asked == 2  # for the keys, and for the first id that it does not have
    issuer.publish([rsa_jwk("rsa-2")])
    service.clock.added += timedelta(seconds=31).total_seconds()
    renewed = signer.sign(dump(signer.header(kid="rsa-2")), dump(signer.claims()))
    assert service.run(ask(service, renewed, REQUESTS[2]))[0] == 200
    for _ in range(3):
        assert service.run(ask(service, signer.good(), REQUESTS[2]))[0] == 401
    assert issuer.asked == 4  # for the new key, and for the one that it does not have any more
