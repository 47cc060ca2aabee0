"""A good token, changed in every way we can think of, so that other bytes come out of it.

Whatever decodes to the same bytes is no mutation: there is one spelling of a token, and the others
are tried apart. Neither is the second signature that ECDSA allows for every message, (r, n - s):
no standard verifier refuses it, and it says the same of the same claims.
"""

import base64
import hashlib
import hmac
import json
import random
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

import jwt
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec, rsa

Parts = tuple[bytes, bytes, bytes]
STRANGE_VALUES: tuple[Any, ...] = (
    None, True, False, 0, 1, -1, 1e308, "", " ", "0", "none", "true", [], [None], {}, {"a": 1},
    "x" * 300, "admin", "../../etc/passwd", "\u0000", "\ud800", "' OR 1=1 --", [[]], 10**29,
)  # fmt: skip
FOREIGN_RSA = rsa.generate_private_key(public_exponent=65537, key_size=2048)
FOREIGN_EC = ec.generate_private_key(ec.SECP256R1())


@dataclass(frozen=True)
class Signer:
    """Whose tokens are mutated: `algorithm` with `key` (the secret as bytes, or a private key)."""

    algorithm: str
    key: Any
    key_id: str | None
    now: int

    def claims(self, **changes: Any) -> dict[str, Any]:
        good = {"sub": "mallory", "exp": self.now + 3600, "iat": self.now, "nbf": self.now}
        return {**good, "iss": "https://login.example", "aud": "shop-app", **changes}

    def header(self, **changes: Any) -> dict[str, Any]:
        named = {"kid": self.key_id} if self.key_id else {}
        return {"alg": self.algorithm, "typ": "JWT", **named, **changes}

    def sign(self, header: bytes, payload: bytes, algorithm: str = "", key: Any = None) -> str:
        """With this very text, whatever it says."""
        method = jwt.get_algorithm_by_name(algorithm or self.algorithm)
        signed = f"{b64(header)}.{b64(payload)}"
        return f"{signed}.{b64(method.sign(signed.encode(), key or self.key))}"

    def good(self) -> str:
        return self.sign(dump(self.header()), dump(self.claims()))


def b64(value: bytes) -> str:
    return base64.urlsafe_b64encode(value).rstrip(b"=").decode()


def dump(value: Any) -> bytes:
    return json.dumps(value).encode()


def decoded(token: str) -> list[bytes]:
    """What a lenient reader makes of it."""
    return [base64.urlsafe_b64decode(part + "===") for part in token.split(".")]


def mutations(signer: Signer, dice: random.Random) -> Iterator[tuple[str, str]]:
    """Names and tokens. Every one decodes to other bytes than the good one."""
    good = signer.good()
    seen = {good}
    for name, token in _all(signer, good, dice):
        if token not in seen and decoded(token) != decoded(good):
            seen.add(token)
            yield name, token


def _all(signer: Signer, good: str, dice: random.Random) -> Iterator[tuple[str, str]]:
    header, payload, signature = decoded(good)
    parts: Parts = (header, payload, signature)
    for place, raw in enumerate(parts):
        for name, changed in _of_bytes(raw, dice):
            mutant = [*parts]
            mutant[place] = changed
            yield f"part {place}: {name}", ".".join(b64(part) for part in mutant)
    yield from _other_members(signer, signature)
    yield from _rearranged(signer, parts)
    yield from _wrong_keys(signer)
    yield from _well_signed(signer)


