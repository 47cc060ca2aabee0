"""How uvicorn has to run the app, so that its own answers keep the contract too."""

from typing import Any
from uuid import uuid4

from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol

from paidonce.api.errors import answer_for
from paidonce.domain import errors


class EnvelopeProtocol(HttpToolsProtocol):
    """HTTP/1.1 whose answer to bytes that are no HTTP request is the envelope."""

    def send_400_response(self, msg: str) -> None:
        request_id = str(uuid4()).encode()
        envelope = answer_for(errors.invalid_request(msg)).encode()
        body = b'%b,"requestId":"%b"}' % (envelope[:-1], request_id)
        self.transport.write(
            b"HTTP/1.1 400 Bad Request\r\n"
            b"content-type: application/json\r\n"
            b"cache-control: no-store\r\n"
            b"request-id: %b\r\n"
            b"content-length: %d\r\n"
            b"connection: close\r\n\r\n%b" % (request_id, len(body), body)
        )
        self.transport.close()


# Keyword arguments of uvicorn.Config. Access lines are ours (no query string, no raw path), the
# error log goes through the root logger, and X-Forwarded-For is read by `client_address` alone.
UVICORN_OPTIONS: dict[str, Any] = {
    "http": EnvelopeProtocol,
    "ws": "none",
    "access_log": False,
    "log_config": None,
    "proxy_headers": False,
    "server_header": False,
    "timeout_keep_alive": 75,  # longer than the 60 s of common proxies, which then close first
}
