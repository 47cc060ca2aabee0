"""What makes the service dumb or deaf to Stripe is said aloud: nothing else would tell."""

import io
import json
import logging
from collections.abc import Callable, Iterator
from typing import Any

import pytest
import structlog

from paidonce.observability import configure_logging
from paidonce.observability.seldom import EACH_SECONDS
from support.envelope import assert_error, assert_success
from support.events import make_event, post, sign
from support.service import GOOD, Running, StartService

SAID = {
    401: "the secret key is refused",
    403: "the secret key may not: confirm",
}
CONFIRM = {"method": "POST", "path": "/v1/payment_intents/*/confirm"}


@pytest.fixture
def lines() -> Iterator[io.StringIO]:
    root = logging.getLogger()
    before, level, config = root.handlers[:], root.level, structlog.get_config()
    stream = io.StringIO()
    configure_logging(stream=stream)
    yield stream
    structlog.configure(**config)
    root.handlers[:] = before
    root.setLevel(level)


def said(lines: io.StringIO, level: str) -> list[dict[str, Any]]:
    events = [json.loads(line) for line in lines.getvalue().splitlines()]
    return [event for event in events if event["level"] == level]


def alarms(lines: io.StringIO) -> list[dict[str, Any]]:
    return said(lines, "critical")


def readiness(service: Running) -> dict[str, str]:
    ready: dict[str, str] = assert_success(service.call("GET", "/readyz"))
    return ready


def counted(service: Running, name: str) -> float:
    """As /metrics has it, of this whole process."""
    lines = service.call("GET", "/metrics").text.splitlines()
    return sum(float(line.removeprefix(name)) for line in lines if line.startswith(name))


@pytest.mark.parametrize("status", [401, 403])
def test_a_refused_key_is_an_alarm_once_a_minute_and_readiness_says_it(
    start_service: StartService, lines: io.StringIO, status: int
) -> None:
    service = start_service()
    card, order_id = service.simulator.create_card(GOOD), service.order()
    assert readiness(service)["stripe"] == "ok"
    refusals = f'paidonce_stripe_key_refusals_total{{status="{status}"}} '
    before = counted(service, refusals)
    service.simulator.add_fault(match=CONFIRM, kind="error_before", status=status)
    for _ in range(3):
        assert_error(service.pay(order_id, card), 503, "stripe_unavailable")
    [alarm] = alarms(lines)
    assert (alarm["event"], alarm["http_status"]) == ("stripe.key_refused", status)
    assert alarm["call"] == "confirm" and alarm["message"]
    assert counted(service, refusals) - before == 3
    assert readiness(service)["stripe"] == SAID[status]
    service.clock.added += EACH_SECONDS
    assert_error(service.pay(order_id, card), 503, "stripe_unavailable")
    assert len(alarms(lines)) == 2
    service.simulator.clear_faults()
    assert_success(service.pay(order_id, card))
    assert readiness(service)["stripe"] == "ok"


def test_what_else_a_key_may_do_does_not_say_that_it_may_charge(
    start_service: StartService, lines: io.StringIO
) -> None:
    service = start_service()
    order_id = service.order()
    service.simulator.add_fault(match=CONFIRM, kind="error_before", status=403)
    assert_error(
        service.pay(order_id, service.simulator.create_card(GOOD)), 503, "stripe_unavailable"
    )
    service.order()  # its customer and intent are made with the same key
    assert readiness(service)["stripe"] == SAID[403]


def test_the_alarm_shows_nothing_of_a_key(start_service: StartService, lines: io.StringIO) -> None:
    service = start_service(stripe_secret_key="rk_test_mayReadAndNothingElse1234")
    service.order()
    [alarm] = alarms(lines)
    assert alarm["event"] == "stripe.key_refused" and "rk_test_[redacted]" in alarm["message"]
    assert "1234" not in alarm["message"]


def test_a_webhook_that_is_not_taken_is_told_with_its_reason_a_few_times_a_minute(
    start_service: StartService, lines: io.StringIO
) -> None:
    service = start_service()
    taken = make_event("payment_intent.succeeded", {"id": "pi_1", "object": "payment_intent"})
    body = json.dumps(taken).encode()
    other_mode = json.dumps({**taken, "livemode": True}).encode()
    other_account = json.dumps({**taken, "account": "acct_another"}).encode()
    sent: dict[str, tuple[bytes, Callable[[bytes], str], int]] = {
        "no_header": (body, lambda _: "", 400),
        "malformed": (body, lambda _: "the-header", 400),
        "too_old": (body, lambda raw: sign(service, raw, age_seconds=3600), 400),
        "no_match": (body, lambda raw: sign(service, raw, "whsec_wrong"), 400),
        "no_event": (b"{}", lambda raw: sign(service, raw), 400),
        "other_mode": (other_mode, lambda raw: sign(service, raw), 200),
        "other_account": (other_account, lambda raw: sign(service, raw), 200),
    }
    for reason, (given, make_header, status) in sent.items():
        service.clock.added += EACH_SECONDS
        count = f'paidonce_webhooks_refused_total{{reason="{reason}"}} '
        before = counted(service, count)
        for _ in range(5):
            assert post(service, given, make_header(given)).status_code == status, reason
        assert counted(service, count) - before == 5
    told = [warning["reason"] for warning in said(lines, "warning")]
    assert told == [reason for reason in sent for _ in range(3)]
    assert "the-header" not in lines.getvalue() and "pi_1" not in lines.getvalue()
