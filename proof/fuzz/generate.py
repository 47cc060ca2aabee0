"""Requests by a seed: a route of the OpenAPI, or something like one, with a body from its schema,
or something like one."""

import json
import random
import string
from dataclasses import dataclass
from typing import Any
from urllib.parse import quote

from proof.fuzz.target import CARDS, Target, spaced

Json = dict[str, Any]
GARBAGE: tuple[Any, ...] = (
    None,
    True,
    False,
    0,
    -1,
    1,
    1.5,
    1e308,
    2**31,
    2**63,
    -(2**63) - 1,
    10**29,
    "",
    " ",
    "\x00",
    "\ud800",
    "ﬀ" * 40,
    "' OR 1=1 --",
    "../../etc/passwd",
    "{{7*7}}",
    "%s%n",
    "\r\nX-Injected: 1",
    "\u202e",
    "a" * 300,
    "a" * 6000,
    [],
    {},
    [[[[[[]]]]]],
    {"a": {"b": {"c": {}}}},
    ["x"] * 200,
    CARDS["good"],
    spaced(CARDS["good"]),
)
PLACES = {
    "{orderId}": "order",
    "{id}": "saved_method",
    "{eventId}": "event",
    "{productId}": "product",
}
METHODS = ("GET", "POST", "PUT", "DELETE", "PATCH", "HEAD", "OPTIONS", "TRACE", "FOO", "get")
TYPES = ("application/json", "application/json; charset=utf-8", "text/plain", "", "a/b/c", "\xff")
STRANGE_HEADERS = (
    ("X-Forwarded-For", "1.2.3.4"),
    ("X-Forwarded-For", "x" * 200),
    ("Content-Encoding", "gzip"),
    ("Transfer-Encoding", "identity"),
    ("Expect", "100-continue"),
    ("Request-Id", "\xe9"),
    ("traceparent", "00-" + "a" * 32 + "-" + "b" * 16 + "-01"),
    ("Cookie", "a=b"),
    ("Range", "bytes=0-1"),
    ("Accept", "application/xml"),
    ("If-None-Match", "*"),
    ("Upgrade", "websocket"),
    ("X-HTTP-Method-Override", "DELETE"),
)


@dataclass(frozen=True, slots=True)
class Request:
    """`route`: of the OpenAPI, None where it may be another or none."""

    route: tuple[str, str] | None
    method: str
    target: str
    headers: tuple[tuple[str, str], ...]
    body: bytes

    def encode(self) -> bytes:
        lines = [f"{self.method} {self.target} HTTP/1.1", "Host: shop.example"]
        lines += [f"{name}: {value}" for name, value in self.headers]
        if self.body or self.method in ("POST", "PUT"):
            lines.append(f"Content-Length: {len(self.body)}")
        return "\r\n".join([*lines, "", ""]).encode("latin-1", "replace") + self.body


