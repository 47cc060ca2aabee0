"""An issuer of the app's tokens: its keys, and the key set that it publishes."""

import json
import threading
from collections.abc import Callable
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import jwt
from cryptography.hazmat.primitives.asymmetric import ec, rsa

RSA_KEY = rsa.generate_private_key(public_exponent=65537, key_size=2048)
EC_KEY = ec.generate_private_key(ec.SECP256R1())


def rsa_jwk(key_id: str | None = "rsa-1", *, key: Any = None, **changes: Any) -> dict[str, Any]:
    entry = json.loads(jwt.algorithms.RSAAlgorithm.to_jwk((key or RSA_KEY).public_key()))
    named = {} if key_id is None else {"kid": key_id}
    return {k: v for k, v in {**entry, **named, **changes}.items() if v is not None}


def ec_jwk(key_id: str = "ec-1", *, key: Any = None) -> dict[str, Any]:
    entry = json.loads(jwt.algorithms.ECAlgorithm.to_jwk((key or EC_KEY).public_key()))
    return {**entry, "kid": key_id}


class Issuer:
    """A real HTTP server that publishes a key set; `when_asked` happens before each answer."""

    def __init__(self, keys: list[dict[str, Any]]) -> None:
        self.body = json.dumps({"keys": keys}).encode()
        self.status = 200
        self.asked = 0
        self.when_asked: Callable[[], None] = lambda: None
        issuer = self

        class Handler(BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                issuer.asked += 1
                issuer.when_asked()
                self.send_response(issuer.status)
                self.send_header("Content-Length", str(len(issuer.body)))
                self.end_headers()
                self.wfile.write(issuer.body)

            def log_message(self, *_: Any) -> None:
                """Say nothing."""

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self._server.server_port}/jwks"
        self._thread = threading.Thread(target=self._server.serve_forever, args=(0.01,))
        self._thread.start()

    def publish(self, keys: list[dict[str, Any]]) -> None:
        self.body = json.dumps({"keys": keys}).encode()

    def stop(self) -> None:
        self._server.shutdown()
        self._server.server_close()
        self._thread.join(5)
