"""The merchant's lists over all users, with filters and cursors, and the evidence of one order."""

import json
from datetime import timedelta
from typing import Any
from urllib.parse import urlencode

import pytest

from support.envelope import assert_envelope, assert_error, assert_requires_action, assert_success
from support.events import deliver, list_events
from support.service import DECLINED_AT_CHARGE, GOOD, NEEDS_3DS, Running, StartService

NO_ORDER = "0fb53e0c-27d5-4d6c-9d1f-5f2a2b6f0a11"


@pytest.fixture
def service(start_service: StartService) -> Running:
    return start_service()


def listed(service: Running, what: str, **filters: Any) -> list[dict[str, Any]]:
    path = f"/api/{what}?{urlencode({'limit': 100, **filters})}"
    data: list[dict[str, Any]] = assert_envelope(service.merchant("GET", path))["data"]
    return data


def ids(rows: list[dict[str, Any]]) -> list[str]:
    return [row["orderId"] for row in rows]


def test_orders_are_found_by_user_status_number_and_time(service: Running) -> None:
    first = service.order("alice")
    service.clock.added += 60
    middle = service.clock.now()
    second, third = service.order("bob"), service.order("alice")
    assert_success(service.pay(second, service.simulator.create_card(GOOD), user="bob"))
    assert ids(listed(service, "orders")) == [third, second, first]
    assert ids(listed(service, "orders", userId="alice")) == [third, first]
    assert ids(listed(service, "orders", status="paid")) == [second]
    assert ids(listed(service, "orders", userId="bob", status="pending")) == []
    assert ids(listed(service, "orders", createdFrom=middle.isoformat())) == [third, second]
    before = (middle - timedelta(seconds=30)).isoformat().replace("+00:00", "Z")
    assert ids(listed(service, "orders", createdTo=before)) == [first]
    number = service.order_view(first)["orderNumber"]
    (row,) = listed(service, "orders", orderNumber=number)
    assert (row["orderId"], row["userId"], row["items"][0]["productId"]) == (first, "alice", "tea")
    assert listed(service, "orders", orderNumber="none", userId="") == []


@pytest.mark.parametrize(
    "path", ["orders", "payments", "refunds", "disputes", "events", f"orders/{NO_ORDER}/refunds"]
)
def test_a_parameter_that_a_list_does_not_have_is_refused_by_name(
    service: Running, path: str
) -> None:
    """A mistyped filter must not list everything."""
    for query, said in (
        ("userid=alice", "userid is not one of limit, cursor"),
        ("limit=5&%00secret=1", "A parameter is not one of limit, cursor"),
        ("limit=5&limit=6", "limit stands twice in the query."),
    ):
        answer = service.merchant("GET", f"/api/{path}?{query}")
        refused = assert_error(answer, 400, "invalid_request", "fix_request")
        assert refused["errors"][0].startswith(said)


def test_the_lists_of_the_app_ignore_parameters_that_they_do_not_have(service: Running) -> None:
    """Whatever the shipped app sends."""
    order_id = service.order()
    answer = service.call("GET", "/api/mobile-app/orders?page=1&page=2&sort=newest")
    assert [order["id"] for order in assert_success(answer)] == [order_id]


def test_payments_are_found_by_what_became_of_them(service: Running) -> None:
    service.order()  # prepared, and never tried: no line
    paid, declined, asked = service.order(), service.order("bob"), service.order()
    assert_success(service.pay(paid, service.simulator.create_card(GOOD)))
    bad = service.simulator.create_card(DECLINED_AT_CHARGE)
    assert_error(service.pay(declined, bad, user="bob"), 402, "card_declined")
    assert_requires_action(service.pay(asked, service.simulator.create_card(NEEDS_3DS)))
    assert ids(listed(service, "payments")) == [asked, declined, paid]
    for status, order_id in (
        ("succeeded", paid),
        ("failed", declined),
        ("requires_action", asked),
    ):
        (row,) = listed(service, "payments", status=status)
        assert (row["orderId"], row["status"]) == (order_id, status)
    for status in ("processing", "authorized", "refunded", "canceled", "surplus"):
        assert listed(service, "payments", status=status) == []
    (row,) = listed(service, "payments", userId="bob")
    assert (row["errorCode"], row["declineCode"]) == ("card_declined", "generic_decline")
    intent_id = service.intent_of(paid)
    for found in (
        listed(service, "payments", stripePaymentIntentId=intent_id),
        listed(service, "payments", orderId=paid),
        listed(service, "payments", orderNumber=service.order_view(paid)["orderNumber"]),
    ):
        (row,) = found
        intent = service.stripe("GET", f"/v1/payment_intents/{intent_id}")
        assert row["stripeChargeId"] == intent["latest_charge"]
        assert (row["userId"], row["amountMinor"], row["amountRefundedMinor"]) == (
            "alice",
            44_000,
            0,
        )


def test_what_arrives_while_a_list_is_walked_changes_nothing_of_the_rest(
    service: Running,
) -> None:
    card = service.simulator.create_card(GOOD)
    made = []
    for user in ("alice", "bob", "carol", "alice", "bob"):
        made.append(service.order(user))
        new = service.simulator.create_card(GOOD) if user != "alice" else card
        assert_success(service.pay(made[-1], new, user=user))
    for what in ("orders", "payments"):
        found, cursor = [], None
        while True:
            query = urlencode({"limit": 2, **({"cursor": cursor} if cursor else {})})
            body = assert_envelope(service.merchant("GET", f"/api/{what}?{query}"))
            found += ids(body["data"])
            cursor = body["nextCursor"]
            if cursor is None:
                break
            late = service.order("dora")
            good = service.simulator.create_card(GOOD)
            assert_success(service.pay(late, good, user="dora"))
        assert found[:5] == made[::-1] if what == "orders" else set(made) <= set(found)
        assert len(found) == len(set(found))


