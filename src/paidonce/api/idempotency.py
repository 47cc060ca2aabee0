"""`Idempotency-Key`: the same request under the same key gets the same final answer again."""

import asyncio
import hashlib
import json
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager

from starlette.requests import Request
from starlette.responses import Response

from paidonce.api.envelope import CODE, Answer, respond, respond_encoded
from paidonce.api.errors import answer_for
from paidonce.api.usecases import UseCases
from paidonce.domain import errors
from paidonce.domain.errors import NextStep, ServiceError
from paidonce.domain.model import RequestKey
from paidonce.observability import get_logger

LONGEST_KEY = 255
LONGEST_WAIT_SECONDS = 8  # as long as a duplicate of a payment waits; the app gives up after 30 s

log = get_logger(__name__)


class Idempotency:
    """Answers kept by principal, path and key.

    Kept are final answers: success, 402 and other 4xx. Worked anew is what says wait, and 429,
    5xx and `requires_action` (its client secret must not be kept either); of these it is noted
    which body the key came with, so that the next one is no other request. A key is no lock on a
    payment, the order is; here it only makes two requests of this process wait for each other.
    """

    def __init__(self, use_cases: UseCases) -> None:
        self._use_cases = use_cases
        self._running: dict[tuple[str, str], tuple[asyncio.Lock, int]] = {}

    async def answer(
        self,
        request: Request,
        principal: str,
        raw: bytes,
        work: Callable[[], Awaitable[Answer]],
        *,
        keeps: bool = True,
    ) -> Response:
        """The kept answer, or that of `work`; `principal` says whose key it is. Without `keeps`
        every answer is worked anew. Raises `idempotency_mismatch`."""
        found = request_key_of(request, principal, raw)
        if found is None:
            return respond(request, await work())
        scope, key, body_hash = found.scope, found.key, found.body_hash
        async with self._alone(scope, key):
            kept = await self._use_cases.find_answer(scope, key, body_hash)
            if kept is not None:
                request.scope[CODE] = json.loads(kept.body).get("code")
                return respond_encoded(
                    request.scope, kept.status, kept.body, {"Idempotent-Replayed": "true"}
                )
            try:
                answer = await work()
            except ServiceError as error:
                answer = answer_for(error)
                if error.code == "idempotency_mismatch":
                    raise  # the key belongs to another body, which has to find its answer again
                if not (keeps and _is_final(answer)):
                    await self._keep(found, answer, is_final=False)
                    raise
            await self._keep(found, answer, is_final=keeps and _is_final(answer))
            return respond(request, answer)

    async def _keep(self, found: RequestKey, answer: Answer, *, is_final: bool) -> None:
        """The answer, or the body's hash alone; a database that was away is not asked again."""
        scope, key, body_hash = found.scope, found.key, found.body_hash
        try:
            if is_final:
                encoded = answer.encode()
                await self._use_cases.keep_answer(scope, key, body_hash, answer.status, encoded)
            elif answer.fields.get("code") != "service_unavailable":
                await self._use_cases.note_key(scope, key, body_hash)
        except ServiceError as error:  # the database is away; the work is done all the same
            log.warning("idempotency.answer_not_kept", error=error.message)
        except Exception:  # the work is done: its answer must get out
            log.exception("idempotency.answer_not_kept")

    @asynccontextmanager
    async def _alone(self, scope: str, key: str) -> AsyncIterator[None]:
        """One request at a time per scope and key; raises `payment_in_progress` after 8 s."""
        lock, users = self._running.get((scope, key), (asyncio.Lock(), 0))
        self._running[scope, key] = (lock, users + 1)
        try:
            try:
                async with asyncio.timeout(LONGEST_WAIT_SECONDS):
                    await lock.acquire()
            except TimeoutError:
                raise errors.payment_in_progress() from None
            try:
                yield
            finally:
                lock.release()
        finally:
            _, users = self._running[scope, key]
            if users == 1:
                del self._running[scope, key]
            else:
                self._running[scope, key] = (lock, users - 1)


def request_key_of(request: Request, principal: str, raw: bytes) -> RequestKey | None:
    """The key that the request came with; raises `invalid_request` when it cannot be one."""
    key = _key_of(request)
    if key is None:
        return None
    # An order id in a path may come in upper case; nothing else in our paths does.
    scope = f"{request.method} {request.scope['path'].lower()} {principal}"
    return RequestKey(scope, key, hashlib.sha256(raw).hexdigest())


def _key_of(request: Request) -> str | None:
    """The header's value; raises `invalid_request` when it cannot be a key."""
    values = request.headers.getlist("idempotency-key")
    if not values:
        return None
    key = values[0]
    if len(values) > 1 or not 1 <= len(key) <= LONGEST_KEY:
        raise errors.invalid_request(f"Idempotency-Key must have 1 to {LONGEST_KEY} characters.")
    if not (key.isascii() and key.isprintable()):
        raise errors.invalid_request("Idempotency-Key must be printable ASCII.")
    return key


def _is_final(answer: Answer) -> bool:
    if not answer.is_kept:
        return False
    if answer.fields["nextStep"] == NextStep.WAIT.value or answer.status in (401, 413, 415, 429):
        return False
    if answer.status == 200:
        return bool(answer.fields["status"] == "success")
    return 400 <= answer.status < 500