class Generator:
    def __init__(self, target: Target, seed: int) -> None:
        self._dice = random.Random(seed)
        self._target = target
        self._operations = [
            (method.upper(), template, operation)
            for template, operations in target.document["paths"].items()
            for method, operation in operations.items()
        ]

    def request(self) -> Request:
        method, template, operation = self._dice.choice(self._operations)
        route: tuple[str, str] | None = (method, template)
        path = self._path(template)
        if self._chance(0.03):
            method, route = self._dice.choice(METHODS), None
        if self._chance(0.03):
            path, route = self._spoiled(path), None
        body = self._body(operation) if method in ("POST", "PUT") or self._chance(0.02) else b""
        return Request(
            route, method, path + self._query(operation), self._headers(template, method), body
        )

    def _chance(self, share: float) -> bool:
        return self._dice.random() < share

    # --- the head

    def _path(self, template: str) -> str:
        path = template
        for name, kind in PLACES.items():
            if name in path:
                path = path.replace(name, self._id(kind))
        return path

    def _id(self, kind: str) -> str:
        if self._chance(0.8):
            return self._dice.choice(self._target.values[kind] or ["spm_none"])
        if self._chance(0.5):
            other = self._dice.choice(list(self._target.values))
            return self._dice.choice(self._target.values[other] or ["x"])
        text = str(self._dice.choice(GARBAGE))[:400]
        return quote(text.encode("utf-8", "surrogatepass"), safe="") or "%20"

    def _spoiled(self, path: str) -> str:
        return self._dice.choice(
            (
                path + "/",
                path.upper(),
                path.replace("/", "//"),
                path + "/../..",
                path + "%00",
                path + "/" + quote(self._text(), safe=""),
                "/" + quote(self._text(), safe="/"),
                "*",
            )
        )

    def _query(self, operation: Json) -> str:
        named = [p["name"] for p in operation.get("parameters", ()) if p["in"] == "query"]
        pairs = [
            f"{name}={quote(str(self._query_value(name)).encode('utf-8', 'replace'), safe='')}"
            for name in named
            if self._chance(0.3)
        ]
        if self._chance(0.05):
            pairs.append(quote(self._text(), safe="=&"))
        return "?" + "&".join(pairs) if pairs else ""

    def _query_value(self, name: str) -> Any:
        if name == "limit" and self._chance(0.7):
            return self._dice.randint(1, 100)
        return self._dice.choice(GARBAGE) if self._chance(0.7) else self._text()

    def _headers(self, template: str, method: str) -> tuple[tuple[str, str], ...]:
        headers = self._authorization(is_merchant="/mobile-app/" not in template)
        if method in ("POST", "PUT", "PATCH"):
            kind = TYPES[0] if self._chance(0.95) else self._dice.choice(TYPES)
            headers += (("Content-Type", kind),)
        if method == "POST" and ("refunds" in template or self._chance(0.1)):
            headers += (("Idempotency-Key", self._key()),)
        if self._chance(0.03):
            headers += (self._dice.choice(STRANGE_HEADERS),)
        return headers

    def _key(self) -> str:
        if self._chance(0.1):
            return str(self._dice.choice(GARBAGE))[:300].replace("\r", "").replace("\n", "")
        return f"key-{self._dice.randint(1, 5000)}"

    def _authorization(self, *, is_merchant: bool) -> tuple[tuple[str, str], ...]:
        tokens = self._target.tokens
        if self._chance(0.9):
            who = "merchant" if is_merchant else self._dice.choice(("ann", "ann", "ann", "bob"))
            return (("Authorization", f"Bearer {tokens[who]}"),)
        odd = (
            (),
            (("Authorization", f"Bearer {self._dice.choice(list(tokens.values()))}"),),
            (("Authorization", "Bearer " + tokens["ann"][: self._dice.randint(0, 60)]),),
            (("Authorization", "Basic eDp5"),),
            (("Authorization", "Bearer"), ("Authorization", f"Bearer {tokens['ann']}")),
        )
        return self._dice.choice(odd)

    # --- the body

    def _body(self, operation: Json) -> bytes:
        content = operation.get("requestBody", {}).get("content", {})
        schema = content.get("application/json", {}).get("schema")
        value = self._value("", schema) if schema and self._chance(0.95) else self._garbage()
        try:
            raw = json.dumps(value).encode("utf-8", "surrogatepass")
        except (ValueError, RecursionError):
            raw = b"null"
        return self._spoiled_bytes(raw) if self._chance(0.05) else raw

    def _value(self, name: str, schema: Json) -> Any:
        """As the schema says, mostly; a name that says what it is gets such an id."""
        if self._chance(0.04):
            return self._garbage()
        known = self._known(name)
        if known is not None and self._chance(0.9):
            return known
        kind = schema.get("type", "object")
        kind = self._dice.choice(kind) if isinstance(kind, list) else kind
        if kind == "object":
            return self._object(schema)
        if kind == "array":
            most = min(int(schema.get("maxItems", 3)), 3)
            return [
                self._value(name, schema.get("items", {}))
                for _ in range(self._dice.randint(schema.get("minItems", 0), most))
            ]
        if "enum" in schema:
            return self._dice.choice(schema["enum"])
        if kind == "integer":
            return self._dice.randint(
                int(schema.get("minimum", 0)), int(schema.get("maximum", 1000))
            )
        if kind == "boolean":
            return self._chance(0.5)
        return None if kind == "null" else self._text()

    def _object(self, schema: Json) -> Json:
        required = schema.get("required", ())
        found = {
            name: self._value(name, inner)
            for name, inner in schema.get("properties", {}).items()
            if self._chance(0.97 if name in required else 0.35)
        }
        if self._chance(0.1):
            found[self._text()] = self._garbage()
        return found

    def _known(self, name: str) -> Any:
        values = self._target.values
        if name in ("paymentToken", "paymentMethodId", "stripePaymentMethodId"):
            return self._dice.choice(values["payment_method"])
        if name == "paymentIntentId":
            return self._dice.choice(values["payment_intent"])
        fixed = {
            "productId": "tea",
            "userId": self._dice.choice(("ann", "bob", self._text() or "x")),
            "currency": self._dice.choice(("usd", "usd", "jpy", "kwd", "xxx")),
            "amountMinor": self._dice.choice((50, 440, 1000, self._dice.randint(1, 100_000))),
            "orderId": self._dice.choice(values["order"]),
            "quantity": self._dice.randint(1, 3),
        }
        return fixed.get(name)

    def _garbage(self) -> Any:
        return self._dice.choice(GARBAGE)

    def _text(self) -> str:
        return "".join(self._dice.choices(string.printable, k=self._dice.randint(0, 12)))

    def _spoiled_bytes(self, raw: bytes) -> bytes:
        place = self._dice.randint(0, len(raw))
        return self._dice.choice(
            (
                raw[:place],
                raw[:place] + bytes([self._dice.randint(0, 255)]) + raw[place:],
                raw * 2,
                b"\xef\xbb\xbf" + raw,
                raw.decode("utf-8", "replace").encode("utf-16"),
                b"[" * self._dice.randint(1, 3000) + raw,
                b'{"a":1,"a":2}',
                b"NaN",
                bytes(self._dice.randbytes(20)),
            )
        )
