"""Log lines name what happened and never a secret; steps are measured and can be stopped at."""

import asyncio
import io
import json
import logging
import sys
import time
from collections.abc import Iterator
from datetime import timedelta
from typing import Any

import jwt
import pytest
import structlog
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter

from api.shop import JWT_SECRET, MERCHANT_KEY, ORDER_ID, Shop, running_shops
from paidonce.observability import (
    TracingUnavailable,
    configure_logging,
    configure_tracing,
    get_logger,
    render_metrics,
    set_step_hook,
    step,
    timeline,
    use_tracer,
)
from paidonce.observability.timeline import MOST_STEPS
from support.envelope import assert_envelope, assert_error
from support.service import StartService

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
        shop.call("GET", "/api/mobile-app/orders/id-text")
    answered = [event for event in _events(lines) if event["event"] == "request.answered"]
    assert answered[0]["request_id"] == body["requestId"]
    assert answered[0]["route"] == "/api/mobile-app/orders/{orderId}/pay"
    assert (answered[0]["method"], answered[0]["status"]) == ("POST", 400)
    assert answered[0]["duration_ms"] >= 0
    assert (answered[0]["order_id"], answered[0]["code"]) == (ORDER_ID, "card_number_rejected")
    assert len(answered) == 5 and "order_id" not in answered[-1]
    assert answered[-1]["code"] == "invalid_order_id"
    text = lines.getvalue()
    contents = ["query-text", "body-text", "header-text", "path-text", "the-key", "id-text"]
    for kept_out in [*contents, CARD, token, MERCHANT_KEY]:
        assert kept_out not in text


def test_the_line_of_a_401_says_why_and_its_answer_does_not(lines: io.StringIO) -> None:
    with running_shops() as start:
        shop: Shop = start(auth_audience="shop", auth_issuer="https://issuer.example")
        good = {"aud": "shop", "iss": "https://issuer.example"}
        ago, ahead = shop.now - timedelta(hours=1), shop.now + timedelta(hours=1)
        sent = {
            "no_token": None,
            "malformed": "not.a.token",
            "signature": shop.token(key="another secret of at least 32 bytes", **good),
            "algorithm": jwt.encode({"sub": "user-1"}, JWT_SECRET, "HS512"),
            "expired": shop.token(**{**good, "exp": ago}),
            "not_yet_valid": shop.token(**good, nbf=ahead),
            "time": shop.token(**{**good, "exp": int(ahead.timestamp() * 1000)}),
            "issuer": shop.token(**{**good, "iss": "another"}),
            "audience": shop.token(**{**good, "aud": "another"}),
            "subject": shop.token(**good, user_id=7),
        }
        path = f"/api/mobile-app/orders/{ORDER_ID.upper()}/pay"
        bodies = [
            assert_error(shop.call("POST", path, body={}, token=token), 401, "not_authenticated")
            for token in sent.values()
        ]
        shop.merchant("GET", "/api/orders", token="mk_unknown")
    answered = [event for event in _events(lines) if event["event"] == "request.answered"]
    assert [line["reason"] for line in answered] == [*sent, "api_key"]
    assert {line.get("order_id") for line in answered[:-1]} == {ORDER_ID}
    assert len({json.dumps({**body, "requestId": ""}) for body in bodies}) == 1


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


async def test_a_timeline_holds_the_steps_of_its_work_and_of_the_tasks_it_starts() -> None:
    async def task() -> None:
        async with step("commit.inner"):
            await asyncio.sleep(0)

    with timeline() as mine:
        async with step("stripe.confirm"):
            pass
        await asyncio.create_task(task())
        with pytest.raises(KeyError):
            async with step("commit.paid"):
                raise KeyError
    async with step("commit.later"):
        pass
    words = [line.split(" at ")[0] for line in mine.lines()]
    assert words == ["stripe.confirm ok", "commit.inner ok", "commit.paid error"]
    with timeline() as full:
        for _ in range(MOST_STEPS + 2):
            with step("test.many"):
                pass
    assert len(full.lines()) == MOST_STEPS + 1 and full.lines()[-1] == "and 2 more"


@pytest.fixture
def spans() -> Iterator[InMemorySpanExporter]:
    exporter = InMemorySpanExporter()
    provider = TracerProvider()
    provider.add_span_processor(SimpleSpanProcessor(exporter))
    use_tracer(provider.get_tracer("test"))
    yield exporter
    use_tracer(None)


def test_a_request_is_a_span_and_its_steps_are_spans_below_it(
    spans: InMemorySpanExporter, lines: io.StringIO, start_service: StartService
) -> None:
    service = start_service()
    order_id, card = service.order(), service.simulator.create_card(CARD)
    spans.clear()
    answer = service.pay(order_id, card)
    assert answer.status_code == 200
    route = "POST /api/mobile-app/orders/{orderId}/pay"
    until = time.monotonic() + 10  # log line and span end after the answer has left
    while time.monotonic() < until:
        if any(span.name == route for span in spans.get_finished_spans()):
            break
        time.sleep(0.01)
    done = {span.name: span for span in spans.get_finished_spans()}
    request = done[route]
    assert request.attributes is not None
    assert request.attributes["http.response.status_code"] == 200
    assert request.attributes["paidonce.request_id"] == answer.json()["requestId"]
    assert {"stripe.attach", "stripe.confirm"} < done.keys()
    for name in ("stripe.confirm", "commit.paid"):
        span = done[name]
        assert span.parent is not None and span.parent.span_id == request.context.span_id
        assert span.attributes == {"paidonce.outcome": "ok"}
    text = json.dumps([span.to_json() for span in spans.get_finished_spans()])
    assert order_id not in text and card not in text and "_secret_" not in text
    [line] = [e for e in _events(lines) if e.get("request_id") == answer.json()["requestId"]]
    names = [words.split()[0] for words in line["steps"]]
    assert names[-2:] == ["stripe.confirm", "commit.paid"]


def test_traces_without_their_packages_are_refused_in_a_sentence(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    configure_tracing()  # no address: nothing happens
    monkeypatch.setenv("OTEL_EXPORTER_OTLP_ENDPOINT", "http://127.0.0.1:9")
    monkeypatch.setitem(sys.modules, "opentelemetry.exporter.otlp.proto.http.trace_exporter", None)
    with pytest.raises(TracingUnavailable, match=r"paidonce\[otel\]"):
        configure_tracing()
