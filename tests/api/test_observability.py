"""Log lines name what happened and never a secret; steps are measured and can be stopped at."""

import asyncio
import io
import json
import logging
import time
from collections.abc import Iterator
from typing import Any

import pytest
import structlog

from api.shop import MERCHANT_KEY, ORDER_ID, Shop, running_shops
from paidonce.observability import (
    configure_logging,
    get_logger,
    render_metrics,
    set_step_hook,
    step,
)
from support.envelope import assert_envelope, assert_error

CARD = "4242424242424242"


@pytest.fixture
def lines() -> Iterator[io.StringIO]:
    root = logging.getLogger()
    before, config = (root.handlers[:], root.level), structlog.get_config()
    stream = io.StringIO()
    configure_logging(stream=stream)
    yield stream
    structlog.configure(**config)
    root.handlers[:], _ = before
    root.setLevel(before[1])


def _events(stream: io.StringIO) -> list[dict[str, Any]]:
    return [json.loads(line) for line in stream.getvalue().splitlines()]


def test_a_request_is_one_line_with_its_template_and_without_its_contents(
    lines: io.StringIO,
) -> None:
    with running_shops() as start:
        shop: Shop = start()
        token = shop.token()
        response = shop.call(
            "POST",
            f"/api/mobile-app/orders/{ORDER_ID}/pay?note=query-text",
            body={"paymentToken": "pm_1", "notes": f"body-text {CARD}"},
            token=token,
            headers={"Idempotency-Key": "the-key", "X-Other": "header-text"},
        )
        body = assert_error(response, 400, "card_number_rejected")
        assert_error(shop.call("GET", f"/path-text/{CARD}"), 400, "card_number_rejected")
        assert_error(shop.call("GET", "/api/mobile-app/orders"), 500, "internal_error")
        shop.merchant("PUT", "/api/products", body={})
    answered = [event for event in _events(lines) if event["event"] == "request.answered"]
    assert answered[0]["request_id"] == body["requestId"]
    assert answered[0]["route"] == "/api/mobile-app/orders/{orderId}/pay"
    assert (answered[0]["method"], answered[0]["status"]) == ("POST", 400)
    assert answered[0]["duration_ms"] >= 0
    assert len(answered) == 4
    text = lines.getvalue()
    contents = ["query-text", "body-text", "header-text", "path-text", "the-key", ORDER_ID]
    for kept_out in [*contents, CARD, token, MERCHANT_KEY]:
        assert kept_out not in text


def test_a_bug_is_logged_with_its_request_id_and_its_stack(lines: io.StringIO) -> None:
    with running_shops() as start:
        body = assert_envelope(start().call("GET", "/api/mobile-app/orders"))
    [failed] = [event for event in _events(lines) if event["event"] == "request.failed"]
    assert failed["request_id"] == body["requestId"]
    assert "list_orders was reached" in failed["exception"] and failed["level"] == "error"


def test_secrets_are_removed_from_every_value_of_every_logger(lines: io.StringIO) -> None:
    secrets = ["sk_test_abcdef", "whsec_abcdef", "pi_1_secret_abcdef", CARD, "Bearer abcdef"]
    get_logger("test").info("thing.happened", nested={"a": [*secrets, ("x", secrets)]})
    get_logger("test").warning("thing.named", client_secret="plain", token="plain", n=int(CARD))
    logging.getLogger("some.library").error("failed with %s", secrets)
    try:
        raise ValueError(f"broken {secrets}")
    except ValueError:
        get_logger("test").exception("thing.failed")
    text = lines.getvalue()
    assert "abcdef" not in text and CARD not in text and "plain" not in text
    assert {event["event"].split()[0] for event in _events(lines)} == {
        "thing.happened",
        "thing.named",
        "failed",
        "thing.failed",
    }


def test_a_stream_that_fails_does_not_fail_its_writer() -> None:
    class Closed(io.StringIO):
        def write(self, text: str) -> int:
            raise BrokenPipeError

    root = logging.getLogger()
    before, config = (root.handlers[:], root.level), structlog.get_config()
    configure_logging(stream=Closed())
    try:
        get_logger("test").error("thing.happened")
        logging.getLogger("some.library").error("thing")
    finally:
        structlog.configure(**config)
        root.handlers[:] = before[0]
        root.setLevel(before[1])


async def test_a_step_is_counted_with_its_outcome() -> None:
    async with step("test.ok"):
        pass
    with pytest.raises(KeyError):
        async with step("test.fails"):
            raise KeyError
    with pytest.raises(asyncio.CancelledError), step("test.canceled"):
        raise asyncio.CancelledError
    metrics = render_metrics().decode()
    for name, outcome in [("ok", "ok"), ("fails", "error"), ("canceled", "canceled")]:
        assert f'paidonce_steps_total{{outcome="{outcome}",step="test.{name}"}} 1.0' in metrics
    assert 'paidonce_step_seconds_count{step="test.ok"} 1.0' in metrics


async def test_a_hook_sees_both_sides_of_a_step_and_can_stop_it() -> None:
    seen = []
    set_step_hook(lambda name, side: seen.append((name, side)))
    try:
        async with step("test.hooked"):
            seen.append("inside")
        assert seen == [("test.hooked", "before"), "inside", ("test.hooked", "after")]

        def stop(name: str, side: str) -> None:
            raise SystemExit(9)

        set_step_hook(stop)
        with pytest.raises(SystemExit):
            async with step("test.stopped"):
                seen.append("never")
        assert "never" not in seen
    finally:
        set_step_hook(None)


async def test_a_step_costs_microseconds() -> None:
    async with step("test.cheap"):
        pass
    started = time.perf_counter()
    for _ in range(2000):
        async with step("test.cheap"):
            pass
    assert (time.perf_counter() - started) / 2000 < 100e-6
