"""The end of a process: what it says, and how long it may take."""

import asyncio
import json
from typing import Any

import pytest

from paidonce.api.admission import Admission
from paidonce.api.client_address import ClientAddresses
from paidonce.api.drain import DRAIN_SECONDS, LAST_SECONDS, Drain
from paidonce.api.shell import Shell

PAY = "/api/mobile-app/orders/1/pay"


@pytest.mark.parametrize(
    ("path", "is_whole", "status", "code", "next_step"),
    [
        (PAY, True, 409, "payment_processing", "wait"),
        (f"{PAY}/confirm", True, 409, "payment_processing", "wait"),
        ("/api/orders/1/capture", True, 409, "payment_processing", "wait"),
        ("/api/orders/1/refunds", True, 409, "payment_processing", "wait"),
        (PAY, False, 503, "service_unavailable", "retry"),
        ("/api/mobile-app/orders", True, 503, "service_unavailable", "retry"),
    ],
)
async def test_a_request_that_is_cut_when_time_is_up_still_gets_a_true_answer(
    path: str, is_whole: bool, status: int, code: str, next_step: str
) -> None:
    """A payment that had not come in whole was not begun, and may be sent again."""
    admission = Admission(1)
    shell = Shell(wait_for_ever, ClientAddresses([]), admission)
    sent: list[dict[str, Any]] = []

    async def send(message: Any) -> None:
        sent.append(message)

    scope = {
        "type": "http", "method": "POST", "path": path, "query_string": b"", "headers": [],
        "client": ("127.0.0.1", 1),
    }  # fmt: skip

    async def receive() -> Any:
        if not is_whole:
            await asyncio.Event().wait()
        return {"type": "http.request", "body": b"", "more_body": False}

    task = asyncio.create_task(shell(scope, receive, send))
    await asyncio.sleep(0.01)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    body = json.loads(sent[1]["body"])
    assert (sent[0]["status"], body["code"], body["nextStep"]) == (status, code, next_step)
    assert admission.lane_of(scope).free == 1


async def wait_for_ever(_scope: Any, _receive: Any, _send: Any) -> None:
    await asyncio.Event().wait()


def test_what_runs_has_the_time_that_is_left_of_the_drain() -> None:
    now = 100.0
    drain = Drain(5.0, lambda: now)
    assert drain.left == DRAIN_SECONDS and not drain.begun.is_set()
    drain.begin()
    assert drain.begun.is_set()
    now += 5 + DRAIN_SECONDS - 10
    drain.begin()  # a second signal gives no more time
    assert drain.left == 10
    now += 60
    assert drain.left == LAST_SECONDS
