"""Refunds and disputes as the merchant asks for them, and what Stripe and our books say of them."""

import uuid
from typing import Any

import requests

from support.envelope import assert_success
from support.environment import MERCHANT_API_KEY
from support.service import GOOD, WEBHOOK_SECRET, Running

REFUND = {"method": "POST", "path": "/v1/refunds"}
FAILS_LATER, SUCCEEDS_LATER = "4000000000005126", "4000000000007726"
IS_DISPUTED, IS_ASKED_ABOUT, IS_WARNED_OF = (
    "4000000000000259",
    "4000000000001976",
    "4000000000005423",
)
HOUR, DAY = 3600, 86_400


def listening(service: Running) -> Running:
    url = f"{service.url}/api/webhooks/stripe"
    service.simulator.set_webhook_target(url, WEBHOOK_SECRET)
    return service


def hear(service: Running) -> None:
    """The webhooks arrive and are worked on."""
    service.simulator.flush_webhooks()
    service.work()


def pass_time(service: Running, seconds: float) -> None:
    service.simulator.advance_clock(seconds)
    service.recover(seconds)


def execute(service: Running, sql: str, *args: Any) -> None:
    async def work(tx: Any) -> None:
        await tx.execute(sql, *args)

    service.run(service.context.db.transaction("test", work))


def paid_order(service: Running, number: str = GOOD) -> str:
    order_id = service.order()
    assert_success(service.pay(order_id, service.simulator.create_card(number)))
    return order_id


def ask(
    service: Running, order_id: str, key: str | None = None, body: Any = None, **fields: Any
) -> requests.Response:
    """POST …/refunds; a key of its own unless one is given, and without `fields` no body."""
    return requests.post(
        f"{service.url}/api/orders/{order_id}/refunds",
        json=fields or body,
        headers={
            "Authorization": f"Bearer {MERCHANT_API_KEY}",
            "Idempotency-Key": key or str(uuid.uuid4()),
        },
        timeout=40,
    )


def listed(service: Running, path: str) -> list[dict[str, Any]]:
    data: list[dict[str, Any]] = assert_success(service.merchant("GET", path))
    return data


def detail(service: Running, order_id: str) -> dict[str, Any]:
    data: dict[str, Any] = assert_success(service.merchant("GET", f"/api/orders/{order_id}"))
    return data


def at_stripe(service: Running) -> list[int]:
    """The amounts of all refunds that Stripe has made and not taken back."""
    found = service.stripe("GET", "/v1/refunds?limit=100")["data"]
    return sorted(each["amount"] for each in found if each["status"] not in ("failed", "canceled"))


def metric(service: Running, name: str) -> float:
    service.clock.added += 60
    text = requests.get(f"{service.url}/metrics", timeout=10).text
    return next(float(line.split()[1]) for line in text.splitlines() if line.startswith(f"{name} "))
