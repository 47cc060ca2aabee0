"""Which statuses a route can answer beside 200, for the OpenAPI. The tests hold every answer of
theirs against it."""

from http import HTTPStatus

EVERYWHERE = frozenset({400, 401, 413, 429, 500, 503})
"""413: whoever sends a body where none belongs. 400: also a card number in the query."""
PAYING = ("/pay", "/pay/confirm", "/payments/methods", "/payment-sheet", "/payments/setup")
MEANINGS = {
    400: "The request is wrong: `errors` names what",
    401: "No token or key, or one that is wrong or expired",
    402: "Stripe or the bank said no",
    404: "No such thing, or somebody else's",
    409: "Not in this state, or not known yet: `nextStep` says what to do",
    413: "The body is too large",
    415: "The body is not `application/json`",
    429: "Too many declined attempts, or too many requests at a time",
    500: "A bug: its `requestId` is in the log",
    503: "Surely not executed: the same request again is safe",
}


def list_errors(method: str, path: str) -> list[int]:
    """The statuses of errors, in their order."""
    found = set(EVERYWHERE)
    if "{" in path or path.endswith("/payments/methods"):
        found.add(HTTPStatus.NOT_FOUND)
    if method in ("POST", "PUT"):
        found.add(HTTPStatus.UNSUPPORTED_MEDIA_TYPE)
    if method != "GET":
        found.add(HTTPStatus.CONFLICT)
    if method == "POST" and path.endswith(PAYING):
        found.add(HTTPStatus.PAYMENT_REQUIRED)
    return sorted(found)
