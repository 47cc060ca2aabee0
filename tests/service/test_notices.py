"""What is written into the outbox: an entry for every fact that the merchant has to know, in the
fact's own transaction."""

import json
from datetime import UTC, datetime
from typing import Any

import pytest

from paidonce.domain.outgoing import EventType
from paidonce.payments import notices
from paidonce.payments.notices import DisputeFacts, RefundFacts
from paidonce.store import orders, payments
from paidonce.store.engine import Transaction
from stripesim.testing import SimulatorProcess
from support.envelope import assert_error, assert_requires_action, assert_success
from support.service import (
    DECLINED_AFTER_3DS,
    DECLINED_AT_ATTACH,
    DECLINED_AT_CHARGE,
    GOOD,
    NEEDS_3DS,
    PRICE_MINOR,
    Running,
    StartService,
)

SECRETS = ("_secret_", "sk_", "whsec_", "4242", "eyJ")


@pytest.fixture
def service(start_service: StartService) -> Running:
    return start_service()


def entries(service: Running, order_id: str) -> list[tuple[str, dict[str, Any]]]:
    rows = service.rows(
        "SELECT kind, subject, payload FROM outbox WHERE order_id = $1 ORDER BY position", order_id
    )
    for row in rows:
        assert not any(secret in row["payload"] for secret in SECRETS), row["payload"]
    return [(row["kind"], json.loads(row["payload"])) for row in rows]


def attempts_of(service: Running, order_id: str) -> list[str]:
    sql = "SELECT id FROM payment_attempts WHERE order_id = $1 ORDER BY created_at, n"
    return [row["id"] for row in service.rows(sql, order_id)]


def test_a_paid_order_is_one_entry_however_often_it_is_told(service: Running) -> None:
    order_id, method = service.order(), service.simulator.create_card(GOOD)
    paid = assert_success(service.pay(order_id, method))
    assert_success(service.pay(order_id, method))
    ((kind, data),) = entries(service, order_id)
    assert kind == "order.paid"
    assert data == {
        "orderId": order_id,
        "paymentId": paid["paymentId"],
        "amountMinor": PRICE_MINOR,
        "currency": "usd",
        "stripePaymentIntentId": data["stripePaymentIntentId"],
    }


def test_every_declined_attempt_is_an_entry_and_then_the_payment(service: Running) -> None:
    order_id = service.order()
    for card in (DECLINED_AT_CHARGE, DECLINED_AT_ATTACH):
        assert_error(
            service.pay(order_id, service.simulator.create_card(card)), 402, "card_declined"
        )
    assert_success(service.pay(order_id, service.simulator.create_card(GOOD)))
    first, second, third = entries(service, order_id)
    attempts = attempts_of(service, order_id)
    for (kind, data), attempt_id in zip((first, second), attempts[:2], strict=True):
        assert kind == "payment.failed"
        assert data["attemptId"] == attempt_id and data["code"] == "card_declined"
        assert data["declineCode"] == "generic_decline"
    assert third[0] == "order.paid"


def test_a_challenge_is_an_entry_once_and_its_failure_another(
    service: Running, stripe_simulator: SimulatorProcess
) -> None:
    order_id, method = service.order(), service.simulator.create_card(NEEDS_3DS)
    asked = assert_requires_action(service.pay(order_id, method))
    assert_requires_action(service.pay(order_id, method))
    (attempt_id,) = attempts_of(service, order_id)
    assert entries(service, order_id) == [
        ("payment.action_required", {"paymentId": asked["paymentId"], "attemptId": attempt_id})
    ]
    stripe_simulator.authenticate(asked["paymentIntentId"], "fail")
    assert_error(service.confirm(order_id), 402, "authentication_failed")
    assert entries(service, order_id)[1] == (
        "payment.failed",
        {
            "paymentId": asked["paymentId"],
            "attemptId": attempt_id,
            "code": "authentication_failed",
            "declineCode": None,
        },
    )


def test_a_decline_after_the_challenge_says_so(
    service: Running, stripe_simulator: SimulatorProcess
) -> None:
    order_id = service.order()
    method = service.simulator.create_card(DECLINED_AFTER_3DS)
    asked = assert_requires_action(service.pay(order_id, method))
    stripe_simulator.authenticate(asked["paymentIntentId"])
    assert_error(service.confirm(order_id), 402, "card_declined")
    kinds = [(kind, data.get("code")) for kind, data in entries(service, order_id)]
    assert kinds == [("payment.action_required", None), ("payment.failed", "card_declined")]


def test_a_fact_that_a_restored_database_learns_anew_has_the_same_id(service: Running) -> None:
    order_id = service.order()
    assert_success(service.pay(order_id, service.simulator.create_card(GOOD)))
    [told] = service.rows("SELECT id FROM outbox")

    async def learn_anew(tx: Transaction) -> None:
        await tx.execute("DELETE FROM outbox")
        payment = await payments.get_standing_payment(tx, order_id)
        assert payment is not None
        await notices.order_paid(service.context, tx, payment)
        await notices.order_canceled(service.context, tx, order_id)

    service.run(service.context.db.transaction("test", learn_anew))
    [paid, canceled] = service.rows("SELECT id FROM outbox ORDER BY position")
    assert paid["id"] == told["id"] != canceled["id"]


def test_a_canceled_order_is_an_entry_once(service: Running) -> None:
    order_id = service.order()
    for _ in range(2):
        assert_success(service.merchant("POST", f"/api/orders/{order_id}/cancel"))
    assert entries(service, order_id) == [("order.canceled", {})]


def test_each_refund_and_dispute_has_entries_of_its_own(service: Running) -> None:
    """The same fact again is no second entry; two equal refunds are two."""
    order_id = service.order()
    assert_success(service.pay(order_id, service.simulator.create_card(GOOD)))
    due_at = datetime(2026, 12, 1, tzinfo=UTC)
    opened = DisputeFacts("du_1", PRICE_MINOR, "usd", "needs_response", "fraudulent", due_at)

    async def work(tx: Transaction) -> None:
        ctx = service.context
        await orders.lock_order(tx, order_id)
        for refund in ("r1", "r2", "r1"):
            facts = RefundFacts(refund, 100, 200, "duplicate", f"re_{refund}")
            await notices.order_refunded(ctx, tx, order_id, "pay_1", facts)
        await notices.refund_failed(ctx, tx, order_id, "pay_1", RefundFacts("r1", 100, 100))
        await notices.dispute_opened(ctx, tx, order_id, "pay_1", opened)
        await notices.dispute_closed(ctx, tx, order_id, "pay_1", opened)

    service.run(service.context.db.transaction("test", work))
    told = entries(service, order_id)
    assert [kind for kind, _ in told] == [
        "order.paid", "order.refunded", "order.refunded", "refund.failed", "dispute.opened",
        "dispute.closed",
    ]  # fmt: skip
    assert told[1][1]["refund"] == {
        "id": "r1", "amountMinor": 100, "reason": "duplicate", "stripeRefundId": "re_r1",
        "cause": None,
    }  # fmt: skip
    assert told[4][1]["dispute"]["evidenceDueAt"] == "2026-12-01T00:00:00.000Z"
    assert {kind for kind, _ in told} <= set(EventType)