def _of_bytes(raw: bytes, dice: random.Random) -> Iterator[tuple[str, bytes]]:
    """Bits, bytes, order and length."""
    for bit in dice.sample(range(len(raw) * 8), min(len(raw) * 8, 120)):
        flipped = bytearray(raw)
        flipped[bit // 8] ^= 1 << bit % 8
        yield f"bit {bit}", bytes(flipped)
    for at in dice.sample(range(len(raw) - 1), min(len(raw) - 1, 30)):
        yield f"swap {at}", raw[:at] + raw[at + 1 : at + 2] + raw[at : at + 1] + raw[at + 2 :]
        yield f"without {at}", raw[:at] + raw[at + 1 :]
        yield f"doubled {at}", raw[: at + 1] + raw[at:]
        yield f"until {at}", raw[:at]
        yield f"from {at}", raw[at:]
        yield f"byte {at}", raw[:at] + dice.randbytes(1) + raw[at + 1 :]
    for extra in (b"\0", b" ", b"\n", b"}", b"=", raw):
        yield "more behind", raw + extra
        yield "more before", extra + raw
    yield "backwards", raw[::-1]
    yield "zeros", bytes(len(raw))
    yield "ones", b"\xff" * len(raw)
    yield "noise", dice.randbytes(len(raw))


def _other_members(signer: Signer, signature: bytes) -> Iterator[tuple[str, str]]:
    """The old signature under other words."""
    for name, header in {
        **{f"alg {value!r}": signer.header(alg=value) for value in STRANGE_VALUES},
        **{f"kid {value!r}": signer.header(kid=value) for value in STRANGE_VALUES},
        **{f"typ {value!r}": signer.header(typ=value) for value in STRANGE_VALUES},
    }.items():
        yield name, f"{b64(dump(header))}.{b64(dump(signer.claims()))}.{b64(signature)}"
    for member in ("sub", "exp", "iat", "nbf", "iss", "aud", "email", "role", "scope"):
        for value in STRANGE_VALUES:
            payload = dump(signer.claims(**{member: value}))
            yield (
                f"{member} {value!r}",
                f"{b64(dump(signer.header()))}.{b64(payload)}.{b64(signature)}",
            )


def _rearranged(signer: Signer, parts: Parts) -> Iterator[tuple[str, str]]:
    header, payload, signature = (b64(part) for part in parts)
    other = signer.sign(dump(signer.header()), dump(signer.claims(sub="alice"))).split(".")
    yield "another's signature", f"{header}.{payload}.{other[2]}"
    yield "another's payload", f"{header}.{other[1]}.{signature}"
    for order in (
        (header, signature, payload), (payload, header, signature), (signature, payload, header),
        (header, payload), (header,), (payload, signature), (header, payload, signature, ""),
        (header, payload, signature, signature), (header, payload, ""), ("", payload, signature),
        (header, "", signature), ("", "", ""), (header, payload, signature, payload, signature),
    ):  # fmt: skip
        yield "rearranged", ".".join(order)


def _wrong_keys(signer: Signer) -> Iterator[tuple[str, str]]:
    """Signed, and well, by somebody else, or by nobody."""
    payload = dump(signer.claims())
    for word in ("none", "None", "NONE", "nOnE", "", "null"):
        for signature in ("", "AA", b64(b"x" * 32)):
            yield (
                f"alg {word!r}",
                f"{b64(dump(signer.header(alg=word)))}.{b64(payload)}.{signature}",
            )
    for secret in _secrets(signer):
        for alg, digest in (("HS256", "sha256"), ("HS384", "sha384"), ("HS512", "sha512")):
            for said in (alg, alg.lower(), signer.algorithm):
                signed = f"{b64(dump(signer.header(alg=said)))}.{b64(payload)}"
                mac = hmac.digest(secret, signed.encode(), digest)
                is_good = secret == signer.key and (alg, said) == ("HS256", "HS256")
                if not is_good:
                    yield f"{said} with {secret[:16]!r} by {alg}", f"{signed}.{b64(mac)}"
    for alg, key in (
        ("RS256", FOREIGN_RSA), ("RS384", FOREIGN_RSA), ("RS512", FOREIGN_RSA),
        ("PS256", FOREIGN_RSA), ("ES256", FOREIGN_EC),
    ):  # fmt: skip
        public = key.public_key()
        kind = jwt.algorithms.RSAAlgorithm if alg[:2] != "ES" else jwt.algorithms.ECAlgorithm
        own = {**json.loads(kind.to_jwk(public)), "kid": signer.key_id}
        for extra in (
            {}, {"jwk": own}, {"jku": "https://evil.example/jwks"}, {"x5u": "https://evil.example"},
            {"x5c": ["AAAA"]}, {"kid": "../../dev/null"}, {"kid": "no"}, {"alg": signer.algorithm},
        ):  # fmt: skip
            header = signer.header(**{"alg": alg, **extra})
            yield f"{alg} of another with {[*extra]}", signer.sign(dump(header), payload, alg, key)
    if signer.algorithm == "RS256":
        for alg in ("RS384", "RS512", "PS256", "PS384", "PS512"):
            header = dump(signer.header(alg=alg))
            yield f"{alg} with the right key", signer.sign(header, payload, alg)
            yield f"{alg} called RS256", signer.sign(dump(signer.header()), payload, alg)
    if signer.algorithm == "ES256":
        for signature in (bytes(64), b"\0" * 31 + b"\1" + bytes(32), b"\xff" * 64):
            yield (
                "r or s of nothing",
                f"{b64(dump(signer.header()))}.{b64(payload)}.{b64(signature)}",
            )


def _secrets(signer: Signer) -> list[bytes]:
    """What a confused server could take for the shared secret."""
    secrets = [b"secret", b"x" * 32, bytes(32), hashlib.sha256(b"").digest(), b"null", b"undefined"]
    if signer.algorithm == "HS256":
        secret = signer.key
        return [*secrets, secret, secret[:-1], secret + b"\0", secret.upper(), b64(secret).encode()]
    public = signer.key.public_key()
    encodings, formats = serialization.Encoding, serialization.PublicFormat
    pem = public.public_bytes(encodings.PEM, formats.SubjectPublicKeyInfo)
    der = public.public_bytes(encodings.DER, formats.SubjectPublicKeyInfo)
    ssh = public.public_bytes(encodings.OpenSSH, formats.OpenSSH)
    return [*secrets, pem, pem.strip(), pem.replace(b"\n", b"\r\n"), der, ssh]


def _well_signed(signer: Signer) -> Iterator[tuple[str, str]]:
    """By the right key, and yet nobody's."""
    now = signer.now
    sign: Callable[[Any, Any], str] = lambda h, c: signer.sign(dump(h), dump(c))  # noqa: E731
    for claims in (
        *({"exp": value} for value in (now - 31, 0, -1, -1e300, "soon", str(now + 60), None, True)),
        *({"exp": value} for value in ([now + 60], {}, 1e300, (now + 3600) * 1000, 10**29)),
        *({"nbf": value} for value in (now + 31, now + 9999, "later", None, False, [], 1e20)),
        *({"iat": value} for value in (now + 31, now + 9999, "once", None, True, {}, 1e20)),
        *(
            {"sub": value}
            for value in ("", None, 5, True, [], ["alice"], {}, "x" * 256, "x" * 9999)
        ),
        *(
            {"sub": value}
            for value in ("a\0b", "a\nb", "\u202ealice", "\ud800", "\x7f", "a\u2028b")
        ),
        *({"iss": value} for value in ("", None, "https://login.example/", "http://login.example")),
        *({"iss": value} for value in (["https://login.example"], 1, "HTTPS://LOGIN.EXAMPLE")),
        *({"aud": value} for value in ("", None, "shop-ap", "shop-app ", "SHOP-APP", [], {}, 1)),
        *(
            {"aud": value}
            for value in (["other"], [["shop-app"]], ["shop-app", 1], {"shop-app": 1})
        ),
    ):
        yield f"signed with {claims}", sign(signer.header(), signer.claims(**claims))
    for missing in ("sub", "exp", "iss", "aud"):
        left = {name: value for name, value in signer.claims().items() if name != missing}
        yield f"signed without {missing}", sign(signer.header(), left)
    for extra in (
        {"crit": ["exp"]}, {"crit": []}, {"crit": ["b64"], "b64": False}, {"b64": False},
        {"b64": True}, {"zip": "DEF"}, {"enc": "A256GCM"}, {"alg": signer.algorithm.lower()},
        {"alg": f"{signer.algorithm} "}, {"alg": [signer.algorithm]}, {"alg": None},
        {"kid": ""}, {"kid": "x" * 256}, {"kid": ["x"]}, {"kid": 1}, {"kid": {}}, {"kid": None},
    ):  # fmt: skip
        yield f"signed with header {extra}", sign(signer.header(**extra), signer.claims())
    yield from _strange_json(signer)


def _strange_json(signer: Signer) -> Iterator[tuple[str, str]]:
    """Well signed, and read in two ways by two readers, or in none."""
    good, head = dump(signer.claims()).decode(), dump(signer.header()).decode()
    end = f', "exp": {signer.now + 7200}'
    payloads = [
        good[:-1] + ', "sub": "alice"}', '{"sub": "alice", ' + good[1:], good[:-1] + end + "}",
        good[:-1] + ', "x": NaN}', good[:-1] + ', "x": Infinity}', good[:-1] + ', "x": -Infinity}',
        good[:-1] + f', "x": {"9" * 31}}}', good[:-1] + f', "x": {"9" * 5000}}}',
        good[:-1] + f', "x": 0.{"9" * 40}}}', good[:-1] + ', "x": {"a": 1, "a": 2}}',
        good[:-1] + ",}", good.replace('"', "'"), f"[{good}]", f'"{b64(good.encode())}"', "1",
        "null", "{}", "[]", "[" * 20_000, '{"a":' * 20_000, f"\ufeff{good}", good + "\0",
        good + good, good.replace('"exp"', '"\\u0065xp": 0, "exp"'), f"/* */{good}",
    ]  # fmt: skip
    for payload in payloads:
        yield f"payload {payload[:40]}", signer.sign(head.encode(), payload.encode())
    yield "payload in UTF-16", signer.sign(head.encode(), good.encode("utf-16"))
    yield (
        "payload in Latin-1",
        signer.sign(head.encode(), (good[:-1] + ', "é": 1}').encode("latin-1")),
    )
    for header in (
        head[:-1] + ', "alg": "none"}', '{"alg": "none", ' + head[1:], head[:-1] + ', "x": NaN}',
        f"[{head}]", '"x"', "1", "{}", "[" * 5000, f"\ufeff{head}", head + head,
        head[:-1] + f', "x": {"9" * 5000}}}',
    ):  # fmt: skip
        yield f"header {header[:40]}", signer.sign(header.encode(), good.encode())
    yield (
        "a token of absurd length",
        signer.sign(head.encode(), dump(signer.claims(padding="x" * 16_384))),
    )
