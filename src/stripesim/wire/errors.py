"""The one error type, and its envelope."""

from dataclasses import dataclass, field
from typing import Any

Json = dict[str, Any]
DOC_URL = "https://stripe.com/docs/error-codes/"  # + the code with hyphens
INVALID_REQUEST = "invalid_request_error"


@dataclass(eq=False)
class StripeError(Exception):
    """An answer that is not 2xx.

    extra: further fields of the error, whole objects among them (`payment_intent`).
    keeps_writes: what was written until now stays (a decline); otherwise it is undone.
    is_executed: the endpoint had begun to execute, so the answer is saved under the idempotency
        key. Recorded: refusals by state and declines are, parameter errors are not.
    headers: added to the answer.
    is_logged: the error names its line in the dashboard's log. Recorded (stripe_world, 2026-08):
        a version that does not exist has none.
    """

    status: int
    message: str
    type: str = INVALID_REQUEST
    code: str | None = None
    param: str | None = None
    extra: Json = field(default_factory=dict)
    keeps_writes: bool = False
    is_executed: bool = False
    headers: dict[str, str] = field(default_factory=dict)
    is_logged: bool = True

    def __str__(self) -> str:
        return f"{self.status} {self.type} {self.code or ''} {self.message}"

    def fields(self) -> Json:
        """The error's fields, nulls omitted, in alphabetical order as Stripe sends them."""
        found = {
            "code": self.code,
            "doc_url": doc_url(self.code),
            "message": self.message,
            "param": self.param,
            "type": self.type,
            **self.extra,
        }
        return {name: found[name] for name in sorted(found) if found[name] is not None}


def doc_url(code: str | None) -> str | None:
    return DOC_URL + code.replace("_", "-") if code else None


def invalid_request(
    message: str, *, code: str | None = None, param: str | None = None, **extra: Any
) -> StripeError:
    """400 for what the request says; leaves no writes, is not saved under the key."""
    return StripeError(400, message, code=code, param=param, extra=extra)


def refused(
    message: str, *, code: str | None = None, param: str | None = None, **extra: Any
) -> StripeError:
    """400 for the state that an object is in; leaves no writes, is saved under the key."""
    return StripeError(400, message, code=code, param=param, extra=extra, is_executed=True)


def missing_on_path(noun: str, object_id: str, param: str) -> StripeError:
    return StripeError(404, f"No such {noun}: '{object_id}'", code="resource_missing", param=param)


def missing_in_body(noun: str, object_id: str, param: str) -> StripeError:
    return invalid_request(f"No such {noun}: '{object_id}'", code="resource_missing", param=param)
