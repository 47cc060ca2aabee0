"""The one table from an error to its HTTP answer."""

from typing import Any

from fastapi.exceptions import RequestValidationError
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import Response

from paidonce.api.envelope import WHY, Answer, respond
from paidonce.domain import errors
from paidonce.domain.errors import InvariantBroken, ServiceError
from paidonce.observability import get_logger

log = get_logger(__name__)


def answer_for(error: ServiceError) -> Answer:
    """The envelope of an error: status, message, errors, code, nextStep, and what helps to wait."""
    fields: dict[str, Any] = {
        "status": "error",
        "message": error.message,
        "errors": list(error.details) or [error.message],
        "code": error.code,
        "nextStep": error.next_step.value,
    }
    headers: dict[str, str] = {}
    if error.decline_code is not None:
        fields["declineCode"] = error.decline_code
    if error.retry_after_seconds is not None:
        fields["retryAfter"] = error.retry_after_seconds
        headers["Retry-After"] = str(error.retry_after_seconds)
    if error.http_status == 401:
        headers["WWW-Authenticate"] = "Bearer"
    return Answer(error.http_status, fields, headers)


def service_error_for(error: Exception) -> ServiceError:
    """Any exception as an error of ours; what nobody foresaw is a bug, logged, never shown."""
    if isinstance(error, InvariantBroken):
        log.error("invariant.broken", code=error.code, exc_info=error)
        return error
    if isinstance(error, ServiceError):
        return error
    if isinstance(error, HTTPException):
        return _routing_error(error.status_code)
    if isinstance(error, RequestValidationError):
        return errors.invalid_request("The request does not have the expected form.")
    log.error("request.failed", exc_info=error)
    return errors.internal_error()


async def render_error(request: Request, error: Exception) -> Response:
    """The exception handler of the app."""
    known = service_error_for(error)
    request.scope[WHY] = known.why
    answer = answer_for(known)
    headers = dict(answer.headers)
    if isinstance(error, HTTPException) and error.headers:
        headers.update(error.headers)  # Allow, of a 405
    return respond(request, Answer(answer.status, answer.fields, headers))


def _routing_error(status: int) -> ServiceError:
    if status == 404:
        return errors.not_found()
    if status == 405:
        return errors.method_not_allowed()
    if status >= 500:
        return errors.internal_error()
    return errors.invalid_request("The request cannot be understood.")