@pytest.mark.parametrize(
    "query",
    [
        "status=nothing",
        "createdFrom=yesterday",
        "createdFrom=2026-11-27",
        "createdFrom=2026-11-27T10:00:00",
        "createdTo=2026-13-27T10:00:00Z",
        "createdTo=9999-12-31T23:59:59-23:59",
        "userId=%00",
        f"userId={'a' * 256}",
        f"orderNumber={'a' * 101}",
        "limit=0",
        "cursor=nonsense",
    ],
)
def test_a_filter_that_makes_no_sense_is_refused(service: Running, query: str) -> None:
    for what in ("orders", "payments"):
        assert_error(service.merchant("GET", f"/api/{what}?{query}"), 400, "invalid_request")


def test_a_filter_by_an_id_that_is_none_is_refused(service: Running) -> None:
    assert_error(service.merchant("GET", "/api/payments?orderId=1"), 400, "invalid_order_id")
    for path in ("orders", "payments", f"orders/{service.order()}/timeline"):
        assert_error(service.call("GET", f"/api/{path}"), 401, "not_authenticated")


# --- the evidence --------------------------------------------------------------------------------


def timeline_of(service: Running, order_id: str) -> dict[str, Any]:
    answer = service.merchant("GET", f"/api/orders/{order_id}/timeline")
    data: dict[str, Any] = assert_success(answer)
    return data


def test_the_timeline_tells_who_paid_with_what_and_what_stripe_said(service: Running) -> None:
    order_id = service.order()
    bad = service.simulator.create_card(DECLINED_AT_CHARGE)
    good = service.simulator.create_card(NEEDS_3DS)
    answers = {"attempt.declined": service.pay(order_id, bad)}
    assert_error(answers["attempt.declined"], 402, "card_declined")
    answers["attempt.action"] = service.pay(order_id, good)
    action = assert_requires_action(answers["attempt.action"])
    service.simulator.authenticate(action["paymentIntentId"], "success")
    answers["payment.succeeded"] = service.confirm(order_id)
    assert_success(answers["payment.succeeded"])
    data = timeline_of(service, order_id)

    (payment,) = data["payments"]
    assert payment["stripePaymentIntentId"] == action["paymentIntentId"]
    declined, succeeded = payment["attempts"]
    assert (declined["state"], declined["declineCode"]) == ("declined", "generic_decline")
    assert (succeeded["state"], succeeded["card"]["last4"]) == ("succeeded", NEEDS_3DS[-4:])
    assert succeeded["clientNetwork"] == "127.0.0.0/24"

    kinds = [entry["kind"] for entry in data["timeline"]]
    story = ["order.created", "intent.recorded", "attempt.declined", "attempt.action"]
    places = [kinds.index(kind) for kind in [*story, "payment.succeeded"]]
    assert places == sorted(places)
    assert "notice.written" in kinds
    assert data["isComplete"] is True

    requests = service.simulator.requests()
    sent = {item["idempotency_key"]: item for item in requests}
    keys = [payment["idempotencyKey"], declined["idempotencyKey"], succeeded["idempotencyKey"]]
    assert all(key in sent for key in keys), (keys, list(sent))

    by_kind = {entry["kind"]: entry for entry in data["timeline"]}
    request_ids = {item["request_id"] for item in requests}
    for kind in ("intent.recorded", "attempt.declined", "attempt.action", "payment.succeeded"):
        assert by_kind[kind]["stripeRequestId"] in request_ids, kind
    for kind, answer in answers.items():
        assert by_kind[kind]["requestId"] == answer.json()["requestId"], kind
    attaches = [item for item in requests if item["path"].endswith("/attach")]
    attached = [entry for entry in data["timeline"] if entry["kind"] == "attempt.attached"]
    assert [entry["stripeRequestId"] for entry in attached] == [
        item["request_id"] for item in attaches
    ]
    assert [entry["attemptId"] for entry in attached] == [
        declined["attemptId"],
        succeeded["attemptId"],
    ]
    assert (
        sent[declined["idempotencyKey"]]["request_id"]
        == (by_kind["attempt.declined"]["stripeRequestId"])
    )


def test_the_timeline_has_the_request_that_paid_with_a_known_card_too(service: Running) -> None:
    card = service.simulator.create_card(GOOD)
    for _ in range(2):  # the second one in one trip to the database, where it can
        order_id = service.order()
        answer = service.pay(order_id, card)
        assert_success(answer)
        ours = {
            entry.get("requestId")
            for entry in timeline_of(service, order_id)["timeline"]
            if entry["kind"] in ("attempt.sent", "payment.succeeded")
        }
        assert ours == {answer.json()["requestId"]}


def test_the_timeline_has_stripes_events_and_no_secret(
    service: Running, start_service: StartService
) -> None:
    order_id = service.order()
    action = assert_requires_action(service.pay(order_id, service.simulator.create_card(NEEDS_3DS)))
    with_events = [
        event
        for event in list_events(service)
        if event["data"]["object"].get("id") == action["paymentIntentId"]
    ]
    for event in with_events:
        deliver(service, event)
    data = timeline_of(service, order_id)
    told = [entry for entry in data["timeline"] if entry["kind"] == "stripe.event"]
    assert {entry["stripeEventId"] for entry in told} == {event["id"] for event in with_events}
    text = json.dumps(data)
    assert "_secret_" not in text
    assert "127.0.0.1" not in text
    assert_error(
        service.merchant("GET", f"/api/orders/{order_id[:-1]}0/timeline"), 404, "order_not_found"
    )
