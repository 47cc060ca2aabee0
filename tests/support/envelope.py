"""The envelope of every answer, asserted in one place."""

import re
from typing import Any

import requests

from support.described import assert_described

NEXT_STEPS = {
    "done",
    "authenticate",
    "retry",
    "use_other_method",
    "wait",
    "sign_in",
    "fix_request",
    "contact_support",
}


def assert_envelope(response: requests.Response) -> dict[str, Any]:
    """The body of an answer, after checking what holds for every one; returns it."""
    assert response.headers["Content-Type"] == "application/json", response.text
    assert_described(response)
    body = response.json()
    assert body["status"] in ("success", "requires_action", "error"), body
    assert isinstance(body["message"], str) and body["message"], body
    assert isinstance(body["requestId"], str) and body["requestId"], body
    assert response.headers["Request-Id"] == body["requestId"], body
    assert body["nextStep"] in NEXT_STEPS, body
    assert response.headers["Cache-Control"] == "no-store"
    assert "Traceback" not in response.text
    if body["status"] == "error":
        _assert_error_fields(response, body)
    else:
        assert response.status_code == 200, body
        assert "data" in body and "errors" not in body and "code" not in body, body
    return body


def assert_error(
    response: requests.Response, status: int, code: str, next_step: str | None = None
) -> dict[str, Any]:
    """An error envelope with this HTTP status and code; returns the body."""
    body = assert_envelope(response)
    assert (response.status_code, body["status"], body.get("code")) == (status, "error", code), body
    if next_step is not None:
        assert body["nextStep"] == next_step, body
    return body


def assert_success(response: requests.Response, message: str | None = None) -> Any:
    """A success envelope; returns its data."""
    body = assert_envelope(response)
    assert body["status"] == "success", body
    assert message is None or body["message"] == message, body
    return body["data"]


def assert_requires_action(response: requests.Response) -> dict[str, str]:
    """The 3-D Secure envelope; returns its data."""
    body = assert_envelope(response)
    assert body["status"] == "requires_action", body
    assert body["message"] == "Additional authentication required"
    assert body["nextStep"] == "authenticate"
    data: dict[str, str] = body["data"]
    assert set(data) - {"redirectUrl"} == {"paymentId", "paymentIntentId", "clientSecret"}
    return data


def _assert_error_fields(response: requests.Response, body: dict[str, Any]) -> None:
    assert response.status_code >= 400, body
    assert "data" not in body, body
    assert isinstance(body["errors"], list) and body["errors"], body
    assert all(isinstance(error, str) and error for error in body["errors"]), body
    assert re.fullmatch(r"[a-z][a-z0-9_]*", body["code"]), body
    if "retryAfter" in body:
        assert isinstance(body["retryAfter"], int) and body["retryAfter"] > 0, body
        assert response.headers["Retry-After"] == str(body["retryAfter"])
    else:
        assert "Retry-After" not in response.headers
